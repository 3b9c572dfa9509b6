//! Expressions, evaluated, and calls.

use std::rc::Rc;
use std::sync::Arc;

use super::args::{Args, int, int_or, string};
use super::ast::{Arguments, Expr, Literal};
use super::compare::{compare, put};
use super::fault::{Fault, Kind, Result};
use super::interpreter::{Interpreter, joined};
use super::limits::RANGE;
use super::methods;
use super::repr::to_text;
use super::value::{Cycler, Dict, Macro, Range, Seq, Text, Value};
use super::{access, arithmetic, filters, predicates};

/// What every template has.
const GLOBALS: &[&str] =
    &["range", "dict", "lipsum", "cycler", "joiner", "namespace", "raise_exception", "strftime_now"];

impl Interpreter<'_> {
    pub(super) fn eval(&mut self, expr: &Expr, scope: usize) -> Result<Value> {
        self.limits.steps(1)?;
        match expr {
            Expr::Const(literal) => Ok(constant(literal)),
            Expr::Name(name) => self.name(name, scope),
            _ => self.deeper(|i| i.compound(expr, scope)),
        }
    }

    fn name(&mut self, name: &Arc<str>, scope: usize) -> Result<Value> {
        if let Some(value) = self.variable(name, scope)? {
            return Ok(value);
        }
        Ok(match GLOBALS.iter().find(|global| ***global == **name) {
            Some(global) => Value::Global(global),
            None => Value::Undefined(format!("'{}' is undefined", super::parser::short(name)).into()),
        })
    }

    fn all(&mut self, exprs: &[Expr], scope: usize) -> Result<Vec<Value>> {
        exprs.iter().map(|e| self.eval(e, scope)).collect()
    }

    fn compound(&mut self, expr: &Expr, scope: usize) -> Result<Value> {
        match expr {
            Expr::Const(literal) => Ok(constant(literal)),
            Expr::Name(name) => self.name(name, scope),
            Expr::List(items) => {
                let items = self.all(items, scope)?;
                Value::list(items, self.limits)
            }
            Expr::Tuple(items) => {
                let items = self.all(items, scope)?;
                Value::tuple(items, self.limits)
            }
            Expr::Dict(pairs) => self.dict(pairs, scope),
            Expr::Attr(of, name) => {
                let of = self.eval(of, scope)?;
                access::attribute(&of, name, self.spaces, self.limits)
            }
            Expr::Item(of, index) => self.item(of, index, scope),
            Expr::Slice(_) => Err(Fault::failed("a slice is no value")),
            Expr::Call(callee, args) => {
                let callee = self.eval(callee, scope)?;
                let args = self.arguments(args, scope)?;
                self.call(&callee, args)
            }
            Expr::Filter(of, name, args) => {
                let of = self.eval(of, scope)?;
                let args = self.arguments(args, scope)?;
                filters::apply(name, &of, args, self.context())
            }
            Expr::Test(of, name, args) => {
                let of = self.eval(of, scope)?;
                let args = self.arguments(args, scope)?;
                predicates::holds(name, &of, args, self.context()).map(Value::Bool)
            }
            Expr::Captured => Ok(self.captured.last().cloned().unwrap_or(Value::None)),
            Expr::Not(of) => Ok(Value::Bool(!self.eval(of, scope)?.is_true())),
            Expr::Neg(of) => arithmetic::signed(&self.eval(of, scope)?, true),
            Expr::Pos(of) => arithmetic::signed(&self.eval(of, scope)?, false),
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.eval(a, scope)?, self.eval(b, scope)?);
                arithmetic::binary(*op, &a, &b, self.spaces, self.limits)
            }
            Expr::And(a, b) => {
                let a = self.eval(a, scope)?;
                if a.is_true() { self.eval(b, scope) } else { Ok(a) }
            }
            Expr::Or(a, b) => {
                let a = self.eval(a, scope)?;
                if a.is_true() { Ok(a) } else { self.eval(b, scope) }
            }
            Expr::Concat(parts) => {
                let parts = self.all(parts, scope)?;
                joined(&parts, self.context())
            }
            Expr::Compare(first, others) => {
                let mut left = self.eval(first, scope)?;
                for (op, expr) in others {
                    let right = self.eval(expr, scope)?;
                    if !compare(*op, &left, &right, self.limits)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::Cond(test, value, otherwise) => match (self.eval(test, scope)?.is_true(), otherwise) {
                (true, _) => self.eval(value, scope),
                (false, Some(otherwise)) => self.eval(otherwise, scope),
                (false, None) => Ok(Value::Undefined("an 'if' without 'else' has no value here".into())),
            },
        }
    }

    fn dict(&mut self, exprs: &[(Expr, Expr)], scope: usize) -> Result<Value> {
        let mut pairs = Vec::new();
        for (key, value) in exprs {
            let (key, value) = (self.eval(key, scope)?, self.eval(value, scope)?);
            put(&mut pairs, key, value, self.limits)?;
        }
        Ok(Value::Dict(Dict::new(pairs, self.limits)?))
    }

    fn item(&mut self, of: &Expr, index: &Expr, scope: usize) -> Result<Value> {
        let of = self.eval(of, scope)?;
        let Expr::Slice(parts) = index else {
            let index = self.eval(index, scope)?;
            return access::item(&of, &index, self.spaces, self.limits);
        };
        let mut values = [const { None }; 3];
        for (value, part) in values.iter_mut().zip(parts.iter()) {
            if let Some(part) = part {
                *value = Some(self.eval(part, scope)?);
            }
        }
        access::slice(&of, values, self.limits)
    }

    fn arguments(&mut self, given: &Arguments, scope: usize) -> Result<Args> {
        let mut args = Args { positional: self.all(&given.positional, scope)?, named: Vec::new() };
        if let Some(list) = &given.list {
            let more = self.eval(list, scope)?.iterate(self.limits)?;
            args.positional.extend(more);
        }
        for (name, expr) in &given.named {
            let value = self.eval(expr, scope)?;
            args.named.push((Arc::clone(name), value));
        }
        if let Some(dict) = &given.dict {
            let Value::Dict(dict) = self.eval(dict, scope)? else {
                return Err(Fault::failed("what comes after ** must be a mapping"));
            };
            for (key, value) in &dict.pairs {
                args.named.push((string(key, "a keyword")?.into(), value.clone()));
            }
        }
        Ok(args)
    }

    /// The call of a call block, with its body.
    pub(super) fn call_with(&mut self, call: &Expr, caller: Value, scope: usize) -> Result<Value> {
        let Expr::Call(callee, args) = call else { return Err(Fault::failed("a call block needs a call")) };
        let callee = self.eval(callee, scope)?;
        let mut args = self.arguments(args, scope)?;
        args.named.push(("caller".into(), caller));
        self.call(&callee, args)
    }

    fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        match callee.defined()? {
            Value::Macro(called) => self.deeper(|i| i.call_macro(called, args)),
            Value::Global(name) => self.call_global(name, args),
            Value::Method(method) => methods::call(&method.of, &method.name, args, self.spaces, self.limits),
            Value::Loop(state) => {
                let (recursive, depth) = {
                    let state = state.borrow();
                    (state.recursive.clone(), state.depth)
                };
                let Some((each, scope)) = recursive else {
                    return Err(Fault::failed("the loop must have the 'recursive' marker to be called"));
                };
                let [items] = args.bind("loop", ["iterable"], 1)?;
                let mut out = String::new();
                self.deeper(|i| i.each(&each, &items.unwrap_or(Value::None), scope, depth + 1, &mut out))?;
                Value::text(out, self.limits)
            }
            Value::Cycler(cycler) if cycler.joins => {
                args.none("joiner")?;
                let first = cycler.at.replace(1) == 0;
                Ok(match (first, cycler.items.items.first()) {
                    (false, Some(separator)) => separator.clone(),
                    _ => Value::fixed(""),
                })
            }
            other => Err(Fault::failed(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    fn call_macro(&mut self, called: &Rc<Macro>, args: Args) -> Result<Value> {
        let def = &called.def;
        let name = &def.name;
        let Args { positional, mut named } = args;
        let scope = self.open(Some(called.scope));
        let given = positional.len();
        let mut positional = positional.into_iter();
        if def.uses_caller {
            let caller = named.iter().position(|(n, _)| &**n == "caller").map(|at| named.remove(at).1);
            let caller = caller.unwrap_or_else(|| Value::Undefined("No caller defined".into()));
            self.declare(scope, &"caller".into(), caller)?;
        }
        for (parameter, default) in &def.parameters {
            let by_name = named.iter().position(|(n, _)| n == parameter);
            let value = match (positional.next(), by_name) {
                (Some(_), Some(_)) => {
                    return Err(Fault::failed(format!("macro '{name}' got two values for '{parameter}'")));
                }
                (Some(value), None) => value,
                (None, Some(at)) => named.remove(at).1,
                (None, None) => match default {
                    Some(default) => self.eval(default, scope)?,
                    None => Value::Undefined(format!("parameter '{parameter}' was not provided").into()),
                },
            };
            self.declare(scope, parameter, value)?;
        }
        let more: Vec<Value> = positional.collect();
        if def.uses_varargs {
            let more = Value::tuple(more, self.limits)?;
            self.declare(scope, &"varargs".into(), more)?;
        } else if !more.is_empty() {
            let most = def.parameters.len();
            return Err(Fault::failed(format!(
                "macro '{name}' takes not more than {most} argument(s), not {given}"
            )));
        }
        if def.uses_kwargs {
            let pairs = named.into_iter().map(|(n, v)| (Value::fixed(&n), v)).collect();
            let rest = Value::Dict(Dict::new(pairs, self.limits)?);
            self.declare(scope, &"kwargs".into(), rest)?;
        } else if let Some((other, _)) = named.first() {
            return Err(Fault::failed(format!("macro '{name}' takes no keyword argument '{other}'")));
        }
        let mut out = String::new();
        self.run(&def.body, scope, &mut out)?;
        self.close(scope);
        Value::text(out, self.limits)
    }

    fn call_global(&mut self, name: &'static str, args: Args) -> Result<Value> {
        match name {
            "raise_exception" => {
                let [message] = args.bind(name, ["message"], 1)?;
                let what = to_text(&message.unwrap_or(Value::None), self.spaces, self.limits)?;
                Err(Fault { kind: Kind::Raised, what, line: None })
            }
            "strftime_now" => {
                let [format] = args.bind(name, ["format"], 1)?;
                let format = format.unwrap_or(Value::None);
                Value::text(self.date.format(string(&format, name)?, self.limits)?, self.limits)
            }
            "range" => {
                let [a, b, step] = args.bind(name, ["start", "stop", "step"], 1)?;
                let a = int(&a.unwrap_or(Value::None))?;
                let (start, stop) = match b {
                    None => (0, a),
                    Some(b) => (a, int(&b)?),
                };
                let step = int_or(step.as_ref(), 1)?;
                if step == 0 {
                    return Err(Fault::failed("range() arg 3 must not be zero"));
                }
                let in_bounds = [start, stop, step].iter().all(|n| n.unsigned_abs() < 1 << 100);
                let range = Range { start, stop, step };
                if !in_bounds || range.len() as i128 > RANGE {
                    let what =
                        format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({RANGE}).");
                    return Err(Fault::too_much(what));
                }
                Ok(Value::Range(Rc::new(range)))
            }
            "dict" | "namespace" => {
                let Args { positional, named } = args;
                let mut pairs = Vec::new();
                for value in positional {
                    self.pairs_of(&value, &mut pairs)?;
                }
                for (key, value) in named {
                    put(&mut pairs, Value::fixed(&key), value, self.limits)?;
                }
                if name == "dict" {
                    return Ok(Value::Dict(Dict::new(pairs, self.limits)?));
                }
                if let Some(bad) = pairs.iter().find_map(|(k, _)| k.as_str().filter(|k| k.starts_with('_'))) {
                    return Err(Fault::failed(format!("a namespace cannot have an attribute '{bad}'")));
                }
                Ok(Value::Namespace(self.spaces.add(pairs, self.limits)?))
            }
            "cycler" => {
                if args.positional.is_empty() {
                    return Err(Fault::failed("at least one item has to be provided"));
                }
                let items = Seq::new(args.positional, self.limits)?;
                Ok(Value::Cycler(Rc::new(Cycler { items, at: 0.into(), joins: false })))
            }
            "joiner" => {
                let [separator] = args.bind(name, ["sep"], 0)?;
                let separator = separator.unwrap_or_else(|| Value::fixed(", "));
                let items = Seq::new(vec![separator], self.limits)?;
                Ok(Value::Cycler(Rc::new(Cycler { items, at: 0.into(), joins: true })))
            }
            _ => Err(Fault::failed(format!("the function '{name}' is not supported"))),
        }
    }

    /// What `dict(value)` begins with.
    fn pairs_of(&mut self, value: &Value, pairs: &mut Vec<(Value, Value)>) -> Result<()> {
        if let Value::Dict(dict) = value {
            for (key, value) in &dict.pairs {
                put(pairs, key.clone(), value.clone(), self.limits)?;
            }
            return Ok(());
        }
        for pair in value.iterate(self.limits)? {
            let mut pair = pair.iterate(self.limits)?.into_iter();
            let (Some(key), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
                return Err(Fault::failed("a dict is made of pairs"));
            };
            put(pairs, key, value, self.limits)?;
        }
        Ok(())
    }
}

fn constant(literal: &Literal) -> Value {
    match literal {
        Literal::None => Value::None,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(i) => Value::Int(*i),
        Literal::Float(f) => Value::Float(*f),
        Literal::Str(text) => Value::Str(Text { text: Arc::clone(text), safe: false }),
    }
}
