//! What a server allows, whatever its model.

use std::time::Duration;

use super::Keys;
use super::library::Library;

/// The limits of a server.
#[derive(Debug)]
pub struct Settings {
    /// Who may ask; empty for everybody.
    pub keys: Keys,
    /// Whether texts of one key never begin with what was computed for another one's.
    pub isolate_keys: bool,
    /// Web pages whose scripts may ask, besides those that come from this server: origins as browsers send them, or '*'.
    pub origins: Vec<String>,
    /// The names that requests may call this server by, besides those of this machine for itself; `None` for any.
    pub hosts: Option<Vec<String>>,
    /// Whether there is a web page at `/`.
    pub page: bool,
    /// Whether `/slots` says how many texts are in progress.
    pub slots: bool,
    /// The most bytes of a request's body.
    pub max_body: usize,
    /// The most tokens of an answer; `None` for as many as fit.
    pub max_tokens: Option<usize>,
    /// The same of an answer whose request does not say.
    pub default_max_tokens: Option<usize>,
    /// Whether answers to chats have the prompt as it went to the model, even where it is not asked for.
    pub verbose: bool,
    /// Texts that go through the model together.
    pub parallel: usize,
    /// Texts that may wait for their turn.
    pub queue: usize,
    /// The most models that are loaded at once; `None` for as many as fit.
    pub models: Option<usize>,
    /// A model that has had no request for so long is unloaded; `None` for never.
    pub unload_after: Option<Duration>,
    /// The directory of models, if there is one.
    pub library: Option<Library>,
    /// How long texts in progress may take when the server is to end.
    pub drain: Duration,
}
