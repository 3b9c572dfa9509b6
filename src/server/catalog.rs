//! The models that a server has, loaded or not.

use std::sync::{Arc, PoisonError, RwLock};

use super::model::Model;
use super::refusal::{Kind, Refusal};

/// A model that may be asked for.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The names it goes by; the first one is reported.
    pub names: Vec<String>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// All of them, in the order in which they were given.
pub(super) struct Catalog {
    entries: Vec<Entry>,
}

struct Entry {
    offer: Offer,
    loaded: RwLock<Option<Arc<Model>>>,
}

/// Whether a model of `names` is meant by `name`. `name:latest`, as clients of Ollama write it, is `name`.
fn has(names: &[String], name: &str) -> bool {
    let bare = name.strip_suffix(":latest").unwrap_or(name);
    names.iter().any(|own| own == name || own == bare)
}

impl Catalog {
    pub fn new(offers: Vec<Offer>) -> Self {
        let entry = |offer| Entry { offer, loaded: RwLock::default() };
        Self { entries: offers.into_iter().map(entry).collect() }
    }

    /// Which model has this name. Without a name the first one is meant. Where there is one only, it is meant by any name,
    /// unless names are `strict`: many clients always ask for the same.
    ///
    /// # Errors
    /// A name that no model has.
    pub fn find(&self, name: Option<&str>, strict: bool) -> Result<usize, Refusal> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(0) };
        let found = self.entries.iter().position(|entry| has(&entry.offer.names, name));
        if let Some(index) = found.or((self.entries.len() == 1 && !strict).then_some(0)) {
            return Ok(index);
        }
        let names = self.entries.iter().flat_map(|entry| &entry.offer.names);
        let names = names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        let message = format!("this server has no model '{name}'; it has {names}");
        Err(Refusal { field: Some("model".to_owned()), ..Refusal::new(Kind::NotFound, message) })
    }

    /// A model, if it is loaded.
    pub fn loaded(&self, index: usize) -> Option<Arc<Model>> {
        self.entries.get(index)?.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on a model is loaded, or is not.
    pub fn set(&self, index: usize, model: Option<Arc<Model>>) {
        if let Some(entry) = self.entries.get(index) {
            *entry.loaded.write().unwrap_or_else(PoisonError::into_inner) = model;
        }
    }

    /// All models, and those that are loaded.
    pub fn all(&self) -> impl Iterator<Item = (&Offer, Option<Arc<Model>>)> {
        self.entries.iter().enumerate().map(|(index, entry)| (&entry.offer, self.loaded(index)))
    }

    /// What a model is called: as it was asked for, if it has that name.
    pub fn called<'a>(&'a self, index: usize, asked: Option<&'a str>) -> &'a str {
        let names = self.entries.get(index).map_or(&[][..], |entry| &entry.offer.names);
        let first = names.first().map_or("model", String::as_str);
        asked.filter(|name| has(names, name)).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(names: &[&[&str]]) -> Catalog {
        let offer =
            |names: &&[&str]| Offer { names: names.iter().map(|n| (*n).to_owned()).collect(), bytes: 0 };
        Catalog::new(names.iter().map(offer).collect())
    }

    #[test]
    fn one_model_is_meant_by_any_name_and_several_by_theirs() {
        let one = catalog(&[&["a", "b"]]);
        let index = |catalog: &Catalog, name: &str, strict| catalog.find(Some(name), strict).ok();
        assert_eq!(
            (index(&one, "b", true), index(&one, "gpt", false), index(&one, "gpt", true)),
            (Some(0), Some(0), None)
        );
        let two = catalog(&[&["a"], &["b:1", "c"]]);
        assert_eq!((index(&two, "c:latest", true), index(&two, "b:1", false)), (Some(1), Some(1)));
        assert_eq!((index(&two, "gpt", false), index(&two, "", true)), (None, Some(0)));
        assert_eq!(
            (two.called(1, Some("c")), two.called(1, Some("gpt")), two.called(0, None)),
            ("c", "b:1", "a")
        );
        let refusal = two.find(Some("gpt"), false).unwrap_err();
        assert_eq!((refusal.kind, refusal.field.as_deref()), (Kind::NotFound, Some("model")));
        assert!(refusal.message.contains("'b:1'"), "{}", refusal.message);
    }
}
