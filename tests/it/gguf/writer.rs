//! GGUF files for tests, written from the format's description and not with the code that reads them.

use std::path::Path;

use llm_rs2::core::{DType, HostTensor};
use llm_rs2::format::{Checkpoint, TensorSource};
use llm_rs2::models::{ModelConfig, RopeScaling};
use llm_rs2::quant::{dequantize_row, quantize_row, row_bytes};

/// A value of a key.
#[derive(Clone)]
pub enum Key {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A tensor: name, dimensions (outermost first), `enum ggml_type`, bytes.
pub type Tensor = (String, Vec<u64>, u32, Vec<u8>);

/// What goes into a file.
#[derive(Clone, Default)]
pub struct Gguf {
    pub keys: Vec<(String, Key)>,
    pub tensors: Vec<Tensor>,
}

impl Gguf {
    pub fn set(&mut self, name: &str, key: Key) {
        self.keys.retain(|(n, _)| n != name);
        self.keys.push((name.to_owned(), key));
    }

    /// The same in `count` files, as llama-gguf-split writes them: the keys are in the first one, and each has some of the
    /// tensors.
    pub fn parts(&self, count: usize) -> Vec<Self> {
        let each = self.tensors.len().div_ceil(count);
        (0..count)
            .map(|number| {
                let keys = if number == 0 { self.keys.clone() } else { Vec::new() };
                let tensors = self.tensors.iter().skip(number * each).take(each).cloned().collect();
                let mut part = Self { keys, tensors };
                part.set("split.no", Key::U32(number as u32));
                part.set("split.count", Key::U32(count as u32));
                part.set("split.tensors.count", Key::U32(self.tensors.len() as u32));
                part
            })
            .collect()
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        self.with_alignment(32)
    }

    /// The same with its tensors at multiples of `alignment`; `general.alignment` says so if it is set.
    pub fn with_alignment(&self, alignment: usize) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (name, key) in &self.keys {
            text(&mut out, name);
            key.write(&mut out);
        }
        let mut at = 0u64;
        for (name, dims, kind, bytes) in &self.tensors {
            text(&mut out, name);
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().rev().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(at.to_le_bytes());
            at += (bytes.len() as u64).next_multiple_of(alignment as u64);
        }
        for (_, _, _, bytes) in &self.tensors {
            out.resize(out.len().next_multiple_of(alignment), 0);
            out.extend(bytes);
        }
        out
    }
}

impl Key {
    fn write(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, kind: u32, bytes: [u8; 4]| {
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        };
        let list = |out: &mut Vec<u8>, kind: u32, len: usize| {
            out.extend(9u32.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend((len as u64).to_le_bytes());
        };
        match self {
            Key::U32(n) => number(out, 4, n.to_le_bytes()),
            Key::F32(x) => number(out, 6, x.to_le_bytes()),
            Key::Bool(b) => {
                out.extend(7u32.to_le_bytes());
                out.push(u8::from(*b));
            }
            Key::Text(t) => {
                out.extend(8u32.to_le_bytes());
                text(out, t);
            }
            Key::Texts(all) => {
                list(out, 8, all.len());
                all.iter().for_each(|t| text(out, t));
            }
            Key::I32s(all) => {
                list(out, 5, all.len());
                all.iter().for_each(|n| out.extend(n.to_le_bytes()));
            }
            Key::F32s(all) => {
                list(out, 6, all.len());
                all.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn kind(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q8_0 => 8,
        DType::BF16 => 30,
        other => panic!("{other} is not written"),
    }
}

/// What llama.cpp's converter calls a tensor of a Llama.
fn name(ours: &str) -> String {
    let outer = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    outer.iter().fold(ours.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The rows of a head as llama.cpp stores them: those of the two halves take turns.
fn interleaved(rows: Vec<Vec<u8>>, head: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for head in rows.chunks(head) {
        let (first, second) = head.split_at(head.len() / 2);
        for (a, b) in first.iter().zip(second) {
            out.extend([a.clone(), b.clone()]);
        }
    }
    out
}

/// A tensor with its rows in `dtype` (vectors stay f32, as the converter has them).
fn tensor(source: &HostTensor, head_dim: usize, dtype: DType) -> Tensor {
    let dims: Vec<u64> = source.shape().dims().iter().map(|&d| d as u64).collect();
    let dtype = if dims.len() == 1 { DType::F32 } else { dtype };
    let (rows, cols) = source.matrix_dims();
    let mut out = Vec::new();
    for row in 0..rows {
        let (mut wide, mut stored) = (vec![0.0; cols], vec![0; row_bytes(dtype, cols)]);
        dequantize_row(source.dtype(), source.row_bytes(row), &mut wide).unwrap();
        quantize_row(dtype, &wide, &mut stored).unwrap();
        out.push(stored);
    }
    let theirs = name(source.name());
    if theirs.contains("attn_q.") || theirs.contains("attn_k.") {
        if dims.len() == 1 {
            out = out[0].chunks(4).map(<[u8]>::to_vec).collect();
        }
        out = interleaved(out, head_dim);
    }
    (theirs, dims, kind(dtype), out.concat())
}

/// A Hugging Face directory as a GGUF file with its matrices in `dtype`.
pub fn converted(dir: &Path, dtype: DType) -> Gguf {
    let config = ModelConfig::from_file(&dir.join("config.json")).unwrap();
    let (spec, checkpoint) = (&config.spec, Checkpoint::open(dir).unwrap());
    let (attention, ffn) = (&spec.layers[0].attention, &spec.layers[0].ffn);
    let (head_dim, rope) = (attention.head_dim, &spec.ropes[0]);
    let mut file = Gguf::default();
    file.set("general.architecture", Key::Text("llama".into()));
    for (key, value) in [
        ("block_count", spec.layers.len()),
        ("context_length", spec.max_positions),
        ("embedding_length", spec.hidden_size),
        ("feed_forward_length", ffn.width),
        ("attention.head_count", attention.heads),
        ("attention.head_count_kv", attention.kv_heads),
        ("attention.key_length", head_dim),
        ("attention.value_length", head_dim),
        ("rope.dimension_count", head_dim),
    ] {
        file.set(&format!("llama.{key}"), Key::U32(value as u32));
    }
    file.set("llama.attention.layer_norm_rms_epsilon", Key::F32(spec.norm_eps));
    file.set("llama.rope.freq_base", Key::F32(rope.theta as f32));
    match rope.scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor } => {
            file.set("llama.rope.scaling.type", Key::Text("linear".into()));
            file.set("llama.rope.scaling.factor", Key::F32(factor as f32));
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
            // As convert_hf_to_gguf.py has it.
            let (low, high) = (low_freq_factor, high_freq_factor);
            let old = original as f64;
            let divisors = (0..head_dim / 2).map(|i| {
                let frequency = rope.theta.powf(-((2 * i) as f64) / head_dim as f64);
                let wavelength = std::f64::consts::TAU / frequency;
                if wavelength < old / high {
                    1.0
                } else if wavelength > old / low {
                    factor as f32
                } else {
                    let smooth = (old / wavelength - low) / (high - low);
                    (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
                }
            });
            let bytes: Vec<u8> = divisors.flat_map(f32::to_le_bytes).collect();
            file.tensors.push(("rope_freqs.weight".into(), vec![head_dim as u64 / 2], 0, bytes));
        }
        _ => panic!("another scaling than Llama's: {rope:?}"),
    }
    file.set("tokenizer.ggml.bos_token_id", Key::U32(config.bos_token_id.unwrap()));
    for name in checkpoint.names() {
        file.tensors.push(tensor(&checkpoint.get(name).unwrap().unwrap(), head_dim, dtype));
    }
    file
}

/// Adds the tokenizer of a tokenizer.json: byte-level BPE, or for any other the tokens alone.
pub fn add_tokenizer(file: &mut Gguf, dir: &Path) {
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("tokenizer.json")).unwrap()).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let added = json["added_tokens"].as_array().unwrap();
    let ids = vocab.values().chain(added.iter().map(|t| &t["id"])).map(|id| id.as_u64().unwrap() as usize);
    let len = ids.max().unwrap() + 1;
    let (mut tokens, mut types) = (vec![String::new(); len], vec![1; len]);
    for (token, id) in vocab {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    for token in added {
        let id = token["id"].as_u64().unwrap() as usize;
        tokens[id] = token["content"].as_str().unwrap().to_owned();
        types[id] = if token["special"].as_bool().unwrap() { 3 } else { 4 };
    }
    let merges = json["model"]["merges"].as_array().map(|merges| {
        let pair = |m: &serde_json::Value| match m.as_str() {
            Some(text) => text.to_owned(),
            None => format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap()),
        };
        merges.iter().map(pair).collect()
    });
    file.set("tokenizer.ggml.model", Key::Text("gpt2".into()));
    file.set("tokenizer.ggml.pre", Key::Text("llama-bpe".into()));
    file.set("tokenizer.ggml.tokens", Key::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Key::I32s(types));
    file.set("tokenizer.ggml.merges", Key::Texts(merges.unwrap_or_default()));
}
