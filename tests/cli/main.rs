//! `generate` as a process: what a person sees.

mod bad_input;
mod interrupts;
mod models;
mod program;
mod text;
