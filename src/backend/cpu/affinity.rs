//! Which CPUs the calling thread may run on.

/// The CPUs that the calling thread may run on, in order; empty if the system does not say.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn get() -> Vec<usize> {
    // SAFETY: an all-zero `cpu_set_t` is a valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer and the size are those of `set`; 0 means the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: `cpu` is below the number of bits in the set.
    (0..CPUS).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Lets the calling thread, and the threads that it starts from now on, run on `cpus` (in order) alone. Says
/// whether it is so: the set is read back, since a system may grant less (Android's cpusets do) or nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn set(cpus: &[usize]) -> bool {
    if cpus.is_empty() || cpus.iter().any(|&cpu| cpu >= CPUS) {
        return false;
    }
    // SAFETY: an all-zero `cpu_set_t` is a valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        // SAFETY: `cpu` is below the number of bits in the set, as was checked above.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the pointer and the size are those of `set`, which is only read; 0 means the calling thread.
    let done = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } == 0;
    done && get() == cpus
}

/// Bits of a `cpu_set_t`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CPUS: usize = 8 * size_of::<libc::cpu_set_t>();

/// Not known on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn get() -> Vec<usize> {
    Vec::new()
}

/// Not possible on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn set(_cpus: &[usize]) -> bool {
    false
}

/// CPUs as the kernel lists them: `0-3,8`.
pub(super) fn list(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_listed_in_runs() {
        assert_eq!(list(&[0, 1, 2, 3, 8]), "0-3,8");
        assert_eq!(list(&[5]), "5");
        assert_eq!(list(&[1, 3, 4]), "1,3-4");
        assert_eq!(list(&[]), "");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_stays_where_it_was_put_and_its_neighbours_are_free() {
        let all = get();
        assert!(!all.is_empty());
        let last = all[all.len() - 1];
        std::thread::spawn(move || {
            assert!(set(&[last]));
            assert_eq!(get(), [last]);
            let child = std::thread::spawn(get).join().unwrap();
            assert_eq!(child, [last]);
        })
        .join()
        .unwrap();
        assert_eq!(get(), all);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_system_refuses_changes_nothing() {
        let all = get();
        assert!(!set(&[]));
        assert!(!set(&[CPUS]));
        if !all.contains(&(CPUS - 1)) {
            assert!(!set(&[CPUS - 1]), "no machine of a test has so many");
        }
        assert_eq!(get(), all);
    }
}
