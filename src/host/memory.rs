//! How much memory there is, and how much this process has taken, as Linux and Android report it.

use std::fs;
use std::path::Path;

use super::cgroup::{self, Limit};

/// Memory of the machine, in bytes; `None` for what the system does not report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All that there is.
    pub total: Option<u64>,
    /// What can be taken without swapping: free, or filled with files that can be read again.
    pub available: Option<u64>,
    /// What this process's control group may take.
    pub limit: Option<Limit>,
}

impl Memory {
    /// As it is now.
    pub fn now() -> Self {
        Self::read(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
    }

    /// What the trees under `proc` (`/proc`) and `cgroup` (`/sys/fs/cgroup`) report.
    pub fn read(proc: &Path, cgroup: &Path) -> Self {
        let info = fs::read_to_string(proc.join("meminfo")).unwrap_or_default();
        let total = field(&info, "MemTotal:");
        let limit = cgroup::memory_limit(proc, cgroup).filter(|l| total.is_none_or(|t| l.bytes < t));
        Self { total, available: field(&info, "MemAvailable:"), limit }
    }

    /// What this process can take: the machine's available memory, or what is left of its control group's limit.
    pub fn free(&self) -> Option<u64> {
        let left = self.limit.map(|limit| limit.left());
        self.available.into_iter().chain(left).min()
    }
}

/// Memory that this process can take now, in bytes. `None` where the system does not report it.
pub fn available_bytes() -> Option<u64> {
    Memory::now().free()
}

/// The most memory that this process has had resident, in bytes. `None` where `/proc` does not report it.
pub fn peak_resident_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Bytes of a page of memory. Android's are 4 or 16 KiB.
pub fn page_bytes() -> Option<u64> {
    #[cfg(unix)]
    // SAFETY: the call takes a number and touches no memory.
    return u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok();
    #[cfg(not(unix))]
    None
}

/// The value of a line like `VmHWM:      1234 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A size for people: `1.24 GB`, `350 MB`, `12 kB` (powers of ten).
pub fn human_bytes(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.2} GB", bytes as f64 / 1e9),
        1_000_000.. => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{} kB", bytes.div_ceil(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc_lines() {
        let text = "Name:\tgenerate\nVmPeak:\t  900 kB\nVmHWM:\t   12 kB\n";
        assert_eq!(field(text, "VmHWM:"), Some(12 * 1024));
        assert_eq!(field(text, "VmSwap:"), None);
        assert_eq!(field("VmHWM: many kB", "VmHWM:"), None);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(human_bytes(1_236_000_000), "1.24 GB");
        assert_eq!(human_bytes(3_900_000), "4 MB");
        assert_eq!(human_bytes(1), "1 kB");
    }

    #[test]
    fn what_is_free_is_the_least_of_what_machine_and_group_have() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let read = || Memory::read(&dir.path().join("proc"), &dir.path().join("cg"));
        assert_eq!(read(), Memory { total: None, available: None, limit: None });
        assert_eq!(read().free(), None);
        put("proc/meminfo", "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 5000 kB\n");
        assert_eq!(read().free(), Some(5000 << 10));
        put("proc/self/cgroup", "0::/app/job\n");
        put("cg/app/memory.max", "3072000\n");
        put("cg/app/memory.current", "2048000\n");
        put("cg/app/memory.stat", "anon 1048000\ninactive_file 600000\nactive_file 400000\n");
        // The files' pages can be read again: a million of the two taken does not count.
        assert_eq!(read().free(), Some(2_024_000));
        put("cg/app/job/memory.max", "max\n");
        assert_eq!(read().free(), Some(2_024_000), "the group above has the limit");
        put("cg/app/job/memory.max", "1000000\n");
        put("cg/app/job/memory.current", "1500000\n");
        assert_eq!(read().free(), Some(0), "more is taken than is allowed");
        put("cg/app/job/memory.max", "99999999999\n");
        put("cg/app/memory.max", "99999999999\n");
        assert_eq!(read().limit, None, "a limit above the machine's memory is none");
    }
}
