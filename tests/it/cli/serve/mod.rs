//! The server, as a process.

mod answers;
mod client;
mod clients;
mod crowd;
mod disk;
mod embeddings;
mod llama_cpp;
mod models;
mod operation;
mod refusals;
mod structured;
mod tools;
