//! The programs as processes: what a person sees.

mod bad_input;
mod bench;
mod interrupts;
mod models;
mod oracle;
mod packing;
mod program;
mod text;
