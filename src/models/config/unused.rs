//! Settings of other models that a Llama's config.json may carry along. transformers does not use them either, but
//! whoever trained the model may have.

use serde_json::Value;

/// When a setting changes nothing.
enum Neutral {
    /// `false`.
    False,
    /// 0, or this number.
    Number(f64),
    /// An empty list, or one of this alone.
    All(&'static str),
}

const SETTINGS: &[(&str, Neutral)] = &[
    ("use_sliding_window", Neutral::False),
    ("logit_scale", Neutral::Number(1.0)),
    ("logits_scaling", Neutral::Number(1.0)),
    ("embedding_multiplier", Neutral::Number(1.0)),
    ("residual_multiplier", Neutral::Number(1.0)),
    ("attention_multiplier", Neutral::Number(0.0)),
    ("query_pre_attn_scalar", Neutral::Number(0.0)),
    ("attn_logit_softcapping", Neutral::Number(0.0)),
    ("final_logit_softcapping", Neutral::Number(0.0)),
    ("clip_qkv", Neutral::Number(0.0)),
    ("qk_layernorm", Neutral::False),
    ("use_qk_norm", Neutral::False),
    ("qk_norm", Neutral::False),
    ("alibi", Neutral::False),
    ("num_local_experts", Neutral::Number(1.0)),
    ("num_experts", Neutral::Number(1.0)),
    ("n_routed_experts", Neutral::Number(1.0)),
    ("layer_types", Neutral::All("full_attention")),
    ("no_rope_layers", Neutral::All("")),
];

impl Neutral {
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null | Value::Bool(false)) => true,
            (Neutral::Number(neutral), Value::Number(n)) => {
                n.as_f64().is_some_and(|n| n == 0.0 || n == *neutral)
            }
            (Neutral::All(neutral), Value::Array(list)) => list.iter().all(|v| v.as_str() == Some(neutral)),
            _ => false,
        }
    }
}

/// Keys of a config.json that would change the result in another model, with their values.
pub fn unused_settings(bytes: &[u8]) -> Vec<(String, String)> {
    let Ok(Value::Object(map)) = crate::format::parse_json(bytes) else { return Vec::new() };
    let set = SETTINGS.iter().filter_map(|(key, neutral)| {
        let value = map.get(*key).filter(|value| !neutral.holds(value))?;
        Some(((*key).to_owned(), super::fields::shown_value(value)))
    });
    let mut found: Vec<_> = set.collect();
    // A window as long as the context is none.
    let number = |key: &str| map.get(key).and_then(Value::as_u64);
    let trained = number("max_position_embeddings").unwrap_or(u64::MAX);
    let off = map.get("use_sliding_window") == Some(&Value::Bool(false));
    if let Some(window) = number("sliding_window").filter(|&window| window > 0 && window < trained && !off) {
        found.push(("sliding_window".to_owned(), window.to_string()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_would_change_something_are_named() {
        let named = |json: &str| -> Vec<String> {
            unused_settings(json.as_bytes())
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect()
        };
        let harmless = r#"{"use_sliding_window": false, "sliding_window": 4096, "max_position_embeddings": 9000,
            "logit_scale": 1, "num_experts": 0, "attn_logit_softcapping": null, "layer_types": ["full_attention"]}"#;
        assert!(named(harmless).is_empty());
        let other = r#"{"sliding_window": 4096, "max_position_embeddings": 8192, "logit_scale": 0.0625,
            "use_qk_norm": true, "layer_types": ["full_attention", "sliding_attention"]}"#;
        assert_eq!(named(other).len(), 4);
        assert!(named(other).contains(&"logit_scale=0.0625".to_owned()));
        assert!(named("[]").is_empty() && named("{").is_empty());
    }
}
