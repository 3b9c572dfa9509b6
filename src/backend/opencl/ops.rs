//! The operations: operands are checked, then a kernel goes into the queue.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::buffer::{Memory, OpenClBuffer};
use super::error::OpenClError;
use super::kernel::{Arg, Kernel};
use super::kernels::Kernels;
use super::programs::by_format;
use super::weights::{BOUND, Form, OpenClWeight};
use super::{OpenClBackend, Scratch};
use crate::core::{Activation, BLOCK_LEN, Buffer, CoreError, DType, PreparedWeight, Result, Tensor};

pub(super) type T = Tensor<OpenClBuffer>;

/// Work-items of a group in dimension 0 where others are in dimension 1.
pub(super) const LINE: [usize; 3] = [64, 1, 1];

pub(super) fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    // A panic in another caller leaves a kernel whose arguments the next operation sets.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memory of an f32 tensor.
pub(super) fn f32s<'a>(op: &'static str, t: &'a T) -> Result<Arg<'a>> {
    match t.buffer().dtype() {
        DType::F32 => Ok(Arg::Memory(t.buffer().memory())),
        dtype => Err(CoreError::Unsupported { op, dtype }),
    }
}

/// Sets a kernel's arguments from number `first` on and puts it into the queue.
///
/// # Safety
/// As [`Kernel::set`] and [`Kernel::launch`].
pub(super) unsafe fn run(
    kernel: &mut Kernel,
    first: usize,
    args: &[Arg<'_>],
    global: [usize; 3],
    local: [usize; 3],
) -> Result<()> {
    // SAFETY: as the caller vouches. Operands outlive the launch: commands in the queue keep their memory.
    unsafe {
        kernel.set(first, args)?;
        Ok(kernel.launch(global, local)?)
    }
}

pub(super) fn n(v: usize) -> Arg<'static> {
    // Buffers have fewer than 2^32 elements (`OpenClBuffer::new`), and so has whatever is counted of them.
    Arg::U32(v as u32)
}

/// Tensors of the same columns.
pub(super) fn same_cols(op: &'static str, a: &T, b: &T) -> Result<()> {
    CoreError::expect_eq(op, "row length", b.cols(), a.cols())
}

/// Where `len` values from row `row` on begin, if they are within the tensor.
pub(super) fn place(op: &'static str, t: &T, row: usize, len: usize) -> Result<usize> {
    let have = t.buffer().len();
    let start = row.checked_mul(t.cols()).filter(|&s| s <= have);
    match start {
        Some(start) if len <= have - start => Ok(start),
        _ => {
            Err(CoreError::Mismatch { op, what: "length", got: len, expected: have - start.unwrap_or(have) })
        }
    }
}

fn out_of_reach(op: &'static str, len: usize) -> CoreError {
    CoreError::Mismatch { op, what: "length", got: len, expected: 0 }
}

pub(super) fn upload(values: &[f32], dst: &mut T, row: usize) -> Result<()> {
    let op = "upload";
    let start = place(op, dst, row, values.len())?;
    f32s(op, dst)?;
    // SAFETY: f32 values are plain bytes.
    let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    let done = dst.buffer_mut().memory_mut().write(4 * start, bytes);
    Ok(done.ok_or_else(|| out_of_reach(op, values.len()))??)
}

pub(super) fn download(src: &T, row: usize, dst: &mut [f32]) -> Result<()> {
    let op = "download";
    let start = place(op, src, row, dst.len())?;
    f32s(op, src)?;
    let len = dst.len();
    // SAFETY: f32 values are plain bytes, and any bytes are such values.
    let bytes = unsafe { std::slice::from_raw_parts_mut(dst.as_mut_ptr().cast::<u8>(), size_of_val(dst)) };
    Ok(src.buffer().memory().read(4 * start, bytes).ok_or_else(|| out_of_reach(op, len))??)
}

/// See [`crate::core::Backend::embed`].
pub(super) fn embed(gpu: &OpenClBackend, table: &OpenClWeight, ids: &[u32], out: &mut T) -> Result<()> {
    let op = "embed";
    CoreError::expect_eq(op, "row length", out.cols(), table.cols())?;
    let vocab = table.rows();
    if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
        return Err(CoreError::BadToken { id, vocab });
    }
    out.set_rows(ids.len())?;
    if ids.is_empty() {
        return Ok(());
    }
    let mut scratch = lock(&gpu.scratch);
    let memory = Scratch::at_least(&mut scratch.ids, &gpu.runtime, 4 * ids.len(), "token ids")?;
    // SAFETY: numbers are plain bytes.
    let bytes = unsafe { std::slice::from_raw_parts(ids.as_ptr().cast::<u8>(), size_of_val(ids)) };
    memory.write(0, bytes).ok_or_else(|| out_of_reach(op, ids.len()))??;
    for part in &table.parts {
        let name = by_format!(table.dtype(), "embed_");
        let make = || Kernel::new(&gpu.kernels.embed.of(table.dtype(), name)?, name);
        let mut kernels = lock(&part.kernels);
        // SAFETY: an embedding kernel begins with WEIGHT, and its name is the format's.
        let kernel = unsafe { kernels.bound(Form::Embed, part, part.units(), make)? };
        let args = [Arg::Memory(memory), f32s(op, out)?];
        // SAFETY: `ids` holds one for each row of the launch, `out` as many rows of `cols` (`set_rows`), and ids
        // beyond the part's rows are passed over; a work-item is a block of 32 of these columns.
        unsafe { run(kernel, BOUND, &args, [table.cols().div_ceil(BLOCK_LEN), ids.len(), 1], LINE)? };
    }
    Ok(())
}

/// See [`crate::core::Backend::rms_norm`].
pub(super) fn rms_norm(gpu: &OpenClBackend, x: &T, gain: &OpenClWeight, eps: f32, out: &mut T) -> Result<()> {
    let op = "rms_norm";
    same_cols(op, x, out)?;
    out.set_rows(x.rows())?;
    norm(gpu, (f32s(op, x)?, f32s(op, out)?), x.rows(), x.cols(), gain, eps)
}

/// See [`crate::core::Backend::rms_norm_in_place`].
pub(super) fn rms_norm_in_place(gpu: &OpenClBackend, x: &mut T, gain: &OpenClWeight, eps: f32) -> Result<()> {
    let memory = f32s("rms_norm", x)?;
    norm(gpu, (memory, memory), x.rows(), x.cols(), gain, eps)
}

/// The norm of each group of elements as long as the gain, in `rows` rows of `cols`.
fn norm(
    gpu: &OpenClBackend,
    (from, to): (Arg<'_>, Arg<'_>),
    rows: usize,
    cols: usize,
    gain: &OpenClWeight,
    eps: f32,
) -> Result<()> {
    let op = "rms_norm";
    let each = gain.rows() * gain.cols();
    CoreError::expect_groups(op, cols, each)?;
    let groups = rows * cols.checked_div(each).unwrap_or_default();
    let Kernels { group, .. } = gpu.kernels;
    let args = [from, Arg::Memory(gain.vector(op, each)?), to, n(each), Arg::F32(eps), n(groups)];
    // SAFETY: `from` and `to` have as many elements as these groups, which are as long as `gain`; they may be the same,
    // since the kernels let them. The plain form counts its groups.
    unsafe {
        if gpu.forms.norm {
            run(&mut lock(&gpu.kernels.rms_norm), 0, &args[..5], [groups * group, 1, 1], [group, 1, 1])
        } else {
            run(&mut lock(&gpu.kernels.rms_norm_plain), 0, &args, [groups, 1, 1], LINE)
        }
    }
}

/// See [`crate::core::Backend::add_rms_norm`].
pub(super) fn add_rms_norm(
    gpu: &OpenClBackend,
    x: &T,
    acc: &mut T,
    gain: &OpenClWeight,
    eps: f32,
    out: &mut T,
) -> Result<()> {
    if !gpu.forms.norm {
        add(gpu, x, acc)?;
        return rms_norm(gpu, acc, gain, eps, out);
    }
    let op = "add_rms_norm";
    same_cols(op, x, acc)?;
    same_cols(op, acc, out)?;
    CoreError::expect_eq(op, "row count", acc.rows(), x.rows())?;
    let gain = gain.vector(op, x.cols())?;
    out.set_rows(x.rows())?;
    let args = [f32s(op, x)?, f32s(op, acc)?, Arg::Memory(gain), f32s(op, out)?, n(x.cols()), Arg::F32(eps)];
    let group = gpu.kernels.group;
    // SAFETY: a group a row of `x`, `acc` and `out`, which have the same columns as `gain`.
    unsafe { run(&mut lock(&gpu.kernels.add_rms_norm), 0, &args, [x.rows() * group, 1, 1], [group, 1, 1]) }
}

/// See [`crate::core::Backend::rope`].
pub(super) fn rope(gpu: &OpenClBackend, x: &mut T, angles: &T, head_dim: usize) -> Result<()> {
    let op = "rope";
    angles.check_rope(x, head_dim)?;
    let pairs = angles.cols() / 2;
    let all = x.cols().checked_div(head_dim).unwrap_or_default() * pairs;
    let args = [f32s(op, x)?, f32s(op, angles)?, n(x.cols()), n(head_dim), n(pairs)];
    // SAFETY: a work-item a pair of `x`, whose rows are whole heads of at least as many elements as turn; `angles` has as
    // many rows, of one head's pairs each.
    unsafe { run(&mut lock(&gpu.kernels.rope), 0, &args, [all, x.rows(), 1], LINE) }
}

/// See [`crate::core::Backend::glu`].
pub(super) fn glu(gpu: &OpenClBackend, gate: &T, up: &T, activation: Activation, out: &mut T) -> Result<()> {
    let op = "glu";
    let gelu = match activation {
        Activation::Silu => 0,
        Activation::GeluTanh => 1,
    };
    same_cols(op, gate, up)?;
    same_cols(op, gate, out)?;
    CoreError::expect_eq(op, "row count", up.rows(), gate.rows())?;
    out.set_rows(gate.rows())?;
    let count = gate.rows() * gate.cols();
    let args = [f32s(op, gate)?, f32s(op, up)?, f32s(op, out)?, n(count), n(gelu)];
    // SAFETY: all three have `count` elements in use, beyond which the kernel does not go.
    unsafe { run(&mut lock(&gpu.kernels.glu), 0, &args, [count, 1, 1], [gpu.kernels.group, 1, 1]) }
}

/// See [`crate::core::Backend::scale`].
pub(super) fn scale(gpu: &OpenClBackend, x: &mut T, factor: f32) -> Result<()> {
    in_place(gpu, "scale", &gpu.kernels.scale, x, factor)
}

/// See [`crate::core::Backend::softcap`].
pub(super) fn softcap(gpu: &OpenClBackend, x: &mut T, cap: f32) -> Result<()> {
    in_place(gpu, "softcap", &gpu.kernels.softcap, x, cap)
}

/// A kernel that changes each element by itself, with one parameter.
fn in_place(
    gpu: &OpenClBackend,
    op: &'static str,
    kernel: &Mutex<Kernel>,
    x: &mut T,
    parameter: f32,
) -> Result<()> {
    let count = x.rows() * x.cols();
    let args = [f32s(op, x)?, n(count), Arg::F32(parameter)];
    // SAFETY: `x` has `count` elements in use, beyond which the kernel does not go.
    unsafe { run(&mut lock(kernel), 0, &args, [count, 1, 1], [gpu.kernels.group, 1, 1]) }
}

/// See [`crate::core::Backend::add`].
pub(super) fn add(gpu: &OpenClBackend, x: &T, acc: &mut T) -> Result<()> {
    let op = "add";
    same_cols(op, x, acc)?;
    CoreError::expect_eq(op, "row count", acc.rows(), x.rows())?;
    let count = x.rows() * x.cols();
    let args = [f32s(op, x)?, f32s(op, acc)?, n(count)];
    // SAFETY: both have `count` elements in use, beyond which the kernel does not go.
    unsafe { run(&mut lock(&gpu.kernels.add), 0, &args, [count, 1, 1], [gpu.kernels.group, 1, 1]) }
}

/// See [`crate::core::Backend::copy_rows`].
pub(super) fn copy_rows(gpu: &OpenClBackend, src: &T, from: usize, count: usize, dst: &mut T) -> Result<()> {
    let op = "copy_rows";
    same_cols(op, src, dst)?;
    let end = from.saturating_add(count);
    if end > src.rows() {
        return Err(CoreError::Mismatch { op, what: "last row", got: end, expected: src.rows() });
    }
    dst.set_rows(count)?;
    let elements = count * src.cols();
    let args = [f32s(op, src)?, f32s(op, dst)?, n(from * src.cols()), n(elements)];
    // SAFETY: rows `from..end` are in use in `src`, and `dst` has room for them.
    unsafe { run(&mut lock(&gpu.kernels.copy), 0, &args, [elements, 1, 1], [gpu.kernels.group, 1, 1]) }
}

impl Scratch {
    /// Memory for what each of `group` groups finds of the largest value, and for an answer of so many bytes.
    pub(super) fn largest(
        &mut self,
        runtime: &std::sync::Arc<super::runtime::Runtime>,
        group: usize,
        answer: usize,
    ) -> Result<(&mut Memory, &mut Memory), OpenClError> {
        // Three words a group.
        let found = Self::at_least(&mut self.found, runtime, 12 * group, "the largest value")?;
        Ok((found, Self::at_least(&mut self.answer, runtime, answer, "the largest values")?))
    }

    /// The memory in `held`, made anew if it is shorter than `bytes`: what was in it is lost then.
    pub(super) fn at_least<'a>(
        held: &'a mut Option<Memory>,
        runtime: &std::sync::Arc<super::runtime::Runtime>,
        bytes: usize,
        what: &'static str,
    ) -> Result<&'a mut Memory, OpenClError> {
        if held.as_ref().is_some_and(|memory| memory.bytes() < bytes) {
            *held = None;
        }
        match held {
            Some(memory) => Ok(memory),
            None => Ok(held.insert(Memory::new(runtime, bytes.next_power_of_two(), what)?)),
        }
    }
}
