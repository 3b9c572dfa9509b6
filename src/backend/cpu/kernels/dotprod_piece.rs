//! The products of 32 columns of codes with four activation rows by `sdot`, each group times its scale.

use std::arch::aarch64::*;
use std::arch::asm;

use super::code_formats::CodeFormat;
use super::codes::RUNS;
use crate::core::BLOCK_LEN;

/// Nothing, as a start of sums.
pub(super) const ZEROS: &[i32; 4] = &[0; 4];

/// `sdot` of a register of weights with four activation rows into registers of that letter.
macro_rules! dots {
    ($to:literal, $w:literal, $lane:literal) => {
        concat!(
            dots!(@$to, $w, "0", $lane), dots!(@$to, $w, "1", $lane), dots!(@$to, $w, "2", $lane),
            dots!(@$to, $w, "3", $lane)
        )
    };
    // The last of a half: the next half of the activation rows comes after it.
    ($to:literal, $w:literal, $lane:literal, then) => {
        concat!(
            dots!(@$to, $w, "0", $lane), "ldr {x0:q}, [{x}, #16]\n",
            dots!(@$to, $w, "1", $lane), "ldr {x1:q}, [{x}, #48]\n",
            dots!(@$to, $w, "2", $lane), "ldr {x2:q}, [{x}, #80]\n",
            dots!(@$to, $w, "3", $lane), "ldr {x3:q}, [{x}, #112]\n"
        )
    };
    (@$to:literal, $w:literal, $row:literal, $lane:literal) => {
        concat!("sdot {", $to, $row, ":v}.4s, {w", $w, ":v}.16b, {x", $row, ":v}.4b[", $lane, "]\n")
    };
}

/// Sums of four rows times a scale, and the same with new sums begun.
macro_rules! scaled {
    ($scale:literal) => {
        concat!(
            "mla {s0:v}.4s, {a0:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "mla {s1:v}.4s, {a1:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "mla {s2:v}.4s, {a2:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "mla {s3:v}.4s, {a3:v}.4s, {",
            $scale,
            ":v}.4s\n"
        )
    };
    ($scale:literal, then) => {
        concat!(
            "mla {s0:v}.4s, {a0:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "ldr {a0:q}, [{zeros}]\n",
            "mla {s1:v}.4s, {a1:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "ldr {a1:q}, [{zeros}]\n",
            "mla {s2:v}.4s, {a2:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "ldr {a2:q}, [{zeros}]\n",
            "mla {s3:v}.4s, {a3:v}.4s, {",
            $scale,
            ":v}.4s\n",
            "ldr {a3:q}, [{zeros}]\n"
        )
    };
}

/// The products of 32 columns, as these lines have it: one piece, so that four sums grow in turns (a core that keeps the
/// order needs that) and that not more registers are in use than there are.
macro_rules! piece {
    ([$($line:expr),*], $w:ident, $x:ident, $sums:ident, $($more:tt)*) => {{
        let [s0, s1, s2, s3] = $sums;
        asm!(
            $($line,)*
            s0 = inout(vreg) *s0,
            s1 = inout(vreg) *s1,
            s2 = inout(vreg) *s2,
            s3 = inout(vreg) *s3,
            x0 = out(vreg) _,
            x1 = out(vreg) _,
            x2 = out(vreg) _,
            x3 = out(vreg) _,
            w0 = in(vreg) $w[0],
            w1 = in(vreg) $w[1],
            w2 = in(vreg) $w[2],
            w3 = in(vreg) $w[3],
            w4 = in(vreg) $w[4],
            w5 = in(vreg) $w[5],
            w6 = in(vreg) $w[6],
            w7 = in(vreg) $w[7],
            x = in(reg) $x,
            $($more)*
            options(pure, readonly, nostack, preserves_flags)
        );
    }};
}

/// Adds to `sums`, a vector an activation row, the products of four rows of 32 columns `w` with four activation rows, each
/// group times its scale. Without groups scales are not read; with groups of 32 only the first is.
///
/// # Safety
/// The dot products must be there.
#[inline(always)]
pub(super) unsafe fn add_piece<F: CodeFormat>(
    w: &[int8x16_t; RUNS],
    x: &[[i8; BLOCK_LEN]; 4],
    scales: [int32x4_t; 2],
    sums: &mut [int32x4_t; 4],
) {
    // SAFETY: the caller promises the instruction; 16 bytes of `ZEROS` and 128 of `x` are read.
    unsafe {
        if F::SCALES == 0 {
            piece!(
                [
                    "ldr {x0:q}, [{x}]\n ldr {x1:q}, [{x}, #32]\n ldr {x2:q}, [{x}, #64]\n ldr {x3:q}, [{x}, #96]",
                    dots!("s", "0", "0"),
                    dots!("s", "1", "1"),
                    dots!("s", "2", "2"),
                    dots!("s", "3", "3", then),
                    dots!("s", "4", "0"),
                    dots!("s", "5", "1"),
                    dots!("s", "6", "2"),
                    dots!("s", "7", "3")
                ],
                w,
                x,
                sums,
            );
        } else if F::GROUP == 32 {
            piece!(
                [
                    "ldr {a0:q}, [{zeros}]\n ldr {x0:q}, [{x}]\n ldr {a1:q}, [{zeros}]\n ldr {x1:q}, [{x}, #32]",
                    "ldr {a2:q}, [{zeros}]\n ldr {x2:q}, [{x}, #64]\n ldr {a3:q}, [{zeros}]\n ldr {x3:q}, [{x}, #96]",
                    dots!("a", "0", "0"), dots!("a", "1", "1"), dots!("a", "2", "2"), dots!("a", "3", "3", then),
                    dots!("a", "4", "0"), dots!("a", "5", "1"), dots!("a", "6", "2"), dots!("a", "7", "3"),
                    scaled!("c")
                ],
                w, x, sums,
                a0 = out(vreg) _, a1 = out(vreg) _, a2 = out(vreg) _, a3 = out(vreg) _,
                c = in(vreg) scales[0], zeros = in(reg) ZEROS,
            );
        } else {
            piece!(
                [
                    "ldr {a0:q}, [{zeros}]\n ldr {x0:q}, [{x}]\n ldr {a1:q}, [{zeros}]\n ldr {x1:q}, [{x}, #32]",
                    "ldr {a2:q}, [{zeros}]\n ldr {x2:q}, [{x}, #64]\n ldr {a3:q}, [{zeros}]\n ldr {x3:q}, [{x}, #96]",
                    dots!("a", "0", "0"), dots!("a", "1", "1"), dots!("a", "2", "2"), dots!("a", "3", "3", then),
                    scaled!("c", then),
                    dots!("a", "4", "0"), dots!("a", "5", "1"), dots!("a", "6", "2"), dots!("a", "7", "3"),
                    scaled!("e")
                ],
                w, x, sums,
                a0 = out(vreg) _, a1 = out(vreg) _, a2 = out(vreg) _, a3 = out(vreg) _,
                c = in(vreg) scales[0], e = in(vreg) scales[1], zeros = in(reg) ZEROS,
            );
        }
    }
}
