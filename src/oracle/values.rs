//! The numbers that operations are tried with.

use crate::models::noise;

/// A kind of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Between -1 and 1.
    Random,
    /// Up to 30,000, near the end of what f16 holds.
    Large,
    /// Up to 1e-12; in caches, which may be f16, up to 1e-6.
    Tiny,
    /// Two thirds of them negative zeros.
    NegativeZero,
    /// Two thirds of them below the smallest normal number of f32 or f16.
    Denormal,
}

/// Scale of [`Values::Large`].
const LARGE: f32 = 3e4;

impl Values {
    /// Every kind.
    pub const ALL: [Values; 5] =
        [Values::Random, Values::Large, Values::Tiny, Values::NegativeZero, Values::Denormal];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Values::Random => "random",
            Values::Large => "large",
            Values::Tiny => "tiny",
            Values::NegativeZero => "negative-zero",
            Values::Denormal => "denormal",
        }
    }

    /// Activations.
    pub fn activations(self, seed: u64, len: usize) -> Vec<f32> {
        self.scaled(seed, len, 1e-12)
    }

    /// Keys and values.
    pub fn cached(self, seed: u64, len: usize) -> Vec<f32> {
        self.scaled(seed, len, 1e-6)
    }

    /// Queries. Those for large keys are small, so that scores keep an ordinary size: a softmax over huge scores
    /// hangs on the last bit of each, and no bound would hold for it.
    pub fn queries(self, seed: u64, len: usize) -> Vec<f32> {
        match self {
            Values::Large => noise(seed, len).map(|x| x / LARGE).collect(),
            _ => self.activations(seed, len),
        }
    }

    /// Weights: up to 0.05, but for every third (in [`Values::Large`] every 37th), which is of this kind.
    pub fn weights(self, seed: u64, len: usize) -> Vec<f32> {
        let odd = |i: usize| if self == Values::Large { i.is_multiple_of(37) } else { i % 3 == 1 };
        let change = |x: f32| match self {
            Values::Random => x,
            Values::Large => 600.0 * x,
            Values::Tiny => 1e-6 * x,
            Values::NegativeZero => -0.0,
            // Subnormal as f16, and some that are so as f32.
            Values::Denormal if x > 0.0 => 1e-5 * x,
            Values::Denormal => 1e-38 * x,
        };
        let weights = noise(seed, len).map(|x| 0.05 * x).enumerate();
        weights.map(|(i, x)| if odd(i) { change(x) } else { x }).collect()
    }

    fn scaled(self, seed: u64, len: usize, tiny: f32) -> Vec<f32> {
        let change = |i: usize, x: f32| match self {
            Values::Random => x,
            Values::Large => LARGE * x,
            Values::Tiny => tiny * x,
            Values::NegativeZero if !i.is_multiple_of(3) => -0.0,
            Values::Denormal if i % 3 == 1 => 1e-38 * x,
            Values::Denormal if i % 3 == 2 => 5e-5 * x,
            Values::NegativeZero | Values::Denormal => x,
        };
        noise(seed, len).enumerate().map(|(i, x)| change(i, x)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_what_its_name_says() {
        let all = |values: Values| values.activations(1, 999);
        assert!(all(Values::Large).iter().any(|x| x.abs() > 2e4));
        assert!(all(Values::Large).iter().all(|x| x.abs() < 65_504.0), "f16 holds them");
        assert!(all(Values::Tiny).iter().all(|x| x.abs() <= 1e-12));
        let zeros = all(Values::NegativeZero);
        assert_eq!(zeros.iter().filter(|x| x.to_bits() == 1 << 31).count(), 666);
        assert!(all(Values::Denormal).iter().filter(|x| x.is_subnormal()).count() > 300);
        let halves = Values::Denormal.cached(1, 999);
        let subnormal = |x: &&f32| x.abs() < 6.1e-5 && x.abs() > 6e-8;
        assert!(halves.iter().filter(subnormal).count() > 300, "as f16");
        assert!(Values::Denormal.weights(1, 999).iter().any(|x| x.is_subnormal()));
        let scores =
            Values::Large.queries(1, 9).iter().zip(all(Values::Large)).map(|(q, k)| q * k).sum::<f32>();
        assert!(scores.abs() <= 9.0);
    }
}
