//! `eval_model`: figures, comparisons with another run, and a sentence for whatever cannot be evaluated.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use super::program::tiny;

const PROGRAM: &str = env!("CARGO_BIN_EXE_eval_model");

/// Exit code, standard output and standard error of a run.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(PROGRAM).args(args).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// The standard output of a run that must succeed.
#[track_caller]
fn stdout(args: &[&str]) -> String {
    let (code, stdout, stderr) = run(args);
    assert_eq!(code, 0, "{args:?}: {stderr}");
    stdout
}

/// A run that must fail with exit code 1 and one line that holds all of `parts`.
#[track_caller]
fn refuses(args: &[&str], parts: &[&str]) {
    let (code, stdout, stderr) = run(args);
    assert_eq!((code, stdout.as_str()), (1, ""), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let line = stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{args:?}: '{part}' is not in: {stderr}");
    }
}

/// A directory with a file in it.
fn with_file(name: &str, bytes: &[u8]) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

/// The first stories that the demo model was not trained on.
fn stories() -> (TempDir, String) {
    let heldout = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/heldout.txt");
    let text = fs::read_to_string(heldout).unwrap();
    let end = text.char_indices().nth(3000).unwrap().0;
    with_file("stories.txt", &text.as_bytes()[..end])
}

/// What does not depend on how long it took.
fn timeless(json: &str) -> Value {
    let mut all: Value = serde_json::from_str(json).expect("JSON");
    all.as_object_mut().unwrap().remove("seconds").expect("a time");
    all["settings"].as_object_mut().unwrap().retain(|key, _| key != "backend" && key != "prefill_chunk");
    all
}

#[test]
fn figures_do_not_depend_on_chunks_or_instructions() {
    let (_dir, path) = stories();
    let args = ["-f", &path, "--json", "-q", "--window", "64"];
    let truth = timeless(&stdout(&[&args[..], &["-t", "1"]].concat()));
    let mean = truth["mean_nll"].as_f64().unwrap();
    assert!(mean > 0.05 && mean < 3.0, "{truth}");
    assert!((truth["perplexity"].as_f64().unwrap() - mean.exp()).abs() < 1e-9);
    assert_eq!(truth["scored"], truth["tokens"]);
    assert_eq!((&truth["settings"]["window"], &truth["settings"]["stride"]), (&64.into(), &32.into()));
    for rest in [["--prefill-chunk", "7"], ["--isa", "scalar"]] {
        assert_eq!(timeless(&stdout(&[&args[..], &rest].concat())), truth, "{rest:?}");
    }
    let wider = timeless(&stdout(&["-f", &path, "--json", "-q"]));
    assert_eq!((&wider["settings"]["window"], &wider["scored"]), (&512.into(), &truth["scored"]));
    assert!(wider["windows"].as_u64() < truth["windows"].as_u64() && wider["mean_nll"] != truth["mean_nll"]);
}

#[test]
fn a_person_reads_two_lines_and_the_settings() {
    let (_dir, path) = stories();
    let (code, stdout, stderr) = run(&["-f", &path, "--window", "32"]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].contains(" tokens scored in ") && lines[0].ends_with(" of 32, stride 16"), "{stdout}");
    assert!(
        lines[1].starts_with("mean NLL ") && lines[1].contains(" +- ") && lines[1].contains("perplexity ")
    );
    assert_eq!(lines.len(), 2);
    assert!(stderr.contains("f16 keys and values"), "{stderr}");
}

#[test]
fn another_run_is_compared_step_by_step() {
    let (dir, path) = stories();
    let args = ["-f", &path, "-q", "--window", "64"];
    let dump = stdout(&[&args[..], &["--dump-logits-topk", "8"]].concat());
    let all: Value = serde_json::from_str(&dump).expect("JSON");
    let steps = all["logits"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), all["scored"].as_u64().unwrap() as usize);
    assert!(steps.iter().all(|s| s["top"].as_array().unwrap().len() == 8));
    let other = dir.path().join("bf16.json");
    fs::write(&other, dump).unwrap();
    let against = |rest: &[&str]| -> Value {
        let args = [&args[..], &["--json", "--against", other.to_str().unwrap()], rest].concat();
        serde_json::from_str::<Value>(&stdout(&args)).expect("JSON")["against"].take()
    };
    let same = against(&[]);
    assert_eq!((&same["same_top_1"], &same["mean_tau_b"]), (&1.0.into(), &1.0.into()));
    assert!(same["max_kl"].as_f64().unwrap() < 1e-12, "{same}");
    let coarse = against(&["--weight-dtype", "q4_0"]);
    let (mean, max) = (coarse["mean_kl"].as_f64().unwrap(), coarse["max_kl"].as_f64().unwrap());
    assert!(mean > 0.0 && mean < 0.2 && max > mean, "{coarse}");
    assert!(coarse["same_top_1"].as_f64().unwrap() > 0.8, "{coarse}");
    let text = stdout(&[&args[..], &["--against", other.to_str().unwrap()]].concat());
    assert!(text.lines().nth(2).unwrap().contains("same top token 100.00 %"), "{text}");
    let path = other.to_str().unwrap();
    refuses(
        &["-f", args[1], "-q", "--against", path],
        &["bf16.json", "a window of 64 and a stride of 32", "--window, --stride"],
    );
    refuses(&["--teacher-force", "1,2,3", "--against", path], &["bf16.json", "this one has 3"]);
    let model = tiny().to_str().unwrap();
    refuses(&["-m", model, "--teacher-force", "1,2", "--against", path], &["2048 tokens", "has 512"]);
}

#[test]
fn given_ids_are_forced_with_a_step_behind_each() {
    let text = stdout(&["--teacher-force", "0,15,7", "--dump-logits-topk", "3", "-q"]);
    let all: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&all["scored"], &all["tokens"]), (&2.into(), &3.into()));
    assert_eq!(all["logits"]["ids"], serde_json::json!([0, 15, 7]));
    let targets: Vec<u64> =
        all["logits"]["steps"].as_array().unwrap().iter().map(|s| s["target"].as_u64().unwrap()).collect();
    assert_eq!(targets, [1, 2, 3]);
    let (_dir, path) = with_file("ids.txt", b"[0, 15, 7]");
    assert_eq!(
        timeless(&stdout(&["--teacher-force", &path, "--dump-logits-topk", "3", "-q"])),
        timeless(&text)
    );
    // One id gives what follows it, and no likelihood.
    let one = stdout(&["--teacher-force", "0", "--dump-logits-topk", "1"]);
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!((&one["perplexity"], &one["scored"]), (&Value::Null, &0.into()));
}

#[test]
fn a_text_longer_than_the_window_goes_through_in_one() {
    let (_dir, path) = stories();
    let json = |rest: &[&str]| timeless(&stdout(&[&["-f", &path, "--json", "-q"][..], rest].concat()));
    let small = ["--eviction-policy", "sliding", "--eviction-window", "100"];
    let truth = json(&small);
    let tokens = truth["tokens"].as_u64().unwrap();
    assert!(tokens > 400 && truth["scored"] == tokens && truth["windows"] == 1, "{truth}");
    assert_eq!(
        (&truth["settings"]["window"], &truth["settings"]["protected_prefix"]),
        (&(tokens + 1).into(), &4.into())
    );
    assert_eq!(truth["evictions"].as_u64(), Some((tokens - 100).div_ceil(25)));
    assert_eq!(truth["tokens_evicted"].as_u64(), truth["evictions"].as_u64().map(|e| 25 * e));
    assert_eq!(json(&[&small[..], &["--prefill-chunk", "9", "-t", "1"]].concat()), truth);
    // Where nothing has to go, it is one window that holds all.
    let (all, one) = (tokens + 1, ["--window", "2000"]);
    let wide = json(&["--eviction-policy", "sliding", "--eviction-window", &all.to_string()]);
    assert_eq!((&wide["mean_nll"], &wide["evictions"]), (&json(&one)["mean_nll"], &0.into()));
    assert!(wide["mean_nll"] != truth["mean_nll"]);
    let (code, text, stderr) = run(&[&["-f", &path][..], &small].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(
        text.contains("scored in one go, at most 100 held") && text.contains("evicted by sliding"),
        "{text}"
    );
    for flag in ["--window", "--stride"] {
        refuses(&[&["-f", &path, flag, "8"][..], &small].concat(), &["--eviction-policy", "leave them out"]);
    }
    refuses(
        &["-f", &path, "--eviction-policy", "sliding", "--eviction-window", "6"],
        &["window of 6 tokens is too"],
    );
}

#[test]
fn segments_are_parts_of_the_whole() {
    let (_dir, path) = stories();
    let args = ["-f", &path, "-q", "--segment", "300"];
    let all: Value = serde_json::from_str(&stdout(&[&args[..], &["--json"]].concat())).expect("JSON");
    let parts = all["segments"].as_array().unwrap();
    let scored = |part: &Value| part["scored"].as_u64().unwrap();
    assert_eq!(parts.len() as u64, all["tokens"].as_u64().unwrap().div_ceil(300));
    assert!(parts.iter().rev().skip(1).all(|part| scored(part) == 300), "{parts:?}");
    assert_eq!(parts[1]["from"], 300);
    let mean = |part: &Value| part["mean_nll"].as_f64().unwrap();
    let sum: f64 = parts.iter().map(|part| mean(part) * scored(part) as f64).sum();
    assert!((sum / scored(&all) as f64 - mean(&all)).abs() < 1e-12, "{all}");
    let text = stdout(&args);
    assert_eq!(text.lines().filter(|line| line.starts_with("from token ")).count(), parts.len(), "{text}");
    assert!(text.contains(&format!("from token 300: mean NLL {:.4} +- ", mean(&parts[1]))), "{text}");
}

#[test]
fn what_cannot_be_evaluated_is_a_sentence() {
    refuses(&[], &["nothing to evaluate", "--file", "--teacher-force"]);
    refuses(&["-f", "/no/such/text"], &["/no/such/text", "No such file"]);
    let (_dir, path) = with_file("empty.txt", b"");
    refuses(&["-f", &path], &["empty.txt is empty"]);
    let (_dir, path) = with_file("one.txt", b"a");
    refuses(&["-f", &path], &["one.txt has only one token", "two tokens"]);
    let (_dir, path) = with_file("bad.txt", b"once\xffupon");
    refuses(&["-f", &path], &["bad.txt is not UTF-8 text (byte 4)"]);
    refuses(&["--teacher-force", "7"], &["one token has no likelihood", "--dump-logits-topk"]);
    refuses(&["--teacher-force", "1,x"], &["'1,x' is neither a file nor a list", "'x'"]);
    refuses(&["--teacher-force", "1,99999"], &["token id 99999", "2048"]);
    let (_dir, path) = stories();
    refuses(&["-f", &path, "--window", "8", "--stride", "8"], &["window of 8", "stride of 8"]);
    refuses(&["-f", &path, "--window", "1"], &["window of 1"]);
    refuses(&["-f", &path, "--against", "/no/such.json"], &["/no/such.json", "cannot be read"]);
    let (_dir, json) = with_file("other.json", b"{\"perplexity\": 3}");
    refuses(&["-f", &path, "--against", &json], &["other.json", "--dump-logits-topk"]);
    let (_dir, json) = with_file("other.json", b"not JSON");
    refuses(&["-f", &path, "--against", &json], &["other.json", "is no report of an evaluation"]);
    refuses(&["-f", &path, "-b", "reference", "-t", "1"], &["--threads"]);
    refuses(&["-f", &path, "--device", "0"], &["--device", "--backend opencl"]);
    refuses(&["-f", &path, "-m", "/no/such/model"], &["'/no/such/model' does not exist"]);
}
