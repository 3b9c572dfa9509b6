//! A template, parsed.

use std::sync::Arc;

/// Statements in order.
pub type Body = Vec<Stmt>;

/// What can be written down in an expression as it is.
#[derive(Clone, Debug)]
pub enum Literal {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
}

/// Operators on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// Arguments of a call, a filter or a test.
#[derive(Debug, Default)]
pub struct Arguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(Arc<str>, Expr)>,
    /// `*list`
    pub list: Option<Box<Expr>>,
    /// `**dict`
    pub dict: Option<Box<Expr>>,
}

#[derive(Debug)]
pub enum Expr {
    Const(Literal),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attr(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    /// Between the brackets of [`Expr::Item`] alone.
    Slice(Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Box<Arguments>),
    Filter(Box<Expr>, Arc<str>, Box<Arguments>),
    Test(Box<Expr>, Arc<str>, Box<Arguments>),
    /// The text of the block that a filter is applied to.
    Captured,
    Not(Box<Expr>),
    Neg(Box<Expr>),
    Pos(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Cmp, Expr)>),
    /// Condition, value, value otherwise.
    Cond(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
}

/// What is assigned to.
#[derive(Debug)]
pub enum Target {
    Name(Arc<str>),
    /// An attribute of a namespace.
    Attr(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

/// A macro, or the body of a call block.
#[derive(Debug)]
pub struct MacroDef {
    pub name: Arc<str>,
    pub parameters: Vec<(Arc<str>, Option<Expr>)>,
    pub body: Body,
    /// Whether its body names these.
    pub uses_varargs: bool,
    pub uses_kwargs: bool,
    pub uses_caller: bool,
}

#[derive(Debug)]
pub struct For {
    pub target: Target,
    pub iter: Expr,
    pub filter: Option<Expr>,
    pub recursive: bool,
    pub body: Body,
    pub otherwise: Body,
}

#[derive(Debug)]
pub enum Stmt {
    Text(Arc<str>),
    Print(u32, Expr),
    If(u32, Vec<(Expr, Body)>, Body),
    For(u32, Arc<For>),
    Set(u32, Target, Expr),
    SetBlock(u32, Target, Expr, Body),
    With(u32, Vec<(Target, Expr)>, Body),
    Macro(Arc<MacroDef>),
    /// A call of a macro that gets a body, as `caller`.
    Call(u32, Expr, Arc<MacroDef>),
    Filter(u32, Expr, Body),
    /// A body with a scope of its own: `generation`, `block`.
    Scope(Body),
    Break,
    Continue,
    /// What needs other templates.
    Foreign(u32, &'static str),
}
