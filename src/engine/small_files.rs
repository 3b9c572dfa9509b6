//! A model's files beside its weights, as bytes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::EngineError;
use super::embedding::{self, EmbeddingHead};
use super::gguf;
use super::special_tokens::SpecialTokens;
use super::warning::ModelWarning;
use crate::core::HostBytes;
use crate::format::packed::PackedFile;
use crate::format::{Checkpoint, parse_json, read_bounded};
use crate::models::{GenerationConfig, ModelConfig};
use crate::tokenizer::{FlatForm, Tokenizer, TokenizerConfig, more_templates};

/// The most bytes of any of these files; the largest tokenizers have some ten million.
const MAX_FILE: u64 = 256 << 20;

/// The files that a model may have beside its weights, under the names that its directory has for them.
pub(super) const NAMES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    SENTENCE_PIECE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// SentencePiece's form of a tokenizer, which counts where there is no `tokenizer.json`.
const SENTENCE_PIECE: &str = "tokenizer.model";

/// More templates, which lie in a directory: as one file of JSON.
const MORE_TEMPLATES: &str = "additional_chat_templates.json";

/// Sections of a packed file that hold a tokenizer in its flat form; `tokenizer.json` is absent then.
const FLAT_REST: &str = "tokenizer.rest.json";
const FLAT_BPE: &str = "tokenizer.bpe";

/// The bytes of those of [`NAMES`] that there are.
pub(super) struct SmallFiles {
    files: Vec<(&'static str, HostBytes)>,
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
            if name == SENTENCE_PIECE && files.iter().any(|f: &(&str, _)| f.0 == "tokenizer.json") {
                continue;
            }
            if path.exists() {
                files.push((name, read_bounded(&path, MAX_FILE)?.into()));
            }
        }
        for name in embedding::NAMES {
            let path = dir.join(name);
            if path.exists() {
                files.push((name, read_bounded(&path, MAX_FILE)?.into()));
            }
        }
        files.extend(more_templates(dir)?.map(|bytes| (MORE_TEMPLATES, bytes.into())));
        Ok(Self { files })
    }

    /// Those of a checkpoint: beside it, or within.
    ///
    /// # Errors
    /// As [`Self::read`]; a GGUF file that does not describe a model.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, EngineError> {
        match checkpoint.gguf() {
            Some(file) => Ok(gguf::small_files(file, checkpoint)?),
            None => Self::read(checkpoint.dir()),
        }
    }

    /// Those given.
    pub fn new(files: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self { files: files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect() }
    }

    /// The same with a tokenizer in its flat form.
    pub fn with_tokenizer(mut self, form: FlatForm) -> Self {
        self.files.retain(|f| ![FLAT_REST, FLAT_BPE, SENTENCE_PIECE, "tokenizer.json"].contains(&f.0));
        self.files.extend([(FLAT_REST, form.rest.into()), (FLAT_BPE, form.bpe.into())]);
        self
    }

    /// Whether there is a tokenizer that is read.
    fn has_tokenizer(&self) -> bool {
        [FLAT_BPE, SENTENCE_PIECE, "tokenizer.json"].iter().any(|name| self.get(name).is_some())
    }

    /// The same with more files.
    pub fn with(mut self, files: Vec<(&'static str, Vec<u8>)>) -> Self {
        self.files.extend(files.into_iter().map(|(name, bytes)| (name, bytes.into())));
        self
    }

    /// The bytes of a file, which are shared.
    pub fn get(&self, name: &str) -> Option<&HostBytes> {
        self.files.iter().find(|f| f.0 == name).map(|f| &f.1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.files.iter().map(|f| (f.0, f.1.as_ref()))
    }

    /// Bytes of the tokenizer in the form in which it has to be read; none if it is read quickly.
    pub fn slow_tokenizer_bytes(&self) -> usize {
        ["tokenizer.json", SENTENCE_PIECE]
            .iter()
            .filter_map(|name| self.get(name))
            .map(|b| b.as_ref().len())
            .sum()
    }

    /// The sections of a packed file for these files: the same names and bytes, but the tokenizer in its flat
    /// form where that is given.
    pub fn into_sections(self, flat: Option<FlatForm>) -> Vec<(String, Vec<u8>)> {
        let files = match flat {
            Some(form) => self.with_tokenizer(form),
            None => self,
        };
        files.files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.as_ref().to_vec())).collect()
    }
}

/// What a model's small files say.
pub(super) struct Described {
    pub config: ModelConfig,
    pub generation: GenerationConfig,
    pub tokenizer: Tokenizer,
    pub tokenizer_config: TokenizerConfig,
    pub embedding: EmbeddingHead,
    pub special: SpecialTokens,
}

impl Described {
    /// Reads what is beside a checkpoint, or stands for that in a GGUF file (`small`, where that was made already).
    ///
    /// # Errors
    /// A file that is missing, damaged or not supported.
    pub fn beside(checkpoint: &Checkpoint, small: Option<&SmallFiles>) -> Result<Self, EngineError> {
        let made;
        let small = match small {
            Some(small) => small,
            None => {
                made = SmallFiles::of(checkpoint)?;
                &made
            }
        };
        match checkpoint.gguf() {
            Some(file) => Self::given(small, &|name| format!("{name} for {}", file.path().display())),
            None => {
                let dir = checkpoint.dir();
                if !small.has_tokenizer() {
                    return Err(missing_tokenizer(dir));
                }
                Self::given(small, &|name| dir.join(name).display().to_string())
            }
        }
    }

    /// Reads files that are in memory; `origin` gives their names in messages.
    ///
    /// # Errors
    /// As [`Self::beside`].
    pub fn given(files: &SmallFiles, origin: &dyn Fn(&str) -> String) -> Result<Self, EngineError> {
        let file = |name: &str| files.get(name).cloned();
        Self::with_tokenizer(tokenizer_of(&file, origin)?, &file, origin)
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
        need("config.json")?;
        let section = |name: &str| file.section(name);
        if [FLAT_BPE, "tokenizer.json", SENTENCE_PIECE].iter().all(|name| section(name).is_none()) {
            need("tokenizer.json")?;
        }
        let tokenizer = tokenizer_of(&section, &origin)?;
        Self::with_tokenizer(tokenizer, &section, &origin)
    }

    /// Reads the files beside the tokenizer's own: `file` gives the bytes of one.
    fn with_tokenizer(
        mut tokenizer: Tokenizer,
        file: &dyn Fn(&str) -> Option<HostBytes>,
        origin: &dyn Fn(&str) -> String,
    ) -> Result<Self, EngineError> {
        let read = |name: &str| (file(name).unwrap_or_else(|| b"{}".to_vec().into()), origin(name));
        let (config, generation) = (read("config.json"), read("generation_config.json"));
        let parts = ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"].map(file);
        let [json, map, jinja] = parts.each_ref().map(|part| part.as_ref().map(HostBytes::as_ref));
        let mut tokenizer_config = TokenizerConfig::from_parts(json, map, jinja, origin)?;
        let (legacy, more) = (file("chat_template.json"), file(MORE_TEMPLATES));
        let [legacy, more] = [&legacy, &more].map(|part| part.as_ref().map(HostBytes::as_ref));
        tokenizer_config.add_templates(legacy, more, origin)?;
        tokenizer.declare(&tokenizer_config.declared)?;
        let config = ModelConfig::from_slice(config.0.as_ref(), &config.1)?;
        let generation = GenerationConfig::from_slice(generation.0.as_ref(), &generation.1)?;
        let mut special = SpecialTokens::settle(&config, &generation, &tokenizer, &mut tokenizer_config);
        for (key, value) in &config.unused {
            special.warnings.push(ModelWarning::UnusedSetting {
                origin: origin("config.json"),
                key: key.clone(),
                value: value.clone(),
                why: "models of this family have no use for it",
            });
        }
        let embedding = EmbeddingHead::read(file, origin)?;
        let fits = embedding.check(config.spec.hidden_size);
        fits.map_err(|reason| EngineError::EmbeddingFiles { origin: origin("modules.json"), reason })?;
        Ok(Self { config, generation, tokenizer, tokenizer_config, embedding, special })
    }
}

/// The tokenizer in whichever form there is: `file` gives the bytes of one.
fn tokenizer_of(
    file: &dyn Fn(&str) -> Option<HostBytes>,
    origin: &dyn Fn(&str) -> String,
) -> Result<Tokenizer, EngineError> {
    if let (Some(rest), Some(bpe)) = (file(FLAT_REST), file(FLAT_BPE)) {
        return Ok(Tokenizer::from_flat(rest.as_ref(), bpe, &origin("tokenizer"))?);
    }
    if let Some(model) = file(SENTENCE_PIECE) {
        // As transformers does for such files; what else tokenizer_config.json says is read later.
        let config = file("tokenizer_config.json").and_then(|bytes| parse_json::<Value>(bytes.as_ref()).ok());
        let adds_bos = config.and_then(|config| config["add_bos_token"].as_bool()).unwrap_or(true);
        return Ok(Tokenizer::from_sentence_piece(model.as_ref(), adds_bos, &origin(SENTENCE_PIECE))?);
    }
    let name = "tokenizer.json";
    let json = file(name);
    Ok(Tokenizer::from_bytes(json.as_ref().map_or(b"{}", HostBytes::as_ref), &origin(name))?)
}

/// The error for a directory without a tokenizer that is read.
fn missing_tokenizer(dir: &Path) -> EngineError {
    let hint = if dir.join("vocab.json").exists() || dir.join("merges.txt").exists() {
        "vocab.json and merges.txt are not read: make a tokenizer.json of them in Python with \
         transformers.AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
    } else {
        "download it from where the weights are from"
    };
    EngineError::MissingFile { path: dir.join("tokenizer.json"), hint }
}
