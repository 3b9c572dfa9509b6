//! The files that make up a model: configuration, tokenizer, weights.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::embedding::EmbeddingHead;
use super::packing::{self, CachePlace, Cached, Missing, PackObserver};
use super::small_files::{Described, SmallFiles};
use super::special_tokens::SpecialTokens;
use super::weight_format::{converted, fits, mix};
use super::{EngineError, Holding, ModelWarning, PromptForm, WeightDType, gguf, unused};
use crate::core::{DType, HostBytes, HostTensor};
use crate::format::gguf::GgufFile;
use crate::format::packed::PackedFile;
use crate::format::{Checkpoint, FormatError, TensorSource};
use crate::host::{available_bytes, lock};
use crate::models::{GenerationConfig, ModelConfig, StoredTensors, WeightMix, WeightPlan};
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
    /// The type in which most of the weights are stored.
    pub stored: DType,
    /// The packed file that the tensors come from, if they do.
    pub packed: Option<PathBuf>,
    /// What follows the model's final norm in embeddings.
    pub embedding: EmbeddingHead,
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
    Checkpoint(StoredTensors),
    Packed(PackedFile),
}

impl Tensors {
    /// Those of a cached file, or of the checkpoint where the cache has none since they need no conversion.
    fn of_cache(file: PackedFile, stored: StoredTensors) -> Self {
        if file.has_weights() { Tensors::Packed(file) } else { Tensors::Checkpoint(stored) }
    }

    /// The source; of a packed file the weights begin to come into memory.
    fn boxed(self) -> Box<dyn TensorSource> {
        match self {
            Tensors::Checkpoint(stored) => Box::new(stored),
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

/// The model's dimensions, which are known before all else, and its tensors.
pub(super) fn described(checkpoint: Checkpoint) -> Result<(ModelConfig, StoredTensors), EngineError> {
    let config = match checkpoint.gguf() {
        Some(file) => {
            let json = gguf::config_json(file, &checkpoint)?;
            ModelConfig::from_slice(&json, &file.path().display().to_string())?
        }
        None => ModelConfig::from_file(&checkpoint.dir().join("config.json"))?,
    };
    // Each layer of a GGUF file is by itself.
    let in_all_layers = checkpoint.gguf().is_none();
    let stored = StoredTensors::new(checkpoint, &config);
    Ok((config.settle(&stored, in_all_layers), stored))
}

/// What a user should know about a checkpoint's weights and keys.
pub(super) fn warnings_about(
    stored: &StoredTensors,
    config: &ModelConfig,
) -> Result<Vec<ModelWarning>, EngineError> {
    let mut warnings: Vec<ModelWarning> = unused::tensors(stored, &config.spec)?.into_iter().collect();
    if let Some(file) = stored.checkpoint().gguf() {
        warnings.extend(gguf::warnings(file)?);
    }
    Ok(warnings)
}

/// The type of a layer's largest matrix, which is that of most parameters: quantized GGUF files often have a finer type for
/// the embedding.
fn stored_type(source: &dyn TensorSource) -> Result<DType, EngineError> {
    for name in ["model.layers.0.mlp.gate_proj.weight", "model.embed_tokens.weight"] {
        if let Some(tensor) = source.get(name)? {
            return Ok(tensor.dtype());
        }
    }
    Ok(DType::F32)
}

/// An error of packing a tensor with the file that the tensor is in, in place of the one that was to be made.
fn located(error: EngineError, source: &dyn TensorSource) -> EngineError {
    match error {
        EngineError::Format(FormatError::Tensor { name, reason, .. }) => {
            EngineError::Format(FormatError::Tensor { path: source.location(&name).into(), name, reason })
        }
        other => other,
    }
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
            let config = parts.config.clone().settle(&file, false);
            return Self::new(origin, Described { config, ..parts }, Tensors::Packed(file));
        }
        // The weights first: their errors say best what a path that is no model is instead.
        let (config, stored) = described(Checkpoint::open(path)?)?;
        let mut warnings = warnings_about(&stored, &config)?;
        if let Ok(dtype) = stored_type(&stored) {
            let plan = options.weight_dtype.choose(&config.spec, dtype, options.available);
            warnings.extend(converted(&origin, &config.spec, plan, &stored));
        }
        let cached = if options.cache == CachePlace::Off {
            Cached::Nothing
        } else {
            let dtype = stored_type(&stored)?;
            let plan = options.weight_dtype.choose(&config.spec, dtype, options.available);
            packing::look_up(&options.cache, &stored, &config.spec, plan, options.verify, observer)
        };
        if let Cached::Found(file) = cached {
            let parts = Described { config, ..Described::read(&file)? };
            let mut files = Self::new(origin, parts, Tensors::of_cache(file, stored))?;
            files.warnings.extend(warnings);
            return Ok(files);
        }
        let missing = match cached {
            Cached::Missing(missing) => Some(missing),
            _ => None,
        };
        let parts = Described::beside(stored.checkpoint(), missing.as_ref().map(Missing::small))?;
        let mut files = Self::new(origin, Described { config, ..parts }, Tensors::Checkpoint(stored))?;
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
        let weights = missing.plan().is_some();
        let made = missing.make(&self.tokenizer, observer).map_err(|e| located(e, self.tensors.as_ref()))?;
        if let Some(file) = made
            && file.has_weights()
        {
            self.stored = stored_type(&file)?;
            self.packed = Some(file.path().into());
            self.tensors = Tensors::Packed(file).boxed();
        }
        Ok(!weights || self.packed.is_some())
    }

    /// What [`Self::keep_packed`] will convert the weights to, if it will.
    pub fn to_pack(&self) -> Option<WeightPlan> {
        self.missing.as_ref().and_then(Missing::plan)
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
        let stored =
            StoredTensors::new(Checkpoint::from_bytes(&name("model.safetensors"), weights)?, &parts.config);
        let config = parts.config.clone().settle(&stored, true);
        Self::new("demo model".to_owned(), Described { config, ..parts }, Tensors::Checkpoint(stored))
    }

    /// Writes a model (the demo model for `None`) as one packed file with its weights in the formats that
    /// `weight_dtype` says, and gives these formats and the file's length in bytes. The same model gives the same
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
    ) -> Result<(WeightMix, u64), EngineError> {
        let (files, small) = match source {
            Some(path) if PackedFile::is_at(path) => {
                return Err(EngineError::AlreadyPacked { path: path.into() });
            }
            Some(path) => {
                let (config, stored) = described(Checkpoint::open(path)?)?;
                let small = SmallFiles::of(stored.checkpoint())?;
                let warnings = warnings_about(&stored, &config)?;
                let parts = Described { config, ..Described::beside(stored.checkpoint(), Some(&small))? };
                let origin = path.display().to_string();
                let plan = weight_dtype.choose(&parts.config.spec, stored_type(&stored)?, None);
                let of_types = converted(&origin, &parts.config.spec, plan, &stored);
                let files = Self::new(origin, parts, Tensors::Checkpoint(stored))?;
                files
                    .warnings
                    .iter()
                    .chain(&warnings)
                    .chain(&of_types)
                    .for_each(|warning| observer.note(&warning.to_string()));
                (files, small)
            }
            None => (Self::demo()?, demo::small_files()),
        };
        // Packing takes little memory, whatever the model takes.
        let plan = weight_dtype.choose(&files.config.spec, files.stored, None);
        let packer =
            packing::packer(small, &files.tokenizer, files.tensors.as_ref(), &files.config.spec, plan)?;
        let written = packing::write_to(packer, target, overwrite, observer);
        let bytes = written.map_err(|e| located(e, files.tensors.as_ref()))?;
        Ok((files.weight_mix(plan)?, bytes))
    }

    fn new(origin: String, parts: Described, tensors: Tensors) -> Result<Self, EngineError> {
        let Described { config, generation, tokenizer, tokenizer_config, embedding, special } = parts;
        let SpecialTokens { bos, eos, warnings } = special;
        let (packed, stored) = match &tensors {
            Tensors::Checkpoint(stored) => (None, stored_type(stored)?),
            Tensors::Packed(file) if !file.has_weights() => {
                return Err(EngineError::NoWeights { path: file.path().into() });
            }
            Tensors::Packed(file) => (Some(file.path().into()), stored_type(file)?),
        };
        let header_bytes = match &tensors {
            Tensors::Checkpoint(stored) => stored.checkpoint().gguf().map_or(0, GgufFile::header_bytes),
            Tensors::Packed(_) => 0,
        };
        let tensors = tensors.boxed();
        Ok(Self {
            origin,
            config,
            generation,
            tokenizer,
            tokenizer_config,
            embedding,
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

    /// As [`Self::plan`], refused where the weights, all of them converted, do not fit in memory.
    ///
    /// # Errors
    /// As [`Self::plan`]; weights that do not fit in memory.
    pub fn settle(&self, wanted: WeightDType, available: Option<u64>) -> Result<WeightPlan, EngineError> {
        let plan = self.plan(wanted, available)?;
        if self.packed.is_none() {
            fits(&self.config.spec, &self.weight_mix(plan)?, available).map_err(EngineError::TooLarge)?;
        }
        Ok(plan)
    }

    /// The formats of the matrices by a plan.
    ///
    /// # Errors
    /// What the tensors' source reports.
    pub fn weight_mix(&self, plan: WeightPlan) -> Result<WeightMix, EngineError> {
        let fault = Cell::new(None);
        let mix = mix(&self.config.spec, plan, &|spec| match self.tensors.get(&spec.name) {
            Ok(tensor) => tensor.map_or(DType::F32, |tensor| tensor.dtype()),
            Err(e) => {
                fault.set(Some(e));
                DType::F32
            }
        });
        fault.into_inner().map_or(Ok(mix), |e| Err(e.into()))
    }

    /// Keeps the weights that a backend will use where they are mapped, by `plan`, in memory, and gives their bytes.
    ///
    /// # Errors
    /// A tensor that is missing, or more than the system allows.
    pub fn lock_weights(&self, plan: WeightPlan, holding: Holding) -> Result<u64, EngineError> {
        let mut tensors = packing::tensors(self.tensors.as_ref(), &self.config.spec, plan)?;
        tensors.retain(|(tensor, format)| holding.uses_in_place(tensor.dtype(), tensor.order(), *format));
        Ok(lock(&tensors.iter().map(|(tensor, _)| tensor.bytes()).collect::<Vec<_>>())?)
    }

    /// The formats of the weights: what a packed file holds or will hold, else what `wanted` says for this model.
    ///
    /// # Errors
    /// Others than those of the packed file.
    pub fn plan(&self, wanted: WeightDType, available: Option<u64>) -> Result<WeightPlan, EngineError> {
        let chosen = || wanted.choose(&self.config.spec, self.stored, available);
        let Some(path) = &self.packed else {
            return Ok(if wanted == WeightDType::Auto {
                self.to_pack().unwrap_or_else(chosen)
            } else {
                chosen()
            });
        };
        let holds = self.weight_mix(WeightPlan::AsStored)?;
        if wanted != WeightDType::Auto {
            let differs = |(tensor, format): &(HostTensor, DType)| tensor.dtype() != *format;
            if packing::tensors(self.tensors.as_ref(), &self.config.spec, chosen())?.iter().any(differs) {
                let asked = self.weight_mix(chosen())?;
                return Err(EngineError::OtherWeights { path: path.clone(), holds, asked });
            }
        }
        Ok(WeightPlan::AsStored)
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
