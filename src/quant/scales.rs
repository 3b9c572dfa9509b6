//! How the scales of a long block's groups are stored: the opposite of [`anatomy::scales`](super::anatomy::scales).

use super::anatomy::{Anatomy, GROUPS};
use crate::core::BlockFormat;

/// Factors, scales and minima of a block, of as many groups as the format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredScales {
    /// Bits of the f16 factor.
    pub factor: u16,
    /// Bits of the f16 factor of the minima.
    pub min_factor: u16,
    /// The scales.
    pub scale: [i8; GROUPS],
    /// The minima.
    pub min: [i8; GROUPS],
}

/// Writes them into a block whose bytes for them were zero.
///
/// # Panics
/// If the block is shorter than its format asks for.
pub(super) fn write_scales(format: BlockFormat, scales: &StoredScales, block: &mut [u8]) {
    let Anatomy { factors: (at, len), scales: (start, _), .. } = Anatomy::of(format);
    block[at..at + 2].copy_from_slice(&scales.factor.to_le_bytes());
    let StoredScales { scale, min, .. } = scales;
    match format {
        BlockFormat::Q2K | BlockFormat::Q4K | BlockFormat::Q5K => {
            block[at + len - 2..at + len].copy_from_slice(&scales.min_factor.to_le_bytes());
        }
        _ => {}
    }
    let (factors, bytes) = if format == BlockFormat::Iq4Xs {
        block.split_at_mut(start)
    } else {
        (Default::default(), &mut block[start..])
    };
    match format {
        BlockFormat::Q4K | BlockFormat::Q5K => {
            for j in 0..8 {
                let (scale, min) = (scale[j] as u8, min[j] as u8);
                if j < 4 {
                    bytes[j] |= scale;
                    bytes[j + 4] |= min;
                } else {
                    bytes[j + 4] = scale & 15 | (min & 15) << 4;
                    bytes[j - 4] |= scale >> 4 << 6;
                    bytes[j] |= min >> 4 << 6;
                }
            }
        }
        BlockFormat::Q2K => {
            for g in 0..GROUPS {
                bytes[g] = scale[g] as u8 | (min[g] as u8) << 4;
            }
        }
        BlockFormat::Q3K => {
            for (g, &scale) in scale.iter().enumerate() {
                let stored = (scale + 32) as u8;
                bytes[g % 8] |= (stored & 15) << (g / 8 * 4);
                bytes[8 + g % 4] |= stored >> 4 << (g / 4 * 2);
            }
        }
        BlockFormat::Q6K => {
            for (byte, &scale) in bytes.iter_mut().zip(scale) {
                *byte = scale as u8;
            }
        }
        BlockFormat::Iq4Xs => {
            for (j, &scale) in scale[..8].iter().enumerate() {
                let stored = (scale + 32) as u8;
                bytes[j / 2] |= (stored & 15) << (j % 2 * 4);
                factors[2 + j / 4] |= stored >> 4 << (j % 4 * 2);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::anatomy;

    #[test]
    fn stored_scales_come_back() {
        use BlockFormat::{Iq4Xs, Q2K, Q3K, Q4K, Q5K, Q6K};
        for (format, groups, least, largest) in [
            (Q2K, 16, 0, 15),
            (Q4K, 8, 0, 63),
            (Q5K, 8, 0, 63),
            (Q3K, 16, -32, 31),
            (Iq4Xs, 8, -32, 31),
            (Q6K, 16, -128, 127),
        ] {
            let mut n = 12_345u32;
            let mut next = || {
                n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (least + (n >> 8) as i32 % (largest - least + 1)) as i8
            };
            for _ in 0..200 {
                let stored = StoredScales {
                    factor: 0x1234,
                    min_factor: 0x4321,
                    scale: std::array::from_fn(|_| next()),
                    min: std::array::from_fn(|_| next()),
                };
                let mut block = [0; 256];
                write_scales(format, &stored, &mut block);
                let Anatomy { factors, scales, .. } = Anatomy::of(format);
                let factors = &block[factors.0..factors.0 + factors.1];
                let bytes = &block[scales.0..scales.0 + scales.1];
                let back = anatomy::scales(format, factors, bytes);
                assert_eq!(factors[..2], [0x34, 0x12]);
                for g in 0..GROUPS {
                    assert_eq!(back.scale[g], stored.scale[g * groups / 16], "{format:?} {g}");
                    if anatomy::has_minima(format) {
                        assert_eq!(back.min[g], stored.min[g * groups / 16], "{format:?} {g}");
                        assert_eq!(factors[2..], [0x21, 0x43]);
                    }
                }
            }
        }
    }
}
