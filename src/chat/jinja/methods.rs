//! Methods of Python's dicts, lists and numbers; those of strings are in `str_methods.rs`.

use super::access;
use super::args::Args;
use super::compare::{equal, find, put};
use super::fault::{Fault, Result};
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::str_methods::str_method;
use super::value::{Dict, Seq, Value, View};

/// `of.name(args)`
pub fn call(of: &Value, name: &str, args: Args, spaces: &Namespaces, limits: &Limits) -> Result<Value> {
    match of {
        Value::Str(text) => str_method(text, name, args, spaces, limits),
        Value::Dict(dict) => dict_method(dict, name, args, limits),
        Value::List(seq) | Value::Tuple(seq) => seq_method(seq, name, args, limits),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => number_method(of, name, args, limits),
        Value::Global("dict") => {
            let [keys, value] = args.bind("dict.fromkeys", ["iterable", "value"], 1)?;
            let value = value.unwrap_or(Value::None);
            let mut pairs = Vec::new();
            for key in keys.unwrap_or(Value::None).iterate(limits)? {
                put(&mut pairs, key, value.clone(), limits)?;
            }
            Ok(Value::Dict(Dict::new(pairs, limits)?))
        }
        Value::Cycler(cycler) => {
            args.none(name)?;
            let (at, len) = (cycler.at.get(), cycler.items.items.len());
            if name == "reset" {
                cycler.at.set(0);
                return Ok(Value::None);
            }
            cycler.at.set((at + 1) % len.max(1));
            Ok(cycler.items.items.get(at).cloned().unwrap_or(Value::None))
        }
        Value::Loop(state) => {
            if name == "cycle" {
                let len = args.positional.len();
                if len == 0 {
                    return Err(Fault::failed("no items for cycling given"));
                }
                return Ok(args.positional[state.borrow().index % len].clone());
            }
            let mut state = state.borrow_mut();
            let same = match &state.last {
                Some(last) if last.len() == args.positional.len() => {
                    let mut same = true;
                    for (a, b) in last.iter().zip(&args.positional) {
                        same &= equal(a, b, limits)?;
                    }
                    same
                }
                _ => false,
            };
            if !same {
                state.last = Some(args.positional);
            }
            Ok(Value::Bool(!same))
        }
        _ => unsafe_method(of, name),
    }
}

fn unsafe_method(of: &Value, name: &str) -> Result<Value> {
    Err(Fault::failed(format!("access to attribute '{name}' of '{}' object is unsafe", of.type_name())))
}

fn dict_method(dict: &std::rc::Rc<Dict>, name: &str, args: Args, limits: &Limits) -> Result<Value> {
    let view = |kind, items: Vec<Value>| Ok(Value::View(kind, Seq::new(items, limits)?));
    let pairs = &dict.pairs;
    match name {
        "get" => {
            let [key, default] = args.bind("get", ["key", "default"], 1)?;
            let key = key.unwrap_or(Value::None);
            super::compare::hashable(&key)?;
            Ok(find(pairs, &key, limits)?.cloned().or(default).unwrap_or(Value::None))
        }
        "items" => {
            args.none(name)?;
            let items: Result<_> =
                pairs.iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()], limits)).collect();
            view(View::Items, items?)
        }
        "keys" => {
            args.none(name)?;
            limits.pieces(pairs.len(), size_of::<Value>())?;
            view(View::Keys, pairs.iter().map(|(k, _)| k.clone()).collect())
        }
        "values" => {
            args.none(name)?;
            limits.pieces(pairs.len(), size_of::<Value>())?;
            view(View::Values, pairs.iter().map(|(_, v)| v.clone()).collect())
        }
        "copy" => {
            args.none(name)?;
            Ok(Value::Dict(std::rc::Rc::clone(dict)))
        }
        _ => unsafe_method(&Value::Dict(std::rc::Rc::clone(dict)), name),
    }
}

fn seq_method(seq: &std::rc::Rc<Seq>, name: &str, args: Args, limits: &Limits) -> Result<Value> {
    match name {
        "count" => {
            let [value] = args.bind(name, ["value"], 1)?;
            let mut count = 0;
            for item in &seq.items {
                count += i128::from(equal(item, value.as_ref().unwrap_or(&Value::None), limits)?);
            }
            Ok(Value::Int(count))
        }
        "index" => {
            let [value] = args.bind(name, ["value"], 1)?;
            for (i, item) in seq.items.iter().enumerate() {
                if equal(item, value.as_ref().unwrap_or(&Value::None), limits)? {
                    return Ok(Value::Int(i as i128));
                }
            }
            Err(Fault::failed("the value is not in the list"))
        }
        "copy" => {
            args.none(name)?;
            Ok(Value::List(std::rc::Rc::clone(seq)))
        }
        _ => unsafe_method(&Value::List(std::rc::Rc::clone(seq)), name),
    }
}

fn number_method(of: &Value, name: &str, args: Args, limits: &Limits) -> Result<Value> {
    args.none(name)?;
    limits.steps(1)?;
    match (name, of) {
        ("is_integer", Value::Float(f)) => Ok(Value::Bool(f.fract() == 0.0)),
        ("is_integer", _) => Ok(Value::Bool(true)),
        ("conjugate", _) => Ok(of.clone()),
        ("bit_length", _) if of.as_int().is_some() => {
            let size = of.as_int().unwrap_or(0).unsigned_abs();
            Ok(Value::Int((u128::BITS - size.leading_zeros()).into()))
        }
        _ => unsafe_method(of, name),
    }
}

/// The value at a path such as `a.b.0`, as filters name attributes.
pub fn at_path(value: &Value, path: &Value, spaces: &Namespaces, limits: &Limits) -> Result<Value> {
    let Some(path) = path.as_str() else { return access::item(value, path, spaces, limits) };
    let mut value = value.clone();
    for part in path.split('.') {
        let key = match part.parse::<i128>() {
            Ok(index) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(index),
            _ => Value::fixed(part),
        };
        value = access::item(&value, &key, spaces, limits)?;
    }
    Ok(value)
}
