//! Bytes of codes on an instruction set.

use crate::quant::tiles::VECTOR;

/// How an instruction set makes codes out of the bytes of a tile.
pub(crate) trait CodeBytes: Copy {
    /// 64 bytes, of which each row has four: a run of codes, an i32, or two i16. Or those of some of the rows.
    type Q: Copy;

    fn load_codes(self, x: &[u8; VECTOR]) -> Self::Q;
    /// Shifts that may carry bits from one byte into the next.
    fn shr(self, q: Self::Q, n: u32) -> Self::Q;
    fn shl(self, q: Self::Q, n: u32) -> Self::Q;
    fn and(self, q: Self::Q, mask: u8) -> Self::Q;
    fn or(self, a: Self::Q, b: Self::Q) -> Self::Q;
    /// `a`, which has zeros there, with the bits of `b` that `mask` has.
    #[inline(always)]
    fn with_bits(self, a: Self::Q, b: Self::Q, mask: u8) -> Self::Q {
        self.or(a, self.and(b, mask))
    }
    /// Bytes, without carry.
    fn add_bytes(self, a: Self::Q, b: Self::Q) -> Self::Q;
    /// Bytes times three to the power of `n`, without carry; `n` is below 5.
    #[inline(always)]
    fn times_power_of_three(self, q: Self::Q, n: usize) -> Self::Q {
        let mut q = q;
        for _ in 0..n {
            q = self.add_bytes(q, self.add_bytes(q, q));
        }
        q
    }
    /// 1 where a byte, not negative, is at least `least`, else 0.
    fn at_least(self, q: Self::Q, least: u8) -> Self::Q;
    /// The entry of each byte, all below 16.
    fn lookup(self, q: Self::Q, table: &[i8; 16]) -> Self::Q;
}
