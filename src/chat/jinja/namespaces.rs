//! What `namespace()` makes.

use std::cell::RefCell;

use super::compare::put;
use super::fault::Result;
use super::limits::Limits;
use super::value::Value;

/// All namespaces of a rendering: the only values that change, in one place, so that none of them owns another.
#[derive(Debug, Default)]
pub struct Namespaces {
    cells: RefCell<Vec<Vec<(Value, Value)>>>,
}

impl Namespaces {
    /// Another one, and its number.
    pub fn add(&self, pairs: Vec<(Value, Value)>, limits: &Limits) -> Result<usize> {
        limits.memory(64 + pairs.len() * size_of::<(Value, Value)>())?;
        let mut cells = self.cells.borrow_mut();
        cells.push(pairs);
        Ok(cells.len() - 1)
    }

    /// The value of an attribute.
    pub fn get(&self, index: usize, name: &str) -> Option<Value> {
        let cells = self.cells.borrow();
        let named = |(key, _): &&(Value, Value)| key.as_str() == Some(name);
        cells.get(index)?.iter().find(named).map(|(_, value)| value.clone())
    }

    /// All attributes.
    pub fn pairs(&self, index: usize) -> Vec<(Value, Value)> {
        self.cells.borrow().get(index).cloned().unwrap_or_default()
    }

    /// Sets an attribute.
    pub fn set(&self, index: usize, name: &str, value: Value, limits: &Limits) -> Result<()> {
        match self.cells.borrow_mut().get_mut(index) {
            Some(pairs) => put(pairs, Value::fixed(name), value, limits),
            None => Ok(()),
        }
    }
}
