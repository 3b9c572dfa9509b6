//! How many tokens a number of bytes holds.

use crate::core::{KvLayout, KvTypes};

/// What the size of a model's cache follows from, besides window and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// Layers.
    pub layers: usize,
    /// Heads that are stored.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl CacheShape {
    /// The most bytes that a cache of `window` tokens takes: those of its layers and of one more, whose memory is there
    /// twice while it grows, and the f32 keys and values of `unrotated` tokens. `usize::MAX` if there is no such number.
    pub fn bytes(&self, types: KvTypes, window: usize, unrotated: usize) -> usize {
        let slots = window.checked_next_multiple_of(KvLayout::PAGE).unwrap_or(usize::MAX);
        let stored = self.per_token(types).saturating_mul(slots);
        stored.saturating_add(self.unrotated(unrotated))
    }

    /// The most tokens whose cache takes no more than `bytes`: whole pages of slots.
    pub fn window(&self, types: KvTypes, bytes: usize, unrotated: usize) -> usize {
        let left = bytes.saturating_sub(self.unrotated(unrotated));
        left / self.per_token(types).max(1) / KvLayout::PAGE * KvLayout::PAGE
    }

    fn per_token(&self, types: KvTypes) -> usize {
        let layout = KvLayout { types, kv_heads: self.kv_heads, head_dim: self.head_dim };
        layout.bytes_per_token().saturating_mul(self.layers + 1)
    }

    fn unrotated(&self, tokens: usize) -> usize {
        let width = self.kv_heads.saturating_mul(self.head_dim);
        [2, tokens, self.layers, width, size_of::<f32>()].into_iter().fold(1, usize::saturating_mul)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::{DType, KvShape, OneSequence};
    use crate::kv::Watched;
    use proptest::prelude::*;

    #[test]
    fn llama_1b_by_hand() {
        let shape = CacheShape { layers: 16, kv_heads: 8, head_dim: 64 };
        let f16 = DType::F16.into();
        // 2 KiB a token and layer, 17 layers; a sink takes 4 KiB in each of 16.
        assert_eq!(shape.bytes(f16, 1024, 0), 1024 * 17 * 2048);
        assert_eq!(shape.bytes(f16, 1, 4), 64 * 17 * 2048 + 4 * 16 * 4096);
        assert_eq!(shape.window(f16, 64 << 20, 4), 1920);
        assert_eq!(shape.window(f16, 1000, 4), 0);
    }

    proptest! {
        #[test]
        fn a_window_fits_and_a_larger_one_does_not(
            layers in 1usize..40, kv_heads in 1usize..20, head_dim in 1usize..130, bytes in 0usize..1 << 34,
            unrotated in 0usize..9,
        ) {
            let shape = CacheShape { layers, kv_heads, head_dim };
            for dtype in KvTypes::STORED {
                let window = shape.window(dtype.into(), bytes, unrotated);
                prop_assert!(window == 0 || shape.bytes(dtype.into(), window, unrotated) <= bytes);
                prop_assert!(shape.bytes(dtype.into(), window + 1, unrotated) > bytes);
            }
        }
    }

    #[test]
    fn a_cache_takes_what_is_foretold() {
        let shape = CacheShape { layers: 3, kv_heads: 2, head_dim: 8 };
        let layer = KvShape { kv_heads: 2, head_dim: 8, window: None };
        for dtype in KvTypes::STORED {
            let mut cache = OneSequence::new(&ReferenceBackend, &[layer; 3], dtype.into(), 100).unwrap();
            let mut watched = Watched::default();
            watched.keep_prefix(5, &[*cache.layout(0); 3]);
            cache.reserve(&ReferenceBackend, 100).unwrap();
            let all = shape.bytes(dtype.into(), 100, 5);
            let foretold = all - (all - shape.unrotated(5)) / 4;
            // A buffer holds whole blocks, where the short ones of these heads may leave a rest.
            let rests = 2 * 3 * (dtype.bytes_for(1).unwrap() - 1);
            let taken = cache.size_bytes() + watched.size_bytes();
            assert!((foretold..=foretold + rests).contains(&taken), "{dtype}: {taken}, not {foretold}");
        }
    }
}
