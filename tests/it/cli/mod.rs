//! The programs as processes: what a user sees.

mod bad_input;
mod bench;
mod chat;
mod doctor;
mod eval;
mod eviction;
mod explain;
mod flags;
mod interrupts;
mod limits;
mod models;
mod opencl;
mod oracle;
mod packing;
mod program;
mod pty;
mod quantize;
mod reasoning;
#[cfg(feature = "server")]
mod serve;
mod session;
mod special_tokens;
mod templates;
mod text;
