//! The largest of a row, found on the device: two numbers come back instead of the row.

use super::kernel::Arg;
use super::ops::{T, f32s, lock, n, place, run};
use super::{OpenClBackend, Scratch};
use crate::core::{CoreError, Largest, Result};

/// What the kernels say for none.
const NONE: u32 = u32::MAX;

/// See [`crate::core::Backend::largest`].
pub(super) fn largest(gpu: &OpenClBackend, x: &T, row: usize) -> Result<Largest> {
    let op = "largest";
    let cols = x.cols();
    let from = place(op, x, row, cols)?;
    let group = gpu.kernels.group;
    // A few values for each work-item, and as many groups as the last one can put together.
    let groups = cols.div_ceil(4 * group).clamp(1, group);
    let mut scratch = lock(&gpu.scratch);
    // The answer, then three numbers of each group; made once for the most groups.
    let memory =
        Scratch::at_least(&mut scratch.found, &gpu.runtime, 4 * (2 + 3 * group), "the largest value")?;
    let (first, last) = (&mut lock(&gpu.kernels.argmax_first), &mut lock(&gpu.kernels.argmax_last));
    let line = [group, 1, 1];
    let args = [f32s(op, x)?, n(from), n(cols), Arg::Memory(memory)];
    // SAFETY: the row is within `x`; `memory` has room for what every group and the last one leave.
    unsafe {
        run(first, 0, &args, [groups * group, 1, 1], line)?;
        run(last, 0, &[Arg::Memory(memory), n(groups)], line, line)?;
    }
    let mut answer = [0; 8];
    let done = memory.read(0, &mut answer);
    done.ok_or(CoreError::Mismatch { op, what: "length", got: answer.len(), expected: 0 })??;
    let number = |at: usize| {
        let bytes = [answer[at], answer[at + 1], answer[at + 2], answer[at + 3]];
        Some(u32::from_le_bytes(bytes)).filter(|&v| v != NONE)
    };
    Ok(Largest { index: number(0), nan: number(4) })
}
