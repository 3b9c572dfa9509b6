//! The attention half of a block.

use std::ops::Range;

use super::model::Step;
use super::numerics::look;
use super::workspace::Workspace;
use crate::core::{AttentionParams, Backend, KvCache, LinearPart, Result};

/// `branch = o(attention(rope(q(n)), rope(k(n)), v(n)))` for the rows in use of `n`, the block's input, whose keys and
/// values go to the next free slots of the cache's layer.
pub(super) fn forward<B: Backend>(
    step: Step<'_, B>,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
) -> Result<()> {
    let Step { backend, layer, spec, .. } = step;
    let input = if spec.norms.before { &ws.normed } else { &ws.x };
    backend.linear(
        input,
        &mut [
            LinearPart { weight: &layer.q.weight, bias: layer.q.bias.as_ref(), out: &mut ws.q },
            LinearPart { weight: &layer.k.weight, bias: layer.k.bias.as_ref(), out: &mut ws.k },
            LinearPart { weight: &layer.v.weight, bias: layer.v.bias.as_ref(), out: &mut ws.v },
        ],
    )?;
    let at = cache.len();
    store(step, cache, ws)?;
    attend(step, at, cache, ws)
}

/// As [`forward`], but continues with no more than the rows in `wanted`: keys and values are those of all rows,
/// and afterwards `ws.branch` and `ws.x` have the wanted ones alone.
///
/// In a prompt's last layer nothing else is needed, since no later layer reads the other rows.
pub(super) fn forward_rows<B: Backend>(
    step: Step<'_, B>,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
    wanted: Range<usize>,
) -> Result<()> {
    let Step { backend, layer, spec, .. } = step;
    let input = if spec.norms.before { &ws.normed } else { &ws.x };
    backend.linear(
        input,
        &mut [
            LinearPart { weight: &layer.k.weight, bias: layer.k.bias.as_ref(), out: &mut ws.k },
            LinearPart { weight: &layer.v.weight, bias: layer.v.bias.as_ref(), out: &mut ws.v },
        ],
    )?;
    let at = cache.len() + wanted.start;
    store(step, cache, ws)?;
    ws.keep_rows(backend, wanted, spec.norms.before)?;
    if ws.x.rows() == 0 {
        return Ok(());
    }
    let input = if spec.norms.before { &ws.normed } else { &ws.x };
    backend.linear(
        input,
        &mut [LinearPart { weight: &layer.q.weight, bias: layer.q.bias.as_ref(), out: &mut ws.q }],
    )?;
    attend(step, at, cache, ws)
}

/// Keys are normalized and rotated (a cache that wants some unrotated takes them before), and both they and the values stored
/// after what the cache holds.
fn store<B: Backend>(step: Step<'_, B>, cache: &mut KvCache<B::Buffer>, ws: &mut Workspace<B>) -> Result<()> {
    let Step { backend, layer, spec, index, eps } = step;
    if let Some((_, norm)) = &layer.qk_norm {
        backend.rms_norm_in_place(&mut ws.k, norm, eps)?;
    }
    cache.capture_prefix(backend, index, (&ws.k, &ws.v))?;
    if let Some(rope) = spec.attention.rope {
        backend.rope(&mut ws.k, &ws.angles[rope].keys, spec.attention.head_dim)?;
    }
    look(&mut ws.watch, backend, &ws.k, Some(index), "in the keys")?;
    look(&mut ws.watch, backend, &ws.v, Some(index), "in the values")?;
    let at = cache.len();
    cache.append(backend, index, (&ws.k, &ws.v), at)
}

/// From the queries in `ws.q`, the first of which stands in slot `at`, to what the block adds to the residual stream.
fn attend<B: Backend>(
    step: Step<'_, B>,
    at: usize,
    cache: &mut KvCache<B::Buffer>,
    ws: &mut Workspace<B>,
) -> Result<()> {
    let Step { backend, layer, spec, index, eps } = step;
    if let Some((norm, _)) = &layer.qk_norm {
        backend.rms_norm_in_place(&mut ws.q, norm, eps)?;
    }
    let attention = &spec.attention;
    if let Some(rope) = attention.rope {
        backend.rope(&mut ws.q, ws.angles[rope].queries(), attention.head_dim)?;
    }
    look(&mut ws.watch, backend, &ws.q, Some(index), "in the queries")?;
    let how =
        AttentionParams { scale: attention.scale, window: attention.window, softcap: attention.softcap };
    cache.add_attention(backend, index, &ws.q, &how, at)?;
    cache.attend(backend, index, &ws.q, &how, at, &mut ws.attended)?;
    look(&mut ws.watch, backend, &ws.attended, Some(index), "in attention")?;
    backend.linear(
        &ws.attended,
        &mut [LinearPart { weight: &layer.o.weight, bias: layer.o.bias.as_ref(), out: &mut ws.branch }],
    )
}
