//! JSON as Python's `json.dumps` writes it, which is what templates were written and models trained with.

use std::fmt::Write as _;

use super::compare::sort;
use super::fault::{Fault, Result};
use super::limits::Limits;
use super::repr::float;
use super::value::Value;

/// How it is written.
pub struct Style {
    /// Characters outside of ASCII are escaped.
    pub ascii: bool,
    /// What a level is indented by; `None`: all is on one line.
    pub indent: Option<String>,
    /// What stands between items, and after a key.
    pub separators: (String, String),
    /// Pairs are in the order of their keys.
    pub sorted: bool,
}

/// `value` as JSON.
pub fn dumps(value: &Value, style: &Style, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    write(&mut out, value, style, limits, 0)?;
    Ok(out)
}

fn add(out: &mut String, text: &str, limits: &Limits) -> Result<()> {
    limits.memory(text.len())?;
    out.push_str(text);
    Ok(())
}

fn break_line(out: &mut String, style: &Style, depth: usize, limits: &Limits) -> Result<()> {
    let Some(indent) = &style.indent else { return Ok(()) };
    limits.pieces(indent.len(), depth)?;
    out.push('\n');
    out.push_str(&indent.repeat(depth));
    Ok(())
}

fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        v => float(v),
    }
}

fn write(out: &mut String, value: &Value, style: &Style, limits: &Limits, depth: usize) -> Result<()> {
    limits.steps(1)?;
    match value {
        Value::None => add(out, "null", limits),
        Value::Bool(b) => add(out, if *b { "true" } else { "false" }, limits),
        Value::Int(i) => add(out, &i.to_string(), limits),
        Value::Float(f) => add(out, &number(*f), limits),
        Value::Str(s) => string(out, &s.text, style.ascii, limits),
        Value::List(seq) | Value::Tuple(seq) => {
            if seq.items.is_empty() {
                return add(out, "[]", limits);
            }
            out.push('[');
            for (i, item) in seq.items.iter().enumerate() {
                if i > 0 {
                    add(out, &style.separators.0, limits)?;
                }
                break_line(out, style, depth + 1, limits)?;
                write(out, item, style, limits, depth + 1)?;
            }
            break_line(out, style, depth, limits)?;
            add(out, "]", limits)
        }
        Value::Dict(dict) => {
            if dict.pairs.is_empty() {
                return add(out, "{}", limits);
            }
            limits.pieces(dict.pairs.len(), size_of::<(Value, &Value)>())?;
            let mut pairs: Vec<_> = dict.pairs.iter().map(|(k, v)| (k.clone(), v)).collect();
            if style.sorted {
                sort(&mut pairs, false, limits)?;
            }
            out.push('{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    add(out, &style.separators.0, limits)?;
                }
                break_line(out, style, depth + 1, limits)?;
                match key {
                    Value::Str(s) => string(out, &s.text, style.ascii, limits)?,
                    Value::None => add(out, "\"null\"", limits)?,
                    Value::Bool(b) => add(out, if *b { "\"true\"" } else { "\"false\"" }, limits)?,
                    Value::Int(i) => add(out, &format!("\"{i}\""), limits)?,
                    Value::Float(f) => add(out, &format!("\"{}\"", number(*f)), limits)?,
                    other => {
                        return Err(Fault::failed(format!(
                            "keys must be str, int, float, bool or None, not {}",
                            other.type_name()
                        )));
                    }
                }
                add(out, &style.separators.1, limits)?;
                write(out, value, style, limits, depth + 1)?;
            }
            break_line(out, style, depth, limits)?;
            add(out, "}", limits)
        }
        other => Err(Fault::failed(format!("Object of type {} is not JSON serializable", other.type_name()))),
    }
}

/// How long a character becomes.
fn escaped_len(c: char, ascii: bool) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' || ascii && !(' '..='~').contains(&c) => 6 * c.len_utf16(),
        c => c.len_utf8(),
    }
}

fn string(out: &mut String, text: &str, ascii: bool, limits: &Limits) -> Result<()> {
    limits.look(text.len())?;
    limits.memory(2 + text.chars().map(|c| escaped_len(c, ascii)).sum::<usize>())?;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if escaped_len(c, ascii) >= 6 => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}
