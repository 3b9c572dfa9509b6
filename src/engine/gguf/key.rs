//! The keys of a GGUF file that belong to its architecture.

use crate::format::gguf::{Array, Metadata};
use crate::format::{FormatError, shown};
use crate::models::Family;

/// A file's keys, with the architecture that stands in front of their names.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub metadata: &'a Metadata,
    pub architecture: &'a str,
    pub family: &'static Family,
}

impl<'a> Keys<'a> {
    /// Finds the family.
    ///
    /// # Errors
    /// A file without an architecture, or of one that is not known.
    pub fn of(metadata: &'a Metadata) -> Result<Self, FormatError> {
        let key = "general.architecture";
        let architecture = metadata.required(key, metadata.text(key)?)?;
        let family = Family::of_gguf(architecture).map_err(|_| {
            metadata.fault(format!(
                "holds a model of the architecture '{}', which is not supported; known are {}",
                shown(architecture),
                Family::gguf_architectures()
            ))
        })?;
        Ok(Self { metadata, architecture, family })
    }

    /// The whole key.
    pub fn full(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// An integer, if the key is there.
    ///
    /// # Errors
    /// A value of another type.
    pub fn integer(&self, name: &str) -> Result<Option<u64>, FormatError> {
        self.metadata.integer(&self.full(name))
    }

    /// A number, if the key is there.
    ///
    /// # Errors
    /// A value of another type.
    pub fn number(&self, name: &str) -> Result<Option<f64>, FormatError> {
        self.metadata.number(&self.full(name))
    }

    /// A truth value, if the key is there.
    ///
    /// # Errors
    /// A value of another type.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, FormatError> {
        self.metadata.boolean(&self.full(name))
    }

    /// A text, if the key is there.
    ///
    /// # Errors
    /// A value of another type.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, FormatError> {
        self.metadata.text(&self.full(name))
    }

    /// A list, if the key is there and is one.
    pub fn list(&self, name: &str) -> Option<Array<'a>> {
        self.metadata.list(&self.full(name)).ok().flatten()
    }

    /// An integer that has to be there.
    ///
    /// # Errors
    /// As [`Self::integer`]; an absent key.
    pub fn needed(&self, name: &str) -> Result<u64, FormatError> {
        self.metadata.required(&self.full(name), self.integer(name)?)
    }
}
