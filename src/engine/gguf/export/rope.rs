//! The rotary embedding of a model as a GGUF file's keys and tensors.

use serde_json::{Map, Value};

use super::super::rope::YARN;
use super::computed;
use crate::format::gguf::{NewValue, StoredTensor};
use crate::models::{ModelSpec, Rope, RopeScaling, RopeSpec, TextSpan};

/// Sets the keys.
pub(super) fn keys(spec: &ModelSpec, config: &Map<String, Value>, set: &mut dyn FnMut(&str, NewValue)) {
    let Some(rope) = spec.ropes.first() else { return };
    set("rope.dimension_count", NewValue::U32(rope.dims as u32));
    set("rope.freq_base", NewValue::F32(rope.theta as f32));
    match &rope.scaling {
        // What the keys cannot say is found when they are read again.
        RopeScaling::None | RopeScaling::Dynamic { .. } | RopeScaling::Llama3 { .. } => {}
        RopeScaling::Linear { factor } => {
            set("rope.scaling.type", NewValue::Text("linear".into()));
            set("rope.scaling.factor", NewValue::F32(*factor as f32));
        }
        RopeScaling::Yarn { factor, original, .. } => {
            set("rope.scaling.type", NewValue::Text("yarn".into()));
            let given = parameters(config);
            for (key, name) in YARN {
                let number = match name {
                    "factor" => Some(*factor),
                    "original_max_position_embeddings" => Some(*original as f64),
                    _ => given.and_then(|given| given.get(name)?.as_f64()),
                };
                match number {
                    Some(n) if name == "original_max_position_embeddings" => {
                        set(key, NewValue::U32(n as u32))
                    }
                    Some(n) => set(key, NewValue::F32(n as f32)),
                    None => {}
                }
            }
        }
        RopeScaling::LongRope { original, attention_factor, .. } => {
            set("rope.scaling.original_context_length", NewValue::U32(*original as u32));
            set("rope.scaling.attn_factor", NewValue::F32(*attention_factor as f32));
        }
    }
}

/// The object of config.json with the numbers of the scaling.
fn parameters(config: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let new = config.get("rope_parameters").and_then(Value::as_object);
    let of_kind = new.and_then(|all| all.get("full_attention")?.as_object());
    of_kind.or(new).or_else(|| config.get("rope_scaling")?.as_object())
}

/// The tensors: divisors of frequencies.
pub(super) fn tensors(spec: &ModelSpec) -> Vec<StoredTensor> {
    let Some(rope) = spec.ropes.first() else { return Vec::new() };
    match &rope.scaling {
        RopeScaling::Llama3 { .. } => {
            let plain = RopeSpec { scaling: RopeScaling::None, ..rope.clone() };
            let [plain, scaled] = [&plain, rope].map(|spec| Rope::new(spec, TextSpan::Original));
            let pairs = plain.frequencies().iter().zip(scaled.frequencies());
            let divisors: Vec<f64> = pairs.map(|(plain, scaled)| plain / scaled).collect();
            vec![computed("rope_freqs.weight", divisors.into_iter())]
        }
        RopeScaling::LongRope { short, long, .. } => vec![
            computed("rope_factors_long.weight", long.iter().copied()),
            computed("rope_factors_short.weight", short.iter().copied()),
        ],
        _ => Vec::new(),
    }
}
