//! The feed-forward half of a block.

use super::numerics::look;
use super::weights::Layer;
use super::workspace::Workspace;
use crate::core::{Activation, Backend, LinearPart, Result};

/// `branch = down(silu(gate(n)) * up(n))` for the rows in use of `n = ws.normed`, in layer `index`.
pub(super) fn forward<B: Backend>(
    backend: &B,
    layer: &Layer<B::Weight>,
    index: usize,
    ws: &mut Workspace<B>,
) -> Result<()> {
    backend.linear(
        &ws.normed,
        &mut [
            LinearPart { weight: &layer.gate.weight, bias: layer.gate.bias.as_ref(), out: &mut ws.gate },
            LinearPart { weight: &layer.up.weight, bias: layer.up.bias.as_ref(), out: &mut ws.up },
        ],
    )?;
    backend.glu(&ws.gate, &ws.up, Activation::Silu, &mut ws.activated)?;
    look(&mut ws.watch, backend, &ws.activated, Some(index), "inside the feed-forward network")?;
    backend.linear(
        &ws.activated,
        &mut [LinearPart { weight: &layer.down.weight, bias: layer.down.bias.as_ref(), out: &mut ws.branch }],
    )
}
