//! Quantized matrix kernels on AMX: its tile registers make the exact dot products of a block, AVX-512 adds them up
//! in the order that every instruction set keeps.
//!
//! The layout of a Q8_0 tile is that of a tile register. Nibbles become bytes in a buffer, a batch of blocks at a
//! time, which then serves all activation rows of the group.

use std::arch::x86_64::*;

use super::super::isa::{Amx, Avx512};
use super::amx::{Dots, ROWS, TileRegisters};
use super::packed::{PackedTiles, Q4_BYTES, Q8_BYTES, QuantizedBlock, QuantizedRows, TileLayout};
use super::simd::Simd;
use super::{Outputs, TILE, codes};
use crate::quant::tiles::SCALES;

/// Activation rows of a group at most.
pub(super) const GROUP: usize = 2 * ROWS;

/// Activation rows of a group at least.
pub(super) const LEAST: usize = ROWS;

const _: () = assert!(LEAST <= codes::WIDEST + 1 && super::GROUP <= codes::WIDEST);

/// Blocks that are unpacked at a time: they and their dot products stay in the first-level cache.
const BATCH: usize = 16;

/// Pairs of blocks that the products are ahead of the sums, since what a tile register has stored can be read only
/// when it has reached the cache.
const AHEAD: usize = 2;

/// Pairs of blocks that there is room for the products of.
const RING: usize = 4;

/// What a kernel works in.
#[repr(align(64))]
struct Work {
    weights: [[u8; Q8_BYTES]; BATCH],
    dots: [[Dots; 2]; RING],
}

/// Tiles of Q8_0 rows against a group of at least [`LEAST`] activation rows.
#[inline(always)]
pub(super) fn tiles_q8_0(
    a: Amx,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    self::tiles::<1, Q8_BYTES>(a, tiles, x, put);
}

/// As [`tiles_q8_0`], of Q4_0.
#[inline(always)]
pub(super) fn tiles_q4_0(
    a: Amx,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    self::tiles::<1, Q4_BYTES>(a, tiles, x, put);
}

/// As [`tiles_q8_0`], of Q4_1.
#[inline(always)]
pub(super) fn tiles_q4_1(
    a: Amx,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    self::tiles::<2, Q4_BYTES>(a, tiles, x, put);
}

/// `HEADS` and `BYTES` are the format's: vectors of scales, and bytes of quants, a block.
#[inline(always)]
fn tiles<const HEADS: usize, const BYTES: usize>(
    a: Amx,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    let Some(last) = x.width.min(GROUP).checked_sub(ROWS) else { return };
    let blocks = tiles.layout.blocks();
    let mut work = Work { weights: [[0; Q8_BYTES]; BATCH], dots: [[Dots([[0; TILE]; ROWS]); 2]; RING] };
    let registers = TileRegisters::configure(a);
    for (t, tile) in tiles.each() {
        let mut out = [[0.0; TILE]; GROUP];
        for from in (0..blocks).step_by(BATCH) {
            let batch =
                Batch::<HEADS, BYTES> { a, layout: tiles.layout, tile, from, to: blocks.min(from + BATCH) };
            batch.unpack(&mut work.weights);
            let (sums, _) = out.as_chunks_mut::<ROWS>();
            batch.add(&registers, x, 0, &mut work, &mut sums[0]);
            if last > 0 {
                batch.add(&registers, x, last, &mut work, &mut sums[1]);
            }
        }
        if last > 0 {
            // The second sixteen rows are the group's last, and may have some in common with the first.
            out.copy_within(ROWS.., last);
        }
        put(t, &out);
    }
}

/// Blocks `from..to` of a tile.
struct Batch<'a, const HEADS: usize, const BYTES: usize> {
    a: Amx,
    layout: &'a TileLayout,
    tile: &'a [u8],
    from: usize,
    to: usize,
}

impl<'a, const HEADS: usize, const BYTES: usize> Batch<'a, HEADS, BYTES> {
    /// Brings 4-bit quants into the form of 8-bit ones.
    #[inline(always)]
    fn unpack(&self, weights: &mut [[u8; Q8_BYTES]; BATCH]) {
        for (b, out) in (self.from..self.to).zip(weights) {
            let Some((_, w)) = self.layout.block::<HEADS, BYTES>(self.tile, b) else { return };
            if let Some(w) = nibbles(w) {
                // The stored quants of Q4_0 are 8 too large.
                unpack(self.a, w, if HEADS == 1 { -8 } else { 0 }, out);
            }
        }
    }

    /// The 8-bit quants of a block of the batch.
    #[inline(always)]
    fn weights<'w>(&self, b: usize, unpacked: &'w [[u8; Q8_BYTES]; BATCH]) -> Option<&'w [u8; Q8_BYTES]>
    where
        'a: 'w,
    {
        let (_, w) = self.layout.block::<HEADS, BYTES>(self.tile, b)?;
        w.first_chunk().or(unpacked.get(b - self.from))
    }

    /// Adds the batch's products with the sixteen rows from row `at` of the group on to their sums.
    #[inline(always)]
    fn add(
        &self,
        registers: &TileRegisters,
        x: &QuantizedRows<'_>,
        at: usize,
        work: &mut Work,
        sums: &mut [[f32; TILE]; ROWS],
    ) {
        let s = self.a.avx512();
        let mut acc = [s.splat(0.0); ROWS];
        for i in 0..ROWS {
            acc[i] = s.load(&sums[i]);
        }
        let pairs = (self.to - self.from).div_ceil(2);
        for pair in 0..pairs + AHEAD {
            if pair < pairs {
                let b = self.from + 2 * pair;
                let (Some(x0), Some(w0)) = (x.block::<ROWS>(b, at), self.weights(b, &work.weights)) else {
                    return;
                };
                let dots = &mut work.dots[pair % RING];
                if b + 1 < self.to {
                    let (Some(x1), Some(w1)) =
                        (x.block::<ROWS>(b + 1, at), self.weights(b + 1, &work.weights))
                    else {
                        return;
                    };
                    registers.products([x0.quants, x1.quants], [w0, w1], dots);
                } else {
                    registers.product(x0.quants, w0, &mut dots[0]);
                }
            }
            let Some(pair) = pair.checked_sub(AHEAD) else { continue };
            let b = self.from + 2 * pair;
            for (b, dots) in (b..self.to).zip(&work.dots[pair % RING]) {
                let Some((heads, _)) = self.layout.block::<HEADS, BYTES>(self.tile, b) else { return };
                let Some(x) = x.block::<ROWS>(b, at) else { return };
                add_block(s, heads, &x, dots, &mut acc);
            }
        }
        for i in 0..ROWS {
            s.store(acc[i], &mut sums[i]);
        }
    }
}

/// `acc = fma(dw * dx, dot as f32, acc)`, and of Q4_1 `acc = fma(m * dx, sum as f32, acc)`.
#[inline(always)]
fn add_block<const HEADS: usize>(
    s: Avx512,
    heads: &[[u8; SCALES]; HEADS],
    x: &QuantizedBlock<'_, ROWS>,
    dots: &Dots,
    acc: &mut [__m512; ROWS],
) {
    let d = s.load_f16(&heads[0]);
    let mut totals = [0.0; ROWS];
    if HEADS == 2 {
        // An offset is -8 times the sum, and a division by 8 is exact.
        s.store(s.mul(integers(s, x.offsets), s.splat(-0.125)), &mut totals);
    }
    for i in 0..ROWS {
        let dx = s.splat(x.scales[i]);
        acc[i] = s.fma(s.mul(d, dx), integers(s, &dots.0[i]), acc[i]);
        if HEADS == 2 {
            acc[i] = s.fma(s.mul(s.load_f16(&heads[HEADS - 1]), dx), s.splat(totals[i]), acc[i]);
        }
    }
}

/// Sixteen integers as f32.
#[inline(always)]
fn integers(_: Avx512, x: &[i32; TILE]) -> __m512 {
    // SAFETY: the token proves AVX-512F; the array is of the size that is read, and the load takes any alignment.
    unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(x.as_ptr().cast())) }
}

/// The quants of a block as those of a 4-bit format, if they are.
#[inline(always)]
fn nibbles<const BYTES: usize>(w: &[u8; BYTES]) -> Option<&[u8; Q4_BYTES]> {
    if BYTES == Q4_BYTES { w.first_chunk() } else { None }
}

/// Nibbles plus `offset` as bytes: the low ones are the first four runs of columns, the high ones the last four.
#[inline(always)]
fn unpack(_: Amx, w: &[u8; Q4_BYTES], offset: i8, out: &mut [u8; Q8_BYTES]) {
    let mut table = [0i8; 64];
    for (i, entry) in table.iter_mut().enumerate() {
        // A byte's six low bits choose: the nibble and two bits that do not matter.
        *entry = (i % 16) as i8 + offset;
    }
    // SAFETY: the token proves AVX-512 F, BW and VBMI; four loads and eight stores of 64 bytes stay within the
    // arrays, and take any alignment.
    unsafe {
        let table = _mm512_loadu_si512(table.as_ptr().cast());
        for g in 0..4 {
            let w = _mm512_loadu_si512(w.as_ptr().add(64 * g).cast());
            let low = _mm512_permutexvar_epi8(w, table);
            let high = _mm512_permutexvar_epi8(_mm512_srli_epi16::<4>(w), table);
            _mm512_storeu_si512(out.as_mut_ptr().add(64 * g).cast(), low);
            _mm512_storeu_si512(out.as_mut_ptr().add(64 * (g + 4)).cast(), high);
        }
    }
}
