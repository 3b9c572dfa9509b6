//! What the machine can do at best: reading memory, and multiplying and adding.

use std::fs;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Limits of the machine, measured with a number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Threads that measured.
    pub threads: usize,
    /// Bytes a second that all threads together read from a buffer far larger than the caches.
    pub read: f64,
    /// Multiplications and additions of f32 a second, of all threads together, by fused multiply-add in
    /// registers.
    pub arithmetic: f64,
    /// The vectors that `arithmetic` was measured with: the widest that the machine has.
    pub vectors: &'static str,
}

/// Rounds of each measurement; the best one counts, since other work on the machine can only slow one down.
const ROUNDS: u32 = 5;

impl Limits {
    /// Measures for about `time` in all, with `threads` threads (0 counts as 1).
    pub fn measure(threads: usize, time: Duration) -> Self {
        let threads = threads.max(1);
        let round = time / (2 * ROUNDS);
        let words = (4 * last_level_cache()).max(256 << 20) / size_of::<u64>() / threads;
        let read = best(threads, round, &|| {
            // Written by the thread that reads it, so that its pages exist and are near.
            let part: Vec<u64> = (0..words as u64).collect();
            move || {
                black_box(part.iter().fold(0u64, |sum, &x| sum.wrapping_add(x)));
                (part.len() * size_of::<u64>()) as f64
            }
        });
        let (vectors, kernel) = widest();
        let arithmetic = best(threads, round, &|| move || kernel(20_000));
        Self { threads, read, arithmetic, vectors }
    }
}

/// Bytes of the largest cache of the first core, as Linux and Android report it, or else 32 MiB.
pub fn last_level_cache() -> usize {
    let size = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        parse_size(fs::read_to_string(path).ok()?.trim())
    };
    (0..8).filter_map(size).max().unwrap_or(32 << 20)
}

/// `32768K` as bytes.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: usize = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// The best of [`ROUNDS`] rounds of `round` each: what all threads together do in a second. `make` is called in
/// each thread and gives a piece of work that returns how much it has done.
fn best<W: FnMut() -> f64>(threads: usize, round: Duration, make: &(dyn Fn() -> W + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    let one = || {
        let mut work = make();
        work();
        (0..ROUNDS)
            .map(|_| {
                barrier.wait();
                let start = Instant::now();
                let mut done = 0.0;
                loop {
                    done += work();
                    let elapsed = start.elapsed();
                    if elapsed >= round {
                        break done / elapsed.as_secs_f64().max(1e-9);
                    }
                }
            })
            .collect::<Vec<f64>>()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut sums = one();
        for other in others {
            // A thread that panicked has nothing to add.
            for (sum, rate) in sums.iter_mut().zip(other.join().unwrap_or_default()) {
                *sum += rate;
            }
        }
        sums.into_iter().fold(0.0, f64::max)
    })
}

/// Does `steps` rounds of multiply-adds and returns how many multiplications and additions these were.
type Kernel = fn(steps: u32) -> f64;

/// Numbers that keep `x * FACTOR + TERM` of ordinary size: subnormal ones would measure something else.
const FACTOR: f32 = 0.999;
const TERM: f32 = 0.001;

fn widest() -> (&'static str, Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512 F was found a line above.
            return ("avx512", |steps| unsafe { x86::avx512(steps) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: FMA, which implies AVX, was found a line above.
            return ("avx2", |steps| unsafe { x86::fma(steps) });
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        // SAFETY: NEON was found a line above.
        return ("neon", |steps| unsafe { neon::fma(steps) });
    }
    ("scalar", plain)
}

/// For machines without a kernel of their own: separate multiplications and additions.
fn plain(steps: u32) -> f64 {
    let (a, b) = (black_box(FACTOR), black_box(TERM));
    let mut sums: [f32; 32] = std::array::from_fn(|i| black_box(1.0) + i as f32);
    for _ in 0..steps {
        for x in &mut sums {
            *x = *x * a + b;
        }
    }
    black_box(sums);
    2.0 * 32.0 * f64::from(steps)
}

/// Loops over as many registers as it takes to keep two units of four cycles' latency busy.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::{FACTOR, TERM};

    const REGISTERS: usize = 12;

    #[target_feature(enable = "fma")]
    pub fn fma(steps: u32) -> f64 {
        let (a, b) = (_mm256_set1_ps(black_box(FACTOR)), _mm256_set1_ps(black_box(TERM)));
        let mut sums = [_mm256_set1_ps(0.0); REGISTERS];
        for (i, x) in sums.iter_mut().enumerate() {
            *x = _mm256_set1_ps(black_box(i as f32));
        }
        for _ in 0..steps {
            for x in &mut sums {
                *x = _mm256_fmadd_ps(*x, a, b);
            }
        }
        black_box::<[__m256; REGISTERS]>(sums);
        2.0 * 8.0 * REGISTERS as f64 * f64::from(steps)
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512(steps: u32) -> f64 {
        let (a, b) = (_mm512_set1_ps(black_box(FACTOR)), _mm512_set1_ps(black_box(TERM)));
        let mut sums = [_mm512_set1_ps(0.0); REGISTERS];
        for (i, x) in sums.iter_mut().enumerate() {
            *x = _mm512_set1_ps(black_box(i as f32));
        }
        for _ in 0..steps {
            for x in &mut sums {
                *x = _mm512_fmadd_ps(*x, a, b);
            }
        }
        black_box::<[__m512; REGISTERS]>(sums);
        2.0 * 16.0 * REGISTERS as f64 * f64::from(steps)
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_f32};
    use std::hint::black_box;

    use super::{FACTOR, TERM};

    /// Enough for four units of four cycles.
    const REGISTERS: usize = 20;

    #[target_feature(enable = "neon")]
    pub fn fma(steps: u32) -> f64 {
        let (a, b) = (vdupq_n_f32(black_box(FACTOR)), vdupq_n_f32(black_box(TERM)));
        let mut sums = [vdupq_n_f32(0.0); REGISTERS];
        for (i, x) in sums.iter_mut().enumerate() {
            *x = vdupq_n_f32(black_box(i as f32));
        }
        for _ in 0..steps {
            for x in &mut sums {
                // The instruction adds to its target: a sum that grows slowly, never beyond what f32 can hold.
                *x = vfmaq_f32(*x, a, b);
            }
        }
        black_box::<[float32x4_t; REGISTERS]>(sums);
        2.0 * 4.0 * REGISTERS as f64 * f64::from(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_sizes_are_read() {
        assert_eq!(parse_size("32768K"), Some(32 << 20));
        assert_eq!(parse_size("2M"), Some(2 << 20));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("12X"), None);
        assert_eq!(parse_size("K"), None);
        assert!(last_level_cache() > 0);
    }

    #[test]
    fn work_is_summed_over_threads_and_the_best_round_counts() {
        // Each call does 5 units and takes at least 2 ms.
        let rate = best(3, Duration::from_millis(6), &|| {
            || {
                std::thread::sleep(Duration::from_millis(2));
                5.0
            }
        });
        assert!(rate > 0.0 && rate <= 3.0 * 5.0 / 0.002, "{rate}");
    }

    #[test]
    fn limits_are_positive_and_finite() {
        let limits = Limits::measure(2, Duration::from_millis(10));
        assert!(limits.read.is_finite() && limits.read > 0.0, "{limits:?}");
        assert!(limits.arithmetic.is_finite() && limits.arithmetic > 0.0, "{limits:?}");
    }
}
