//! What is evaluated: a text as the model's tokens, or ids as they are given.

use std::fs::File;
use std::io::stdin;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::args::Args;
use crate::cli::prompt::from_reader;
use crate::engine::ModelFiles;
use crate::eval::Sequence;

/// The tokens that the arguments name.
///
/// # Errors
/// A file that is not there or is no text, or fewer tokens than can be scored.
pub fn read(args: &Args, files: &ModelFiles) -> Result<Sequence> {
    match (&args.file, &args.teacher_force) {
        (Some(path), _) => text(path, files),
        (None, Some(ids)) => {
            let ids = ids_of(ids)?;
            ensure!(
                ids.len() > 1 || args.dump_logits_topk.is_some(),
                "one token has no likelihood; give two ids or more, or ask with --dump-logits-topk for what follows it"
            );
            Ok(Sequence { prefix: None, ids, to_the_end: true })
        }
        (None, None) => {
            bail!("there is nothing to evaluate; give a text with --file, or ids with --teacher-force")
        }
    }
}

fn text(path: &Path, files: &ModelFiles) -> Result<Sequence> {
    let (text, name) = if path == Path::new("-") {
        (from_reader(stdin(), "standard input")?, "standard input".to_owned())
    } else {
        open(path)?
    };
    ensure!(!text.is_empty(), "{name} is empty; give a text of two tokens or more");
    let mut ids = files.encode_text(&text).with_context(|| format!("cannot take {name} apart"))?;
    // What texts of this model begin with stands before every window.
    let prefix = files.bos.filter(|bos| ids.first() == Some(bos));
    if prefix.is_some() {
        ids.remove(0);
    }
    ensure!(ids.len() > 1, "{name} has only one token; give a text of two tokens or more");
    Ok(Sequence { prefix, ids, to_the_end: false })
}

/// What a file holds, and its name.
fn open(path: &Path) -> Result<(String, String)> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    Ok((from_reader(file, &name)?, name))
}

/// A list of ids, or what a file of that name holds.
fn ids_of(argument: &str) -> Result<Vec<u32>> {
    let path = Path::new(argument);
    let (text, name) =
        if path.is_file() { open(path)? } else { (argument.to_owned(), format!("'{argument}'")) };
    let list = text.trim().trim_start_matches('[').trim_end_matches(']');
    let words = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let ids = words
        .map(|word| {
            let id = word.parse().ok();
            id.with_context(|| {
                format!("{name} is neither a file nor a list of token ids like 1,15,7: '{word}'")
            })
        })
        .collect::<Result<Vec<u32>>>()?;
    ensure!(!ids.is_empty(), "{name} holds no token ids; give a list like 1,15,7");
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_lists_and_files() {
        assert_eq!(ids_of("1,15, 7").unwrap(), [1, 15, 7]);
        assert_eq!(ids_of("[3]").unwrap(), [3]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.txt");
        std::fs::write(&path, "[5, 6,\n 7]\n").unwrap();
        assert_eq!(ids_of(path.to_str().unwrap()).unwrap(), [5, 6, 7]);
        std::fs::write(&path, "once upon").unwrap();
        let error = ids_of(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("ids.txt") && error.contains("'once'"), "{error}");
        assert!(ids_of("-1").unwrap_err().to_string().contains("'-1' is neither a file nor a list"));
        assert!(ids_of("").unwrap_err().to_string().contains("holds no token ids"));
    }
}
