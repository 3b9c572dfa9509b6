//! The files that make up a model: configuration, tokenizer, weights.

use std::path::Path;
use std::sync::Arc;

use super::EngineError;
use crate::chat::{ChatTemplate, Message};
use crate::core::{DType, HostBytes};
use crate::format::{Checkpoint, TensorSource};
use crate::models::{GenerationConfig, ModelConfig};
use crate::tokenizer::{Tokenizer, TokenizerConfig};

/// A model as it lies on disk, opened and checked; its weights are mapped, not read.
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
    /// The token before a text's first.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
}

/// The files of the demo model (`scripts/train_demo_model.py` makes them).
mod demo {
    pub const CONFIG: &[u8] = include_bytes!("../../assets/demo/config.json");
    pub const GENERATION: &[u8] = include_bytes!("../../assets/demo/generation_config.json");
    pub const TOKENIZER: &[u8] = include_bytes!("../../assets/demo/tokenizer.json");
    pub const TOKENIZER_CONFIG: &[u8] = include_bytes!("../../assets/demo/tokenizer_config.json");
    pub const WEIGHTS: &[u8] = include_bytes!("../../assets/demo/model.safetensors");
}

impl ModelFiles {
    /// Opens a Hugging Face directory, or the safetensors file in one.
    ///
    /// # Errors
    /// A file that is missing, damaged or not supported, or a tokenizer that does not belong to the model.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        // The weights first: their errors tell best what a path that is no model is instead.
        let tensors = Checkpoint::open(path)?;
        let dir = tensors.dir().to_owned();
        let config = ModelConfig::from_file(&dir.join("config.json"))?;
        let generation = GenerationConfig::from_file(&dir.join("generation_config.json"))?;
        let tokenizer = Tokenizer::from_file(&dir.join("tokenizer.json"))?;
        let tokenizer_config = TokenizerConfig::from_dir(&dir)?;
        Self::new(path.display().to_string(), config, generation, tokenizer, tokenizer_config, tensors)
    }

    /// The demo model inside the program.
    ///
    /// # Errors
    /// As [`Self::open`]; none if the program was built from whole files.
    pub fn demo() -> Result<Self, EngineError> {
        let name = |file: &str| format!("the demo model's {file}");
        let weights = HostBytes::new(Arc::new(demo::WEIGHTS));
        Self::new(
            "demo model".to_owned(),
            ModelConfig::from_slice(demo::CONFIG, &name("config.json"))?,
            GenerationConfig::from_slice(demo::GENERATION, &name("generation_config.json"))?,
            Tokenizer::from_bytes(demo::TOKENIZER, &name("tokenizer.json"))?,
            TokenizerConfig::from_bytes(demo::TOKENIZER_CONFIG, &name("tokenizer_config.json"))?,
            Checkpoint::from_bytes(&name("model.safetensors"), weights)?,
        )
    }

    fn new(
        origin: String,
        config: ModelConfig,
        generation: GenerationConfig,
        tokenizer: Tokenizer,
        tokenizer_config: TokenizerConfig,
        tensors: Checkpoint,
    ) -> Result<Self, EngineError> {
        let vocab = config.vocab_size;
        match tokenizer.max_id() {
            Some(max_id) if max_id as usize >= vocab => {
                return Err(EngineError::ForeignTokenizer { origin, max_id, vocab });
            }
            _ => {}
        }
        let stored = tensors.get("model.embed_tokens.weight")?.map_or(DType::F32, |t| t.dtype());
        let named = tokenizer_config.bos_token.as_deref().and_then(|t| tokenizer.token_to_id(t));
        let bos = config.bos_token_id.or(generation.bos_token_id).or(named);
        let eos = generation.stop_tokens(&config).to_vec();
        let tensors = Box::new(tensors);
        Ok(Self { origin, config, generation, tokenizer, tokenizer_config, tensors, stored, bos, eos })
    }

    /// A text as the model was trained to see it: its first-token marker, then the text.
    ///
    /// # Errors
    /// What the tokenizer cannot encode.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(self.tokenizer.encode_prompt(text, self.bos, &self.tokenizer_config)?)
    }

    /// A conversation through the model's chat template, up to where the answer begins.
    ///
    /// # Errors
    /// No template, or one that refuses these messages.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, EngineError> {
        let config = &self.tokenizer_config;
        let template = ChatTemplate::from_optional(config.chat_template.as_deref())?;
        let text = template.render(
            messages,
            true,
            config.bos_token.as_deref().unwrap_or_default(),
            config.eos_token.as_deref().unwrap_or_default(),
        )?;
        Ok(self.tokenizer.encode(&text, false)?)
    }
}
