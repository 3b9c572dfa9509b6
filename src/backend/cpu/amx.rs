//! Whether this process may use AMX: what the CPU has, what the system keeps, and what it grants when asked.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Bits of CPUID 7.0 EDX: tiles, and their 8-bit products.
const TILES: u32 = 1 << 24;
const INT8: u32 = 1 << 25;

/// Bits of XCR0: the system keeps the tiles' configuration, and their data.
const STATE: u64 = 1 << 17 | 1 << 18;

/// Whether the CPU has tiles of 16 rows of 64 bytes and 8-bit products, and this process may use them. Asks the
/// system for the permission, which it then has for good, in all of its threads.
///
/// To be called where AVX-512 has been found.
pub(super) fn is_granted() -> bool {
    if __cpuid(0).eax < 0x1d || __cpuid_count(7, 0).edx & (TILES | INT8) != TILES | INT8 {
        return false;
    }
    // The palette of tiles: bytes of a row, number of tiles, rows.
    let palette = __cpuid_count(0x1d, 1);
    if palette.ebx & 0xffff < 64 || palette.ebx >> 16 < 8 || palette.ecx & 0xffff < 16 {
        return false;
    }
    is_kept() && request()
}

/// Whether the system keeps the tiles of a thread while it runs another.
fn is_kept() -> bool {
    // SAFETY: the instruction is there wherever the system keeps AVX's registers, which is looked at first.
    is_x86_feature_detected!("xsave")
        && is_x86_feature_detected!("avx512f")
        && unsafe { xcr0() } & STATE == STATE
}

/// # Safety
/// The CPU must have XSAVE, and the system must use it.
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: the caller promises both.
    unsafe { _xgetbv(0) }
}

/// Asks Linux (5.16 and newer; an older one knows no such request) for the tiles' data.
#[cfg(target_os = "linux")]
fn request() -> bool {
    /// `ARCH_REQ_XCOMP_PERM` of the kernel's `asm/prctl.h`.
    const REQUEST: libc::c_long = 0x1023;
    /// The number of the tiles' data among the parts of the extended state.
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and changes nothing but what this process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn request() -> bool {
    false
}
