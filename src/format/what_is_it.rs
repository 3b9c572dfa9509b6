//! What a path is that holds no model that can be read, and what to do about it. One table for files, by their first
//! bytes, and one for directories, by what is in them.

use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use serde_json::Value;

use super::file::open_regular;
use super::parts::Parts;
use super::{FormatError, parse_json, read_bounded, shown};

/// The most bytes of a small JSON file that is looked into for an error's sake.
const MAX_SMALL: u64 = 1 << 20;

/// How to get a form that is read.
const OTHER_FORM: &str = "download the model's safetensors files or a GGUF file of it";

/// How to get a newer file than those before GGUF version 2.
const NEWER: &str = "this program reads GGUF of the versions 2 and 3: download a newer GGUF file of the model, or convert \
                     the original checkpoint with llama.cpp's convert_hf_to_gguf.py";

/// The way on for pickle: `{}` stands for the directory.
const PICKLE: &str = "pickle can run code as it is read and is not read here: convert it in Python with \
                      transformers.AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR), DIR being {}";

/// Files that are no safetensors, by their first bytes; a first byte of white space is passed over.
const BEGINNINGS: &[(&[&[u8]], &str, &str)] = &[
    (&[b"GGUF"], "a GGUF file", "give that file by itself"),
    (&[super::packed::MAGIC.as_slice()], "a file of packed weights", "give that file by itself"),
    (
        &[b"version https://git-lfs"],
        "a Git LFS pointer and not the weights",
        "run 'git lfs pull' in its directory",
    ),
    (&[b"PK\x03\x04", b"\x80\x02", b"\x80\x04"], "a pickle checkpoint", PICKLE),
    (&[b"<!", b"<html", b"<HTML", b"<?xml"], "a web page", "download the file itself"),
    (&[b"lmgg"], "a GGML file, from before GGUF", NEWER),
    (&[b"fmgg"], "a GGMF file, from before GGUF", NEWER),
    (&[b"tjgg"], "a GGJT file, from before GGUF", NEWER),
    (&[b"algg"], "a LoRA adapter in the GGLA format, from before GGUF", "merge it into its base model first"),
    (
        &[b"\x1f\x8b", b"7z\xbc\xaf", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh"],
        "a compressed file",
        "unpack it first",
    ),
    (&[b"\x89HDF"], "a file of TensorFlow or Keras", OTHER_FORM),
    (&[b"{", b"["], "a JSON file and not weights", "give the directory that holds it"),
    (
        &[b"Entry not found", b"Invalid username", b"Access to model", b"Repository not found"],
        "an answer of the hub and not a file",
        "log in with 'hf auth login' if the model asks for it, and download the file again",
    ),
];

/// What a file is and what to do, by its first bytes, if it is known and no safetensors.
fn beginning(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    // A header's length, then the header, which is JSON.
    if bytes.get(8) == Some(&b'{') {
        return None;
    }
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let text = &bytes[start..];
    let known = |row: &&(&[&[u8]], _, _)| row.0.iter().any(|start| text.starts_with(start));
    BEGINNINGS.iter().find(known).map(|(_, what, way_on)| (*what, *way_on))
}

/// As [`beginning`]; PyTorch's checkpoints are ZIP archives too, under other names.
fn known(name: &str, bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let known = beginning(bytes)?;
    Some(if fits(&ARCHIVES, name) { ("an archive", ARCHIVES.2) } else { known })
}

/// What a file is that is no safetensors, if it is known.
pub(super) fn other_format(path: &Path, bytes: &[u8]) -> Option<FormatError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // An empty file, or one with a header, is for whoever reads safetensors.
    let by_name = || {
        let way_on = way_on_by_name(&name).filter(|_| bytes.get(8).is_some_and(|&byte| byte != b'{'))?;
        Some(("in a format that is not read", way_on))
    };
    let (what, way_on) = known(&name, bytes).or_else(by_name)?;
    Some(FormatError::OtherFormat { path: path.into(), what, way_on: way_on.replace("{}", "its directory") })
}

/// What a file is in whose place JSON should be, if it is known.
pub(super) fn no_json(path: &Path) -> Option<FormatError> {
    let bytes = first_bytes(path);
    let start = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if start.is_none_or(|byte| b"{[".contains(byte)) { None } else { other_format(path, &bytes) }
}

/// Enough of a file to know it by; nothing of one that cannot be read.
fn first_bytes(path: &Path) -> Vec<u8> {
    const ENOUGH: u64 = 64;
    let mut bytes = Vec::new();
    let read = open_regular(path).map(|(file, _)| file.take(ENOUGH).read_to_end(&mut bytes));
    if matches!(read, Ok(Ok(_))) { bytes } else { Vec::new() }
}

/// Files in a directory that holds no weights that are read: how their names begin and end, and what to do. The first
/// row that fits counts; `{}` stands for the directory.
const CONTENTS: &[Row] = &[
    (
        "consolidated",
        &[".safetensors", ".pth"],
        "that is the layout of the model's makers, which is not read: download the \
                                               files of the same model for transformers (model.safetensors, config.json)",
    ),
    ("", &[".bin", ".bin.index.json", ".pt", ".pth", ".ckpt"], PICKLE),
    (
        "",
        &[
            ".onnx",
            ".h5",
            ".msgpack",
            ".tflite",
            ".pte",
            ".task",
            ".litertlm",
            ".mlmodel",
            ".nemo",
            ".ot",
            ".mnn",
        ],
        OTHER_FORM,
    ),
    ARCHIVES,
    ("", &[".incomplete", ".part", ".crdownload", ".aria2"], "the download has not ended: download it again"),
];

/// How a file's name begins and ends, and what to do with it.
type Row = (&'static str, &'static [&'static str], &'static str);

const ARCHIVES: Row = ("", &[".zip", ".tar", ".gz", ".tgz", ".7z", ".zst", ".xz"], "unpack it first");

fn fits((start, ends, _): &Row, name: &str) -> bool {
    name.starts_with(start) && ends.iter().any(|end| name.ends_with(end))
}

/// What to do with a file of this name, if it is one of [`CONTENTS`].
fn way_on_by_name(name: &str) -> Option<&'static str> {
    CONTENTS.iter().find(|row| fits(row, name)).map(|row| row.2)
}

/// What to say of a directory without weights that can be read, in which these names are, sorted.
pub(super) fn no_weights(dir: &Path, names: &[String]) -> FormatError {
    FormatError::NoWeights { dir: dir.into(), found: found(dir, names) }
}

fn found(dir: &Path, names: &[String]) -> String {
    const MOST: usize = 12;
    let place = format!("'{}'", dir.display());
    if names.is_empty() {
        return "it is empty".into();
    }
    if let Some(whole) = hub_cache(dir, names).or_else(|| adapter(dir, names)) {
        return whole;
    }
    let ending = |end: &str| names.iter().find(|n| n.ends_with(end));
    let parts = |end| Parts::among(names, end).into_iter().find_map(|parts| parts.missing());
    if let Some(missing) = parts(".safetensors").or_else(|| parts(".gguf")) {
        return missing;
    }
    if let Some(gguf) = ending(".gguf") {
        return format!("it holds '{}' and other GGUF files: give one of them", shown(gguf));
    }
    let other =
        CONTENTS.iter().find_map(|row| names.iter().find(|name| fits(row, name)).map(|name| (name, row.2)));
    if let Some((name, way_on)) = other {
        // Some names stand for several formats.
        return match known(name, &first_bytes(&dir.join(name))) {
            Some((what, way_on)) => {
                format!("it holds '{}', {what}: {}", shown(name), way_on.replace("{}", &place))
            }
            None => format!("it holds '{}': {}", shown(name), way_on.replace("{}", &place)),
        };
    }
    if let Some(other) = ending(".safetensors") {
        return format!("it holds '{}': give that file itself", shown(other));
    }
    let models = names.iter().map(|name| dir.join(name)).filter(|path| holds_a_model(path));
    if let Some(inner) = models.take(MOST).next() {
        return format!("the model is in a directory within: give '{}'", inner.display());
    }
    if names.iter().any(|name| name == "config.json") {
        return "the weights are not there: download the model's safetensors files too".into();
    }
    let listed: Vec<String> = names.iter().take(MOST).map(|n| shown(n)).collect();
    let more = if names.len() > MOST { ", ..." } else { "" };
    format!("it holds {}{more}: give the directory of a model", listed.join(", "))
}

fn holds_a_model(dir: &Path) -> bool {
    ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| dir.join(name).exists())
}

/// A directory of the hub's cache: the model is in a snapshot.
fn hub_cache(dir: &Path, names: &[String]) -> Option<String> {
    let snapshot = |model: &Path| {
        let listed = fs::read_dir(model.join("snapshots")).ok()?;
        let mut all: Vec<String> =
            listed.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
        all.sort();
        let main = read_bounded(&model.join("refs/main"), 1024).ok();
        let main = main.and_then(|text| String::from_utf8(text).ok()).map(|text| text.trim().to_owned());
        let chosen = main.filter(|name| all.contains(name)).or_else(|| all.first().cloned())?;
        Some(model.join("snapshots").join(chosen).display().to_string())
    };
    if names.iter().any(|n| n == "snapshots") {
        return Some(match snapshot(dir) {
            Some(inner) => format!("it is a model's directory in the hub's cache: give '{inner}'"),
            None => {
                "it is a model's directory in the hub's cache, without a snapshot: download the model again"
                    .into()
            }
        });
    }
    if dir.file_name().is_some_and(|name| name == "snapshots") {
        let inner = dir.parent().and_then(snapshot)?;
        return Some(format!("it is a directory of the hub's cache: give '{inner}'"));
    }
    let hub = ["hub", ""].map(|inner| dir.join(inner));
    let models = hub.iter().filter_map(|hub| fs::read_dir(hub).ok()).flatten().filter_map(Result::ok);
    let mut models: Vec<_> = models
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("models--")))
        .collect();
    models.sort();
    let inner = models.iter().find_map(|model| snapshot(model))?;
    Some(format!("it is the hub's cache: give the snapshot of one model in it, such as '{inner}'"))
}

/// An adapter's directory.
fn adapter(dir: &Path, names: &[String]) -> Option<String> {
    let is = names.iter().any(|n| n == "adapter_config.json" || n.starts_with("adapter_model."));
    is.then(|| format!("it holds a LoRA adapter and no model: {}", merge(dir)))
}

/// How to make a model of an adapter.
fn merge(dir: &Path) -> String {
    let config = read_bounded(&dir.join("adapter_config.json"), MAX_SMALL).ok();
    let config: Option<Value> = config.and_then(|bytes| parse_json(&bytes).ok());
    let base = config.as_ref().and_then(|c| c.get("base_model_name_or_path")).and_then(Value::as_str);
    let base = base.map_or("its base model".to_owned(), |name| format!("its base model {}", shown(name)));
    format!(
        "merge it into {base} in Python with peft (merge_and_unload, then save_pretrained), and give the directory that \
         this makes"
    )
}

/// The error for a file that is an adapter by its name, or by those of its tensors.
pub(super) fn adapter_file(path: &Path, names: &[&str]) -> Option<FormatError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let lora = |name: &&str| name.contains(".lora_A.") || name.contains(".lora_B.");
    if !file.starts_with("adapter_model.") && !names.iter().any(lora) {
        return None;
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    Some(FormatError::OtherFormat {
        path: path.into(),
        what: "a LoRA adapter and no model",
        way_on: merge(dir),
    })
}

/// What a path may have been meant as at which nothing is, as the end of a sentence.
pub(super) fn absent(path: &Path) -> String {
    let Some(text) = path.to_str() else { return String::new() };
    if text.starts_with("~/") {
        return ": the shell has not put the home directory in the place of '~'; write it out".into();
    }
    let hub = ["https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/"];
    let address = hub.iter().find_map(|hub| text.strip_prefix(hub));
    let name = address.unwrap_or(text).trim_end_matches('/');
    let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    let parts: Vec<&str> = name.split('/').collect();
    let word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let known = if address.is_some() { parts.len() >= 2 } else { parts.len() == 2 };
    match parts.as_slice() {
        [owner, model, file]
            if plain && [owner, model, file].into_iter().all(word) && file.ends_with(".gguf") =>
        {
            format!(
                "; if it is a file of a model on the hub, download it first: 'hf download {owner}/{model} {file} \
                 --local-dir .', and give '{file}'"
            )
        }
        [owner, model, ..] if known && plain && word(owner) && word(model) => {
            // A tag names a file of a GGUF repository.
            let model = model.split(':').next().unwrap_or(model);
            format!(
                "; if it is the name of a model on the hub, download it first: 'hf download {owner}/{model} --local-dir \
                 {model}', and give the directory '{model}'"
            )
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        for (bytes, says) in [
            (&b"lmgg\0\x7d\0\0"[..], "GGML"),
            (b"fmgg\x01\0\0\0", "GGMF"),
            (b"tjgg\x03\0\0\0\0\x7d\0\0", "GGJT"),
            (b"  \n<!DOCTYPE html>", "web page"),
            (b"\x1f\x8b\x08\0", "compressed"),
            (b"{\"error\": \"gated\"}", "JSON"),
            (b"Entry not found", "answer of the hub"),
            (b"\x08\x07\x12\x07pytorch", "in a format that is not read"),
        ] {
            let error = other_format(Path::new("m.onnx"), bytes).unwrap().to_string();
            assert!(error.contains(says) && error.contains("; ") && !error.contains("damaged"), "{error}");
        }
        let zip =
            |name: &str| other_format(Path::new(name), b"PK\x03\x04\x14\0\0\0\x08\0").unwrap().to_string();
        assert_eq!(zip("m.zip"), "'m.zip' is an archive; unpack it first");
        assert!(zip("pytorch_model.bin").contains("pickle"));
        // A header may be as long as these letters say.
        assert!(other_format(Path::new("m"), b"PK\x03\x04\0\0\0\0{}").is_none());
        assert!(other_format(Path::new("m"), b"").is_none());
    }

    #[test]
    fn names_on_the_hub_are_known_from_paths() {
        for (path, says) in [
            ("some-org/some-model", "hf download some-org/some-model "),
            ("org/M-GGUF:Q4_K_M", "hf download org/M-GGUF "),
            ("https://huggingface.co/org/m/tree/main", "hf download org/m "),
            ("org/m-GGUF/m-Q4_0.gguf", "hf download org/m-GGUF m-Q4_0.gguf --local-dir ."),
            ("org/m/", "hf download org/m "),
            ("~/models/x", "'~'"),
        ] {
            assert!(absent(Path::new(path)).contains(says), "{path}: {}", absent(Path::new(path)));
        }
        for path in ["model", "/no/such", "a/b/c", "../m/x", "./x", "some org/m", ""] {
            assert_eq!(absent(Path::new(path)), "", "{path}");
        }
    }
}
