//! Memory of the device, and the host's way into it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use opencl_sys::cl_channel_type;

use super::error::Result;
use super::library::Handle;
use super::runtime::Runtime;
use crate::core::{Buffer, CoreError, DType};

/// Bytes on the device, zeroed or not.
pub(super) struct Memory {
    runtime: Arc<Runtime>,
    mem: Handle,
    bytes: usize,
}

impl Memory {
    /// Memory whose contents are whatever was there.
    pub fn new(runtime: &Arc<Runtime>, bytes: usize, what: &'static str) -> Result<Self> {
        let mem = runtime.create_buffer(bytes, what)?;
        Ok(Self { runtime: runtime.clone(), mem, bytes })
    }

    /// The driver's name of it.
    pub fn handle(&self) -> Handle {
        self.mem
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fills it with zeros.
    pub fn zero(&mut self) -> Result<()> {
        if self.bytes == 0 { Ok(()) } else { self.runtime.zero(self.mem, self.bytes) }
    }

    /// Puts `bytes` at `offset` without waiting; `None` if it does not reach so far.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Option<Result<()>> {
        let end = offset.checked_add(bytes.len())?;
        // SAFETY: the end was compared with the length.
        (end <= self.bytes).then(|| unsafe { self.runtime.write(self.mem, offset, bytes) })
    }

    /// Copies what is at `offset`, when all earlier work is done; `None` if it does not reach so far.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Option<Result<()>> {
        let end = offset.checked_add(to.len())?;
        // SAFETY: the end was compared with the length.
        (end <= self.bytes).then(|| unsafe { self.runtime.read(self.mem, offset, to) })
    }

    /// See [`OpenClBuffer::map`].
    pub fn map(&mut self) -> Result<MappedGuard<'_>> {
        // SAFETY: the memory has that length, and the guard borrows it exclusively: no call that takes it can be
        // made until the guard is gone, which unmaps it.
        let at = unsafe { self.runtime.map(self.mem, self.bytes)? };
        Ok(MappedGuard { memory: self, at })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.runtime.release_buffer(self.mem, self.bytes);
    }
}

/// Memory as the device's texture units read it: in texels of four elements.
pub(super) struct Image {
    runtime: Arc<Runtime>,
    image: Handle,
}

impl Image {
    /// All of `memory`, in elements of the type and size given; `None` if the device does not take it so.
    pub fn over(memory: &Memory, element: cl_channel_type, bytes: usize) -> Option<Self> {
        // Kernels count texels as `int`.
        let texels = Some(memory.bytes / (4 * bytes)).filter(|&n| i32::try_from(n).is_ok())?;
        let image = memory.runtime.create_image(memory.mem, element, texels)?;
        Some(Self { runtime: memory.runtime.clone(), image })
    }

    /// The driver's name of it.
    pub fn handle(&self) -> Handle {
        self.image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: made in `over` and released once. Commands in the queue keep it alive (OpenCL 1.2, 5.4.1).
        unsafe { (self.runtime.api.release_mem_object)(self.image.0) };
    }
}

/// Elements of one type on the device.
pub struct OpenClBuffer {
    memory: Memory,
    dtype: DType,
    len: usize,
}

impl OpenClBuffer {
    /// `len` zeroed elements.
    ///
    /// # Errors
    /// [`CoreError::OutOfMemory`] for sizes that cannot be, and what the device answers.
    pub(super) fn new(runtime: &Arc<Runtime>, dtype: DType, len: usize) -> Result<Self, CoreError> {
        let what = "a buffer";
        // Kernels count in 32 bits.
        let fits = u32::try_from(len).ok().and_then(|_| dtype.bytes_for(len));
        let bytes = fits.ok_or(CoreError::OutOfMemory { what, bytes: usize::MAX })?;
        let mut memory = Memory::new(runtime, bytes.next_multiple_of(4), what)?;
        memory.zero()?;
        Ok(Self { memory, dtype, len })
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Lets the host read and write the elements' bytes in place, when all earlier work is done. Where host and
    /// device share memory, nothing is copied. The device gets the buffer back when the guard is dropped; in between
    /// the guard borrows it, so that a call which would use it on the device does not compile:
    ///
    /// ```compile_fail
    /// # use llm_rs2::backend::opencl::{OpenClBackend, OpenClOptions};
    /// # use llm_rs2::core::{Backend, Tensor};
    /// let gpu = OpenClBackend::new(OpenClOptions::default()).unwrap();
    /// let mut x = gpu.tensor(1, 4).unwrap();
    /// let mut y = gpu.tensor(1, 4).unwrap();
    /// let mapped = y.buffer_mut().map().unwrap();
    /// gpu.add(&x, &mut y).unwrap(); // `y` is still borrowed by `mapped`
    /// drop(mapped);
    /// ```
    ///
    /// ```no_run
    /// # use llm_rs2::backend::opencl::{OpenClBackend, OpenClOptions};
    /// # use llm_rs2::core::{Backend, Tensor};
    /// let gpu = OpenClBackend::new(OpenClOptions::default()).unwrap();
    /// let mut x = gpu.tensor(1, 4).unwrap();
    /// let mut y = gpu.tensor(1, 4).unwrap();
    /// let mapped = y.buffer_mut().map().unwrap();
    /// drop(mapped);
    /// gpu.add(&x, &mut y).unwrap();
    /// ```
    ///
    /// # Errors
    /// What the device answers.
    pub fn map(&mut self) -> Result<MappedGuard<'_>> {
        self.memory.map()
    }
}

impl Buffer for OpenClBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl std::fmt::Debug for OpenClBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenClBuffer({} x {})", self.len, self.dtype)
    }
}

/// The bytes of a buffer while the host may touch them.
pub struct MappedGuard<'a> {
    memory: &'a mut Memory,
    at: *mut u8,
}

impl Deref for MappedGuard<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the driver mapped so many bytes there for reading and writing, until `drop`. Any bits are bytes.
        unsafe { std::slice::from_raw_parts(self.at, self.memory.bytes) }
    }
}

impl DerefMut for MappedGuard<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.memory.bytes) }
    }
}

impl Drop for MappedGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`, unmapped once, and not used afterwards.
        unsafe { self.memory.runtime.unmap(self.memory.mem, self.at) };
    }
}
