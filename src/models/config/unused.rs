//! Settings of other families that a config.json may carry along. transformers does not use them for this one either, but
//! whoever trained the model may have.

use serde_json::Value;

use super::fields::{Fields, shown_value};

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

/// Keys that would change the result in another model, that are set, and that have not been read; with their values.
pub(super) fn settings(fields: &Fields<'_>) -> Vec<(String, String)> {
    let set = SETTINGS.iter().filter_map(|(key, neutral)| {
        if fields.was_read(key) {
            return None;
        }
        let value = fields.value(key).filter(|value| !neutral.holds(value))?;
        Some(((*key).to_owned(), shown_value(value)))
    });
    let mut found: Vec<_> = set.collect();
    if !fields.was_read("sliding_window") {
        // A window as long as the context is none.
        let number = |key: &str| fields.value(key).and_then(Value::as_u64);
        let trained = number("max_position_embeddings").unwrap_or(u64::MAX);
        let off = fields.value("use_sliding_window") == Some(&Value::Bool(false));
        let window = number("sliding_window").filter(|&window| window > 0 && window < trained && !off);
        found.extend(window.map(|window| ("sliding_window".to_owned(), window.to_string())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_would_change_something_are_named() {
        let named = |json: &str| -> Vec<String> {
            let read = |fields: &Fields<'_>| Ok(settings(fields));
            let found = super::super::with_fields(json.as_bytes(), "c.json", read).unwrap();
            found.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
        };
        let harmless = r#"{"use_sliding_window": false, "sliding_window": 4096, "max_position_embeddings": 9000,
            "logit_scale": 1, "num_experts": 0, "attn_logit_softcapping": null, "layer_types": ["full_attention"]}"#;
        assert!(named(harmless).is_empty());
        let other = r#"{"sliding_window": 4096, "max_position_embeddings": 8192, "logit_scale": 0.0625,
            "use_qk_norm": true, "layer_types": ["full_attention", "sliding_attention"]}"#;
        assert_eq!(named(other).len(), 4);
        assert!(named(other).contains(&"logit_scale=0.0625".to_owned()));
    }

    #[test]
    fn what_a_family_reads_is_used() {
        let named = |model_type: &str| {
            let json = format!(
                r#"{{"model_type": "{model_type}", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2,
                "num_attention_heads": 8, "vocab_size": 512, "residual_multiplier": 0.5, "clip_qkv": 8.0}}"#
            );
            let config = crate::models::ModelConfig::from_slice(json.as_bytes(), "c.json").unwrap();
            config.unused.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(named("llama"), ["residual_multiplier", "clip_qkv"]);
        assert_eq!(named("granite"), ["clip_qkv"]);
    }
}
