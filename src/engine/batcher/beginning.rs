//! What texts begin with, and which of them may share it.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::core::KvLayout;
use crate::engine::request::CacheSalt;

/// The first tokens of a text, which texts with the same salt may have in common. Whatever compares texts compares these, so
/// that none is ever found by another salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning<'a> {
    pub salt: Option<CacheSalt>,
    pub ids: &'a [u32],
}

/// All tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Salted {
    pub salt: Option<CacheSalt>,
    pub ids: Vec<u32>,
}

impl Salted {
    /// See there.
    pub fn all(&self) -> Beginning<'_> {
        Beginning { salt: self.salt, ids: &self.ids }
    }
}

impl Beginning<'_> {
    /// How many tokens two texts have in common at their beginning; none with different salts.
    pub fn common(self, other: Beginning<'_>) -> usize {
        if self.salt != other.salt {
            return 0;
        }
        self.ids.iter().zip(other.ids).take_while(|(a, b)| a == b).count()
    }

    /// Whether all of another text is at the beginning of this one.
    pub fn starts_with(self, other: Beginning<'_>) -> bool {
        self.salt == other.salt && self.ids.starts_with(other.ids)
    }

    /// The hashes of the whole pages, each of the salt and all tokens up to the page's end.
    pub fn pages(self) -> impl Iterator<Item = u64> {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        self.ids.chunks_exact(KvLayout::PAGE).map(move |page| {
            page.iter().for_each(|id| hasher.write_u32(*id));
            hasher.finish()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_other_salts_have_nothing_in_common() {
        let ids: Vec<u32> = (0..200).collect();
        let salts = [None, Some(CacheSalt([0; 32])), Some(CacheSalt([1; 32]))];
        for (i, &a) in salts.iter().enumerate() {
            for (j, &b) in salts.iter().enumerate() {
                let (a, b) = (Beginning { salt: a, ids: &ids }, Beginning { salt: b, ids: &ids[..150] });
                assert_eq!(a.common(b), if i == j { 150 } else { 0 });
                assert_eq!(a.starts_with(b), i == j);
                let shared = a.pages().zip(b.pages()).filter(|(a, b)| a == b).count();
                assert_eq!(shared, if i == j { 150 / KvLayout::PAGE } else { 0 });
            }
        }
    }
}
