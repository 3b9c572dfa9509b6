//! The feed-forward half of a block.

use super::model::Step;
use super::numerics::look;
use super::workspace::Workspace;
use crate::core::{Backend, LinearPart, Result};

/// `branch = down(activation(gate(n)) * up(n))` for the rows in use of `n`, the block's input.
pub(super) fn forward<B: Backend>(step: Step<'_, B>, ws: &mut Workspace<B>) -> Result<()> {
    let Step { backend, layer, spec, index, .. } = step;
    let input = if spec.norms.before { &ws.normed } else { &ws.x };
    backend.linear(
        input,
        &mut [
            LinearPart { weight: &layer.gate.weight, bias: layer.gate.bias.as_ref(), out: &mut ws.gate },
            LinearPart { weight: &layer.up.weight, bias: layer.up.bias.as_ref(), out: &mut ws.up },
        ],
    )?;
    backend.glu(&ws.gate, &ws.up, spec.ffn.activation, &mut ws.activated)?;
    look(&mut ws.watch, backend, &ws.activated, Some(index), "inside the feed-forward network")?;
    backend.linear(
        &ws.activated,
        &mut [LinearPart { weight: &layer.down.weight, bias: layer.down.bias.as_ref(), out: &mut ws.branch }],
    )
}
