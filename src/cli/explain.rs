//! `--explain`: what a model is made of, for a person or as JSON. All of it comes from the [`ModelSpec`] that the forward
//! pass runs and from the tensors as they are loaded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::stdout;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::args::Args;
use super::output::Stream;
use crate::core::{DType, KvLayout, KvTypes};
use crate::engine::ModelFiles;
use crate::host::{available_bytes, human_bytes};
use crate::models::llama::{parameter_count, tensor_specs};
use crate::models::{
    AttentionSpec, LayerSpec, ModelSpec, NormPlan, QkNorm, RopeScaling, RopeSpec, TensorRole, WeightPlan,
};

/// Lengths of texts whose cache is shown.
const TOKENS: [usize; 3] = [1024, 8192, 32_768];

/// Prints the page, or with `--json` an object.
pub fn print(args: &Args, files: &ModelFiles) -> Result<ExitCode> {
    let plan = files.plan(args.weights(), available_bytes())?;
    let explained = Explained { files, spec: &files.config.spec, plan, types: args.kv.types() };
    let text = if args.json { explained.json()?.to_string() } else { explained.page()? };
    let mut out = Stream::new(Some(stdout()), true);
    let _ = out.write(&text);
    out.finish().context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

struct Explained<'a> {
    files: &'a ModelFiles,
    spec: &'a ModelSpec,
    plan: WeightPlan,
    types: KvTypes,
}

/// Tensors of a kind that are stored in one type and computed in one format.
struct Tensors {
    part: String,
    stored: DType,
    format: DType,
    count: usize,
    bytes: u64,
}

impl Explained<'_> {
    /// The layers that are alike, in the order of the first of each.
    fn kinds(&self) -> Vec<(Vec<usize>, &LayerSpec)> {
        let mut kinds: Vec<(Vec<usize>, &LayerSpec)> = Vec::new();
        for (index, layer) in self.spec.layers.iter().enumerate() {
            match kinds.iter_mut().find(|(_, kind)| *kind == layer) {
                Some((indices, _)) => indices.push(index),
                None => kinds.push((vec![index], layer)),
            }
        }
        kinds
    }

    /// The tensors by part, in the order in which they are read.
    fn tensors(&self) -> Result<Vec<Tensors>> {
        let mut all: Vec<Tensors> = Vec::new();
        for asked in tensor_specs(self.spec).into_iter().filter(|asked| asked.role != TensorRole::Vector) {
            let tensor = self.files.tensors.get(&asked.name)?;
            let stored = tensor.map_or(DType::F32, |tensor| tensor.dtype());
            let (rows, cols) = asked.shape.as_matrix().unwrap_or_default();
            let format = self.plan.format(asked.role, stored, cols);
            let bytes = (rows as u64).saturating_mul(format.bytes_for(cols).unwrap_or_default() as u64);
            let part = part_of(&asked.name);
            match all.iter_mut().find(|t| t.part == part && t.stored == stored && t.format == format) {
                Some(same) => (same.count, same.bytes) = (same.count + 1, same.bytes + bytes),
                None => all.push(Tensors { part, stored, format, count: 1, bytes }),
            }
        }
        Ok(all)
    }

    /// Bytes of keys and values of a text of so many tokens: whole pages, and in a layer with a window no more than those that
    /// it reaches into.
    fn cache_bytes(&self, tokens: usize) -> u64 {
        let of = |a: &AttentionSpec| {
            let layout = KvLayout { types: self.types, kv_heads: a.kv_heads, head_dim: a.head_dim };
            let held = a
                .window
                .filter(|_| a.ahead == 0)
                .map_or(tokens, |window| tokens.min(window + KvLayout::PAGE));
            (layout.bytes_per_token() as u64).saturating_mul(held.next_multiple_of(KvLayout::PAGE) as u64)
        };
        self.spec.layers.iter().map(|layer| of(&layer.attention)).sum()
    }

    fn page(&self) -> Result<String> {
        let Self { files, spec, .. } = self;
        let mut page = String::new();
        let mut line = |name: &str, text: String| {
            let _ = writeln!(page, "{name:<12} {text}");
        };
        line("model", files.origin.clone());
        line("family", format!("{}, {} parameters", files.config.family, parameter_count(spec)));
        line("trained for", format!("{} tokens", spec.max_positions));
        let scale = |factor: f32, of: &str| {
            if factor == 1.0 { String::new() } else { format!(", {of} times {factor}") }
        };
        line(
            "embedding",
            format!(
                "{} tokens of {}{}",
                spec.vocab_size,
                spec.hidden_size,
                scale(spec.embedding_scale, "rows")
            ),
        );
        for (indices, layer) in self.kinds() {
            line("layers", ranges(&indices));
            for text in layer_lines(layer) {
                line("", text);
            }
        }
        for (index, rope) in spec.ropes.iter().enumerate() {
            line("rotation", format!("{index}: {}", rope_text(rope)));
        }
        let output = if spec.output.tied { "the embedding matrix" } else { "a matrix of its own" };
        let cap = spec.output.softcap.map_or_else(String::new, |cap| format!(", logits within {cap}"));
        line("output", format!("{output}{}{cap}", scale(spec.output.scale, "logits")));
        for t in self.tensors()? {
            let how = if t.stored == t.format {
                format!("{}", t.format)
            } else {
                format!("{}, stored as {}", t.format, t.stored)
            };
            line("weights", format!("{} x {}: {how}, {}", t.count, t.part, human_bytes(t.bytes)));
        }
        line("", format!("{} in all", human_bytes(files.weight_mix(self.plan)?.bytes())));
        for tokens in TOKENS.into_iter().filter(|n| *n <= spec.max_positions.max(TOKENS[0])) {
            let bytes = human_bytes(self.cache_bytes(tokens));
            line("cache", format!("{bytes} for {tokens} tokens as {}", self.types));
        }
        match files.warnings.as_slice() {
            [] => line("not used", "nothing that changes the result".to_owned()),
            warnings => warnings.iter().for_each(|warning| line("note", warning.to_string())),
        }
        Ok(page)
    }

    fn json(&self) -> Result<Value> {
        let Self { files, spec, .. } = self;
        let kinds: Vec<Value> =
            self.kinds().into_iter().map(|(indices, layer)| layer_json(&indices, layer)).collect();
        let ropes: Vec<Value> = spec
            .ropes
            .iter()
            .map(|rope| json!({"theta": rope.theta, "dims": rope.dims, "scaling": scaling_name(&rope.scaling)}))
            .collect();
        let tensors: Vec<Value> = self
            .tensors()?
            .into_iter()
            .map(|t| {
                json!({"part": t.part, "count": t.count, "stored": t.stored.name(), "format": t.format.name(), "bytes": t.bytes})
            })
            .collect();
        let cache: BTreeMap<String, u64> =
            TOKENS.into_iter().map(|tokens| (tokens.to_string(), self.cache_bytes(tokens))).collect();
        Ok(json!({
            "model": files.origin,
            "family": files.config.family.name,
            "parameters": parameter_count(spec),
            "max_positions": spec.max_positions,
            "vocab_size": spec.vocab_size,
            "hidden_size": spec.hidden_size,
            "norm_eps": spec.norm_eps,
            "embedding_scale": spec.embedding_scale,
            "layers": spec.layers.len(),
            "layer_kinds": kinds,
            "ropes": ropes,
            "output": {"tied": spec.output.tied, "scale": spec.output.scale, "softcap": spec.output.softcap},
            "weights": tensors,
            "weight_bytes": files.weight_mix(self.plan)?.bytes(),
            "kv_type": self.types.to_string(),
            "cache_bytes": cache,
            "notes": files.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))
    }
}

/// The part of a tensor's name that all layers have in common.
fn part_of(name: &str) -> String {
    let name = name.trim_end_matches(".weight");
    let within = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    within.map_or(name.trim_start_matches("model."), |(_, part)| part).to_owned()
}

/// `0-4, 6, 8-9`.
fn ranges(indices: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => parts.push((index, index)),
        }
    }
    let text = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    parts.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

fn layer_lines(layer: &LayerSpec) -> Vec<String> {
    let a = &layer.attention;
    let mut attention = format!("attention: {} heads over {} of {}", a.heads, a.kv_heads, a.head_dim);
    match a.window {
        _ if a.ahead == usize::MAX => attention += ", all tokens, later ones too",
        Some(window) if a.ahead > 0 => {
            attention += &format!(", {window} tokens, {} of them later ones", a.ahead)
        }
        Some(window) => attention += &format!(", the last {window} tokens"),
        None => attention += ", all tokens",
    }
    match a.rope {
        Some(rope) => attention += &format!(", rotation {rope}"),
        None => attention += ", no positions",
    }
    attention += &format!(", scores times {}", a.scale);
    if let Some(cap) = a.softcap {
        attention += &format!(", within {cap}");
    }
    match a.qk_norm {
        QkNorm::None => {}
        QkNorm::PerHead => attention += ", queries and keys normed by head",
        QkNorm::Whole => attention += ", queries and keys normed",
    }
    let biased = [("q", a.biases.q), ("k", a.biases.k), ("v", a.biases.v), ("o", a.biases.o)];
    attention += &biases(&biased);
    let f = &layer.ffn;
    let biased = [("gate", f.biases.gate), ("up", f.biases.up), ("down", f.biases.down)];
    let ffn = format!("feed-forward: {} wide, {}{}", f.width, f.activation, biases(&biased));
    let norms = match layer.norms {
        NormPlan { before: true, after: true } => "norms: before and after each half",
        NormPlan { before: true, after: false } => "norms: before each half",
        NormPlan { before: false, after: true } => "norms: after each half",
        NormPlan { before: false, after: false } => "norms: none",
    };
    let mut lines = vec![attention, ffn, norms.to_owned()];
    if layer.residual_scale != 1.0 {
        lines.push(format!("each half is added {} times", layer.residual_scale));
    }
    lines
}

fn biases(all: &[(&str, bool)]) -> String {
    let there: Vec<&str> = all.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if there.is_empty() { String::new() } else { format!(", biases of {}", there.join(", ")) }
}

fn layer_json(indices: &[usize], layer: &LayerSpec) -> Value {
    let a = &layer.attention;
    json!({
        "layers": indices,
        "attention": {
            "heads": a.heads, "kv_heads": a.kv_heads, "head_dim": a.head_dim, "rope": a.rope, "window": a.window,
            "causal": a.ahead == 0,
            "scale": a.scale, "softcap": a.softcap,
            "qk_norm": match a.qk_norm {
                QkNorm::None => Value::Null,
                QkNorm::PerHead => "per_head".into(),
                QkNorm::Whole => "whole".into(),
            },
            "biases": {"q": a.biases.q, "k": a.biases.k, "v": a.biases.v, "o": a.biases.o},
        },
        "ffn": {
            "width": layer.ffn.width,
            "activation": layer.ffn.activation.name(),
            "biases": {"gate": layer.ffn.biases.gate, "up": layer.ffn.biases.up, "down": layer.ffn.biases.down},
        },
        "norms": {"before": layer.norms.before, "after": layer.norms.after},
        "residual_scale": layer.residual_scale,
    })
}

fn scaling_name(scaling: &RopeScaling) -> &'static str {
    match scaling {
        RopeScaling::None => "default",
        RopeScaling::Linear { .. } => "linear",
        RopeScaling::Dynamic { .. } => "dynamic",
        RopeScaling::Yarn { .. } => "yarn",
        RopeScaling::Llama3 { .. } => "llama3",
        RopeScaling::LongRope { .. } => "longrope",
    }
}

fn rope_text(rope: &RopeSpec) -> String {
    let mut text = format!("base {}, {} values of a head", rope.theta, rope.dims);
    match &rope.scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor }
        | RopeScaling::Dynamic { factor, .. }
        | RopeScaling::Yarn { factor, .. } => {
            text += &format!(", {} by {factor}", scaling_name(&rope.scaling));
        }
        RopeScaling::Llama3 { factor, .. } => text += &format!(", llama3 by {factor}"),
        RopeScaling::LongRope { .. } => text += ", longrope",
    }
    if let Some(switch) = rope.scaling.switch() {
        text += &format!(", others for texts of more than {switch} tokens");
    }
    if let Some(growth) = rope.query_growth {
        text += &format!(", queries grow by {} every {} tokens", growth.beta, growth.original);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_by_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 4, 6, 7]), "0-2, 4, 6-7");
        assert_eq!(part_of("model.layers.11.mlp.down_proj.weight"), "mlp.down_proj");
        assert_eq!(part_of("model.embed_tokens.weight"), "embed_tokens");
    }
}
