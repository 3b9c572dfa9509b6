//! Methods of Python's strings, and what filters share with them.

use super::args::{Args, int, int_or, size_or, string};
use super::fault::{Fault, Result};
use super::format::braces;
use super::lexer::is_space;
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::value::{Text, Value};

/// Which characters `strip` and its kin take away.
fn stripped(chars: Option<&Value>) -> Result<Box<dyn Fn(char) -> bool>> {
    match chars {
        None | Some(Value::None) => Ok(Box::new(is_space)),
        Some(chars) => {
            let chars: Vec<char> = string(chars, "strip")?.chars().collect();
            Ok(Box::new(move |c| chars.contains(&c)))
        }
    }
}

/// `strip`, `lstrip` and `rstrip`.
pub fn strip<'t>(text: &'t str, chars: Option<&Value>, left: bool, right: bool) -> Result<&'t str> {
    let strips = stripped(chars)?;
    let text = if left { text.trim_start_matches(&strips) } else { text };
    Ok(if right { text.trim_end_matches(&strips) } else { text })
}

/// The first character in upper case, the others in lower case.
pub fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => title_char(first) + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

fn title_char(c: char) -> String {
    match c {
        'ß' => "Ss".into(),
        'Ǆ'..='ǆ' => "ǅ".into(),
        'Ǉ'..='ǉ' => "ǈ".into(),
        'Ǌ'..='ǌ' => "ǋ".into(),
        'Ǳ'..='ǳ' => "ǲ".into(),
        _ => {
            let upper: Vec<char> = c.to_uppercase().collect();
            match upper.split_first() {
                Some((first, rest)) if !rest.is_empty() => {
                    let rest: String = rest.iter().flat_map(|c| c.to_lowercase()).collect();
                    format!("{first}{rest}")
                }
                _ => upper.into_iter().collect(),
            }
        }
    }
}

/// `text` in the middle of `width` characters.
pub fn center(text: &str, width: usize, fill: char, limits: &Limits) -> Result<String> {
    let missing = width.saturating_sub(text.chars().count());
    limits.pieces(missing, fill.len_utf8())?;
    let left = missing / 2 + (missing & width & 1);
    let fill = |count: usize| String::from_iter(std::iter::repeat_n(fill, count));
    Ok(format!("{}{text}{}", fill(left), fill(missing - left)))
}

/// `split()` without a separator.
fn words(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest);
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

fn words_from_right(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest);
            break;
        }
        let last = rest.char_indices().rev().find(|(_, c)| is_space(*c));
        let start = last.map_or(0, |(i, c)| i + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts.reverse();
    parts
}

/// Lines, without their ends unless `ends`.
pub fn lines(text: &str, ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
        {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && matches!(chars.peek(), Some((_, '\n'))) {
            chars.next();
            end += 1;
        }
        lines.push(&text[start..if ends { end } else { at }]);
        start = end;
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// `replace`; the result's size is known before it is made.
pub fn replace(text: &str, old: &str, new: &str, most: usize, limits: &Limits) -> Result<String> {
    limits.look(text.len())?;
    let count = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let count = count.min(most);
    limits.pieces(count, new.len())?;
    limits.memory(text.len())?;
    Ok(text.replacen(old, new, count))
}

/// The part of a text between two indices of characters, as bytes.
fn span(text: &str, start: Option<&Value>, end: Option<&Value>) -> Result<Option<(usize, usize)>> {
    let number = |value: Option<&Value>| match value {
        None | Some(Value::None) => Ok(None),
        Some(value) => int(value).map(Some),
    };
    let (start, end) = (number(start)?, number(end)?);
    if start.is_none() && end.is_none() {
        return Ok(Some((0, text.len())));
    }
    let len = text.chars().count() as i128;
    let place = |i: i128| if i < 0 { (i + len).max(0) } else { i };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(len)).min(len));
    if start > end || start > len {
        return Ok(None);
    }
    let byte = |i: i128| {
        let i = usize::try_from(i).unwrap_or(usize::MAX);
        text.char_indices().nth(i).map_or(text.len(), |(at, _)| at)
    };
    Ok(Some((byte(start), byte(end))))
}

/// `text.name(args)`
pub fn str_method(
    text: &Text,
    name: &str,
    args: Args,
    spaces: &Namespaces,
    limits: &Limits,
) -> Result<Value> {
    let s = &*text.text;
    limits.look(s.len())?;
    let safe = text.safe;
    let give = |result: String| -> Result<Value> {
        limits.memory(result.len())?;
        Ok(Value::Str(Text { text: result.into(), safe }))
    };
    let list = |parts: Vec<&str>| -> Result<Value> {
        limits.pieces(parts.len(), 2 * size_of::<Value>())?;
        limits.memory(s.len())?;
        let parts = parts.into_iter().map(|p| Value::Str(Text { text: p.into(), safe })).collect();
        Value::list(parts, limits)
    };
    let is = |result: bool| Ok(Value::Bool(result));
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(name, ["chars"], 0)?;
            give(strip(s, chars.as_ref(), name != "rstrip", name != "lstrip")?.to_owned())
        }
        "upper" => args.none(name).and_then(|()| give(s.to_uppercase())),
        "lower" => args.none(name).and_then(|()| give(s.to_lowercase())),
        "casefold" => args.none(name).and_then(|()| give(s.to_lowercase().replace('ß', "ss"))),
        "capitalize" => args.none(name).and_then(|()| give(capitalize(s))),
        "title" => args.none(name).and_then(|()| give(title(s))),
        "swapcase" => args.none(name).and_then(|()| {
            let swap = |c: char| {
                if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() }
            };
            give(s.chars().map(swap).collect())
        }),
        "startswith" | "endswith" => {
            let [parts, start, end] = args.bind(name, ["prefix", "start", "end"], 1)?;
            let Some((from, to)) = span(s, start.as_ref(), end.as_ref())? else { return is(false) };
            let part = &s[from..to];
            let has = |value: &Value| -> Result<bool> {
                let wanted = string(value, name)?;
                Ok(if name == "startswith" { part.starts_with(wanted) } else { part.ends_with(wanted) })
            };
            match parts.unwrap_or(Value::None) {
                Value::Tuple(seq) => {
                    for wanted in &seq.items {
                        if has(wanted)? {
                            return is(true);
                        }
                    }
                    is(false)
                }
                wanted => is(has(&wanted)?),
            }
        }
        "split" | "rsplit" => {
            let [separator, most] = args.bind(name, ["sep", "maxsplit"], 0)?;
            let most = int_or(most.as_ref(), -1)?;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let right = name == "rsplit";
            let parts = match separator {
                None | Some(Value::None) if right => words_from_right(s, most),
                None | Some(Value::None) => words(s, most),
                Some(separator) => {
                    let separator = string(&separator, name)?;
                    if separator.is_empty() {
                        return Err(Fault::failed("empty separator"));
                    }
                    limits.pieces(s.matches(separator).count(), size_of::<&str>())?;
                    let count = most.saturating_add(1);
                    if right {
                        let mut parts: Vec<_> = s.rsplitn(count, separator).collect();
                        parts.reverse();
                        parts
                    } else {
                        s.splitn(count, separator).collect()
                    }
                }
            };
            list(parts)
        }
        "splitlines" => {
            let [ends] = args.bind(name, ["keepends"], 0)?;
            list(lines(s, ends.is_some_and(|e| e.is_true())))
        }
        "partition" | "rpartition" => {
            let [separator] = args.bind(name, ["sep"], 1)?;
            let separator = separator.unwrap_or(Value::None);
            let separator = string(&separator, name)?;
            if separator.is_empty() {
                return Err(Fault::failed("empty separator"));
            }
            let parts = match name {
                "partition" => s.split_once(separator).map_or([s, "", ""], |(a, b)| [a, separator, b]),
                _ => s.rsplit_once(separator).map_or(["", "", s], |(a, b)| [a, separator, b]),
            };
            limits.memory(s.len())?;
            Value::tuple(parts.iter().map(|p| Value::fixed(p)).collect(), limits)
        }
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"], 2)?;
            let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
            let most = usize::try_from(int_or(count.as_ref(), -1)?).unwrap_or(usize::MAX);
            give(replace(s, string(&old, name)?, string(&new, name)?, most, limits)?)
        }
        "removeprefix" | "removesuffix" => {
            let [part] = args.bind(name, ["part"], 1)?;
            let part = part.unwrap_or(Value::None);
            let part = string(&part, name)?;
            let rest = if name == "removeprefix" { s.strip_prefix(part) } else { s.strip_suffix(part) };
            give(rest.unwrap_or(s).to_owned())
        }
        "join" => {
            let [items] = args.bind(name, ["iterable"], 1)?;
            let mut out = String::new();
            for (i, item) in items.unwrap_or(Value::None).iterate(limits)?.iter().enumerate() {
                let Value::Str(item) = item.defined()? else {
                    let kind = item.type_name();
                    return Err(Fault::failed(format!(
                        "sequence item {i}: expected str instance, {kind} found"
                    )));
                };
                limits.memory(s.len() + item.text.len())?;
                if i > 0 {
                    out.push_str(s);
                }
                out.push_str(&item.text);
            }
            give(out)
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [part, start, end] = args.bind(name, ["sub", "start", "end"], 1)?;
            let part = part.unwrap_or(Value::None);
            let part = string(&part, name)?;
            let within = span(s, start.as_ref(), end.as_ref())?;
            if name == "count" {
                let count = within.map_or(0, |(from, to)| match part {
                    "" => s[from..to].chars().count() + 1,
                    part => s[from..to].matches(part).count(),
                });
                return Ok(Value::Int(count as i128));
            }
            let at = within.and_then(|(from, to)| {
                let found =
                    if name.starts_with('r') { s[from..to].rfind(part) } else { s[from..to].find(part) };
                Some(s[..from + found?].chars().count() as i128)
            });
            match at {
                Some(at) => Ok(Value::Int(at)),
                None if name.ends_with("find") => Ok(Value::Int(-1)),
                None => Err(Fault::failed("substring not found")),
            }
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = args.bind(name, ["width", "fillchar"], 1)?;
            let width = size_or(width.as_ref(), 0)?;
            let fill = match fill {
                None => ' ',
                Some(fill) => {
                    let mut chars = string(&fill, name)?.chars();
                    let one = chars.next().filter(|_| chars.next().is_none());
                    one.ok_or_else(|| Fault::failed("the fill character must be exactly one character long"))?
                }
            };
            if name == "center" {
                return give(center(s, width, fill, limits)?);
            }
            let missing = width.saturating_sub(s.chars().count());
            let fill = if name == "zfill" { '0' } else { fill };
            limits.pieces(missing, fill.len_utf8())?;
            let filled: String = std::iter::repeat_n(fill, missing).collect();
            give(match name {
                "ljust" => format!("{s}{filled}"),
                "zfill" => {
                    let (sign, digits) = s.split_at(usize::from(s.starts_with(['+', '-'])));
                    format!("{sign}{filled}{digits}")
                }
                _ => format!("{filled}{s}"),
            })
        }
        "expandtabs" => {
            let [size] = args.bind(name, ["tabsize"], 0)?;
            let size = size_or(size.as_ref(), 8)?;
            limits.pieces(s.matches('\t').count(), size)?;
            let (mut out, mut column) = (String::new(), 0);
            for c in s.chars() {
                match c {
                    '\t' if size > 0 => {
                        let count = size - column % size;
                        out.extend(std::iter::repeat_n(' ', count));
                        column += count;
                    }
                    '\t' => {}
                    c => {
                        column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                        out.push(c);
                    }
                }
            }
            give(out)
        }
        "format" => {
            let named: Vec<_> = args.named.iter().map(|(k, v)| (Value::fixed(k), v.clone())).collect();
            give(braces(s, &args.positional, &named, spaces, limits)?)
        }
        "format_map" => {
            let [map] = args.bind(name, ["mapping"], 1)?;
            let Some(Value::Dict(dict)) = map else { return Err(Fault::failed("format_map needs a dict")) };
            give(braces(s, &[], &dict.pairs, spaces, limits)?)
        }
        _ if name.starts_with("is") => {
            args.none(name)?;
            is(has_kind(s, name))
        }
        _ => Err(Fault::failed(format!("the method '{name}' of strings is not supported"))),
    }
}

/// `isalpha` and its kin.
fn has_kind(s: &str, name: &str) -> bool {
    let all = |test: fn(char) -> bool| !s.is_empty() && s.chars().all(test);
    let cased = |s: &str| s.chars().any(|c| c.is_lowercase() || c.is_uppercase());
    match name {
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isdigit" | "isdecimal" => all(|c| c.is_ascii_digit() || !c.is_ascii() && c.is_numeric()),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "isascii" => s.is_ascii(),
        "islower" => cased(s) && !s.chars().any(char::is_uppercase),
        "isupper" => cased(s) && !s.chars().any(char::is_lowercase),
        "isprintable" => s.chars().all(super::repr::is_printable),
        "istitle" => cased(s) && title(s) == s,
        "isidentifier" => {
            s.starts_with(|c: char| c == '_' || c.is_alphabetic())
                && s.chars().all(|c| c == '_' || c.is_alphanumeric())
        }
        _ => false,
    }
}

/// Each word with its first letter in upper case.
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut within = false;
    for c in s.chars() {
        let cased = c.is_lowercase() || c.is_uppercase();
        match (cased, within) {
            (true, false) => out.push_str(&title_char(c)),
            (true, true) => out.extend(c.to_lowercase()),
            _ => out.push(c),
        }
        within = cased;
    }
    out
}
