//! What a model's files hold that changes a result elsewhere and nothing here: it is named, not passed over.

use std::collections::BTreeSet;

use super::EngineError;
use super::gguf;
use super::warning::ModelWarning;
use crate::format::{FormatError, TensorSource};
use crate::models::llama::tensor_specs;
use crate::models::{ModelSpec, StoredTensors};

/// Ends of the names of tensors that change nothing: numbers that follow from the configuration.
const HARMLESS: [&str; 8] = [
    ".rotary_emb.inv_freq",
    ".attn.masked_bias",
    ".attn.bias",
    ".attn_rot_embd.weight",
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    ".position_ids",
];

/// Kinds of tensors that a warning names, beside the first.
const KINDS: usize = 3;

/// A warning about tensors that nothing reads.
///
/// # Errors
/// Those of a GGUF file: whatever such a file holds changes what it computes. transformers leaves out what its
/// configuration does not ask for, and so do we.
pub(super) fn tensors(
    tensors: &StoredTensors,
    spec: &ModelSpec,
) -> Result<Option<ModelWarning>, EngineError> {
    let used: BTreeSet<String> = tensor_specs(spec).into_iter().map(|asked| asked.name).collect();
    let names = tensors.names();
    let read = |name: &str| used.contains(name) || gguf::DENSE.contains(&name);
    let unused = names.into_iter().filter(|name| !read(name) && !is_harmless(tensors, spec, name));
    let unused: Vec<&str> = unused.collect();
    let Some(first) = unused.first() else { return Ok(None) };
    if let Some(file) = tensors.checkpoint().gguf() {
        let (path, name) = (file.path().display().to_string(), file.stored_name(&tensors.stored_name(first)));
        return Err(EngineError::UnreadTensor { path, name, count: unused.len() });
    }
    let mut kinds = BTreeSet::from([kind(first)]);
    let others = unused.iter().filter(|name| kinds.insert(kind(name))).take(KINDS);
    Ok(Some(ModelWarning::UnusedTensors {
        origin: tensors.location(first),
        count: unused.len(),
        first: (*first).to_owned(),
        others: others.map(|name| (*name).to_owned()).collect(),
    }))
}

/// A tensor's name without the numbers of layers.
fn kind(name: &str) -> String {
    let parts = name.split('.').map(|part| if part.bytes().all(|b| b.is_ascii_digit()) { "*" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

fn is_harmless(tensors: &StoredTensors, spec: &ModelSpec, name: &str) -> bool {
    HARMLESS.iter().any(|end| name.ends_with(end))
        || tensors.is_scale(name)
        || spec.output.tied && name == "lm_head.weight" && is_embedding(tensors, name).is_ok_and(|same| same)
}

/// Whether an output matrix is the embedding once more, going by some rows.
fn is_embedding(tensors: &StoredTensors, name: &str) -> Result<bool, FormatError> {
    let (Some(output), Some(embedding)) = (tensors.get(name)?, tensors.get("model.embed_tokens.weight")?)
    else {
        return Ok(false);
    };
    let (rows, _) = output.matrix_dims();
    let same_form = (output.dtype(), output.shape()) == (embedding.dtype(), embedding.shape());
    let some = [0, rows / 3, rows / 2, rows.saturating_sub(1)];
    Ok(same_form && rows > 0 && some.iter().all(|&row| output.row_bytes(row) == embedding.row_bytes(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_do_not_depend_on_the_layer() {
        assert_eq!(
            kind("model.layers.12.self_attn.q_norm.weight"),
            kind("model.layers.0.self_attn.q_norm.weight")
        );
        assert_ne!(kind("model.layers.1.a"), kind("model.layers.1.b"));
    }
}
