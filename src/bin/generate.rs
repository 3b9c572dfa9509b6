//! `generate`: text from a Llama model.

fn main() {}
