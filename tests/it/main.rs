//! All tests from outside the library, as one program: it links once, and its tests run side by side.
//! Those that count allocations have a program of their own, `tests/memory`.

mod capi;
mod cli;
mod documents;
mod engine;
mod eviction;
mod ggml_blocks;
mod gguf;
mod hybrid;
mod llama_cpp;
mod loading_fuzz;
mod lookup;
mod packed_bytes;
mod packed_fuzz;
mod parity;
mod prompt_rows;
mod real_models;
#[cfg(target_os = "linux")]
mod run_android;
#[cfg(target_os = "linux")]
mod scripts;
mod sessions;
#[path = "../skip/mod.rs"]
mod skip;
mod tools;
