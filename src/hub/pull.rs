//! A model from a hub into a directory.

use std::fs;

use super::choice::choose;
use super::download::{failed, fetch};
use super::{Folder, Hub, HubError, Name};

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The hub is asked what there is.
    Listing,
    /// A file comes.
    File {
        /// Of its contents, in hexadecimal: a sha256, or Git's id where the hub lists no other.
        id: &'a str,
        /// Bytes that are there.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All files have come, and have the digests that the hub lists.
    Verified,
}

/// What a pull has brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The file in the directory, or directory in it, that is the model.
    pub path: std::path::PathBuf,
    /// Whether anything had to be fetched.
    pub is_new: bool,
}

/// Fetches a model; what is there already is compared with its digest and stays. `watch` hears of every step, and stops all
/// with `false`.
///
/// # Errors
/// What [`HubError`] says. Of a file that could not be fetched to its end what has come stays, and the next pull goes on from
/// there.
pub fn pull(
    hub: &Hub,
    folder: &Folder,
    name: &Name,
    watch: &mut dyn FnMut(Step) -> bool,
) -> Result<Pulled, HubError> {
    if !watch(Step::Listing) {
        return Err(HubError::Stopped);
    }
    let files = choose(name, &hub.listing(name)?)?;
    let place = folder.place(name);
    if let Some(owner) = place.parent().filter(|owner| owner.exists()) {
        folder.check(owner)?;
    }
    let mut is_new = false;
    for file in &files {
        let target = place.join(file.target());
        let parent = target.parent().unwrap_or(&place);
        fs::create_dir_all(parent).map_err(failed("write", parent))?;
        folder.check(parent)?;
        let mut report = |done| watch(Step::File { id: &file.id, done, total: file.size });
        is_new |= fetch(hub, name, file, &target, &mut report)?;
        if !report(file.size) {
            return Err(HubError::Stopped);
        }
    }
    watch(Step::Verified);
    // The first part, or config.json.
    let last = files.last().map_or("", |file| file.target());
    let path = if last.ends_with(".gguf") { place.join(last) } else { place };
    Ok(Pulled { path, is_new })
}
