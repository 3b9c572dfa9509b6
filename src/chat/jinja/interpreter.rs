//! Statements, run: scopes, loops, assignments.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::arithmetic;
use super::ast::{Body, For, MacroDef, Stmt, Target};
use super::fault::{Fault, Result};
use super::filters::Context;
use super::limits::{DEPTH, Limits, OUTPUT};
use super::namespaces::Namespaces;
use super::repr::write_text;
use super::strftime::Date;
use super::value::{Loop, Macro, Seq, Value};

/// Variables, and the scope around them.
struct Scope {
    variables: Vec<(Arc<str>, Value)>,
    parent: Option<usize>,
}

/// How a statement ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Next,
    Break,
    Continue,
}

pub struct Interpreter<'a> {
    pub(super) limits: &'a Limits,
    pub(super) spaces: &'a Namespaces,
    pub(super) date: Date,
    scopes: Vec<Scope>,
    /// Scopes below this one are in use by a macro for as long as the rendering lasts.
    kept: usize,
    pub(super) depth: usize,
    /// Texts of blocks that filters are applied to.
    pub(super) captured: Vec<Value>,
}

impl<'a> Interpreter<'a> {
    pub fn new(limits: &'a Limits, spaces: &'a Namespaces, date: Date) -> Self {
        Self { limits, spaces, date, scopes: Vec::new(), kept: 0, depth: 0, captured: Vec::new() }
    }

    /// Runs a template with these variables.
    pub fn render(mut self, body: &Body, variables: Vec<(Arc<str>, Value)>) -> Result<String> {
        let scope = self.open(None);
        self.scopes[scope].variables = variables;
        let mut out = String::new();
        self.run(body, scope, &mut out)?;
        Ok(out)
    }

    pub(super) fn context(&self) -> Context<'a> {
        Context { spaces: self.spaces, limits: self.limits }
    }

    pub(super) fn open(&mut self, parent: Option<usize>) -> usize {
        self.scopes.push(Scope { variables: Vec::new(), parent });
        self.scopes.len() - 1
    }

    pub(super) fn close(&mut self, scope: usize) {
        self.scopes.truncate(scope.max(self.kept));
    }

    pub(super) fn declare(&mut self, scope: usize, name: &Arc<str>, value: Value) -> Result<()> {
        let variables = &mut self.scopes[scope].variables;
        self.limits.steps(variables.len() / 16)?;
        match variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => {
                self.limits.memory(size_of::<(Arc<str>, Value)>())?;
                variables.push((Arc::clone(name), value));
            }
        }
        Ok(())
    }

    pub(super) fn variable(&self, name: &str, scope: usize) -> Result<Option<Value>> {
        let mut at = Some(scope);
        while let Some(scope) = at.map(|at| &self.scopes[at]) {
            self.limits.steps(1 + scope.variables.len() / 16)?;
            if let Some((_, value)) = scope.variables.iter().find(|(n, _)| &**n == name) {
                return Ok(Some(value.clone()));
            }
            at = scope.parent;
        }
        Ok(None)
    }

    /// One level deeper, for what calls itself.
    pub(super) fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH {
            return Err(Fault::too_much("it calls itself too often, or is nested too deeply"));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    fn emit(&self, out: &mut String, text: &str) -> Result<()> {
        self.limits.memory(text.len())?;
        if out.len() + text.len() > OUTPUT {
            return Err(Fault::too_much(format!("its text is longer than {} MB", OUTPUT >> 20)));
        }
        out.push_str(text);
        Ok(())
    }

    pub(super) fn run(&mut self, body: &[Stmt], scope: usize, out: &mut String) -> Result<Flow> {
        for stmt in body {
            let flow = self.deeper(|i| i.statement(stmt, scope, out))?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    /// Runs a body in a scope of its own.
    fn within(&mut self, body: &[Stmt], parent: usize, out: &mut String) -> Result<Flow> {
        let scope = self.open(Some(parent));
        let flow = self.run(body, scope, out);
        self.close(scope);
        flow
    }

    fn statement(&mut self, stmt: &Stmt, scope: usize, out: &mut String) -> Result<Flow> {
        self.limits.steps(1)?;
        match stmt {
            Stmt::Text(text) => self.emit(out, text)?,
            Stmt::Print(line, expr) => {
                let value = self.eval(expr, scope).map_err(|e| e.at(*line))?;
                self.print(&value, out).map_err(|e| e.at(*line))?;
            }
            Stmt::If(line, branches, otherwise) => {
                for (condition, body) in branches {
                    if self.eval(condition, scope).map_err(|e| e.at(*line))?.is_true() {
                        return self.run(body, scope, out);
                    }
                }
                return self.run(otherwise, scope, out);
            }
            Stmt::For(line, each) => {
                let items = self.eval(&each.iter, scope).map_err(|e| e.at(*line))?;
                self.each(each, &items, scope, 0, out).map_err(|e| e.at(*line))?;
            }
            Stmt::Set(line, target, expr) => {
                let value = self.eval(expr, scope).map_err(|e| e.at(*line))?;
                self.assign(target, value, scope).map_err(|e| e.at(*line))?;
            }
            Stmt::SetBlock(line, target, filter, body) => {
                let value = self.capture(body, scope, filter).map_err(|e| e.at(*line))?;
                self.assign(target, value, scope).map_err(|e| e.at(*line))?;
            }
            Stmt::Filter(line, filter, body) => {
                let value = self.capture(body, scope, filter).map_err(|e| e.at(*line))?;
                self.print(&value, out)?;
            }
            Stmt::With(line, values, body) => {
                let inner = self.open(Some(scope));
                for (target, expr) in values {
                    let value = self.eval(expr, scope).map_err(|e| e.at(*line))?;
                    self.assign(target, value, inner)?;
                }
                let flow = self.run(body, inner, out);
                self.close(inner);
                return flow;
            }
            Stmt::Macro(def) => {
                let value = self.macro_value(def, scope);
                self.declare(scope, &def.name, value)?;
            }
            Stmt::Call(line, call, def) => {
                let caller = self.macro_value(def, scope);
                let text = self.call_with(call, caller, scope).map_err(|e| e.at(*line))?;
                self.print(&text, out)?;
            }
            Stmt::Scope(body) => return self.within(body, scope, out),
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::Foreign(line, name) => {
                return Err(
                    Fault::failed(format!("'{name}' needs other templates, and there are none")).at(*line)
                );
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value, out: &mut String) -> Result<()> {
        match value {
            Value::Str(text) => self.emit(out, &text.text),
            other => {
                write_text(out, other, self.spaces, self.limits)?;
                self.emit(out, "")
            }
        }
    }

    fn macro_value(&mut self, def: &Arc<MacroDef>, scope: usize) -> Value {
        self.kept = self.kept.max(scope + 1);
        Value::Macro(Rc::new(Macro { def: Arc::clone(def), scope }))
    }

    /// The text of a body, through a filter.
    fn capture(&mut self, body: &[Stmt], scope: usize, filter: &super::ast::Expr) -> Result<Value> {
        let mut text = String::new();
        self.within(body, scope, &mut text)?;
        let text = Value::text(text, self.limits)?;
        self.captured.push(text);
        let value = self.eval(filter, scope);
        self.captured.pop();
        value
    }

    fn assign(&mut self, target: &Target, value: Value, scope: usize) -> Result<()> {
        match target {
            Target::Name(name) => self.declare(scope, name, value),
            Target::Attr(name, attribute) => match self.variable(name, scope)? {
                Some(Value::Namespace(_)) if attribute.starts_with('_') => {
                    Err(Fault::failed(format!("a namespace cannot have an attribute '{attribute}'")))
                }
                Some(Value::Namespace(index)) => self.spaces.set(index, attribute, value, self.limits),
                _ => Err(Fault::failed("cannot assign attribute on non-namespace object")),
            },
            Target::Tuple(targets) => {
                let values = value.iterate(self.limits)?;
                let (wanted, given) = (targets.len(), values.len());
                if given < wanted {
                    let what = format!("not enough values to unpack (expected {wanted}, got {given})");
                    return Err(Fault::failed(what));
                }
                if given > wanted {
                    return Err(Fault::failed(format!("too many values to unpack (expected {wanted})")));
                }
                targets.iter().zip(values).try_for_each(|(target, value)| self.assign(target, value, scope))
            }
        }
    }

    /// A loop.
    pub(super) fn each(
        &mut self,
        each: &Arc<For>,
        items: &Value,
        outer: usize,
        depth: usize,
        out: &mut String,
    ) -> Result<()> {
        let mut items = items.iterate(self.limits)?;
        if let Some(filter) = &each.filter {
            let mut kept = Vec::new();
            for item in items {
                let scope = self.open(Some(outer));
                self.assign(&each.target, item.clone(), scope)?;
                if self.eval(filter, scope)?.is_true() {
                    kept.push(item);
                }
                self.close(scope);
            }
            items = kept;
        }
        if items.is_empty() {
            self.within(&each.otherwise, outer, out)?;
            return Ok(());
        }
        let items = Seq::new(items, self.limits)?;
        let recursive = each.recursive.then(|| (Arc::clone(each), outer));
        if recursive.is_some() {
            self.kept = self.kept.max(outer + 1);
        }
        let state = Loop { items: Rc::clone(&items), index: 0, depth, last: None, recursive };
        let state = Rc::new(RefCell::new(state));
        let name: Arc<str> = "loop".into();
        let mut ended = Ok(());
        for (index, item) in items.items.iter().enumerate() {
            state.borrow_mut().index = index;
            let scope = self.open(Some(outer));
            let flow = self
                .declare(scope, &name, Value::Loop(Rc::clone(&state)))
                .and_then(|()| self.assign(&each.target, item.clone(), scope))
                .and_then(|()| self.run(&each.body, scope, out));
            self.close(scope);
            match flow {
                Ok(Flow::Break) => break,
                Ok(_) => {}
                Err(e) => {
                    ended = Err(e);
                    break;
                }
            }
        }
        // What it remembers may contain it.
        state.borrow_mut().last = None;
        ended
    }
}

/// See [`arithmetic::concat`].
pub(super) fn joined(values: &[Value], context: Context<'_>) -> Result<Value> {
    arithmetic::concat(values, context.spaces, context.limits)
}
