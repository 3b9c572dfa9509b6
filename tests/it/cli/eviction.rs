//! Long texts in fixed memory, as a person asks for them.

use serde_json::Value;

use super::program::{generate, refuses, tiny};

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
    ["sliding", "streaming", "h2o"].into_iter().for_each(longer_than_the_window);
}

fn longer_than_the_window(policy: &str) {
    let base = ["--eviction-policy", policy, "--eviction-window", "64", "--max-seq-len", "80", "-n", "120"];
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
    assert_eq!(json["settings"]["eviction_policy"], policy);
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
    // The least that holds a token and a new one.
    let least = ["--eviction-policy", "sliding", "--max-seq-len", "3", "--protected-prefix", "0", "-n", "9"];
    let (json, _) = run(&prompt(20), &least);
    assert_eq!(json["settings"]["protected_prefix"], 0);
    assert_eq!(json["settings"]["eviction_window"], 3);
    assert_eq!((&json["finish"], &json["cache"]["tokens_held"]), (&Value::from("length"), &Value::from(3)));
}

#[test]
fn a_text_beyond_what_the_model_was_trained_for_is_warned_of_once() {
    // Counted inside the cache, positions stay within what the demo model was trained for.
    for (policy, warnings) in [("sliding", 1), ("streaming", 0)] {
        let output = generate()
            .args(["-p", "Once upon a time", "--ignore-eos", "-n", "600", "--seed", "1"])
            .args(["--eviction-policy", policy, "--eviction-window", "128"])
            .output()
            .expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert_eq!(stderr.matches("tokens that the model was trained for").count(), warnings, "{stderr}");
    }
}

#[test]
fn short_memory_evicts_before_the_window_is_full() {
    let base =
        ["--eviction-policy", "streaming", "--eviction-window", "800", "--max-seq-len", "800", "-n", "20"];
    let prompt = prompt(600);
    let with = |threshold| run(&prompt, &[&base[..], &["--memory-threshold-mb", threshold]].concat());
    // No machine has as much as that: the cache stays as small as it is at first.
    let (short, stderr) = with("1000000000");
    let cache = &short["cache"];
    assert_eq!((&cache["evictions"], &cache["evictions_for_memory"]), (&6.into(), &6.into()));
    assert_eq!((&cache["tokens_held"], &short["finish"]), (&(619 - 6 * 64).into(), &"length".into()));
    assert!(stderr.contains("evicted 6 times (6 for want of memory)"), "{stderr}");
    let (most, _) = with("1");
    assert_eq!(most["cache"]["evictions"], 0);
    let (enough, stderr) = run(&prompt, &base);
    assert_eq!((&enough["cache"]["evictions"], &enough["cache"]["tokens_held"]), (&0.into(), &619.into()));
    assert!(!stderr.contains("evicted"), "{stderr}");
    let bytes = |json: &Value| json["memory"]["kv_cache_bytes"].as_u64();
    assert!(bytes(&short) < bytes(&enough), "{short} {enough}");
}

#[test]
fn a_budget_becomes_a_window_and_a_type() {
    // A token takes 512 bytes in f16 and 272 in q8_0, in three layers, and the keys or values of one again; a sink 3 KiB.
    // Pages are whole.
    let streaming = "--eviction-policy streaming --eviction-window";
    for (args, kv_type, window, end) in [
        (&[][..], "q8_0", 1088, format!("--kv-type q8_0 {streaming} 1088")),
        (&["--kv-type", "f16"], "f16", 576, format!("--kv-type f16 {streaming} 576")),
        (&["--max-seq-len", "300"], "f16", 300, format!("--kv-type f16 {streaming} 300")),
        (
            &["--eviction-policy", "sliding"],
            "q8_0",
            1088,
            "--eviction-policy sliding --eviction-window 1088".to_owned(),
        ),
    ] {
        let (json, stderr) = run(&prompt(10), &[&["--kv-budget-mb", "1", "-n", "3"], args].concat());
        let note = format!("note: 1 MiB hold {window} tokens as {kv_type} keys and values: ");
        let line = stderr.lines().find(|line| line.starts_with(&note));
        assert!(line.is_some_and(|line| line.ends_with(&end)), "{stderr}");
        assert_eq!(
            (&json["settings"]["eviction_window"], &json["settings"]["kv_type"]),
            (&window.into(), &kv_type.into())
        );
        assert!(json["memory"]["kv_cache_bytes"].as_u64().is_some_and(|bytes| bytes <= 1 << 20), "{json}");
    }
    let none = ["--kv-budget-mb", "1", "--eviction-policy", "none", "--kv-type", "f32", "-n", "900"];
    let (json, stderr) = run(&prompt(10), &none);
    assert_eq!((&json["finish"], &json["settings"]["max_seq_len"]), (&"context".into(), &256.into()));
    assert!(stderr.contains("--eviction-policy none --max-seq-len 256"), "{stderr}");
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
    sliding(
        &["--kv-budget-mb", "1", "--protected-prefix", "2000"],
        &["--kv-budget-mb 1 holds", "2668 are the least", "give at least 2"],
    );
    case(&["--kv-budget-mb", "0"], 2, &["at least 1"]);
    let both = ["--eviction-policy", "sliding", "--kv-budget-mb", "1", "--eviction-window", "64"];
    case(&both, 2, &["cannot be used with"]);
    case(&["--memory-threshold-mb", "100"], 2, &["required arguments"]);
    let none = ["--eviction-policy", "none", "--memory-threshold-mb", "100"];
    case(&none, 1, &["--memory-threshold-mb does nothing"]);
    case(&["--eviction-policy", "fifo"], 2, &["fifo", "choose one of none, sliding, streaming, h2o"]);
    case(&["--eviction-policy", "sliding", "--eviction-window", "0"], 2, &["at least 1"]);
}
