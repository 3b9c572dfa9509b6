//! The files that make up a model: configuration, tokenizer, weights.

use std::path::Path;
use std::sync::Arc;

use super::packing::{self, CachePlace, Cached, Missing, PackObserver, PackedWeights};
use super::small_files::{Described, SmallFiles};
use super::special_tokens::SpecialTokens;
use super::{EngineError, Holding, ModelWarning, PromptForm, WeightDType, gguf, unused};
use crate::core::{DType, HostBytes, HostTensor};
use crate::format::gguf::GgufFile;
use crate::format::packed::PackedFile;
use crate::format::{Checkpoint, TensorSource};
use crate::host::{available_bytes, lock};
use crate::models::llama::{find_tensor, tensor_specs, without_absent_biases};
use crate::models::{GenerationConfig, ModelConfig};
use crate::tokenizer::{Tokenizer, TokenizerConfig};

/// A model as it is on disk, opened and checked; its weights are mapped, not read.
pub struct ModelFiles {
    /// The path, or what stands for it in messages.
    pub origin: String,
    /// Dimensions and constants.
    pub config: ModelConfig,
    /// What its makers recommend for sampling.
    pub generation: GenerationConfig,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// Special tokens and the chat template.
    pub tokenizer_config: TokenizerConfig,
    /// The tensors.
    pub tensors: Box<dyn TensorSource>,
    /// The type in which the matrices are stored.
    pub stored: DType,
    /// The packed file that the tensors come from, if they do.
    pub packed: Option<PackedWeights>,
    /// The token before a text's first.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
    /// Bytes of a GGUF file's header, which are kept in memory.
    pub(super) header_bytes: usize,
    /// What a user should know about them.
    pub warnings: Vec<ModelWarning>,
    /// The packed file that is to be made.
    missing: Option<Missing>,
}

/// The files of the demo model (`scripts/train_demo_model.py` makes them).
mod demo {
    pub const CONFIG: &[u8] = include_bytes!("../../assets/demo/config.json");
    pub const GENERATION: &[u8] = include_bytes!("../../assets/demo/generation_config.json");
    pub const TOKENIZER: &[u8] = include_bytes!("../../assets/demo/tokenizer.json");
    pub const TOKENIZER_CONFIG: &[u8] = include_bytes!("../../assets/demo/tokenizer_config.json");
    pub const WEIGHTS: &[u8] = include_bytes!("../../assets/demo/model.safetensors");

    pub fn small_files() -> super::SmallFiles {
        let files = [
            ("config.json", CONFIG),
            ("generation_config.json", GENERATION),
            ("tokenizer.json", TOKENIZER),
            ("tokenizer_config.json", TOKENIZER_CONFIG),
        ];
        super::SmallFiles::new(files.map(|(name, bytes)| (name, bytes.to_vec())).into())
    }
}

/// Where tensors come from.
enum Tensors {
    Checkpoint(Checkpoint),
    Packed(PackedFile),
}

impl Tensors {
    /// Those of a cached file, or of the checkpoint where the cache has none since they need no conversion.
    fn of_cache(file: PackedFile, checkpoint: Checkpoint) -> Self {
        if file.matrices().is_some() { Tensors::Packed(file) } else { Tensors::Checkpoint(checkpoint) }
    }

    /// The source; of a packed file the weights begin to come into memory.
    fn boxed(self) -> Box<dyn TensorSource> {
        match self {
            Tensors::Checkpoint(checkpoint) => Box::new(checkpoint),
            Tensors::Packed(file) => {
                // Not where it would push out its own pages.
                if available_bytes().is_none_or(|available| file.total_bytes() <= available) {
                    file.prefetch();
                }
                Box::new(file)
            }
        }
    }
}

/// The model's dimensions, which are known before all else.
fn config_of(checkpoint: &Checkpoint) -> Result<ModelConfig, EngineError> {
    let config = match checkpoint.gguf() {
        Some(file) => ModelConfig::from_slice(&gguf::config_json(file)?, &file.path().display().to_string())?,
        None => ModelConfig::from_file(&checkpoint.dir().join("config.json"))?,
    };
    // Each layer of a GGUF file is by itself.
    Ok(without_absent_biases(config, checkpoint, checkpoint.gguf().is_none()))
}

/// What a user should know about a checkpoint's weights and keys.
fn warnings_about(checkpoint: &Checkpoint, config: &ModelConfig) -> Result<Vec<ModelWarning>, EngineError> {
    let mut warnings: Vec<ModelWarning> = unused::tensors(checkpoint, config)?.into_iter().collect();
    if let Some(file) = checkpoint.gguf() {
        warnings.extend(gguf::warnings(file)?);
    }
    Ok(warnings)
}

/// The type of a layer's largest matrix, which is that of most parameters: in a safetensors checkpoint of all
/// matrices, while quantized GGUF files often have a finer type for the embedding.
fn stored_type(checkpoint: &Checkpoint) -> Result<DType, EngineError> {
    for name in ["model.layers.0.mlp.gate_proj.weight", "model.embed_tokens.weight"] {
        if let Some(tensor) = checkpoint.get(name)? {
            return Ok(tensor.dtype());
        }
    }
    Ok(DType::F32)
}

/// How a model is opened.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The format that the weights will be asked for in: it decides what the cache holds.
    pub weight_dtype: WeightDType,
    /// Memory that is available, in bytes, where that is known.
    pub available: Option<u64>,
    /// Where packed weights are kept between runs.
    pub cache: CachePlace,
    /// Whether the weights of a packed file are compared with their checksums, which reads all of them.
    pub verify: bool,
}

impl Default for LoadOptions {
    /// Everything as it is stored, nothing kept.
    fn default() -> Self {
        Self { weight_dtype: WeightDType::Auto, available: None, cache: CachePlace::Off, verify: false }
    }
}

impl ModelFiles {
    /// Opens a Hugging Face directory, the safetensors file in one, a GGUF file, or a packed file.
    ///
    /// # Errors
    /// A file that is missing, damaged or not supported, or holds what is needed and not read.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        Self::load(path, &LoadOptions::default(), &mut ())
    }

    /// As [`Self::open`]; what takes long is taken from a cache. What that lacks, [`Self::keep_packed`] makes, when it
    /// is known that the rest has room.
    ///
    /// # Errors
    /// As [`Self::open`]. A cache that does not work is no error.
    pub fn load(
        path: &Path,
        options: &LoadOptions,
        observer: &mut dyn PackObserver,
    ) -> Result<Self, EngineError> {
        let origin = path.display().to_string();
        if PackedFile::is_at(path) {
            let file = PackedFile::open(path)?;
            if options.verify {
                file.verify()?;
            }
            let parts = Described::read(&file)?;
            let config = without_absent_biases(parts.config.clone(), &file, false);
            return Self::new(origin, Described { config, ..parts }, Tensors::Packed(file));
        }
        // The weights first: their errors say best what a path that is no model is instead.
        let checkpoint = Checkpoint::open(path)?;
        let config = config_of(&checkpoint)?;
        let warnings = warnings_about(&checkpoint, &config)?;
        let cached = if options.cache == CachePlace::Off {
            Cached::Nothing
        } else {
            let stored = stored_type(&checkpoint)?;
            let format = options.weight_dtype.choose(&config, stored, options.available);
            packing::look_up(&options.cache, &checkpoint, &config, format, options.verify, observer)
        };
        if let Cached::Found(file) = cached {
            let parts = Described { config, ..Described::read(&file)? };
            let mut files = Self::new(origin, parts, Tensors::of_cache(file, checkpoint))?;
            files.warnings.extend(warnings);
            return Ok(files);
        }
        let missing = match cached {
            Cached::Missing(missing) => Some(missing),
            _ => None,
        };
        let parts = Described::beside(&checkpoint, missing.as_ref().map(Missing::small))?;
        let mut files = Self::new(origin, Described { config, ..parts }, Tensors::Checkpoint(checkpoint))?;
        files.warnings.extend(warnings);
        Ok(Self { missing, ..files })
    }

    /// Makes the packed file that the cache lacks, and uses it from then on. False, after a note, where that does not
    /// work: the weights then lie otherwise than was to be expected.
    ///
    /// # Errors
    /// A tensor that has no packed form.
    pub fn keep_packed(&mut self, observer: &mut dyn PackObserver) -> Result<bool, EngineError> {
        let Some(missing) = self.missing.take() else { return Ok(true) };
        let weights = missing.format().is_some();
        if let Some(file) = missing.make(&self.tokenizer, observer)?
            && let Some(format) = file.matrices()
        {
            self.stored = format;
            self.packed = Some(PackedWeights { path: file.path().into(), format });
            self.tensors = Tensors::Packed(file).boxed();
        }
        Ok(!weights || self.packed.is_some())
    }

    /// What [`Self::keep_packed`] will convert the matrices to, if it will.
    pub fn to_pack(&self) -> Option<DType> {
        self.missing.as_ref().and_then(Missing::format)
    }

    /// Bytes of memory that [`Self::keep_packed`] takes while it converts.
    pub fn packing_bytes(&self) -> u64 {
        self.missing.as_ref().map_or(0, Missing::working_bytes)
    }

    /// The demo model inside the program.
    ///
    /// # Errors
    /// As [`Self::open`]; none if the program was built from whole files.
    pub fn demo() -> Result<Self, EngineError> {
        let name = |file: &str| format!("the demo model's {file}");
        let weights = HostBytes::new(Arc::new(demo::WEIGHTS));
        let parts = Described::given(&demo::small_files(), &name)?;
        let checkpoint = Checkpoint::from_bytes(&name("model.safetensors"), weights)?;
        Self::new("demo model".to_owned(), parts, Tensors::Checkpoint(checkpoint))
    }

    /// Writes a model (the demo model for `None`) as one packed file with its matrices in the format that
    /// `weight_dtype` says, and gives that format and the file's length in bytes. The same model gives the same
    /// bytes on every machine.
    ///
    /// # Errors
    /// As [`Self::open`]; a model that is packed already, a file that is in the way unless `overwrite` is set,
    /// and what the system answers.
    pub fn pack(
        source: Option<&Path>,
        weight_dtype: WeightDType,
        target: &Path,
        overwrite: bool,
        observer: &mut dyn PackObserver,
    ) -> Result<(DType, u64), EngineError> {
        let (files, small) = match source {
            Some(path) if PackedFile::is_at(path) => {
                return Err(EngineError::AlreadyPacked { path: path.into() });
            }
            Some(path) => {
                let checkpoint = Checkpoint::open(path)?;
                let small = SmallFiles::of(&checkpoint)?;
                let config = config_of(&checkpoint)?;
                let warnings = warnings_about(&checkpoint, &config)?;
                let parts = Described { config, ..Described::beside(&checkpoint, Some(&small))? };
                let origin = path.display().to_string();
                let files = Self::new(origin, parts, Tensors::Checkpoint(checkpoint))?;
                files
                    .warnings
                    .iter()
                    .chain(&warnings)
                    .for_each(|warning| observer.note(&warning.to_string()));
                (files, small)
            }
            None => (Self::demo()?, demo::small_files()),
        };
        // Packing takes little memory, whatever the model takes.
        let format = weight_dtype.choose(&files.config, files.stored, None);
        let packer = packing::plan(small, &files.tokenizer, files.tensors.as_ref(), &files.config, format)?;
        Ok((format, packing::write_to(packer, target, overwrite, observer)?))
    }

    fn new(origin: String, parts: Described, tensors: Tensors) -> Result<Self, EngineError> {
        let Described { config, generation, tokenizer, tokenizer_config, special } = parts;
        let SpecialTokens { bos, eos, warnings } = special;
        let (packed, stored) = match &tensors {
            Tensors::Checkpoint(checkpoint) => (None, stored_type(checkpoint)?),
            Tensors::Packed(file) => {
                let format =
                    file.matrices().ok_or_else(|| EngineError::NoWeights { path: file.path().into() })?;
                (Some(PackedWeights { path: file.path().into(), format }), format)
            }
        };
        let header_bytes = match &tensors {
            Tensors::Checkpoint(checkpoint) => checkpoint.gguf().map_or(0, GgufFile::header_bytes),
            Tensors::Packed(_) => 0,
        };
        let tensors = tensors.boxed();
        Ok(Self {
            origin,
            config,
            generation,
            tokenizer,
            tokenizer_config,
            tensors,
            stored,
            packed,
            bos,
            eos,
            header_bytes,
            warnings,
            missing: None,
        })
    }

    /// As [`Self::format`], refused where the weights, all of them converted, do not fit in memory.
    ///
    /// # Errors
    /// As [`Self::format`]; weights that do not fit in memory.
    pub fn settle(&self, wanted: WeightDType, available: Option<u64>) -> Result<DType, EngineError> {
        if self.packed.is_none() {
            return wanted.settle(&self.config, self.stored, available).map_err(EngineError::TooLarge);
        }
        self.format(wanted, available)
    }

    /// Keeps the weights that a backend will use where they are mapped, as `format`, in memory, and gives their bytes.
    ///
    /// # Errors
    /// A tensor that is missing, or more than the system allows.
    pub fn lock_weights(&self, format: DType, holding: Holding) -> Result<u64, EngineError> {
        let mut tensors = Vec::new();
        for spec in tensor_specs(&self.config) {
            let tensor = find_tensor(self.tensors.as_ref(), &spec.name, spec.shape)?;
            let format = if spec.matrix { format } else { DType::F32 };
            if holding.uses_in_place(tensor.dtype(), tensor.order(), format) {
                tensors.push(tensor);
            }
        }
        Ok(lock(&tensors.iter().map(HostTensor::bytes).collect::<Vec<_>>())?)
    }

    /// The format of the weights: what a packed file holds or will hold, else what `wanted` says for this model.
    ///
    /// # Errors
    /// Another format than the packed file's.
    pub fn format(&self, wanted: WeightDType, available: Option<u64>) -> Result<DType, EngineError> {
        match (&self.packed, wanted) {
            (None, WeightDType::Fixed(asked)) => Ok(asked),
            (None, WeightDType::Auto) => {
                Ok(self.to_pack().unwrap_or_else(|| wanted.choose(&self.config, self.stored, available)))
            }
            (Some(PackedWeights { path, format }), WeightDType::Fixed(asked)) if asked != *format => {
                Err(EngineError::OtherWeights { path: path.clone(), holds: *format, asked })
            }
            (Some(PackedWeights { format, .. }), _) => Ok(*format),
        }
    }

    /// How its prompts are made, for when these files have gone into a session.
    pub fn prompt_form(&self) -> PromptForm {
        PromptForm { bos: self.bos, config: self.tokenizer_config.clone() }
    }

    /// As [`PromptForm::encode_text`].
    ///
    /// # Errors
    /// What the tokenizer cannot encode.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.prompt_form().encode_text(&self.tokenizer, text)
    }
}
