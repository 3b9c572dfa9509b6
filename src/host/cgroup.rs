//! The memory that this process's control group may take: what a container or a service was given.

use std::fs;
use std::path::{Path, PathBuf};

use super::read_number;

/// The tightest limit of a process's control groups, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What may be taken.
    pub bytes: u64,
    /// What is taken, without pages of files, which are given back when memory is short.
    pub used: u64,
}

impl Limit {
    /// What may be taken still.
    pub fn left(&self) -> u64 {
        self.bytes.saturating_sub(self.used)
    }
}

/// How a version of control groups names its files.
struct Names {
    /// The controller in `/proc/self/cgroup`; version 2 has one tree for all.
    controller: &'static str,
    /// The tree's directory.
    tree: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Pages of files, in `memory.stat`.
    files: [&'static str; 2],
}

const VERSIONS: [Names; 2] = [
    Names {
        controller: "",
        tree: "",
        limit: "memory.max",
        used: "memory.current",
        files: ["inactive_file", "active_file"],
    },
    Names {
        controller: "memory",
        tree: "memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        files: ["total_inactive_file", "total_active_file"],
    },
];

/// The limit that leaves least, of this process's group and those around it. `proc` is `/proc`, `root` the control
/// groups' directory.
pub(super) fn memory_limit(proc: &Path, root: &Path) -> Option<Limit> {
    let groups = fs::read_to_string(proc.join("self/cgroup")).ok()?;
    let limits = VERSIONS.iter().flat_map(|names| {
        let path = groups.lines().find_map(|line| path_of(line, names.controller));
        path.map(|path| limits(names, &root.join(names.tree), &path)).unwrap_or_default()
    });
    limits.min_by_key(Limit::left)
}

/// The path in a line `4:memory,cpu:/path`, if it is about this controller.
fn path_of(line: &str, controller: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    controllers.split(',').any(|c| c == controller).then(|| path.trim_start_matches('/').into())
}

fn limits(names: &Names, tree: &Path, path: &Path) -> Vec<Limit> {
    let one = |group: &Path| {
        let dir = tree.join(group);
        // "max" is no number, and no limit.
        let bytes = read_number(&dir.join(names.limit))?;
        let used = read_number(&dir.join(names.used))?;
        let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
        let of = |name: &str| {
            let line = stat.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let files = names.files.map(of).iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        Some(Limit { bytes, used: used.saturating_sub(files) })
    };
    path.ancestors().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_controller() {
        assert_eq!(path_of("0::/a/b", ""), Some("a/b".into()));
        assert_eq!(path_of("4:cpu,memory:/x", "memory"), Some("x".into()));
        assert_eq!(path_of("4:cpu,memory:/x", ""), None);
        assert_eq!(path_of("nonsense", ""), None);
    }

    #[test]
    fn the_first_version_has_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, group) = (dir.path().join("proc/self"), dir.path().join("memory/box"));
        fs::create_dir_all(&proc).unwrap();
        fs::create_dir_all(&group).unwrap();
        fs::write(proc.join("cgroup"), "0::/\n3:memory:/box\n").unwrap();
        fs::write(group.join("memory.limit_in_bytes"), "5000\n").unwrap();
        fs::write(group.join("memory.usage_in_bytes"), "3000\n").unwrap();
        fs::write(group.join("memory.stat"), "inactive_file 9\ntotal_inactive_file 500\n").unwrap();
        let limit = memory_limit(&dir.path().join("proc"), dir.path()).unwrap();
        assert_eq!(limit, Limit { bytes: 5000, used: 2500 });
        assert_eq!(limit.left(), 2500);
    }
}
