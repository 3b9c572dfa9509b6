//! The largest few of a row, found on the device: some hundred numbers come back instead of the row.

use super::OpenClBackend;
use super::argmax::{self, NONE};
use super::kernel::Arg;
use super::ops::{T, f32s, lock, n, place, run};
use crate::core::{CoreError, Result, Top};

/// Values that the kernel collects at most, as in `kernels/argmax.cl`; beyond that the row is brought back.
const MOST: usize = 256;

/// Words of the answer before the values: how many there are, the first NaN, and the bar that they reach.
const HEAD: usize = 3;

/// What comes back, in bytes.
const ANSWER: usize = 4 * (HEAD + 2 * MOST);

/// See [`crate::core::Backend::top`]: `false`, with nothing done, if the row is so short for `count` that it is better
/// brought back, or the answer does not hold all values that may be meant.
pub(super) fn top(gpu: &OpenClBackend, x: &T, row: usize, count: usize, top: &mut Top) -> Result<bool> {
    let op = "top";
    let cols = x.cols();
    let from = place(op, x, row, cols)?;
    let group = gpu.kernels.group;
    // Each group finds its largest value. The `count`-th of these is a bar that at least as many values of the row
    // reach, and, with twice as many groups, few others.
    let groups = (cols / group).min(group);
    if groups < count.saturating_mul(2) {
        return Ok(false);
    }
    let mut scratch = lock(&gpu.scratch);
    let (found, answer) = scratch.largest(&gpu.runtime, group, ANSWER)?;
    let line = [group, 1, 1];
    let all = [groups * group, 1, 1];
    argmax::shares(gpu, x, from, groups, found)?;
    let (bar, collect) = (&mut lock(&gpu.kernels.top_bar), &mut lock(&gpu.kernels.top_collect));
    // SAFETY: `found` has the shares of so many groups, at most as many as one has work-items; `answer` has room for
    // MOST values after its head, beyond which the kernel does not write.
    unsafe {
        run(bar, 0, &[Arg::Memory(found), n(groups), n(count), Arg::Memory(answer)], line, line)?;
        run(collect, 0, &[f32s(op, x)?, n(from), n(cols), Arg::Memory(answer)], all, line)?;
    }
    let mut bytes = [0; ANSWER];
    let read = answer.read(0, &mut bytes);
    read.ok_or(CoreError::Mismatch { op, what: "length", got: ANSWER, expected: 0 })??;
    let (words, _) = bytes.as_chunks::<4>();
    let word = |at: usize| u32::from_le_bytes(words[at]);
    let len = word(0) as usize;
    if word(1) != NONE {
        top.broken(word(1));
    } else if len > MOST {
        return Ok(false);
    } else {
        let values = (0..len).map(|i| (word(HEAD + 2 * i), f32::from_bits(word(HEAD + 2 * i + 1))));
        top.select(values, count);
    }
    Ok(true)
}
