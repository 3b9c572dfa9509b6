//! Into the key/value cache, within it, and out of it (`kernels/kv.cl`).

use std::ops::Range;

use super::OpenClBackend;
use super::buffer::{Memory, OpenClBuffer};
use super::kernel::Arg;
use super::ops::{LINE, T, f32s, lock, n, run};
use crate::core::{CoreError, DType, KvLayer, KvLayout, Result};

/// Units that a slot of a head has, of keys or values, whichever has more (`kernels/kv_types.cl`).
fn most_units(layout: &KvLayout) -> usize {
    let units = |dtype| if dtype == DType::Q4_0 { layout.head_dim.div_ceil(2) } else { layout.head_dim };
    units(layout.types.k).max(units(layout.types.v))
}

/// See [`crate::core::Backend::kv_append`].
pub(super) fn kv_append(
    gpu: &OpenClBackend,
    k: &T,
    v: &T,
    cache: &mut KvLayer<OpenClBuffer>,
    layout: &KvLayout,
    at: usize,
) -> Result<()> {
    let op = "kv_append";
    let cols = layout.kv_heads * layout.head_dim;
    CoreError::expect_eq(op, "value rows", v.rows(), k.rows())?;
    layout.check_slots(op, at, k.rows())?;
    layout.check_layer(op, cache)?;
    for source in [k, v] {
        CoreError::expect_eq(op, "columns", source.cols(), cols)?;
    }
    let kernels = gpu.kernels.kv(&gpu.runtime, layout.types)?;
    let args = [
        f32s(op, k)?,
        f32s(op, v)?,
        Arg::Memory(cache.k.memory()),
        Arg::Memory(cache.v.memory()),
        n(cols),
        n(layout.head_dim),
        n(layout.slots()),
        n(at),
    ];
    // SAFETY: a work-item an element of a row of `k` and `v`; slots `at..at + rows` are within the capacity, which is
    // at most the slots that both caches have.
    unsafe { run(&mut lock(&kernels.append), 0, &args, [cols, k.rows(), 1], LINE) }
}

/// See [`crate::core::Backend::kv_repack`].
pub(super) fn kv_repack(
    gpu: &OpenClBackend,
    src: &KvLayer<OpenClBuffer>,
    from: &KvLayout,
    keep: &[Range<usize>],
    dst: &mut KvLayer<OpenClBuffer>,
    to: &KvLayout,
) -> Result<()> {
    from.check_repack(src, keep, dst, to)?;
    let kernels = gpu.kernels.kv(&gpu.runtime, from.types)?;
    let mut into = 0;
    for range in keep {
        let args = [
            Arg::Memory(src.k.memory()),
            Arg::Memory(src.v.memory()),
            Arg::Memory(dst.k.memory()),
            Arg::Memory(dst.v.memory()),
            n(from.head_dim),
            n(from.slots()),
            n(to.slots()),
            n(range.start),
            n(into),
            n(range.len()),
        ];
        let global = [range.len(), most_units(from), from.kv_heads];
        // SAFETY: slots of either side are within its capacity, as checked above; heads are as many in both.
        unsafe { run(&mut lock(&kernels.repack), 0, &args, global, LINE)? };
        into += range.len();
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_export`].
pub(super) fn kv_export(
    gpu: &OpenClBackend,
    cache: &KvLayer<OpenClBuffer>,
    layout: &KvLayout,
    slots: Range<usize>,
    k: &mut [u8],
    v: &mut [u8],
) -> Result<()> {
    let op = "kv_export";
    layout.check_transfer(op, cache, &slots, (k, v))?;
    let kernels = gpu.kernels.kv(&gpu.runtime, layout.types)?;
    if slots.is_empty() || layout.kv_heads * layout.head_dim == 0 {
        return Ok(());
    }
    let global = [most_units(layout), layout.kv_heads, slots.len()];
    let [keys, values] = [&*k, &*v].map(|bytes| Memory::new(&gpu.runtime, bytes.len(), "exported slots"));
    let (keys, values) = (keys?, values?);
    let args = [
        Arg::Memory(cache.k.memory()),
        Arg::Memory(cache.v.memory()),
        Arg::Memory(&keys),
        Arg::Memory(&values),
        n(layout.kv_heads),
        n(layout.head_dim),
        n(layout.slots()),
        n(slots.start),
    ];
    // SAFETY: a work-item a unit of a slot's head; the slots are within the capacity, and `keys` and `values` are as long
    // as they are.
    unsafe { run(&mut lock(&kernels.export), 0, &args, global, LINE)? };
    for (memory, bytes) in [(keys, k), (values, v)] {
        let len = bytes.len();
        memory.read(0, bytes).ok_or(CoreError::Mismatch { op, what: "bytes", got: len, expected: 0 })??;
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_import`].
pub(super) fn kv_import(
    gpu: &OpenClBackend,
    k: &[u8],
    v: &[u8],
    cache: &mut KvLayer<OpenClBuffer>,
    layout: &KvLayout,
    at: usize,
) -> Result<()> {
    let op = "kv_import";
    let slots = layout.slots_of(k.len(), at);
    layout.check_transfer(op, cache, &slots, (k, v))?;
    let kernels = gpu.kernels.kv(&gpu.runtime, layout.types)?;
    if slots.is_empty() || layout.kv_heads * layout.head_dim == 0 {
        return Ok(());
    }
    let global = [most_units(layout), layout.kv_heads, slots.len()];
    let put = |bytes: &[u8]| -> Result<Memory> {
        let mut memory = Memory::new(&gpu.runtime, bytes.len(), "imported slots")?;
        let out_of_reach = CoreError::Mismatch { op, what: "bytes", got: bytes.len(), expected: 0 };
        memory.write(0, bytes).ok_or(out_of_reach)??;
        Ok(memory)
    };
    let (keys, values) = (put(k)?, put(v)?);
    let args = [
        Arg::Memory(&keys),
        Arg::Memory(&values),
        Arg::Memory(cache.k.memory()),
        Arg::Memory(cache.v.memory()),
        n(layout.kv_heads),
        n(layout.head_dim),
        n(layout.slots()),
        n(at),
    ];
    // SAFETY: as in `kv_export`. The queue keeps `keys` and `values` until the launch is done.
    unsafe { run(&mut lock(&kernels.import), 0, &args, global, LINE) }
}
