//! What a template computes with: Python's values, as far as templates meet them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value as Json;

use super::ast::MacroDef;
use super::fault::{Fault, Result};
use super::limits::{Limits, VALUE_DEPTH};

/// A value. Lists and dicts never change: the sandbox allows no method that would change one.
#[derive(Clone, Debug)]
pub enum Value {
    /// With what is said of its use.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    List(Rc<Seq>),
    Tuple(Rc<Seq>),
    Dict(Rc<Dict>),
    Range(Rc<Range>),
    /// `dict.keys()` and its kin.
    View(View, Rc<Seq>),
    /// A generator or an iterator: what it has left.
    Once(Rc<Once>),
    /// A number among the rendering's namespaces.
    Namespace(usize),
    Macro(Rc<Macro>),
    /// A function or an object that every template has.
    Global(&'static str),
    Method(Rc<Method>),
    Loop(Rc<RefCell<Loop>>),
    /// `cycler(...)` and `joiner(...)`: values and how often it was asked.
    Cycler(Rc<Cycler>),
}

/// A string.
#[derive(Clone, Debug)]
pub struct Text {
    /// Its characters.
    pub text: Arc<str>,
    /// It is Markup: what is added to it is escaped for HTML.
    pub safe: bool,
}

/// Items, and how deeply they contain others.
#[derive(Debug)]
pub struct Seq {
    /// The items.
    pub items: Vec<Value>,
    depth: usize,
}

/// Pairs in the order of their insertion.
#[derive(Debug)]
pub struct Dict {
    /// The pairs.
    pub pairs: Vec<(Value, Value)>,
    depth: usize,
}

/// `range(start, stop, step)`.
#[derive(Debug, PartialEq, Eq)]
pub struct Range {
    pub start: i128,
    pub stop: i128,
    pub step: i128,
}

/// Which view of a dict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Keys,
    Values,
    Items,
}

/// What can be iterated over once.
#[derive(Debug)]
pub struct Once {
    /// What is left; reversed, so that the next item is the last.
    pub left: RefCell<Vec<Value>>,
    /// Python's name for it.
    pub name: &'static str,
    depth: usize,
}

/// A macro, and the scope that it was defined in.
#[derive(Debug)]
pub struct Macro {
    pub def: Arc<MacroDef>,
    pub scope: usize,
}

/// A method of a value.
#[derive(Debug)]
pub struct Method {
    pub of: Value,
    pub name: Arc<str>,
}

/// The variable `loop`.
#[derive(Debug)]
pub struct Loop {
    pub items: Rc<Seq>,
    pub index: usize,
    pub depth: usize,
    /// What `loop.changed()` was asked about last.
    pub last: Option<Vec<Value>>,
    /// What `loop(...)` runs.
    pub recursive: Option<(Arc<super::ast::For>, usize)>,
}

/// `cycler` and `joiner`.
#[derive(Debug)]
pub struct Cycler {
    pub items: Rc<Seq>,
    pub at: std::cell::Cell<usize>,
    pub joins: bool,
}

impl Range {
    /// How many numbers.
    pub fn len(&self) -> usize {
        let (from, to, step) = match self.step > 0 {
            true => (self.start, self.stop, self.step),
            false => (self.stop, self.start, -self.step),
        };
        if to <= from { 0 } else { usize::try_from((to - from - 1) / step + 1).unwrap_or(usize::MAX) }
    }

    /// The number at a place.
    pub fn get(&self, at: usize) -> Value {
        Value::Int(self.start + self.step * at as i128)
    }
}

impl Seq {
    /// Items, unless they are nested too deeply.
    pub fn new(items: Vec<Value>, limits: &Limits) -> Result<Rc<Self>> {
        limits.memory(96 + items.len() * size_of::<Value>())?;
        let depth = deeper(items.iter())?;
        Ok(Rc::new(Self { items, depth }))
    }
}

impl Dict {
    /// Pairs whose keys are all different, unless they are nested too deeply.
    pub fn new(pairs: Vec<(Value, Value)>, limits: &Limits) -> Result<Rc<Self>> {
        limits.memory(96 + pairs.len() * size_of::<(Value, Value)>())?;
        let depth = deeper(pairs.iter().flat_map(|(k, v)| [k, v]))?;
        Ok(Rc::new(Self { pairs, depth }))
    }
}

fn deeper<'a>(items: impl Iterator<Item = &'a Value>) -> Result<usize> {
    match items.map(Value::depth).max().unwrap_or(0) + 1 {
        depth if depth > VALUE_DEPTH => {
            Err(Fault::too_much(format!("its values contain each other more than {VALUE_DEPTH} deep")))
        }
        depth => Ok(depth),
    }
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<Arc<str>>, limits: &Limits) -> Result<Self> {
        let text = text.into();
        limits.memory(text.len() + 32)?;
        Ok(Value::Str(Text { text, safe: false }))
    }

    /// A short string that the engine itself has.
    pub fn fixed(text: &str) -> Self {
        Value::Str(Text { text: text.into(), safe: false })
    }

    /// A list.
    pub fn list(items: Vec<Value>, limits: &Limits) -> Result<Self> {
        Ok(Value::List(Seq::new(items, limits)?))
    }

    /// A tuple.
    pub fn tuple(items: Vec<Value>, limits: &Limits) -> Result<Self> {
        Ok(Value::Tuple(Seq::new(items, limits)?))
    }

    /// A generator of these items.
    pub fn once(mut items: Vec<Value>, name: &'static str, limits: &Limits) -> Result<Self> {
        limits.memory(items.len() * size_of::<Value>() + 64)?;
        let depth = deeper(items.iter())?;
        items.reverse();
        Ok(Value::Once(Rc::new(Once { left: RefCell::new(items), name, depth })))
    }

    /// A method of `of`.
    pub fn method(of: &Value, name: &str) -> Result<Self> {
        deeper([of].into_iter())?;
        Ok(Value::Method(Rc::new(Method { of: of.clone(), name: name.into() })))
    }

    /// From JSON.
    pub fn from_json(json: &Json, limits: &Limits) -> Result<Self> {
        Ok(match json {
            Json::Null => Value::None,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
                (Some(i), _, _) => Value::Int(i.into()),
                (_, Some(u), _) => Value::Int(u.into()),
                (_, _, f) => Value::Float(f.unwrap_or(f64::NAN)),
            },
            Json::String(s) => Value::text(s.as_str(), limits)?,
            Json::Array(items) => {
                let items: Result<Vec<_>> = items.iter().map(|v| Value::from_json(v, limits)).collect();
                Value::list(items?, limits)?
            }
            Json::Object(pairs) => {
                let pair = |(k, v): (&String, &Json)| {
                    Ok((Value::text(k.as_str(), limits)?, Value::from_json(v, limits)?))
                };
                Value::Dict(Dict::new(pairs.iter().map(pair).collect::<Result<_>>()?, limits)?)
            }
        })
    }

    fn depth(&self) -> usize {
        match self {
            Value::List(seq) | Value::Tuple(seq) | Value::View(_, seq) => seq.depth,
            Value::Dict(dict) => dict.depth,
            Value::Once(once) => once.depth,
            Value::Method(method) => method.of.depth() + 1,
            Value::Loop(state) => state.borrow().items.depth + 1,
            Value::Cycler(cycler) => cycler.items.depth + 1,
            _ => 0,
        }
    }

    /// Python's name for its type, as messages give it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(Text { safe: true, .. }) => "Markup",
            Value::Str(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Range(_) => "range",
            Value::View(View::Keys, _) => "dict_keys",
            Value::View(View::Values, _) => "dict_values",
            Value::View(View::Items, _) => "dict_items",
            Value::Once(_) => "generator",
            Value::Namespace(_) => "Namespace",
            Value::Macro(_) => "Macro",
            Value::Global(_) => "function",
            Value::Method(_) => "builtin_function_or_method",
            Value::Loop(_) => "LoopContext",
            Value::Cycler(c) if c.joins => "Joiner",
            Value::Cycler(_) => "Cycler",
        }
    }

    /// The error of a use of an undefined value.
    pub fn defined(&self) -> Result<&Self> {
        match self {
            Value::Undefined(why) => Err(Fault::failed(why.to_string())),
            other => Ok(other),
        }
    }

    /// As Python's `bool()`.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(i) => *i != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.text.is_empty(),
            Value::List(s) | Value::Tuple(s) | Value::View(_, s) => !s.items.is_empty(),
            Value::Dict(d) => !d.pairs.is_empty(),
            Value::Range(r) => r.len() > 0,
            _ => true,
        }
    }

    /// As `len()`, which not all values have.
    pub fn len(&self, limits: &Limits) -> Result<usize> {
        Ok(match self {
            Value::Undefined(_) => 0,
            Value::Str(s) => {
                limits.look(s.text.len())?;
                s.text.chars().count()
            }
            Value::List(s) | Value::Tuple(s) | Value::View(_, s) => s.items.len(),
            Value::Dict(d) => d.pairs.len(),
            Value::Range(r) => r.len(),
            Value::Loop(state) => state.borrow().items.items.len(),
            other => {
                return Err(Fault::failed(format!("object of type '{}' has no len()", other.type_name())));
            }
        })
    }

    /// The items that Python's `iter()` would give.
    pub fn iterate(&self, limits: &Limits) -> Result<Vec<Value>> {
        let counted = |count: usize| limits.pieces(count, size_of::<Value>());
        match self {
            Value::Undefined(_) => Ok(Vec::new()),
            Value::Str(s) => {
                limits.pieces(s.text.len(), size_of::<Value>() + 24)?;
                let mut buffer = [0; 4];
                Ok(s.text.chars().map(|c| Value::fixed(c.encode_utf8(&mut buffer))).collect())
            }
            Value::List(seq) | Value::Tuple(seq) | Value::View(_, seq) => {
                counted(seq.items.len())?;
                Ok(seq.items.clone())
            }
            Value::Dict(dict) => {
                counted(dict.pairs.len())?;
                Ok(dict.pairs.iter().map(|(k, _)| k.clone()).collect())
            }
            Value::Range(range) => {
                counted(range.len())?;
                Ok((0..range.len()).map(|i| range.get(i)).collect())
            }
            Value::Once(once) => {
                let mut items = once.left.take();
                items.reverse();
                Ok(items)
            }
            other => Err(Fault::failed(format!("'{}' object is not iterable", other.type_name()))),
        }
    }

    /// Whether `iter()` would work.
    pub fn is_iterable(&self) -> bool {
        matches!(
            self,
            Value::Undefined(_)
                | Value::Str(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::View(..)
                | Value::Dict(_)
                | Value::Range(_)
                | Value::Once(_)
                | Value::Loop(_)
        )
    }

    /// Its characters, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(&s.text),
            _ => None,
        }
    }

    /// Its number, if it is whole or a bool.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Bool(b) => Some((*b).into()),
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// Its number.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(f) => Some(*f),
            other => other.as_int().map(|i| i as f64),
        }
    }

    /// The items of a list or a tuple.
    pub fn as_seq(&self) -> Option<&Rc<Seq>> {
        match self {
            Value::List(seq) | Value::Tuple(seq) => Some(seq),
            _ => None,
        }
    }
}
