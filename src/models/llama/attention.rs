//! The attention half of a block.

use std::ops::Range;

use super::numerics::look;
use super::weights::Layer;
use super::workspace::Workspace;
use crate::core::{AttentionParams, Backend, KvCache, LinearPart, Result};

/// `branch = o(attention(rope(q(n)), rope(k(n)), v(n)))` for the rows in use of `n = ws.normed`, whose keys and values
/// go to the next free slots of the cache's layer `index`.
pub(super) fn forward<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
    index: usize,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
) -> Result<()> {
    backend.linear(
        &ws.normed,
        &mut [
            LinearPart { weight: &layer.q.weight, bias: layer.q.bias.as_ref(), out: &mut ws.q },
            LinearPart { weight: &layer.k.weight, bias: layer.k.bias.as_ref(), out: &mut ws.k },
            LinearPart { weight: &layer.v.weight, bias: layer.v.bias.as_ref(), out: &mut ws.v },
        ],
    )?;
    let at = cache.len();
    store(backend, index, cache, ws)?;
    attend(backend, layer, index, at, cache, ws)
}

/// As [`forward`], but continues with no more than the rows in `wanted`: keys and values are those of all rows,
/// and afterwards `ws.branch` and `ws.x` have the wanted ones alone.
///
/// In a prompt's last layer nothing else is needed, since no later layer reads the other rows.
pub(super) fn forward_rows<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
    index: usize,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
    wanted: Range<usize>,
) -> Result<()> {
    backend.linear(
        &ws.normed,
        &mut [
            LinearPart { weight: &layer.k.weight, bias: layer.k.bias.as_ref(), out: &mut ws.k },
            LinearPart { weight: &layer.v.weight, bias: layer.v.bias.as_ref(), out: &mut ws.v },
        ],
    )?;
    let at = cache.len() + wanted.start;
    store(backend, index, cache, ws)?;
    ws.keep_rows(backend, wanted)?;
    if ws.x.rows() == 0 {
        return Ok(());
    }
    backend.linear(
        &ws.normed,
        &mut [LinearPart { weight: &layer.q.weight, bias: layer.q.bias.as_ref(), out: &mut ws.q }],
    )?;
    attend(backend, layer, index, at, cache, ws)
}

/// Keys are rotated (a cache that wants some unrotated takes them before) and both they and the values stored after what the cache holds.
fn store<B: Backend>(
    backend: &B,
    index: usize,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
) -> Result<()> {
    cache.capture_prefix(backend, index, (&ws.k, &ws.v))?;
    backend.rope(&mut ws.k, &ws.angles, cache.layout().head_dim)?;
    look(&mut ws.watch, backend, &ws.k, Some(index), "in the keys")?;
    look(&mut ws.watch, backend, &ws.v, Some(index), "in the values")?;
    let (layout, at) = (*cache.layout(), cache.len());
    backend.kv_append(&ws.k, &ws.v, cache.layer_mut(index), &layout, at)
}

/// From the queries in `ws.q`, the first of which stands in slot `at`, to what is added to the residual stream.
fn attend<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
    index: usize,
    at: usize,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
) -> Result<()> {
    backend.rope(&mut ws.q, &ws.angles, cache.layout().head_dim)?;
    look(&mut ws.watch, backend, &ws.q, Some(index), "in the queries")?;
    let how = AttentionParams::of_head_dim(cache.layout().head_dim);
    cache.add_attention(backend, index, &ws.q, &how, at)?;
    backend.attention(&ws.q, cache.layer(index), cache.layout(), &how, at, &mut ws.attended)?;
    look(&mut ws.watch, backend, &ws.attended, Some(index), "in attention")?;
    backend.linear(
        &ws.attended,
        &mut [LinearPart { weight: &layer.o.weight, bias: layer.o.bias.as_ref(), out: &mut ws.branch }],
    )
}
