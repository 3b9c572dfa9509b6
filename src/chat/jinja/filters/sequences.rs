//! Filters on lists, dicts and whatever else can be iterated over.

use super::super::args::{Args, int, size_or};
use super::super::ast::Op;
use super::super::compare::{equal, sort};
use super::super::fault::{Fault, Result};
use super::super::methods::at_path;
use super::super::predicates;
use super::super::repr::write_text;
use super::super::value::Value;
use super::{Context, fold, is_true};

pub fn apply(name: &str, value: &Value, mut args: Args, context: Context<'_>) -> Result<Value> {
    let limits = context.limits;
    match name {
        "list" => {
            args.none(name)?;
            Value::list(value.iterate(limits)?, limits)
        }
        "first" => {
            args.none(name)?;
            let empty = || Value::Undefined("No first item, sequence was empty.".into());
            if let Some(seq) = value.as_seq() {
                return Ok(seq.items.first().cloned().unwrap_or_else(empty));
            }
            Ok(value.iterate(limits)?.into_iter().next().unwrap_or_else(empty))
        }
        "last" => {
            args.none(name)?;
            let empty = || Value::Undefined("No last item, sequence was empty.".into());
            if let Some(seq) = value.as_seq() {
                return Ok(seq.items.last().cloned().unwrap_or_else(empty));
            }
            if matches!(value, Value::Once(_)) {
                return Err(Fault::failed("'generator' object is not reversible"));
            }
            Ok(value.iterate(limits)?.pop().unwrap_or_else(empty))
        }
        "join" => {
            let [separator, attribute] = args.bind(name, ["d", "attribute"], 0)?;
            let separator = context.text(&separator.unwrap_or_else(|| Value::fixed("")))?;
            let mut out = String::new();
            for (i, item) in value.iterate(limits)?.iter().enumerate() {
                if i > 0 {
                    limits.memory(separator.len())?;
                    out.push_str(&separator);
                }
                write_text(&mut out, &context.item(item, attribute.as_ref())?, context.spaces, limits)?;
            }
            context.give(out)
        }
        "items" => {
            args.none(name)?;
            match value {
                Value::Undefined(_) => Value::once(Vec::new(), "generator", limits),
                Value::Dict(dict) => Value::once(pairs(dict, limits)?, "generator", limits),
                _ => Err(Fault::failed("Can only get item pairs from a mapping.")),
            }
        }
        "reverse" => {
            args.none(name)?;
            if let Value::Str(s) = value {
                return context.give(s.text.chars().rev().collect());
            }
            let mut items = value.iterate(limits)?;
            items.reverse();
            match value {
                Value::Once(_) => Value::list(items, limits),
                _ => Value::once(items, "list_reverseiterator", limits),
            }
        }
        "sort" => {
            let [reverse, sensitive, attribute] =
                args.bind(name, ["reverse", "case_sensitive", "attribute"], 0)?;
            let mut keyed = Vec::new();
            let paths = paths(attribute);
            for item in value.iterate(limits)? {
                let mut keys = Vec::new();
                for path in &paths {
                    let key = context.item(&item, path.as_ref())?;
                    keys.push(fold(key, is_true(sensitive.as_ref()), limits)?);
                }
                keyed.push((Value::list(keys, limits)?, item));
            }
            sort(&mut keyed, is_true(reverse.as_ref()), limits)?;
            Value::list(keyed.into_iter().map(|(_, item)| item).collect(), limits)
        }
        "dictsort" => {
            let [sensitive, by, reverse] = args.bind(name, ["case_sensitive", "by", "reverse"], 0)?;
            let by = match by.as_ref().and_then(Value::as_str) {
                None | Some("key") => 0,
                Some("value") => 1,
                Some(_) => return Err(Fault::failed("You can only sort by either \"key\" or \"value\"")),
            };
            let Value::Dict(dict) = value.defined()? else {
                return Err(Fault::failed(format!(
                    "'{}' object has no attribute 'items'",
                    value.type_name()
                )));
            };
            let mut keyed = Vec::new();
            for ((k, v), pair) in dict.pairs.iter().zip(pairs(dict, limits)?) {
                let key = if by == 0 { k } else { v };
                keyed.push((fold(key.clone(), is_true(sensitive.as_ref()), limits)?, pair));
            }
            sort(&mut keyed, is_true(reverse.as_ref()), limits)?;
            Value::list(keyed.into_iter().map(|(_, item)| item).collect(), limits)
        }
        "unique" => {
            let [sensitive, attribute] = args.bind(name, ["case_sensitive", "attribute"], 0)?;
            let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
            for item in value.iterate(limits)? {
                let key = context.item(&item, attribute.as_ref())?;
                let key = fold(key, is_true(sensitive.as_ref()), limits)?;
                super::super::compare::hashable(&key)?;
                let mut known = false;
                for other in &seen {
                    known = known || equal(other, &key, limits)?;
                }
                if !known {
                    seen.push(key);
                    kept.push(item);
                }
            }
            Value::once(kept, "generator", limits)
        }
        "groupby" => {
            let [attribute, default, sensitive] =
                args.bind(name, ["attribute", "default", "case_sensitive"], 1)?;
            let mut keyed = Vec::new();
            for item in value.iterate(limits)? {
                let mut key = context.item(&item, attribute.as_ref())?;
                if let (Value::Undefined(_), Some(default)) = (&key, &default) {
                    key = default.clone();
                }
                let folded = fold(key.clone(), is_true(sensitive.as_ref()), limits)?;
                keyed.push((folded, (key, item)));
            }
            sort(&mut keyed, false, limits)?;
            let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
            for (folded, (key, item)) in keyed {
                match groups.last_mut() {
                    Some((last, _, items)) if equal(last, &folded, limits)? => items.push(item),
                    _ => groups.push((folded, key, vec![item])),
                }
            }
            let groups: Result<_> = groups
                .into_iter()
                .map(|(_, key, items)| Value::tuple(vec![key, Value::list(items, limits)?], limits))
                .collect();
            Value::list(groups?, limits)
        }
        "batch" => {
            let [count, fill] = args.bind(name, ["linecount", "fill_with"], 1)?;
            let count = int(&count.unwrap_or(Value::None))?;
            let (mut rows, mut row): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
            for item in value.iterate(limits)? {
                if row.len() as i128 == count {
                    rows.push(Value::list(std::mem::take(&mut row), limits)?);
                }
                row.push(item);
            }
            if !row.is_empty() {
                if let Some(fill) = fill.filter(|f| !matches!(f, Value::None)) {
                    let count = usize::try_from(count).unwrap_or(0);
                    limits.pieces(count.saturating_sub(row.len()), size_of::<Value>())?;
                    row.resize(count.max(row.len()), fill);
                }
                rows.push(Value::list(row, limits)?);
            }
            Value::once(rows, "generator", limits)
        }
        "slice" => {
            let [slices, fill] = args.bind(name, ["slices", "fill_with"], 1)?;
            let slices = size_or(slices.as_ref(), 1)?;
            let items = value.iterate(limits)?;
            if slices == 0 {
                return Err(Fault::failed("integer division or modulo by zero"));
            }
            limits.pieces(slices, size_of::<Value>() + 64)?;
            let (each, extra) = (items.len() / slices, items.len() % slices);
            let mut rows = Vec::new();
            let mut rest = items.as_slice();
            for i in 0..slices {
                let (row, after) = rest.split_at(each + usize::from(i < extra));
                rest = after;
                let mut row = row.to_vec();
                if let Some(fill) = fill.clone().filter(|f| !matches!(f, Value::None))
                    && i >= extra
                {
                    row.push(fill);
                }
                rows.push(Value::list(row, limits)?);
            }
            Value::once(rows, "generator", limits)
        }
        "sum" => {
            let [attribute, start] = args.bind(name, ["attribute", "start"], 0)?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for item in value.iterate(limits)? {
                let item = context.item(&item, attribute.as_ref())?;
                sum = super::super::arithmetic::binary(Op::Add, &sum, &item, context.spaces, limits)?;
            }
            Ok(sum)
        }
        "map" => map(value, args, context),
        "select" | "reject" | "selectattr" | "rejectattr" => {
            if !value.is_true() {
                return Value::once(Vec::new(), "generator", limits);
            }
            let by_attribute = name.ends_with("attr");
            let attribute = match by_attribute {
                true if args.positional.is_empty() => {
                    return Err(Fault::failed("Missing parameter for attribute name"));
                }
                true => Some(args.positional.remove(0)),
                false => None,
            };
            let test = if args.positional.is_empty() { None } else { Some(args.positional.remove(0)) };
            let wanted = name.starts_with("select");
            let mut kept = Vec::new();
            for item in value.iterate(limits)? {
                let looked_at = context.item(&item, attribute.as_ref())?;
                let holds = match &test {
                    None => looked_at.is_true(),
                    Some(test) => {
                        let name = named(test, "test")?;
                        predicates::holds(name, &looked_at, copy(&args), context)?
                    }
                };
                if holds == wanted {
                    kept.push(item);
                }
            }
            Value::once(kept, "generator", limits)
        }
        _ => Err(Fault::failed(format!("there is no filter '{}'", super::super::parser::short(name)))),
    }
}

fn named<'a>(value: &'a Value, what: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| Fault::failed(format!("the name of a {what} is no string")))
}

fn copy(args: &Args) -> Args {
    Args { positional: args.positional.clone(), named: args.named.clone() }
}

fn pairs(dict: &super::super::value::Dict, limits: &super::Limits) -> Result<Vec<Value>> {
    dict.pairs.iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()], limits)).collect()
}

/// Paths to sort by, which are given with commas between.
fn paths(attribute: Option<Value>) -> Vec<Option<Value>> {
    match attribute {
        Some(Value::Str(paths)) => paths.text.split(',').map(|p| Some(Value::fixed(p))).collect(),
        other => vec![other],
    }
}

fn map(value: &Value, mut args: Args, context: Context<'_>) -> Result<Value> {
    let limits = context.limits;
    if !value.is_true() {
        return Value::once(Vec::new(), "generator", limits);
    }
    let mut mapped = Vec::new();
    if args.positional.is_empty() && args.named.iter().any(|(name, _)| &**name == "attribute") {
        let [attribute, default] = args.bind("map", ["attribute", "default"], 1)?;
        let attribute = attribute.unwrap_or(Value::None);
        for item in value.iterate(limits)? {
            let found = at_path(&item, &attribute, context.spaces, limits)?;
            mapped.push(match (&found, &default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Value::once(mapped, "generator", limits);
    }
    if args.positional.is_empty() {
        return Err(Fault::failed("map requires a filter argument"));
    }
    let filter = args.positional.remove(0);
    for item in value.iterate(limits)? {
        mapped.push(super::apply(named(&filter, "filter")?, &item, copy(&args), context)?);
    }
    Value::once(mapped, "generator", limits)
}
