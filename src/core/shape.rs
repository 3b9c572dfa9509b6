//! Dimensions of a tensor.

use std::fmt;

/// Up to four dimensions, outermost first, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; Self::MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The most dimensions that a tensor can have here.
    pub const MAX_RANK: usize = 4;

    /// A shape from its dimensions, outermost first; `None` for more than [`Self::MAX_RANK`].
    pub fn new(dims: &[usize]) -> Option<Self> {
        let mut own = [1; Self::MAX_RANK];
        own.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(Self { dims: own, rank: dims.len() as u8 })
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// Number of elements; 1 for rank 0. `None` if it does not fit in a `usize`.
    pub fn elements(&self) -> Option<usize> {
        self.dims().iter().try_fold(1usize, |n, &d| n.checked_mul(d))
    }

    /// `(rows, columns)` as a matrix: the last dimension is the columns, a vector is one row.
    /// `None` if the number of rows does not fit in a `usize`.
    pub fn as_matrix(&self) -> Option<(usize, usize)> {
        match self.dims() {
            [] => Some((1, 1)),
            [rows @ .., cols] => Some((rows.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?, *cols)),
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    /// Panics at compile time for more than four dimensions.
    fn from(dims: [usize; N]) -> Self {
        const { assert!(N <= Shape::MAX_RANK) };
        let mut own = [1; Self::MAX_RANK];
        own[..N].copy_from_slice(&dims);
        Self { dims: own, rank: N as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_matrix_view() {
        let s = Shape::from([2, 3, 4]);
        assert_eq!(s.elements(), Some(24));
        assert_eq!(s.as_matrix(), Some((6, 4)));
        assert_eq!(Shape::from([7]).as_matrix(), Some((1, 7)));
        assert_eq!(Shape::from([]).elements(), Some(1));
        assert_eq!(Shape::new(&[1, 2, 3, 4, 5]), None);
        assert_eq!(Shape::from([usize::MAX, 2]).elements(), None);
        assert_eq!(s.to_string(), "[2, 3, 4]");
    }
}
