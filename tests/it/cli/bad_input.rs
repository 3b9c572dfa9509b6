//! Each kind of bad input gets one sentence that names it, and a way on.

use std::fs;

use serde_json::json;

use super::models::Copy;
use super::program::{generate, refuses, tiny};
use predicates::str::contains;

const NORM: &str = "model.norm.weight";

#[test]
fn no_such_path() {
    refuses(&["-m", "/no/such/model", "-p", "t1"], 1, &["'/no/such/model' does not exist"]);
}

#[test]
fn an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    refuses(&["-m", path, "-p", "t1"], 1, &[path, "model.safetensors"]);
}

#[test]
fn a_file_of_another_format() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, says) in [
        ("pytorch_model.bin", &b"PK\x03\x04rest of the file"[..], "is a pickle checkpoint"),
        ("model.gguf", b"GGUF\x03\0\0\0rest of the file", "claims 2334675642021537138 tensors"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        refuses(&["-m", path.to_str().unwrap(), "-p", "t1"], 1, &[name, says]);
    }
}

#[test]
fn truncated_weights() {
    let copy = Copy::new().bytes(|b| b.truncate(b.len() - 1000));
    refuses(&copy.args(&[]), 1, &["model.safetensors", "ends after 1535784 bytes", "download it again"]);
    let copy = Copy::new().bytes(|b| b.truncate(5));
    refuses(&copy.args(&[]), 1, &["model.safetensors", "has 5 bytes"]);
    let copy = Copy::new().bytes(Vec::clear);
    refuses(&copy.args(&[]), 1, &["model.safetensors", "has 0 bytes"]);
}

#[test]
fn an_impossible_header_length() {
    let copy = Copy::new().bytes(|b| b[..8].copy_from_slice(&(1u64 << 60).to_le_bytes()));
    refuses(&copy.args(&[]), 1, &["model.safetensors", "1152921504606846976"]);
}

#[test]
fn tensors_that_overlap_or_leave_the_file() {
    let copy = Copy::new().header(|h| h[NORM]["data_offsets"] = json!([0, 256]));
    refuses(&copy.args(&[]), 1, &["model.safetensors"]);
    let copy = Copy::new().header(|h| {
        let last = h.values_mut().filter(|v| v.get("data_offsets").is_some());
        let last = last.max_by_key(|v| v["data_offsets"][1].as_u64()).unwrap();
        let (start, rows) = (last["data_offsets"][0].as_u64().unwrap(), 1_000_000_000u64);
        last["shape"] = json!([rows]);
        last["data_offsets"] = json!([start, start + 2 * rows]);
    });
    refuses(&copy.args(&[]), 1, &["model.safetensors", "ends after"]);
}

#[test]
fn a_shape_that_disagrees_with_the_configuration() {
    let copy = Copy::new().json("config.json", |c| c["intermediate_size"] = json!(320));
    refuses(
        &copy.args(&[]),
        1,
        &["model.layers.0.mlp.gate_proj.weight", "[352, 128]", "[320, 128]", "do not belong together"],
    );
}

#[test]
fn a_missing_tensor() {
    let copy = Copy::new().header(|h| {
        let norm = h.remove(NORM).unwrap();
        h.insert("model.other.weight".into(), norm);
    });
    refuses(&copy.args(&[]), 1, &["holds no tensor 'model.norm.weight'", "config.json"]);
}

#[test]
fn a_type_that_is_not_read() {
    let copy = Copy::new().header(|h| h[NORM]["dtype"] = json!("I16"));
    refuses(&copy.args(&[]), 1, &[NORM, "I16", "BF16"]);
}

#[test]
fn weights_that_are_not_numbers() {
    // The last tensor in name order may be any; NaN in all of the data reaches the logits for certain.
    let copy = Copy::new().bytes(|b| {
        let start = 8 + u64::from_le_bytes(b[..8].try_into().unwrap()) as usize;
        b[start..].fill(0xff);
    });
    refuses(&copy.args(&["--kv-type", "f32"]), 1, &["the logit of token 0 is NaN", "weights"]);
}

#[test]
fn a_configuration_that_is_not_json_or_not_there() {
    let copy = Copy::new();
    fs::write(copy.file("config.json"), "{ \"hidden_size\": 12").unwrap();
    refuses(&copy.args(&[]), 1, &["config.json", "JSON"]);
    fs::remove_file(copy.file("config.json")).unwrap();
    refuses(&copy.args(&[]), 1, &["config.json", "does not exist"]);
}

#[test]
fn a_model_that_is_not_supported() {
    let copy = Copy::new().json("config.json", |c| {
        c["model_type"] = json!("mamba");
        c["architectures"] = json!(["MambaForCausalLM"]);
    });
    refuses(&copy.args(&[]), 1, &["mamba", "llama", "qwen2"]);
    let copy = Copy::new().json("config.json", |c| c["rope_scaling"]["rope_type"] = json!("mrope"));
    refuses(&copy.args(&[]), 1, &["mrope", "llama3", "yarn"]);
    let copy = Copy::new().json("config.json", |c| c["quantization_config"] = json!({"quant_method": "awq"}));
    refuses(&copy.args(&[]), 1, &["awq"]);
}

#[test]
fn a_tokenizer_that_does_not_belong() {
    let copy = Copy::new().json("config.json", |c| c["vocab_size"] = json!(500));
    refuses(&copy.args(&[]), 1, &["model.embed_tokens.weight", "[512, 128]", "[500, 128]"]);
    // More tokens than the model has: an error where the prompt has one of them.
    let copy = Copy::new().json("tokenizer.json", |t| t["model"]["vocab"]["extra"] = json!(700));
    let path = copy.path().to_str().unwrap();
    refuses(&["-m", path, "-p", "t5 extra"], 1, &["the token 'extra', number 700", "512 tokens only"]);
    generate()
        .args(copy.args(&["-n", "1"]))
        .assert()
        .success()
        .stderr(contains("warning: the tokenizer has tokens up to number 700, but the model knows 512 only"));
    let copy = Copy::new();
    fs::write(copy.file("tokenizer.json"), "[]").unwrap();
    refuses(&copy.args(&[]), 1, &["tokenizer.json"]);
}

#[test]
fn prompts_that_cannot_be_used() {
    let model = tiny().to_str().unwrap();
    refuses(&["-m", model, "-p", ""], 1, &["the prompt is empty", "--prompt"]);
    refuses(&["-m", model], 1, &["the prompt is empty"]);
    let long = "t1 ".repeat(40);
    refuses(
        &["-m", model, "--max-seq-len", "32", "-p", &long],
        1,
        &["40 tokens", "context of 32", "--max-seq-len"],
    );
    refuses(&["-m", model, "-f", "/no/such/prompt"], 1, &["/no/such/prompt"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prompt.bin");
    fs::write(&path, b"t1 \xff\xfe").unwrap();
    refuses(&["-m", model, "-f", path.to_str().unwrap()], 1, &["prompt.bin", "UTF-8", "byte 3"]);
}

#[test]
fn chat_without_a_template() {
    let model = tiny().to_str().unwrap();
    refuses(&["-m", model, "-p", "t1", "--chat"], 1, &["no chat template", "--chat"]);
}

#[test]
fn paths_that_are_something_else() {
    refuses(
        &["-m", "some-org/some-model", "-p", "t1"],
        1,
        &["does not exist", "hf download some-org/some-model"],
    );
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("model-q4_0.bin");
    fs::write(&old, b"tjgg\x03\0\0\0\0\x7d\0\0 and so on").unwrap();
    refuses(
        &["-m", old.to_str().unwrap(), "-p", "t1"],
        1,
        &["a GGJT file, from before GGUF", "download a newer"],
    );
    let copy = Copy::new();
    fs::remove_file(copy.file("tokenizer.json")).unwrap();
    fs::write(copy.file("tokenizer.model"), b"\n\x0e").unwrap();
    refuses(
        &copy.args(&[]),
        1,
        &["tokenizer.model' is not a usable tokenizer.model", "claims 14 bytes where 0 are left"],
    );
}

#[test]
fn recommended_settings_without_a_meaning() {
    let copy = Copy::new().json("generation_config.json", |g| {
        g["do_sample"] = json!(true);
        g["top_p"] = json!(7);
    });
    refuses(&copy.args(&[]), 1, &["'top_p' in", "is 7, expected a number from 0.0 to 1.0; give --top-p"]);
    generate().args(copy.args(&["-n", "1", "--top-p", "0.5"])).assert().success();
    generate().args(copy.args(&["-n", "1", "--temperature", "0"])).assert().success();
}

#[test]
fn settings_out_of_range() {
    let model = tiny().to_str().unwrap();
    let base = ["-m", model, "-p", "t1"];
    let with = |rest: &[&'static str]| [&base[..], rest].concat();
    refuses(&with(&["--top-p", "1.5"]), 1, &["top-p", "1.5"]);
    refuses(&with(&["--temperature", "NaN"]), 1, &["temperature"]);
    refuses(&with(&["--repetition-penalty", "0"]), 1, &["repetition penalty"]);
    refuses(&with(&["--lookup", "65"]), 2, &["--lookup", "65", "from 0 (off) to 64"]);
    for flag in
        ["--lookup", "--num-tokens", "--max-seq-len", "--seed", "--threads", "--top-k", "--kv-budget-mb"]
    {
        refuses(&with(&[flag, "-1"]), 2, &["'-1'", flag, "number"]);
        refuses(&with(&[flag, "many"]), 2, &["'many'", flag, "number"]);
    }
    refuses(&with(&["--temperature", "warm"]), 2, &["'warm'", "--temperature", "a number is needed"]);
    refuses(&with(&["--temperature", "-1"]), 1, &["temperature is -1"]);
    for flag in [&["--device", "0"][..], &["--profile"]] {
        refuses(&with(flag), 1, &[flag[0], "--backend opencl"]);
    }
    refuses(&with(&["--weight-dtype", "q5_2"]), 2, &["--weight-dtype", "q5_2", "q4_k"]);
    refuses(&with(&["--kv-type", "q5_k"]), 2, &["--kv-type", "q5_k", "f32, f16, q8_0, q4_0"]);
    refuses(&with(&["--kv-type-k", "bf16"]), 2, &["--kv-type-k", "bf16"]);
    refuses(&with(&["--backend", "cuda"]), 2, &["cuda"]);
}

#[test]
fn threads_and_instruction_sets_that_are_not_there() {
    let model = tiny().to_str().unwrap();
    let refuses = |rest: &[&str], code, parts: &[&str]| {
        refuses(&[&["-m", model, "-p", "t1"], rest].concat(), code, parts);
    };
    refuses(&["--threads", "0"], 2, &["--threads", "0 threads"]);
    refuses(&["--threads", "1000000"], 2, &["--threads", "from 1 to 1024"]);
    refuses(&["--threads", "two"], 2, &["--threads", "two"]);
    refuses(&["--isa", "mmx"], 2, &["--isa", "mmx", "no such instruction set", "scalar, avx2"]);
    let foreign = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    refuses(&["--isa", foreign], 2, &[&format!("this CPU does not have {foreign}"), "scalar"]);
    refuses(&["--isa", "scalar", "--backend", "reference"], 1, &["--isa", "cpu backend"]);
}

/// A copy of the tiny checkpoint with one value of a bf16 tensor replaced.
fn with_value(tensor: &str, index: usize, bits: u16) -> Copy {
    Copy::new().bytes(|bytes| {
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..end]).unwrap();
        assert_eq!(header[tensor]["dtype"], "BF16");
        let at = end + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize + 2 * index;
        bytes[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    })
}

#[test]
fn check_numerics_names_the_place_where_a_value_is_not_finite() {
    const NAN: u16 = 0x7fc0;
    const INFINITY: u16 = 0x7f80;
    for (tensor, bits, place) in [
        ("model.embed_tokens.weight", NAN, "NaN in the embedding, at position 0"),
        ("model.layers.0.self_attn.k_proj.weight", NAN, "NaN in layer 0, in the keys, at position 0"),
        ("model.layers.1.self_attn.v_proj.weight", INFINITY, "an infinite value in layer 1, in the values"),
        ("model.layers.0.self_attn.q_proj.weight", NAN, "NaN in layer 0, in the queries"),
        ("model.layers.0.self_attn.o_proj.weight", INFINITY, "an infinite value in layer 0, after attention"),
        ("model.layers.1.mlp.down_proj.weight", NAN, "NaN in layer 1, after the feed-forward network"),
        ("model.norm.weight", NAN, "NaN in the logits"),
    ] {
        // Token t5, of which row the embedding's value is; in the other matrices it is the first output.
        let index = if tensor.contains("embed") { token_id("t5") * 128 } else { 0 };
        let copy = with_value(tensor, index, bits);
        for backend in ["cpu", "reference"] {
            let args = copy.args(&["--check-numerics", "-n", "3", "--ignore-eos", "-b", backend]);
            let output = generate().args(&args).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            let reports: Vec<_> = stderr.lines().filter(|l| l.contains("has no meaning")).collect();
            assert_eq!(reports.len(), 1, "{tensor} {backend}: {stderr}");
            assert!(reports[0].starts_with(&format!("warning: {place}")), "{tensor} {backend}: {stderr}");
            let silent =
                generate().args(copy.args(&["-n", "3", "--ignore-eos", "-b", backend])).output().unwrap();
            assert!(!String::from_utf8_lossy(&silent.stderr).contains("has no meaning"));
        }
    }
    let sound = Copy::new();
    generate()
        .args(sound.args(&["--check-numerics", "-n", "3", "--ignore-eos", "--quiet"]))
        .assert()
        .success()
        .stderr("");
}

fn token_id(word: &str) -> usize {
    let text = fs::read(tiny().join("tokenizer.json")).unwrap();
    let tokenizer: serde_json::Value = serde_json::from_slice(&text).unwrap();
    tokenizer["model"]["vocab"][word].as_u64().unwrap() as usize
}
