//! The models that a server has, loaded or not.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::model::Model;
use super::refusal::{Kind, Refusal};
use crate::hub::Found;

/// A model that may be asked for.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The names it goes by; the first one is reported.
    pub names: Vec<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its file or directory, for whoever loads it; none for a model in the program.
    pub path: Option<PathBuf>,
    /// Whether it comes from the directory of models, and goes when it is not there any longer.
    pub is_found: bool,
}

impl From<Found> for Offer {
    fn from(found: Found) -> Self {
        Self { names: found.names, bytes: found.bytes, path: Some(found.path), is_found: true }
    }
}

/// All of them, in the order in which they came. A model keeps its number as long as it is there, and no other has had it.
pub(super) struct Catalog {
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    all: Vec<Entry>,
    /// The number of the next one.
    next: usize,
}

struct Entry {
    number: usize,
    offer: Offer,
    loaded: Option<Arc<Model>>,
}

impl Entries {
    fn add(&mut self, offer: Offer) {
        self.all.push(Entry { number: self.next, offer, loaded: None });
        self.next += 1;
    }

    fn of(&self, number: usize) -> Option<&Entry> {
        self.all.iter().find(|entry| entry.number == number)
    }
}

/// A name without what clients of Ollama write around it: `hf.co/name:latest` is `name`.
fn bare(name: &str) -> &str {
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let hosts = ["hf.co/", "huggingface.co/"];
    hosts.iter().find_map(|host| name.strip_prefix(host)).unwrap_or(name)
}

/// Whether a model of `names` is meant by `name`.
fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|own| own == name || own.eq_ignore_ascii_case(bare(name)))
}

impl Catalog {
    pub fn new(offers: Vec<Offer>) -> Self {
        let mut entries = Entries::default();
        offers.into_iter().for_each(|offer| entries.add(offer));
        Self { entries: RwLock::new(entries) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which model has this name. Without a name the first one is meant. Where there is one only, it is meant by any name,
    /// unless names are `strict`: many clients always ask for the same.
    ///
    /// # Errors
    /// A name that no model has.
    pub fn find(&self, name: Option<&str>, strict: bool) -> Result<usize, Refusal> {
        let entries = self.read();
        let missing = |why: String| {
            Err(Refusal { field: Some("model".to_owned()), ..Refusal::new(Kind::NotFound, why) })
        };
        let Some(first) = entries.all.first() else {
            return missing("this server has no model yet; give it one by POST /api/pull".to_owned());
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(first.number) };
        let exact = || entries.all.iter().find(|entry| entry.offer.names.iter().any(|own| own == name));
        let found = exact().or_else(|| entries.all.iter().find(|entry| has(&entry.offer.names, name)));
        if let Some(entry) = found.or((entries.all.len() == 1 && !strict).then_some(first)) {
            return Ok(entry.number);
        }
        let names = entries.all.iter().flat_map(|entry| &entry.offer.names);
        let names = names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        missing(format!("this server has no model '{name}'; it has {names}"))
    }

    /// A model, loaded or not, if it is there.
    pub fn get(&self, number: usize) -> Option<(Offer, Option<Arc<Model>>)> {
        self.read().of(number).map(|entry| (entry.offer.clone(), entry.loaded.clone()))
    }

    /// A model, if it is loaded.
    pub fn loaded(&self, number: usize) -> Option<Arc<Model>> {
        self.read().of(number)?.loaded.clone()
    }

    /// From now on a model is loaded, or is not.
    pub fn set(&self, number: usize, model: Option<Arc<Model>>) {
        if let Some(entry) = self.write().all.iter_mut().find(|entry| entry.number == number) {
            entry.loaded = model;
        }
    }

    /// A model cannot be asked for any longer.
    pub fn remove(&self, number: usize) {
        self.write().all.retain(|entry| entry.number != number);
    }

    /// What is in the directory of models now: new ones can be asked for, others have other names. One that is gone and
    /// loaded stays until it is [removed](Self::remove).
    pub fn refresh(&self, found: Vec<Found>) {
        let mut entries = self.write();
        let is_there =
            |entry: &Entry| found.iter().any(|found| entry.offer.path.as_ref() == Some(&found.path));
        entries.all.retain(|entry| !entry.offer.is_found || entry.loaded.is_some() || is_there(entry));
        for found in found {
            let known = entries.all.iter_mut().find(|entry| entry.offer.path.as_ref() == Some(&found.path));
            match known {
                Some(entry) if entry.offer.is_found => entry.offer = found.into(),
                Some(_) => {}
                None => entries.add(found.into()),
            }
        }
    }

    /// The number of the model at a path.
    pub fn at(&self, path: &std::path::Path) -> Option<usize> {
        let entries = self.read();
        entries.all.iter().find(|entry| entry.offer.path.as_deref() == Some(path)).map(|entry| entry.number)
    }

    /// All models, and those that are loaded.
    pub fn all(&self) -> Vec<(Offer, Option<Arc<Model>>)> {
        self.read().all.iter().map(|entry| (entry.offer.clone(), entry.loaded.clone())).collect()
    }

    /// What a model is called: as it was asked for, if it has that name.
    pub fn called(&self, number: usize, asked: Option<&str>) -> String {
        let entries = self.read();
        let names = entries.of(number).map_or(&[][..], |entry| &entry.offer.names);
        let first = names.first().map_or("model", String::as_str);
        asked.filter(|name| has(names, name)).unwrap_or(first).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(names: &[&str], path: &str, is_found: bool) -> Offer {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Offer { names, bytes: 0, path: Some(path.into()), is_found }
    }

    fn catalog(names: &[&[&str]]) -> Catalog {
        Catalog::new(names.iter().map(|names| offer(names, "", false)).collect())
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
            ("c".to_owned(), "b:1".to_owned(), "a".to_owned())
        );
        let refusal = two.find(Some("gpt"), false).unwrap_err();
        assert_eq!((refusal.kind, refusal.field.as_deref()), (Kind::NotFound, Some("model")));
        assert!(refusal.message.contains("'b:1'"), "{}", refusal.message);
    }

    #[test]
    fn models_come_and_go_and_keep_their_numbers() {
        let catalog = Catalog::new(vec![offer(&["given"], "g", false)]);
        let found = |names: &[&str], path: &str| Found {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            path: path.into(),
            bytes: 7,
        };
        let number = |name: &str| catalog.find(Some(name), true).ok();
        catalog.refresh(vec![found(&["a/b:Q8_0", "a/b"], "x"), found(&["other"], "g")]);
        assert_eq!(
            (number("hf.co/A/b:latest"), number("other"), number("a/b:q8_0")),
            (Some(1), None, Some(1))
        );
        catalog.refresh(vec![found(&["a/c"], "y"), found(&["a/b:Q8_0"], "x")]);
        assert_eq!(
            (number("a/b"), number("a/b:Q8_0"), number("a/c"), catalog.at("y".as_ref())),
            (None, Some(1), Some(2), Some(2))
        );
        catalog.refresh(vec![found(&["a/c"], "y")]);
        assert_eq!((number("a/b:Q8_0"), number("a/c"), number("given")), (None, Some(2), Some(0)));
        catalog.remove(2);
        catalog.refresh(vec![found(&["a/c"], "y")]);
        assert_eq!((number("a/c"), catalog.get(2).is_none()), (Some(3), true));
        let empty = Catalog::new(Vec::new());
        assert!(empty.find(None, false).unwrap_err().message.contains("/api/pull"));
    }
}
