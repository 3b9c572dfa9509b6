//! The command line: arguments as typed, settings as meant, and everything that is printed for people.

mod args;
mod interrupt;
mod output;
mod progress;
mod prompt;
mod report;
mod run;
mod settings;

pub use run::generate;
