//! The models in a directory, and how they are called.
//!
//! A GGUF file or a checkpoint's directory is in it, or two levels below as `OWNER/REPO`. A file `names.json` gives some of
//! them further names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::choice::{quant, stem, usual};
use super::download::{failed, is_unfinished};
use super::name::{is_plain, without_host};
use super::{HubError, Name, checkpoint};
use crate::format::OutputFile;

/// A directory of models.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// A model that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is called; the first name is its own, and the others may be given and taken.
    pub names: Vec<String>,
    /// Its file (the first part of several), or its directory.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
}

/// The file of names.
const NAMES: &str = "names.json";

/// Converted weights beside a model.
const PACKED: &str = ".llm_rs2";

/// What is in a directory and has a plain name, in the order of names.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.retain(|name| !name.starts_with('.') && !name.chars().any(char::is_control));
    names.sort();
    names
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

fn is_checkpoint(folder: &Path) -> bool {
    folder.join("config.json").is_file() && entries(folder).iter().any(|file| checkpoint::is_weights(file))
}

/// The files of the model whose first part `path` is.
fn parts(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stem, _, count)) = stem(name) else { return vec![path.to_owned()] };
    if name.len() == stem.len() + ".gguf".len() {
        return vec![path.to_owned()];
    }
    (1..=count).map(|n| path.with_file_name(format!("{stem}-{n:05}-of-{count:05}.gguf"))).collect()
}

/// The models in one directory; `repository` is `OWNER/REPO` below the root, and empty in it.
fn models(folder: &Path, repository: &str, found: &mut Vec<Found>) {
    let files = entries(folder);
    let firsts: Vec<(&str, &str)> = files
        .iter()
        .filter_map(|file| Some((file.as_str(), stem(file)?)))
        .filter(|(file, (_, number, _))| {
            *number == 1 && !file.to_ascii_lowercase().contains("mmproj") && folder.join(file).is_file()
        })
        .map(|(file, (stem, ..))| (file, stem))
        .collect();
    let usual = usual(firsts.iter().map(|(_, stem)| *stem));
    let mut tags = BTreeSet::new();
    for (file, stem) in &firsts {
        let path = folder.join(file);
        // Two files may be quantized alike.
        let tag = quant(stem).filter(|tag| tags.insert(tag.to_ascii_uppercase())).unwrap_or(stem);
        let mut names = match repository {
            "" => vec![(*stem).to_owned()],
            _ => vec![format!("{repository}:{tag}")],
        };
        if !repository.is_empty() && usual == Some(stem) {
            names.push(repository.to_owned());
        }
        let bytes = parts(&path).iter().map(|part| size(part)).sum();
        found.push(Found { names, path, bytes });
    }
}

/// A checkpoint.
fn directory(folder: &Path, name: String) -> Found {
    let files = entries(folder);
    let files = files.iter().filter(|file| checkpoint::is_part(file));
    let bytes = files.map(|file| size(&folder.join(file))).sum();
    Found { names: vec![name], path: folder.to_owned(), bytes }
}

impl Folder {
    /// The directory at `root`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(root: &Path) -> Result<Self, HubError> {
        fs::read_dir(root).map_err(failed("read", root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the files of a model of a hub are.
    pub(super) fn place(&self, name: &Name) -> PathBuf {
        self.root.join(&name.owner).join(&name.repo)
    }

    /// Whether a directory really is in this one: links could lead elsewhere.
    pub(super) fn check(&self, place: &Path) -> Result<(), HubError> {
        let root = self.root.canonicalize().map_err(failed("read", &self.root))?;
        let real = place.canonicalize().map_err(failed("read", place))?;
        if real.starts_with(root) { Ok(()) } else { Err(HubError::Elsewhere(place.display().to_string())) }
    }

    /// All models, in the order of their names.
    ///
    /// # Errors
    /// A file of names that is none.
    pub fn scan(&self) -> Result<Vec<Found>, HubError> {
        let mut found = Vec::new();
        models(&self.root, "", &mut found);
        for owner in entries(&self.root) {
            let owned = self.root.join(&owner);
            if is_checkpoint(&owned) {
                found.push(directory(&owned, owner));
                continue;
            }
            for repo in entries(&owned) {
                let (folder, name) = (owned.join(&repo), format!("{owner}/{repo}"));
                let before = found.len();
                models(&folder, &name, &mut found);
                if found.len() == before && is_checkpoint(&folder) {
                    found.push(directory(&folder, name));
                }
            }
        }
        found.sort_by(|a, b| a.names[0].cmp(&b.names[0]));
        let given = self.names()?;
        for model in &mut found {
            let own = model.names[0].clone();
            model.names.extend(given.iter().filter(|(_, to)| **to == own).map(|(name, _)| name.clone()));
        }
        Ok(found)
    }

    /// Names that were given to models, with these models' own.
    fn names(&self) -> Result<BTreeMap<String, String>, HubError> {
        let path = self.root.join(NAMES);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| HubError::Names { path, why: error.to_string() }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn keep(&self, names: &BTreeMap<String, String>) -> Result<(), HubError> {
        let path = self.root.join(NAMES);
        let text = serde_json::to_string_pretty(names).unwrap_or_default();
        let failed = |why: String| HubError::Io {
            action: "write",
            path: path.clone(),
            source: std::io::Error::other(why),
        };
        let output = OutputFile::create(&path).map_err(|error| failed(error.to_string()))?;
        output.file().write_all(text.as_bytes()).map_err(|error| failed(error.to_string()))?;
        output.finish().map(drop).map_err(|error| failed(error.to_string()))
    }

    /// Gives a model another name; one that another model was given goes over to it.
    ///
    /// # Errors
    /// No name, one that is a model's own, a file that cannot be written.
    pub fn give(&self, model: &Found, name: &str) -> Result<(), HubError> {
        let wrong = |why| HubError::Name { given: name.chars().take(200).collect(), why };
        let bare = without_host(name).strip_suffix(":latest").unwrap_or(without_host(name));
        let parts: Vec<&str> = bare.split(['/', ':']).collect();
        if parts.len() > 3 || !parts.iter().all(|part| is_plain(part)) {
            return Err(wrong(
                "a name is made of letters, digits, '-', '_' and '.', with '/' and ':' between its parts",
            ));
        }
        if model.names.iter().any(|own| own == bare) {
            return Ok(());
        }
        if self.scan()?.iter().any(|other| other.names[0].eq_ignore_ascii_case(bare)) {
            return Err(wrong("a model in the directory has it as its own"));
        }
        let mut names = self.names()?;
        names.insert(bare.to_owned(), model.names[0].clone());
        self.keep(&names)
    }

    /// Takes one of the names that were given. Whether there was such a one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn take(&self, name: &str) -> Result<bool, HubError> {
        let bare = without_host(name).strip_suffix(":latest").unwrap_or(without_host(name));
        let mut names = self.names()?;
        let removed = names.remove(bare).is_some();
        if removed {
            self.keep(&names)?;
        }
        Ok(removed)
    }

    /// Whether a model may be removed: it is in the directory, and no name that was given leads to it.
    ///
    /// # Errors
    /// It may not.
    pub fn may_remove(&self, model: &Found) -> Result<(), HubError> {
        let own = &model.names[0];
        let names = self.names()?;
        let others: Vec<String> =
            names.iter().filter(|(_, to)| *to == own).map(|(name, _)| format!("'{name}'")).collect();
        if !others.is_empty() {
            return Err(HubError::HasNames { name: own.clone(), others: others.join(", ") });
        }
        self.check(model.path.parent().unwrap_or(&self.root))
    }

    /// Removes the files of a model, and the directories that are empty then.
    ///
    /// # Errors
    /// As [`Self::may_remove`], and what the system answers.
    pub fn remove(&self, model: &Found) -> Result<(), HubError> {
        self.may_remove(model)?;
        let gone = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        };
        let is_directory = model.path.is_dir();
        let folder = if is_directory { &model.path } else { model.path.parent().unwrap_or(&self.root) };
        if is_directory {
            // Of config.json the model is known to be there: it goes first.
            gone(&folder.join("config.json"))?;
            for part in entries(folder).iter().filter(|file| checkpoint::is_part(file)) {
                gone(&folder.join(part))?;
            }
            for below in checkpoint::FOLDERS {
                for file in entries(&folder.join(below)) {
                    let path = format!("{below}/{file}");
                    if checkpoint::is_part(&path) {
                        gone(&folder.join(path))?;
                    }
                }
                let _ = fs::remove_dir(folder.join(below));
            }
        } else {
            for part in parts(&model.path) {
                gone(&part)?;
            }
        }
        if folder != self.root {
            self.tidy(folder);
        }
        Ok(())
    }

    /// Removes a directory of which nothing is left but what was made here, and the one that it is in.
    fn tidy(&self, folder: &Path) {
        let left = || fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let is_ours = |name: &str| name == PACKED || is_unfinished(name);
        if !left().all(|name| name.to_str().is_some_and(is_ours)) {
            return;
        }
        for name in left() {
            let path = folder.join(name);
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        let _ = fs::remove_dir(folder);
        if let Some(owner) = folder.parent().filter(|owner| *owner != self.root) {
            let _ = fs::remove_dir(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        let folder = Folder::open(dir.path()).unwrap();
        (dir, folder)
    }

    fn names(folder: &Folder) -> Vec<Vec<String>> {
        folder.scan().unwrap().into_iter().map(|found| found.names).collect()
    }

    #[test]
    fn models_are_called_by_their_place() {
        let (_dir, folder) = folder(&[
            "top.gguf",
            "plain/config.json",
            "plain/model.safetensors",
            "a/b/M-Q8_0.gguf",
            "a/b/M-Q4_K_M-00001-of-00002.gguf",
            "a/b/M-Q4_K_M-00002-of-00002.gguf",
            "a/b/mmproj-F16.gguf",
            "a/c/config.json",
            "a/c/model-00001-of-00001.safetensors",
            "a/d/config.json",
            "a/e/.M-Q8_0.gguf.0123.partial",
            "a/f/deep/M.gguf",
            "readme.txt",
        ]);
        assert_eq!(
            names(&folder),
            [vec!["a/b:Q4_K_M", "a/b"], vec!["a/b:Q8_0"], vec!["a/c"], vec!["plain"], vec!["top"]]
        );
        assert_eq!(folder.scan().unwrap()[0].bytes, 10);
    }

    #[test]
    fn names_are_given_and_taken() {
        let (dir, folder) = folder(&["a/b/M-Q8_0.gguf", "top.gguf"]);
        let found = folder.scan().unwrap();
        folder.give(&found[0], "mine:latest").unwrap();
        assert_eq!(names(&folder), [vec!["a/b:Q8_0", "a/b", "mine"], vec!["top"]]);
        for bad in ["", "../x", "a/b/c/d", "x y", "/etc", "top", "TOP", "a\nb"] {
            assert!(folder.give(&found[0], bad).is_err(), "{bad}");
        }
        let why = folder.remove(&found[0]).unwrap_err().to_string();
        assert!(why.contains("'mine'") && found[0].path.exists(), "{why}");
        assert_eq!((folder.take("mine").unwrap(), folder.take("mine").unwrap()), (true, false));
        fs::write(dir.path().join("names.json"), "[").unwrap();
        assert!(folder.scan().unwrap_err().to_string().contains("names.json"));
    }

    #[test]
    fn a_model_goes_with_all_that_is_its_own() {
        let (dir, folder) = folder(&[
            "a/b/M-Q4_0-00001-of-00002.gguf",
            "a/b/M-Q4_0-00002-of-00002.gguf",
            "a/b/.llm_rs2/x.packed",
            "a/c/config.json",
            "a/c/model.safetensors",
            "a/c/1_Pooling/config.json",
            "a/c/notes.txt",
        ]);
        for found in folder.scan().unwrap() {
            folder.remove(&found).unwrap();
        }
        let there = |path: &str| dir.path().join(path).exists();
        assert!(!there("a/b") && !there("a/c/config.json") && !there("a/c/1_Pooling"));
        assert!(there("a/c/notes.txt"), "it is the user's");
    }

    #[test]
    fn what_a_link_leads_to_stays() {
        let (elsewhere, _) = folder(&["b/M-Q4_0.gguf"]);
        let (dir, folder) = folder(&["x.gguf"]);
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("a")).unwrap();
        let found = folder.scan().unwrap();
        assert_eq!(found[0].names[0], "a/b:Q4_0");
        let why = folder.remove(&found[0]).unwrap_err().to_string();
        assert!(
            why.contains("not in the directory") && elsewhere.path().join("b/M-Q4_0.gguf").exists(),
            "{why}"
        );
        assert!(folder.check(&folder.place(&Name::parse("a/b").unwrap())).is_err());
    }
}
