//! Equality, order and membership, as in Python.

use std::cmp::Ordering;

use super::ast::Cmp;
use super::fault::{Fault, Result};
use super::limits::Limits;
use super::value::Value;

/// `==`
pub fn equal(a: &Value, b: &Value, limits: &Limits) -> Result<bool> {
    limits.steps(1)?;
    let all = |a: &[Value], b: &[Value]| -> Result<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !equal(a, b, limits)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => {
            if a.text.len() == b.text.len() {
                limits.look(a.text.len())?;
            }
            a.text == b.text
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => all(&a.items, &b.items)?,
        (Value::View(x, a), Value::View(y, b)) => x == y && all(&a.items, &b.items)?,
        (Value::Dict(a), Value::Dict(b)) => {
            if a.pairs.len() != b.pairs.len() {
                return Ok(false);
            }
            for (key, value) in &a.pairs {
                match find(&b.pairs, key, limits)? {
                    Some(other) if equal(value, other, limits)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Range(a), Value::Range(b)) => a == b,
        (Value::Namespace(a), Value::Namespace(b)) => a == b,
        (Value::Global(a), Value::Global(b)) => a == b,
        (Value::Macro(a), Value::Macro(b)) => std::rc::Rc::ptr_eq(a, b),
        _ => match (a.as_int(), b.as_int()) {
            (Some(a), Some(b)) => a == b,
            _ => match (a.as_float(), b.as_float()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        },
    })
}

/// The value of a key.
pub fn find<'a>(pairs: &'a [(Value, Value)], key: &Value, limits: &Limits) -> Result<Option<&'a Value>> {
    limits.steps(1 + pairs.len() / 16)?;
    for (k, v) in pairs {
        let same = match (k, key) {
            (Value::Str(a), Value::Str(b)) => a.text == b.text,
            _ => equal(k, key, limits)?,
        };
        if same {
            return Ok(Some(v));
        }
    }
    Ok(None)
}

/// A key of a dict, if the value can be one.
pub fn hashable(value: &Value) -> Result<()> {
    match value {
        Value::List(_) | Value::Dict(_) => {
            Err(Fault::failed(format!("unhashable type: '{}'", value.type_name())))
        }
        Value::Tuple(seq) => seq.items.iter().try_for_each(hashable),
        _ => Ok(()),
    }
}

/// What `<` and its kin go by. `None`: numbers that are not in order (`nan`).
pub fn order(a: &Value, b: &Value, sign: &str, limits: &Limits) -> Result<Option<Ordering>> {
    limits.steps(1)?;
    match (a.defined()?, b.defined()?) {
        (Value::Str(a), Value::Str(b)) => {
            limits.look(a.text.len().min(b.text.len()))?;
            Ok(Some(a.text.cmp(&b.text)))
        }
        (Value::List(x), Value::List(y)) | (Value::Tuple(x), Value::Tuple(y)) => {
            for (a, b) in x.items.iter().zip(&y.items) {
                if !equal(a, b, limits)? {
                    return order(a, b, sign, limits);
                }
            }
            Ok(Some(x.items.len().cmp(&y.items.len())))
        }
        _ => match (a.as_int(), b.as_int(), a.as_float(), b.as_float()) {
            (Some(a), Some(b), _, _) => Ok(Some(a.cmp(&b))),
            (_, _, Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
            _ => Err(Fault::failed(format!(
                "'{sign}' not supported between instances of '{}' and '{}'",
                a.type_name(),
                b.type_name()
            ))),
        },
    }
}

/// `a in b`
pub fn contains(b: &Value, a: &Value, limits: &Limits) -> Result<bool> {
    match b {
        Value::Str(text) => match a {
            Value::Str(part) => {
                limits.look(text.text.len())?;
                Ok(text.text.contains(&*part.text))
            }
            Value::Undefined(why) => Err(Fault::failed(why.to_string())),
            other => {
                let kind = other.type_name();
                Err(Fault::failed(format!("'in <string>' requires string as left operand, not {kind}")))
            }
        },
        Value::List(seq) | Value::Tuple(seq) | Value::View(_, seq) => {
            for item in &seq.items {
                if equal(item, a, limits)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Dict(dict) => {
            hashable(a)?;
            Ok(find(&dict.pairs, a, limits)?.is_some())
        }
        Value::Undefined(_) => Ok(false),
        Value::Range(_) | Value::Once(_) => {
            for item in b.iterate(limits)? {
                if equal(&item, a, limits)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => Err(Fault::failed(format!("argument of type '{}' is not iterable", other.type_name()))),
    }
}

/// A comparison.
pub fn compare(op: Cmp, a: &Value, b: &Value, limits: &Limits) -> Result<bool> {
    Ok(match op {
        Cmp::Eq => equal(a, b, limits)?,
        Cmp::Ne => !equal(a, b, limits)?,
        Cmp::Lt => order(a, b, "<", limits)? == Some(Ordering::Less),
        Cmp::Le => matches!(order(a, b, "<=", limits)?, Some(Ordering::Less | Ordering::Equal)),
        Cmp::Gt => order(a, b, ">", limits)? == Some(Ordering::Greater),
        Cmp::Ge => matches!(order(a, b, ">=", limits)?, Some(Ordering::Greater | Ordering::Equal)),
        Cmp::In => contains(b, a, limits)?,
        Cmp::NotIn => !contains(b, a, limits)?,
    })
}

/// Sorts by keys that are given with the items; the first pair that has no order is an error.
pub fn sort<T>(items: &mut [(Value, T)], reverse: bool, limits: &Limits) -> Result<()> {
    let mut fault = None;
    items.sort_by(|(a, _), (b, _)| {
        if fault.is_some() {
            return Ordering::Equal;
        }
        match order(a, b, "<", limits) {
            Ok(ordering) if reverse => ordering.unwrap_or(Ordering::Equal).reverse(),
            Ok(ordering) => ordering.unwrap_or(Ordering::Equal),
            Err(e) => {
                fault = Some(e);
                Ordering::Equal
            }
        }
    });
    fault.map_or(Ok(()), Err)
}

/// Adds a pair, or replaces the value of its key.
pub fn put(pairs: &mut Vec<(Value, Value)>, key: Value, value: Value, limits: &Limits) -> Result<()> {
    hashable(&key)?;
    let known = find(pairs, &key, limits)?.is_some();
    if !known {
        limits.memory(size_of::<(Value, Value)>())?;
        pairs.push((key, value));
        return Ok(());
    }
    for (k, v) in pairs.iter_mut() {
        if equal(k, &key, limits)? {
            *v = value;
            break;
        }
    }
    Ok(())
}
