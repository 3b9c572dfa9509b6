//! Values as text: Python's `str()` and `repr()`.

use std::fmt::Write as _;

use super::fault::{Fault, Result};
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::value::{Value, View};

/// As `str()`.
pub fn to_text(value: &Value, spaces: &Namespaces, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    write_text(&mut out, value, spaces, limits)?;
    Ok(out)
}

/// Adds `str(value)` to `out`.
pub fn write_text(out: &mut String, value: &Value, spaces: &Namespaces, limits: &Limits) -> Result<()> {
    match value {
        Value::Undefined(_) => Ok(()),
        Value::Str(s) => add(out, &s.text, limits),
        other => write_repr(out, other, spaces, limits, 0),
    }
}

/// As `repr()`.
pub fn to_repr(value: &Value, spaces: &Namespaces, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    write_repr(&mut out, value, spaces, limits, 0)?;
    Ok(out)
}

fn add(out: &mut String, text: &str, limits: &Limits) -> Result<()> {
    limits.memory(text.len())?;
    out.push_str(text);
    Ok(())
}

/// Namespaces may contain themselves.
const DEEPEST: usize = 200;

fn write_repr(
    out: &mut String,
    value: &Value,
    spaces: &Namespaces,
    limits: &Limits,
    depth: usize,
) -> Result<()> {
    if depth > DEEPEST {
        return Err(Fault::too_much(format!("its values contain each other more than {DEEPEST} deep")));
    }
    limits.steps(1)?;
    let items = |out: &mut String, open: &str, items: &[Value], close: &str| -> Result<()> {
        out.push_str(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                add(out, ", ", limits)?;
            }
            write_repr(out, item, spaces, limits, depth + 1)?;
        }
        out.push_str(close);
        Ok(())
    };
    match value {
        Value::Undefined(_) => add(out, "Undefined", limits),
        Value::None => add(out, "None", limits),
        Value::Bool(b) => add(out, if *b { "True" } else { "False" }, limits),
        Value::Int(i) => add(out, &i.to_string(), limits),
        Value::Float(f) => add(out, &float(*f), limits),
        Value::Str(s) => {
            limits.memory(2 * s.text.len())?;
            if s.safe {
                out.push_str("Markup(");
            }
            quote(out, &s.text);
            if s.safe {
                out.push(')');
            }
            Ok(())
        }
        Value::List(seq) => items(out, "[", &seq.items, "]"),
        Value::Tuple(seq) => items(out, "(", &seq.items, if seq.items.len() == 1 { ",)" } else { ")" }),
        Value::View(View::Keys, seq) => items(out, "dict_keys([", &seq.items, "])"),
        Value::View(View::Values, seq) => items(out, "dict_values([", &seq.items, "])"),
        Value::View(View::Items, seq) => items(out, "dict_items([", &seq.items, "])"),
        Value::Dict(dict) => write_pairs(out, &dict.pairs, spaces, limits, depth),
        Value::Range(r) if r.step == 1 => add(out, &format!("range({}, {})", r.start, r.stop), limits),
        Value::Range(r) => add(out, &format!("range({}, {}, {})", r.start, r.stop, r.step), limits),
        Value::Namespace(index) => {
            out.push_str("<Namespace ");
            let pairs = spaces.pairs(*index);
            write_pairs(out, &pairs, spaces, limits, depth)?;
            out.push('>');
            Ok(())
        }
        Value::Macro(m) => add(out, &format!("<Macro '{}'>", m.def.name), limits),
        Value::Global(name) => add(out, &format!("<function {name}>"), limits),
        Value::Method(m) => {
            let of = m.of.type_name();
            add(out, &format!("<built-in method {} of {of} object>", m.name), limits)
        }
        Value::Once(once) => add(out, &format!("<{} object>", once.name), limits),
        Value::Loop(state) => {
            let state = state.borrow();
            add(out, &format!("<LoopContext {}/{}>", state.index + 1, state.items.items.len()), limits)
        }
        Value::Cycler(_) => add(out, &format!("<{} object>", value.type_name()), limits),
    }
}

fn write_pairs(
    out: &mut String,
    pairs: &[(Value, Value)],
    spaces: &Namespaces,
    limits: &Limits,
    depth: usize,
) -> Result<()> {
    out.push('{');
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            add(out, ", ", limits)?;
        }
        write_repr(out, key, spaces, limits, depth + 1)?;
        add(out, ": ", limits)?;
        write_repr(out, value, spaces, limits, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

/// A float, as Python writes it: the fewest digits that mean it.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// A string in quotes.
fn quote(out: &mut String, text: &str) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => drop(write!(out, "\\U{:08x}", u32::from(c))),
        }
    }
    out.push(mark);
}

/// Whether `repr()` leaves a character as it is.
pub fn is_printable(c: char) -> bool {
    let separates = c != ' ' && c.is_whitespace();
    let formats = matches!(u32::from(c), 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0xe0001..=0xe007f
        | 0xf0000..=0x10ffff);
    !(c.is_control() || separates || formats)
}
