//! How many tokens a number of bytes holds.

use crate::core::{KvLayout, KvShape, KvTypes};

/// What the size of a model's cache follows from, besides window and types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// What each layer stores.
    pub layers: Vec<KvShape>,
    /// The most tokens of a pass.
    pub pass: usize,
}

impl CacheShape {
    /// The most bytes that a cache of `window` tokens takes: those of its layers, of the largest buffer once more, which is
    /// there twice while it grows, and the f32 keys and values of `unrotated` tokens. `usize::MAX` if there is no such
    /// number.
    pub fn bytes(&self, types: KvTypes, window: usize, unrotated: usize) -> usize {
        let mut largest = 0;
        let stored = self.layers.iter().fold(0usize, |sum, layer| {
            let held = layer.held(window, self.pass);
            let slots = held.checked_next_multiple_of(KvLayout::PAGE).unwrap_or(usize::MAX);
            let (k, v) = layer.layout(types).slot_bytes();
            largest = largest.max(k.max(v).saturating_mul(slots));
            sum.saturating_add(k.saturating_add(v).saturating_mul(slots))
        });
        stored.saturating_add(largest).saturating_add(self.unrotated(unrotated))
    }

    /// The most tokens, up to `most`, whose cache takes no more than `bytes`: whole pages of slots, or `most`.
    pub fn window(&self, types: KvTypes, bytes: usize, unrotated: usize, most: usize) -> usize {
        if self.bytes(types, most, unrotated) <= bytes {
            return most;
        }
        let (mut fits, mut beyond) = (0, most.div_ceil(KvLayout::PAGE));
        while beyond - fits > 1 {
            let pages = fits + (beyond - fits) / 2;
            match self.bytes(types, pages * KvLayout::PAGE, unrotated) <= bytes {
                true => fits = pages,
                false => beyond = pages,
            }
        }
        fits * KvLayout::PAGE
    }

    fn unrotated(&self, tokens: usize) -> usize {
        let widths = self.layers.iter().map(|layer| layer.kv_heads.saturating_mul(layer.head_dim));
        let width = widths.fold(0, usize::saturating_add);
        [2, tokens, width, size_of::<f32>()].into_iter().fold(1, usize::saturating_mul)
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
        let layer = KvShape { kv_heads: 8, head_dim: 64, window: None };
        let shape = CacheShape { layers: vec![layer; 16], pass: 256 };
        let f16 = DType::F16.into();
        // 1 KiB a token for keys and for values of each layer, and one of these again; a sink takes 4 KiB in each layer.
        assert_eq!(shape.bytes(f16, 1024, 0), 1024 * 33 * 1024);
        assert_eq!(shape.bytes(f16, 1, 4), 64 * 33 * 1024 + 4 * 16 * 4096);
        assert_eq!(shape.window(f16, 64 << 20, 4, 4096), 1920);
        assert_eq!(shape.window(f16, 64 << 20, 4, 1000), 1000);
        assert_eq!(shape.window(f16, 1000, 4, 4096), 0);
    }

    proptest! {
        #[test]
        fn a_window_fits_and_a_larger_one_does_not(
            layers in 1usize..40, kv_heads in 1usize..20, head_dim in 1usize..130, bytes in 0usize..1 << 34,
            unrotated in 0usize..9, most in 0usize..1 << 20, window in prop::option::of(1usize..5000),
        ) {
            let layer = |window| KvShape { kv_heads, head_dim, window };
            let layers = (0..layers).map(|index| layer(window.filter(|_| index % 3 > 0))).collect();
            let shape = CacheShape { layers, pass: 100 };
            for dtype in KvTypes::STORED {
                let window = shape.window(dtype.into(), bytes, unrotated, most);
                prop_assert!(window == 0 || shape.bytes(dtype.into(), window, unrotated) <= bytes);
                prop_assert!(window <= most && (window == most || window.is_multiple_of(KvLayout::PAGE)));
                let more = (window + KvLayout::PAGE).min(most);
                prop_assert!(window == most || shape.bytes(dtype.into(), more, unrotated) > bytes);
            }
        }
    }

    #[test]
    fn a_cache_takes_what_was_estimated() {
        let whole = KvShape { kv_heads: 2, head_dim: 8, window: None };
        let layers = vec![whole, KvShape { window: Some(20), ..whole }, whole];
        let shape = CacheShape { layers: layers.clone(), pass: 30 };
        for dtype in KvTypes::STORED {
            let mut cache = OneSequence::new(&ReferenceBackend, &layers, dtype.into(), 640).unwrap();
            let mut watched = Watched::default();
            watched.keep_prefix(5, &[*cache.layout(0); 3]);
            for pass in [30; 21] {
                cache.reserve(&ReferenceBackend, pass).unwrap();
                cache.advance(pass);
            }
            let (k, _) = cache.layout(0).slot_bytes();
            let estimate = shape.bytes(dtype.into(), 640, 5) - 640 * k;
            let taken = cache.size_bytes() + watched.size_bytes();
            // A buffer holds whole blocks, where the short ones of these heads may leave a rest; a window needs no more
            // than its pages.
            let rests = 2 * 3 * (dtype.bytes_for(1).unwrap() - 1);
            let window = 2 * 192 * k;
            assert!(
                taken <= estimate + rests && estimate <= taken + window,
                "{dtype}: {taken}, not {estimate}"
            );
        }
    }
}
