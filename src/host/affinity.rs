//! Which CPUs the calling thread may run on.

/// The CPUs that the calling thread may run on, in order; empty if the system does not say. Cpusets count: what they
/// take away is not among them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn get() -> Vec<usize> {
    let mut set = vec![0usize; MOST_CPUS / BITS];
    // SAFETY: the pointer and the size are those of `set`; 0 means the calling thread. It is the system call itself,
    // which C libraries wrap in a type that holds fewer CPUs than some machines have.
    let bytes = unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(set.as_slice()), set.as_mut_ptr())
    };
    if bytes <= 0 {
        return Vec::new();
    }
    (0..MOST_CPUS).filter(|cpu| set[cpu / BITS] >> (cpu % BITS) & 1 == 1).collect()
}

/// Lets the calling thread, and the threads that it starts from now on, run on `cpus` (in order) alone. Says
/// whether it is so: the set is read back, since a system may grant less (Android's cpusets do) or nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn set(cpus: &[usize]) -> bool {
    if cpus.is_empty() || cpus.iter().any(|&cpu| cpu >= MOST_CPUS) {
        return false;
    }
    let mut set = vec![0usize; MOST_CPUS / BITS];
    for &cpu in cpus {
        set[cpu / BITS] |= 1 << (cpu % BITS);
    }
    // SAFETY: the pointer and the size are those of `set`, which is only read; 0 means the calling thread.
    let status =
        unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(set.as_slice()), set.as_ptr()) };
    status == 0 && get() == cpus
}

/// As many as Linux can be built for.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST_CPUS: usize = 8192;

/// Bits of a word of the set, which is one of the system's `unsigned long`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BITS: usize = usize::BITS as usize;

/// Not known on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn get() -> Vec<usize> {
    Vec::new()
}

/// Not possible on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn set(_cpus: &[usize]) -> bool {
    false
}

/// CPUs as the kernel lists them: `0-3,8`.
pub fn list(cpus: &[usize]) -> String {
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
        assert!(!set(&[MOST_CPUS]));
        if !all.contains(&(MOST_CPUS - 1)) {
            assert!(!set(&[MOST_CPUS - 1]), "no machine of a test has so many");
        }
        assert_eq!(get(), all);
    }
}
