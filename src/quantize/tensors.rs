//! What a tensor of a GGUF file is for, by its name.

/// What a matrix does in a layer, as far as mixes treat it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Embedding,
    Output,
    Query,
    Key,
    Value,
    /// Queries, keys and values in one.
    Fused,
    /// Keys and values out of a latent vector.
    KeyValue,
    AttentionOutput,
    Up,
    Gate,
    Down,
    Other,
}

impl Role {
    /// That of the tensor with this name.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "output.weight" => return Role::Output,
            "token_embd.weight" | "per_layer_token_embd.weight" => return Role::Embedding,
            _ => {}
        }
        let parts = [
            ("attn_qkv.weight", Role::Fused),
            ("attn_kv_b.weight", Role::KeyValue),
            ("attn_v.weight", Role::Value),
            ("attn_k.weight", Role::Key),
            ("attn_q.weight", Role::Query),
            ("attn_output.weight", Role::AttentionOutput),
            ("ffn_up", Role::Up),
            ("ffn_gate", Role::Gate),
            ("ffn_down", Role::Down),
        ];
        parts.iter().find(|(part, _)| name.contains(part)).map_or(Role::Other, |&(_, role)| role)
    }

    /// Whether values come out of it, which suffer most from few bits.
    pub(super) fn gives_values(self) -> bool {
        matches!(self, Role::Value | Role::Fused | Role::KeyValue)
    }
}

/// Parts of names of matrices that stay as they are: small ones, and those that are no weights of a product.
const KEPT: [&str; 29] = [
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v",
    "time_mix_a",
    "time_mix_g",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    "position_embd",
    "token_types.weight",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "sam.",
    "a.rvq.codebook",
    "mm.a.code_embd",
];

/// Whether a tensor may get another type, as llama.cpp has it: matrices of weights.
pub(super) fn may_change(name: &str, dims: &[usize]) -> bool {
    let rank = dims.len() - dims.iter().take_while(|&&dim| dim == 1).count().min(dims.len());
    rank >= 2 && name.ends_with("weight") && !KEPT.iter().any(|part| name.contains(part))
}

/// Layers in order, then names in order: the order in which rules count.
pub(super) fn order(name: &str) -> (Option<usize>, &str) {
    let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse().ok());
    (layer, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_by_name() {
        assert_eq!(Role::of("blk.3.attn_v.weight"), Role::Value);
        assert_eq!(Role::of("blk.3.ffn_down_exps.weight"), Role::Down);
        assert_eq!(Role::of("blk.3.attn_qkv.weight"), Role::Fused);
        assert_eq!(Role::of("token_embd.weight"), Role::Embedding);
        assert_eq!(Role::of("blk.0.ssm_in.weight"), Role::Other);
    }

    #[test]
    fn norms_biases_and_routers_stay() {
        assert!(may_change("blk.0.attn_q.weight", &[64, 64]));
        assert!(may_change("blk.0.ffn_up_exps.weight", &[8, 64, 64]));
        for (name, dims) in [
            ("blk.0.attn_norm.weight", &[64][..]),
            ("blk.0.attn_q.bias", &[64]),
            ("blk.0.attn_q_norm.weight", &[2, 64]),
            ("blk.0.ffn_gate_inp.weight", &[8, 64]),
            ("blk.0.attn_q.weight", &[1, 64]),
            ("rope_freqs.weight", &[32]),
        ] {
            assert!(!may_change(name, dims), "{name}");
        }
    }

    #[test]
    fn layers_are_counted_as_numbers() {
        let mut names = ["blk.10.a", "blk.9.b", "output.weight", "blk.9.a"];
        names.sort_by_key(|name| order(name));
        assert_eq!(names, ["output.weight", "blk.9.a", "blk.9.b", "blk.10.a"]);
    }
}
