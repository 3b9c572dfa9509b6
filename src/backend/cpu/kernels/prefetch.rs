//! Hints to the memory system.

/// Bytes of a cache line.
const LINE: usize = 64;

/// How far ahead of what is read now memory is asked for, in bytes, where blocks are small.
pub(super) const AHEAD: usize = 2048;

/// Says that `bytes` will be read soon. Processors see by themselves that memory is read in order, but not that one page of
/// a cache ends and the next begins elsewhere.
#[inline(always)]
pub(super) fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(LINE) {
        hint(line.as_ptr());
    }
}

/// Says that what is `distance` bytes after `bytes` will be read soon. There need not be anything.
#[inline(always)]
pub(super) fn prefetch_after(bytes: &[u8], distance: usize) {
    for at in (0..bytes.len()).step_by(LINE) {
        hint(bytes.as_ptr().wrapping_add(distance + at));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn hint(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 has the instruction, which reads nothing that the program could see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn hint(at: *const u8) {
    // SAFETY: a hint, which reads nothing that the program could see and faults on no address.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly))
    };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
fn hint(_: *const u8) {}
