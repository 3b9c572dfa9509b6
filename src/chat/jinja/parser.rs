//! Tokens to statements; expressions are in `expression.rs`.

use std::sync::Arc;

use super::ast::{Body, Expr, For, MacroDef, Stmt, Target};
use super::fault::{Fault, Result};
use super::lexer::{Kind, Token, tokens};
use super::limits::{NESTING, SOURCE};

/// Reads a template.
///
/// # Errors
/// What is wrong with it, and the line.
pub fn parse(source: &str) -> Result<Body> {
    if source.len() > SOURCE {
        let what = format!("its source has {} bytes, more than the {SOURCE} that are read", source.len());
        return Err(Fault::too_much(what));
    }
    let tokens = tokens(source)?;
    let mut parser =
        Parser { tokens, at: 0, depth: 0, soft: false, unknown: Vec::new(), names: Names::default() };
    let body = parser.body(&[])?;
    match parser.unknown.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(body),
    }
}

/// Special names that the macro being read uses.
#[derive(Clone, Copy, Default)]
pub(super) struct Names {
    pub varargs: bool,
    pub kwargs: bool,
    pub caller: bool,
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    pub(super) depth: usize,
    /// Within an `if`, where an unknown filter or test is an error only when it is reached.
    pub(super) soft: bool,
    /// Unknown filters and tests.
    pub(super) unknown: Vec<Fault>,
    pub(super) names: Names,
}

impl Parser {
    pub(super) fn kind(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub(super) fn ahead(&self) -> &Kind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].line
    }

    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.kind(), Kind::Op(o) if *o == op)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.kind(), Kind::Name(n) if &**n == name)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let is = self.is_op(op);
        if is {
            self.advance();
        }
        is
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let is = self.is_name(name);
        if is {
            self.advance();
        }
        is
    }

    pub(super) fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) { Ok(()) } else { self.unexpected(&format!("'{op}'")) }
    }

    fn expect_name(&mut self, name: &str) -> Result<()> {
        if self.skip_name(name) { Ok(()) } else { self.unexpected(&format!("'{name}'")) }
    }

    pub(super) fn a_name(&mut self) -> Result<Arc<str>> {
        let Kind::Name(name) = self.kind() else { return self.unexpected("a name") };
        let name = Arc::clone(name);
        self.advance();
        Ok(name)
    }

    pub(super) fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        let there = match self.kind() {
            Kind::Data(_) => "text".into(),
            Kind::BlockBegin => "'{%'".into(),
            Kind::BlockEnd => "'%}'".into(),
            Kind::PrintBegin => "'{{'".into(),
            Kind::PrintEnd => "'}}'".into(),
            Kind::Name(name) => format!("'{}'", short(name)),
            Kind::Str(text) => format!("the string '{}'", short(text)),
            Kind::Int(number) => format!("'{number}'"),
            Kind::Float(number) => format!("'{number}'"),
            Kind::Op(op) => format!("'{op}'"),
            Kind::End => "the end of the template".into(),
        };
        Err(Fault::syntax(self.line(), format!("expected {wanted}, found {there}")))
    }

    /// One level deeper, for what calls itself.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let depth = self.depth;
        if depth >= NESTING {
            return Err(Fault::syntax(self.line(), format!("it is nested more than {NESTING} deep")));
        }
        self.depth = depth + 1;
        let result = read(self);
        self.depth = depth;
        result
    }

    /// Reads with [`Self::soft`] as given.
    fn softly<T>(&mut self, soft: bool, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.soft, soft);
        let result = read(self);
        self.soft = before;
        result
    }

    /// Statements up to a block that begins with one of `ends`, whose name is next then; or to the template's end.
    fn body(&mut self, ends: &[&str]) -> Result<Body> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            match self.kind() {
                Kind::Data(text) => {
                    body.push(Stmt::Text(Arc::clone(text)));
                    self.advance();
                }
                Kind::PrintBegin => {
                    self.advance();
                    let expr = self.tuple(true)?;
                    if *self.kind() != Kind::PrintEnd {
                        return self.unexpected("'}}'");
                    }
                    self.advance();
                    body.push(Stmt::Print(line, expr));
                }
                Kind::BlockBegin => {
                    self.advance();
                    if ends.iter().any(|end| self.is_name(end)) {
                        return Ok(body);
                    }
                    if let Some(stmt) = self.deeper(|p| p.statement(line))? {
                        body.push(stmt);
                    }
                }
                Kind::End if ends.is_empty() => return Ok(body),
                _ => return self.unexpected(&format!("'{{% {} %}}'", ends.last().unwrap_or(&"text"))),
            }
        }
    }

    fn block_end(&mut self) -> Result<()> {
        if *self.kind() != Kind::BlockEnd {
            return self.unexpected("'%}'");
        }
        self.advance();
        Ok(())
    }

    /// The rest of a block's first tag, its statements, and its last tag.
    fn enclosed(&mut self, end: &str) -> Result<Body> {
        self.skip_op(":");
        self.block_end()?;
        let body = self.softly(false, |p| p.body(&[end]))?;
        self.advance();
        Ok(body)
    }

    /// A statement, from its name to the end of its last tag.
    fn statement(&mut self, line: u32) -> Result<Option<Stmt>> {
        let name = self.a_name()?;
        let stmt = match &*name {
            "if" => self.softly(true, |p| p.branches(line))?,
            "for" => self.loops(line)?,
            "set" => self.set(line)?,
            "macro" => self.macros()?,
            "call" => self.call(line)?,
            "with" => self.with(line)?,
            "filter" => {
                let filter = self.softly(false, |p| p.filters(Expr::Captured, true))?;
                Stmt::Filter(line, filter, self.enclosed("endfilter")?)
            }
            "generation" => Stmt::Scope(self.enclosed("endgeneration")?),
            "block" => {
                let name = self.a_name()?;
                self.skip_name("scoped");
                self.skip_name("required");
                let body = self.enclosed("endblock")?;
                self.skip_name(&name);
                Stmt::Scope(body)
            }
            "autoescape" => {
                if !(self.skip_name("false") || self.skip_name("False")) {
                    return Err(Fault::syntax(line, "only 'autoescape false' is supported"));
                }
                Stmt::Scope(self.enclosed("endautoescape")?)
            }
            "print" => {
                let mut parts = vec![self.expression(true)?];
                while self.skip_op(",") {
                    parts.push(self.expression(true)?);
                }
                Stmt::Print(line, Expr::Concat(parts))
            }
            "break" => Stmt::Break,
            "continue" => Stmt::Continue,
            "include" => self.foreign(line, "include")?,
            "import" => self.foreign(line, "import")?,
            "from" => self.foreign(line, "from")?,
            "extends" => self.foreign(line, "extends")?,
            other => return Err(Fault::syntax(line, format!("unknown tag '{}'", short(other)))),
        };
        self.block_end()?;
        Ok(Some(stmt))
    }

    fn foreign(&mut self, line: u32, name: &'static str) -> Result<Stmt> {
        while !matches!(self.kind(), Kind::BlockEnd | Kind::End) {
            self.advance();
        }
        Ok(Stmt::Foreign(line, name))
    }

    fn branches(&mut self, line: u32) -> Result<Stmt> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple(false)?;
            self.skip_op(":");
            self.block_end()?;
            branches.push((condition, self.body(&["elif", "else", "endif"])?));
            if self.skip_name("elif") {
                continue;
            }
            let mut otherwise = Vec::new();
            if self.skip_name("else") {
                self.skip_op(":");
                self.block_end()?;
                otherwise = self.body(&["endif"])?;
            }
            self.advance();
            return Ok(Stmt::If(line, branches, otherwise));
        }
    }

    fn loops(&mut self, line: u32) -> Result<Stmt> {
        let target = self.target(false)?;
        self.expect_name("in")?;
        let iter = self.tuple(false)?;
        let filter =
            if self.skip_name("if") { Some(self.softly(false, |p| p.expression(true))?) } else { None };
        let recursive = self.skip_name("recursive");
        self.skip_op(":");
        self.block_end()?;
        let body = self.softly(false, |p| p.body(&["else", "endfor"]))?;
        let mut otherwise = Vec::new();
        if self.skip_name("else") {
            self.skip_op(":");
            self.block_end()?;
            otherwise = self.softly(false, |p| p.body(&["endfor"]))?;
        }
        self.advance();
        Ok(Stmt::For(line, Arc::new(For { target, iter, filter, recursive, body, otherwise })))
    }

    fn set(&mut self, line: u32) -> Result<Stmt> {
        let target = self.target(true)?;
        if self.skip_op("=") {
            return Ok(Stmt::Set(line, target, self.tuple(true)?));
        }
        let filter = self.softly(false, |p| p.filters(Expr::Captured, false))?;
        let body = self.enclosed("endset")?;
        Ok(Stmt::SetBlock(line, target, filter, body))
    }

    fn with(&mut self, line: u32) -> Result<Stmt> {
        let mut values = Vec::new();
        while *self.kind() != Kind::BlockEnd {
            if !values.is_empty() {
                self.expect_op(",")?;
            }
            let target = Target::Name(self.a_name()?);
            self.expect_op("=")?;
            values.push((target, self.expression(true)?));
        }
        let body = self.enclosed("endwith")?;
        Ok(Stmt::With(line, values, body))
    }

    fn macros(&mut self) -> Result<Stmt> {
        let name = self.a_name()?;
        let parameters = self.parameters()?;
        Ok(Stmt::Macro(self.definition(name, parameters, "endmacro")?))
    }

    fn call(&mut self, line: u32) -> Result<Stmt> {
        let parameters = if self.is_op("(") { self.parameters()? } else { Vec::new() };
        let call = self.expression(true)?;
        if !matches!(call, Expr::Call(..)) {
            return Err(Fault::syntax(line, "a call block needs a call"));
        }
        Ok(Stmt::Call(line, call, self.definition("caller".into(), parameters, "endcall")?))
    }

    fn definition(
        &mut self,
        name: Arc<str>,
        parameters: Vec<(Arc<str>, Option<Expr>)>,
        end: &str,
    ) -> Result<Arc<MacroDef>> {
        let before = std::mem::take(&mut self.names);
        let body = self.enclosed(end)?;
        let Names { varargs, kwargs, caller } = std::mem::replace(&mut self.names, before);
        Ok(Arc::new(MacroDef {
            name,
            parameters,
            body,
            uses_varargs: varargs,
            uses_kwargs: kwargs,
            uses_caller: caller,
        }))
    }

    fn parameters(&mut self) -> Result<Vec<(Arc<str>, Option<Expr>)>> {
        self.expect_op("(")?;
        let mut parameters: Vec<(Arc<str>, Option<Expr>)> = Vec::new();
        while !self.skip_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.a_name()?;
            let default = if self.skip_op("=") { Some(self.expression(true)?) } else { None };
            if default.is_none() && parameters.last().is_some_and(|(_, default)| default.is_some()) {
                return Err(Fault::syntax(
                    self.line(),
                    "a parameter without a default follows one with a default",
                ));
            }
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    /// What is assigned to; `namespaces`: an attribute of one may be.
    fn target(&mut self, namespaces: bool) -> Result<Target> {
        let mut targets = vec![self.one_target(namespaces)?];
        let mut is_tuple = false;
        while self.skip_op(",") {
            is_tuple = true;
            if self.is_name("in") || self.is_op("=") {
                break;
            }
            targets.push(self.one_target(namespaces)?);
        }
        match (is_tuple, targets.pop()) {
            (false, Some(target)) => Ok(target),
            (_, last) => Ok(Target::Tuple(targets.into_iter().chain(last).collect())),
        }
    }

    fn one_target(&mut self, namespaces: bool) -> Result<Target> {
        if self.skip_op("(") {
            let target = self.deeper(|p| p.target(namespaces))?;
            self.expect_op(")")?;
            return Ok(target);
        }
        let line = self.line();
        let name = self.a_name()?;
        if matches!(&*name, "true" | "false" | "none" | "True" | "False" | "None") {
            return Err(Fault::syntax(line, format!("can't assign to '{name}'")));
        }
        if namespaces && self.skip_op(".") {
            return Ok(Target::Attr(name, self.a_name()?));
        }
        Ok(Target::Name(name))
    }
}

/// The beginning of a text, for a message.
pub(super) fn short(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_default).collect();
    if text.chars().nth(40).is_some() {
        short.push_str("...");
    }
    short
}
