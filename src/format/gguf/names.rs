//! Names of a Llama's tensors: ours are those of Hugging Face, a GGUF file's are llama.cpp's (`llama-arch.cpp`).

/// Outside of the layers: ours, theirs.
const OUTER: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];

/// Within a layer, without `.weight` or `.bias`.
const INNER: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Splits `model.layers.7.self_attn.q_proj.weight` at the layer and before the kind.
fn parts<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str, &'a str)> {
    let (layer, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    let (inner, kind) = rest.rsplit_once('.')?;
    // As it is written: no sign, no zeros in front.
    let number = layer.parse::<usize>().ok().filter(|n| n.to_string() == layer)?;
    Some((number, inner, kind))
}

/// The name in a GGUF file of the tensor that is `name` here.
pub(super) fn theirs(name: &str) -> Option<String> {
    if let Some((_, theirs)) = OUTER.iter().find(|(ours, _)| *ours == name) {
        return Some((*theirs).to_owned());
    }
    let (layer, inner, kind) = parts(name, "model.layers.")?;
    let (_, theirs) = INNER.iter().find(|(ours, _)| *ours == inner)?;
    Some(format!("blk.{layer}.{theirs}.{kind}"))
}

/// The opposite of [`theirs`].
pub(super) fn ours(name: &str) -> Option<String> {
    if let Some((ours, _)) = OUTER.iter().find(|(_, theirs)| *theirs == name) {
        return Some((*ours).to_owned());
    }
    let (layer, inner, kind) = parts(name, "blk.")?;
    let (ours, _) = INNER.iter().find(|(_, theirs)| *theirs == inner)?;
    Some(format!("model.layers.{layer}.{ours}.{kind}"))
}

/// Whether the rows of a tensor of that GGUF name are those of heads that the rotary embedding turns.
pub(super) fn is_rotated(name: &str) -> bool {
    matches!(parts(name, "blk."), Some((_, "attn_q" | "attn_k", _)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::NamedShape;
    use crate::models::llama::tensor_specs;

    #[test]
    fn every_tensor_of_a_llama_has_a_name_there_and_back() {
        let mut config = NamedShape::Llama32x1B.config();
        (config.tie_word_embeddings, config.attention_bias, config.mlp_bias) = (false, true, true);
        let names: Vec<String> = tensor_specs(&config).into_iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), 16 * 16 + 3);
        for name in &names {
            assert_eq!(ours(&theirs(name).unwrap()).as_ref(), Some(name));
        }
        assert_eq!(theirs("model.layers.7.self_attn.q_proj.weight").unwrap(), "blk.7.attn_q.weight");
        assert_eq!(theirs("model.layers.15.mlp.down_proj.bias").unwrap(), "blk.15.ffn_down.bias");
        for other in [
            "blk.07.attn_q.weight",
            "blk.x.attn_q.weight",
            "blk.1.attn_sinks.weight",
            "rope_freqs.weight",
            "",
        ] {
            assert_eq!(ours(other), None);
        }
        assert!(is_rotated("blk.3.attn_q.weight") && is_rotated("blk.3.attn_k.bias"));
        assert!(!is_rotated("blk.3.attn_v.weight") && !is_rotated("attn_q.weight"));
    }
}
