//! What was measured where and when, for files of results.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The commit that the program was built from, where the build was given it (`LLM_RS2_COMMIT` in the
/// environment), else `unknown`.
pub const COMMIT: &str = match option_env!("LLM_RS2_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The processor's name, as Linux and Android report it.
pub fn cpu_name() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    name_in(&cpuinfo)
        .or_else(|| fs::read_to_string("/proc/device-tree/model").ok())
        .map(|name| name.trim_matches(['\0', ' ', '\n']).to_owned())
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// x86 has "model name", arm64's older kernels have "Hardware".
fn name_in(cpuinfo: &str) -> Option<String> {
    ["model name", "Hardware"].into_iter().find_map(|key| {
        let line = cpuinfo.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    })
}

/// The time now, like `2026-08-01T12:00:00Z`.
pub fn now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()))
}

/// The time now in nanoseconds since 1970, to compare samples of other programs with a measurement.
pub fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
}

/// Seconds since 1970 as a date and a time. Days become a date by counting from 1 March of the year 0, so
/// that the leap day is the last of its year, in periods of 400 years (146,097 days).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (400 * era + year, if month < 10 { month + 3 } else { month - 9 });
    let year = year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
        // As `date -u -d @N` gives them.
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(utc(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn processors_are_named() {
        assert_eq!(name_in("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n").unwrap(), "Fast CPU @ 3 GHz");
        assert_eq!(name_in("processor: 0\nHardware\t: Some SoC\n").unwrap(), "Some SoC");
        assert_eq!(name_in("processor: 0\n"), None);
    }
}
