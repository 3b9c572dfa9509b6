//! How many threads are worth having, and which cores they belong on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::affinity;

/// A core counts as fast from this share of the fastest core's clock on, in percent: big and prime cores of
/// a phone, not its little ones.
const FAST_PERCENT: u64 = 80;

/// What the machine offers to the calling thread, and to those that it starts.
pub(super) struct Machine {
    /// Logical CPUs that they may run on; empty if the system does not say.
    allowed: Vec<usize>,
    /// Those of them on fast cores.
    fast: Vec<usize>,
    /// Threads to use unless told otherwise: one for each fast physical core.
    pub default_threads: usize,
}

impl Machine {
    /// This machine, as it is now.
    pub fn this() -> Self {
        let most = most_threads();
        let allowed = affinity::get();
        let (cores, fast) = fast_cores(Path::new("/sys/devices/system/cpu"), &allowed)
            .unwrap_or_else(|| (most, allowed.clone()));
        Self { allowed, fast, default_threads: cores.clamp(1, most) }
    }

    /// One with these CPUs and these fast ones among them.
    #[cfg(test)]
    pub fn of(allowed: Vec<usize>, fast: Vec<usize>) -> Self {
        Self { default_threads: fast.len(), allowed, fast }
    }

    /// The CPUs that so many threads belong on: the fast ones if these are enough, else all. Empty if it is not
    /// known which there are.
    pub fn cpus_for(&self, threads: usize) -> &[usize] {
        if threads <= self.fast.len() { &self.fast } else { &self.allowed }
    }

    /// Whether `cpus` are not all that there are, so that somebody has to say so to the system.
    pub fn is_choice(&self, cpus: &[usize]) -> bool {
        !cpus.is_empty() && cpus.len() < self.allowed.len()
    }
}

/// Threads that can run at a time: one for each CPU that the calling thread may use, as far as a container's share
/// of them allows.
pub fn most_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The number of fast physical cores among `allowed` and their logical CPUs, as the tree under `root`
/// (`/sys/devices/system/cpu`) tells them; `None` if it tells nothing about one of them.
fn fast_cores(root: &Path, allowed: &[usize]) -> Option<(usize, Vec<usize>)> {
    // One logical CPU stands for its core: the lowest-numbered of its allowed siblings.
    let cores: BTreeSet<usize> = allowed.iter().map(|&cpu| representative(root, cpu, allowed)).collect();
    for file in ["cpufreq/cpuinfo_max_freq", "cpu_capacity"] {
        let speeds: Option<Vec<u64>> =
            cores.iter().map(|cpu| read_number(&root.join(format!("cpu{cpu}")).join(file))).collect();
        if let Some(speeds) = speeds {
            let max = speeds.iter().copied().max()?;
            let is_fast = |speed: u64| speed.saturating_mul(100) >= max.saturating_mul(FAST_PERCENT);
            let fast: BTreeSet<usize> =
                cores.iter().zip(speeds).filter(|&(_, speed)| is_fast(speed)).map(|(&cpu, _)| cpu).collect();
            let on_fast = |cpu: &usize| fast.contains(&representative(root, *cpu, allowed));
            return Some((fast.len(), allowed.iter().copied().filter(on_fast).collect()));
        }
    }
    // A machine that tells no speeds (most virtual ones) has cores of one kind.
    let known = root.join(format!("cpu{}", cores.first()?)).is_dir();
    known.then(|| (cores.len(), allowed.to_vec()))
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
        assert_eq!(fast_cores(dir.path(), &all), Some((4, vec![4, 5, 6, 7])));
        assert_eq!(
            fast_cores(dir.path(), &[0, 1, 2, 3]),
            Some((4, vec![0, 1, 2, 3])),
            "confined to the little cores, all are fast"
        );
        assert_eq!(fast_cores(dir.path(), &[0, 5, 7]), Some((2, vec![5, 7])));
    }

    #[test]
    fn capacity_stands_in_for_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, capacity) in [250, 250, 1024, 819].iter().enumerate() {
            put(dir.path(), format!("cpu{cpu}/cpu_capacity"), &capacity.to_string());
        }
        assert_eq!(fast_cores(dir.path(), &[0, 1, 2, 3]), Some((1, vec![2])));
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
        assert_eq!(fast_cores(dir.path(), &(0..8).collect::<Vec<_>>()), Some((4, (0..8).collect())));
        assert_eq!(
            fast_cores(dir.path(), &[4, 5]),
            Some((2, vec![4, 5])),
            "a sibling that is not allowed stands for nobody"
        );
    }

    #[test]
    fn strange_trees_do_not_hurt() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(fast_cores(dir.path(), &[0, 1]), None, "an empty tree");
        put(dir.path(), "cpu0/cpufreq/cpuinfo_max_freq".into(), "fast");
        put(dir.path(), "cpu0/topology/thread_siblings_list".into(), "0-99999999999");
        assert_eq!(fast_cores(dir.path(), &[0, 1]), Some((2, vec![0, 1])));
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
    fn threads_belong_on_the_fast_cores_as_long_as_these_are_enough() {
        let phone = Machine { allowed: (0..8).collect(), fast: vec![4, 5, 6, 7], default_threads: 4 };
        assert_eq!(phone.cpus_for(1), [4, 5, 6, 7]);
        assert_eq!(phone.cpus_for(4), [4, 5, 6, 7]);
        assert_eq!(phone.cpus_for(5), phone.allowed);
        assert!(phone.is_choice(phone.cpus_for(4)) && !phone.is_choice(phone.cpus_for(5)));
        let unknown = Machine { allowed: vec![], fast: vec![], default_threads: 2 };
        assert!(!unknown.is_choice(unknown.cpus_for(2)));
    }

    #[test]
    fn this_machine_has_at_least_one_core() {
        let machine = Machine::this();
        assert!((1..=most_threads()).contains(&machine.default_threads));
        assert!(machine.fast.iter().all(|cpu| machine.allowed.contains(cpu)));
    }
}
