//! JSON as Python's `json.dumps` writes it, which is what templates were written and models trained with.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize as _;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// One line, with a space after commas and colons.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The `tojson` filter: `indent` spaces per level if given, else one line. Nothing is escaped for HTML, and
/// characters outside of ASCII stay (`ensure_ascii=False`, the default in `transformers`).
pub(super) fn tojson(value: &Value, args: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = args.get("indent")?;
    if args.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson does not offer ensure_ascii=true"));
    }
    args.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = vec![b' '; indent.min(MAX_INDENT)];
            value.serialize(&mut Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(&indent)))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, OneLine)),
    };
    let bad = |e: String| Error::new(ErrorKind::BadSerialization, e);
    written.map_err(|e| bad(e.to_string()))?;
    String::from_utf8(json).map_err(|e| bad(e.to_string()))
}

/// A template cannot ask for gigabytes of spaces.
const MAX_INDENT: usize = 64;
