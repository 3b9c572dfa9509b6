//! HTTP: dialects of other servers become one request, and what comes of it becomes their answers.
//!
//! One thread has the models and makes all passes (`worker`); HTTP runs on another, and the two talk by channels. A dialect
//! (`openai`, `llama_cpp`, `ollama`, `anthropic`) reads a body into `ask::Ask` and writes `answer::Step`s in its own form; it
//! knows neither the model nor the other dialects.

mod answer;
mod anthropic;
mod ask;
mod call_constraints;
mod catalog;
mod constraints;
mod cors;
mod dialect;
mod embeddings;
mod fields;
mod host;
mod isolation;
mod keys;
mod library;
mod listener;
mod llama_cpp;
mod llama_fields;
mod log;
mod metrics;
mod model;
mod ollama;
mod openai;
mod openapi;
mod page;
mod probabilities;
mod refusal;
mod router;
mod routes;
mod settings;
mod state;
mod stream;
mod timings;
mod tools;
mod worker;

pub use self::catalog::Offer;
pub use self::keys::Keys;
pub use self::library::Library;
pub use self::log::{Log, Record};
pub use self::model::{Described, Embeddings, Model};
pub use self::router::{Http, Socket, Stop};
pub use self::settings::Settings;
pub use self::worker::{LoadError, Loader, Worker};
