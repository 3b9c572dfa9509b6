//! A text as one vector: what the hidden states of its tokens become.

mod dense;
mod files;
mod norm;
mod pooling;

pub(super) use self::dense::Dense;
pub(super) use self::files::NAMES;
pub use self::norm::Norm;
pub(super) use self::pooling::Pool;
pub use self::pooling::Pooling;

/// What follows the final norm of a model that is made for embeddings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingHead {
    /// How one vector is made of those of all tokens; `None`: the model's files do not say.
    pub pooling: Option<Pooling>,
    /// Layers that the pooled vector goes through, one after the other.
    pub(in crate::engine) layers: Vec<Dense>,
}

impl EmbeddingHead {
    /// The pooling of a model whose files name none: the last token of a causal model has seen all others; where all
    /// have, the mean counts them alike.
    pub fn pooling_or_usual(&self, causal: bool) -> Pooling {
        self.pooling.unwrap_or(if causal { Pooling::Last } else { Pooling::Mean })
    }

    /// Elements of a vector, for hidden states of `hidden_size` elements.
    pub fn size(&self, hidden_size: usize) -> usize {
        self.layers.last().map_or(hidden_size, Dense::outputs)
    }

    /// A pooled vector through all layers. Sums are in f64 and in order: the same bits on every machine.
    pub(super) fn finish(&self, pooled: Vec<f32>) -> Vec<f32> {
        self.layers.iter().fold(pooled, |x, layer| layer.apply(&x))
    }

    /// Whether the layers fit each other and the model.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, hidden_size: usize) -> Result<(), String> {
        let mut width = hidden_size;
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.inputs() != width {
                let inputs = layer.inputs();
                return Err(format!(
                    "dense layer {} after pooling takes {inputs} values, but gets {width}",
                    index + 1
                ));
            }
            width = layer.outputs();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_follow_each_other() {
        let wide = Dense::new(vec![1.0, 0.0, 0.0, 2.0, 1.0, 1.0], 2, None, false);
        let narrow = Dense::new(vec![1.0, 1.0, -1.0], 3, Some(vec![0.5]), false);
        let head = EmbeddingHead { pooling: None, layers: vec![wide, narrow] };
        // [3, 5] becomes [3, 10, 8], and that 3 + 10 - 8 + 0.5.
        assert_eq!((head.finish(vec![3.0, 5.0]), head.size(2)), (vec![5.5], 1));
        assert_eq!(head.check(2), Ok(()));
        assert_eq!(head.check(4).unwrap_err(), "dense layer 1 after pooling takes 2 values, but gets 4");
        assert_eq!(EmbeddingHead::default().finish(vec![1.0]), [1.0]);
        assert_eq!(EmbeddingHead::default().pooling_or_usual(false), Pooling::Mean);
        assert_eq!(EmbeddingHead::default().pooling_or_usual(true), Pooling::Last);
    }
}
