//! Keys and values that outlive the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::client::{Server, serve};
use crate::skip::skipped;

const STORY: &str = "The old fox had a red ball. The old fox lived in a small house. ";

fn start(folder: &Path, more: &[&str]) -> Server {
    Server::start(&[&["--kv-disk", folder.to_str().unwrap()], more].concat())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "kv")).collect()
}

/// The answer, and how many tokens of the prompt were not computed.
fn ask(server: &Server, prompt: &str) -> (Value, u64) {
    let body = json!({"prompt": prompt, "max_tokens": 20, "seed": 3, "ignore_eos": true});
    let value = server.ask("/v1/completions", &body);
    let cached = value["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    (value["choices"].clone(), cached)
}

fn prompts() -> (String, String) {
    let first = STORY.repeat(6);
    let second = format!("{first}One day, the fox");
    (first, second)
}

/// A folder with the text of the first prompt, and what the second one is answered without it.
fn kept() -> (tempfile::TempDir, Value) {
    let (first, second) = prompts();
    let expected = ask(&Server::start(&["--kept-texts", "0"]), &second).0;
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    assert_eq!(ask(&server, &first).1, 0);
    server.signal(libc::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
    assert_eq!(files(folder.path()).len(), 1);
    (folder, expected)
}

#[test]
fn a_text_is_taken_up_after_a_restart() {
    let (folder, expected) = kept();
    let (first, second) = prompts();
    let file = files(folder.path()).remove(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let server = start(folder.path(), &[]);
    let (answer, cached) = ask(&server, &second);
    assert!(cached > 64, "{cached}");
    assert_eq!(answer, expected);
    let two = |_: &Server| files(folder.path()).len() == 2;
    server.wait("the new text on the disk", two);
    // A text that goes on from the end of one takes its place.
    let mut ids = server.ask("/tokenize", &json!({"content": second, "add_special": true}))["tokens"].clone();
    let body =
        json!({"prompt": ids, "n_predict": 70, "ignore_eos": true, "temperature": 0, "return_tokens": true});
    let tokens = server.ask("/completion", &body)["tokens"].clone();
    server.wait("a third text on the disk", |_| files(folder.path()).len() == 3);
    ids.as_array_mut().unwrap().extend(tokens.as_array().unwrap().clone());
    let before = files(folder.path());
    let longer = server.ask("/completion", &json!({"prompt": ids, "n_predict": 3, "ignore_eos": true}));
    assert!(longer["timings"]["cache_n"].as_u64().unwrap() > 64);
    server.wait("the longer text in the place of the shorter one", |_| {
        let now = files(folder.path());
        now.len() == 3 && now.iter().any(|path| !before.contains(path))
    });
    // With other weights, keys and values would be others.
    let server = start(folder.path(), &["--weight-dtype", "q4_0", "--pure"]);
    assert_eq!(ask(&server, &first).1, 0);
    drop(server);
    let made = folder.path().join("new/folder");
    let server = start(&made, &[]);
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
    drop(server);
}

#[test]
fn a_killed_server_loses_nothing_that_was_on_the_disk() {
    let (folder, expected) = kept();
    let (_, second) = prompts();
    for _ in 0..3 {
        let server = start(folder.path(), &["--parallel", "4"]);
        // At work, and writing, when it is killed.
        let mut held = Vec::new();
        for i in 0..4 {
            let body = json!({"prompt": format!("{i} {}", STORY.repeat(3)), "n_predict": 40, "stream": true});
            held.push(server.send("POST", "/completion", &[], body.to_string().as_bytes()));
        }
        assert_eq!(ask(&server, &second).0, expected);
        server.signal(libc::SIGKILL);
        drop(server.end());
    }
    let server = start(folder.path(), &[]);
    let (answer, cached) = ask(&server, &second);
    assert!(cached > 64 && answer == expected, "{cached}");
}

#[test]
fn a_damaged_file_is_computed_anew() {
    let (folder, expected) = kept();
    let (_, second) = prompts();
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let foreign = folder.path().join("foreign.kv");
    fs::write(&foreign, b"something else").unwrap();
    for (bytes, noted) in [(changed, true), (whole[..whole.len() / 2].to_vec(), false), (Vec::new(), false)] {
        for path in files(folder.path()).into_iter().filter(|path| *path != foreign) {
            fs::remove_file(path).unwrap();
        }
        fs::write(&file, bytes).unwrap();
        let server = start(folder.path(), &[]);
        assert_eq!(ask(&server, &second), (expected.clone(), 0));
        server.signal(libc::SIGTERM);
        let (_, lines) = server.end();
        let said = lines.iter().any(|line| line.contains("is damaged") && line.contains("removed"));
        assert_eq!(said, noted, "{lines:#?}");
    }
    assert!(foreign.exists());
}

#[test]
fn there_are_no_more_bytes_than_there_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--kv-disk-mb", "1"]);
    for i in 0..8 {
        ask(&server, &format!("{i} {}", STORY.repeat(12)));
    }
    server.signal(libc::SIGTERM);
    server.end();
    let files = files(folder.path());
    let bytes: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(!files.is_empty() && files.len() < 8 && bytes <= 1 << 20, "{bytes} in {files:?}");
}

#[test]
fn a_folder_that_cannot_be_is_a_sentence() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (args, part) in [
        (vec!["--kv-disk", path], path),
        (vec!["--kv-disk", "/tmp/unused", "--eviction-policy", "sliding"], "--kv-disk"),
    ] {
        let output = serve(&[&args[..], &["--port", "0"]].concat()).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(part), "{stderr}");
    }
}

/// A server whose files in `folder`, as this process sees it, cannot be written until `make_room` is called.
#[track_caller]
fn goes_on_after_a_full_disk(server: Server, folder: &Path, named: &str, make_room: impl Fn(&Server)) {
    let prompts: Vec<String> = (0..5).map(|i| format!("{i} {}", STORY.repeat(6))).collect();
    let whole = Server::start(&["--kept-texts", "0"]);
    let expected: Vec<Value> = prompts.iter().map(|prompt| ask(&whole, prompt).0).collect();
    drop(whole);
    for (prompt, expected) in prompts.iter().zip(&expected) {
        assert_eq!(ask(&server, prompt), (expected.clone(), 0));
    }
    let note = server.line("no text is kept");
    assert!(note.contains(named) && note.contains("make room") && note.contains("cannot write"), "{note}");
    assert!(files(folder).is_empty());
    // A text that stays in memory is found there, and its answer is the same.
    let (again, cached) = ask(&server, &prompts[4]);
    assert!(again == expected[4] && cached > 64);
    make_room(&server);
    let asked = std::cell::Cell::new(0);
    server.wait("a file after there is room", |server| {
        asked.set(asked.get() + 1);
        ask(server, &format!("Later {} {}", asked.get(), STORY.repeat(5)));
        !files(folder).is_empty()
    });
    let again = server.line("again");
    assert!(again.contains("are kept in") && again.contains(named), "{again}");
    let is_whole = |_: &Server| {
        let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.all(|name| name.to_string_lossy().ends_with(".kv") || name == "filler")
    };
    server.wait("an end of all that is being written", is_whole);
    server.signal(libc::SIGTERM);
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.contains("no text is kept") || line.contains("panicked")),
        "{lines:#?}"
    );
}

#[test]
fn a_file_that_may_not_grow_is_noted_once_and_no_answer_changes() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().to_str().unwrap();
    let mut command = serve(&["-t", "2", "--port", "0", "--log", "off", "--kv-disk", named]);
    let limit = || {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls are allowed between fork and exec, and get a whole structure that lives as long as they run.
        let failed = unsafe {
            libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit);
            limit.rlim_cur = 16 << 10;
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit)
        };
        if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure calls nothing but getrlimit and setrlimit, and touches no memory but its own.
    unsafe { command.pre_exec(limit) };
    let server = Server::of(command).unwrap_or_else(|lines| panic!("no server: {lines:#?}"));
    goes_on_after_a_full_disk(server, folder.path(), named, |server| {
        let id = i32::try_from(server.id()).unwrap();
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls get whole structures that live as long as they run, or none.
        unsafe {
            assert_eq!(libc::prlimit(id, libc::RLIMIT_FSIZE, std::ptr::null(), &mut limit), 0);
            limit.rlim_cur = limit.rlim_max;
            assert_eq!(libc::prlimit(id, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()), 0);
        }
    });
}

#[test]
fn a_full_disk_is_noted_once_and_no_answer_changes() {
    const TEST: &str = "a_full_disk_is_noted_once_and_no_answer_changes";
    // A file system of 64 MiB that the server alone sees, and all but a few kilobytes of it taken.
    const MOUNT: &str =
        "mount -t tmpfs -o size=64m tmpfs \"$0\" && head -c 67092480 /dev/zero >\"$0/filler\" && exec \"$@\"";
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().to_str().unwrap();
    let begin = ["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, named];
    let tried = Command::new("unshare").args(begin).arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        skipped(TEST, &format!("no file system can be mounted here: {tried:?}"));
        return;
    }
    let mut command = Command::new("unshare");
    command.args(begin).arg(env!("CARGO_BIN_EXE_serve")).env_remove("LLM_RS2_API_KEY");
    command.args(["-t", "2", "--port", "0", "--kv-disk", named]);
    let server = Server::of(command).unwrap_or_else(|lines| panic!("no server: {lines:#?}"));
    let inside = PathBuf::from(format!("/proc/{}/root{named}", server.id()));
    goes_on_after_a_full_disk(server, &inside, named, |_| fs::remove_file(inside.join("filler")).unwrap());
}
