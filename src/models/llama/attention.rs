//! The attention half of a block.

use super::weights::Layer;
use super::workspace::Workspace;
use crate::core::{Backend, KvCache, LinearPart, Result};

/// `x += o(attention(rope(q(norm(x))), rope(k(norm(x))), v(norm(x))))` for the rows in use of `ws.x`, whose
/// keys and values go to the next free slots of the cache's layer `index`.
pub(super) fn forward<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
    index: usize,
    eps: f32,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
) -> Result<()> {
    backend.rms_norm(&ws.x, &layer.attention_norm, eps, &mut ws.normed)?;
    backend.linear(
        &ws.normed,
        &mut [
            LinearPart { weight: &layer.q.weight, bias: layer.q.bias.as_ref(), out: &mut ws.q },
            LinearPart { weight: &layer.k.weight, bias: layer.k.bias.as_ref(), out: &mut ws.k },
            LinearPart { weight: &layer.v.weight, bias: layer.v.bias.as_ref(), out: &mut ws.v },
        ],
    )?;
    backend.rope(&mut ws.q, &ws.angles)?;
    backend.rope(&mut ws.k, &ws.angles)?;
    let (layout, at) = (*cache.layout(), cache.len());
    backend.kv_append(&ws.k, &ws.v, cache.layer_mut(index), &layout, at)?;
    backend.attention(&ws.q, cache.layer(index), &layout, at, &mut ws.attended)?;
    backend.linear(
        &ws.attended,
        &mut [LinearPart { weight: &layer.o.weight, bias: layer.o.bias.as_ref(), out: &mut ws.normed }],
    )?;
    backend.add(&ws.normed, &mut ws.x)
}
