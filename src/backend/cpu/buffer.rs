//! Aligned memory of the CPU backend.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::core::{Buffer, CoreError, DType, Result};

/// Alignment of every buffer: a cache line, and the widest vector.
const ALIGN: usize = 64;

/// Zeroed bytes at an address that is a multiple of 64. Large ones take memory only as they are written.
pub(super) struct AlignedBytes {
    ptr: NonNull<u8>,
    len: usize,
    /// Bytes before `ptr` in what was taken from the system: with an alignment beyond its own the allocator would
    /// write every zero itself.
    skipped: usize,
}

/// How memory for `len` bytes at an aligned place is asked for.
fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.checked_add(ALIGN)?, 1).ok()
}

// SAFETY: this owns its memory as a Box does; shared access only reads.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `len` zero bytes.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`], naming `what` it was for.
    pub fn zeroed(len: usize, what: &'static str) -> Result<Self> {
        let refused = CoreError::OutOfMemory { what, bytes: len };
        if len == 0 {
            return Ok(Self::default());
        }
        let Some(layout) = layout(len) else { return Err(refused) };
        // SAFETY: the layout has a size that is not 0.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { return Err(refused) };
        let skipped = start.addr().get().next_multiple_of(ALIGN) - start.addr().get();
        // SAFETY: `skipped` is less than the `ALIGN` bytes that were asked for beyond `len`.
        let mut this = Self { ptr: unsafe { start.add(skipped) }, len, skipped };
        prefer_huge_pages(this.as_mut_slice());
        Ok(this)
    }

    /// Makes this at least `len` bytes long; what was in it is lost if it was shorter.
    ///
    /// # Errors
    /// As [`Self::zeroed`]; then nothing changes.
    pub fn grow(&mut self, len: usize, what: &'static str) -> Result<()> {
        if self.len < len {
            *self = Self::zeroed(len, what)?;
        }
        Ok(())
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `ptr` points to `len` initialized bytes that this owns (or dangles with `len` 0).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes as elements of a plain type; a rest that fills no element is left out.
    pub fn view<T: Plain>(&self) -> &[T] {
        view(self.as_slice()).unwrap_or(&[])
    }

    /// As [`Self::view`], to be written.
    pub fn view_mut<T: Plain>(&mut self) -> &mut [T] {
        // SAFETY: every bit pattern is a value of a `Plain` type, and writing one leaves plain bytes. The
        // memory is aligned to 64, so nothing is cut off in front.
        let (_, middle, _) = unsafe { self.as_mut_slice().align_to_mut() };
        middle
    }
}

/// Bytes of a huge page on x86-64, and on arm64 with small pages of 4 kB.
const HUGE_PAGE: usize = 2 << 20;

/// Asks the system for huge pages where whole ones fit, so that streaming through the bytes misses the TLB less often.
/// What is not granted stays as it is.
fn prefer_huge_pages(bytes: &mut [u8]) {
    let before = bytes.as_ptr().addr().wrapping_neg() % HUGE_PAGE;
    let whole = bytes.len().saturating_sub(before) / HUGE_PAGE * HUGE_PAGE;
    if whole == 0 {
        return;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the advice changes no contents, and the range is within the slice: it begins `before` bytes in, and `whole` is
    // no more than what is left there.
    unsafe {
        libc::madvise(bytes.as_mut_ptr().add(before).cast(), whole, libc::MADV_HUGEPAGE);
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self { ptr: NonNull::<Line>::dangling().cast(), len: 0, skipped: 0 }
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        if self.len > 0
            && let Some(layout) = layout(self.len)
        {
            // SAFETY: `zeroed` took memory of this layout, `skipped` bytes before `ptr`.
            unsafe { dealloc(self.ptr.as_ptr().sub(self.skipped), layout) };
        }
    }
}

#[repr(align(64))]
struct Line;

/// Number types without padding, of which every bit pattern is a value.
///
/// # Safety
/// Implementors must be exactly that.
pub(super) unsafe trait Plain: Copy {}
// SAFETY: a primitive number.
unsafe impl Plain for f32 {}
// SAFETY: contiguous primitive numbers.
unsafe impl Plain for [f32; 16] {}
// SAFETY: a primitive number.
unsafe impl Plain for i32 {}
// SAFETY: a primitive number.
unsafe impl Plain for u16 {}
// SAFETY: contiguous primitive numbers.
unsafe impl Plain for [u16; 32] {}
// SAFETY: a primitive number.
unsafe impl Plain for i8 {}

/// Bytes seen as elements of `T`, or `None` if they are not aligned for it or end within one.
pub(super) fn view<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: every bit pattern is a value of a `Plain` type.
    let (head, middle, tail) = unsafe { bytes.align_to() };
    (head.is_empty() && tail.is_empty()).then_some(middle)
}

/// Elements of one type, aligned to 64 bytes. Of a block format, as many whole blocks as hold them.
pub struct CpuBuffer {
    bytes: AlignedBytes,
    dtype: DType,
    len: usize,
}

impl CpuBuffer {
    /// `len` zeroed elements.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`].
    pub(super) fn new(dtype: DType, len: usize) -> Result<Self> {
        let what = "a buffer";
        let size = dtype.bytes_for(len).ok_or(CoreError::OutOfMemory { what, bytes: usize::MAX })?;
        Ok(Self { bytes: AlignedBytes::zeroed(size, what)?, dtype, len })
    }

    /// Makes this `len` elements long; the first ones stay, and what is added is zero.
    ///
    /// # Errors
    /// As [`Self::new`]; then nothing changes.
    pub(super) fn resize(&mut self, len: usize) -> Result<()> {
        let mut other = Self::new(self.dtype, len)?;
        let kept = self.bytes().len().min(other.bytes().len());
        other.bytes_mut()[..kept].copy_from_slice(&self.bytes()[..kept]);
        *self = other;
        Ok(())
    }

    fn expect(&self, op: &'static str, dtype: DType) -> Result<()> {
        if self.dtype == dtype { Ok(()) } else { Err(CoreError::Unsupported { op, dtype: self.dtype }) }
    }

    /// The elements of an f32 buffer; `op` is named if it is none.
    pub(super) fn f32(&self, op: &'static str) -> Result<&[f32]> {
        self.expect(op, DType::F32)?;
        Ok(self.bytes.view())
    }

    /// The elements of an f32 buffer, to be written.
    pub(super) fn f32_mut(&mut self, op: &'static str) -> Result<&mut [f32]> {
        self.expect(op, DType::F32)?;
        Ok(self.bytes.view_mut())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice()
    }
}

impl Buffer for CpuBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl std::fmt::Debug for CpuBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuBuffer({} x {})", self.len, self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_aligned_and_typed() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut b = CpuBuffer::new(DType::F32, len).unwrap();
            assert_eq!(b.bytes().as_ptr() as usize % 64, 0);
            assert!(b.f32("t").unwrap().iter().all(|&x| x == 0.0));
            assert_eq!((b.len(), b.f32("t").unwrap().len(), b.bytes().len()), (len, len, 4 * len));
            b.f32_mut("t").unwrap().fill(1.0);
            assert!(b.f32("t").unwrap().iter().all(|&x| x == 1.0));
            let mut half = CpuBuffer::new(DType::F16, len).unwrap();
            assert!(half.f32_mut("t").is_err());
            assert_eq!(half.bytes().len(), 2 * len);
        }
    }

    #[test]
    fn elements_stay_when_the_length_changes() {
        let mut b = CpuBuffer::new(DType::F32, 5).unwrap();
        b.f32_mut("t").unwrap().fill(1.0);
        b.resize(7).unwrap();
        assert_eq!(b.f32("t").unwrap(), [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        b.resize(2).unwrap();
        assert!(b.resize(usize::MAX / 2).is_err());
        assert_eq!((b.len(), b.f32("t").unwrap()), (2, &[1.0, 1.0][..]));
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(matches!(CpuBuffer::new(DType::F32, usize::MAX), Err(CoreError::OutOfMemory { .. })));
        assert!(matches!(CpuBuffer::new(DType::F32, usize::MAX / 8), Err(CoreError::OutOfMemory { .. })));
    }

    #[test]
    fn bytes_are_seen_as_numbers_only_where_they_fit() {
        let b = AlignedBytes::zeroed(16, "test").unwrap();
        assert_eq!(view::<f32>(b.as_slice()).map(<[f32]>::len), Some(4));
        assert!(view::<f32>(&b.as_slice()[1..5]).is_none());
        assert!(view::<f32>(&b.as_slice()[..5]).is_none());
    }
}
