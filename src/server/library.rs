//! The directory of models of a server: what may be asked of it, and what is in progress there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc::Sender;

use super::log::Record;
use super::refusal::{Kind, Refusal};
use super::state::Shared;
use crate::hub::{self, Folder, Found, Hub, HubError, Name, Step};

/// The directory of models.
#[derive(Debug)]
pub struct Library {
    folder: Folder,
    /// Where models come from; none where requests may change nothing.
    hub: Option<Hub>,
    /// Repositories that are being fetched.
    running: Mutex<BTreeSet<String>>,
}

/// The most repositories that are fetched at once.
const MOST: usize = 4;

/// How often a pull reports bytes.
const TICK: Duration = Duration::from_millis(100);

impl Library {
    /// A directory; with a `hub`, requests may fetch models into it, name and remove them.
    pub fn new(folder: Folder, hub: Option<Hub>) -> Self {
        Self { folder, hub, running: Mutex::default() }
    }

    fn fetching(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        let kind = match error {
            HubError::Name { .. }
            | HubError::OllamaLibrary(_)
            | HubError::Address(_)
            | HubError::NoFile { .. }
            | HubError::Elsewhere(_) => Kind::Invalid,
            HubError::NotFound { .. } => Kind::NotFound,
            HubError::Refused { .. } => Kind::NotAllowed,
            HubError::Answer { .. } | HubError::Connection { .. } | HubError::Digest { .. } => {
                Kind::Elsewhere
            }
            HubError::Busy(_) | HubError::HasNames { .. } => Kind::Conflict,
            HubError::Stopped => Kind::Unavailable,
            HubError::NoTls(_) | HubError::Io { .. } | HubError::Names { .. } => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

/// What a pull sends to whoever asked for it.
#[derive(Debug)]
pub(super) enum Progress {
    Listing,
    File {
        id: String,
        done: u64,
        total: u64,
    },
    Verified,
    /// It can be asked for.
    Ended(Result<(), Refusal>),
}

/// A repository that is being fetched, until this is dropped.
pub(super) struct Fetching {
    shared: Arc<Shared>,
    name: Name,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some(library) = &self.shared.settings.library {
            library.fetching().remove(&self.name.repository());
        }
    }
}

/// The directory of a server whose requests may change it.
///
/// # Errors
/// It has none, or they may not.
fn allowed(shared: &Shared) -> Result<(&Folder, &Hub, &Library), Refusal> {
    let library = shared.settings.library.as_ref();
    let with_hub = library.and_then(|library| Some((&library.folder, library.hub.as_ref()?, library)));
    with_hub.ok_or_else(|| {
        let why = "this server fetches, names and removes no models; start it with --models-dir DIR --allow-pull, or \
                   fetch one by serve --models-dir DIR --pull NAME";
        Refusal::new(Kind::NotAllowed, why)
    })
}

/// Takes what is in the directory into the list of models.
fn refresh(shared: &Shared, folder: &Folder) -> Result<(), HubError> {
    shared.catalog.refresh(folder.scan()?);
    Ok(())
}

/// Begins to fetch a model.
///
/// # Errors
/// It may not be, is no name of one, or is being fetched.
pub(super) fn begin(shared: &Arc<Shared>, name: &str) -> Result<Fetching, Refusal> {
    let (_, _, library) = allowed(shared)?;
    let name = Name::parse(name).map_err(|error| Refusal { field: Some("model".into()), ..error.into() })?;
    let mut running = library.fetching();
    if running.contains(&name.repository()) {
        return Err(HubError::Busy(name.repository()).into());
    }
    if running.len() >= MOST {
        let why = format!("{MOST} models are being fetched already; wait for the end of one");
        return Err(Refusal::new(Kind::Busy, why).retry_after(60));
    }
    running.insert(name.repository());
    drop(running);
    Ok(Fetching { shared: Arc::clone(shared), name })
}

impl Fetching {
    /// Fetches it, and offers it. Ends early where no one reads any longer, or the server is about to end.
    pub fn run(self, listener: &Sender<Progress>) {
        let start = Instant::now();
        let ended = self.fetch(listener).map_err(Refusal::from);
        let mut fields = vec![("model", json!(self.name.to_string()))];
        fields.push(("ms", json!(start.elapsed().as_millis() as u64)));
        if let Err(refusal) = &ended {
            fields.push(("error", json!(refusal.message)));
        }
        self.shared.log(&Record { what: "model pulled", fields });
        // Another pull of it may begin as soon as this one's end is known.
        drop(self);
        let _ = listener.blocking_send(Progress::Ended(ended));
    }

    fn fetch(&self, listener: &Sender<Progress>) -> Result<(), HubError> {
        let Ok((folder, hub, _)) = allowed(&self.shared) else { return Err(HubError::Stopped) };
        let mut last: Option<(String, Instant)> = None;
        let mut watch = |step: Step| {
            let progress = match step {
                Step::Listing => Progress::Listing,
                Step::Verified => Progress::Verified,
                Step::File { id, done, total } => {
                    let is_fresh = last.as_ref().is_some_and(|(of, at)| of == id && at.elapsed() < TICK);
                    if !is_fresh || done == total {
                        last = Some((id.to_owned(), Instant::now()));
                        // Of a reader that is slow some are left out.
                        let _ = listener.try_send(Progress::File { id: id.to_owned(), done, total });
                    }
                    return !listener.is_closed() && !self.shared.is_ending();
                }
            };
            let _ = listener.try_send(progress);
            !listener.is_closed() && !self.shared.is_ending()
        };
        let pulled = hub::pull(hub, folder, &self.name, &mut watch)?;
        let found = folder.scan()?;
        if let Some(model) = found.iter().find(|model| model.path == pulled.path) {
            let asked = self.name.to_string();
            if !model.names.iter().any(|name| name.eq_ignore_ascii_case(&asked)) {
                folder.give(model, &asked)?;
            }
        }
        refresh(&self.shared, folder)?;
        // What was loaded before are the old files.
        if let Some(number) = self.shared.catalog.at(&pulled.path).filter(|_| pulled.is_new) {
            self.shared.unload(number);
        }
        Ok(())
    }
}

/// The number of a model by one of its names, and what it is in the directory.
fn found(shared: &Shared, folder: &Folder, name: &str) -> Result<(usize, Found), Refusal> {
    let number = shared.catalog.find(Some(name), true)?;
    let path = shared.catalog.get(number).and_then(|(offer, _)| offer.path);
    let found = folder.scan()?.into_iter().find(|found| Some(&found.path) == path.as_ref());
    found.map(|found| (number, found)).ok_or_else(|| HubError::Elsewhere(name.to_owned()).into())
}

/// Gives a model another name.
///
/// # Errors
/// It may not be, there is no such model in the directory, or the name cannot be.
pub(super) fn copy(shared: &Shared, source: &str, destination: &str) -> Result<(), Refusal> {
    let (folder, ..) = allowed(shared)?;
    let (_, model) = found(shared, folder, source)?;
    if let Ok(number) = shared.catalog.find(Some(destination), true)
        && shared.catalog.get(number).is_some_and(|(offer, _)| !offer.is_found)
    {
        let why = format!("'{destination}' is the name of a model that this server was started with");
        return Err(Refusal::field("destination", why));
    }
    folder.give(&model, destination)?;
    Ok(refresh(shared, folder)?)
}

/// Removes a name that was given to a model, or a model with its files.
///
/// # Errors
/// It may not be, there is no such model in the directory, it is in use or being fetched, or has other names.
pub(super) async fn delete(shared: &Arc<Shared>, name: &str) -> Result<(), Refusal> {
    let (folder, _, library) = allowed(shared)?;
    if folder.take(name)? {
        return Ok(refresh(shared, folder)?);
    }
    let (number, model) = found(shared, folder, name)?;
    let repository = model.names[0].split(':').next().unwrap_or_default();
    if library.fetching().contains(repository) {
        return Err(HubError::Busy(repository.to_owned()).into());
    }
    folder.may_remove(&model)?;
    shared.remove(number).await?;
    let of_thread = folder.clone();
    let removed = tokio::task::spawn_blocking(move || of_thread.remove(&model)).await;
    refresh(shared, folder)?;
    removed.map_err(|_| Refusal::new(Kind::Failed, "the files could not be removed"))??;
    Ok(())
}
