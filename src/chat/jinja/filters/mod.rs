//! Filters: `value|name(args)`.

mod sequences;
mod strings;

use super::args::{Args, int_or, string};
use super::arithmetic::{ESCAPED, escape};
use super::compare::order;
use super::fault::{Fault, Result};
use super::format::percent;
use super::json::{Style, dumps};
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::repr::{to_repr, to_text};
use super::value::{Text, Value};
use super::{access, lexer};

/// Jinja's filters. The last few are known and not supported.
const NAMES: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "filesizeformat",
    "random",
    "striptags",
    "urlize",
    "wordwrap",
    "xmlattr",
];

/// Whether there is such a filter.
pub fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// What filters work with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub spaces: &'a Namespaces,
    pub limits: &'a Limits,
}

impl Context<'_> {
    fn text(&self, value: &Value) -> Result<String> {
        to_text(value, self.spaces, self.limits)
    }

    fn give(&self, text: String) -> Result<Value> {
        Value::text(text, self.limits)
    }

    fn item(&self, value: &Value, path: Option<&Value>) -> Result<Value> {
        match path {
            None | Some(Value::None) => Ok(value.clone()),
            Some(path) => super::methods::at_path(value, path, self.spaces, self.limits),
        }
    }
}

/// A key that does not depend on the case of letters, unless `sensitive`.
fn fold(value: Value, sensitive: bool, limits: &Limits) -> Result<Value> {
    match &value {
        Value::Str(s) if !sensitive => Value::text(s.text.to_lowercase(), limits),
        _ => Ok(value),
    }
}

fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

/// `value|name(args)`
pub fn apply(name: &str, value: &Value, args: Args, context: Context<'_>) -> Result<Value> {
    let limits = context.limits;
    limits.steps(1)?;
    match name {
        "default" | "d" => {
            let [default, boolean] = args.bind(name, ["default_value", "boolean"], 0)?;
            let misses =
                matches!(value, Value::Undefined(_)) || is_true(boolean.as_ref()) && !value.is_true();
            Ok(if misses { default.unwrap_or_else(|| Value::fixed("")) } else { value.clone() })
        }
        "tojson" => tojson(value, args, limits),
        "string" => {
            args.none(name)?;
            match value {
                Value::Str(_) => Ok(value.clone()),
                other => context.give(context.text(other)?),
            }
        }
        "safe" => {
            args.none(name)?;
            Ok(Value::Str(Text { text: context.text(value)?.into(), safe: true }))
        }
        "escape" | "e" | "forceescape" => {
            args.none(name)?;
            if let (Value::Str(Text { safe: true, .. }), "escape" | "e") = (value, name) {
                return Ok(value.clone());
            }
            let text = context.text(value)?;
            limits.pieces(text.len(), ESCAPED)?;
            Ok(Value::Str(Text { text: escape(&text).into(), safe: true }))
        }
        "length" | "count" => {
            args.none(name)?;
            Ok(Value::Int(value.len(limits)? as i128))
        }
        "attr" => {
            let [key] = args.bind(name, ["name"], 1)?;
            let key = context.text(&key.unwrap_or(Value::None))?;
            match value {
                Value::Dict(_) => Ok(Value::Undefined(format!("there is no attribute '{key}'").into())),
                other => access::attribute(other, &key, context.spaces, limits),
            }
        }
        "format" => {
            let format = context.text(value)?;
            let values = match args.named.is_empty() {
                true => Value::tuple(args.positional, limits)?,
                false => {
                    let pairs = args.named.iter().map(|(k, v)| (Value::fixed(k), v.clone())).collect();
                    Value::Dict(super::value::Dict::new(pairs, limits)?)
                }
            };
            context.give(percent(&format, &values, context.spaces, limits)?)
        }
        "pprint" => {
            args.none(name)?;
            context.give(to_repr(value, context.spaces, limits)?)
        }
        "abs" => {
            args.none(name)?;
            match value.defined()? {
                Value::Float(f) => Ok(Value::Float(f.abs())),
                other => other.as_int().and_then(i128::checked_abs).map(Value::Int).ok_or_else(|| {
                    Fault::failed(format!("bad operand type for abs(): '{}'", other.type_name()))
                }),
            }
        }
        "int" => to_int(value, args, context),
        "float" => {
            let [default] = args.bind(name, ["default"], 0)?;
            let number = match value.defined()? {
                Value::Str(s) => parse_float(&s.text),
                other => other.as_float(),
            };
            Ok(number.map(Value::Float).or(default).unwrap_or(Value::Float(0.0)))
        }
        "round" => round(value, args),
        "min" | "max" => extreme(name, value, args, context),
        "filesizeformat" | "random" | "striptags" | "urlize" | "wordwrap" | "xmlattr" => {
            Err(Fault::failed(format!("the filter '{name}' is not supported")))
        }
        _ => match strings::apply(name, value, args, context)? {
            strings::Applied::Value(value) => Ok(value),
            strings::Applied::Unknown(args) => sequences::apply(name, value, args, context),
        },
    }
}

fn tojson(value: &Value, args: Args, limits: &Limits) -> Result<Value> {
    let [ascii, indent, separators, sorted] =
        args.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], 0)?;
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => Some(text.text.to_string()),
        Some(count) => {
            let count = super::args::size_or(Some(&count), 0)?;
            limits.memory(count)?;
            Some(" ".repeat(count))
        }
    };
    let separators = match separators {
        None | Some(Value::None) => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some(given) => match given.as_seq().map(|seq| seq.items.as_slice()) {
            Some([Value::Str(item), Value::Str(key)]) => (item.text.to_string(), key.text.to_string()),
            _ => return Err(Fault::failed("tojson needs a pair of strings as its separators")),
        },
    };
    let style =
        Style { ascii: is_true(ascii.as_ref()), indent, separators, sorted: is_true(sorted.as_ref()) };
    Value::text(dumps(value, &style, limits)?, limits)
}

/// A float as Python's `float()` reads it.
fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(lexer::is_space);
    let lower = text.to_ascii_lowercase();
    let size = lower.trim_start_matches(['+', '-']);
    match size {
        "inf" | "infinity" | "nan" => text.parse().ok(),
        _ if size.starts_with(|c: char| c.is_ascii_digit() || c == '.') => text.replace('_', "").parse().ok(),
        _ => None,
    }
}

/// An integer as Python's `int()` reads it.
fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(lexer::is_space).replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let lower = digits.to_ascii_lowercase();
    let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
    if !digits.starts_with(|c: char| c.is_digit(base)) {
        return None;
    }
    let size = i128::from_str_radix(digits, base).ok()?;
    Some(if negative { -size } else { size })
}

fn to_int(value: &Value, args: Args, context: Context<'_>) -> Result<Value> {
    let [default, base] = args.bind("int", ["default", "base"], 0)?;
    let base = u32::try_from(int_or(base.as_ref(), 10)?).ok().filter(|b| (2..=36).contains(b));
    let base = base.ok_or_else(|| Fault::failed("int() base must be >= 2 and <= 36, or 0"))?;
    context.limits.steps(1)?;
    let whole = |f: f64| f.is_finite().then_some(f.trunc() as i128);
    let number = match value.defined()? {
        Value::Str(s) => parse_int(&s.text, base).or_else(|| parse_float(&s.text).and_then(whole)),
        Value::Float(f) => whole(*f),
        other => other.as_int(),
    };
    Ok(number.map(Value::Int).or(default).unwrap_or(Value::Int(0)))
}

fn round(value: &Value, args: Args) -> Result<Value> {
    let [precision, method] = args.bind("round", ["precision", "method"], 0)?;
    let precision = int_or(precision.as_ref(), 0)?.clamp(-300, 300) as i32;
    let method = method.as_ref().map_or(Ok("common"), |m| string(m, "round"))?;
    let kind = value.type_name();
    let real = value.defined()?.as_float();
    let real = real.ok_or_else(|| Fault::failed(format!("type {kind} doesn't define __round__ method")))?;
    let power = 10f64.powi(precision);
    match method {
        "common" => {
            if let Some(int) = value.as_int()
                && precision >= 0
            {
                return Ok(Value::Int(int));
            }
            let rounded = match usize::try_from(precision) {
                Ok(digits) => format!("{real:.digits$}").parse().unwrap_or(real),
                Err(_) => (real * power).round_ties_even() / power,
            };
            Ok(if value.as_int().is_some() { Value::Int(rounded as i128) } else { Value::Float(rounded) })
        }
        "ceil" => Ok(Value::Float((real * power).ceil() / power)),
        "floor" => Ok(Value::Float((real * power).floor() / power)),
        _ => Err(Fault::failed("method must be common, ceil or floor")),
    }
}

fn extreme(name: &str, value: &Value, args: Args, context: Context<'_>) -> Result<Value> {
    let [sensitive, attribute] = args.bind(name, ["case_sensitive", "attribute"], 0)?;
    let wanted = if name == "min" { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
    let mut best: Option<(Value, Value)> = None;
    for item in value.iterate(context.limits)? {
        let key = context.item(&item, attribute.as_ref())?;
        let key = fold(key, is_true(sensitive.as_ref()), context.limits)?;
        let better = match &best {
            None => true,
            Some((other, _)) => order(&key, other, "<", context.limits)? == Some(wanted),
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best
        .map_or_else(|| Value::Undefined("No aggregated item, sequence was empty.".into()), |(_, item)| item))
}
