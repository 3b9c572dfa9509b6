//! The feed-forward half of a block.

use super::weights::Layer;
use super::workspace::Workspace;
use crate::core::{Backend, LinearPart, Result};

/// `x += down(silu(gate(norm(x))) * up(norm(x)))` for the rows in use of `ws.x`.
pub(super) fn forward<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
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
    backend.linear(
        &ws.activated,
        &mut [LinearPart { weight: &layer.down.weight, bias: layer.down.bias.as_ref(), out: &mut ws.normed }],
    )?;
    backend.add(&ws.normed, &mut ws.x)
}
