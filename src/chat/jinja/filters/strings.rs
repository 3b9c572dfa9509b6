//! Filters that make a text of a text.

use super::super::args::{Args, int_or, size_or, string};
use super::super::fault::{Fault, Result};
use super::super::lexer::is_space;
use super::super::str_methods::{capitalize, center, lines, replace, strip};
use super::super::value::{Text, Value};
use super::{Context, is_true};

/// What came of a filter's name.
pub enum Applied {
    Value(Value),
    /// It is none of these; the arguments again.
    Unknown(Args),
}

pub fn apply(name: &str, value: &Value, args: Args, context: Context<'_>) -> Result<Applied> {
    let limits = context.limits;
    let safe = matches!(value, Value::Str(Text { safe: true, .. }));
    let text = match name {
        "trim" => {
            let [chars] = args.bind(name, ["chars"], 0)?;
            strip(&context.text(value)?, chars.as_ref(), true, true)?.to_owned()
        }
        "upper" => args.none(name).and_then(|()| Ok(context.text(value)?.to_uppercase()))?,
        "lower" => args.none(name).and_then(|()| Ok(context.text(value)?.to_lowercase()))?,
        "capitalize" => args.none(name).and_then(|()| Ok(capitalize(&context.text(value)?)))?,
        "title" => args.none(name).and_then(|()| Ok(title(&context.text(value)?)))?,
        "center" => {
            let [width] = args.bind(name, ["width"], 0)?;
            center(&context.text(value)?, size_or(width.as_ref(), 80)?, ' ', limits)?
        }
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"], 2)?;
            let part = |value: Option<Value>| context.text(&value.unwrap_or(Value::None));
            let most = match count {
                None | Some(Value::None) => -1,
                Some(count) => int_or(Some(&count), -1)?,
            };
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            replace(&context.text(value)?, &part(old)?, &part(new)?, most, limits)?
        }
        "indent" => indent(value, args, context)?,
        "truncate" => truncate(value, args, context)?,
        "urlencode" => {
            args.none(name)?;
            let text = context.text(value)?;
            limits.pieces(text.len(), 3)?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-~/".contains(&b);
            text.bytes()
                .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
                .collect()
        }
        "wordcount" => {
            args.none(name)?;
            let text = context.text(value)?;
            let words = text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|w| !w.is_empty());
            return Ok(Applied::Value(Value::Int(words.count() as i128)));
        }
        _ => return Ok(Applied::Unknown(args)),
    };
    limits.memory(text.len())?;
    Ok(Applied::Value(Value::Str(Text { text: text.into(), safe })))
}

/// Each word with its first letter in upper case and the others in lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut starts = true;
    for c in text.chars() {
        if starts {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        starts = is_space(c) || "-({[<".contains(c);
    }
    out
}

fn indent(value: &Value, args: Args, context: Context<'_>) -> Result<String> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"], 0)?;
    let text = string(value, "indent")?;
    let lines = lines(text, false);
    let indent = match width {
        Some(Value::Str(indent)) => indent.text.to_string(),
        width => {
            let width = size_or(width.as_ref(), 4)?;
            context.limits.memory(width)?;
            " ".repeat(width)
        }
    };
    context.limits.pieces(lines.len() + 1, indent.len() + 1)?;
    context.limits.memory(text.len())?;
    let mut out = String::new();
    if is_true(first.as_ref()) {
        out.push_str(&indent);
    }
    // A text that ends with a newline keeps it: Jinja adds one and splits.
    let ends = text.ends_with('\n') || text.is_empty();
    for (i, line) in lines.iter().copied().chain(ends.then_some("")).enumerate() {
        if i > 0 {
            out.push('\n');
            if !line.is_empty() || is_true(blank.as_ref()) {
                out.push_str(&indent);
            }
        }
        out.push_str(line);
    }
    Ok(out)
}

fn truncate(value: &Value, args: Args, context: Context<'_>) -> Result<String> {
    let [length, kill, end, leeway] = args.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let text = string(value, "truncate")?;
    let end = end.unwrap_or_else(|| Value::fixed("..."));
    let end = string(&end, "truncate")?;
    let length = size_or(length.as_ref(), 255)?;
    let leeway = match leeway {
        None | Some(Value::None) => 5,
        given => size_or(given.as_ref(), 5)?,
    };
    let kept = length.checked_sub(end.chars().count());
    let kept = kept.ok_or_else(|| Fault::failed("truncate needs a length of at least that of its end"))?;
    context.limits.look(text.len())?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let cut = text.char_indices().nth(kept).map_or(text, |(at, _)| &text[..at]);
    let cut = if is_true(kill.as_ref()) { cut } else { cut.rsplit_once(' ').map_or(cut, |(start, _)| start) };
    context.limits.memory(cut.len() + end.len())?;
    Ok(format!("{cut}{end}"))
}
