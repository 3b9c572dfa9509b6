//! Random numbers that are the same on every machine and in every version.

use rand::rngs::ChaCha20Rng;
use rand::{Rng as _, SeedableRng as _};

/// A source of uniform random numbers.
pub trait RandomSource {
    /// An integer below 2^53, each equally likely.
    fn next_bits53(&mut self) -> u64;
}

/// ChaCha with 20 rounds, counter and stream starting at 0.
///
/// The 32-byte key is made of four words of SplitMix64 (Steele et al., OOPSLA 2014) started at the seed, each
/// little-endian. A draw takes two 32-bit words of the key stream, the first one the lower half, and keeps
/// the upper 53 bits.
#[derive(Debug)]
pub struct SeededRng(ChaCha20Rng);

impl SeededRng {
    /// The generator for a seed.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        let mut state = seed;
        for word in key.chunks_exact_mut(8) {
            word.copy_from_slice(&splitmix64(&mut state).to_le_bytes());
        }
        Self(ChaCha20Rng::from_seed(key))
    }

    /// The generator for a seed, after its first `draws` numbers.
    pub fn at(seed: u64, draws: u64) -> Self {
        let mut rng = Self::new(seed);
        rng.0.set_word_pos(u128::from(draws) * WORDS);
        rng
    }

    /// How many numbers were drawn, from the seed's first one on.
    pub fn draws(&self) -> u64 {
        (self.0.get_word_pos() / WORDS) as u64
    }
}

/// Words of the key stream that a draw takes.
const WORDS: u128 = 2;

impl RandomSource for SeededRng {
    fn next_bits53(&mut self) -> u64 {
        let low = u64::from(self.0.next_u32());
        let high = u64::from(self.0.next_u32());
        (high << 32 | low) >> 11
    }
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_numbers() {
        // Test vector of the reference implementation (Vigna) for the state 1234567.
        let mut state = 1_234_567;
        let words: [u64; 3] = std::array::from_fn(|_| splitmix64(&mut state));
        assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_zero_key_gives_the_key_stream_of_rfc_8439() {
        // RFC 8439, A.1, test vector 1: 76 b8 e0 ad a0 f1 3d 90 40 5d 6a e5 ...
        let mut rng = SeededRng(ChaCha20Rng::from_seed([0; 32]));
        assert_eq!(rng.next_bits53(), 0x903d_f1a0_ade0_b876 >> 11);
    }

    #[test]
    fn draws_of_a_seed_never_change() {
        // From an implementation of this page in another language. Draw 33 begins the fifth block.
        let mut rng = SeededRng::new(42);
        let draws: [u64; 40] = std::array::from_fn(|_| rng.next_bits53());
        assert_eq!(
            draws[..4],
            [0x1_33ec_dafd_85b2, 0x1c_8363_9e1e_0105, 0x5_87a2_c734_d712, 0x13_eb3c_4ac0_c122]
        );
        assert_eq!(draws[32..34], [0x13_e29e_4c82_2a4b, 0x2_aa4a_6e4d_6c1c]);
        assert_eq!(draws[39], 0x2_09be_0fc4_c6a1);
        assert_eq!(SeededRng::new(u64::MAX).next_bits53(), 0x144a1b4e867613);
        for (i, draw) in draws.into_iter().enumerate() {
            let mut later = SeededRng::at(42, i as u64);
            assert_eq!((later.draws(), later.next_bits53(), later.draws()), (i as u64, draw, i as u64 + 1));
        }
    }

    #[test]
    fn draws_are_uniform() {
        let mut counts = [0_i32; 16];
        for seed in 0..1000 {
            let mut rng = SeededRng::new(seed);
            for _ in 0..16 {
                counts[(rng.next_bits53() >> 49) as usize] += 1;
            }
        }
        // Chi-square with 15 degrees of freedom: 37.7 is exceeded once in a thousand.
        let chi2: f64 = counts.iter().map(|&c| f64::from(c - 1000).powi(2) / 1000.0).sum();
        assert!(chi2 < 37.7, "{chi2}: {counts:?}");
    }
}
