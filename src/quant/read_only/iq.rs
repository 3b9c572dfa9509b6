//! IQ1 to IQ3: codes that stand for vectors out of a table (ggml `block_iq1_s` to `block_iq3_s`).

use half::f16;

use super::grids;
use crate::core::K_BLOCK_LEN;
use crate::quant::anatomy::GROUPS;

/// What a block is made of: element `i` is `factor * scale[i / 16] * value[i]`. The product of scale and value is an integer
/// of 11 bits, so that the result is exact in f32.
pub(super) struct Parts {
    /// The block's f16 factor, times a power of two.
    pub factor: f32,
    /// Odd numbers of 1 to 31.
    pub scale: [u8; GROUPS],
    pub value: [i8; K_BLOCK_LEN],
}

impl Parts {
    fn new(factor: f32) -> Self {
        Self { factor, scale: [0; GROUPS], value: [0; K_BLOCK_LEN] }
    }

    /// Sets both scales of a group of 32.
    fn set_scale(&mut self, group: usize, bits: u8) {
        self.scale[2 * group..2 * group + 2].fill(odd(bits));
    }

    /// Sets the elements of vector `index` of `N`, of which those with a bit in `signs` are negative.
    fn set_vector<const N: usize>(&mut self, index: usize, magnitudes: &[i8; N], signs: u8) {
        for (j, (out, &magnitude)) in self.value[index * N..][..N].iter_mut().zip(magnitudes).enumerate() {
            *out = if signs >> j & 1 == 1 { -magnitude } else { magnitude };
        }
    }
}

/// The odd number that a few bits of scale stand for.
fn odd(bits: u8) -> u8 {
    2 * bits + 1
}

/// Signs of eight elements out of seven bits: the number of negative ones is even.
fn signs(bits: u32) -> u8 {
    let bits = bits as u8 & 127;
    bits | (bits.count_ones() as u8 & 1) << 7
}

fn half(block: &[u8]) -> f32 {
    f16::from_le_bytes([block[0], block[1]]).to_f32()
}

fn word(bytes: &[u8], i: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]])
}

/// 66 bytes: a factor; for each 32 elements four numbers of vectors, then 32 bits of signs (7 a vector) and scale (4).
pub(super) fn iq2_xxs(block: &[u8]) -> Parts {
    let mut parts = Parts::new(half(block) / 8.0);
    for (group, bytes) in block[2..].as_chunks::<8>().0.iter().enumerate() {
        let [a, b, c, d, rest @ ..] = bytes;
        let rest = u32::from_le_bytes(*rest);
        parts.set_scale(group, (rest >> 28) as u8);
        for (l, &index) in [a, b, c, d].into_iter().enumerate() {
            parts.set_vector(4 * group + l, &grids::IQ2_XXS[usize::from(index)], signs(rest >> (7 * l)));
        }
    }
    parts
}

/// 74 bytes: a factor; for each 8 elements 16 bits, the number of a vector (9) and signs (7); scales of 4 bits.
pub(super) fn iq2_xs(block: &[u8]) -> Parts {
    let mut parts = Parts::new(half(block) / 8.0);
    let (codes, scales) = block[2..].split_at(64);
    for v in 0..32 {
        let code = word(codes, v);
        parts.set_vector(v, &grids::IQ2_XS[usize::from(code & 511)], signs(u32::from(code >> 9)));
    }
    nibbles(&mut parts, scales);
    parts
}

/// 82 bytes: a factor; the lower 8 bits of 32 numbers of vectors; a byte of signs for each; their upper 2 bits; scales of 4
/// bits.
pub(super) fn iq2_s(block: &[u8]) -> Parts {
    let mut parts = Parts::new(half(block) / 8.0);
    let (low, rest) = block[2..].split_at(32);
    let (signs, rest) = rest.split_at(32);
    let (high, scales) = rest.split_at(8);
    for v in 0..32 {
        let index = usize::from(low[v]) | usize::from(high[v / 4] >> (2 * (v % 4)) & 3) << 8;
        parts.set_vector(v, &grids::IQ2_S[index], signs[v]);
    }
    nibbles(&mut parts, scales);
    parts
}

/// Scales of groups of 16, two to a byte.
fn nibbles(parts: &mut Parts, scales: &[u8]) {
    for (g, scale) in parts.scale.iter_mut().enumerate() {
        *scale = odd(scales[g / 2] >> (g % 2 * 4) & 15);
    }
}

/// 98 bytes: a factor; 64 numbers of vectors; for each 32 elements 32 bits of signs (7 for two vectors) and scale (4).
pub(super) fn iq3_xxs(block: &[u8]) -> Parts {
    let mut parts = Parts::new(half(block) / 4.0);
    let (indices, rest) = block[2..].split_at(64);
    for (group, rest) in rest.as_chunks::<4>().0.iter().enumerate() {
        let rest = u32::from_le_bytes(*rest);
        parts.set_scale(group, (rest >> 28) as u8);
        for l in 0..4 {
            let signs = signs(rest >> (7 * l));
            let first = 8 * group + 2 * l;
            parts.set_vector(first, &grids::IQ3_XXS[usize::from(indices[first])], signs);
            parts.set_vector(first + 1, &grids::IQ3_XXS[usize::from(indices[first + 1])], signs >> 4);
        }
    }
    parts
}

/// 110 bytes: a factor; the lower 8 bits of 64 numbers of vectors; their upper bits; 4 signs for each; scales of 4 bits for 32
/// elements.
pub(super) fn iq3_s(block: &[u8]) -> Parts {
    let mut parts = Parts::new(half(block));
    let (low, rest) = block[2..].split_at(64);
    let (high, rest) = rest.split_at(8);
    let (signs, scales) = rest.split_at(32);
    for v in 0..64 {
        let index = usize::from(low[v]) | usize::from(high[v / 8] >> (v % 8) & 1) << 8;
        parts.set_vector(v, &grids::IQ3_S[index], signs[v / 2] >> (v % 2 * 4));
    }
    for group in 0..8 {
        parts.set_scale(group, scales[group / 2] >> (group % 2 * 4) & 15);
    }
    parts
}

/// 50 bytes: a factor; the lower 8 bits of 32 numbers of vectors; for each 32 elements 16 bits: 3 upper bits of each number,
/// 3 of scale, the sign of an eighth that is added to all.
pub(super) fn iq1_s(block: &[u8]) -> Parts {
    let mut parts = Parts::new(half(block) / 8.0);
    let (low, rest) = block[2..].split_at(32);
    for group in 0..8 {
        let high = word(rest, group);
        parts.set_scale(group, (high >> 12 & 7) as u8);
        let eighth = if high >> 15 == 1 { -1 } else { 1 };
        for l in 0..4 {
            let v = 4 * group + l;
            let index = usize::from(low[v]) | usize::from(high >> (3 * l) & 7) << 8;
            parts.set_vector(v, &grids::IQ1[index].map(|value| value + eighth), 0);
        }
    }
    parts
}

/// 56 bytes: the lower 8 bits of 32 numbers of vectors; for each two of them a byte, of which a half is 3 upper bits of a
/// number and the sign of an eighth; four words with four scales of 3 bits each and a quarter of the factor.
pub(super) fn iq1_m(block: &[u8]) -> Parts {
    let (low, rest) = block.split_at(32);
    let (high, scales) = rest.split_at(16);
    let mut parts = Parts::new(f16::from_bits(iq1_m_factor(scales)).to_f32() / 8.0);
    for v in 0..32 {
        let high = high[v / 2] >> (v % 2 * 4) & 15;
        let eighth = if high >> 3 == 1 { -1 } else { 1 };
        let index = usize::from(low[v]) | usize::from(high & 7) << 8;
        parts.set_vector(v, &grids::IQ1[index].map(|value| value + eighth), 0);
    }
    for (g, scale) in parts.scale.iter_mut().enumerate() {
        *scale = odd((word(scales, g / 4) >> (3 * (g % 4)) & 7) as u8);
    }
    parts
}

/// Bits of the f16 factor in the four words of scales of IQ1_M: the upper 4 of each, the lowest ones first.
pub(in crate::quant) fn iq1_m_factor(scales: &[u8]) -> u16 {
    (0..4).fold(0, |bits, i| bits | word(scales, i) >> 12 << (4 * i))
}
