//! Arguments of a call, evaluated.

use std::sync::Arc;

use super::fault::{Fault, Result};
use super::value::Value;

/// What a function, filter, test or method is called with.
#[derive(Debug, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// The values of parameters with these names, the first `required` of which have to be there.
    pub fn bind<const N: usize>(
        self,
        what: &str,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        let given = self.positional.len();
        if given > N {
            return Err(Fault::failed(format!("{what} takes at most {N} arguments, but {given} are given")));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|n| **n == *name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return Err(Fault::failed(format!("{what} got two values for '{name}'"))),
                None => {
                    let name = super::parser::short(&name);
                    return Err(Fault::failed(format!("{what} has no argument '{name}'")));
                }
            }
        }
        match bound.iter().take(required).position(Option::is_none) {
            Some(missing) => Err(Fault::failed(format!("{what} needs the argument '{}'", names[missing]))),
            None => Ok(bound),
        }
    }

    /// Refuses any argument.
    pub fn none(self, what: &str) -> Result<()> {
        self.bind(what, [], 0).map(|[]| ())
    }
}

/// A whole number.
pub fn int(value: &Value) -> Result<i128> {
    let wrong =
        || Fault::failed(format!("'{}' object cannot be interpreted as an integer", value.type_name()));
    value.defined()?.as_int().ok_or_else(wrong)
}

/// A whole number, or this one.
pub fn int_or(value: Option<&Value>, default: i128) -> Result<i128> {
    value.map_or(Ok(default), int)
}

/// A size: negative ones are 0.
pub fn size_or(value: Option<&Value>, default: usize) -> Result<usize> {
    let default = i128::try_from(default).unwrap_or(i128::MAX);
    Ok(usize::try_from(int_or(value, default)?.max(0)).unwrap_or(usize::MAX))
}

/// A string.
pub fn string<'a>(value: &'a Value, what: &str) -> Result<&'a str> {
    let wrong = || Fault::failed(format!("{what} needs a string, not {}", value.type_name()));
    value.defined()?.as_str().ok_or_else(wrong)
}
