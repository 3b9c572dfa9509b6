//! The families of models: what a checkpoint calls itself, to what it is made of. One small file each;
//! `docs/ADDING_A_FAMILY.md` says how to add one.

mod find;
mod gemma2;
mod gemma3;
mod granite;
mod layer_types;
mod llama;
mod ministral3;
mod mistral;
mod olmo2;
mod olmo3;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

use super::config::{ConfigError, Fields};
use super::llama::{layer_name, layer_part};
use super::spec::ModelSpec;
use crate::format::gguf;
pub use find::UnknownFamily;

/// That of models which are in no file.
pub(super) const LLAMA: &Family = &llama::FAMILY;

/// A family of models, as data.
pub struct Family {
    /// Its name: the `model_type` of config.json.
    pub name: &'static str,
    /// Other values of `model_type` that mean the same.
    pub aliases: &'static [&'static str],
    /// The entries of `architectures` in config.json.
    pub classes: &'static [&'static str],
    /// What its config.json means.
    pub(super) spec: fn(&Fields<'_>) -> Result<ModelSpec, ConfigError>,
    /// How the tensors of its checkpoints differ from Llama's.
    pub(super) checkpoint: Storage,
    /// Its GGUF files.
    pub gguf: Gguf,
}

/// How stored tensors differ from those that the forward pass reads, whose names are those of Llama's checkpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage {
    /// Parts of a layer that are stored otherwise.
    pub parts: &'static [Stored],
    /// Norms are stored as what their gain has more than 1.
    pub gains_less_one: bool,
    /// The rows of queries and keys are those of heads whose pairs are neighbours ([`crate::core::Order::Interleaved`]).
    pub interleaved: bool,
}

impl Storage {
    /// As Llama's checkpoints.
    pub const PLAIN: Self = Self { parts: &[], gains_less_one: false, interleaved: false };
}

/// Where a part of a layer is stored, without `.weight` or `.bias`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Under another name.
    As {
        /// What the forward pass calls it.
        ours: &'static str,
        /// Its name in the file.
        theirs: &'static str,
    },
    /// Several matrices under one name, the rows of one after those of the other.
    Fused {
        /// The name in the file.
        theirs: &'static str,
        /// What the forward pass calls them.
        ours: &'static [&'static str],
    },
}

/// A family's GGUF files: their keys become those of config.json, and are read as these are.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Gguf {
    /// `general.architecture`; empty where another family's files are meant.
    pub architectures: &'static [&'static str],
    /// Keys (after the architecture and a dot) beside those that all families have, with the key of config.json.
    pub keys: &'static [(&'static str, &'static str)],
    /// Whether its layers may see a window (`attention.sliding_window`).
    pub windows: bool,
    /// The name of the family that a file is of if it has one.
    pub with_window: Option<&'static str>,
    /// Puts right in config.json what follows from the rest.
    pub adjust: fn(&mut Map<String, Value>),
    /// The architecture that its models are written as, where it has none of its own.
    pub written_as: Option<&'static str>,
    pub(super) storage: Storage,
}

impl Gguf {
    /// For a family whose models are in files of another architecture.
    pub(super) const NONE: Self = Self {
        architectures: &[],
        keys: &[],
        windows: false,
        with_window: None,
        adjust: |_| (),
        written_as: None,
        storage: Storage::PLAIN,
    };
}

impl Family {
    /// The architecture of GGUF files that are made of its models, and the family whose files these are; `None` if there
    /// are no such files.
    pub fn in_gguf(&'static self) -> Option<(&'static str, &'static Self)> {
        let architecture = self.gguf.written_as.or(self.gguf.architectures.first().copied())?;
        Some((architecture, Self::of_gguf(architecture).ok()?))
    }

    /// The name in a GGUF file of the tensor that holds what the forward pass calls `name`; `None` if the files have none.
    pub fn gguf_name(&'static self, name: &str) -> Option<String> {
        let (_, family) = self.in_gguf()?;
        gguf::name_in_file(&family.gguf.storage.stored_name(name))
    }
}

impl Storage {
    /// Where a part of a layer is stored otherwise.
    pub fn rule(self, part: &str) -> Option<Stored> {
        self.parts.iter().copied().find(|rule| match rule {
            Stored::As { ours, .. } => *ours == part,
            Stored::Fused { ours, .. } => ours.contains(&part),
        })
    }

    /// The name under which `name` is stored.
    pub fn stored_name(self, name: &str) -> String {
        let theirs = layer_part(name).and_then(|(layer, part, kind)| {
            let (Stored::As { theirs, .. } | Stored::Fused { theirs, .. }) = self.rule(part)?;
            Some(layer_name(layer, theirs, kind))
        });
        theirs.unwrap_or_else(|| name.to_owned())
    }
}

/// Every family, in the order in which messages list them.
pub(super) const ALL: &[&Family] = &[
    &llama::FAMILY,
    &mistral::FAMILY,
    &ministral3::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gemma3::EMBEDDING,
    &smollm3::FAMILY,
    &phi3::FAMILY,
    &granite::FAMILY,
    &olmo2::FAMILY,
    &olmo3::FAMILY,
];

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
