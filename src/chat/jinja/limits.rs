//! What a template may take: steps, memory, depth. A template is part of a downloaded model and may be hostile.

use std::cell::Cell;

use super::fault::{Fault, Result};

/// The longest source, in bytes. The longest template in use has some 40,000.
pub const SOURCE: usize = 1 << 20;

/// How deeply statements and expressions may be nested in the source.
pub const NESTING: usize = 250;

/// How deeply a rendering may be nested: expressions, blocks and calls of macros together.
pub const DEPTH: usize = 1200;

/// How deeply values may contain each other.
pub const VALUE_DEPTH: usize = 150;

/// Stack for [`NESTING`], [`DEPTH`] and [`VALUE_DEPTH`], with some to spare.
pub const STACK: usize = 64 << 20;

/// The longest text that a template may make, in bytes.
pub const OUTPUT: usize = 8 << 20;

/// The most elements of `range()`, as in Jinja's sandbox.
pub const RANGE: i128 = 100_000;

/// Steps: about one for each expression, and one for each 64 bytes that an operation looks at.
const STEPS: u64 = 20_000_000;

/// Bytes of all values together, those that are no longer in use among them.
const MEMORY: u64 = 256 << 20;

/// Counts down what is left.
#[derive(Debug)]
pub struct Limits {
    steps: Cell<u64>,
    memory: Cell<u64>,
}

impl Limits {
    /// All of it.
    pub fn new() -> Self {
        Self { steps: Cell::new(STEPS), memory: Cell::new(MEMORY) }
    }

    /// Takes `count` steps.
    pub fn steps(&self, count: usize) -> Result<()> {
        match self.steps.get().checked_sub(count as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Fault::too_much(format!("it takes more than {STEPS} steps"))),
        }
    }

    /// Takes the steps for an operation that looks at `bytes` bytes.
    pub fn look(&self, bytes: usize) -> Result<()> {
        self.steps(1 + bytes / 64)
    }

    /// Takes `bytes` bytes of memory; asked before they are allocated.
    pub fn memory(&self, bytes: usize) -> Result<()> {
        match self.memory.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.memory.set(left);
                self.look(bytes)
            }
            None => Err(Fault::too_much(format!("it takes more than {} MB of memory", MEMORY >> 20))),
        }
    }

    /// Takes memory for `count` pieces of `bytes` bytes each.
    pub fn pieces(&self, count: usize, bytes: usize) -> Result<()> {
        self.memory(count.saturating_mul(bytes))
    }
}
