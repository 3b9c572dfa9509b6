//! Keys and values that outlive the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{Server, serve};

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
