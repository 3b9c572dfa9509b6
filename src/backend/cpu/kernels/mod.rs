//! The kernels: written once over [`simd::Simd`] and [`quantized::Lanes`], compiled for each instruction set.
//! The only place with intrinsics.

#![allow(clippy::needless_range_loop, reason = "a row or a lane is an index into several arrays at once")]

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_check;
#[cfg(target_arch = "x86_64")]
mod amx_int;
pub(super) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_codes;
#[cfg(target_arch = "x86_64")]
mod avx2_int;
#[cfg(target_arch = "x86_64")]
mod avx2_vnni;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_codes;
#[cfg(target_arch = "x86_64")]
mod avx512_int;
mod cached;
mod code_bytes;
mod code_formats;
#[cfg(target_arch = "aarch64")]
mod code_rows;
mod codes;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod dotprod_codes;
#[cfg(target_arch = "aarch64")]
mod dotprod_piece;
mod elementwise;
mod exp;
pub(super) mod float;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod i8mm_codes;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_codes;
#[cfg(target_arch = "aarch64")]
mod neon_int;
#[cfg(target_arch = "aarch64")]
mod neon_operands;
#[cfg(target_arch = "aarch64")]
mod neon_quants;
pub(super) mod packed;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "no set of other machines has such products")
)]
pub(super) mod paired;
mod prefetch;
mod quantized;
mod scalar;
mod scalar_codes;
pub(crate) mod simd;
pub(super) mod table;
#[cfg(test)]
mod tests;
mod weigh;
mod widen;

#[cfg(target_arch = "x86_64")]
pub(super) use amx_check::amx_works;
pub(super) use table::Kernels;

/// Weight rows that a matrix kernel takes at a time.
pub(super) const TILE: usize = crate::core::TILE_ROWS;

/// Activation rows that a matrix kernel takes at a time at most, unless the table says otherwise.
pub(super) const GROUP: usize = 12;

/// What a matrix kernel answers: `[activation row][weight row]`.
pub(super) type Outputs = [[f32; TILE]];
