//! How many threads are worth having.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A core counts as fast from this share of the fastest core's clock on, in percent: big and prime cores of
/// a phone, not its little ones.
const FAST_PERCENT: u64 = 80;

/// Threads to use unless told otherwise: one for each fast physical core that this process may run on.
pub(super) fn default_threads() -> usize {
    // Knows of a container's share of the processor, which the set of allowed CPUs does not tell.
    let limit = std::thread::available_parallelism().map_or(1, usize::from);
    fast_cores(Path::new("/sys/devices/system/cpu"), &allowed_cpus()).map_or(limit, |n| n.clamp(1, limit))
}

/// Fast physical cores among `allowed`, as the tree under `root` (`/sys/devices/system/cpu`) tells them;
/// `None` if it tells nothing about one of them.
fn fast_cores(root: &Path, allowed: &[usize]) -> Option<usize> {
    // One logical CPU stands for its core: the lowest-numbered of its allowed siblings.
    let cores: BTreeSet<usize> = allowed.iter().map(|&cpu| representative(root, cpu, allowed)).collect();
    for file in ["cpufreq/cpuinfo_max_freq", "cpu_capacity"] {
        let speeds: Option<Vec<u64>> =
            cores.iter().map(|cpu| read_number(&root.join(format!("cpu{cpu}")).join(file))).collect();
        if let Some(speeds) = speeds {
            let max = speeds.iter().copied().max()?;
            return Some(
                speeds.iter().filter(|&&s| s.saturating_mul(100) >= max.saturating_mul(FAST_PERCENT)).count(),
            );
        }
    }
    // A machine that tells no speeds (most virtual ones) has cores of one kind.
    root.join(format!("cpu{}", cores.first()?)).is_dir().then_some(cores.len())
}

fn representative(root: &Path, cpu: usize, allowed: &[usize]) -> usize {
    let list = fs::read_to_string(root.join(format!("cpu{cpu}/topology/thread_siblings_list")));
    let siblings = list.ok().and_then(|text| parse_cpu_list(&text)).unwrap_or_default();
    siblings.into_iter().filter(|s| allowed.contains(s)).min().unwrap_or(cpu).min(cpu)
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Reads the kernel's list format, `0-3,8`. `None` if it is malformed or names more CPUs than Linux can have.
fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    const MAX_CPUS: usize = 8192;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// CPUs that this process may run on; empty if the system does not say.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero `cpu_set_t` is a valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer and the size are those of `set`; 0 means the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    let count = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: `cpu` is below the number of bits in the set.
    (0..count).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: String, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_phone_counts_its_big_and_prime_cores() {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, khz) in
            [2016000, 2016000, 2016000, 2016000, 2803200, 2803200, 2803200, 3187200].iter().enumerate()
        {
            put(dir.path(), format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), &format!("{khz}\n"));
            put(dir.path(), format!("cpu{cpu}/topology/thread_siblings_list"), &format!("{cpu}\n"));
        }
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(fast_cores(dir.path(), &all), Some(4));
        assert_eq!(
            fast_cores(dir.path(), &[0, 1, 2, 3]),
            Some(4),
            "confined to the little cores, all are fast"
        );
        assert_eq!(fast_cores(dir.path(), &[0, 5, 7]), Some(2));
    }

    #[test]
    fn capacity_stands_in_for_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, capacity) in [250, 250, 1024, 819].iter().enumerate() {
            put(dir.path(), format!("cpu{cpu}/cpu_capacity"), &capacity.to_string());
        }
        assert_eq!(fast_cores(dir.path(), &[0, 1, 2, 3]), Some(1));
    }

    #[test]
    fn siblings_count_once() {
        let dir = tempfile::tempdir().unwrap();
        for cpu in 0..8 {
            put(dir.path(), format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), "4000000");
            put(
                dir.path(),
                format!("cpu{cpu}/topology/thread_siblings_list"),
                &format!("{},{}\n", cpu % 4, cpu % 4 + 4),
            );
        }
        assert_eq!(fast_cores(dir.path(), &(0..8).collect::<Vec<_>>()), Some(4));
        assert_eq!(
            fast_cores(dir.path(), &[4, 5]),
            Some(2),
            "a sibling that is not allowed stands for nobody"
        );
    }

    #[test]
    fn strange_trees_do_not_hurt() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(fast_cores(dir.path(), &[0, 1]), None, "an empty tree");
        put(dir.path(), "cpu0/cpufreq/cpuinfo_max_freq".into(), "fast");
        put(dir.path(), "cpu0/topology/thread_siblings_list".into(), "0-99999999999");
        assert_eq!(fast_cores(dir.path(), &[0, 1]), Some(2));
        assert_eq!(fast_cores(dir.path(), &[]), None);
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpu_list("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cpu_list(""), Some(vec![]));
        assert_eq!(parse_cpu_list("3-1"), None);
        assert_eq!(parse_cpu_list("x"), None);
        assert_eq!(parse_cpu_list("0-1000000"), None);
    }

    #[test]
    fn this_machine_has_at_least_one_core() {
        assert!(default_threads() >= 1);
    }
}
