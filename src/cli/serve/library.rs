//! The directory of models, and the hub that they come from.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::args::Args;
use crate::cli::interrupt;
use crate::cli::notice::say;
use crate::cli::progress::Progress;
use crate::hub::{self, Folder, Hub, HubError, Name, Step};
use crate::server::{self, Offer};

/// Where models come from unless something else is said.
const USUAL: &str = "https://huggingface.co";

/// The hub that `args` or the environment name.
fn hub(args: &Args) -> Result<Hub> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let address = args.hub.clone().or_else(|| variable("HF_ENDPOINT")).unwrap_or_else(|| USUAL.to_owned());
    Ok(Hub::new(&address, variable("HF_TOKEN"))?)
}

/// Fetches the model that `--pull` names, unless it is there: its file or directory.
fn fetched(args: &Args, folder: &Folder, given: &str) -> Result<PathBuf> {
    let name = Name::parse(given)?;
    let asked = name.to_string();
    let called = |found: &&hub::Found| found.names.iter().any(|name| name.eq_ignore_ascii_case(&asked));
    if let Some(found) = folder.scan()?.iter().find(called) {
        return Ok(found.path.clone());
    }
    let mut progress = Progress::new("Fetching the model", args.quiet);
    // Files of a model come one after the other: the bar shows each.
    let mut watch = |step: Step| {
        if let Step::File { done, total, .. } = step {
            progress.set(done, total);
        }
        !interrupt::requested()
    };
    let pulled = hub::pull(&hub(args)?, folder, &name, &mut watch);
    progress.finish();
    let pulled = pulled.with_context(|| format!("cannot fetch '{asked}'"))?;
    let found = folder.scan()?.into_iter().find(|found| found.path == pulled.path);
    if let Some(found) = found.filter(|found| !called(&found)) {
        folder.give(&found, &asked)?;
    }
    if !args.quiet {
        say(&format!("fetched '{asked}' to {}", pulled.path.display()));
    }
    Ok(pulled.path)
}

/// Adds the models of `--models-dir` to those of `-m`, the one of `--pull` before all others. Also whether the first of all
/// is to be loaded at once.
///
/// # Errors
/// A directory that cannot be read, a hub that cannot be asked, no model at all.
pub fn with_library(
    args: &Args,
    mut offers: Vec<Offer>,
) -> Result<(Vec<Offer>, Option<server::Library>, bool)> {
    let Some(root) = &args.models_dir else { return Ok((offers, None, true)) };
    let folder = Folder::open(root)?;
    let hub = args.allow_pull.then(|| hub(args)).transpose()?;
    let first = args.pull.as_deref().map(|name| fetched(args, &folder, name)).transpose()?;
    // Of a path that is given and is in the directory, the name that is given counts.
    let real = |offer: &Offer| offer.path.as_ref().and_then(|path| path.canonicalize().ok());
    let given: Vec<Option<PathBuf>> = offers.iter().map(real).collect();
    let mut found: Vec<Offer> = folder.scan()?.into_iter().map(Offer::from).collect();
    found.retain(|offer| !given.contains(&real(offer)));
    let is_first = |offer: &Offer| first.is_some() && offer.path == first;
    found.sort_by_key(|offer| !is_first(offer));
    let is_wanted = !offers.is_empty() || first.is_some();
    let place = if first.is_some() { 0 } else { offers.len() };
    offers.splice(place..place, found);
    if offers.is_empty() && hub.is_none() {
        bail!(
            "there is no model in '{}'; put a GGUF file or a checkpoint's directory into it, fetch one with --pull \
             OWNER/REPO:QUANT, or let clients do so with --allow-pull",
            root.display()
        );
    }
    Ok((offers, Some(server::Library::new(folder, hub)), is_wanted))
}

/// An address of a hub.
pub(super) fn address(text: &str) -> Result<String, String> {
    match Hub::new(text, None) {
        // What this program was built without is said where it is needed.
        Ok(_) | Err(HubError::NoTls(_)) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The name of a model on a hub.
pub(super) fn name(text: &str) -> Result<String, String> {
    Name::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
