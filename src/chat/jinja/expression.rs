//! Tokens to expressions, with the precedences of Jinja's parser.

use std::sync::Arc;

use super::ast::{Arguments, Cmp, Expr, Literal, Op};
use super::fault::{Fault, Result};
use super::lexer::Kind;
use super::parser::{Parser, short};
use super::{filters, predicates};

fn boxed(expr: Expr) -> Box<Expr> {
    Box::new(expr)
}

impl Parser {
    /// An expression; with `conditions` it may have the form `a if b else c`.
    pub(super) fn expression(&mut self, conditions: bool) -> Result<Expr> {
        self.deeper(|p| if conditions { p.condition() } else { p.or() })
    }

    /// An expression, or several with commas between, which are a tuple.
    pub(super) fn tuple(&mut self, conditions: bool) -> Result<Expr> {
        let first = self.expression(conditions)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_op(",") {
            if self.ends_tuple() {
                break;
            }
            items.push(self.expression(conditions)?);
        }
        Ok(Expr::Tuple(items))
    }

    fn ends_tuple(&self) -> bool {
        matches!(self.kind(), Kind::BlockEnd | Kind::PrintEnd | Kind::End | Kind::Op(")"))
            || self.is_name("recursive")
    }

    /// Reads a chain of equal operators: each link makes the tree deeper.
    fn chain(&mut self, read: impl FnOnce(&mut Self) -> Result<Expr>) -> Result<Expr> {
        let depth = self.depth;
        let result = read(self);
        self.depth = depth;
        result
    }

    /// Another link of a chain.
    fn link<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = self.deeper(read);
        self.depth += 1;
        result
    }

    fn condition(&mut self) -> Result<Expr> {
        self.chain(|p| {
            let known = p.unknown.len();
            let mut value = p.or()?;
            while p.skip_name("if") {
                let test = p.link(Self::or)?;
                let otherwise =
                    if p.skip_name("else") { Some(boxed(p.link(Self::condition)?)) } else { None };
                value = Expr::Cond(boxed(test), boxed(value), otherwise);
                // An unknown filter there is an error only when it is reached.
                p.unknown.truncate(known);
            }
            Ok(value)
        })
    }

    fn or(&mut self) -> Result<Expr> {
        self.chain(|p| {
            let mut left = p.and()?;
            while p.skip_name("or") {
                left = Expr::Or(boxed(left), boxed(p.link(Self::and)?));
            }
            Ok(left)
        })
    }

    fn and(&mut self) -> Result<Expr> {
        self.chain(|p| {
            let mut left = p.not()?;
            while p.skip_name("and") {
                left = Expr::And(boxed(left), boxed(p.link(Self::not)?));
            }
            Ok(left)
        })
    }

    fn not(&mut self) -> Result<Expr> {
        if self.skip_name("not") {
            return Ok(Expr::Not(boxed(self.deeper(Self::not)?)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr> {
        let left = self.sum()?;
        let mut others = Vec::new();
        loop {
            let op = match self.kind() {
                Kind::Op("==") => Cmp::Eq,
                Kind::Op("!=") => Cmp::Ne,
                Kind::Op("<") => Cmp::Lt,
                Kind::Op("<=") => Cmp::Le,
                Kind::Op(">") => Cmp::Gt,
                Kind::Op(">=") => Cmp::Ge,
                Kind::Name(name) if &**name == "in" => Cmp::In,
                Kind::Name(name)
                    if &**name == "not" && matches!(self.ahead(), Kind::Name(n) if &**n == "in") =>
                {
                    self.advance();
                    Cmp::NotIn
                }
                _ => break,
            };
            self.advance();
            others.push((op, self.sum()?));
        }
        Ok(if others.is_empty() { left } else { Expr::Compare(boxed(left), others) })
    }

    /// A chain of operators that group to the left.
    fn binary(&mut self, ops: &[(&str, Op)], operand: fn(&mut Self) -> Result<Expr>) -> Result<Expr> {
        self.chain(|p| {
            let mut left = operand(p)?;
            while let Some((_, op)) = ops.iter().find(|(sign, _)| p.is_op(sign)) {
                p.advance();
                left = Expr::Binary(*op, boxed(left), boxed(p.link(operand)?));
            }
            Ok(left)
        })
    }

    fn sum(&mut self) -> Result<Expr> {
        self.binary(&[("+", Op::Add), ("-", Op::Sub)], Self::concat)
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        Ok(Expr::Concat(parts))
    }

    fn product(&mut self) -> Result<Expr> {
        let ops = [("*", Op::Mul), ("/", Op::Div), ("//", Op::FloorDiv), ("%", Op::Rem)];
        self.binary(&ops, Self::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.binary(&[("**", Op::Pow)], |p| p.unary(true))
    }

    fn unary(&mut self, filtered: bool) -> Result<Expr> {
        let node = if self.skip_op("-") {
            Expr::Neg(boxed(self.deeper(|p| p.unary(false))?))
        } else if self.skip_op("+") {
            Expr::Pos(boxed(self.deeper(|p| p.unary(false))?))
        } else {
            self.primary()?
        };
        self.chain(|p| {
            let node = p.postfix(node)?;
            if filtered { p.filtered(node) } else { Ok(node) }
        })
    }

    fn primary(&mut self) -> Result<Expr> {
        let literal = match self.kind() {
            Kind::Name(name) => match &**name {
                "true" | "True" => Literal::Bool(true),
                "false" | "False" => Literal::Bool(false),
                "none" | "None" => Literal::None,
                _ => {
                    let name = Arc::clone(name);
                    match &*name {
                        "varargs" => self.names.varargs = true,
                        "kwargs" => self.names.kwargs = true,
                        "caller" => self.names.caller = true,
                        _ => {}
                    }
                    self.advance();
                    return Ok(Expr::Name(name));
                }
            },
            Kind::Str(text) => {
                let mut text = Arc::clone(text);
                // Strings side by side are one.
                while let Kind::Str(more) = self.ahead() {
                    text = [&*text, more].concat().into();
                    self.advance();
                }
                Literal::Str(text)
            }
            Kind::Int(number) => Literal::Int(*number),
            Kind::Float(number) => Literal::Float(*number),
            Kind::Op("(") => {
                self.advance();
                if self.skip_op(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let inner = self.tuple(true)?;
                self.expect_op(")")?;
                return Ok(inner);
            }
            Kind::Op("[") => {
                self.advance();
                let mut items = Vec::new();
                while !self.skip_op("]") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.skip_op("]") {
                            break;
                        }
                    }
                    items.push(self.expression(true)?);
                }
                return Ok(Expr::List(items));
            }
            Kind::Op("{") => {
                self.advance();
                let mut pairs = Vec::new();
                while !self.skip_op("}") {
                    if !pairs.is_empty() {
                        self.expect_op(",")?;
                        if self.skip_op("}") {
                            break;
                        }
                    }
                    let key = self.expression(true)?;
                    self.expect_op(":")?;
                    pairs.push((key, self.expression(true)?));
                }
                return Ok(Expr::Dict(pairs));
            }
            _ => return self.unexpected("an expression"),
        };
        self.advance();
        Ok(Expr::Const(literal))
    }

    fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            node = match self.kind() {
                Kind::Op("." | "[") => self.link(|p| p.subscript(node))?,
                Kind::Op("(") => Expr::Call(boxed(node), Box::new(self.link(Self::arguments)?)),
                _ => return Ok(node),
            }
        }
    }

    fn filtered(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            node = match self.kind() {
                Kind::Op("|") => self.filters(node, false)?,
                Kind::Name(name) if &**name == "is" => self.link(|p| p.test(node))?,
                Kind::Op("(") => Expr::Call(boxed(node), Box::new(self.link(Self::arguments)?)),
                _ => return Ok(node),
            }
        }
    }

    fn subscript(&mut self, node: Expr) -> Result<Expr> {
        if self.skip_op(".") {
            if let Kind::Int(index) = *self.kind() {
                self.advance();
                return Ok(Expr::Item(boxed(node), boxed(Expr::Const(Literal::Int(index)))));
            }
            return Ok(Expr::Attr(boxed(node), self.a_name()?));
        }
        self.expect_op("[")?;
        let mut indices = Vec::new();
        while !self.skip_op("]") {
            if !indices.is_empty() {
                self.expect_op(",")?;
            }
            indices.push(self.index()?);
        }
        match (indices.len(), indices.pop()) {
            (1, Some(index)) => Ok(Expr::Item(boxed(node), boxed(index))),
            (0, _) | (_, None) => self.unexpected("an index"),
            (_, Some(last)) => {
                indices.push(last);
                Ok(Expr::Item(boxed(node), boxed(Expr::Tuple(indices))))
            }
        }
    }

    fn index(&mut self) -> Result<Expr> {
        let mut parts = [None, None, None];
        if !self.is_op(":") {
            let index = self.expression(true)?;
            if !self.is_op(":") {
                return Ok(index);
            }
            parts[0] = Some(index);
        }
        self.advance();
        for part in &mut parts[1..] {
            if !matches!(self.kind(), Kind::Op(":" | "]" | ",")) {
                *part = Some(self.expression(true)?);
            }
            if !self.skip_op(":") {
                break;
            }
        }
        Ok(Expr::Slice(Box::new(parts)))
    }

    /// `(a, b=c, *d, **e)`
    fn arguments(&mut self) -> Result<Arguments> {
        self.expect_op("(")?;
        let mut args = Arguments::default();
        let mut first = true;
        while !self.skip_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            first = false;
            let wrong = |p: &Self| Err(Fault::syntax(p.line(), "these arguments are in the wrong order"));
            if self.skip_op("**") {
                if args.dict.is_some() {
                    return wrong(self);
                }
                args.dict = Some(boxed(self.expression(true)?));
            } else if self.skip_op("*") {
                if args.list.is_some() || args.dict.is_some() {
                    return wrong(self);
                }
                args.list = Some(boxed(self.expression(true)?));
            } else if matches!((self.kind(), self.ahead()), (Kind::Name(_), Kind::Op("="))) {
                let name = self.a_name()?;
                self.advance();
                if args.dict.is_some() {
                    return wrong(self);
                }
                args.named.push((name, self.expression(true)?));
            } else {
                if args.dict.is_some() || args.list.is_some() || !args.named.is_empty() {
                    return wrong(self);
                }
                args.positional.push(self.expression(true)?);
            }
        }
        Ok(args)
    }

    fn dotted(&mut self) -> Result<Arc<str>> {
        let mut name = self.a_name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.a_name()?).into();
        }
        Ok(name)
    }

    /// `|filter|filter(...)`; with `inline` the first one comes without its sign.
    pub(super) fn filters(&mut self, mut node: Expr, inline: bool) -> Result<Expr> {
        let mut first = inline;
        while std::mem::take(&mut first) || self.skip_op("|") {
            let line = self.line();
            node = self.link(|p| {
                let name = p.dotted()?;
                if !filters::exists(&name) {
                    p.miss(line, format!("there is no filter '{}'", short(&name)));
                }
                let args = if p.is_op("(") { p.arguments()? } else { Arguments::default() };
                Ok(Expr::Filter(boxed(node), name, Box::new(args)))
            })?;
        }
        Ok(node)
    }

    fn miss(&mut self, line: u32, what: String) {
        if !self.soft {
            self.unknown.push(Fault::syntax(line, what));
        }
    }

    fn test(&mut self, node: Expr) -> Result<Expr> {
        self.advance();
        let negated = self.skip_name("not");
        let line = self.line();
        let name = self.dotted()?;
        if !predicates::exists(&name) {
            self.miss(line, format!("there is no test '{}'", short(&name)));
        }
        let mut args = Arguments::default();
        match self.kind() {
            Kind::Op("(") => args = self.arguments()?,
            Kind::Name(word) if matches!(&**word, "else" | "or" | "and") => {}
            Kind::Name(word) if &**word == "is" => {
                return Err(Fault::syntax(line, "tests cannot be chained with 'is'"));
            }
            Kind::Name(_) | Kind::Str(_) | Kind::Int(_) | Kind::Float(_) | Kind::Op("[" | "{") => {
                let arg = self.primary()?;
                args.positional.push(self.chain(|p| p.postfix(arg))?);
            }
            _ => {}
        }
        let test = Expr::Test(boxed(node), name, Box::new(args));
        Ok(if negated { Expr::Not(boxed(test)) } else { test })
    }
}
