//! What comes out on standard output, and what beside it.

use std::io::Write as _;

use predicates::prelude::*;
use serde_json::Value;

use super::models::Copy;
use super::program::{generate, tiny};

/// Greedy text of the tiny checkpoint, as ids from Hugging Face.
fn golden_words(case: usize) -> (String, String) {
    let text = std::fs::read(tiny().join("reference.json")).unwrap();
    let reference: Value = serde_json::from_slice(&text).unwrap();
    let words = |ids: &Value| -> String {
        let ids: Vec<String> = ids.as_array().unwrap().iter().map(|id| format!("t{id}")).collect();
        ids.join(" ")
    };
    let case = &reference["cases"][case];
    (words(&case["input_ids"]), words(&case["greedy_ids"]))
}

#[test]
fn greedy_text_is_that_of_hugging_face_on_both_backends() {
    let (prompt, expected) = golden_words(0);
    for backend in ["cpu", "reference"] {
        generate()
            .arg("-m")
            .arg(tiny())
            .args(["-p", &prompt, "-n", "32", "--temperature", "0", "--ignore-eos", "--quiet", "-b", backend])
            .args(["--weight-dtype", "f32", "--kv-type", "f32"])
            .assert()
            .success()
            .stdout(format!(" {expected}\n"))
            .stderr("");
    }
}

#[test]
fn the_published_text_of_stories260k_word_for_word() {
    let test = "the_published_text_of_stories260k_word_for_word";
    let Some(model) = crate::skip::shared(test, "models/stories260k") else { return };
    generate()
        .arg("-m")
        .arg(&model)
        .args(["-p", "Once upon a time", "--echo", "--temperature", "0", "-n", "60", "-q"])
        .assert()
        .success()
        .stdout(predicate::str::starts_with(
            "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
             One day, she saw a big, red ball. She wanted to play with it, but it was too high.",
        ));
}

#[test]
fn the_demo_model_needs_no_arguments_but_a_prompt() {
    generate()
        .args(["--prompt", "Once upon a time", "-n", "40"])
        .assert()
        .success()
        .stdout(predicate::function(|text: &str| text.split_whitespace().count() > 15))
        .stderr(predicate::str::contains("built-in demo model"))
        .stderr(predicate::str::contains("--model-path"))
        .stderr(predicate::str::contains("tok/s"))
        .stderr(predicate::str::contains("peak memory"));
}

#[test]
fn the_same_seed_gives_the_same_text_for_any_threads_chunk_isa_and_draft() {
    let run = |rest: &[&str]| {
        let base = ["-p", "The little dog was very", "-n", "60", "-q", "--temperature", "1"];
        let output = generate().args(base).args(rest).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let first = run(&["--seed", "1", "--threads", "1"]);
    let cores = std::thread::available_parallelism().unwrap().to_string();
    assert_eq!(first, run(&["--seed", "1", "--threads", &cores, "--prefill-chunk", "2"]));
    assert_eq!(first, run(&["--seed", "1", "--isa", "scalar", "--lookup", "8"]));
    assert_ne!(first, run(&["--seed", "2", "--threads", "1"]));
    assert_ne!(run(&["--seed", "random"]), run(&["--seed", "random"]));
}

#[test]
fn prompts_come_from_a_file_or_a_pipe_as_well() {
    let (prompt, expected) = golden_words(0);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{prompt}").unwrap();
    let base = ["-n", "32", "--temperature", "0", "--ignore-eos", "-q", "--weight-dtype", "f32"];
    let run = |rest: &[&str], stdin: &str| {
        let assert = generate().arg("-m").arg(tiny()).args(base).args(rest).write_stdin(stdin).assert();
        assert.success().stdout(format!(" {expected}\n"));
    };
    run(&["-f", file.path().to_str().unwrap()], "");
    run(&[], &prompt);
    run(&["-f", "-"], &format!("{prompt}\n"));
}

#[test]
fn json_is_one_object_with_text_ids_timings_and_settings() {
    let output = generate()
        .arg("-m")
        .arg(tiny())
        .args([
            "-p",
            "t1 t2 t3",
            "-n",
            "8",
            "--json",
            "--ignore-eos",
            "--top-k",
            "5",
            "--seed",
            "3",
            "--top-p",
            "0.7",
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids = value["ids"].as_array().unwrap();
    assert_eq!(ids.len(), 8);
    let words: Vec<String> = ids.iter().map(|id| format!("t{id}")).collect();
    assert_eq!(value["text"].as_str().unwrap().trim_start(), words.join(" "));
    assert_eq!(value["prompt_tokens"], 3);
    assert_eq!(value["finish"], "length");
    assert_eq!(value["settings"]["top_k"], 5);
    assert_eq!(value["settings"]["seed"], 3);
    assert_eq!(value["settings"]["top_p"], 0.7);
    assert_eq!(value["settings"]["weight_dtype"], "bf16");
    for timing in ["load_s", "first_token_s", "prefill_tokens_per_s", "decode_tokens_per_s"] {
        assert!(value["timings"][timing].as_f64().unwrap() > 0.0, "{timing}");
    }
}

#[test]
fn stop_strings_end_the_text_and_are_not_printed() {
    let (prompt, expected) = golden_words(0);
    let words: Vec<&str> = expected.split(' ').collect();
    // Spans two tokens, so that its beginning must be held back.
    let stop = format!("{} {}", words[5], words[6]);
    let before = expected.split(&stop).next().unwrap();
    generate()
        .arg("-m")
        .arg(tiny())
        .args([
            "-p",
            &prompt,
            "-n",
            "32",
            "--temperature",
            "0",
            "--ignore-eos",
            "-q",
            "--weight-dtype",
            "f32",
        ])
        .args(["--stop", &stop])
        .assert()
        .success()
        .stdout(format!(" {before}\n"));
}

#[test]
fn chat_goes_through_the_models_template() {
    let copy = Copy::new();
    let template = "{% for m in messages %}{{ 't9' if m.role == 'system' else 't8' }} {{ m.content }} {% endfor %}\
                    {% if add_generation_prompt %}t7{% endif %}";
    let config = serde_json::json!({ "chat_template": template });
    std::fs::write(copy.file("tokenizer_config.json"), config.to_string()).unwrap();
    let ids = |rest: &[&str]| {
        let base = ["-n", "12", "--temperature", "0", "--ignore-eos", "--json"];
        let output = generate().arg("-m").arg(copy.path()).args(base).args(rest).output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (value["prompt_tokens"].clone(), value["ids"].clone())
    };
    let chat = ids(&["--chat", "--system", "t3 t4", "--prompt", "t5"]);
    assert_eq!(chat, ids(&["--prompt", "t9 t3 t4 t8 t5 t7"]));
    assert_eq!(chat.0, 6);
}

#[test]
fn the_text_ends_where_the_context_does() {
    generate()
        .arg("-m")
        .arg(tiny())
        .args(["-p", "t1 t2", "--max-seq-len", "10", "--ignore-eos"])
        .assert()
        .success()
        .stdout(predicate::function(|text: &str| text.split_whitespace().count() == 8))
        .stderr(predicate::str::contains("the context of 10 tokens is full"));
}

#[test]
fn every_weight_format_runs() {
    for dtype in ["f32", "f16", "bf16", "q8_0"] {
        generate()
            .arg("-m")
            .arg(tiny())
            .args(["-p", "t1", "-n", "4", "--ignore-eos", "--weight-dtype", dtype])
            .assert()
            .success()
            .stderr(predicate::str::contains(format!("{dtype} weights, ")));
    }
    // The embedding has more bytes than the layers of so small a model.
    for (dtype, pure) in [("q4_0", false), ("q4_1", false), ("q4_0", true)] {
        let expected = if pure { "q4_0 weights, ".to_owned() } else { format!("{dtype}+q8_0 weights, ") };
        let mut command = generate();
        command.arg("-m").arg(tiny()).args(["-p", "t1", "-n", "4", "--ignore-eos", "--weight-dtype", dtype]);
        command.args(pure.then_some("--pure")).assert().success().stderr(predicate::str::contains(expected));
    }
}

#[test]
fn help_and_version() {
    generate().arg("--version").assert().success().stdout(predicate::str::starts_with("generate 0."));
    generate()
        .arg("--help")
        .assert()
        .success()
        .stdout(predicate::str::contains("Sampling:").and(predicate::str::contains("--repetition-window")));
}

#[test]
fn lookup_is_counted_and_changes_nothing() {
    let prompt = "The old fox had a red ball. The old fox lived in a small house. The old fox had";
    let run = |rest: &[&str]| -> (Value, String) {
        let base = ["-p", prompt, "-n", "120", "--temperature", "0", "--ignore-eos", "--json"];
        let output = generate().args(base).args(rest).output().unwrap();
        assert!(output.status.success());
        (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (plain, quiet) = run(&[]);
    let (drafted, told) = run(&["--lookup", "6"]);
    assert_eq!(plain["ids"], drafted["ids"]);
    assert_eq!(plain["text"], drafted["text"]);
    let count = |run: &Value, key: &str| run["lookup"][key].as_u64().unwrap();
    for key in ["passes", "drafted", "accepted"] {
        assert_eq!(count(&plain, key), 0);
        assert!(count(&drafted, key) > 0, "{drafted}");
    }
    let sentence = format!(
        "lookup {} of {} drafted tokens accepted in {} passes",
        count(&drafted, "accepted"),
        count(&drafted, "drafted"),
        count(&drafted, "passes")
    );
    assert!(told.contains(&sentence), "{told}");
    assert!(!quiet.contains("drafted"), "{quiet}");
    assert_eq!(drafted["settings"]["lookup"], 6);
}
