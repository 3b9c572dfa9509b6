//! Keeping memory from being given back.

use std::io;

use super::human_bytes;

/// Memory that could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// More than the process may lock.
    #[error(
        "{} cannot be locked in memory: this process may lock {} (RLIMIT_MEMLOCK); raise that with 'ulimit -l', or do \
         without",
        human_bytes(*bytes),
        human_bytes(*limit)
    )]
    Limit {
        /// What was to be locked.
        bytes: u64,
        /// What may be.
        limit: u64,
    },
    /// Whatever else the system says.
    #[error("{} cannot be locked in memory: {source}", human_bytes(*bytes))]
    System {
        /// What was to be locked.
        bytes: u64,
        /// The answer.
        source: io::Error,
    },
}

/// Reads `parts` into memory, where they are mapped files, and keeps them there until they are unmapped. Gives how many
/// bytes these are.
///
/// # Errors
/// [`LockError`]: what is locked by then stays so.
#[cfg(unix)]
pub fn lock(parts: &[&[u8]]) -> Result<u64, LockError> {
    let bytes = parts.iter().map(|part| part.len() as u64).sum();
    let limit = raise_limit();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        // SAFETY: the range is that of a slice, whose pages are mapped; locking changes no byte of them.
        if unsafe { libc::mlock(part.as_ptr().cast(), part.len()) } != 0 {
            return Err(refusal(bytes, limit, io::Error::last_os_error()));
        }
    }
    Ok(bytes)
}

/// Not possible on this system.
#[cfg(not(unix))]
pub fn lock(parts: &[&[u8]]) -> Result<u64, LockError> {
    let bytes = parts.iter().map(|part| part.len() as u64).sum();
    Err(LockError::System { bytes, source: io::ErrorKind::Unsupported.into() })
}

/// Raises the soft limit to the hard one, which every process may do, and gives it.
#[cfg(unix)]
fn raise_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is that of a limit to be written.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return None;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: the pointer is that of a limit, which is only read.
        if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// The limit is what stands in the way, if it is less than what was asked for and the answer is one of those that it
/// gives: ENOMEM, EPERM where it is 0, EAGAIN on some systems.
#[cfg(unix)]
fn refusal(bytes: u64, limit: Option<u64>, source: io::Error) -> LockError {
    let limited = matches!(source.raw_os_error(), Some(libc::ENOMEM | libc::EPERM | libc::EAGAIN));
    match limit {
        Some(limit) if limited && limit < bytes => LockError::Limit { bytes, limit },
        _ => LockError::System { bytes, source },
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn locked_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmLck:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
    }

    #[test]
    fn what_is_locked_is_counted_by_the_system() {
        let bytes = vec![7u8; 300 << 10];
        let before = locked_kib();
        match lock(&[&bytes, &[]]) {
            Ok(locked) => {
                assert_eq!(locked, 300 << 10);
                // An emulator takes the call and counts nothing.
                let now = locked_kib();
                assert!(now == 0 || now >= before + 300, "{before} {now}");
            }
            Err(e) => assert!(e.to_string().contains("cannot be locked in memory"), "{e}"),
        }
    }

    #[test]
    fn the_limit_is_named_where_it_is_the_reason() {
        let of =
            |limit, errno| refusal(2_000_000_000, limit, io::Error::from_raw_os_error(errno)).to_string();
        let said = of(Some(8 << 20), libc::ENOMEM);
        assert!(said.starts_with("2.00 GB cannot be locked in memory: this process may lock 8 MB"), "{said}");
        assert!(said.contains("RLIMIT_MEMLOCK") && said.contains("ulimit -l"), "{said}");
        assert!(of(Some(0), libc::EPERM).contains("may lock 0 kB"));
        assert!(!of(None, libc::ENOMEM).contains("RLIMIT"), "no limit, so memory itself is short");
        assert!(!of(Some(1), libc::EINVAL).contains("RLIMIT"));
    }
}
