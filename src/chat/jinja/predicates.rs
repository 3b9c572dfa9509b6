//! Tests: `value is name(args)`.

use super::args::{Args, int};
use super::ast::Cmp;
use super::compare::compare;
use super::fault::{Fault, Result};
use super::filters::{self, Context};
use super::value::{Text, Value};

const NAMES: &[&str] = &[
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// Whether there is such a test.
pub fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether `value is name(args)`.
pub fn holds(name: &str, value: &Value, args: Args, context: Context<'_>) -> Result<bool> {
    let limits = context.limits;
    limits.steps(1)?;
    let op = match name {
        "eq" | "==" | "equalto" => Some(Cmp::Eq),
        "ne" | "!=" => Some(Cmp::Ne),
        "lt" | "<" | "lessthan" => Some(Cmp::Lt),
        "le" | "<=" => Some(Cmp::Le),
        "gt" | ">" | "greaterthan" => Some(Cmp::Gt),
        "ge" | ">=" => Some(Cmp::Ge),
        "in" => Some(Cmp::In),
        _ => None,
    };
    if let Some(op) = op {
        let [other] = args.bind(name, ["other"], 1)?;
        return compare(op, value, &other.unwrap_or(Value::None), limits);
    }
    match name {
        "divisibleby" => {
            let [by] = args.bind(name, ["num"], 1)?;
            let (a, by) = (int(value)?, int(&by.unwrap_or(Value::None))?);
            return match by {
                0 => Err(Fault::failed("integer modulo by zero")),
                by => Ok(a.checked_rem(by).unwrap_or(0) == 0),
            };
        }
        "sameas" => {
            let [other] = args.bind(name, ["other"], 1)?;
            let other = other.unwrap_or(Value::None);
            let same = value.type_name() == other.type_name();
            return Ok(same && compare(Cmp::Eq, value, &other, limits)?);
        }
        _ => args.none(name)?,
    }
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.as_float().is_some(),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "iterable" => value.is_iterable(),
        "sequence" => matches!(
            value,
            Value::Str(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::Dict(_)
                | Value::Range(_)
                | Value::Undefined(_)
        ),
        "callable" => matches!(
            value,
            Value::Macro(_)
                | Value::Global(_)
                | Value::Method(_)
                | Value::Loop(_)
                | Value::Cycler(_)
                | Value::Undefined(_)
        ),
        "escaped" => matches!(value, Value::Str(Text { safe: true, .. })),
        "odd" | "even" => {
            let odd = int(value)?.rem_euclid(2) == 1;
            odd == (name == "odd")
        }
        "lower" | "upper" => {
            let text = super::repr::to_text(value, context.spaces, limits)?;
            let cased = text.chars().any(|c| c.is_lowercase() || c.is_uppercase());
            let wrong = if name == "lower" { char::is_uppercase } else { char::is_lowercase };
            cased && !text.chars().any(wrong)
        }
        "filter" => value.as_str().is_some_and(filters::exists),
        "test" => value.as_str().is_some_and(exists),
        _ => return Err(Fault::failed(format!("there is no test '{}'", super::parser::short(name)))),
    })
}
