//! The CPU backend.
//!
//! Results are the same to the bit on every instruction set, with any number of threads and any cutting of the
//! rows into calls: every kernel fixes the order of its additions (see `kernels`), and no result depends on
//! which thread computes it.
//!
//! One caller at a time computes; others wait for it.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod attention_weights;
mod buffer;
mod cache;
mod disjoint;
mod input;
mod isa;
mod kernels;
mod linear;
mod ops;
mod pieces;
mod pool;
mod sync;
#[cfg(test)]
mod tests;
mod weight;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

pub use buffer::CpuBuffer;
pub use isa::Isa;
pub use weight::CpuWeight;

use crate::core::{
    Activation, AttentionParams, Backend, CoreError, DType, HostTensor, KvLayer, LinearPart, PageId, Remedy,
    Result, Run, Tensor,
};
use crate::host::{Machine, affinity};
use buffer::AlignedBytes;
use disjoint::Disjoint;
use input::Input;
use kernels::Kernels;
use pool::{JobPanicked, Pool};

/// Elements from which on an element-wise operation is worth more than one thread.
const PARALLEL_FROM: usize = 1 << 15;

/// The most threads that may be asked for.
pub const MAX_THREADS: usize = 1024;

/// How to make a [`CpuBackend`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Threads, the caller's included; by default one for each fast core.
    pub threads: Option<usize>,
    /// Instruction set; by default the best that the machine has.
    pub isa: Option<Isa>,
}

/// Computes with the CPU's vector instructions on a fixed set of threads.
pub struct CpuBackend {
    kernels: &'static Kernels,
    isa: Isa,
    threads: usize,
    bound: Option<Bound>,
    inner: Mutex<Inner>,
}

/// The cores that the threads were to stay on.
struct Bound {
    cpus: String,
    granted: bool,
    /// Who made the backend, and where it might run before.
    maker: ThreadId,
    before: Vec<usize>,
}

/// What one caller at a time uses.
struct Inner {
    pool: Pool,
    input: Input,
    scratch: AlignedBytes,
}

impl CpuBackend {
    /// Chooses the kernels and starts the threads. On a machine with fast and slow cores the threads stay on the
    /// fast ones, if these are enough; the calling thread is one of them until the backend is dropped, and others
    /// that it starts in between inherit this.
    ///
    /// # Errors
    /// [`CoreError::Backend`] if this machine lacks the instructions (see [`Isa::detect`]) or refuses the
    /// threads.
    pub fn new(options: CpuOptions) -> Result<Self> {
        let failed = |reason: String, remedies| CoreError::Backend { backend: "cpu", reason, remedies };
        let isa = options.isa.or_else(Isa::detect).ok_or_else(|| {
            failed(
                "this CPU lacks AVX2, FMA or F16C, which llm_rs2 needs on x86-64; use the reference backend or scalar \
                 instructions, which are slow"
                    .to_owned(),
                &[Remedy::ReferenceBackend, Remedy::ScalarInstructions],
            )
        })?;
        let kernels =
            Kernels::of(isa).ok_or_else(|| failed(format!("this machine has no {isa} instructions"), &[]))?;
        let machine = Machine::this();
        let threads = options.threads.unwrap_or(machine.default_threads).max(1);
        if threads > MAX_THREADS {
            let reason = format!("{threads} threads are more than the {MAX_THREADS} that are allowed");
            return Err(failed(reason, &[]));
        }
        let bound = bind(&machine, threads);
        let pool =
            Pool::new(threads).map_err(|e| failed(format!("cannot start {threads} threads: {e}"), &[]))?;
        let inner = Inner { pool, input: Input::default(), scratch: AlignedBytes::default() };
        Ok(Self { kernels, isa, threads, bound, inner: Mutex::new(inner) })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads in use, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in another caller leaves workspaces that the next operation overwrites.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds the calling thread, which the pool's threads inherit, to the cores that so many threads belong on.
/// `None` where all cores are alike. All cores of a set for each thread, not one each: a thread whose core has
/// other work to do can then move to one that has not.
fn bind(machine: &Machine, threads: usize) -> Option<Bound> {
    let cpus = machine.cpus_for(threads);
    if !machine.is_choice(cpus) {
        return None;
    }
    // The threads that prepare weights are for all cores, so they must be there before.
    rayon::current_num_threads();
    let (maker, before) = (thread::current().id(), affinity::get());
    Some(Bound { cpus: affinity::list(cpus), granted: affinity::set(cpus), maker, before })
}

impl Drop for Bound {
    fn drop(&mut self) {
        if thread::current().id() == self.maker {
            affinity::set(&self.before);
        }
    }
}

fn broken(e: JobPanicked) -> CoreError {
    CoreError::Backend { backend: "cpu", reason: e.to_string(), remedies: &[] }
}

/// Calls `task` for every row, on several threads if the matrix is large.
fn by_rows(pool: &mut Pool, rows: usize, cols: usize, task: &(dyn Fn(usize) + Sync)) -> Result<()> {
    if rows.saturating_mul(cols) < PARALLEL_FROM || rows == 1 {
        (0..rows).for_each(task);
        return Ok(());
    }
    let each = rows.div_ceil(4 * pool.threads());
    pool.run(rows.div_ceil(each), &|chunk| {
        (chunk.index * each..((chunk.index + 1) * each).min(rows)).for_each(task);
    })
    .map_err(broken)
}

/// Calls `task` for parts of `x`, on several threads if there are many elements: also within one long row.
fn by_parts(pool: &mut Pool, x: &mut [f32], task: &(dyn Fn(&mut [f32]) + Sync)) -> Result<()> {
    let len = x.len();
    if len < PARALLEL_FROM {
        task(x);
        return Ok(());
    }
    let each = len.div_ceil(4 * pool.threads()).next_multiple_of(16);
    let x = Disjoint::new(x);
    pool.run(len.div_ceil(each), &|chunk| {
        let range = chunk.index * each..((chunk.index + 1) * each).min(len);
        // SAFETY: each part is one chunk's.
        task(unsafe { x.part(range) });
    })
    .map_err(broken)
}

impl Backend for CpuBackend {
    type Buffer = CpuBuffer;
    type Weight = CpuWeight;

    fn name(&self) -> &'static str {
        "cpu"
    }

    fn describe(&self) -> String {
        let s = if self.threads == 1 { "" } else { "s" };
        let cores = match &self.bound {
            None => String::new(),
            Some(Bound { cpus, granted: true, .. }) => format!(" on cores {cpus}"),
            Some(Bound { cpus, .. }) => {
                format!(" (the system did not let them stay on the fast cores {cpus})")
            }
        };
        format!("cpu: {}, {} thread{s}{cores}", self.isa, self.threads)
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<CpuBuffer> {
        CpuBuffer::new(dtype, len)
    }

    fn resize(&self, buffer: &mut CpuBuffer, len: usize) -> Result<()> {
        buffer.resize(len)
    }

    fn upload(&self, values: &[f32], dst: &mut Tensor<CpuBuffer>, row: usize) -> Result<()> {
        ops::upload(values, dst, row)
    }

    fn download(&self, src: &Tensor<CpuBuffer>, row: usize, dst: &mut [f32]) -> Result<()> {
        ops::download(src, row, dst)
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<CpuWeight> {
        CpuWeight::new(tensor, format)
    }

    fn embed(&self, table: &CpuWeight, ids: &[u32], out: &mut Tensor<CpuBuffer>) -> Result<()> {
        ops::embed(self.kernels, table, ids, out)
    }

    fn rms_norm(
        &self,
        x: &Tensor<CpuBuffer>,
        gain: &CpuWeight,
        eps: f32,
        out: &mut Tensor<CpuBuffer>,
    ) -> Result<()> {
        ops::rms_norm(self.kernels, &mut self.lock().pool, x, gain, eps, out)
    }

    fn rms_norm_in_place(&self, x: &mut Tensor<CpuBuffer>, gain: &CpuWeight, eps: f32) -> Result<()> {
        ops::rms_norm_in_place(self.kernels, &mut self.lock().pool, x, gain, eps)
    }

    fn linear(&self, x: &Tensor<CpuBuffer>, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        let (rows, cols) = (x.rows(), x.cols());
        let values = &x.buffer().f32("linear")?[..rows * cols];
        for part in parts.iter_mut() {
            linear::check_part(part, rows, cols)?;
        }
        let Inner { pool, input, .. } = &mut *self.lock();
        linear::linear(self.kernels, pool, input, (values, rows, cols), parts)
    }

    fn rope(&self, x: &mut Tensor<CpuBuffer>, angles: &Tensor<CpuBuffer>, head_dim: usize) -> Result<()> {
        ops::rope(self.kernels, &mut self.lock().pool, x, angles, head_dim)
    }

    fn kv_append(
        &self,
        k: &Tensor<CpuBuffer>,
        v: &Tensor<CpuBuffer>,
        layer: &mut KvLayer<CpuBuffer>,
        runs: &[Run<'_>],
    ) -> Result<()> {
        cache::append(self.kernels, &mut self.lock().pool, k, v, layer, runs)
    }

    fn kv_copy(
        &self,
        layer: &mut KvLayer<CpuBuffer>,
        from: (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        cache::copy(layer, from, to, count)
    }

    fn kv_export(
        &self,
        layer: &KvLayer<CpuBuffer>,
        pages: &[PageId],
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        cache::export(layer, pages, slots, k, v)
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<CpuBuffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()> {
        cache::import(k, v, layer, pages, at)
    }

    fn attention(
        &self,
        q: &Tensor<CpuBuffer>,
        layer: &KvLayer<CpuBuffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut Tensor<CpuBuffer>,
    ) -> Result<()> {
        let Inner { pool, scratch, .. } = &mut *self.lock();
        attention::attention(self.kernels, pool, scratch, q, layer, how, runs, out)
    }

    fn attention_weights(
        &self,
        q: &Tensor<CpuBuffer>,
        layer: &KvLayer<CpuBuffer>,
        how: &AttentionParams,
        run: &Run<'_>,
        weights: &mut [f32],
    ) -> Result<()> {
        attention_weights::weigh(self.kernels, &mut self.lock().pool, q, layer, how, run, weights)
    }

    fn glu(
        &self,
        gate: &Tensor<CpuBuffer>,
        up: &Tensor<CpuBuffer>,
        activation: Activation,
        out: &mut Tensor<CpuBuffer>,
    ) -> Result<()> {
        ops::glu(self.kernels, &mut self.lock().pool, gate, up, activation, out)
    }

    fn scale(&self, x: &mut Tensor<CpuBuffer>, factor: f32) -> Result<()> {
        ops::in_place("scale", &mut self.lock().pool, x, &|x| (self.kernels.scale)(x, factor))
    }

    fn softcap(&self, x: &mut Tensor<CpuBuffer>, cap: f32) -> Result<()> {
        ops::in_place("softcap", &mut self.lock().pool, x, &|x| (self.kernels.softcap)(x, cap))
    }

    fn add(&self, x: &Tensor<CpuBuffer>, acc: &mut Tensor<CpuBuffer>) -> Result<()> {
        ops::add(self.kernels, &mut self.lock().pool, x, acc)
    }

    fn copy_rows(
        &self,
        src: &Tensor<CpuBuffer>,
        from: usize,
        count: usize,
        dst: &mut Tensor<CpuBuffer>,
    ) -> Result<()> {
        ops::copy_rows(src, from, count, dst)
    }
}
