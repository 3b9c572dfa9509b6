//! Which layers of a model see a window alone.

use serde_json::Value;

use crate::format::shown;
use crate::models::config::{ConfigError, Fields, MAX_POSITIONS};
use crate::models::spec::ModelSpec;

/// What `layer_types` calls a layer that sees a window.
const SLIDING: &str = "sliding_attention";

/// What it calls one that sees all.
const FULL: &str = "full_attention";

/// `sliding_window`; `usual` where the key is absent, which is something else than `null`: that means none.
pub(super) fn window(fields: &Fields<'_>, usual: Option<usize>) -> Result<Option<usize>, ConfigError> {
    let given = fields.integer("sliding_window", 1, MAX_POSITIONS)?;
    Ok(if fields.is_null("sliding_window") { None } else { given.or(usual) })
}

/// Whether each layer sees a window: as `layer_types` says, or else as `usual` says for the layer of an index.
pub(super) fn sliding(
    fields: &Fields<'_>,
    layers: usize,
    usual: impl Fn(usize) -> bool,
) -> Result<Vec<bool>, ConfigError> {
    let key = "layer_types";
    let Some(value) = fields.value(key) else { return Ok((0..layers).map(usual).collect()) };
    let expected = || fields.wrong(key, value, format!("a list of {layers} kinds of layers"));
    let list = value.as_array().filter(|list| list.len() == layers).ok_or_else(expected)?;
    let kind = |value: &Value| match value.as_str() {
        Some(SLIDING) => Ok(true),
        Some(FULL) => Ok(false),
        Some(other) => Err(fields.invalid(format!(
            "a layer of the kind '{}' ('{key}') is not supported; known are {FULL} and {SLIDING}",
            shown(other)
        ))),
        None => Err(expected()),
    };
    list.iter().map(kind).collect()
}

/// Gives a window to those layers that slide.
pub(super) fn set_windows(spec: &mut ModelSpec, window: Option<usize>, sliding: &[bool]) {
    for (layer, sliding) in spec.layers.iter_mut().zip(sliding) {
        layer.attention.window = window.filter(|_| *sliding);
    }
}

/// Gives a window to every layer.
pub(super) fn window_in_all(spec: &mut ModelSpec, window: Option<usize>) {
    spec.layers.iter_mut().for_each(|layer| layer.attention.window = window);
}
