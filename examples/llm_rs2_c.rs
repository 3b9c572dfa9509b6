//! The C interface as a shared library: `cargo build --release --example llm_rs2_c` makes `libllm_rs2_c.so` in
//! `target/release/examples`. It is a target of its own, so that building the programs does not build it too.

pub use llm_rs2::capi;
