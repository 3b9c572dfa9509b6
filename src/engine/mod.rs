//! The token loop: a prompt goes in, text comes out. The only caller of model, sampler and cache together.
//!
//! A [`Runner`] hides the backend; a scheduler makes the passes of the texts in progress, each in a sequence of the runner.
//!
//! Knows no terminal and no file but a model's.

mod batcher;
mod conversation;
mod defaults;
mod drafter;
mod embedding;
mod error;
mod footprint;
mod generation;
mod gguf;
mod hybrid;
mod lookup;
mod memory_watch;
mod model_files;
mod model_runner;
mod packing;
mod prompt_form;
mod prompt_rows;
mod request;
mod runner;
mod saved;
mod scheduler;
mod sequence;
mod session;
mod small_files;
mod special_tokens;
mod stop;
mod stored_cache;
mod switch;
mod text_limits;
mod text_rules;
mod unused;
mod warning;
mod weight_format;

pub use batcher::{BatchOptions, Batcher, DiskOptions, Load, Pass, Reader};
pub use conversation::{ChatFormat, Conversation, Prompt};
pub use defaults::{SamplingWishes, default_context};
pub use drafter::DraftStats;
pub use embedding::{EmbeddingHead, Norm, Pooling};
pub use error::EngineError;
pub use footprint::{Fit, Footprint, Holding, TextLength, Unfit};
pub use gguf::Export;
pub use hybrid::HybridRunner;
pub use memory_watch::MemorySource;
pub use model_files::{LoadOptions, ModelFiles};
pub use model_runner::{ModelRunner, RunnerSize};
pub use packing::{CachePlace, PackObserver};
pub use prompt_form::PromptForm;
pub use prompt_rows::PromptRows;
pub use request::{CacheSalt, ChosenToken, Finish, Observer, Outcome, Request, Timings};
pub use runner::{Held, PageUse, Part, Runner, SequenceId, Stage};
pub use saved::{Identity, Origin, Restored, SavedConversation, Text, saved_conversation, take_place};
pub use session::{Session, SessionOptions};
pub use stop::StopMatcher;
pub use switch::{Calibration, MoveStats, Switch};
pub use text_limits::TextLimits;
pub use warning::ModelWarning;
pub use weight_format::{WeightDType, fits_device, mix, weight_bytes};
