//! Formats with codes on sets that have products of their own for them.

use super::code_formats::CodeFormat;
use super::codes::{CodeBytes, WIDEST};
use super::packed::{PackedTiles, QuantizedRows, TileLayout};
use super::simd::Simd;
use super::{GROUP as GROUP_ROWS, Outputs, TILE};

/// A set with products of its own for formats with codes.
pub(crate) trait CodeRows: Simd + CodeBytes {
    /// `X` rows of the group, from row `at` on, against a tile. `X` is 1, 2, 4, 8 or [`super::GROUP`].
    fn code_rows<F: CodeFormat, const X: usize>(
        self,
        layout: &TileLayout,
        tile: &[u8],
        x: &QuantizedRows<'_>,
        at: usize,
    ) -> [Self::F; X];
}

/// Tiles against a group of activation rows by such products: `out[i][lane]`, tile by tile.
#[inline(always)]
pub(crate) fn by_rows<F: CodeFormat, L: CodeRows>(
    l: L,
    tiles: &PackedTiles<'_>,
    x: &QuantizedRows<'_>,
    put: &mut dyn FnMut(usize, &Outputs),
) {
    let mut out = [[0.0; TILE]; WIDEST];
    for (t, tile) in tiles.each() {
        let mut at = 0;
        while at < x.width.min(WIDEST) {
            let mut keep = |results: &[L::F]| {
                for (&r, out) in results.iter().zip(&mut out[at..]) {
                    l.store(r, out);
                }
                results.len()
            };
            at += match x.width - at {
                GROUP_ROWS.. => keep(&l.code_rows::<F, GROUP_ROWS>(tiles.layout, tile, x, at)),
                8.. => keep(&l.code_rows::<F, 8>(tiles.layout, tile, x, at)),
                4.. => keep(&l.code_rows::<F, 4>(tiles.layout, tile, x, at)),
                2.. => keep(&l.code_rows::<F, 2>(tiles.layout, tile, x, at)),
                _ => keep(&l.code_rows::<F, 1>(tiles.layout, tile, x, at)),
            };
        }
        put(t, &out);
    }
}
