//! XXH64 (Yann Collet, <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>), seed 0: finds accidents
//! at memory speed. It is no protection against a person who forges a file.

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

const STRIPE: usize = 32;

/// A checksum in the making.
#[derive(Clone, Debug)]
pub struct Checksum {
    lanes: [u64; 4],
    rest: [u8; STRIPE],
    rest_len: usize,
    total: u64,
}

impl Default for Checksum {
    fn default() -> Self {
        let lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        Self { lanes, rest: [0; STRIPE], rest_len: 0, total: 0 }
    }
}

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    sum.update(bytes);
    sum.finish()
}

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn stripe(lanes: &mut [u64; 4], bytes: &[u8; STRIPE]) {
    let (words, _) = bytes.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = round(*lane, u64::from_le_bytes(*word));
    }
}

impl Checksum {
    /// Takes in more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.total = self.total.wrapping_add(bytes.len() as u64);
        if self.rest_len > 0 {
            let taken = bytes.len().min(STRIPE - self.rest_len);
            let (now, later) = bytes.split_at(taken);
            self.rest[self.rest_len..self.rest_len + taken].copy_from_slice(now);
            self.rest_len += taken;
            bytes = later;
            if self.rest_len < STRIPE {
                return;
            }
            stripe(&mut self.lanes, &self.rest);
        }
        let (stripes, rest) = bytes.as_chunks::<STRIPE>();
        // A copy: kept in registers.
        let mut lanes = self.lanes;
        stripes.iter().for_each(|s| stripe(&mut lanes, s));
        self.lanes = lanes;
        self.rest[..rest.len()].copy_from_slice(rest);
        self.rest_len = rest.len();
    }

    /// The checksum of all that was taken in.
    pub fn finish(&self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut hash = if self.total < STRIPE as u64 {
            P5
        } else {
            let rotated = [a.rotate_left(1), b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)];
            let sum = rotated.into_iter().fold(0, u64::wrapping_add);
            self.lanes
                .into_iter()
                .fold(sum, |hash, lane| (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4))
        };
        hash = hash.wrapping_add(self.total);
        let (words, rest) = self.rest[..self.rest_len].as_chunks::<8>();
        for word in words {
            hash ^= round(0, u64::from_le_bytes(*word));
            hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        }
        let (halves, rest) = rest.as_chunks::<4>();
        for half in halves {
            hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(P1);
            hash = hash.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        }
        for &byte in rest {
            hash ^= u64::from(byte).wrapping_mul(P5);
            hash = hash.rotate_left(11).wrapping_mul(P1);
        }
        hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
        hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
        hash ^ (hash >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_reference_implementation() {
        for (text, expected) in [
            ("", 0xef46_db37_51d8_e999),
            ("a", 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
        ] {
            assert_eq!(checksum(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn any_cut_gives_the_same_value_and_any_bit_another() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * i % 251) as u8).collect();
        let whole = checksum(&bytes);
        for first in [0, 1, 31, 32, 33, 64, 100, 199] {
            for second in [first, first + 1, 150.max(first), 200] {
                let mut sum = Checksum::default();
                [&bytes[..first], &bytes[first..second.min(200)], &bytes[second.min(200)..]]
                    .iter()
                    .for_each(|part| sum.update(part));
                assert_eq!(sum.finish(), whole, "cut at {first} and {second}");
            }
        }
        for bit in 0..1600 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&changed), whole, "bit {bit}");
        }
    }
}
