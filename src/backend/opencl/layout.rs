//! How the rows of a matrix are laid out in the device's memory (`kernels/layout.cl` describes it).

use crate::core::{BLOCK_LEN, BlockFormat, DType, K_BLOCK_LEN};
use crate::quant::anatomy::{self, Anatomy, Codes};

/// Rows of a tile.
pub(super) const TILE: usize = 64;

/// Bytes of a word, the unit of the block formats.
const WORD: usize = 4;

/// Columns whose codes are a byte each of a word.
const RUN: usize = 4;

/// Columns that the kernels read together, whatever the format.
const READ: usize = BLOCK_LEN;

/// The most words of a block: those of a block of 256 elements of one byte.
const MOST_WORDS: usize = K_BLOCK_LEN / WORD;

/// How the rows of a matrix are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub dtype: DType,
    /// Rows side by side.
    pub wide: usize,
    /// Units of a row.
    pub units: usize,
    pub unit_bytes: usize,
    /// Blocks of 32 columns of a row.
    pub blocks: usize,
    /// What a row has in the buffer of factors, and how many bytes each of these takes.
    heads: usize,
    each_head: usize,
}

impl Layout {
    /// `None` for types that are no weights, and sizes that the kernels cannot count.
    pub fn new(dtype: DType, rows: usize, cols: usize) -> Option<Self> {
        let wide = if rows == 1 && dtype == DType::F32 { 1 } else { TILE };
        let layout = match (dtype.float_format(), dtype.block_format()) {
            (Some(_), _) => {
                let (unit_bytes, blocks) = (dtype.block_bytes(), cols.div_ceil(READ));
                Self { dtype, wide, units: cols, unit_bytes, blocks, heads: 0, each_head: 0 }
            }
            (None, Some(format)) => {
                let (stored, factors) = (cols.div_ceil(dtype.block_len()), Anatomy::of(format).factors.1);
                let each_head = factors.min(2);
                Self {
                    dtype,
                    wide,
                    units: stored.checked_mul((dtype.block_bytes() - factors) / WORD)?,
                    unit_bytes: WORD,
                    blocks: stored.checked_mul(dtype.block_len() / READ)?,
                    heads: stored.checked_mul(factors / each_head)?,
                    each_head,
                }
            }
            (None, None) => return None,
        };
        let counts = [rows.checked_next_multiple_of(wide)?, layout.units, layout.tile_bytes()?];
        counts.iter().all(|&n| u32::try_from(n).is_ok()).then_some(layout)
    }

    pub fn tile_bytes(&self) -> Option<usize> {
        self.units.checked_mul(self.unit_bytes)?.checked_mul(self.wide)
    }

    /// Bytes of the factors of a tile.
    pub fn head_bytes(&self) -> usize {
        self.heads * self.each_head * self.wide
    }

    /// Puts a row, stored as its format has it, into lane `lane` of a tile.
    pub fn put(&self, row: &[u8], lane: usize, units: &mut [u8], heads: &mut [u8]) {
        let mut put = |u: usize, unit: &[u8]| {
            units[(u * self.wide + lane) * self.unit_bytes..][..self.unit_bytes].copy_from_slice(unit);
        };
        let Some(format) = self.dtype.block_format() else {
            row.chunks_exact(self.unit_bytes).enumerate().for_each(|(u, unit)| put(u, unit));
            return;
        };
        let (at, factors) = Anatomy::of(format).factors;
        let (each_head, bytes) = (self.each_head, self.dtype.block_bytes());
        let (heads_each, words_each) = (factors / each_head, (bytes - factors) / WORD);
        let mut words = [0u32; MOST_WORDS];
        for (b, block) in row.chunks_exact(bytes).enumerate() {
            for (h, head) in block[at..at + factors].chunks_exact(each_head).enumerate() {
                heads[((b * heads_each + h) * self.wide + lane) * each_head..][..each_head]
                    .copy_from_slice(head);
            }
            let words = &mut words[..words_each];
            words.fill(0);
            to_words(format, self.dtype.block_len(), block, words);
            for (u, word) in words.iter().enumerate() {
                put(b * words_each + u, &word.to_le_bytes());
            }
        }
    }
}

/// What a block of `len` elements has besides its factors, as the kernels read it (`kernels/formats/`). `words` were zero.
fn to_words(format: BlockFormat, len: usize, block: &[u8], words: &mut [u32]) {
    let Anatomy { factors, codes: kind, .. } = Anatomy::of(format);
    let (scales, words) = words.split_at_mut(scale_words(format));
    put_scales(format, block, scales);
    if let Codes::AsStored(bytes) = kind {
        let stored = block[factors.1..][..bytes].as_chunks().0;
        words.iter_mut().zip(stored).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
        return;
    }
    let mut codes = [0; K_BLOCK_LEN];
    let codes = &mut codes[..len];
    anatomy::read_codes(format, block, codes);
    match kind {
        Codes::AsStored(_) => {}
        Codes::Bits(low, high) => {
            let each = (low + high) as usize * READ / 32;
            for (codes, words) in codes.chunks_exact(READ).zip(words.chunks_exact_mut(each)) {
                let (lower, upper) = words.split_at_mut(low as usize * READ / 32);
                put_bits(codes, (0, low), lower);
                put_bits(codes, (low, high), upper);
            }
        }
        Codes::Trits => {
            for (codes, word) in codes.chunks(5 * RUN).zip(words) {
                let byte = |i: usize| {
                    anatomy::trits(std::array::from_fn(|n| codes.get(n * RUN + i).copied().unwrap_or(0)))
                };
                *word = u32::from_le_bytes(std::array::from_fn(byte));
            }
        }
    }
}

/// Puts `bits` bits of each code, from bit `from` on, into words, in which each run takes the next bits of four bytes.
fn put_bits(codes: &[u8], (from, bits): (u32, u32), words: &mut [u32]) {
    if bits == 0 {
        return;
    }
    let (each, mask) = (8 / bits, ((1u32 << bits) - 1) as u8);
    for (g, run) in (0..).zip(codes.as_chunks::<RUN>().0) {
        words[(g / each) as usize] |=
            u32::from_le_bytes(run.map(|code| code >> from & mask)) << (g % each * bits);
    }
}

/// Words of a block's scales.
fn scale_words(format: BlockFormat) -> usize {
    Anatomy::of(format).scales.1 / WORD
}

/// Puts the scales of a block of 256 into words, as the file of `kernels/formats/` has it that is named like the format.
fn put_scales(format: BlockFormat, block: &[u8], words: &mut [u32]) {
    let Anatomy { factors, scales, .. } = Anatomy::of(format);
    let stored = &block[scales.0..scales.0 + scales.1];
    let six = |v: i8, more: i8| u32::from((v + more) as u8 & 63);
    match format {
        // Four bits a group and more in the factors, or bytes.
        BlockFormat::Q2K | BlockFormat::Q6K | BlockFormat::Iq4Xs => {
            words.iter_mut().zip(stored.as_chunks().0).for_each(|(w, b)| *w = u32::from_le_bytes(*b));
        }
        // Two numbers of six bits for each 32 columns: eight of the twelve bits, then the other four.
        BlockFormat::Q3K | BlockFormat::Q4K | BlockFormat::Q5K => {
            let all = anatomy::scales(format, &block[factors.0..factors.0 + factors.1], stored);
            for s in 0..K_BLOCK_LEN / READ {
                let pair = if anatomy::has_minima(format) {
                    six(all.scale[2 * s], 0) | six(all.min[2 * s], 0) << 6
                } else {
                    six(all.scale[2 * s], 32) | six(all.scale[2 * s + 1], 32) << 6
                };
                words[s / WORD] |= (pair & 255) << (s % WORD * 8);
                words[2] |= pair >> 8 << (s * 4);
            }
        }
        BlockFormat::Q8_0 | BlockFormat::Q4_0 | BlockFormat::Q4_1 | BlockFormat::Q5_0 | BlockFormat::Q5_1 => {
        }
        BlockFormat::Iq4Nl | BlockFormat::Mxfp4 | BlockFormat::Tq1_0 | BlockFormat::Tq2_0 => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_heads_are_where_the_kernels_look_for_them() {
        // layout.cl: unit u of lane r at (u * wide + r), heads likewise.
        let layout = Layout::new(DType::Q4_1, 64, 64).unwrap();
        assert_eq!((layout.units, layout.tile_bytes(), layout.head_bytes()), (8, Some(2048), 2 * 2 * 2 * 64));
        let mut row = vec![0; 40];
        row[20..24].copy_from_slice(&[1, 2, 3, 4]);
        row[24 + 5] = 9;
        let (mut units, mut heads) = (vec![0; 2048], vec![0; 512]);
        layout.put(&row, 3, &mut units, &mut heads);
        let set = |b: &[u8]| -> Vec<(usize, u8)> {
            b.iter().copied().enumerate().filter(|&(_, b)| b != 0).collect()
        };
        // Block 1, byte 5: unit 4 + 1, byte 1.
        assert_eq!(set(&units), [((5 * 64 + 3) * 4 + 1, 9)]);
        let at = |head: usize| (head * 64 + 3) * 2;
        assert_eq!(set(&heads), [(at(2), 1), (at(2) + 1, 2), (at(3), 3), (at(3) + 1, 4)]);
        assert!(Layout::new(DType::F32, usize::MAX, 1).is_none());
        assert!(Layout::new(DType::F32, 1, usize::MAX).is_none());
        assert!(Layout::new(DType::I32, 1, 1).is_none());
    }

    #[test]
    fn a_weight_takes_as_many_bytes_as_in_its_file() {
        for dtype in DType::ALL.into_iter().filter(|d| d.is_weight()) {
            for cols in [256, 2048] {
                let layout = Layout::new(dtype, 64, cols).unwrap();
                let bytes = layout.tile_bytes().unwrap() + layout.head_bytes();
                assert_eq!(Some(bytes), dtype.bytes_for(64 * cols), "{dtype}");
                assert_eq!(layout.blocks, cols / 32, "{dtype}");
            }
        }
    }

    #[test]
    fn words_are_what_the_kernels_take_apart() {
        // Every bit of a block is in some word, and in no two: words of one bit each that are set add up to all of them.
        for dtype in DType::ALL.into_iter().filter(|d| d.is_quantized() && *d != DType::Tq1_0) {
            let (format, bytes) = (dtype.block_format().unwrap(), dtype.block_bytes());
            let Anatomy { factors, .. } = Anatomy::of(format);
            let words = |block: &[u8]| {
                let mut words = vec![0; (bytes - factors.1) / WORD];
                to_words(format, dtype.block_len(), block, &mut words);
                words
            };
            let none = words(&vec![0; bytes]);
            let mut seen = vec![0; none.len()];
            for bit in 0..8 * bytes {
                let mut block = vec![0; bytes];
                block[bit / 8] = 1 << (bit % 8);
                let changed: Vec<u32> = words(&block).iter().zip(&none).map(|(a, b)| a ^ b).collect();
                let own = !(factors.0..factors.0 + factors.1).contains(&(bit / 8));
                assert_eq!(
                    changed.iter().map(|w| w.count_ones()).sum::<u32>(),
                    u32::from(own),
                    "{dtype} bit {bit}"
                );
                seen.iter_mut().zip(changed).for_each(|(seen, changed)| *seen |= changed);
            }
            assert!(seen.iter().all(|&w| w == u32::MAX), "{dtype}");
        }
    }
}
