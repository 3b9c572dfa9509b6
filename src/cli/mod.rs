//! The command line: arguments as typed, settings as meant, and everything that is printed.

mod args;
mod bench_model;
mod chat;
mod constraint;
mod devices;
mod doctor;
mod eval_model;
mod eviction;
mod explain;
mod hybrid;
mod interrupt;
mod kv;
mod kv_budget;
mod limits;
mod micro_bench;
mod notice;
mod output;
mod packing;
mod print_prompt;
mod profile;
mod progress;
mod prompt;
mod provenance;
mod quantize;
mod reasoning;
mod report;
mod run;
#[cfg(feature = "server")]
mod serve;
mod session;
mod settings;
mod terminal;
mod test_backend;
mod throttle;
mod values;

pub use bench_model::bench_model;
pub use eval_model::eval_model;
pub use micro_bench::micro_bench;
pub use quantize::quantize;
pub use run::generate;
#[cfg(feature = "server")]
pub use serve::serve;
pub use test_backend::test_backend;
