//! Models of a known shape with random weights: for measuring, where the work counts and the numbers do not.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use half::bf16;
use rayon::prelude::*;

use super::{Decoder, ModelSpec, RopeScaling, RopeSpec};
use crate::core::{Activation, DType, HostTensor, Shape};
use crate::format::{FormatError, TensorSource};
use crate::models::llama::tensor_specs;

/// A model whose dimensions are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedShape {
    /// Llama 3.2 1B: 1.24 billion parameters.
    Llama32x1B,
    /// Llama 3.2 3B: 3.21 billion parameters.
    Llama32x3B,
    /// The demo model inside the program: 1.44 million parameters.
    Demo,
}

/// A name that is no [`NamedShape`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown shape '{0}'; known are llama3.2-1b, llama3.2-3b, demo")]
pub struct UnknownShape(pub String);

impl NamedShape {
    /// Every shape.
    pub const ALL: [NamedShape; 3] = [NamedShape::Llama32x1B, NamedShape::Llama32x3B, NamedShape::Demo];

    /// The name used in flags.
    pub const fn name(self) -> &'static str {
        match self {
            NamedShape::Llama32x1B => "llama3.2-1b",
            NamedShape::Llama32x3B => "llama3.2-3b",
            NamedShape::Demo => "demo",
        }
    }

    /// The model's dimensions and constants, as its config.json gives them.
    pub fn decoder(self) -> Decoder {
        let plain = RopeSpec { theta: 10_000.0, dims: 32, scaling: RopeScaling::None, query_growth: None };
        let llama3 = RopeSpec {
            theta: 500_000.0,
            dims: 64,
            scaling: RopeScaling::Llama3 {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original: 8192,
            },
            ..plain.clone()
        };
        let one_b = Decoder {
            vocab_size: 128_256,
            hidden_size: 2048,
            intermediate_size: 8192,
            layers: 16,
            heads: 32,
            kv_heads: 8,
            head_dim: 64,
            max_positions: 131_072,
            norm_eps: 1e-5,
            activation: Activation::Silu,
            attention_bias: false,
            mlp_bias: false,
            tied: true,
            rope: llama3,
        };
        match self {
            NamedShape::Llama32x1B => one_b,
            NamedShape::Llama32x3B => Decoder {
                hidden_size: 3072,
                layers: 28,
                heads: 24,
                head_dim: 128,
                rope: RopeSpec { dims: 128, ..one_b.rope.clone() },
                ..one_b
            },
            NamedShape::Demo => Decoder {
                vocab_size: 2048,
                hidden_size: 128,
                intermediate_size: 384,
                layers: 6,
                heads: 4,
                kv_heads: 2,
                head_dim: 32,
                max_positions: 512,
                rope: plain,
                ..one_b
            },
        }
    }
}

impl fmt::Display for NamedShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NamedShape {
    type Err = UnknownShape;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|n| n.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| UnknownShape(s.to_owned()))
    }
}

/// The tensors that a configuration asks for, as bf16, made when they are asked for and not kept: memory stays
/// near one tensor.
///
/// Matrices and biases have mean 0 and standard deviation 0.02, norm gains 1 and 0.05. A tensor is the same
/// each time, on every machine: element `i` follows from its name and `i` alone.
#[derive(Debug)]
pub struct RandomWeights {
    tensors: BTreeMap<String, Shape>,
}

impl RandomWeights {
    /// The tensors of a model.
    pub fn new(spec: &ModelSpec) -> Self {
        let tensors = tensor_specs(spec).into_iter().map(|t| (t.name, t.shape)).collect();
        Self { tensors }
    }
}

impl TensorSource for RandomWeights {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let Some(&shape) = self.tensors.get(name) else { return Ok(None) };
        let impossible = |reason: String| FormatError::Tensor {
            path: self.location(name).into(),
            name: name.to_owned(),
            reason,
        };
        let bytes = shape.elements().and_then(|n| n.checked_mul(2));
        let bytes = bytes.ok_or_else(|| impossible(format!("cannot be made: shape {shape} is too large")))?;
        let mut data = Vec::new();
        data.try_reserve_exact(bytes)
            .map_err(|_| impossible(format!("cannot be made: no memory for {bytes} bytes")))?;
        data.resize(bytes, 0);
        let gain = name.ends_with("norm.weight");
        let (mean, deviation) = if gain { (1.0, 0.05) } else { (0.0, 0.02) };
        fill(seed_of(name), mean, deviation, &mut data);
        HostTensor::new(name, DType::BF16, shape, data.into())
            .map(Some)
            .map_err(|e| impossible(e.to_string()))
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn location(&self, _: &str) -> String {
        "random weights".to_owned()
    }

    fn total_bytes(&self) -> u64 {
        self.tensors.values().filter_map(Shape::elements).map(|n| 2 * n as u64).sum()
    }
}

/// `count` token ids below `vocab`, the same ones each time.
pub fn random_ids(vocab: usize, count: usize) -> Vec<u32> {
    let vocab = u64::try_from(vocab.max(1)).unwrap_or(u64::MAX);
    (0..count as u64).map(|i| (mixed(i) % vocab) as u32).collect()
}

/// Writes bf16 values of nearly normal distribution: sums of four uniform ones, which are bounded by 3.5
/// deviations.
fn fill(seed: u64, mean: f32, deviation: f32, out: &mut [u8]) {
    const CHUNK: usize = 1 << 15;
    // Four uniform integers of 16 bits: mean 2 * 65535, variance 4 * (2^32 - 1) / 12.
    let scale = deviation / (f64::from(u32::MAX) / 3.0).sqrt() as f32;
    out.par_chunks_mut(2 * CHUNK).enumerate().for_each(|(chunk, out)| {
        let first = seed.wrapping_add((chunk * CHUNK) as u64);
        for (i, value) in out.chunks_exact_mut(2).enumerate() {
            let bits = mixed(first.wrapping_add(i as u64));
            let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
            let x = mean + scale * (sum as f32 - 131_070.0);
            value.copy_from_slice(&bf16::from_f32(x).to_le_bytes());
        }
    });
}

/// Number `index` of the SplitMix64 sequence of state 0 (Steele et al., OOPSLA 2014).
pub(super) fn mixed(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where a tensor's numbers begin: the 64-bit FNV-1a hash of its name.
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::KvSequence;
    use crate::models::ModelConfig;
    use crate::models::llama::{Llama, Share, parameter_count};

    fn values(tensor: &HostTensor) -> Vec<f64> {
        tensor.bytes().chunks(2).map(|b| f64::from(bf16::from_le_bytes([b[0], b[1]]).to_f32())).collect()
    }

    #[test]
    fn shapes_are_those_of_the_published_models() {
        // Parameters as the model cards count them.
        assert_eq!(parameter_count(&NamedShape::Llama32x1B.decoder().spec()), 1_235_814_400);
        assert_eq!(parameter_count(&NamedShape::Llama32x3B.decoder().spec()), 3_212_749_824);
        let demo = include_bytes!("../../assets/demo/config.json");
        assert_eq!(NamedShape::Demo.decoder().spec(), ModelConfig::from_slice(demo, "demo").unwrap().spec);
        for shape in NamedShape::ALL {
            assert_eq!(shape.name().to_uppercase().parse(), Ok(shape));
            let spec = shape.decoder().spec();
            let source = RandomWeights::new(&spec);
            assert_eq!(source.total_bytes(), 2 * parameter_count(&spec));
        }
        let error = "llama-70b".parse::<NamedShape>().unwrap_err().to_string();
        assert!(NamedShape::ALL.iter().all(|s| error.contains(s.name())), "{error}");
    }

    #[test]
    fn a_tensor_is_the_same_each_time_and_unlike_another() {
        let source = RandomWeights::new(&NamedShape::Demo.decoder().spec());
        let get = |name: &str| source.get(name).unwrap().unwrap();
        let q = get("model.layers.0.self_attn.q_proj.weight");
        assert_eq!(q.bytes(), get("model.layers.0.self_attn.q_proj.weight").bytes());
        assert_ne!(q.bytes(), get("model.layers.0.self_attn.o_proj.weight").bytes());
        assert!(source.get("model.layers.6.self_attn.q_proj.weight").unwrap().is_none());
        assert!(source.get("lm_head.weight").unwrap().is_none());
    }

    #[test]
    fn values_have_the_mean_and_the_deviation_that_are_promised() {
        let source = RandomWeights::new(&NamedShape::Demo.decoder().spec());
        for (name, mean, deviation) in
            [("model.embed_tokens.weight", 0.0, 0.02), ("model.layers.3.input_layernorm.weight", 1.0, 0.05)]
        {
            let v = values(&source.get(name).unwrap().unwrap());
            let n = v.len() as f64;
            let got_mean = v.iter().sum::<f64>() / n;
            let got = (v.iter().map(|x| (x - got_mean).powi(2)).sum::<f64>() / n).sqrt();
            // Five standard errors of each.
            assert!((got_mean - mean).abs() < 5.0 * deviation / n.sqrt(), "{name}: mean {got_mean}");
            assert!((got / deviation - 1.0).abs() < 5.0 / (2.0 * n).sqrt() + 0.01, "{name}: {got}");
        }
    }

    #[test]
    fn ids_lie_in_the_vocabulary_and_repeat() {
        let ids = random_ids(7, 100);
        assert!(ids.iter().all(|&id| id < 7));
        assert!((0..7).all(|id| ids.contains(&id)));
        assert_eq!(ids[..50], random_ids(7, 50));
        // The first number of SplitMix64 from state 0, as published with the generator: 0xe220a8397b1dcdaf.
        assert_eq!(random_ids(1 << 16, 1), [0xcdaf]);
    }

    #[test]
    fn every_tensor_that_a_llama_asks_for_is_there_in_its_shape() {
        let spec = Decoder {
            vocab_size: 40,
            hidden_size: 24,
            intermediate_size: 36,
            layers: 2,
            heads: 6,
            kv_heads: 3,
            head_dim: 8,
            attention_bias: true,
            mlp_bias: true,
            tied: false,
            rope: RopeSpec { dims: 8, ..NamedShape::Demo.decoder().rope },
            ..NamedShape::Demo.decoder()
        }
        .spec();
        let source = RandomWeights::new(&spec);
        assert_eq!(source.total_bytes(), 2 * parameter_count(&spec));
        let backend = ReferenceBackend;
        let model = Llama::load(&backend, &source, spec, DType::F32, &mut |_| ()).unwrap();
        let mut pool = model.new_pool(&backend, DType::F32.into(), 64).unwrap();
        let mut sequence = KvSequence::new(&pool, 8);
        let mut workspace = model.workspace(&backend, 4, 1).unwrap();
        let mut logits = vec![0.0; 40];
        let mut share = [Share::new(&mut sequence, &[1, 39, 0], 1)];
        model.forward(&backend, &mut pool, &mut share, &mut workspace).unwrap();
        model.logits_of(&backend, 0, &mut workspace, &mut logits).unwrap();
        assert!(logits.iter().all(|l| l.is_finite()) && logits.iter().any(|&l| l != logits[0]));
    }
}
