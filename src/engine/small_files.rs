//! A model's files beside its weights, as bytes.

use std::path::{Path, PathBuf};

use super::EngineError;
use super::gguf;
use crate::core::HostBytes;
use crate::format::packed::PackedFile;
use crate::format::{Checkpoint, read_bounded};
use crate::models::{GenerationConfig, ModelConfig};
use crate::tokenizer::{FlatForm, Tokenizer, TokenizerConfig};

/// The most bytes of any of these files; the largest tokenizers have some ten million.
const MAX_FILE: u64 = 256 << 20;

/// The files that a model may have beside its weights, under the names that its directory has for them.
pub(super) const NAMES: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// Sections of a packed file in which a tokenizer lies in its flat form; `tokenizer.json` is absent then.
const FLAT_REST: &str = "tokenizer.rest.json";
const FLAT_BPE: &str = "tokenizer.bpe";

/// The bytes of those of [`NAMES`] that there are.
pub(super) struct SmallFiles {
    files: Vec<(&'static str, Vec<u8>)>,
}

impl SmallFiles {
    /// Those in a directory.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    fn read(dir: &Path) -> Result<Self, EngineError> {
        let mut files = Vec::new();
        for name in NAMES {
            let path = dir.join(name);
            if path.exists() {
                files.push((name, read_bounded(&path, MAX_FILE)?));
            }
        }
        Ok(Self { files })
    }

    /// Those of a checkpoint: beside it, or within.
    ///
    /// # Errors
    /// As [`Self::read`]; a GGUF file that does not describe a model.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, EngineError> {
        match checkpoint.gguf() {
            Some(file) => Ok(Self::new(gguf::small_files(file)?)),
            None => Self::read(checkpoint.dir()),
        }
    }

    /// Those given.
    pub fn new(files: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self { files }
    }

    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|f| f.0 == name).map(|f| f.1.as_slice())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.files.iter().map(|f| (f.0, f.1.as_slice()))
    }

    /// The sections of a packed file for these files: the same names and bytes, but the tokenizer in its flat
    /// form where that is given.
    pub fn into_sections(self, flat: Option<FlatForm>) -> Vec<(String, Vec<u8>)> {
        let mut sections: Vec<(String, Vec<u8>)> =
            self.files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        if let Some(FlatForm { rest, bpe }) = flat {
            sections.retain(|s| s.0 != "tokenizer.json");
            sections.extend([(FLAT_REST.to_owned(), rest), (FLAT_BPE.to_owned(), bpe)]);
        }
        sections
    }
}

/// What a model's small files say.
pub(super) struct Described {
    pub config: ModelConfig,
    pub generation: GenerationConfig,
    pub tokenizer: Tokenizer,
    pub tokenizer_config: TokenizerConfig,
}

impl Described {
    /// Reads what is beside a checkpoint, or stands for that in a GGUF file (`small`, where that was made already).
    ///
    /// # Errors
    /// A file that is missing, damaged or not supported.
    pub fn beside(
        checkpoint: &Checkpoint,
        config: ModelConfig,
        small: Option<&SmallFiles>,
    ) -> Result<Self, EngineError> {
        if let Some(file) = checkpoint.gguf() {
            let origin = |name: &str| format!("{name} for {}", file.path().display());
            return match small {
                Some(small) => Self::given(small, &origin),
                None => Self::given(&SmallFiles::of(checkpoint)?, &origin),
            };
        }
        let dir = checkpoint.dir();
        Ok(Self {
            config,
            generation: GenerationConfig::from_file(&dir.join("generation_config.json"))?,
            tokenizer: Tokenizer::from_file(&dir.join("tokenizer.json"))?,
            tokenizer_config: TokenizerConfig::from_dir(dir)?,
        })
    }

    /// Reads files that are in memory; `origin` gives their names in messages.
    ///
    /// # Errors
    /// As [`Self::beside`].
    pub fn given(files: &SmallFiles, origin: &dyn Fn(&str) -> String) -> Result<Self, EngineError> {
        let read = |name: &str| (files.get(name).unwrap_or(b"{}"), origin(name));
        let (config, generation) = (read("config.json"), read("generation_config.json"));
        let (tokenizer, tokenizer_config) = (read("tokenizer.json"), read("tokenizer_config.json"));
        Ok(Self {
            config: ModelConfig::from_slice(config.0, &config.1)?,
            generation: GenerationConfig::from_slice(generation.0, &generation.1)?,
            tokenizer: Tokenizer::from_bytes(tokenizer.0, &tokenizer.1)?,
            tokenizer_config: TokenizerConfig::from_bytes(tokenizer_config.0, &tokenizer_config.1)?,
        })
    }

    /// Reads the sections, each by the rules of the file that it was.
    ///
    /// # Errors
    /// A section that is missing, damaged or not supported; messages name the packed file and the section.
    pub fn read(file: &PackedFile) -> Result<Self, EngineError> {
        let origin = |name: &str| format!("{} in {}", name, file.path().display());
        let need = |name: &'static str| {
            file.section(name).ok_or_else(|| EngineError::MissingFile {
                path: PathBuf::from(origin(name)),
                hint: "pack the model again",
            })
        };
        let config = ModelConfig::from_slice(need("config.json")?.as_ref(), &origin("config.json"))?;
        let generation = match file.section("generation_config.json") {
            Some(bytes) => GenerationConfig::from_slice(bytes.as_ref(), &origin("generation_config.json"))?,
            None => GenerationConfig::default(),
        };
        let tokenizer = match (file.section(FLAT_REST), file.section(FLAT_BPE)) {
            (Some(rest), Some(bpe)) => Tokenizer::from_flat(rest.as_ref(), bpe, &origin("tokenizer"))?,
            _ => Tokenizer::from_bytes(need("tokenizer.json")?.as_ref(), &origin("tokenizer.json"))?,
        };
        let template = file.section("chat_template.jinja");
        let tokenizer_config = TokenizerConfig::from_parts(
            file.section("tokenizer_config.json").as_ref().map(HostBytes::as_ref),
            template.as_ref().map(HostBytes::as_ref),
            &file.path().display().to_string(),
        )?;
        Ok(Self { config, generation, tokenizer, tokenizer_config })
    }
}
