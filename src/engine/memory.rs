//! How much memory there is, and how much this process has taken, as Linux and Android tell it.

use std::fs;

/// The most memory that this process has had resident, in bytes. `None` where `/proc` does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Memory that can be taken without swapping, in bytes. `None` where `/proc` does not tell.
pub fn available_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
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
}
