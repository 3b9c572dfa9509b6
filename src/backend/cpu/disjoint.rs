//! A slice that several threads write at places that do not overlap.

use std::marker::PhantomData;
use std::ops::Range;

/// Lends parts of a slice to the chunks of one run.
pub(super) struct Disjoint<'a, T> {
    ptr: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, parts of which go to other threads; `part`'s caller keeps them apart.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { ptr: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// No two parts that exist at a time may overlap.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap, as the caller promises")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: the range is within the slice, which is borrowed for 'a; the caller keeps parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_slices_own_and_bounded() {
        let mut v = [1, 2, 3, 4];
        let d = Disjoint::new(&mut v);
        // SAFETY: the two parts do not overlap.
        let (a, b) = unsafe { (d.part(0..2), d.part(2..4)) };
        (a[0], b[1]) = (b[1], a[0]);
        assert_eq!(v, [4, 2, 3, 1]);
        // SAFETY: only one part exists.
        let outside = std::panic::catch_unwind(|| unsafe { Disjoint::new(&mut [0; 2]).part(1..3).len() });
        assert!(outside.is_err());
    }
}
