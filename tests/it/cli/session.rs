//! `--session`: what a second run takes up, and what becomes of the file when something goes wrong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use llm_rs2::format::session::SessionLock;
use serde_json::Value;
use tempfile::TempDir;

use super::models::Copy;
use super::program::{generate, raw, refuses, tiny};

/// A folder for a session file.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("s.session")
    }
}

const SAMPLED: [&str; 12] = [
    "--temperature",
    "1.5",
    "--top-k",
    "0",
    "--repetition-penalty",
    "1.3",
    "--frequency-penalty",
    "0.2",
    "--ignore-eos",
    "--json",
    "--seed",
    "5",
];

/// The figures of a run, and what it told.
fn run(file: Option<&Path>, prompt: &str, args: &[&str]) -> (Value, String) {
    let mut command = generate();
    if let Some(file) = file {
        command.arg("--session").arg(file);
    }
    let model: &[&str] =
        if args.contains(&"-m") { &[] } else { &["-m", tiny().to_str().expect("a plain path")] };
    let output = command
        .args(model)
        .args(SAMPLED)
        .args(["-p", prompt])
        .args(args)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (serde_json::from_slice(&output.stdout).expect("one object"), stderr)
}

/// Some words.
fn words(range: std::ops::Range<usize>) -> String {
    range.map(|i| format!("t{}", 3 + i * 7 % 400)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_second_run_computes_only_what_is_new() {
    let place = Place::new();
    let file = place.file();
    let n = ["-n", "9"];
    let prompt = words(0..50);
    let (first, _) = run(Some(&file), &prompt, &n);
    let (plain, _) = run(None, &prompt, &n);
    assert_eq!((&first["ids"], &first["reused_tokens"]), (&plain["ids"], &Value::from(0)));
    let said = first["text"].as_str().expect("text");
    let longer = format!("{prompt}{said} {}", words(90..99));
    let parting = format!("{} {}", words(0..30), words(60..80));
    for (prompt, reused) in [
        (&prompt, 49),
        (&longer, 58),
        (&parting, 30),
        (&parting, 49),
        (&words(70..90), 0),
        (&words(70..90), 19),
    ] {
        let (with, stderr) = run(Some(&file), prompt, &n);
        let (without, _) = run(None, prompt, &n);
        assert_eq!(with["reused_tokens"], reused, "{prompt}");
        assert_eq!((&with["ids"], &with["text"]), (&without["ids"], &without["text"]), "{prompt}");
        assert!(!stderr.contains("warning"), "{stderr}");
        assert!(reused == 0 || stderr.contains(&format!("after {reused} known")), "{stderr}");
    }
    assert_eq!(fs::read_dir(place.0.path()).expect("a folder").count(), 1, "nothing else is left");
}

#[test]
fn an_empty_prompt_goes_on_as_if_the_text_had_not_been_interrupted() {
    let within = |policy| ["--eviction-policy", policy, "--eviction-window", "32", "--kv-type", "q8_0"];
    let (sliding, streaming, h2o) = (within("sliding"), within("streaming"), within("h2o"));
    for more in [&[][..], &sliding, &streaming, &h2o, &["--kv-type", "f32", "--lookup", "4"]] {
        let place = Place::new();
        let with = |n| [more, &["-n", n]].concat();
        let (whole, _) = run(None, &words(0..20), &with("50"));
        let mut ids = Vec::new();
        for (prompt, n) in [(words(0..20).as_str(), "17"), ("", "1"), ("", "32")] {
            let (part, stderr) = run(Some(&place.file()), prompt, &with(n));
            ids.extend(part["ids"].as_array().expect("ids").clone());
            // All but the token that was chosen last.
            let known = part["prompt_tokens"].as_u64().expect("a number") - 1;
            assert!(part["reused_tokens"] == known || !prompt.is_empty(), "{more:?}: {stderr}");
            assert!(!stderr.contains("warning"), "{more:?}: {stderr}");
        }
        assert_eq!(Value::from(ids), whole["ids"], "{more:?}");
    }
    let place = Place::new();
    let file = place.file();
    refuses(
        &["--session", file.to_str().expect("a plain path"), "-p", ""],
        1,
        &["nothing to go on with", "--prompt", "holds no text"],
    );
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason_and_computed_anew() {
    let place = Place::new();
    let file = place.file();
    let prompt = words(0..20);
    let n = ["-n", "5"];
    let (plain, _) = run(Some(&file), &prompt, &n);
    let whole = fs::read(&file).expect("a session");
    let case = |bytes: &[u8], args: &[&str], reason: &str| {
        fs::write(&file, bytes).expect("writable");
        let args = [&n, args].concat();
        let (alone, _) = run(None, &prompt, &args);
        let (with, stderr) = run(Some(&file), &prompt, &args);
        assert_eq!((&with["ids"], &with["reused_tokens"]), (&alone["ids"], &Value::from(0)), "{reason}");
        let warning = stderr.lines().find(|line| line.starts_with("warning: ")).unwrap_or_default();
        for part in [reason, "s.session"] {
            assert!(warning.contains(part), "'{part}': {stderr}");
        }
        stderr
    };
    // A file of its own that is of no use is replaced.
    let own = |bytes: &[u8], args: &[&str], reason: &str| {
        assert!(case(bytes, args, reason).contains("all is computed anew"), "{reason}");
        let (again, stderr) = run(Some(&file), &prompt, &[&n, args].concat());
        assert_eq!(again["reused_tokens"], 19, "{reason}: {stderr}");
    };
    own(&whole[..40], &[], "within its header");
    own(&whole[..whole.len() - 1], &[], "it is not whole");
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        bytes
    };
    own(&flipped(20), &[], "header does not have the checksum");
    own(&flipped(whole.len() - 9), &[], "contents do not have the checksum");
    own(&flipped(8), &[], "version");
    own(&whole, &["--kv-type", "f32"], "another type of keys: f16, not f32");
    own(&whole, &["--weight-dtype", "q8_0"], "another format of the weights");
    own(
        &whole,
        &["--backend", "reference"],
        "another arithmetic (backend or instruction set): cpu, not reference",
    );
    own(&whole, &["--max-seq-len", "22"], "holds 24 tokens, more than the 22");
    // One that belongs to something else is not.
    let foreign = |bytes: &[u8], model: &[&str], reason: &str| {
        assert!(case(bytes, model, reason).contains("left as it is"), "{reason}");
        assert!(fs::read(&file).expect("readable") == bytes, "{reason}");
    };
    foreign(b"My thesis, chapter one.", &[], "is no session file");
    let other = Copy::new().bytes(|bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 0x40;
    });
    foreign(&whole, &["-m", other.path().to_str().expect("a plain path")], "another model");
    // What is left of the first text is still good.
    fs::write(&file, &whole).expect("writable");
    let (again, _) = run(Some(&file), &prompt, &n);
    assert_eq!((&again["ids"], &again["reused_tokens"]), (&plain["ids"], &Value::from(19)));
    // A file without bytes is a name for a new session.
    fs::write(&file, "").expect("writable");
    let (_, stderr) = run(Some(&file), &prompt, &n);
    assert!(!stderr.contains("warning"), "{stderr}");
}

#[test]
fn an_eviction_is_saved_and_taken_up_by_the_same_settings_alone() {
    let place = Place::new();
    let file = place.file();
    let window = |n| ["--eviction-policy", "sliding", "--eviction-window", n, "-n", "20"];
    let prompt = words(0..60);
    let (first, _) = run(Some(&file), &prompt, &window("32"));
    let longer = format!("{prompt}{} {}", first["text"].as_str().expect("text"), words(70..75));
    let (with, _) = run(Some(&file), &longer, &window("32"));
    let (without, _) = run(None, &longer, &window("32"));
    assert_eq!((&with["ids"], &with["cache"]), (&without["ids"], &without["cache"]));
    assert_eq!(with["reused_tokens"], 79);
    let streaming = ["--eviction-policy", "streaming", "--eviction-window", "32", "-n", "20"];
    for args in [&window("40")[..], &streaming, &["-n", "20"]] {
        run(Some(&file), &prompt, &window("32"));
        let (_, stderr) = run(Some(&file), &prompt, args);
        assert!(stderr.contains("given up tokens by another eviction policy"), "{stderr}");
    }
}

#[test]
fn places_that_cannot_be_written_are_told_before_the_text() {
    let place = Place::new();
    let folder = place.0.path().to_str().expect("a plain path");
    let model = tiny().to_str().expect("a plain path");
    let case = |file: &str, parts: &[&str]| {
        refuses(&["-m", model, "-p", "t1", "-n", "2", "--session", file], 1, &[parts, &[file]].concat());
    };
    case(folder, &["is a directory", "choose another file"]);
    case("/dev/full", &["is a device", "choose another file"]);
    case(&format!("{folder}/no/such.session"), &["cannot write", "No such file", "choose another file"]);
    assert!(Path::new("/dev/full").exists());
}

/// The program by way of a shell that runs `before` first.
fn limited(before: &str, file: &Path, prompt: &str) -> std::process::Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("{before}; exec \"$@\""))
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_generate"))
        .args(["-m", tiny().to_str().expect("a plain path"), "--pack-cache", "off", "-n", "3", "-p", prompt])
        .args(["--ignore-eos", "--session"])
        .arg(file)
        .output()
        .expect("a shell")
}

#[test]
fn a_disk_without_room_leaves_the_old_file_as_it_was() {
    let place = Place::new();
    let file = place.file();
    run(Some(&file), &words(0..300), &["-n", "3"]);
    let before = fs::read(&file).expect("a session");
    // No file may become longer than so many blocks of 512 bytes (or of 1024); the write fails, as on a full disk.
    for blocks in [8, 40, 100, 180] {
        let output = limited(&format!("ulimit -f {blocks}"), &file, &words(300..700));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(!output.stdout.is_empty(), "the text is not lost");
        for part in ["the session is not saved, and the file is as it was", "cannot write", "s.session"] {
            assert!(stderr.contains(part), "'{part}': {stderr}");
        }
        assert!(fs::read(&file).expect("readable") == before, "{blocks} blocks");
        assert_eq!(fs::read_dir(place.0.path()).expect("a folder").count(), 1, "nothing else is left");
    }
    let (again, stderr) = run(Some(&file), &words(0..300), &["-n", "3"]);
    assert_eq!(again["reused_tokens"], 299, "{stderr}");
    assert!(!stderr.contains("warning"), "{stderr}");
}

/// Files beside the session that have bytes: what is being written, or what is left of that.
fn unfinished(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.0.path()).expect("a folder").flatten();
    let begun = entries.filter(|e| e.path() != place.file() && e.metadata().is_ok_and(|m| m.len() > 0));
    begun.map(|e| e.path()).collect()
}

#[test]
fn a_process_that_is_killed_at_any_time_leaves_the_old_file_or_the_new_one() {
    let place = Place::new();
    let file = place.file();
    let prompts = [words(0..900), words(100..1000)];
    let args = ["--kv-type", "f32", "-n", "2"];
    run(Some(&file), &prompts[0], &args);
    for round in 0..8 {
        let mut command = raw();
        command.args(["-m", tiny().to_str().expect("a plain path")]).args(SAMPLED).args(args);
        command.args(["-p", &prompts[round % 2]]).arg("--session").arg(&file);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // From the beginning of its write on, a little later each time; it may have ended by then.
        let leftovers = unfinished(&place);
        while unfinished(&place) == leftovers && child.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_micros(50));
        }
        std::thread::sleep(Duration::from_micros(200 * round as u64));
        child.kill().expect("it is our child");
        child.wait().expect("it ends");
        let (after, stderr) = run(Some(&file), &prompts[0], &args);
        assert!(!stderr.contains("warning"), "round {round}: {stderr}");
        // Of the other text's 900 words the first one may be the same.
        let reused = after["reused_tokens"].as_u64().expect("a number");
        assert!(reused == 899 || reused < 2, "round {round}: {reused}");
    }
}

#[test]
fn a_conversation_goes_on_in_another_run() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    let talk = |lines: &str, args: &[&str]| {
        let output = generate()
            .args(["--chat", "--ignore-eos", "-n", "6", "--temperature", "1.5", "--top-k", "0", "-m"])
            .arg(copy.path())
            .args(args)
            .write_stdin(lines)
            .output()
            .expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        (String::from_utf8(output.stdout).expect("UTF-8"), stderr)
    };
    let session = ["--session", file.to_str().expect("a plain path")];
    let system = ["--system", "t20 t21"];
    let (whole, _) = talk("t5\nt6\nt7\n", &system);
    let (first, _) = talk("t5\nt6\n", &[&system[..], &session].concat());
    let (rest, stderr) = talk("t7\n/stats\n", &session);
    assert_eq!(format!("{first}\n{rest}"), whole);
    assert!(stderr.contains("goes on after 2 answers"), "{stderr}");
    // Three messages and the answers of six tokens to two of them, but for the last token; a system message of three.
    assert!(stderr.contains("4 new tokens after 20 known"), "{stderr}");
    // The same by commands, and another answer to the last message in place of the first one.
    let again = file.with_extension("again");
    let (_, stderr) = talk(&format!("t5\nt6\n/save {}\n", again.display()), &system);
    assert!(stderr.contains("saved as"), "{stderr}");
    let (rest_again, _) = talk(&format!("/load {}\nt7\n", again.display()), &[]);
    assert_eq!(rest_again, rest);
    let output = generate()
        .args(["--chat", "--system", "t30", "-m"])
        .arg(copy.path())
        .args(session)
        .write_stdin("t5\n")
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("another system message"), "{stderr}");
}

#[test]
fn a_file_that_another_process_uses_is_refused() {
    let place = Place::new();
    let file = place.file();
    let path = file.to_str().expect("a plain path");
    let lock = SessionLock::take(&file).expect("nobody else has it");
    refuses(
        &["--session", path, "-p", "x", "-n", "1"],
        1,
        &["--session", path, "is in use by another process"],
    );
    drop(lock);
    assert!(!file.exists());
    let prompt = words(0..9);
    run(Some(&file), &prompt, &["-n", "2"]);
    // The program holds it while it runs, also behind a text: a chat that waits for its next line.
    let chat = Copy::with_template();
    let chat_file = chat.file("chat.session");
    let mut child = raw()
        .args(["--chat", "-q", "-n", "3", "-m"])
        .arg(chat.path())
        .arg("--session")
        .arg(&chat_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut lines = child.stdin.take().expect("a pipe");
    let mut said = child.stdout.take().expect("a pipe");
    writeln!(lines, "t5\n/save {}", chat_file.display()).expect("it reads");
    // The first answer has begun, so that the file is taken.
    said.read_exact(&mut [0]).expect("it answers");
    let other = chat_file.to_str().expect("a plain path");
    refuses(&["--session", other, "-p", "x", "-n", "1"], 1, &[other, "is in use by another process"]);
    drop(lines);
    assert!(child.wait().expect("it ends").success());
    assert!(SessionLock::take(&chat_file).is_ok());
}
