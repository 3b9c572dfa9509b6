//! A kernel and its arguments.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use opencl_sys as cl;
use opencl_sys::cl_mem;

use super::buffer::{Image, Memory};
use super::error::{OpenClError, Result};
use super::library::Handle;
use super::program::Program;

/// An argument.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// Memory on the device.
    Memory(&'a Memory),
    /// The same, as an image.
    Image(&'a Image),
    /// A `uint`.
    U32(u32),
    /// A `float`.
    F32(f32),
}

/// A kernel object. Its arguments keep their values until they are set again.
pub struct Kernel {
    program: Arc<Program>,
    raw: Handle,
    name: &'static str,
}

impl Kernel {
    /// The kernel `name` of `program`.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(program: &Arc<Program>, name: &'static str) -> Result<Self> {
        let found = program.kernel(name);
        let (raw, status) = (found.unwrap_or(Handle(ptr::null_mut())), found.err().unwrap_or(cl::CL_SUCCESS));
        let kernel = Self { program: program.clone(), raw, name };
        kernel.check("clCreateKernel", status)?;
        Ok(kernel)
    }

    /// Sets the arguments from number `first` on.
    ///
    /// # Safety
    /// They have to be of the kernel's types, and each memory has to live until the argument is set again or no
    /// launch follows.
    pub unsafe fn set(&mut self, first: usize, args: &[Arg<'_>]) -> Result<()> {
        for (i, arg) in (first as u32..).zip(args) {
            let mem: cl_mem;
            let (size, at): (usize, *const c_void) = match arg {
                Arg::Memory(memory) => {
                    mem = memory.handle().0;
                    (size_of::<cl_mem>(), ptr::from_ref(&mem).cast())
                }
                Arg::Image(image) => {
                    mem = image.handle().0;
                    (size_of::<cl_mem>(), ptr::from_ref(&mem).cast())
                }
                Arg::U32(v) => (size_of::<u32>(), ptr::from_ref(v).cast()),
                Arg::F32(v) => (size_of::<f32>(), ptr::from_ref(v).cast()),
            };
            // SAFETY: `at` points to `size` bytes, which the driver copies; `&mut self` keeps other threads off.
            let status = unsafe { (self.program.runtime.api.set_kernel_arg)(self.raw.0, i, size, at) };
            self.check("clSetKernelArg", status)?;
        }
        Ok(())
    }

    /// Puts the kernel into the queue: `global` work-items in groups of `local`; the former are rounded up to whole
    /// groups. Does nothing for no work-items.
    ///
    /// # Safety
    /// All arguments have to be set, and no work-item of these may reach beyond the memory that it is given.
    pub unsafe fn launch(&mut self, global: [usize; 3], local: [usize; 3]) -> Result<()> {
        if global.contains(&0) {
            return Ok(());
        }
        let mut whole = [0; 3];
        for ((w, g), l) in whole.iter_mut().zip(global).zip(local) {
            *w = g.next_multiple_of(l);
        }
        let runtime = &self.program.runtime;
        let mut event = ptr::null_mut();
        let to = if runtime.profile.is_some() { ptr::from_mut(&mut event) } else { ptr::null_mut() };
        // SAFETY: three sizes each; the rest is the caller's promise.
        let status = unsafe {
            (runtime.api.enqueue_nd_range_kernel)(
                runtime.queue().0,
                self.raw.0,
                3,
                ptr::null(),
                whole.as_ptr(),
                local.as_ptr(),
                0,
                ptr::null(),
                to,
            )
        };
        self.check("clEnqueueNDRangeKernel", status)?;
        runtime.count_launch();
        if !event.is_null() {
            runtime.keep_event(self.name, Handle(event));
        }
        Ok(())
    }

    fn check(&self, call: &str, status: i32) -> Result<()> {
        let status = self.program.runtime.answer(status);
        if status == cl::CL_SUCCESS {
            return Ok(());
        }
        let device = self.program.runtime.device.name.clone();
        Err(OpenClError::Call { call: format!("{call} ({})", self.name), device, status })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if !self.raw.0.is_null() {
            // SAFETY: made in `new` and released once.
            unsafe { (self.program.runtime.api.release_kernel)(self.raw.0) };
        }
    }
}
