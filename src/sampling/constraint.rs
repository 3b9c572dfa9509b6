//! What a text has to be, beyond what the model makes likely.

use serde_json::Value;

/// What a text has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// JSON that this schema allows.
    JsonSchema(Value),
    /// Any object of JSON.
    JsonObject,
    /// What a grammar in llguidance's form of Lark allows.
    Lark(String),
    /// What a grammar in llama.cpp's form (GBNF) allows.
    Gbnf(String),
    /// What a regular expression matches as a whole.
    Regex(String),
}
