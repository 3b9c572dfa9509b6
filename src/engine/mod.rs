//! The token loop: a prompt goes in, text comes out. The only caller of model, sampler and cache together.
//!
//! Knows no terminal and no file but a model's.

mod conversation;
mod defaults;
mod error;
mod footprint;
mod generate;
mod gguf;
mod hybrid;
mod memory_watch;
mod model_files;
mod packing;
mod partner;
mod prompt_form;
mod saved;
mod session;
mod small_files;
mod special_tokens;
mod speculative;
mod stop;
mod text_span;
mod unused;
mod warning;
mod weight_format;

pub use conversation::{ChatFormat, Conversation, Prompt};
pub use defaults::{SamplingWishes, default_context};
pub use error::EngineError;
pub use footprint::{Fit, Footprint, Holding, TextLength, Unfit};
pub use generate::{Finish, Observer, Outcome, Request, Timings};
pub use hybrid::Calibration;
pub use memory_watch::MemorySource;
pub use model_files::{LoadOptions, ModelFiles};
pub use packing::{CachePlace, PackObserver};
pub use partner::{MoveStats, Switch};
pub use prompt_form::PromptForm;
pub use saved::{Identity, Origin, Restored, SavedConversation, Text, saved_conversation, take_place};
pub use session::{Session, SessionOptions};
pub use speculative::LookupStats;
pub use stop::StopMatcher;
pub use warning::ModelWarning;
pub use weight_format::{WeightDType, fits_device, mix, weight_bytes};
