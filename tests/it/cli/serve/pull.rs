//! Models that are fetched, named and removed while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::client::{Reply, Server, serve};
use super::hub::{Fault, Hub, sha256};
use crate::cli::program::tiny;
use crate::skip::skipped;

const NAME: &str = "hf.co/a/b:Q4_K_M";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf/tiny-q4_k_m.gguf")
}

/// A hub with the model twice, quantized in two ways, and what else there is in such repositories.
fn hub() -> Hub {
    let other = fixture().with_file_name("tiny-q4_1.gguf");
    Hub::start(vec![
        ("README.md", b"a model".to_vec()),
        ("Tiny-Q4_K_M.gguf", fs::read(fixture()).unwrap()),
        ("Tiny-Q4_1.gguf", fs::read(other).unwrap()),
    ])
}

struct Place {
    folder: tempfile::TempDir,
    hub: Hub,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), hub: hub() }
    }

    fn start(&self, more: &[&str]) -> Server {
        let url = self.hub.url();
        let folder = self.folder.path().to_str().unwrap();
        let args = [&["--models-dir", folder, "--hub", &url, "--temperature", "0"], more].concat();
        Server::start_with(&args, &[("HF_TOKEN", "hf_secret")])
    }

    /// All files, without the directories that they are in.
    fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut left = vec![self.folder.path().to_owned()];
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.path().is_dir() {
                    true => left.push(entry.path()),
                    false => all.push(entry.file_name().into_string().unwrap()),
                }
            }
        }
        all.sort();
        all
    }
}

fn names(server: &Server) -> Vec<String> {
    let models = server.get("/api/tags").json()["models"].clone();
    models.as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
}

fn ask(server: &Server, model: &str) -> Reply {
    let options = json!({"num_predict": 8});
    server.post(
        "/api/generate",
        &json!({"model": model, "prompt": "t5 t6", "stream": false, "options": options}),
    )
}

fn pull(server: &Server, model: &str) -> Reply {
    server.post("/api/pull", &json!({"model": model, "stream": false}))
}

fn delete(server: &Server, model: &str) -> Reply {
    server.request("DELETE", "/api/delete", &[], json!({"model": model}).to_string().as_bytes())
}

#[track_caller]
fn refused(reply: &Reply, status: u16, part: &str) {
    let message = reply.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(reply.status == status && message.contains(part), "{} {}", reply.status, reply.text());
}

#[test]
fn a_model_is_fetched_asked_named_and_removed() {
    let place = Place::new();
    let server = place.start(&["--allow-pull"]);
    assert!(names(&server).is_empty());
    assert_eq!((server.get("/health").status, ask(&server, "a/b").status), (200, 404));
    place.hub.fail(Fault::Token);
    let lines = server.post("/api/pull", &json!({"model": NAME})).lines();
    let bytes = fs::read(fixture()).unwrap();
    let status = |line: &Value| line["status"].as_str().unwrap_or_default().to_owned();
    assert_eq!(status(&lines[0]), "pulling manifest");
    let ends: Vec<String> = lines[lines.len() - 3..].iter().map(status).collect();
    assert_eq!(ends, ["verifying sha256 digest", "writing manifest", "success"]);
    let digest = sha256(&bytes);
    let mut done = 0;
    for line in &lines[1..lines.len() - 3] {
        assert_eq!(status(line), format!("pulling {}", &digest[..12]));
        assert_eq!(
            (&line["digest"], &line["total"]),
            (&json!(format!("sha256:{digest}")), &json!(bytes.len()))
        );
        let now = line["completed"].as_u64().unwrap();
        assert!(now >= done, "{lines:?}");
        done = now;
    }
    assert_eq!(done, bytes.len() as u64);
    let file = place.folder.path().join("a/b/Tiny-Q4_K_M.gguf");
    assert!(fs::read(&file).unwrap() == bytes);
    assert_eq!(place.files(), ["Tiny-Q4_K_M.gguf"]);
    // The hub has heard the token, and the host that it sends to has not.
    let (here, there) = (place.hub.asked(false), place.hub.asked(true));
    assert!(here.len() == 2 && here.iter().all(|asked| asked.token.as_deref() == Some("Bearer hf_secret")));
    assert!(there.len() == 1 && there[0].token.is_none(), "{there:?}");
    // Under each of its names it answers as the file does that it was made of.
    let by_path = Server::start(&["-m", fixture().to_str().unwrap(), "--alias", "x", "--temperature", "0"]);
    let expected = ask(&by_path, "x").json()["response"].clone();
    assert_eq!(names(&server), ["a/b:Q4_K_M", "a/b"]);
    for name in [NAME, "a/b", "hf.co/a/b:latest", "a/b:q4_k_m"] {
        assert_eq!(ask(&server, name).json()["response"], expected, "{name}");
    }
    let body = json!({"model": NAME, "prompt": "t5 t6", "max_tokens": 8});
    assert_eq!(server.ask("/v1/completions", &body)["choices"][0]["text"], expected);
    // What is there is not fetched again.
    assert_eq!(pull(&server, NAME).json(), json!({"status": "success"}));
    assert!(place.hub.asked(true).is_empty());
    // Another name outlives the server, and keeps the model.
    let copy = server.post("/api/copy", &json!({"source": "a/b", "destination": "mine"}));
    assert_eq!(
        (copy.status, ask(&server, "mine:latest").json()["response"].clone()),
        (200, expected.clone())
    );
    refused(&delete(&server, NAME), 409, "'mine'");
    let again = place.start(&[]);
    assert_eq!(names(&again), ["a/b:Q4_K_M", "a/b", "mine"]);
    assert_eq!(ask(&again, "mine").json()["response"], expected);
    drop(again);
    assert_eq!((delete(&server, "mine").status, file.exists()), (200, true));
    assert_eq!((delete(&server, NAME).status, delete(&server, NAME).status), (200, 404));
    assert!(names(&server).is_empty() && !place.folder.path().join("a").exists());
    assert_eq!(ask(&server, NAME).status, 404);
    // And once more, with another name for another file.
    assert_eq!(pull(&server, "a/b:tiny-q4_1.gguf").status, 200);
    assert_eq!(names(&server), ["a/b:Q4_1", "a/b", "a/b:tiny-q4_1.gguf"]);
}

#[test]
fn a_model_in_use_stays() {
    let place = Place::new();
    let server = place.start(&["--allow-pull"]);
    assert_eq!(pull(&server, "a/b").status, 200);
    let long =
        json!({"model": "a/b", "prompt": "t5", "n_predict": 100_000, "ignore_eos": true, "stream": true});
    let held = server.send("POST", "/completion", &[], long.to_string().as_bytes());
    server.wait("a text", |server| server.metric("llm_rs2_active_texts") == 1.0);
    let reply = delete(&server, "a/b");
    // Its context may have come to an end meanwhile.
    if reply.status != 200 {
        refused(&reply, 409, "in use");
        assert_eq!(place.files(), ["Tiny-Q4_K_M.gguf"]);
        drop(held);
        server.wait("the text to end", |server| server.metric("llm_rs2_active_texts") == 0.0);
        assert_eq!(delete(&server, "a/b").status, 200);
    }
    assert!(place.files().is_empty());
}

#[test]
fn a_pull_goes_on_where_it_was_cut() {
    let place = Place::new();
    let server = place.start(&["--allow-pull"]);
    let size = fs::metadata(fixture()).unwrap().len() as usize;
    // Too many connections break.
    place.hub.fail(Fault::Cut(50_000));
    let lines = server.post("/api/pull", &json!({"model": NAME})).lines();
    let error = lines.last().unwrap()["error"].as_str().unwrap_or_default();
    assert!(error.contains("Tiny-Q4_K_M.gguf") && error.contains("pull again"), "{lines:?}");
    assert!(names(&server).is_empty());
    let part = place.files();
    assert!(part.len() == 1 && part[0].ends_with(".partial"), "{part:?}");
    let ranges = |asked: Vec<super::hub::Asked>| -> Vec<Option<String>> {
        asked.into_iter().map(|asked| asked.range).collect()
    };
    let from = |n: usize| (n > 0).then(|| format!("bytes={n}-"));
    assert_eq!(ranges(place.hub.asked(true)), (0..6).map(|n| from(n * 50_000)).collect::<Vec<_>>());
    // The next pull goes on, over a connection that breaks too.
    place.hub.fail(Fault::Cut(200_000));
    assert_eq!(pull(&server, NAME).json(), json!({"status": "success"}));
    assert_eq!(ranges(place.hub.asked(true)), [from(300_000), from(500_000)]);
    assert!(
        size > 500_000
            && fs::read(place.folder.path().join("a/b/Tiny-Q4_K_M.gguf")).unwrap()
                == fs::read(fixture()).unwrap()
    );
    // A client that goes ends its pull; meanwhile there is no other one of the same model.
    place.hub.fail(Fault::Hang(100_000));
    let other = "a/b:Q4_1";
    let held = server.send("POST", "/api/pull", &[], json!({"model": other}).to_string().as_bytes());
    server.wait("its beginning", |_| place.files().iter().any(|file| file.ends_with(".partial")));
    refused(&pull(&server, other), 409, "already");
    refused(&delete(&server, NAME), 409, "already");
    drop(held);
    place.hub.fail(Fault::NoRanges);
    server.wait("its end", |server| pull(server, other).status != 409);
    assert_eq!(names(&server), ["a/b:Q4_K_M", "a/b", "a/b:Q4_1"]);
    assert_eq!(place.files(), ["Tiny-Q4_1.gguf", "Tiny-Q4_K_M.gguf"]);
    let whole = fs::read(fixture().with_file_name("tiny-q4_1.gguf")).unwrap();
    assert!(fs::read(place.folder.path().join("a/b/Tiny-Q4_1.gguf")).unwrap() == whole);
}

#[test]
fn what_cannot_be_fetched_is_a_sentence() {
    let place = Place::new();
    let server = place.start(&["--allow-pull"]);
    for (name, status, part) in [
        ("../../etc", 400, "no name of a model"),
        ("a/..", 400, "no name of a model"),
        ("a/b:../x", 400, "no name of a model"),
        ("/etc/passwd", 400, "no name of a model"),
        ("example.com/a/b", 400, "hf.co/"),
        ("llama3.2:1b", 400, "Ollama's own library"),
        ("a/b:Q3_K_S", 400, "Q4_K_M, Q4_1"),
        ("a/none", 404, "no 'a/none'"),
    ] {
        refused(&pull(&server, name), status, part);
    }
    refused(&server.post("/api/pull", &json!({"stream": false})), 400, "'model' is missing");
    refused(&server.post("/api/pull", &json!({"model": NAME, "insecure": true})), 400, "'insecure'");
    place.hub.fail(Fault::Digests);
    refused(&pull(&server, NAME), 502, &sha256(&fs::read(fixture()).unwrap()));
    place.hub.fail(Fault::Status(403));
    refused(&pull(&server, NAME), 403, "HF_TOKEN");
    place.hub.fail(Fault::Status(500));
    refused(&pull(&server, NAME), 502, "500");
    assert!(place.files().is_empty() && names(&server).is_empty());
    for (method, path) in [("POST", "/api/create"), ("POST", "/api/push"), ("POST", "/api/blobs/sha256:00")] {
        refused(&server.request(method, path, &[], b"{}"), 404, &path[..9]);
    }
    refused(&server.post("/api/copy", &json!({"source": "none", "destination": "x"})), 404, "no model");
    // A link in the directory leads nowhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let _ = fs::remove_dir_all(place.folder.path().join("a"));
    std::os::unix::fs::symlink(elsewhere.path(), place.folder.path().join("a")).unwrap();
    place.hub.fail(Fault::Nothing);
    refused(&pull(&server, NAME), 400, "not in the directory");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // Without leave nothing changes, and what is there is offered.
    fs::copy(fixture(), place.folder.path().join("mine.gguf")).unwrap();
    let closed = place.start(&[]);
    for reply in [
        pull(&closed, NAME),
        delete(&closed, "mine"),
        closed.post("/api/copy", &json!({"source": "mine", "destination": "x"})),
    ] {
        refused(&reply, 403, "--allow-pull");
    }
    assert_eq!((names(&closed), ask(&closed, "mine").status), (vec!["mine".to_owned()], 200));
}

#[test]
fn a_checkpoint_is_fetched_with_what_belongs_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &'static str| (name, fs::read(tiny().join(name)).unwrap());
    let mut files: Vec<_> =
        ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"].map(read).into();
    files.push(("pytorch_model.bin", vec![0; 60_000]));
    let hub = Hub::start(files);
    let args = ["--models-dir", folder.path().to_str().unwrap(), "--hub", &hub.url(), "--pull", "a/b"];
    let server = Server::start(&[&args[..], &["--temperature", "0"]].concat());
    let list = server.get("/v1/models").json()["data"].clone();
    assert_eq!((&list[0]["id"], &list[0]["status"]["value"]), (&json!("a/b"), &json!("loaded")));
    assert!(!folder.path().join("a/b/pytorch_model.bin").exists());
    let by_path = Server::start(&["-m", tiny().to_str().unwrap(), "--alias", "x", "--temperature", "0"]);
    assert_eq!(ask(&server, "a/b").json()["response"], ask(&by_path, "x").json()["response"]);
    // The next time the hub is not asked.
    drop((server, hub));
    let server = Server::start(&args);
    assert_eq!(names(&server), ["a/b"]);
}

#[test]
fn what_is_wrong_at_the_start_is_said_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    for (args, part) in [
        (vec!["--models-dir", path], "there is no model in"),
        (vec!["--models-dir", "/nothing/here"], "'/nothing/here'"),
        (vec!["--models-dir", path, "--pull", "a/b", "--hub", "http://127.0.0.1:1"], "cannot fetch 'a/b'"),
        (vec!["--models-dir", path, "--pull", "llama3.2"], "Ollama's own library"),
    ] {
        let output = serve(&args).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_disk_that_is_full_is_a_sentence_and_the_pull_goes_on_later() {
    let place = Place::new();
    let (folder, url) = (place.folder.path().to_str().unwrap(), place.hub.url());
    let args = ["--models-dir", folder, "--hub", &url, "--pull", NAME];
    // A file cannot grow beyond 150 or 300 kB there, depending on the shell.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_serve")])
        .args(args)
        .env_remove("HF_TOKEN")
        .output()
        .expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && stderr.contains("make room and pull again"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(place.hub.asked(true)[0].range.is_none());
    let server = Server::start(&args);
    assert!(place.hub.asked(true)[0].range.is_some());
    assert_eq!((names(&server).len(), place.files()), (2, vec!["Tiny-Q4_K_M.gguf".to_owned()]));
}

#[test]
fn ollamas_client_fetches_asks_and_removes() {
    let test = "ollamas_client_fetches_asks_and_removes";
    let has_it = Command::new("python3").args(["-c", "import ollama"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        return skipped(test, "python3 lacks ollama");
    }
    let place = Place::new();
    let server = place.start(&["--allow-pull", "--api-key", "secret"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/serve/pull.py");
    let output = Command::new("python3")
        .arg(script)
        .args([&format!("http://{}", server.address), "secret", NAME])
        .output()
        .expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let by_path = Server::start(&["-m", fixture().to_str().unwrap(), "--alias", "x", "--temperature", "0"]);
    assert_eq!(got["text"], ask(&by_path, "x").json()["response"]);
    assert_eq!((&got["first"], &got["last"]), (&json!("pulling manifest"), &json!("success")));
    assert_eq!(got["completed"], json!(fs::metadata(fixture()).unwrap().len()));
    assert_eq!((&got["whole"], &got["listed"]), (&json!("success"), &json!(["a/b:Q4_K_M", "a/b", "mine"])));
    assert_eq!(
        (&got["deleted"], &got["left"], &got["refused"]),
        (&json!("success"), &json!([]), &json!(400))
    );
}
