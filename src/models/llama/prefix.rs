//! The first tokens of a text, turned to other positions.

use super::model::Llama;
use super::workspace::Workspace;
use crate::core::{Backend, KvCache, Result};

impl<B: Backend> Llama<B> {
    /// Rotates the keys of the cache's unrotated prefix to the positions from `first` on, and stores them in the slots
    /// `0..prefix` again. Does nothing for a cache without such a prefix.
    ///
    /// # Errors
    /// What the backend reports; some keys may be turned then and others not.
    pub fn turn_prefix(
        &self,
        backend: &B,
        cache: &mut KvCache<B::Buffer>,
        ws: &mut Workspace<B>,
        first: usize,
    ) -> Result<()> {
        let tokens = cache.prefix_tokens();
        for from in (0..tokens).step_by(ws.chunk()) {
            let rows = from..tokens.min(from + ws.chunk());
            self.set_angles(backend, first + rows.start..first + rows.end, ws)?;
            for (layer, spec) in self.spec().layers.iter().enumerate() {
                let Some(rope) = spec.attention.rope else { continue };
                cache.bring_prefix(backend, layer, rows.clone(), (&mut ws.k, &mut ws.v))?;
                backend.rope(&mut ws.k, &ws.angles[rope].keys, spec.attention.head_dim)?;
                cache.append(backend, layer, (&ws.k, &ws.v), rows.start)?;
            }
        }
        Ok(())
    }
}
