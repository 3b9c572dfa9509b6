//! The chat templates of a model: in tokenizer_config.json as a text, an object or a list, and in files of their own.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{Result, TokenizerError, read};

/// The name of the template that is used unless another one is asked for.
const DEFAULT: &str = "default";

/// A directory with more templates, each in a file `NAME.jinja`.
const MORE: &str = "additional_chat_templates";

/// A model's chat templates by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatTemplates {
    named: Vec<(String, String)>,
}

/// `chat_template` in a file.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "chat_template has to be a text, an object of names and texts, or a list of \
                               objects with name and template"
)]
pub(super) enum RawTemplates {
    One(String),
    Named(Map<String, Value>),
    List(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
pub(super) struct NamedTemplate {
    name: String,
    template: String,
}

impl ChatTemplates {
    /// One template, which is the default.
    pub fn one(source: impl Into<String>) -> Self {
        Self { named: vec![(DEFAULT.to_owned(), source.into())] }
    }

    /// From a file; the reason, if an object holds something else than texts.
    pub(super) fn from_raw(raw: RawTemplates) -> Result<Self, String> {
        let named = match raw {
            RawTemplates::One(source) => return Ok(Self::one(source)),
            RawTemplates::List(list) => list.into_iter().map(|t| (t.name, t.template)).collect(),
            RawTemplates::Named(map) => {
                let text = |(name, value): (String, Value)| match value {
                    Value::String(source) => Ok((name, source)),
                    _ => Err(format!("the chat template '{name}' is no text")),
                };
                map.into_iter().map(text).collect::<Result<_, _>>()?
            }
        };
        Ok(Self { named })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The source of the template that is used unless another one is asked for: the one called "default", or the only
    /// one.
    pub fn default(&self) -> Option<&str> {
        match self.named.as_slice() {
            [(_, only)] => Some(only),
            _ => self.get(DEFAULT),
        }
    }

    /// The source of a template by its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(n, _)| n == name).map(|(_, source)| source.as_str())
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        self.named.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Adds a template, or replaces the one of that name.
    pub(super) fn put(&mut self, name: &str, source: String) {
        self.named.retain(|(n, _)| n != name);
        self.named.push((name.to_owned(), source));
    }

    /// Adds what further files hold: `legacy` is chat_template.json, which counts where there is no template yet, and
    /// `more` comes from [`more_templates`]. `name` gives their paths in messages.
    ///
    /// # Errors
    /// A file that is not of that form.
    pub(super) fn add(
        &mut self,
        legacy: Option<&[u8]>,
        more: Option<&[u8]>,
        name: &dyn Fn(&str) -> std::path::PathBuf,
    ) -> Result<()> {
        #[derive(Deserialize)]
        struct Legacy {
            chat_template: Option<RawTemplates>,
        }
        let bad = |file: &str, reason: String| TokenizerError::BadConfig {
            origin: name(file).display().to_string(),
            reason,
        };
        if let (Some(bytes), true) = (legacy, self.is_empty()) {
            let file = "chat_template.json";
            let read: Legacy = serde_json::from_slice(bytes).map_err(|e| bad(file, e.to_string()))?;
            if let Some(raw) = read.chat_template {
                *self = Self::from_raw(raw).map_err(|e| bad(file, e))?;
            }
        }
        if let Some(bytes) = more {
            let raw: Map<String, Value> =
                serde_json::from_slice(bytes).map_err(|e| bad(MORE, e.to_string()))?;
            for (name, source) in Self::from_raw(RawTemplates::Named(raw)).map_err(|e| bad(MORE, e))?.named {
                self.put(&name, source);
            }
        }
        Ok(())
    }
}

/// The templates in a model's directory `additional_chat_templates`, as one JSON object of names and texts.
///
/// # Errors
/// A file that cannot be read or is not UTF-8.
pub fn more_templates(dir: &Path) -> Result<Option<Vec<u8>>> {
    let Ok(entries) = std::fs::read_dir(dir.join(MORE)) else { return Ok(None) };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "jinja"));
    paths.sort();
    let mut named = Map::new();
    for path in paths {
        let Some(name) = path.file_stem().and_then(|s| s.to_str()) else { continue };
        let source = String::from_utf8(read(&path)?).map_err(|e| TokenizerError::Read {
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, e.utf8_error()),
        })?;
        named.insert(name.to_owned(), source.into());
    }
    Ok(if named.is_empty() { None } else { serde_json::to_vec(&named).ok() })
}
