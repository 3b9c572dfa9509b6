//! Packed weights: kept between runs, or made to be shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::models::Copy;
use super::program::{generate, raw, refuses, tiny};

/// A run that makes a few tokens of the tiny model; the JSON report and what was on standard error.
fn run(args: &[&str]) -> (Value, String) {
    let output = generate()
        .args(["-n", "12", "--temperature", "0", "--ignore-eos", "--json", "-p", "t5 t6"])
        .args(args)
        .output()
        .unwrap();
    report(&output)
}

fn report(output: &Output) -> (Value, String) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (serde_json::from_slice(&output.stdout).expect("a JSON report"), stderr)
}

/// Where the weights came from, as the report has it.
fn mapped_from(report: &Value) -> Option<PathBuf> {
    report["memory"]["weights_mapped_from"].as_str().map(PathBuf::from)
}

/// The files in a directory whose names do not begin with a point, and all others.
fn files(dir: &Path) -> (Vec<PathBuf>, usize) {
    let all: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    let hidden = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with('.');
    let (hidden, plain): (Vec<_>, Vec<_>) = all.into_iter().partition(hidden);
    (plain, hidden.len())
}

/// A model, a directory for its packed weights, and the file that is in it after a run.
struct Kept {
    model: Copy,
    cache: tempfile::TempDir,
    first: Value,
}

impl Kept {
    fn new(dtype: &str) -> Self {
        let (model, cache) = (Copy::new(), tempfile::tempdir().unwrap());
        let mut kept = Self { model, cache, first: Value::Null };
        let (report, stderr) = kept.run(dtype);
        assert!(!stderr.contains("note:"), "{stderr}");
        assert_eq!(mapped_from(&report), Some(kept.file()));
        kept.first = report;
        kept
    }

    fn run(&self, dtype: &str) -> (Value, String) {
        let (model, cache) = (self.model.path().to_str().unwrap(), self.cache.path().to_str().unwrap());
        run(&["-m", model, "--pack-cache", cache, "--weight-dtype", dtype])
    }

    /// The only file of the cache; nothing unfinished is left beside it.
    fn file(&self) -> PathBuf {
        let (mut plain, hidden) = files(self.cache.path());
        assert_eq!((plain.len(), hidden), (1, 0), "{plain:?}");
        plain.remove(0)
    }

    /// Runs again and holds that the file is made anew, with a note that says why.
    fn is_made_again(&self, why: &str) {
        let (report, stderr) = self.run("q4_0");
        let note = stderr.lines().find(|l| l.starts_with("note: ")).unwrap_or_else(|| panic!("{stderr}"));
        assert!(note.contains(why) && note.contains("packing the model again"), "{note}");
        assert_eq!(report["ids"], self.first["ids"]);
        assert_eq!(mapped_from(&report), Some(self.file()));
        let (report, stderr) = self.run("q4_0");
        assert!(!stderr.contains("note:"), "the third run: {stderr}");
        assert_eq!(report["ids"], self.first["ids"]);
    }
}

#[test]
fn the_second_run_maps_what_the_first_one_packed_and_says_the_same() {
    for dtype in ["q4_0", "q4_1", "q8_0", "f16"] {
        let kept = Kept::new(dtype);
        let written = fs::metadata(kept.file()).unwrap().modified().unwrap();
        let (second, stderr) = kept.run(dtype);
        assert!(!stderr.contains("note:"), "{stderr}");
        assert_eq!(mapped_from(&second), Some(kept.file()));
        assert_eq!(fs::metadata(kept.file()).unwrap().modified().unwrap(), written, "not made again");
        let model = kept.model.path().to_str().unwrap();
        let (plain, _) = run(&["-m", model, "--pack-cache", "off", "--weight-dtype", dtype]);
        assert_eq!(mapped_from(&plain), None);
        for report in [&kept.first, &second] {
            assert_eq!((&report["ids"], &report["text"]), (&plain["ids"], &plain["text"]), "{dtype}");
        }
        let cache = kept.cache.path().to_str().unwrap();
        let slow = ["-m", model, "--pack-cache", cache, "--weight-dtype", dtype, "--backend", "reference"];
        let (reference, _) = run(&slow);
        assert_eq!(mapped_from(&reference), Some(kept.file()));
        let (direct, _) = run(&["-m", model, "--weight-dtype", dtype, "--backend", "reference"]);
        assert_eq!((mapped_from(&direct), &reference["ids"]), (None, &direct["ids"]), "{dtype}");
    }
}

#[test]
fn a_text_without_room_is_refused_before_anything_is_packed() {
    let (model, cache) = (Copy::new(), tempfile::tempdir().unwrap());
    let place = ["--pack-cache", cache.path().to_str().unwrap(), "--weight-dtype", "q4_0"];
    refuses(
        &model.args(&[&place[..], &["--max-seq-len", "900000000000"]].concat()),
        1,
        &["this needs", "for 900000000000 tokens", "is available"],
    );
    assert_eq!(files(cache.path()), (vec![], 0));
}

#[test]
fn each_format_has_its_own_file_and_weights_as_they_are_stored_have_none() {
    let kept = Kept::new("q4_0");
    kept.run("q8_0");
    assert_eq!(files(kept.cache.path()).0.len(), 2);
    let (report, _) = kept.run("auto");
    assert_eq!((mapped_from(&report), files(kept.cache.path()).0.len()), (None, 2));
    assert!(!kept.model.file(".llm_rs2").exists());
}

#[test]
fn files_that_have_changed_make_the_kept_weights_stale() {
    let kept = Kept::new("q4_0");
    let weights = fs::File::options().write(true).open(kept.model.file("model.safetensors")).unwrap();
    weights.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
    kept.is_made_again("was made from files that have changed");
    let config = kept.model.file("generation_config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text} ")).unwrap();
    kept.is_made_again("was made from files that have changed");
}

#[test]
fn files_that_are_not_whole_or_not_ours_are_made_again() {
    let kept = Kept::new("q4_0");
    let whole = fs::read(kept.file()).unwrap();
    for len in [0, 10, 64, 5000, whole.len() / 2, whole.len() - 1] {
        fs::remove_file(kept.file()).unwrap_or_default();
        fs::write(cached_name(&kept), &whole[..len]).unwrap();
        kept.is_made_again("'");
    }
    fs::write(
        cached_name(&kept),
        b"GGUF and so on, for as long as a header is, and some more of it".repeat(3),
    )
    .unwrap();
    kept.is_made_again("is no file of packed weights");
    let mut flipped = whole.clone();
    flipped[70] ^= 1;
    fs::write(cached_name(&kept), flipped).unwrap();
    kept.is_made_again("damaged");
    // A whole file, but of another model, under this name.
    let other = Kept::new("q4_0");
    fs::copy(other.file(), cached_name(&kept)).unwrap();
    kept.is_made_again("was made from files that have changed");
    // Damage in the weights shows when it is looked for.
    let mut damaged = whole;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(cached_name(&kept), damaged).unwrap();
    let (model, cache) = (kept.model.path().to_str().unwrap(), kept.cache.path().to_str().unwrap());
    let verify = ["-m", model, "--pack-cache", cache, "--weight-dtype", "q4_0", "--pack-verify"];
    let (report, stderr) = run(&verify);
    assert!(stderr.contains("does not have its checksum") && stderr.contains("again"), "{stderr}");
    assert_eq!(report["ids"], kept.first["ids"]);
    assert!(!run(&verify).1.contains("note:"));
}

#[test]
fn other_weights_of_the_same_size_and_time_are_other_weights() {
    let kept = Kept::new("q4_0");
    let path = kept.model.file("model.safetensors");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // Of every tensor: the signs of some values.
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].iter_mut().skip(1).step_by(14).for_each(|b| *b ^= 0x80);
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let model = kept.model.path().to_str().unwrap();
    let (plain, _) = run(&["-m", model, "--pack-cache", "off", "--weight-dtype", "q4_0"]);
    assert_ne!(plain["ids"], kept.first["ids"], "the text is another one");
    let (report, stderr) = kept.run("q4_0");
    assert!(stderr.contains("was made from files that have changed"), "{stderr}");
    assert_eq!(report["ids"], plain["ids"]);
}

#[test]
fn a_cached_file_that_was_written_into_is_made_again() {
    let kept = Kept::new("q4_0");
    let whole = fs::read(kept.file()).unwrap();
    let data = u64::from_le_bytes(whole[32..40].try_into().unwrap()) as usize;
    for at in [data, (data + whole.len()) / 2, whole.len() - 1] {
        let time = fs::metadata(kept.file()).unwrap().modified().unwrap();
        let mut damaged = fs::read(kept.file()).unwrap();
        damaged[at] ^= 1;
        fs::write(cached_name(&kept), damaged).unwrap();
        if at == data {
            // As a disk that loses bits does it.
            fs::File::options().write(true).open(kept.file()).unwrap().set_modified(time).unwrap();
        }
        kept.is_made_again("does not have its checksum");
    }
    // A whole one with another time is checked once, and then is as good as new.
    let now = SystemTime::now();
    fs::File::options().write(true).open(kept.file()).unwrap().set_modified(now).unwrap();
    let (_, stderr) = kept.run("q4_0");
    assert!(!stderr.contains("note:"), "{stderr}");
    assert_ne!(fs::metadata(kept.file()).unwrap().modified().unwrap(), now);
}

/// The cached file's path, whether it is there or not.
fn cached_name(kept: &Kept) -> PathBuf {
    kept.first["memory"]["weights_mapped_from"].as_str().unwrap().into()
}

#[test]
fn where_nothing_can_be_written_the_weights_are_packed_in_memory() {
    let kept = Kept::new("q4_0");
    let model = kept.model.path().to_str().unwrap();
    // Not even root can make a directory there.
    let (report, stderr) = run(&["-m", model, "--weight-dtype", "q4_0", "--pack-cache", "/proc/none"]);
    assert!(
        stderr.contains("note: the packed weights are not kept") && stderr.contains("/proc/none"),
        "{stderr}"
    );
    assert_eq!((mapped_from(&report), &report["ids"]), (None, &kept.first["ids"]));
}

/// `ulimit -f` stands for a disk that fills up in the middle of the file: writing fails and nothing is left.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_is_a_note_and_leaves_nothing_behind() {
    let (model, cache) = (Copy::new(), tempfile::tempdir().unwrap());
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$@\"", "sh"])
        .arg(raw().get_program())
        .args(["-n", "4", "--json", "-p", "t5", "--weight-dtype", "q4_0", "-m"])
        .arg(model.path())
        .arg("--pack-cache")
        .arg(cache.path())
        .output()
        .unwrap();
    let (report, stderr) = report(&output);
    assert!(
        stderr.contains("note: the packed weights are not kept for the next start: cannot write"),
        "{stderr}"
    );
    assert_eq!(mapped_from(&report), None);
    assert_eq!(files(cache.path()), (vec![], 0));
}

#[test]
fn two_processes_at_once_both_work() {
    let (model, cache) = (Copy::new(), tempfile::tempdir().unwrap());
    let children: Vec<_> = (0..4)
        .map(|_| {
            raw()
                .args(["-n", "12", "--temperature", "0", "--ignore-eos", "--json", "-p", "t5 t6"])
                .args(["--weight-dtype", "q4_0", "-m"])
                .arg(model.path())
                .arg("--pack-cache")
                .arg(cache.path())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs: Vec<Output> = children.into_iter().map(|c| c.wait_with_output().unwrap()).collect();
    let ids: Vec<Value> = outputs.iter().map(|o| report(o).0["ids"].clone()).collect();
    assert!(ids.iter().all(|i| *i == ids[0] && i.as_array().is_some_and(|a| a.len() == 12)), "{ids:?}");
    let (plain, hidden) = files(cache.path());
    assert_eq!((plain.len(), hidden), (1, 0));
}

#[test]
fn a_shipped_file_says_what_its_directory_says_and_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny().to_str().unwrap();
    for dtype in ["q4_0", "q8_0", "bf16", "q4_1", "f32"] {
        let file = dir.path().join(format!("{dtype}.packed"));
        let file = file.to_str().unwrap();
        let pack = |extra: &[&str]| {
            let base = ["-m", model, "--weight-dtype", dtype, "--pack-to", file];
            generate().args(base).args(extra).output().unwrap()
        };
        let output = pack(&["--pack-for", "arm64"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && output.stdout.is_empty(), "{stderr}");
        assert!(
            stderr.contains(dtype) && stderr.contains(" weights, ") && stderr.contains("--model-path"),
            "{stderr}"
        );
        let bytes = fs::read(file).unwrap();

        let (packed, stderr) = run(&["-m", file]);
        assert!(!stderr.contains("note:"), "{stderr}");
        assert_eq!(mapped_from(&packed), Some(file.into()));
        let (direct, _) = run(&["-m", model, "--weight-dtype", dtype]);
        assert_eq!((&packed["ids"], &packed["text"]), (&direct["ids"], &direct["text"]), "{dtype}");
        assert!(packed["settings"]["weight_dtype"].as_str().unwrap().contains(dtype));
        for key in ["weight_dtype", "temperature", "top_k", "top_p", "max_seq_len"] {
            assert_eq!(packed["settings"][key], direct["settings"][key], "{key}");
        }

        // It is not replaced without being told so; then with the same bytes, whatever the processor.
        let output = pack(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("is there already"));
        assert!(pack(&["--pack-for", "x86", "--pack-overwrite", "--quiet"]).status.success());
        assert!(fs::read(file).unwrap() == bytes, "{dtype}: other bytes");
    }
    let file = dir.path().join("q4_0.packed");
    let file = file.to_str().unwrap();
    refuses(
        &["-m", file, "-p", "t5", "--weight-dtype", "q4_0", "--pure"],
        1,
        &[file, "holds ", "q8_0", "not q4_0"],
    );
    refuses(
        &["-m", file, "-p", "t5", "--weight-dtype", "q8_0"],
        1,
        &[file, "holds ", "q4_0", " weights", "not q8_0"],
    );
    refuses(&["-m", file, "--pack-to", "x"], 1, &[file, "is a packed file already"]);
    let mut damaged = fs::read(file).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(file, damaged).unwrap();
    refuses(&["-m", file, "-p", "t5"], 1, &[file, "does not have its checksum"]);
    refuses(&["-m", file, "-p", "t5", "--pack-verify"], 1, &[file, "does not have its checksum"]);
    assert!(Path::new(file).exists());
}

#[test]
fn the_demo_model_can_be_shipped_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo.packed");
    let file = file.to_str().unwrap();
    generate().args(["--weight-dtype", "q8_0", "--pack-to", file, "-q"]).assert().success().stderr("");
    let story = ["-p", "Once upon a time", "-n", "20", "--temperature", "0", "-q"];
    let inside = generate().args(["--weight-dtype", "q8_0"]).args(story).output().unwrap();
    let outside = generate().args(["-m", file]).args(story).output().unwrap();
    assert!(inside.status.success() && inside.stdout.len() > 20);
    assert_eq!(outside.stdout, inside.stdout);
    let bench = assert_cmd::Command::new(env!("CARGO_BIN_EXE_bench_model"))
        .args(["-m", file, "-p", "4", "-n", "0", "-r", "1", "-o", "json", "-q"])
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&bench.stdout).unwrap();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
}

#[test]
fn places_that_make_no_sense_are_refused() {
    let model = Copy::new();
    let file = model.file("config.json");
    let args = model.args(&["--pack-cache", file.to_str().unwrap()]);
    refuses(&args, 2, &["--pack-cache", "it is no directory"]);
    refuses(&["--pack-for", "arm64"], 2, &["required arguments"]);
    let dir = model.path().to_str().unwrap();
    refuses(&["--pack-to", dir], 1, &[dir, "is a directory"]);
    refuses(&["--pack-to", "/proc/none/x.packed"], 1, &["cannot write '/proc/none/x.packed'"]);
    refuses(&["--pack-to", "/dev/null"], 1, &["'/dev/null' is a device", "is not replaced"]);
}

/// Pipes, devices, directories and links to nothing are no place for a file, whatever writes it.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    symlink("pipe", at("link")).unwrap();
    symlink("nowhere", at("dead")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    for (name, kind) in [
        ("pipe", "is a named pipe"),
        ("link", "is a named pipe"),
        ("dead", "is a link to 'nowhere', which is missing"),
        ("folder", "is a directory"),
    ] {
        let path = at(name);
        let path = path.to_str().unwrap();
        refuses(&["--pack-to", path, "--pack-overwrite", "-q"], 1, &[path, kind]);
        refuses(&["--session", path, "-p", "x", "-n", "1"], 1, &[path, kind]);
    }
    assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(at("dead")).unwrap().is_symlink() && !at("nowhere").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left");
    // What a link leads to is replaced, with its permissions.
    fs::write(at("file"), "old").unwrap();
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("file", at("to-file")).unwrap();
    let path = at("to-file");
    refuses(&["--pack-to", path.to_str().unwrap()], 1, &["is there already", "--pack-overwrite"]);
    generate().args(["--pack-overwrite", "-q", "--pack-to"]).arg(&path).assert().success();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    let found = fs::metadata(at("file")).unwrap();
    assert!(found.len() > 1000 && found.permissions().mode() & 0o777 == 0o640);
}

/// A link under the name that a file being made could have had: what it leads to must stay as it is.
#[cfg(unix)]
#[test]
fn a_link_in_the_cache_is_not_written_through() {
    let (model, cache) = (Copy::new(), tempfile::tempdir().unwrap());
    let victim = model.file("victim");
    fs::write(&victim, "precious").unwrap();
    // The program keeps the number of the shell that becomes it.
    let script = r#"ln -s "$VICTIM" "$CACHE/.$$.probe"; exec "$@""#;
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .env("VICTIM", &victim)
        .env("CACHE", cache.path())
        .arg(raw().get_program())
        .args(["-n", "4", "--json", "-p", "t5", "--weight-dtype", "q4_0", "-m"])
        .arg(model.path())
        .arg("--pack-cache")
        .arg(cache.path())
        .output()
        .unwrap();
    report(&output);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let (plain, links) = files(cache.path());
    assert_eq!((plain.len(), links), (1, 1), "the link stays");
}

/// A model large enough for its packed weights to be kept without being asked for.
fn large() -> Copy {
    let (vocab, hidden, layers) = (70_000u64, 128u64, 1u64);
    let model = Copy::new().json("config.json", |c| {
        for (key, n) in [("vocab_size", vocab), ("hidden_size", hidden), ("num_hidden_layers", layers)] {
            c[key] = n.into();
        }
        for (key, n) in [("num_attention_heads", 4), ("num_key_value_heads", 4), ("head_dim", 32)] {
            c[key] = n.into();
        }
        c["intermediate_size"] = hidden.into();
        c["tie_word_embeddings"] = true.into();
    });
    let mut header = serde_json::Map::new();
    let mut at = 0;
    let mut add = |name: &str, shape: &[u64]| {
        let end = at + 4 * shape.iter().product::<u64>();
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]});
        header.insert(name.to_owned(), entry);
        at = end;
    };
    add("model.embed_tokens.weight", &[vocab, hidden]);
    add("model.norm.weight", &[hidden]);
    for part in ["input_layernorm", "post_attention_layernorm"] {
        add(&format!("model.layers.0.{part}.weight"), &[hidden]);
    }
    for part in ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"]
    {
        add(&format!("model.layers.0.{part}_proj.weight"), &[hidden, hidden]);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    // Values that differ: the bit pattern of 0.0078125 with a changing mantissa.
    bytes.extend(
        (0..at / 4).flat_map(|i| (0x3c00_0000 + (i as u32).wrapping_mul(7919) % 0x7f_ffff).to_le_bytes()),
    );
    model.bytes(|b| *b = bytes)
}

#[test]
fn a_large_model_keeps_its_weights_beside_itself_or_in_the_persons_cache() {
    let (model, own) = (large(), tempfile::tempdir().unwrap());
    let go = |home: &Path| {
        let output = generate()
            .env("XDG_CACHE_HOME", home)
            .args(["-n", "4", "--temperature", "0", "--ignore-eos", "--json", "-p", "t5 t6"])
            .args(["--weight-dtype", "q4_0", "-m"])
            .arg(model.path())
            .output()
            .unwrap();
        report(&output)
    };
    let (first, stderr) = go(own.path());
    assert!(!stderr.contains("note:"), "{stderr}");
    let file = mapped_from(&first).unwrap();
    assert!(file.starts_with(model.file(".llm_rs2")), "{}", file.display());
    assert_eq!(files(own.path()), (vec![], 0));
    let (second, _) = go(own.path());
    assert_eq!((mapped_from(&second), &second["ids"]), (Some(file), &first["ids"]));

    // A file where the folder would be: as good as a directory that cannot be written.
    fs::remove_dir_all(model.file(".llm_rs2")).unwrap();
    fs::write(model.file(".llm_rs2"), "").unwrap();
    for _ in 0..2 {
        let (report, stderr) = go(own.path());
        assert!(!stderr.contains("note:"), "{stderr}");
        assert!(mapped_from(&report).unwrap().starts_with(own.path().join("llm_rs2")));
        assert_eq!(report["ids"], first["ids"]);
    }
}
