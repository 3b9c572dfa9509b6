//! A family that exists nowhere, in some thirty lines: what a new one takes that needs nothing new of the forward pass.

use super::{Family, Gguf, Storage, Stored};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::core::{Backend, DType, KvSequence};
use crate::models::config::{ConfigError, Fields, with_fields};
use crate::models::decoder::{Decoder, Defaults};
use crate::models::llama::{Llama, Share};
use crate::models::spec::{ModelSpec, NormPlan, QkNorm};
use crate::models::{RandomWeights, random_ids};

/// Norms after each half alone, one of each head, no positions in every other layer, a window in the others, one matrix for
/// gate and up.
const FAMILY: Family = Family {
    name: "madeup",
    aliases: &[],
    classes: &["MadeUpForCausalLM"],
    spec,
    checkpoint: Storage {
        parts: &[
            Stored::As { ours: "attention_output_norm", theirs: "norm1" },
            Stored::Fused { theirs: "ffn_in", ours: &["mlp.gate_proj", "mlp.up_proj"] },
        ],
        ..Storage::PLAIN
    },
    gguf: Gguf { architectures: &["madeup"], ..Gguf::NONE },
};

fn spec(fields: &Fields<'_>) -> Result<ModelSpec, ConfigError> {
    let mut spec = Decoder::read(fields, &Defaults { tied: true, ..Defaults::default() })?.spec();
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.norms = NormPlan { before: false, after: true };
        layer.attention.qk_norm = QkNorm::PerHead;
        layer.attention.rope = (index % 2 == 0).then_some(0);
        layer.attention.window = (index % 2 == 0).then_some(5);
        layer.residual_scale = 0.5;
    }
    spec.output.softcap = Some(20.0);
    Ok(spec)
}

fn logits<B: Backend>(backend: &B, spec: &ModelSpec) -> Vec<f32> {
    let source = RandomWeights::new(spec);
    let model = Llama::load(backend, &source, spec.clone(), DType::F32, &mut |_| ()).unwrap();
    let mut pool = model.new_pool(backend, DType::F32.into(), 64).unwrap();
    let mut sequence = KvSequence::new(&pool, 32);
    let mut workspace = model.workspace(backend, 8, 1).unwrap();
    let mut logits = vec![0.0; spec.vocab_size];
    let ids = random_ids(spec.vocab_size, 21);
    for part in ids.chunks(8) {
        let mut share = [Share::new(&mut sequence, part, 1)];
        model.forward(backend, &mut pool, &mut share, &mut workspace).unwrap();
    }
    model.logits_of(backend, 0, &mut workspace, &mut logits).unwrap();
    logits
}

#[test]
fn a_new_family_is_a_small_file() {
    let json =
        br#"{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 64}"#;
    let spec = with_fields(json, "c.json", |fields| (FAMILY.spec)(fields)).unwrap();
    let cpu = CpuBackend::new(CpuOptions { threads: Some(2), isa: None }).unwrap();
    let (ours, reference) = (logits(&cpu, &spec), logits(&ReferenceBackend, &spec));
    for (a, b) in ours.iter().zip(&reference) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    // What it asks for matters.
    let mut plain = spec.clone();
    plain.layers.iter_mut().for_each(|layer| layer.attention.window = None);
    let other = logits(&ReferenceBackend, &plain);
    assert!(reference.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-4));
}
