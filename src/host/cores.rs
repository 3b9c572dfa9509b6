//! How many threads are worth having, and which cores they belong on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{affinity, read_number, read_text};

/// A core counts as fast from this share of the fastest core's clock on, in percent: big and prime cores of
/// a phone, not its little ones.
const FAST_CLOCK: u64 = 80;

/// The same of its capacity, which is clock times work in a cycle. Little cores have a third of a prime core's or less
/// also where their clock is nearly the same; older big cores beside a prime one have half.
const FAST_CAPACITY: u64 = 45;

/// Where Linux and Android describe the CPUs.
const ROOT: &str = "/sys/devices/system/cpu";

/// What the machine offers to the calling thread, and to those that it starts.
pub struct Machine {
    /// Logical CPUs that they may run on; empty if the system does not say.
    pub allowed: Vec<usize>,
    /// Those of them on fast cores.
    pub fast: Vec<usize>,
    /// Threads to use by default: one for each fast physical core.
    pub default_threads: usize,
}

impl Machine {
    /// This machine, as it is now.
    pub fn this() -> Self {
        let most = most_threads();
        let allowed = affinity::get();
        let (cores, fast) = fast_cores(Path::new(ROOT), &allowed).unwrap_or_else(|| (most, allowed.clone()));
        Self { allowed, fast, default_threads: cores.clamp(1, most) }
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

/// CPUs that the system describes alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Their numbers.
    pub cpus: Vec<usize>,
    /// The highest clock.
    pub max_khz: Option<u64>,
    /// How much they get done beside the machine's best core, which has 1024.
    pub capacity: Option<u64>,
    /// What they are: arm64's identification register, of which the bits that name maker and kind of core are kept.
    pub midr: Option<u32>,
}

/// All CPUs of this machine, whether this process may use them or not, in clusters.
pub fn clusters() -> Vec<Cluster> {
    clusters_in(Path::new(ROOT))
}

fn clusters_in(root: &Path) -> Vec<Cluster> {
    let present = read_text(&root.join("present")).and_then(|text| parse_cpu_list(&text));
    let mut clusters: Vec<Cluster> = Vec::new();
    for cpu in present.unwrap_or_default() {
        let dir = root.join(format!("cpu{cpu}"));
        // 0 is what a driver gives that does not know.
        let number = |file: &str| read_number(&dir.join(file)).filter(|&n| n > 0);
        let midr = read_text(&dir.join("regs/identification/midr_el1"));
        let midr = midr.and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        let one = Cluster {
            cpus: vec![cpu],
            max_khz: number("cpufreq/cpuinfo_max_freq"),
            capacity: number("cpu_capacity"),
            // Variant and revision do not matter, and the low 32 bits are all that is defined.
            midr: midr.map(|m| m as u32 & 0xff00_fff0),
        };
        match clusters.iter_mut().find(|c| **c == Cluster { cpus: c.cpus.clone(), ..one.clone() }) {
            Some(cluster) => cluster.cpus.push(cpu),
            None => clusters.push(one),
        }
    }
    clusters
}

/// The number of fast physical cores among `allowed` and their logical CPUs, as the tree under `root`
/// ([`ROOT`]) reports them; `None` if it reports nothing about one of them.
fn fast_cores(root: &Path, allowed: &[usize]) -> Option<(usize, Vec<usize>)> {
    // One logical CPU stands for its core: the lowest-numbered of its allowed siblings.
    let mut fast: BTreeSet<usize> = allowed.iter().map(|&cpu| representative(root, cpu, allowed)).collect();
    let known = root.join(format!("cpu{}", fast.first()?)).is_dir();
    let all = fast.clone();
    let mut reported = false;
    for (file, percent) in [("cpufreq/cpuinfo_max_freq", FAST_CLOCK), ("cpu_capacity", FAST_CAPACITY)] {
        let speed = |cpu: &usize| read_number(&root.join(format!("cpu{cpu}")).join(file));
        let Some(speeds) = all.iter().map(speed).collect::<Option<Vec<u64>>>() else { continue };
        let max = speeds.iter().copied().max()?;
        for (cpu, speed) in all.iter().zip(speeds) {
            if speed.saturating_mul(100) < max.saturating_mul(percent) {
                fast.remove(cpu);
            }
        }
        reported = true;
    }
    if fast.is_empty() {
        // Clock and capacity contradict each other: then neither is worth anything.
        fast = all;
    }
    let on_fast = |cpu: &usize| fast.contains(&representative(root, *cpu, allowed));
    // A machine that reports no speeds (most virtual ones) has cores of one kind.
    (reported || known).then(|| (fast.len(), allowed.iter().copied().filter(on_fast).collect()))
}

fn representative(root: &Path, cpu: usize, allowed: &[usize]) -> usize {
    let list = fs::read_to_string(root.join(format!("cpu{cpu}/topology/thread_siblings_list")));
    let siblings = list.ok().and_then(|text| parse_cpu_list(&text)).unwrap_or_default();
    siblings.into_iter().filter(|s| allowed.contains(s)).min().unwrap_or(cpu).min(cpu)
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
        assert_eq!(fast_cores(dir.path(), &[0, 1, 2, 3]), Some((2, vec![2, 3])));
    }

    #[test]
    fn little_cores_with_a_high_clock_are_little() {
        // A chip of two A76 at 2.2 GHz and six A55 at 2.0 GHz.
        let dir = tempfile::tempdir().unwrap();
        for cpu in 0..8 {
            let (khz, capacity) = if cpu < 6 { (2_000_000, 358) } else { (2_200_000, 1024) };
            put(dir.path(), format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), &format!("{khz}\n"));
            put(dir.path(), format!("cpu{cpu}/cpu_capacity"), &format!("{capacity}\n"));
        }
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(fast_cores(dir.path(), &all), Some((2, vec![6, 7])));
        // And a capacity that says the opposite of the clock is not believed, nor is the clock.
        for cpu in 0..8 {
            let (khz, capacity) = if cpu < 6 { (1_000_000, 1024) } else { (2_200_000, 100) };
            put(dir.path(), format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), &format!("{khz}\n"));
            put(dir.path(), format!("cpu{cpu}/cpu_capacity"), &format!("{capacity}\n"));
        }
        assert_eq!(fast_cores(dir.path(), &all), Some((8, all)));
    }

    #[test]
    fn clusters_are_cpus_that_are_described_alike() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(clusters_in(dir.path()), []);
        put(dir.path(), "present".into(), "0-3\n");
        for (cpu, midr, khz) in [
            (0, "0x00000000412fd050", 1_800_000),
            (1, "0x00000000411fd050", 1_800_000),
            (3, "0x00000000413fd0b0", 2_400_000),
        ] {
            put(dir.path(), format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), &format!("{khz}\n"));
            put(dir.path(), format!("cpu{cpu}/regs/identification/midr_el1"), midr);
        }
        put(dir.path(), "cpu3/cpu_capacity".into(), "1024");
        let cluster = |cpus: &[usize], max_khz, capacity, midr| Cluster {
            cpus: cpus.to_vec(),
            max_khz,
            capacity,
            midr,
        };
        assert_eq!(
            clusters_in(dir.path()),
            [
                cluster(&[0, 1], Some(1_800_000), None, Some(0x4100_d050)),
                cluster(&[2], None, None, None),
                cluster(&[3], Some(2_400_000), Some(1024), Some(0x4100_d0b0)),
            ]
        );
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
            "a sibling that is not allowed stands for no core"
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
