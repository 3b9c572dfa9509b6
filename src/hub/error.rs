//! What can go wrong between a hub and a directory.

use std::io;
use std::path::PathBuf;

/// Why a model cannot be fetched, named or removed. Each message is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No name of a model on a hub.
    #[error("'{given}' is no name of a model: {why}")]
    Name {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name of Ollama's own library.
    #[error(
        "'{0}' is a name of Ollama's own library, which is not read here; give a repository of a hub with GGUF files or a \
         checkpoint, as OWNER/REPO or OWNER/REPO:QUANT, such as hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"
    )]
    OllamaLibrary(String),
    /// An address that is none of a hub.
    #[error("'{0}' is no address of a hub; give one such as https://huggingface.co, and a token by HF_TOKEN")]
    Address(String),
    /// This program speaks no TLS.
    #[error(
        "'{0}' needs TLS, which this program was built without; build it with --features pull, or give a hub at an http:// \
         address"
    )]
    NoTls(String),
    /// The hub does not have it.
    #[error("the hub {hub} has no '{what}'; check the name")]
    NotFound {
        /// The hub's address.
        hub: String,
        /// The repository, or a file of it.
        what: String,
    },
    /// The hub wants to know who asks.
    #[error(
        "the hub {hub} does not give '{what}' to everybody; accept its terms there and start the server with a token of \
         yours in HF_TOKEN, or check the name"
    )]
    Refused {
        /// The hub's address.
        hub: String,
        /// The repository.
        what: String,
    },
    /// The hub answers something else than it should.
    #[error("the hub {hub} answers '{what}' with {why}; try again later")]
    Answer {
        /// The hub's address.
        hub: String,
        /// What was asked for.
        what: String,
        /// What came.
        why: String,
    },
    /// No connection, or one that has ended too early.
    #[error(
        "the connection to the hub {hub} failed at '{what}': {why}; pull again to go on from where it was"
    )]
    Connection {
        /// The hub's address.
        hub: String,
        /// What was asked for.
        what: String,
        /// What the system reports.
        why: String,
    },
    /// Bytes that are not those that the hub has listed.
    #[error(
        "'{what}' has the sha256 {found}, and not {expected}, which the hub lists; nothing was kept of it, so pull again"
    )]
    Digest {
        /// The file.
        what: String,
        /// In hexadecimal.
        found: String,
        /// In hexadecimal.
        expected: String,
    },
    /// A repository without what was asked for.
    #[error("'{repository}' has no {what}; {there}")]
    NoFile {
        /// OWNER/REPO.
        repository: String,
        /// What was looked for.
        what: String,
        /// What there is.
        there: String,
    },
    /// A file of the directory cannot be read or written.
    #[error("cannot {action} '{}': {source}{}", path.display(), advice(source))]
    Io {
        /// Read, write or remove.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system answers.
        source: io::Error,
    },
    /// A file of names that is none.
    #[error("'{}' is no list of names: {why}; put it right or remove it", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process is at it.
    #[error("'{0}' is being fetched already; wait for its end")]
    Busy(String),
    /// Whoever asked for it does not wait for it any longer.
    #[error("stopped; pull again to go on from where it was")]
    Stopped,
    /// Another name of the model would lead nowhere.
    #[error("'{name}' is also called {others}; delete these names first")]
    HasNames {
        /// The model.
        name: String,
        /// Its other names.
        others: String,
    },
    /// What is not in the directory.
    #[error("'{0}' is not in the directory of models, and stays as it is")]
    Elsewhere(String),
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; make room and pull again, which goes on from where it was"
        }
        _ => "",
    }
}
