//! Damaged and hostile checkpoints: opening one never panics, and what opens is what its bytes say.
//!
//! `PROPTEST_CASES=200000 cargo test --test it loading_fuzz` looks longer than the default.

use std::fs;
use std::path::Path;

use llm_rs2::format::{Checkpoint, TensorSource};
use llm_rs2::models::{GenerationConfig, ModelConfig, Rope, TextSpan};
use proptest::prelude::*;
use proptest::sample::select;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

fn settings(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Integers at which sums and products break.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    15,
    16,
    32,
    255,
    100_000_000,
    100_000_001,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 60,
    (1 << 61) - 1,
    1 << 61,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 8,
    u64::MAX,
];

/// One change of a file's bytes. Positions are fractions of its length in 1/65536.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(u16, u8),
    Truncate(u16),
    Insert(u16, Vec<u8>),
    Overwrite(u16, Vec<u8>),
    /// Cut a range out.
    Remove(u16, u8),
    /// Insert a copy of a range elsewhere.
    Copy(u16, u8, u16),
    /// Replace the run of digits at or after the position.
    Number(u16, String),
    /// Set the length field.
    HeaderLen(u64),
    /// Set the length field to where the first `}}` ends: reaches the checks behind it.
    RepairLen,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let number = prop_oneof![
        select(EDGES).prop_map(|n| n.to_string()),
        (0u64..64).prop_map(|n| n.to_string()),
        select(&["-1", "1.5", "1e400", "18446744073709551616", "null", "\"4\"", "[]", "NaN"][..])
            .prop_map(str::to_owned),
    ];
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..6),
        select(&["{", "}", "[", "]", ",", "\"", ":", "\0", "\u{e9}", "I64", "F4", "../"][..])
            .prop_map(|s| s.as_bytes().to_vec()),
    ];
    let header_len = prop_oneof![select(EDGES).boxed(), (0u64..400).boxed(), any::<u64>().boxed()];
    // A quarter of all positions: mostly within the header.
    let at = || prop_oneof![any::<u16>(), 0u16..16384];
    prop_oneof![
        (at(), 0u8..8).prop_map(|(p, b)| Mutation::Flip(p, b)),
        at().prop_map(Mutation::Truncate),
        (at(), bytes.clone()).prop_map(|(p, b)| Mutation::Insert(p, b)),
        (at(), bytes).prop_map(|(p, b)| Mutation::Overwrite(p, b)),
        (at(), any::<u8>()).prop_map(|(p, n)| Mutation::Remove(p, n)),
        (at(), any::<u8>(), at()).prop_map(|(p, n, q)| Mutation::Copy(p, n, q)),
        (at(), number).prop_map(|(p, n)| Mutation::Number(p, n)),
        header_len.prop_map(Mutation::HeaderLen),
        Just(Mutation::RepairLen),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let place = |p: u16, len: usize| p as usize * len / 65536;
    let len = bytes.len();
    match mutation {
        Mutation::Flip(p, bit) if len > 0 => bytes[place(*p, len)] ^= 1 << bit,
        Mutation::Truncate(p) => bytes.truncate(place(*p, len)),
        Mutation::Insert(p, new) => {
            let at = place(*p, len);
            bytes.splice(at..at, new.iter().copied());
        }
        Mutation::Overwrite(p, new) => {
            let at = place(*p, len);
            let end = (at + new.len()).min(len);
            bytes.splice(at..end, new.iter().copied());
        }
        Mutation::Remove(p, n) => {
            let at = place(*p, len);
            bytes.drain(at..(at + *n as usize).min(len));
        }
        Mutation::Copy(p, n, q) => {
            let at = place(*p, len);
            let part = bytes[at..(at + *n as usize).min(len)].to_vec();
            let to = place(*q, len);
            bytes.splice(to..to, part);
        }
        Mutation::Number(p, new) => {
            let from = place(*p, len).max(8).min(len);
            if let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|i| i + from) {
                let digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
                bytes.splice(start..start + digits, new.bytes());
            }
        }
        Mutation::HeaderLen(n) if len >= 8 => bytes[..8].copy_from_slice(&n.to_le_bytes()),
        Mutation::RepairLen if len >= 8 => {
            if let Some(end) = bytes[8..].windows(2).position(|w| w == b"}}") {
                bytes[..8].copy_from_slice(&(end as u64 + 2).to_le_bytes());
            }
        }
        _ => {}
    }
}

/// A valid file, made by the reference implementation.
fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let dtype = select(
        &[
            Dtype::F32,
            Dtype::F16,
            Dtype::BF16,
            Dtype::U8,
            Dtype::I32,
            Dtype::I64,
            Dtype::F8_E4M3,
            Dtype::BOOL,
        ][..],
    );
    let shape = prop::collection::vec(0usize..4, 0..6);
    prop::collection::vec((dtype, shape), 0..5).prop_map(|tensors| {
        let data = [0x5a; 4096 * 8];
        let views = tensors.iter().enumerate().map(|(i, (dtype, shape))| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (format!("layer.{i}"), TensorView::new(*dtype, shape.clone(), &data[..bytes]).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    })
}

/// A file whose header is well-formed JSON with wild values.
fn wild_header() -> impl Strategy<Value = Vec<u8>> {
    let number = || prop_oneof![select(EDGES).boxed(), (0u64..20).boxed()];
    let dtype = select(&["F32", "U8", "F4", "F6_E2M3", "I64", "BF16", "X9"][..]);
    let shape = prop::collection::vec(number(), 0..6);
    let entry = (dtype, shape, number(), number());
    let data = prop::collection::vec(any::<u8>(), 0..64);
    (prop::collection::vec(entry, 0..12), data, any::<bool>(), prop::option::of(number())).prop_map(
        |(entries, data, chained, common_size)| {
            let mut header = serde_json::Map::new();
            let mut at = 0u64;
            for (i, (mut dtype, mut shape, start, end)) in entries.into_iter().enumerate() {
                let mut range = (start, end);
                // Chained ranges pass the checks on gaps, so that those after them are reached: the ends of
                // many tensors of one large size overflow in other places than one tensor's does.
                if chained {
                    let size = common_size.unwrap_or(end);
                    range = (at, at.saturating_add(size));
                    if common_size.is_some() || dtype == "U8" {
                        (dtype, shape) = ("U8", vec![range.1 - range.0]);
                    }
                }
                at = range.1;
                header.insert(
                    format!("t{i}"),
                    json!({"dtype": dtype, "shape": shape, "data_offsets": [range.0, range.1]}),
                );
            }
            let header = serde_json::to_vec(&header).unwrap();
            let mut out = (header.len() as u64).to_le_bytes().to_vec();
            out.extend(header);
            out.extend(data);
            out
        },
    )
}

/// Bits of an element, as the format defines them.
fn bits(dtype: &str) -> u64 {
    match dtype {
        "F32" | "I32" => 32,
        "F16" | "BF16" => 16,
        "U8" => 8,
        other => panic!("{other} is not read, but came out of a file"),
    }
}

/// Writes a file that was not there before: rewriting one in place makes some file systems wait for the disk.
fn write_anew(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Opens `path` and holds what comes out against the file's own bytes, read independently.
fn check_file(path: &Path, bytes: &[u8]) -> Result<bool, TestCaseError> {
    write_anew(path, bytes);
    let checkpoint = match Checkpoint::open(path) {
        Ok(c) => c,
        Err(e) => {
            check_message(&e.to_string(), path)?;
            return Ok(false);
        }
    };
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    let header = header.as_object().unwrap();
    let data = &bytes[8 + header_len..];
    prop_assert_eq!(checkpoint.total_bytes(), data.len() as u64);
    prop_assert_eq!(
        checkpoint.names().len(),
        header.keys().filter(|k| *k != "__metadata__").count(),
        "every tensor is listed"
    );
    for name in checkpoint.names() {
        let entry = &header[name];
        match checkpoint.get(name) {
            Ok(tensor) => {
                let tensor = tensor.expect("listed tensors are there");
                let dtype = entry["dtype"].as_str().unwrap();
                prop_assert_eq!(tensor.dtype().name().to_uppercase(), dtype);
                let shape: Vec<u64> =
                    entry["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).collect();
                let own: Vec<u64> = tensor.shape().dims().iter().map(|&d| d as u64).collect();
                prop_assert_eq!(&own, &shape);
                let need = shape.iter().map(|&d| d as u128).product::<u128>() * bits(dtype) as u128 / 8;
                prop_assert_eq!(tensor.bytes().len() as u128, need);
                let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize;
                prop_assert_eq!(tensor.bytes(), &data[at(0)..at(1)]);
            }
            Err(e) => check_message(&e.to_string(), path)?,
        }
    }
    Ok(true)
}

/// A message is one line, of a readable length, and names the file.
fn check_message(message: &str, path: &Path) -> Result<(), TestCaseError> {
    let path = path.display().to_string();
    prop_assert!(message.contains(&path), "{message}");
    prop_assert!(!message.contains(char::is_control), "{message:?}");
    prop_assert!(message.chars().count() < 1500 + 3 * path.len(), "{message}");
    Ok(())
}

/// Runs `test` over values of `strategy`; the test counts in how many cases something loaded.
fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<bool, TestCaseError>) -> u32 {
    let mut runner = proptest::test_runner::TestRunner::new(settings(cases));
    let loaded = std::cell::Cell::new(0);
    let result = runner.run(&strategy, |value| {
        loaded.set(loaded.get() + u32::from(test(value)?));
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
    loaded.get()
}

#[test]
fn valid_files_load() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    run(300, valid_file(), |bytes| {
        prop_assert!(check_file(&path, &bytes)?, "a valid file was refused");
        Ok(true)
    });
}

#[test]
fn mutated_files_never_panic_and_load_only_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let mutated =
        (valid_file(), prop::collection::vec(mutation(), 1..5)).prop_map(|(mut bytes, mutations)| {
            mutations.iter().for_each(|m| apply(&mut bytes, m));
            bytes
        });
    let loaded = run(5000, mutated, |bytes| check_file(&path, &bytes));
    assert!(loaded > 0, "no mutated file loaded: the test does not reach the checks after opening");
}

#[test]
fn wild_headers_never_panic_and_load_only_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    run(5000, wild_header(), |bytes| check_file(&path, &bytes));
}

#[test]
fn mutated_indexes_never_panic_nor_leave_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("model");
    fs::create_dir(&inner).unwrap();
    let shard = |name: &str| {
        let view = TensorView::new(Dtype::U8, vec![2], &[1, 2]).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    };
    fs::write(inner.join("s1"), shard("a")).unwrap();
    fs::write(inner.join("s2"), shard("b")).unwrap();
    fs::write(dir.path().join("s1"), shard("a")).unwrap();
    let index = br#"{"metadata":{"total_size":4},"weight_map":{"a":"s1","b":"s2"}}"#;
    let path = inner.join("model.safetensors.index.json");
    let loaded = run(3000, prop::collection::vec(mutation(), 1..4), |mutations| {
        let mut bytes = index.to_vec();
        mutations.iter().for_each(|m| apply(&mut bytes, m));
        write_anew(&path, &bytes);
        match Checkpoint::open(&inner) {
            Ok(c) => {
                for name in c.names() {
                    let tensor = c.get(name).unwrap().unwrap();
                    prop_assert_eq!(tensor.bytes(), [1, 2]);
                }
                for file in c.files() {
                    prop_assert!(file.starts_with(&inner) && !file.to_string_lossy().contains(".."));
                }
                Ok(true)
            }
            Err(e) => check_message(&e.to_string(), &inner).map(|()| false),
        }
    });
    assert!(loaded > 0, "no mutated index loaded");
}

const CONFIG: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","attention_bias":false,
"bos_token_id":128000,"eos_token_id":[128001,128008],"head_dim":64,"hidden_act":"silu","hidden_size":2048,
"intermediate_size":8192,"max_position_embeddings":131072,"mlp_bias":false,"num_attention_heads":32,
"num_hidden_layers":16,"num_key_value_heads":8,"rms_norm_eps":1e-05,"rope_theta":500000.0,
"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,
"original_max_position_embeddings":8192,"rope_type":"llama3"},"tie_word_embeddings":true,
"torch_dtype":"bfloat16","vocab_size":128256,"temperature":0.6,"top_k":50,"top_p":0.9,"do_sample":true}"#;

/// What every [`ModelConfig`] promises.
fn check_config(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let origin = Path::new("some/config.json");
    let name = origin.display().to_string();
    match GenerationConfig::from_slice(bytes, &name) {
        Ok(g) => {
            prop_assert!(g.temperature.is_none_or(|t| (0.0..=100.0).contains(&t)));
            prop_assert!(g.top_p.is_none_or(|p| (0.0..=1.0).contains(&p)));
            prop_assert!(g.min_p.is_none_or(|p| (0.0..=1.0).contains(&p)));
            prop_assert!(g.repetition_penalty.is_none_or(|p| p > 0.0 && p.is_finite()));
        }
        Err(e) => check_message(&e.to_string(), origin)?,
    }
    let c = match ModelConfig::from_slice(bytes, &name) {
        Ok(c) => c,
        Err(e) => {
            check_message(&e.to_string(), origin)?;
            return Ok(false);
        }
    };
    let spec = &c.spec;
    prop_assert!(!spec.layers.is_empty());
    for layer in &spec.layers {
        let (a, width) = (&layer.attention, layer.ffn.width);
        for n in [spec.vocab_size, spec.hidden_size, width, a.heads * a.head_dim, spec.max_positions] {
            prop_assert!(n > 0 && n as u64 <= 1 << 30);
        }
        prop_assert!(a.kv_heads > 0 && a.heads.is_multiple_of(a.kv_heads));
        prop_assert!(a.head_dim > 0 && a.head_dim.is_multiple_of(2));
        prop_assert!(a.scale > 0.0 && a.scale.is_finite());
        prop_assert!(a.rope.is_none_or(|rope| spec.ropes[rope].dims <= a.head_dim));
    }
    prop_assert!(spec.norm_eps > 0.0 && spec.norm_eps.is_finite());
    for rope in &spec.ropes {
        for span in [TextSpan::Original, TextSpan::Beyond(1 << 20)] {
            let frequencies = Rope::new(rope, span);
            prop_assert!(frequencies.frequencies().iter().all(|f| *f >= 0.0 && f.is_finite()), "{rope:?}");
        }
    }
    Ok(true)
}

#[test]
fn mutated_configs_never_panic_and_load_only_with_sane_values() {
    let mutations = prop::collection::vec(mutation(), 0..4);
    let loaded = run(5000, mutations, |mutations| {
        let mut bytes = CONFIG.as_bytes().to_vec();
        mutations.iter().for_each(|m| apply(&mut bytes, m));
        check_config(&bytes)
    });
    assert!(loaded > 0, "no mutated config loaded");
}

#[test]
fn configs_with_wild_values_never_panic_and_load_only_with_sane_values() {
    let config: Value = serde_json::from_str(CONFIG).unwrap();
    let keys: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
    let inner: Vec<String> = config["rope_scaling"].as_object().unwrap().keys().cloned().collect();
    let value = prop_oneof![
        select(EDGES).prop_map(Value::from),
        (1u64..300).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..10.0).prop_map(Value::from),
        select(&["", "llama", "llama3", "linear", "default", "yarn", "silu", "\u{1b}[2J"][..])
            .prop_map(Value::from),
        select(vec![Value::Null, json!(true), json!([]), json!({}), json!([1, "x"]), json!({"a": {}})]),
    ];
    let change = (any::<bool>(), select(keys), select(inner), value);
    let loaded = run(5000, prop::collection::vec(change, 1..4), |changes| {
        let mut config = config.clone();
        for (outer, key, inner, value) in changes {
            if outer {
                config[key] = value;
            } else if let Some(scaling) = config["rope_scaling"].as_object_mut() {
                scaling.insert(inner, value);
            }
        }
        check_config(&serde_json::to_vec(&config).unwrap())
    });
    assert!(loaded > 0, "no changed config loaded");
}
