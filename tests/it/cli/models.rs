//! Copies of the tiny checkpoint with something changed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tempfile::TempDir;

use super::program::tiny;

/// A copy that lives as long as this value.
pub struct Copy {
    dir: TempDir,
}

impl Copy {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for file in ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"] {
            fs::copy(tiny().join(file), dir.path().join(file)).expect("the fixture is readable");
        }
        Self { dir }
    }

    /// A copy with a chat template: system messages begin with t9, a user's with t8, answers with t7.
    pub fn with_template() -> Self {
        let copy = Self::new();
        let template = "{% for m in messages %}{{ {'system': 't9', 'user': 't8', 'assistant': 't7'}[m.role] }} \
                        {{ m.content }} {% endfor %}{% if add_generation_prompt %}t7{% endif %}";
        let config = serde_json::json!({ "chat_template": template });
        fs::write(copy.file("tokenizer_config.json"), config.to_string()).expect("writable");
        copy
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn args<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let path = self.path().to_str().expect("temporary paths are UTF-8");
        [&["--model-path", path, "--prompt", "t5 t6"], rest].concat()
    }

    /// Changes one of the JSON files.
    pub fn json(self, file: &str, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.file(file);
        let mut value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
        change(&mut value);
        fs::write(path, value.to_string()).expect("writable");
        self
    }

    /// Changes the bytes of the weights.
    pub fn bytes(self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let path = self.file("model.safetensors");
        let mut bytes = fs::read(&path).expect("readable");
        change(&mut bytes);
        fs::write(path, bytes).expect("writable");
        self
    }

    /// Changes the header of the weights; the data behind it stays.
    pub fn header(self, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        self.bytes(|bytes| {
            let end = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
            let mut header = serde_json::from_slice(&bytes[8..end]).expect("a JSON header");
            change(&mut header);
            let text = Value::Object(header).to_string();
            let mut whole = (text.len() as u64).to_le_bytes().to_vec();
            whole.extend(text.as_bytes());
            whole.extend(&bytes[end..]);
            *bytes = whole;
        })
    }
}
