//! Phi 3 and Phi 4 mini (Abdin et al. 2024, arXiv 2404.14219): Llama with fused matrices, a rotation of a part of each head,
//! and in some versions other frequencies for long texts.

use super::layer_types::{window, window_in_all};
use super::{Family, Gguf, Storage, Stored};
use crate::models::config::{ConfigError, Fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    aliases: &[],
    classes: &["Phi3ForCausalLM"],
    spec,
    checkpoint: Storage {
        parts: &[QKV, Stored::Fused { theirs: "mlp.gate_up_proj", ours: &["mlp.gate_proj", "mlp.up_proj"] }],
        ..Storage::PLAIN
    },
    gguf: Gguf {
        architectures: &["phi3"],
        windows: true,
        storage: Storage {
            parts: &[QKV, Stored::Fused { theirs: "mlp.up_proj", ours: &["mlp.gate_proj", "mlp.up_proj"] }],
            ..Storage::PLAIN
        },
        ..Gguf::NONE
    },
};

const QKV: Stored = Stored::Fused {
    theirs: "self_attn.qkv_proj",
    ours: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let defaults =
        Defaults { max_positions: 4096, norm_eps: 1e-5, partial_rotary: true, ..Defaults::default() };
    let mut spec = Decoder::read(fields, &defaults)?.spec();
    window_in_all(&mut spec, window(fields, None)?);
    Ok(spec)
}
