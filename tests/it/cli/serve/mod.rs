//! The server, as a process.

mod answers;
mod client;
mod clients;
mod crowd;
mod disk;
mod embeddings;
mod faults;
mod hub;
mod isolation;
mod llama_cpp;
mod models;
mod operation;
mod page;
mod places;
mod pull;
mod refusals;
mod structured;
mod tools;
