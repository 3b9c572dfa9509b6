//! Long texts in fixed memory, as a person asks for them.

use serde_json::Value;

use crate::program::{generate, refuses, tiny};

/// A prompt of `tokens` words, each a token.
fn prompt(tokens: usize) -> String {
    (0..tokens).map(|i| format!("t{}", 3 + i * 7 % 300)).collect::<Vec<_>>().join(" ")
}

fn run(prompt: &str, args: &[&str]) -> (Value, String) {
    let output = generate()
        .arg("-m")
        .arg(tiny())
        .args(["-p", prompt, "--temperature", "0", "--ignore-eos", "--json"])
        .args(args)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (serde_json::from_slice(&output.stdout).expect("one object"), stderr)
}

#[test]
fn a_prompt_and_a_text_longer_than_the_window_and_the_context() {
    let base =
        ["--eviction-policy", "sliding", "--eviction-window", "64", "--max-seq-len", "80", "-n", "120"];
    let prompt = prompt(150);
    let (json, stderr) = run(&prompt, &base);
    assert_eq!(json["finish"], "length");
    assert_eq!(json["prompt_tokens"], 150);
    let cache = &json["cache"];
    // The window of 64 is left with 48: one eviction in 16 tokens.
    assert_eq!(cache["positions"], 269);
    assert_eq!(cache["evictions"], (269 - 64usize).div_ceil(16));
    assert_eq!(cache["tokens_evicted"], 13 * 16);
    assert_eq!(cache["tokens_held"], 269 - 13 * 16);
    for (name, value) in [("eviction_window", 64), ("protected_prefix", 4), ("eviction_target", 48)] {
        assert_eq!(json["settings"][name], value);
    }
    assert_eq!(json["settings"]["eviction_policy"], "sliding");
    assert!(stderr.contains("evicted 13 times, 61 of 269 tokens held"), "{stderr}");
    assert!(!stderr.contains("warning"), "{stderr}");
    // Memory and speed alone change.
    for more in [["--prefill-chunk", "5"], ["--threads", "1"], ["--lookup", "4"]] {
        let (other, _) = run(&prompt, &[&base[..], &more].concat());
        assert_eq!((&other["ids"], &other["cache"]), (&json["ids"], &json["cache"]), "{more:?}");
    }
}

#[test]
fn without_a_policy_the_context_ends_the_text() {
    for args in [&["--max-seq-len", "80"][..], &["--max-seq-len", "80", "--eviction-policy", "none"]] {
        let (json, stderr) = run(&prompt(20), args);
        assert_eq!(json["finish"], "context");
        assert_eq!(json["cache"]["evictions"], 0);
        assert_eq!(json["settings"]["eviction_policy"], "none");
        assert!(
            stderr.contains("the context of 80 tokens is full") && !stderr.contains("evicted"),
            "{stderr}"
        );
    }
    // The least that holds the first token, another and a new one.
    let least = ["--eviction-policy", "sliding", "--max-seq-len", "3", "--protected-prefix", "0", "-n", "9"];
    let (json, _) = run(&prompt(20), &least);
    assert_eq!(json["settings"]["protected_prefix"], 1);
    assert_eq!(json["settings"]["eviction_window"], 3);
    assert_eq!((&json["finish"], &json["cache"]["tokens_held"]), (&Value::from("length"), &Value::from(3)));
}

#[test]
fn a_text_beyond_what_the_model_was_trained_for_is_warned_of_once() {
    let output = generate()
        .args(["-p", "Once upon a time", "--ignore-eos", "-n", "600", "--seed", "1"])
        .args(["--eviction-policy", "sliding", "--eviction-window", "128"])
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.matches("tokens that the model was trained for").count(), 1, "{stderr}");
}

#[test]
fn flags_that_make_no_sense_together() {
    let model = tiny().to_str().expect("a plain path");
    let case = |args: &[&str], code, parts: &[&str]| {
        refuses(&[&["-m", model, "-p", "t1 t2"][..], args].concat(), code, parts);
    };
    let sliding = |args: &[&str], parts: &[&str]| {
        case(&[&["--eviction-policy", "sliding"][..], args].concat(), 1, parts);
    };
    sliding(
        &["--eviction-window", "6"],
        &["eviction window of 6 tokens is too small", "leave 4", "the 4 protected", "--protected-prefix"],
    );
    sliding(
        &["--eviction-window", "100", "--protected-prefix", "80"],
        &["100 tokens is too small", "leave 75"],
    );
    for ratio in ["0", "1", "-0.5", "nan", "7"] {
        sliding(&["--eviction-target-ratio", ratio], &["ratio of", "between 0 and 1"]);
    }
    sliding(
        &["--eviction-window", "200", "--max-seq-len", "100"],
        &["window of 200 tokens is larger than the context of 100", "--max-seq-len"],
    );
    for (flag, value) in
        [("--eviction-window", "64"), ("--protected-prefix", "8"), ("--eviction-target-ratio", "0.5")]
    {
        case(&[flag, value], 2, &["required arguments"]);
        case(
            &["--eviction-policy", "none", flag, value],
            1,
            &[flag, "does nothing with --eviction-policy none"],
        );
    }
    case(&["--eviction-policy", "fifo"], 2, &["fifo", "choose one of none, sliding"]);
    case(&["--eviction-policy", "sliding", "--eviction-window", "0"], 2, &["at least 1"]);
}
