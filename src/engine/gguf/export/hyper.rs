//! Dimensions and constants of a model as a GGUF file's keys.

use serde_json::{Map, Value};

use super::rope;
use crate::format::gguf::{NewMetadata, NewValue};
use crate::models::{Family, ModelSpec};

/// How it is said which layers see a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// As it is usual in the family.
    Usual,
    /// All but every so many.
    Period,
    /// By a truth value for each layer.
    List,
}

impl Pattern {
    /// The plainest first.
    pub const ALL: [Self; 3] = [Self::Usual, Self::Period, Self::List];
}

/// What keys are made of.
pub(super) struct Writer<'a> {
    pub architecture: &'a str,
    pub family: &'static Family,
    pub spec: &'a ModelSpec,
    /// config.json.
    pub config: &'a Map<String, Value>,
    pub name: &'a str,
}

impl Writer<'_> {
    /// The keys; `None` if the pattern cannot be said so.
    pub fn keys(&self, pattern: Pattern) -> Option<NewMetadata> {
        let (spec, mut keys) = (self.spec, NewMetadata::default());
        keys.set("general.architecture", &NewValue::Text(self.architecture.into()));
        keys.set("general.type", &NewValue::Text("model".into()));
        if !self.name.is_empty() {
            keys.set("general.name", &NewValue::Text(self.name.into()));
        }
        let layer = spec.layers.first()?;
        let attention = &layer.attention;
        let count = |n: usize| NewValue::U32(u32::try_from(n).unwrap_or(u32::MAX));
        let mut set = |key: &str, value: NewValue| keys.set(&self.full(key), &value);
        set("context_length", count(spec.max_positions));
        set("embedding_length", count(spec.hidden_size));
        set("block_count", count(spec.layers.len()));
        set("feed_forward_length", count(layer.ffn.width));
        set("attention.head_count", count(attention.heads));
        set("attention.head_count_kv", count(attention.kv_heads));
        set("attention.key_length", count(attention.head_dim));
        set("attention.value_length", count(attention.head_dim));
        set("attention.layer_norm_rms_epsilon", NewValue::F32(spec.norm_eps));
        set("vocab_size", count(spec.vocab_size));
        let windows = || spec.layers.iter().map(|layer| layer.attention.window);
        if self.family.gguf.windows {
            set("attention.sliding_window", count(windows().flatten().max().unwrap_or(0)));
        }
        let key = "attention.sliding_window_pattern";
        match pattern {
            Pattern::Usual => {}
            Pattern::Period => {
                let period = windows().position(|window| window.is_none())? + 1;
                set(key, count(period));
            }
            Pattern::List => set(key, NewValue::Bools(windows().map(|window| window.is_some()).collect())),
        }
        for (key, config) in self.family.gguf.keys {
            if let Some(number) =
                self.config.get(*config).and_then(Value::as_f64).or_else(|| self.implied(key))
            {
                set(key, NewValue::F32(number as f32));
            }
        }
        rope::keys(spec, self.config, &mut set);
        Some(keys)
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// What a key of the family means where config.json has none.
    fn implied(&self, key: &str) -> Option<f64> {
        let spec = self.spec;
        let layer = spec.layers.first()?;
        match key {
            "attn_logit_softcapping" => layer.attention.softcap.map(f64::from),
            "final_logit_softcapping" => spec.output.softcap.map(f64::from),
            "rope.freq_base_swa" => spec.ropes.get(1).map(|rope| rope.theta),
            "attention.scale" => Some(layer.attention.scale.into()),
            "embedding_scale" => Some(spec.embedding_scale.into()),
            "residual_scale" => Some(layer.residual_scale.into()),
            "logit_scale" => Some(1.0 / f64::from(spec.output.scale)),
            _ => None,
        }
    }
}
