//! Which models are meant by the arguments, and what they are called.

use std::path::Path;

use anyhow::{Result, bail};

use crate::server::Offer;

/// `PATH`, or `NAME=PATH`; a path that there is, is one, whatever signs are in it.
fn parts(given: &str) -> (Option<&str>, &Path) {
    match given.split_once('=') {
        Some((name, path)) if !Path::new(given).exists() && !name.is_empty() && !name.contains('/') => {
            (Some(name), Path::new(path))
        }
        _ => (None, Path::new(given)),
    }
}

/// The name of a model's file without what says the format.
fn of_path(path: &Path) -> Option<String> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name()?.to_string_lossy().into_owned();
    let bare = [".gguf", ".safetensors", ".packed"].iter().find_map(|end| name.strip_suffix(end));
    Some(bare.map_or_else(|| name.clone(), str::to_owned))
}

/// Bytes of a file, or of the files of a directory.
fn bytes(path: &Path) -> u64 {
    let of = |path: &Path| path.metadata().map_or(0, |data| data.len());
    match path.read_dir() {
        Ok(entries) => entries.flatten().map(|entry| of(&entry.path())).sum(),
        Err(_) => of(path),
    }
}

/// All of them; where there are none, the demo model if `is_demo`. Aliases are names of the only model; several models have their names with their paths.
///
/// # Errors
/// A path that there is not, two models of one name, aliases of several models.
pub fn all(paths: &[String], aliases: &[String], is_demo: bool) -> Result<Vec<Offer>> {
    if paths.len() > 1 && !aliases.is_empty() {
        bail!("--alias names one model; with several, write the name before each path: -m NAME=PATH");
    }
    if paths.is_empty() && !is_demo {
        if !aliases.is_empty() {
            bail!(
                "--alias names the model of -m; give one, or the models of --models-dir names by POST /api/copy"
            );
        }
        return Ok(Vec::new());
    }
    if paths.is_empty() {
        let names = if aliases.is_empty() { vec!["demo".to_owned()] } else { aliases.to_vec() };
        return Ok(vec![Offer { names, bytes: 0, path: None, is_found: false }]);
    }
    let mut all: Vec<Offer> = Vec::new();
    for given in paths {
        let (name, path) = parts(given);
        if paths.len() > 1 && !path.exists() {
            bail!("there is no model at '{}'; check the path", path.display());
        }
        let own = name.map(str::to_owned).or_else(|| of_path(path)).unwrap_or_else(|| "model".to_owned());
        let names = if aliases.is_empty() { vec![own] } else { aliases.to_vec() };
        if all.iter().any(|other| other.names.iter().any(|other| names.contains(other))) {
            bail!("two models are called '{}'; write another name before one path: -m NAME=PATH", names[0]);
        }
        all.push(Offer { names, bytes: bytes(path), path: Some(path.to_owned()), is_found: false });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn models_have_the_names_that_are_given_or_those_of_their_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.gguf", "b=c.gguf"] {
            std::fs::write(folder.path().join(name), b"12345").unwrap();
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let of = |paths: &[String], aliases: &[&str]| all(paths, &strings(aliases), true);
        let names = |offers: Vec<Offer>| offers.into_iter().map(|o| o.names).collect::<Vec<_>>();
        assert_eq!(names(of(&[], &[]).unwrap()), [["demo"]]);
        assert_eq!(names(of(&[path("a.gguf")], &["x", "y"]).unwrap()), [["x", "y"]]);
        let two = of(&[format!("m={}", path("a.gguf")), path("b=c.gguf")], &[]).unwrap();
        assert_eq!((two[0].bytes, two[1].path.as_deref().map(Path::exists)), (5, Some(true)));
        assert_eq!(names(two), [["m"], ["b=c"]]);
        for (paths, aliases, part) in [
            (vec![path("a.gguf"), path("a.gguf")], &[][..], "'a'"),
            (vec![path("a.gguf"), path("none.gguf")], &[], "none.gguf"),
            (vec![path("a.gguf"), path("b=c.gguf")], &["x"], "--alias"),
        ] {
            let error = of(&paths, aliases).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
