//! Values of flags: what may be typed, and the sentence for what may not.

use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;

use clap::Parser;

use crate::backend::cpu::Isa;
use crate::chat::Date;
use crate::engine::{CachePlace, WeightDType};
use crate::host::most_threads;

/// The process's arguments. What is wrong with them ends the process.
pub(super) fn from_process<T: Parser>() -> T {
    from(std::env::args_os())
}

/// As [`from_process`], for arguments that are at hand.
pub(super) fn from<T: Parser>(args: impl IntoIterator<Item = OsString>) -> T {
    // A negative number is a value that its flag may refuse, and no unknown flag.
    let command = T::command().mut_args(|arg| {
        let takes_value = arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    });
    T::from_arg_matches_mut(&mut command.get_matches_from(args)).unwrap_or_else(|e| e.exit())
}

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// The same every time.
    Fixed(u64),
    /// Another one in each run; printed with the figures, so that the run can be repeated.
    Random,
}

pub(super) fn weight_dtype(text: &str) -> Result<WeightDType, String> {
    text.parse()
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a whole number of at least 1 is needed".to_owned()),
    }
}

/// A whole number.
pub(super) fn whole(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number is needed, from 0 up".to_owned())
}

/// A number with or without a fraction; what makes sense is for those to say who use it.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a number is needed, like 1 or 0.8".to_owned())
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    let most = most_threads();
    let cores = if most == 1 { "core" } else { "cores" };
    match text.parse() {
        Ok(0) => Err(format!("0 threads cannot compute; this process may use {most} {cores}")),
        Ok(n) if n <= most => Ok(n),
        Ok(n) => Err(format!("{n} threads are more than the {most} {cores} that this process may use")),
        Err(_) => Err(format!("a number of threads from 1 to {most} is needed")),
    }
}

/// An instruction set by its name, if this CPU has it.
pub(super) fn isa(text: &str) -> Result<Isa, String> {
    let names = |all: &[Isa]| all.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    let named = |isa: &&Isa| isa.name().eq_ignore_ascii_case(text);
    let here = Isa::available_by_name();
    match Isa::ALL.iter().find(named) {
        Some(isa) if here.contains(isa) => Ok(*isa),
        Some(isa) => Err(format!("this CPU does not have {isa}; choose one of {}", names(&here))),
        None => Err(format!("no such instruction set; the names are {}", names(Isa::ALL))),
    }
}

pub(super) fn lookup(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 0..=64) => Ok(n),
        _ => Err("a number of tokens from 0 (off) to 64 is needed".to_owned()),
    }
}

pub(super) fn cache_place(text: &str) -> Result<CachePlace, String> {
    match text {
        "off" => Ok(CachePlace::Off),
        "" => Err("a directory or 'off' is needed".to_owned()),
        path if Path::new(path).exists() && !Path::new(path).is_dir() => {
            Err("it is no directory; give one, or 'off'".to_owned())
        }
        path => Ok(CachePlace::Directory(path.into())),
    }
}

pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a stop string cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|()| "a date is needed, like 2026-01-31".to_owned())
}

pub(super) fn seed(text: &str) -> Result<Seed, String> {
    if text == "random" {
        return Ok(Seed::Random);
    }
    text.parse().map(Seed::Fixed).map_err(|_| "a whole number from 0 to 2^64-1, or 'random'".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_sets_are_unknown_or_not_here() {
        for &isa in Isa::ALL {
            let parsed = super::isa(&isa.name().to_uppercase());
            if Isa::available_by_name().contains(&isa) {
                assert_eq!(parsed, Ok(isa));
            } else {
                assert!(parsed.unwrap_err().starts_with(&format!("this CPU does not have {isa}; choose")));
            }
        }
        let message = super::isa("mmx").unwrap_err();
        assert!(message.contains("no such instruction set") && message.contains("scalar, avx2"), "{message}");
    }

    #[test]
    fn threads_are_as_many_as_there_are_cores_for() {
        let most = most_threads();
        assert_eq!(threads(&most.to_string()), Ok(most));
        let message = threads(&(most + 1).to_string()).unwrap_err();
        assert!(message.starts_with(&format!("{} threads are more than the {most} core", most + 1)));
        assert!(threads("0").unwrap_err().contains(&most.to_string()));
        assert!(threads("x").is_err() && threads("-1").is_err());
    }
}
