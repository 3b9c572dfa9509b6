//! The feed-forward half of a block.

use super::numerics::look;
use super::weights::Layer;
use super::workspace::Workspace;
use crate::core::{Backend, LinearPart, Result};

/// `x += down(silu(gate(norm(x))) * up(norm(x)))` for the rows in use of `ws.x`, in layer `index`.
pub(super) fn forward<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
    index: usize,
    eps: f32,
    ws: &mut Workspace<B>,
) -> Result<()> {
    backend.rms_norm(&ws.x, &layer.ffn_norm, eps, &mut ws.normed)?;
    backend.linear(
        &ws.normed,
        &mut [
            LinearPart { weight: &layer.gate.weight, bias: layer.gate.bias.as_ref(), out: &mut ws.gate },
            LinearPart { weight: &layer.up.weight, bias: layer.up.bias.as_ref(), out: &mut ws.up },
        ],
    )?;
    backend.swiglu(&ws.gate, &ws.up, &mut ws.activated)?;
    look(&mut ws.watch, backend, &ws.activated, Some(index), "inside the feed-forward network")?;
    backend.linear(
        &ws.activated,
        &mut [LinearPart { weight: &layer.down.weight, bias: layer.down.bias.as_ref(), out: &mut ws.normed }],
    )?;
    backend.add(&ws.normed, &mut ws.x)?;
    look(&mut ws.watch, backend, &ws.x, Some(index), "after the feed-forward network")
}
