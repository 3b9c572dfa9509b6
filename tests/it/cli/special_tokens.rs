//! Special tokens as users meet them: stop texts, byte order marks, tokens that only a small file declares.

use std::fs;

use predicates::str::contains;
use serde_json::{Value, json};

use super::models::Copy;
use super::program::generate;

/// What the program says as JSON for two words.
fn said(copy: &Copy, more: &[&str]) -> Value {
    let fixed = ["-n", "8", "--temperature", "0", "--json", "-q"];
    let output = generate().args(copy.args(&[&fixed, more].concat())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The tiny checkpoint with the third token that it says marked as special.
fn with_special() -> (Copy, String, Value) {
    let plain = said(&Copy::new(), &["--ignore-eos"]);
    let id = plain["ids"][2].as_u64().unwrap();
    let copy = Copy::new().json("tokenizer.json", |t| {
        let vocab = t["model"]["vocab"].as_object_mut().unwrap();
        let text = vocab.iter().find(|(_, v)| v.as_u64() == Some(id)).unwrap().0.clone();
        vocab.remove(&text);
        vocab.insert("<|stop|>".into(), json!(id));
        t["added_tokens"] = json!([{
            "id": id, "content": "<|stop|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }]);
    });
    (copy, "<|stop|>".into(), plain)
}

#[test]
fn a_stop_text_that_is_one_special_token_is_compared_by_its_id() {
    let (copy, stop, plain) = with_special();
    let ids = plain["ids"].as_array().unwrap();
    assert!(ids[..2].iter().all(|id| id != &ids[2]), "the token comes up once: {ids:?}");
    let stopped = said(&copy, &["--ignore-eos", "--stop", &stop]);
    assert_eq!(
        (&stopped["finish"], stopped["ids"].as_array().unwrap().as_slice()),
        (&json!("stop"), &ids[..2])
    );
    // What might have become another stop text is not lost.
    let held = said(
        &copy,
        &["--ignore-eos", "--stop", &stop, "--stop", &format!("{}!", stopped["text"].as_str().unwrap())],
    );
    assert_eq!(held["text"], stopped["text"]);
}

#[test]
fn every_file_that_names_an_end_counts() {
    let plain = said(&Copy::new(), &["--ignore-eos"]);
    let id = &plain["ids"][1];
    let word = format!("t{id}");
    for (file, content) in [
        ("tokenizer_config.json", json!({ "eos_token": word })),
        ("tokenizer_config.json", json!({ "eos_token": { "content": word } })),
        ("special_tokens_map.json", json!({ "eos_token": word })),
        ("generation_config.json", json!({ "eos_token_id": [id, -1] })),
    ] {
        let copy = Copy::new();
        fs::write(copy.file(file), content.to_string()).unwrap();
        let ended = said(&copy, &[]);
        assert_eq!(
            (&ended["finish"], ended["ids"].as_array().unwrap().len()),
            (&json!("eos"), 1),
            "{file} {content}"
        );
    }
    let copy = Copy::new().json("config.json", |c| c["eos_token_id"] = json!([2, 100_000]));
    generate()
        .args(copy.args(&["-n", "1"]))
        .assert()
        .success()
        .stderr(contains("warning: the eos_token_id 100000 is not one of the 512 tokens of the model"));
}

#[test]
fn tokens_that_only_tokenizer_config_declares_are_not_cut() {
    let copy = Copy::new();
    let declared = json!({ "added_tokens_decoder": { "512": { "content": "<|new|>", "special": true } } });
    fs::write(copy.file("tokenizer_config.json"), declared.to_string()).unwrap();
    // The model has no row for it.
    let args = ["-m", copy.path().to_str().unwrap(), "-p", "t5<|new|>t6"];
    generate().args(args).assert().code(1).stderr(contains("the token '<|new|>', number 512"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_prompt_or_a_small_file() {
    let copy = Copy::new();
    let prompt = copy.file("prompt.txt");
    fs::write(&prompt, "\u{feff}t5 t6\n").unwrap();
    for file in ["config.json", "generation_config.json", "tokenizer.json"] {
        let text = fs::read_to_string(copy.file(file)).unwrap();
        fs::write(copy.file(file), format!("\u{feff}{text}")).unwrap();
    }
    let path = copy.path().to_str().unwrap();
    let marked =
        ["-m", path, "-f", prompt.to_str().unwrap(), "-n", "8", "--temperature", "0", "--json", "-q"];
    let output = generate().args(marked).output().unwrap();
    let marked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(marked["ids"], said(&Copy::new(), &[])["ids"]);
}

#[test]
fn tensors_that_the_configuration_does_not_ask_for_are_named() {
    let copy = Copy::new().bytes(|bytes| {
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
        let at = bytes.len() - end;
        for (i, name) in ["self_attn.o_proj.bias", "self_attn.rotary_emb.inv_freq"].iter().enumerate() {
            let offsets = [at + 256 * i, at + 256 * (i + 1)];
            header[format!("model.layers.0.{name}")] =
                json!({ "dtype": "BF16", "shape": [128], "data_offsets": offsets });
        }
        let text = header.to_string();
        let data = bytes.split_off(end);
        *bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        bytes.extend([1; 512]);
    });
    generate().args(copy.args(&["-n", "1"])).assert().success().stderr(contains(
        "holds a tensor that the model does not use, since config.json does not ask for it: 'model.layers.0.self_attn.o_proj.bias'",
    ));
}
