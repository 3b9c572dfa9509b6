//! The first tokens of a text, turned to other positions.

use super::model::Llama;
use super::workspace::Workspace;
use crate::core::{Backend, KvPool, KvSequence, Result};
use crate::models::TextSpan;

impl<B: Backend> Llama<B> {
    /// Rotates the keys of the first `tokens` tokens to the positions from `first` on, and stores them in the slots
    /// `0..tokens` again. `unrotated` gives a layer's keys and values of them, `[tokens, kv_heads * head_dim]` each.
    ///
    /// # Errors
    /// What the backend reports, and `unrotated`; some keys may be turned then and others not.
    #[expect(clippy::too_many_arguments, reason = "the model's own memory, the text's, and where it goes")]
    pub fn turn_prefix<'k>(
        &self,
        backend: &B,
        pool: &mut KvPool<B::Buffer>,
        sequence: &mut KvSequence,
        ws: &mut Workspace<B>,
        span: TextSpan,
        (tokens, first): (usize, usize),
        unrotated: impl Fn(usize) -> Result<[&'k [f32]; 2]>,
    ) -> Result<()> {
        sequence.own(backend, pool, 0..tokens)?;
        for from in (0..tokens).step_by(ws.chunk()) {
            let rows = from..tokens.min(from + ws.chunk());
            for angles in &mut ws.angles {
                angles.fill(0..rows.len(), first + rows.start..first + rows.end, span);
                angles.send(backend, rows.len())?;
            }
            for (layer, spec) in self.spec().layers.iter().enumerate() {
                let Some(rope) = spec.attention.rope else { continue };
                let values = rows.start * spec.attention.kv_width()..rows.end * spec.attention.kv_width();
                for (to, from) in [&mut ws.k, &mut ws.v].into_iter().zip(unrotated(layer)?) {
                    to.set_rows(rows.len())?;
                    backend.upload(&from[values.clone()], to, 0)?;
                }
                backend.rope(&mut ws.k, &ws.angles[rope].keys, spec.attention.head_dim)?;
                let run = sequence.run(pool.group_of(layer), 0..rows.len(), rows.start);
                backend.kv_append(&ws.k, &ws.v, pool.layer_mut(layer), &[run])?;
            }
        }
        Ok(())
    }
}
