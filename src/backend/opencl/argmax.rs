//! The largest of a row, found on the device: two numbers come back instead of the row.

use super::OpenClBackend;
use super::buffer::Memory;
use super::kernel::Arg;
use super::ops::{T, f32s, lock, n, place, run};
use crate::core::{CoreError, Largest, Result};

/// What the kernels say for none.
pub(super) const NONE: u32 = u32::MAX;

/// What comes back, in bytes.
const ANSWER: usize = 8;

/// See [`crate::core::Backend::largest`].
pub(super) fn largest(gpu: &OpenClBackend, x: &T, row: usize) -> Result<Largest> {
    let op = "largest";
    let cols = x.cols();
    let from = place(op, x, row, cols)?;
    let group = gpu.kernels.group;
    // A few values for each work-item, and as many groups as the last one can put together.
    let groups = cols.div_ceil(4 * group).clamp(1, group);
    let mut scratch = lock(&gpu.scratch);
    let (found, answer) = scratch.largest(&gpu.runtime, group, ANSWER)?;
    shares(gpu, x, from, groups, found)?;
    let line = [group, 1, 1];
    let last = &mut lock(&gpu.kernels.argmax_last);
    // SAFETY: `found` has the shares of so many groups, at most as many as one has work-items; the answer is two
    // words.
    unsafe { run(last, 0, &[Arg::Memory(found), n(groups), Arg::Memory(answer)], line, line)? };
    let mut bytes = [0; ANSWER];
    let done = answer.read(0, &mut bytes);
    done.ok_or(CoreError::Mismatch { op, what: "length", got: bytes.len(), expected: 0 })??;
    let number = |at: usize| {
        let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        Some(u32::from_le_bytes(bytes)).filter(|&v| v != NONE)
    };
    Ok(Largest { index: number(0), nan: number(4) })
}

/// Lets each of `groups` groups find the largest of its share of the row that begins at element `from`.
pub(super) fn shares(gpu: &OpenClBackend, x: &T, from: usize, groups: usize, found: &Memory) -> Result<()> {
    let group = gpu.kernels.group;
    let args = [f32s("largest", x)?, n(from), n(x.cols()), Arg::Memory(found)];
    // SAFETY: the row is within `x`, as the caller has seen; `found` has room for the shares of a group's number of
    // groups.
    unsafe { run(&mut lock(&gpu.kernels.argmax_first), 0, &args, [groups * group, 1, 1], [group, 1, 1]) }
}
