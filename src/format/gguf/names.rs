//! Names of tensors: ours are those of Llama's checkpoints on the hub, with our own for what Llama does not have; a GGUF file's
//! are llama.cpp's (`llama-arch.cpp`).

/// Outside of the layers: ours, theirs.
const OUTER: [(&str, &str); 5] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
    ("lm_head.scale", "output.scale"),
    ("lm_head.input_scale", "output.input_scale"),
];

/// Within a layer, without `.weight` or `.bias`.
const INNER: [(&str, &str); 14] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("attention_output_norm", "post_attention_norm"),
    ("feed_forward_output_norm", "post_ffw_norm"),
];

/// Splits `model.layers.7.self_attn.q_proj.weight` at the layer and before the kind.
fn parts<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str, &'a str)> {
    let (layer, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    let (inner, kind) = rest.rsplit_once('.')?;
    // As it is written: no sign, no zeros in front.
    let number = layer.parse::<usize>().ok().filter(|n| n.to_string() == layer)?;
    Some((number, inner, kind))
}

/// The name in a GGUF file of the tensor that is `name` in a checkpoint of Llama; `None` for one that has none there.
pub fn theirs(name: &str) -> Option<String> {
    if let Some((_, theirs)) = OUTER.iter().find(|(ours, _)| *ours == name) {
        return Some((*theirs).to_owned());
    }
    let (layer, inner, kind) = parts(name, "model.layers.")?;
    let (_, theirs) = INNER.iter().find(|(ours, _)| *ours == inner)?;
    Some(format!("blk.{layer}.{theirs}.{kind}"))
}

/// The opposite of [`theirs`].
pub fn ours(name: &str) -> Option<String> {
    if let Some((ours, _)) = OUTER.iter().find(|(_, theirs)| *theirs == name) {
        return Some((*ours).to_owned());
    }
    let (layer, inner, kind) = parts(name, "blk.")?;
    let (ours, _) = INNER.iter().find(|(_, theirs)| *theirs == inner)?;
    Some(format!("model.layers.{layer}.{ours}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn every_tensor_of_a_layer_has_a_name_there_and_back() {
        for (part, _) in INNER {
            let name = format!("model.layers.12.{part}.weight");
            assert_eq!(ours(&theirs(&name).unwrap()), Some(name));
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
    }
}
