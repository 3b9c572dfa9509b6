//! The attention half of a block.

use std::ops::Range;

use super::model::Step;
use super::numerics::look;
use super::share::{Of, Runs, Share};
use super::workspace::Workspace;
use crate::core::{AttentionParams, Backend, KvPool, LinearPart, Result};
use crate::models::AttentionSpec;

/// `branch = o(attention(rope(q(n)), rope(k(n)), v(n)))` for the rows in use of `n`, the block's input, whose keys and
/// values go to the next free slots of each sequence in the pool's layer.
pub(super) fn forward<B: Backend>(
    step: Step<'_, B>,
    pool: &mut KvPool<B::Buffer>,
    shares: &mut [Share<'_, B>],
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
    store(step, pool, shares, ws)?;
    attend(step, pool, shares, Of::All, ws)
}

/// As [`forward`], but continues with no more than the rows whose logits are wanted, which are `wanted`: keys and values
/// are those of all rows, and afterwards `ws.branch` and `ws.x` have the wanted ones alone.
///
/// In the last layer nothing else is needed, since no later layer reads the other rows.
pub(super) fn forward_wanted<B: Backend>(
    step: Step<'_, B>,
    pool: &mut KvPool<B::Buffer>,
    shares: &mut [Share<'_, B>],
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
    store(step, pool, shares, ws)?;
    ws.keep_rows(backend, wanted, spec.norms.before)?;
    if ws.x.rows() == 0 {
        return Ok(());
    }
    let input = if spec.norms.before { &ws.normed } else { &ws.x };
    backend.linear(
        input,
        &mut [LinearPart { weight: &layer.q.weight, bias: layer.q.bias.as_ref(), out: &mut ws.q }],
    )?;
    attend(step, pool, shares, Of::Wanted, ws)
}

/// Keys are normalized and rotated (a sequence's observer sees them before), and both they and the values stored after
/// what each sequence holds.
fn store<B: Backend>(
    step: Step<'_, B>,
    pool: &mut KvPool<B::Buffer>,
    shares: &mut [Share<'_, B>],
    ws: &mut Workspace<B>,
) -> Result<()> {
    let Step { backend, layer, spec, index, eps } = step;
    if let Some((_, norm)) = &layer.qk_norm {
        backend.rms_norm_in_place(&mut ws.k, norm, eps)?;
    }
    let mut row = 0;
    for share in &mut *shares {
        let rows = share.rows(row);
        row = rows.end;
        let position = share.sequence.position();
        if let Some(observer) = &mut share.observer {
            observer.stores(backend, index, (&ws.k, &ws.v), rows, position)?;
        }
    }
    if let Some(rope) = spec.attention.rope {
        backend.rope(&mut ws.k, &ws.angles[rope].keys, spec.attention.head_dim)?;
    }
    look(&mut ws.watch, backend, &ws.k, Some(index), "in the keys")?;
    look(&mut ws.watch, backend, &ws.v, Some(index), "in the values")?;
    let runs = Runs::new(shares, pool.group_of(index), Of::All);
    backend.kv_append(&ws.k, &ws.v, pool.layer_mut(index), &runs)
}

/// From the queries in `ws.q` to what the block adds to the residual stream.
fn attend<B: Backend>(
    step: Step<'_, B>,
    pool: &KvPool<B::Buffer>,
    shares: &mut [Share<'_, B>],
    of: Of,
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
    let AttentionSpec { scale, window, ahead, softcap, .. } = *attention;
    let how = AttentionParams { scale, window, ahead, softcap };
    let (stored, group) = (pool.layer(index), pool.group_of(index));
    let mut row = 0;
    for share in &mut *shares {
        let (run, observer) = share.watched_run(group, row, of);
        row = run.rows.end;
        if let Some(observer) = observer {
            observer.attends(backend, index, &ws.q, stored, &how, &run)?;
        }
    }
    backend.attention(&ws.q, stored, &how, &Runs::new(shares, group, of), &mut ws.attended)?;
    look(&mut ws.watch, backend, &ws.attended, Some(index), "in attention")?;
    backend.linear(
        &ws.attended,
        &mut [LinearPart { weight: &layer.o.weight, bias: layer.o.bias.as_ref(), out: &mut ws.branch }],
    )
}
