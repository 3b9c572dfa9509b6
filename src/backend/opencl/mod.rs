//! The OpenCL backend: a whole model on a GPU, or on whatever else speaks OpenCL 1.2.
//!
//! Every operation puts kernels into one in-order queue and returns; only [`Backend::download`] waits. Arithmetic is f32,
//! but for integer dot products, and products in fp16, where the device has them and is faster with them. Kernels are in
//! `kernels/*.cl` and compiled on the device, once: the result is kept ([`DeviceCache`]).
//!
//! The library is loaded when a backend is made, and never linked: a machine without one gets a sentence.

mod argmax;
mod attention;
mod buffer;
mod cache;
mod compare;
mod device;
mod error;
mod forms;
mod kernel;
mod kernels;
mod kv;
mod layout;
mod library;
mod linear;
mod ops;
mod profile;
mod program;
mod programs;
mod runtime;
mod self_test;
#[cfg(test)]
mod tests;
mod top;
mod weights;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

pub use buffer::{MappedGuard, OpenClBuffer};
pub use cache::DeviceCache;
pub use device::{Device, DeviceKind};
pub use error::OpenClError;
pub use forms::Preset;
pub use profile::KernelTime;
pub use runtime::Counters;
pub use weights::OpenClWeight;

use crate::core::{
    Activation, AttentionParams, Backend, CoreError, DType, HostTensor, KvLayer, Largest, LinearPart, PageId,
    Remedy, Result, Run, Tensor, Top,
};
use buffer::Memory;
use forms::Forms;
use kernels::Kernels;
use programs::Programs;
use runtime::Runtime;
use self_test::Verdict;

/// How to make an [`OpenClBackend`].
#[derive(Clone, Debug, Default)]
pub struct OpenClOptions {
    /// The device: its number in [`Device::list`], or a part of its name; by default the first GPU, else the first
    /// device.
    pub device: Option<String>,
    /// Where compiled programs are kept.
    pub cache: DeviceCache,
    /// Take the time of every kernel.
    pub profile: bool,
    /// For tests: this kernel is to compute wrongly, so that what should notice can be seen to.
    #[doc(hidden)]
    pub perturb: Option<String>,
    /// Use these kernels, without a self-test; `None`: those that compute rightly and fastest here.
    pub preset: Option<Preset>,
    /// For tests: behave as a device that is lost after so many launches.
    #[doc(hidden)]
    pub lose_after: Option<u64>,
    /// For tests: buffers of at most so many bytes, whatever the device allows.
    #[doc(hidden)]
    pub max_buffer: Option<u64>,
}

/// The file that the OpenCL library was loaded from.
///
/// # Errors
/// [`OpenClError::NoLibrary`].
pub fn library_path() -> Result<String, OpenClError> {
    library::Api::get().map(|api| api.path.clone())
}

/// Computes on an OpenCL device.
pub struct OpenClBackend {
    // Kernels and memory hold the runtime too, which goes last.
    kernels: Kernels,
    scratch: Mutex<Scratch>,
    tables: Mutex<kv::Tables>,
    runtime: Arc<Runtime>,
    forms: Forms,
    warning: Option<String>,
    /// Where verdicts are kept, and the key of those of this device.
    verdicts: (DeviceCache, String),
    /// Formats of weights that need no test (any more).
    tested: Mutex<Vec<DType>>,
}

/// Memory that operations use within themselves; the queue's order keeps one use from the next.
#[derive(Default)]
struct Scratch {
    ids: Option<Memory>,
    /// What attention over spans of slots found.
    spans: Option<Memory>,
    /// What groups found of the largest value.
    found: Option<Memory>,
    /// The largest value, or the largest few.
    answer: Option<Memory>,
    /// The input of a linear layer, rounded as weights in blocks of 32 and of 256 ask for.
    rounded: [linear::Room; 2],
}

impl OpenClBackend {
    /// Opens a device and compiles the kernels for it, or takes them from the cache. The first time the device is
    /// tested, which takes some seconds.
    ///
    /// # Errors
    /// [`OpenClError`]: no library, no such device, a device that cannot run the kernels.
    pub fn new(options: OpenClOptions) -> Result<Self, OpenClError> {
        let mut device = Device::choose(options.device.as_deref())?;
        if let Some(most) = options.max_buffer {
            device.max_buffer = device.max_buffer.min(most);
        }
        let runtime = Arc::new(Runtime::new(device, options.profile, options.lose_after)?);
        let perturb = options.perturb.as_deref();
        let programs = Programs::new(&runtime, &options.cache, perturb);
        let most = programs::most_slices(&runtime);
        let key = programs::verdict_key(&runtime, perturb);
        let known = match options.preset {
            Some(preset) => Some(Verdict::trusted(Forms::of(preset, most))),
            None => options.cache.load(&key).and_then(|b| Verdict::from_text(str::from_utf8(&b).ok()?)),
        };
        let forms = known.as_ref().map_or(Forms::of(Preset::Fast, most), |v| v.forms);
        let kernels = Kernels::new(&programs, &forms)?;
        let mut gpu = Self {
            kernels,
            scratch: Mutex::default(),
            tables: Mutex::default(),
            runtime,
            forms,
            warning: None,
            verdicts: (options.cache, key),
            tested: Mutex::new(match options.preset {
                Some(_) => DType::ALL.to_vec(),
                None => self_test::FIRST.to_vec(),
            }),
        };
        let verdict = match known {
            Some(verdict) => verdict,
            None => {
                let verdict = self_test::examine(&mut gpu, &programs)?;
                gpu.verdicts.0.store(&gpu.verdicts.1, verdict.to_text().as_bytes());
                gpu.runtime.forget_times()?;
                verdict
            }
        };
        gpu.warning = verdict.judge(&gpu.runtime.device.name)?;
        Ok(gpu)
    }

    /// Tests the kernels of a format when the first weight in it comes, unless that was done before.
    ///
    /// # Errors
    /// [`OpenClError::Wrong`], and what the device reports.
    fn test_format(&self, format: DType) -> Result<()> {
        {
            let mut tested = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
            if tested.contains(&format) {
                return Ok(());
            }
            // The test itself makes weights in it.
            tested.push(format);
        }
        let key = format!("{}\n{format}", self.verdicts.1);
        let fault = match self.verdicts.0.load(&key) {
            Some(text) => String::from_utf8_lossy(&text).into_owned(),
            None => {
                let fault = self_test::format_fault(self, format)?.unwrap_or_default();
                self.verdicts.0.store(&key, fault.as_bytes());
                self.runtime.forget_times()?;
                fault
            }
        };
        if fault.is_empty() {
            return Ok(());
        }
        self.tested.lock().unwrap_or_else(PoisonError::into_inner).retain(|&tested| tested != format);
        let device = self.runtime.device.name.clone();
        Err(OpenClError::Wrong { device, kernel: "linear".to_owned(), detail: fault }.into())
    }

    /// What a person should know of the device, if its self-test found something.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Whether linear layers of the block formats round their input to int8, as the cpu backend does.
    pub fn rounds_inputs(&self) -> bool {
        self.forms.dot
    }

    /// Whether linear layers of the block formats round the input of one token first, to int8 or fp16, by a kernel.
    pub fn converts_inputs(&self) -> bool {
        self.forms.dot || self.forms.half
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.runtime.device
    }

    /// What was done so far: launches, transfers, waits.
    pub fn counters(&self) -> Counters {
        self.runtime.counters()
    }

    /// Keeps counting, and taking times, of what happens on the device when the backend itself has been given away.
    pub fn monitor(&self) -> Monitor {
        Monitor(self.runtime.clone())
    }

    /// Waits until everything that was asked for is done.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn finish(&self) -> Result<(), OpenClError> {
        self.runtime.finish()
    }
}

/// A view of what a backend does.
pub struct Monitor(Arc<Runtime>);

impl Monitor {
    /// What was done so far: launches, transfers, waits.
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// The time of every kernel so far, the longest first; empty unless [`OpenClOptions::profile`] is set.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn times(&self) -> Result<Vec<(&'static str, KernelTime)>, OpenClError> {
        self.0.times()
    }
}

impl Backend for OpenClBackend {
    type Buffer = OpenClBuffer;
    type Weight = OpenClWeight;

    fn name(&self) -> &'static str {
        "opencl"
    }

    fn describe(&self) -> String {
        let d = &self.runtime.device;
        let extras = self.forms.extras();
        format!("opencl: {}, {} compute units, driver {}{extras}", d.name, d.units, d.driver)
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<OpenClBuffer> {
        if dtype.is_quantized() && !self.forms.kv_blocks {
            let name = &self.runtime.device.name;
            let reason = format!("the device '{name}' computes {dtype} keys and values wrongly; use f16");
            return Err(CoreError::Backend { backend: "opencl", reason, remedies: &[Remedy::HalfCache] });
        }
        OpenClBuffer::new(&self.runtime, dtype, len)
    }

    fn resize(&self, buffer: &mut OpenClBuffer, len: usize) -> Result<()> {
        kv::resize(self, buffer, len)
    }

    fn upload(&self, values: &[f32], dst: &mut Tensor<OpenClBuffer>, row: usize) -> Result<()> {
        ops::upload(values, dst, row)
    }

    fn download(&self, src: &Tensor<OpenClBuffer>, row: usize, dst: &mut [f32]) -> Result<()> {
        ops::download(src, row, dst)
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<OpenClWeight> {
        if format.is_float() || format.is_quantized() {
            self.test_format(format)?;
        }
        OpenClWeight::new(&self.runtime, tensor, format)
    }

    fn embed(&self, table: &OpenClWeight, ids: &[u32], out: &mut Tensor<OpenClBuffer>) -> Result<()> {
        ops::embed(self, table, ids, out)
    }

    fn rms_norm(
        &self,
        x: &Tensor<OpenClBuffer>,
        gain: &OpenClWeight,
        eps: f32,
        out: &mut Tensor<OpenClBuffer>,
    ) -> Result<()> {
        ops::rms_norm(self, x, gain, eps, out)
    }

    fn rms_norm_in_place(&self, x: &mut Tensor<OpenClBuffer>, gain: &OpenClWeight, eps: f32) -> Result<()> {
        ops::rms_norm_in_place(self, x, gain, eps)
    }

    fn linear(&self, x: &Tensor<OpenClBuffer>, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        linear::linear(self, x, parts)
    }

    fn rope(
        &self,
        x: &mut Tensor<OpenClBuffer>,
        angles: &Tensor<OpenClBuffer>,
        head_dim: usize,
    ) -> Result<()> {
        ops::rope(self, x, angles, head_dim)
    }

    fn kv_append(
        &self,
        k: &Tensor<OpenClBuffer>,
        v: &Tensor<OpenClBuffer>,
        layer: &mut KvLayer<OpenClBuffer>,
        runs: &[Run<'_>],
    ) -> Result<()> {
        kv::kv_append(self, k, v, layer, runs)
    }

    fn kv_copy(
        &self,
        layer: &mut KvLayer<OpenClBuffer>,
        from: (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        kv::kv_copy(self, layer, from, to, count)
    }

    fn kv_export(
        &self,
        layer: &KvLayer<OpenClBuffer>,
        pages: &[PageId],
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        kv::kv_export(self, layer, pages, slots, k, v)
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<OpenClBuffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()> {
        kv::kv_import(self, k, v, layer, pages, at)
    }

    fn attention(
        &self,
        q: &Tensor<OpenClBuffer>,
        layer: &KvLayer<OpenClBuffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut Tensor<OpenClBuffer>,
    ) -> Result<()> {
        attention::attention(self, q, layer, how, runs, out)
    }

    fn glu(
        &self,
        gate: &Tensor<OpenClBuffer>,
        up: &Tensor<OpenClBuffer>,
        activation: Activation,
        out: &mut Tensor<OpenClBuffer>,
    ) -> Result<()> {
        ops::glu(self, gate, up, activation, out)
    }

    fn scale(&self, x: &mut Tensor<OpenClBuffer>, factor: f32) -> Result<()> {
        ops::scale(self, x, factor)
    }

    fn softcap(&self, x: &mut Tensor<OpenClBuffer>, cap: f32) -> Result<()> {
        ops::softcap(self, x, cap)
    }

    fn add(&self, x: &Tensor<OpenClBuffer>, acc: &mut Tensor<OpenClBuffer>) -> Result<()> {
        ops::add(self, x, acc)
    }

    fn copy_rows(
        &self,
        src: &Tensor<OpenClBuffer>,
        from: usize,
        count: usize,
        dst: &mut Tensor<OpenClBuffer>,
    ) -> Result<()> {
        ops::copy_rows(self, src, from, count, dst)
    }

    fn add_rms_norm(
        &self,
        x: &Tensor<OpenClBuffer>,
        acc: &mut Tensor<OpenClBuffer>,
        gain: &OpenClWeight,
        eps: f32,
        out: &mut Tensor<OpenClBuffer>,
    ) -> Result<()> {
        ops::add_rms_norm(self, x, acc, gain, eps, out)
    }

    fn largest(&self, x: &Tensor<OpenClBuffer>, row: usize, _scratch: &mut [f32]) -> Result<Largest> {
        argmax::largest(self, x, row)
    }
    fn top(
        &self,
        x: &Tensor<OpenClBuffer>,
        row: usize,
        count: usize,
        scratch: &mut [f32],
        top: &mut Top,
    ) -> Result<()> {
        if !top::top(self, x, row, count, top)? {
            self.download(x, row, scratch)?;
            top.find(scratch, count);
        }
        Ok(())
    }
}
