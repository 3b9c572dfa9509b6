//! AMX's tile registers: 8-bit blocks of sixteen activation rows times those of a tile of weights.

use std::arch::asm;
use std::marker::PhantomData;

use super::super::isa::Amx;
use super::TILE;
use super::packed::Q8_BYTES;
use crate::core::BLOCK_LEN;

/// Activation rows of a product.
pub(super) const ROWS: usize = 16;

/// A block of sixteen activation rows.
pub(super) type Activations = [[i8; BLOCK_LEN]; ROWS];

/// Dot products of a block: `[activation row][weight row]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Dots(pub [[i32; TILE]; ROWS]);

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Registers 0 and 1 hold dot products, 2 and 3 activations, 4 and 5 weights.
static CONFIGURATION: Configuration = {
    let mut c =
        Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut i = 0;
    while i < 2 {
        (c.rows[i], c.row_bytes[i]) = (ROWS as u8, (4 * TILE) as u16);
        (c.rows[i + 2], c.row_bytes[i + 2]) = (ROWS as u8, BLOCK_LEN as u16);
        // A run of four columns of all weight rows is a register's row.
        (c.rows[i + 4], c.row_bytes[i + 4]) = ((BLOCK_LEN / 4) as u8, (4 * TILE) as u16);
        i += 1;
    }
    c
};

/// The tile registers of this thread, configured until it is dropped.
///
/// The configuration is always the same and no value stays in a register from one call to the next. So whatever
/// else the thread does meanwhile, a product reads and writes what its arguments lend; should something else
/// release the registers, the CPU refuses the next product.
pub(super) struct TileRegisters(PhantomData<*const ()>);

impl TileRegisters {
    #[inline(always)]
    pub fn configure(_: Amx) -> Self {
        // SAFETY: the token proves AMX; the configuration is valid for palette 1 and is in readable memory. The
        // registers are in use by no other code: compilers do not use them.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, preserves_flags),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
        Self(PhantomData)
    }

    /// The dot products of a block.
    #[inline(always)]
    pub fn product(&self, x: &Activations, w: &[u8; Q8_BYTES], out: &mut Dots) {
        // SAFETY: `self` comes from a proof of AMX. By the configuration the loads read 16 rows of 32 bytes and 8
        // of 64, and the store writes 16 of 64: the arguments' sizes.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tileloadd tmm2, [{x} + {short} * 1]",
                "tileloadd tmm4, [{w} + {long} * 1]",
                "tdpbssd tmm0, tmm2, tmm4",
                "tilestored [{out} + {long} * 1], tmm0",
                x = in(reg) x.as_ptr(),
                w = in(reg) w.as_ptr(),
                out = in(reg) out.0.as_mut_ptr(),
                short = in(reg) BLOCK_LEN,
                long = in(reg) 4 * TILE,
                out("tmm0") _, out("tmm2") _, out("tmm4") _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// [`Self::product`] of two blocks, in registers of their own, so that neither waits for the other.
    #[inline(always)]
    pub fn products(&self, x: [&Activations; 2], w: [&[u8; Q8_BYTES]; 2], out: &mut [Dots; 2]) {
        // SAFETY: as in `product`, twice.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tileloadd tmm2, [{x0} + {short} * 1]",
                "tileloadd tmm4, [{w0} + {long} * 1]",
                "tilezero tmm1",
                "tileloadd tmm3, [{x1} + {short} * 1]",
                "tileloadd tmm5, [{w1} + {long} * 1]",
                "tdpbssd tmm0, tmm2, tmm4",
                "tdpbssd tmm1, tmm3, tmm5",
                "tilestored [{out} + {long} * 1], tmm0",
                "tilestored [{out} + {long} * 1 + 1024], tmm1",
                x0 = in(reg) x[0].as_ptr(),
                x1 = in(reg) x[1].as_ptr(),
                w0 = in(reg) w[0].as_ptr(),
                w1 = in(reg) w[1].as_ptr(),
                out = in(reg) out.as_mut_ptr(),
                short = in(reg) BLOCK_LEN,
                long = in(reg) 4 * TILE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                options(nostack, preserves_flags),
            );
        }
    }
}

impl Drop for TileRegisters {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: only where AMX is there has one been made. Afterwards the registers need no keeping.
        unsafe {
            asm!("tilerelease", options(nostack, preserves_flags),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
    }
}

const _: () = assert!(size_of::<Dots>() == 1024 && size_of::<Configuration>() == 64);
