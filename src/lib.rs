//! On-device inference for language models.
//!
//! The layers, each of which imports only from those below it (`docs/ARCHITECTURE.md` says what each one
//! must not know):
//!
//! ```text
//! cli         arguments -> settings; the only place that prints
//! capi        the C interface (next to cli)
//! server      HTTP (below cli; with the feature of that name)
//! eval        perplexity, and how alike two models are (on top of engine)
//! quantize    files of quantized weights from files of others (on top of engine and eval)
//! engine      the token loop
//! bench       how long passes and operators take (on top of engine)
//! oracle      every operation of a backend against the reference (next to engine)
//! grammar     what a text has to be -> the tokens that it may go on with (with the feature structured)
//! sampling    logits -> a token id
//! chat        messages -> text
//! tokenizer   text <-> ids
//! models      the transformer, on top of a Backend
//! kv          which tokens stay when the key/value cache is full
//! backend     cpu, opencl, reference
//! format      files of weights, memory-mapped and checked
//! quant       block layouts and their scalar reference
//! hub         models in a directory, and their way there from a hub (with the feature server)
//! host        what the system reports about this machine: cores, memory, temperatures
//! core        DType, Shape, Tensor, Buffer, Backend, KvPool, KvSequence
//! ```

pub mod backend;
pub mod bench;
pub mod capi;
pub mod chat;
pub mod cli;
pub mod core;
pub mod engine;
pub mod eval;
pub mod format;
#[cfg(feature = "structured")]
pub mod grammar;
pub mod host;
#[cfg(feature = "server")]
pub mod hub;
pub mod kv;
pub mod models;
pub mod oracle;
pub mod quant;
pub mod quantize;
pub mod sampling;
#[cfg(feature = "server")]
pub mod server;
#[cfg(test)]
#[path = "../tests/skip/mod.rs"]
mod skip;
pub mod tokenizer;
