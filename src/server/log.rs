//! What a server reports of its requests: never what they say.

use serde_json::Value;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Record {
    /// `request` when an answer begins, `text` when a text ends, `end` when the server does,
    /// `model loaded`, `model unloaded` and `model pulled`, `note` for what went wrong beside the requests.
    pub what: &'static str,
    /// Names and values.
    pub fields: Vec<(&'static str, Value)>,
}

/// Where records go.
pub type Log = Box<dyn Fn(&Record) + Send + Sync>;
