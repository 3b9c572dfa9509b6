//! Into the key/value cache, within it, and out of it (`kernels/kv.cl`).

use std::ops::Range;
use std::sync::Arc;

use super::OpenClBackend;
use super::buffer::{Memory, OpenClBuffer};
use super::error::OpenClError;
use super::kernel::Arg;
use super::ops::{LINE, T, f32s, lock, n, run};
use super::runtime::Runtime;
use crate::core::{Buffer, CoreError, DType, KvLayer, KvLayout, PageId, Result, Run};

/// Tables of pages on the device. A table serves all layers of a group, and many passes, so that it is written but rarely.
#[derive(Default)]
pub(super) struct Tables {
    /// What was written, and where; the one used last is at the end.
    written: Vec<(Vec<PageId>, Memory)>,
}

/// Tables that are kept: of the groups of some sequences.
const MOST_TABLES: usize = 16;

impl Tables {
    /// A table that begins with `pages`. It stays where it is while the next one is asked for.
    pub fn of(&mut self, runtime: &Arc<Runtime>, pages: &[PageId]) -> Result<&Memory> {
        match self.written.iter().rposition(|(written, _)| written.starts_with(pages)) {
            Some(place) => {
                let used = self.written.remove(place);
                self.written.push(used);
            }
            None => {
                // One that these pages were added to, or the one that has not been used for the longest.
                let grown = self.written.iter().position(|(written, _)| pages.starts_with(written));
                let full = (self.written.len() >= MOST_TABLES).then_some(0);
                let old = grown.or(full).map(|place| self.written.remove(place));
                self.written.push(Self::write(runtime, pages, old)?);
            }
        }
        self.known(pages)
    }

    /// A table that was asked for just before.
    pub fn known(&self, pages: &[PageId]) -> Result<&Memory> {
        let known = self.written.iter().rfind(|(written, _)| written.starts_with(pages));
        let expected = pages.len();
        let lost = CoreError::Mismatch { op: "a table of pages", what: "length", got: 0, expected };
        known.map(|(_, memory)| memory).ok_or(lost)
    }

    fn write(
        runtime: &Arc<Runtime>,
        pages: &[PageId],
        old: Option<(Vec<PageId>, Memory)>,
    ) -> Result<(Vec<PageId>, Memory), OpenClError> {
        let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
        // Work in the queue that reads what was there before is done before this is written.
        let fits = old.map(|(_, memory)| memory).filter(|memory| memory.bytes() >= bytes.len());
        let mut memory = match fits {
            Some(memory) => memory,
            None => Memory::new(runtime, bytes.len().next_power_of_two().max(256), "a table of pages")?,
        };
        if let Some(written) = memory.write(0, &bytes) {
            written?;
        }
        Ok((pages.to_vec(), memory))
    }
}

/// The pages of the first `slots` slots.
pub(super) fn pages_of(pages: &[PageId], slots: usize) -> &[PageId] {
    &pages[..slots.div_ceil(KvLayout::PAGE)]
}

/// Units that a slot of a head has, of keys or values, whichever has more (`kernels/kv_types.cl`).
fn most_units(layout: &KvLayout) -> usize {
    let units = |dtype| if dtype == DType::Q4_0 { layout.head_dim.div_ceil(2) } else { layout.head_dim };
    units(layout.types.k).max(units(layout.types.v))
}

/// See [`crate::core::Backend::resize`].
pub(super) fn resize(gpu: &OpenClBackend, buffer: &mut OpenClBuffer, len: usize) -> Result<()> {
    let fresh = OpenClBuffer::new(&gpu.runtime, buffer.dtype(), len)?;
    let words = buffer.memory().bytes().min(fresh.memory().bytes()) / 4;
    let args = [Arg::Memory(buffer.memory()), Arg::Memory(fresh.memory()), n(words)];
    // SAFETY: both have `words` words at least, beyond which the kernel does not go. The queue keeps the old memory until
    // it is done.
    unsafe { run(&mut lock(&gpu.kernels.copy_words), 0, &args, [words, 1, 1], [gpu.kernels.group, 1, 1])? };
    *buffer = fresh;
    Ok(())
}

/// See [`crate::core::Backend::kv_append`].
pub(super) fn kv_append(
    gpu: &OpenClBackend,
    k: &T,
    v: &T,
    layer: &mut KvLayer<OpenClBuffer>,
    runs: &[Run<'_>],
) -> Result<()> {
    let op = "kv_append";
    layer.check_append(k, v, runs)?;
    let (layout, cols) = (&layer.layout, layer.layout.width());
    let kernels = gpu.kernels.kv(layout.types)?;
    for one in runs.iter().filter(|one| !one.rows.is_empty()) {
        let mut tables = lock(&gpu.tables);
        let args = [
            f32s(op, k)?,
            f32s(op, v)?,
            Arg::Memory(layer.k.memory()),
            Arg::Memory(layer.v.memory()),
            Arg::Memory(tables.of(&gpu.runtime, pages_of(one.pages, one.end()))?),
            n(cols),
            n(layout.head_dim),
            n(one.rows.start),
            n(one.len),
        ];
        // SAFETY: a work-item an element of a row of `k` and `v`; the slots are in pages that both caches have.
        unsafe { run(&mut lock(&kernels.append), 0, &args, [cols, one.rows.len(), 1], LINE)? };
    }
    Ok(())
}

/// See [`crate::core::Backend::kv_copy`].
pub(super) fn kv_copy(
    gpu: &OpenClBackend,
    layer: &mut KvLayer<OpenClBuffer>,
    from: (&[PageId], usize),
    to: (&[PageId], usize),
    count: usize,
) -> Result<()> {
    layer.check_copy(from, to, count)?;
    let layout = &layer.layout;
    if count == 0 || layout.width() == 0 {
        return Ok(());
    }
    let kernels = gpu.kernels.kv(layout.types)?;
    let mut tables = lock(&gpu.tables);
    let (from_pages, to_pages) = (pages_of(from.0, from.1 + count), pages_of(to.0, to.1 + count));
    tables.of(&gpu.runtime, from_pages)?;
    tables.of(&gpu.runtime, to_pages)?;
    let tables = &*tables;
    let args = [
        Arg::Memory(layer.k.memory()),
        Arg::Memory(layer.v.memory()),
        Arg::Memory(tables.known(from_pages)?),
        Arg::Memory(tables.known(to_pages)?),
        n(layout.kv_heads),
        n(layout.head_dim),
        n(from.1),
        n(to.1),
        n(count),
    ];
    // SAFETY: a work-item a unit of a head, those beyond the last do nothing; all slots are in pages that there are.
    unsafe { run(&mut lock(&kernels.copy), 0, &args, [most_units(layout), layout.kv_heads, 1], LINE) }
}

/// See [`crate::core::Backend::kv_export`].
pub(super) fn kv_export(
    gpu: &OpenClBackend,
    layer: &KvLayer<OpenClBuffer>,
    pages: &[PageId],
    slots: Range<usize>,
    k: &mut [u8],
    v: &mut [u8],
) -> Result<()> {
    let op = "kv_export";
    layer.check_transfer(op, pages, &slots, (k, v))?;
    let layout = &layer.layout;
    let kernels = gpu.kernels.kv(layout.types)?;
    if slots.is_empty() || layout.width() == 0 {
        return Ok(());
    }
    let global = [most_units(layout), layout.kv_heads, slots.len()];
    let [keys, values] = [&*k, &*v].map(|bytes| Memory::new(&gpu.runtime, bytes.len(), "exported slots"));
    let (keys, values) = (keys?, values?);
    let mut tables = lock(&gpu.tables);
    let args = [
        Arg::Memory(layer.k.memory()),
        Arg::Memory(layer.v.memory()),
        Arg::Memory(&keys),
        Arg::Memory(&values),
        Arg::Memory(tables.of(&gpu.runtime, pages_of(pages, slots.end))?),
        n(layout.kv_heads),
        n(layout.head_dim),
        n(slots.start),
    ];
    // SAFETY: a work-item a unit of a slot's head; the slots are in pages that there are, and `keys` and `values` are as
    // long as they are.
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
    layer: &mut KvLayer<OpenClBuffer>,
    pages: &[PageId],
    at: usize,
) -> Result<()> {
    let op = "kv_import";
    let slots = layer.layout.slots_of(k.len(), at);
    layer.check_transfer(op, pages, &slots, (k, v))?;
    let layout = &layer.layout;
    let kernels = gpu.kernels.kv(layout.types)?;
    if slots.is_empty() || layout.width() == 0 {
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
    let mut tables = lock(&gpu.tables);
    let args = [
        Arg::Memory(&keys),
        Arg::Memory(&values),
        Arg::Memory(layer.k.memory()),
        Arg::Memory(layer.v.memory()),
        Arg::Memory(tables.of(&gpu.runtime, pages_of(pages, slots.end))?),
        n(layout.kv_heads),
        n(layout.head_dim),
        n(at),
    ];
    // SAFETY: as in `kv_export`. The queue keeps `keys` and `values` until the launch is done.
    unsafe { run(&mut lock(&kernels.import), 0, &args, global, LINE) }
}
