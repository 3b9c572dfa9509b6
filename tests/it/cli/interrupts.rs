//! Closed pipes, full disks, signals.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use super::models::Copy;
use super::program::{generate, raw, tiny};
use super::pty::{Terminal, send};

/// Text without end, as far as the context goes.
const ENDLESS: [&str; 9] =
    ["--ignore-eos", "--max-seq-len", "100000", "--kv-type", "f16", "-p", "t1", "--seed", "7"];

fn endless(stdout: Stdio) -> Child {
    let mut command = raw();
    command.arg("-m").arg(tiny()).args(ENDLESS).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
    text
}

fn read_some(child: &mut Child, bytes: usize) -> BufReader<std::process::ChildStdout> {
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut some = vec![0; bytes];
    out.read_exact(&mut some).expect("text streams before the end");
    out
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = endless(Stdio::piped());
    drop(read_some(&mut child, 20));
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(!text.contains("error") && !text.contains("panicked"), "{text}");
}

#[test]
fn a_full_disk_is_reported() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has /dev/full");
    let mut child = endless(full.into());
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    assert!(text.contains("error: cannot write the text to standard output: No space left"), "{text}");
}

#[test]
fn ctrl_c_ends_the_text_prints_the_figures_and_exits_with_130() {
    let mut child = endless(Stdio::piped());
    let mut out = read_some(&mut child, 20);
    send(&child, libc::SIGINT);
    let mut rest = String::new();
    while out.read_line(&mut rest).expect("UTF-8") > 0 {}
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    assert!(rest.ends_with('\n'), "the last line is ended: {rest:?}");
    assert!(text.contains("interrupted") && text.contains("tok/s"), "{text}");
}

/// The ways to end a program from outside.
const ENDS: [i32; 2] = [libc::SIGTERM, libc::SIGHUP];

/// Roles and contents of the conversation in a session file.
fn messages(file: &Path) -> Vec<(String, String)> {
    let bytes = std::fs::read(file).expect("a session file");
    let len = u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes"));
    let description: serde_json::Value =
        serde_json::from_slice(&bytes[64..64 + usize::try_from(len).expect("small")]).expect("JSON");
    let text = |m: &serde_json::Value, field: &str| m[field].as_str().expect("a text").to_owned();
    let messages = description["messages"].as_array().expect("a list");
    messages.iter().map(|m| (text(m, "role"), text(m, "content"))).collect()
}

/// A conversation on pipes that keeps itself in `file`.
fn talk(copy: &Copy, file: &Path, more: &[&str]) -> Child {
    let mut command = raw();
    command.args(["--chat", "--temperature", "0", "--ignore-eos", "-m"]).arg(copy.path()).args(more);
    command.arg("--session").arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

#[test]
fn a_signal_at_the_prompt_keeps_the_conversation() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let _ = std::fs::remove_file(&file);
        let mut child = talk(&copy, &file, &["-n", "6"]);
        let mut input = child.stdin.take().expect("piped");
        input.write_all(b"t5\n").expect("it reads");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut answer = String::new();
        out.read_line(&mut answer).expect("an answer");
        send(&child, signal);
        assert_eq!(child.wait().expect("it ends").code(), Some(128 + signal));
        let kept = messages(&file);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!((kept[0].1.as_str(), kept[1].1.trim()), ("t5", answer.trim()));
        drop(input);
    }
}

#[test]
fn a_signal_in_an_answer_keeps_what_was_said() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    for signal in ENDS {
        let _ = std::fs::remove_file(&file);
        let mut child = talk(&copy, &file, &["--max-seq-len", "100000"]);
        let mut input = child.stdin.take().expect("piped");
        input.write_all(b"t5\n").expect("it reads");
        let mut out = child.stdout.take().expect("piped");
        let mut begun = [0; 60];
        out.read_exact(&mut begun).expect("an answer");
        send(&child, signal);
        // What it still says has to be read, or it would wait for that.
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).expect("an end");
        assert_eq!(child.wait().expect("it ends").code(), Some(128 + signal));
        let kept = messages(&file);
        assert_eq!((kept.len(), kept[0].1.as_str()), (2, "t5"));
        let said = String::from_utf8([&begun[..], &rest].concat()).expect("UTF-8");
        assert_eq!(kept[1].1.trim(), said.trim());
    }
}

#[test]
fn a_signal_does_not_wait_for_a_reader_that_has_stopped() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    let mut child = talk(&copy, &file, &["--max-seq-len", "100000"]);
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"t5\n").expect("it reads");
    let mut out = child.stdout.take().expect("piped");
    out.read_exact(&mut [0; 60]).expect("an answer");
    // The pipe takes 64 KB, and then the program waits.
    std::thread::sleep(std::time::Duration::from_millis(500));
    send(&child, libc::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    assert_eq!(messages(&file).len(), 2);
    drop(out);
}

#[test]
fn a_signal_while_a_prompt_is_read_keeps_what_was_said_before() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    // A token at a time, slowly: the signal comes long before the end of the prompt.
    let slow = ["-n", "6", "--prefill-chunk", "1", "--max-seq-len", "100000", "-b", "reference"];
    let mut child = talk(&copy, &file, &slow);
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"t5\n").expect("it reads");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut answer = String::new();
    out.read_line(&mut answer).expect("an answer");
    input.write_all(("t6 ".repeat(20_000) + "\n").as_bytes()).expect("it reads");
    std::thread::sleep(std::time::Duration::from_millis(300));
    send(&child, libc::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    let kept = messages(&file);
    assert_eq!((kept.len(), kept[1].1.trim()), (2, answer.trim()), "{kept:?}");
    drop(input);
    let again = generate()
        .args(["--chat", "--temperature", "0", "--ignore-eos", "-n", "6", "-b", "reference", "-m"])
        .args([copy.path(), Path::new("--session"), &file])
        .write_stdin("/stats\nt11\n")
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && !stderr.contains("warning"), "{stderr}");
    assert!(stderr.contains("after 1 answers"), "{stderr}");
}

#[test]
fn a_signal_ends_a_text_and_keeps_it() {
    let copy = Copy::new();
    let file = copy.file("text.session");
    for signal in ENDS {
        let _ = std::fs::remove_file(&file);
        let mut command = raw();
        command.arg("-m").arg(tiny()).args(ENDLESS).arg("--session").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut out = read_some(&mut child, 20);
        send(&child, signal);
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).expect("an end");
        let text = stderr(&mut child);
        assert_eq!(child.wait().expect("it ends").code(), Some(128 + signal), "{text}");
        assert!(file.exists(), "{text}");
    }
}

#[test]
fn a_terminal_that_is_closed_keeps_the_conversation() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    let model = copy.path().to_str().expect("a plain path");
    let name = file.to_str().expect("a plain path");
    let args = ["--chat", "--ignore-eos", "-n", "6", "--no-history", "-m", model, "--session", name];
    for signal in [Some(libc::SIGTERM), None] {
        let _ = std::fs::remove_file(&file);
        let mut t = Terminal::generate(&args, copy.path(), &[], None);
        t.prompt();
        t.enter("t5");
        t.wait("an answer", |screen| screen.matches(" t").count() >= 6);
        t.prompt();
        t.press("half a li");
        t.see("half a li");
        match signal {
            Some(signal) => t.signal(signal),
            None => t.close(),
        }
        assert_eq!(t.code(), Some(128 + signal.unwrap_or(libc::SIGHUP)));
        assert_eq!(messages(&file).len(), 2);
    }
}
