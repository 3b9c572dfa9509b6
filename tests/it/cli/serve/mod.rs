//! The server, as a process.

mod answers;
mod client;
mod clients;
mod crowd;
mod operation;
mod refusals;
