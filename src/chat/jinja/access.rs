//! `value.name`, `value[index]` and slices.

use super::compare::find;
use super::fault::{Fault, Result};
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::value::{Text, Value};

/// Methods of strings, lists and so on. Those that would change a value are known too, and refused when called.
const STR: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const DICT: &[&str] = &[
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];
const LIST: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const TUPLE: &[&str] = &["count", "index"];
const NUMBER: &[&str] = &["as_integer_ratio", "bit_length", "conjugate", "is_integer"];

fn methods(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Str(_) => STR,
        Value::Dict(_) => DICT,
        Value::List(_) => LIST,
        Value::Tuple(_) | Value::Range(_) => TUPLE,
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => NUMBER,
        Value::Global("dict") => &["fromkeys"],
        Value::Cycler(_) => &["next", "reset"],
        Value::Loop(_) => &["cycle", "changed"],
        _ => &[],
    }
}

fn undefined(value: &Value, name: &str) -> Value {
    let kind = match value {
        Value::Dict(_) => "dict object".into(),
        other => format!("{} object", other.type_name()),
    };
    Value::Undefined(format!("'{kind}' has no attribute '{}'", super::parser::short(name)).into())
}

/// What a value has under a name in Python, before its items are looked at.
fn own(value: &Value, name: &str, spaces: &Namespaces) -> Result<Option<Value>> {
    if name.starts_with('_') {
        let kind = value.type_name();
        let what =
            format!("access to attribute '{}' of '{kind}' object is unsafe", super::parser::short(name));
        // Only what begins with two underscores is there.
        return Ok(name.starts_with("__").then(|| Value::Undefined(what.into())));
    }
    if methods(value).contains(&name) {
        return Value::method(value, name).map(Some);
    }
    Ok(match value {
        Value::Namespace(index) => spaces.get(*index, name),
        Value::Loop(state) => state.borrow().attribute(name),
        Value::Macro(m) => match name {
            "name" => Some(Value::fixed(&m.def.name)),
            "caller" => Some(Value::Bool(m.def.uses_caller)),
            "catch_kwargs" => Some(Value::Bool(m.def.uses_kwargs)),
            "catch_varargs" => Some(Value::Bool(m.def.uses_varargs)),
            _ => None,
        },
        Value::Cycler(c) if name == "current" && !c.joins => c.items.items.get(c.at.get()).cloned(),
        Value::Int(_) | Value::Bool(_) => match name {
            "real" | "numerator" => value.as_int().map(Value::Int),
            "imag" => Some(Value::Int(0)),
            "denominator" => Some(Value::Int(1)),
            _ => None,
        },
        // The groups of `groupby` have names for their two parts.
        Value::Tuple(seq) => match (name, seq.items.as_slice()) {
            ("grouper", [key, Value::List(_)]) => Some(key.clone()),
            ("list", [_, items @ Value::List(_)]) => Some(items.clone()),
            _ => None,
        },
        Value::Range(r) => match name {
            "start" => Some(Value::Int(r.start)),
            "stop" => Some(Value::Int(r.stop)),
            "step" => Some(Value::Int(r.step)),
            _ => None,
        },
        _ => None,
    })
}

impl super::value::Loop {
    fn attribute(&self, name: &str) -> Option<Value> {
        let (index, len) = (self.index as i128, self.items.items.len() as i128);
        Some(match name {
            "index" => Value::Int(index + 1),
            "index0" => Value::Int(index),
            "revindex" => Value::Int(len - index),
            "revindex0" => Value::Int(len - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == len),
            "length" => Value::Int(len),
            "depth" => Value::Int(self.depth as i128 + 1),
            "depth0" => Value::Int(self.depth as i128),
            "previtem" => match self.index.checked_sub(1) {
                Some(before) => self.items.items[before].clone(),
                None => Value::Undefined("there is no previous item".into()),
            },
            "nextitem" => match self.items.items.get(self.index + 1) {
                Some(next) => next.clone(),
                None => Value::Undefined("there is no next item".into()),
            },
            _ => return None,
        })
    }
}

/// `value.name`
pub fn attribute(value: &Value, name: &str, spaces: &Namespaces, limits: &Limits) -> Result<Value> {
    limits.steps(1)?;
    if let Some(own) = own(value.defined()?, name, spaces)? {
        return Ok(own);
    }
    if let Value::Dict(dict) = value
        && let Some(found) = find(&dict.pairs, &Value::fixed(name), limits)?
    {
        return Ok(found.clone());
    }
    Ok(undefined(value, name))
}

/// `value[key]`
pub fn item(value: &Value, key: &Value, spaces: &Namespaces, limits: &Limits) -> Result<Value> {
    limits.steps(1)?;
    let value = value.defined()?;
    let at = |len: usize| -> Option<usize> {
        let index = key.as_int()?;
        let index = if index < 0 { index + len as i128 } else { index };
        usize::try_from(index).ok().filter(|index| *index < len)
    };
    let found = match value {
        Value::Dict(dict) => find(&dict.pairs, key, limits)?.cloned(),
        Value::List(seq) | Value::Tuple(seq) => at(seq.items.len()).map(|i| seq.items[i].clone()),
        Value::Range(range) => at(range.len()).map(|i| range.get(i)),
        Value::Str(s) => {
            limits.look(s.text.len())?;
            let count = if s.text.is_ascii() { s.text.len() } else { s.text.chars().count() };
            match at(count) {
                Some(i) => {
                    let c = s.text.chars().nth(i).map(String::from).unwrap_or_default();
                    Some(Value::Str(Text { text: c.into(), safe: s.safe }))
                }
                None => None,
            }
        }
        _ => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    if let Value::Str(name) = key {
        if let Some(own) = own(value, &name.text, spaces)? {
            return Ok(own);
        }
        return Ok(undefined(value, &name.text));
    }
    let index = super::repr::to_repr(key, spaces, limits)?;
    let kind = value.type_name();
    Ok(Value::Undefined(format!("{kind} object has no element {}", super::parser::short(&index)).into()))
}

/// `value[start:stop:step]`
pub fn slice(value: &Value, parts: [Option<Value>; 3], limits: &Limits) -> Result<Value> {
    let value = value.defined()?;
    let mut numbers = [None; 3];
    for (number, part) in numbers.iter_mut().zip(&parts) {
        *number = match part {
            None | Some(Value::None) => None,
            Some(part) => Some(part.as_int().ok_or_else(|| {
                Fault::failed("slice indices must be integers or None or have an __index__ method")
            })?),
        };
    }
    let chars: Vec<char>;
    let len = match value {
        Value::Str(s) => {
            limits.pieces(s.text.len(), 4)?;
            chars = s.text.chars().collect();
            chars.len()
        }
        Value::List(seq) | Value::Tuple(seq) => {
            chars = Vec::new();
            seq.items.len()
        }
        Value::Range(range) => {
            chars = Vec::new();
            range.len()
        }
        other => {
            let what = format!("{} object has no slices", other.type_name());
            return Ok(Value::Undefined(what.into()));
        }
    };
    let places = places(len as i128, numbers)?;
    limits.pieces(places.len(), size_of::<Value>())?;
    match value {
        Value::Str(s) => {
            let text: String = places.iter().map(|&i| chars[i]).collect();
            Ok(Value::Str(Text { text: text.into(), safe: s.safe }))
        }
        Value::List(seq) => Value::list(places.iter().map(|&i| seq.items[i].clone()).collect(), limits),
        Value::Tuple(seq) => Value::tuple(places.iter().map(|&i| seq.items[i].clone()).collect(), limits),
        Value::Range(range) => Value::list(places.iter().map(|&i| range.get(i)).collect(), limits),
        _ => Ok(Value::None),
    }
}

/// The indices of a slice, as Python's `slice.indices` gives them.
pub fn places(len: i128, [start, stop, step]: [Option<i128>; 3]) -> Result<Vec<usize>> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Fault::failed("slice step cannot be zero"));
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |given: Option<i128>, default: i128| match given {
        None => default,
        Some(i) if i < 0 => i.saturating_add(len).clamp(low, high),
        Some(i) => i.clamp(low, high),
    };
    let (first, end) = if step > 0 { (low, high) } else { (high, low) };
    let (mut at, stop) = (bound(start, first), bound(stop, end));
    let mut places = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        places.push(usize::try_from(at).unwrap_or(0));
        at = at.saturating_add(step);
    }
    Ok(places)
}
