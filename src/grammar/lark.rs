//! Grammars in llguidance's form of Lark, as they come from others.

use serde_json::{Deserializer, Value};

use super::error::GrammarError;
use super::schema;

/// The most bytes of a grammar.
pub(super) const MOST_BYTES: usize = 1 << 18;

/// The most definitions: each may be a step of a recursion.
const MOST_COLONS: usize = 16_384;

/// A grammar whose schemas are checked like those that stand alone.
///
/// # Errors
/// One that is too large, or a schema that cannot be followed.
pub(super) fn check(source: &str) -> Result<String, GrammarError> {
    size(source)?;
    const SCHEMA: &str = "%json";
    let mut checked = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(SCHEMA) {
        let end = at + SCHEMA.len();
        checked.push_str(&rest[..end]);
        rest = &rest[end..];
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        // Where there is none, llguidance says so.
        if let Some(Ok(value)) = values.next() {
            let length = values.byte_offset();
            checked.push(' ');
            checked.push_str(&schema::check(&value)?.to_string());
            rest = &rest[length..];
        }
    }
    checked.push_str(rest);
    Ok(checked)
}

/// Whether a grammar is of a size that can be read.
///
/// # Errors
/// It is not.
pub(super) fn size(source: &str) -> Result<(), GrammarError> {
    if source.len() > MOST_BYTES {
        let why =
            format!("the grammar has {} bytes, more than the {MOST_BYTES} that there may be", source.len());
        return Err(GrammarError(why));
    }
    if source.matches(':').count() > MOST_COLONS {
        return Err(GrammarError::new("the grammar has too many rules"));
    }
    Ok(())
}
