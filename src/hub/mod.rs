//! Models in a directory, and their way into it from a hub such as <https://huggingface.co>.
//!
//! A `Name` says which model of a hub is meant; `Hub` asks for its files; `choice` takes those that make up one model;
//! `download` brings a file, whole or not at all; `Folder` knows what is in the directory and how it is called. Nothing here
//! knows what is in a model's files, who asks for it, or how progress is shown.

mod checkpoint;
mod choice;
mod client;
mod download;
mod error;
mod folder;
mod name;
mod pull;

pub use self::client::Hub;
pub use self::error::HubError;
pub use self::folder::{Folder, Found};
pub use self::name::Name;
pub use self::pull::{Pulled, Step, pull};
