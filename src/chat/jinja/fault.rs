//! What keeps a template from giving a text.

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is not Jinja.
    Syntax,
    /// It calls `raise_exception`.
    Raised,
    /// An operation does not work on what it is given.
    Failed,
    /// It takes more than a template may take.
    TooMuch,
}

/// An error, with the line of the template where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub kind: Kind,
    /// What is wrong, in one line.
    pub what: String,
    /// Counted from 1.
    pub line: Option<u32>,
}

/// A result of the engine.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A template that is no Jinja.
    pub fn syntax(line: u32, what: impl Into<String>) -> Self {
        Self { kind: Kind::Syntax, what: what.into(), line: Some(line) }
    }

    /// An operation that does not work.
    pub fn failed(what: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, what: what.into(), line: None }
    }

    /// A limit that is reached.
    pub fn too_much(what: impl Into<String>) -> Self {
        Self { kind: Kind::TooMuch, what: what.into(), line: None }
    }

    /// The same, at `line` unless a place is known already.
    pub fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }
}
