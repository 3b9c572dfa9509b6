//! Programs: a file of kernels, compiled for the device or taken from the cache.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::Arc;

use opencl_sys as cl;
use opencl_sys::{cl_int, cl_program};

use super::cache::DeviceCache;
use super::device::text;
use super::error::{OpenClError, Result};
use super::library::Handle;
use super::runtime::Runtime;
use crate::format::checksum;

/// A file of `kernels/`, with what is put in front of it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name.
    pub file: &'static str,
    /// Its text, in order.
    pub parts: &'a [&'a str],
    /// One of its kernels: without it a program is not what it should be.
    pub has: &'a str,
}

/// A file of kernels, compiled.
pub struct Program {
    pub(super) runtime: Arc<Runtime>,
    raw: Handle,
}

/// Lines of a compiler's log that a message quotes.
const LOG_LINES: usize = 4;

impl Program {
    /// The program of `source` with `options`, from the cache or else compiled, and kept.
    ///
    /// # Errors
    /// What the device's compiler says.
    pub fn build(
        runtime: &Arc<Runtime>,
        source: &Source<'_>,
        options: &str,
        cache: &DeviceCache,
    ) -> Result<Arc<Self>> {
        let key = key(runtime, source, options);
        let options = CString::new(options).unwrap_or_default();
        if let Some(program) =
            cache.load(&key).and_then(|binary| Self::stored(runtime, source, &binary, &options))
        {
            return Ok(Arc::new(program));
        }
        let program = Self::compile(runtime, source, &options)?;
        runtime.count_build();
        if let Some(binary) = program.binary() {
            cache.store(&key, &binary);
        }
        Ok(Arc::new(program))
    }

    /// A program out of the cache; `None` if the driver does not take it or it lacks what it should have.
    fn stored(runtime: &Arc<Runtime>, source: &Source<'_>, binary: &[u8], options: &CString) -> Option<Self> {
        let (device, len, at) = (runtime.device.id.0, binary.len(), binary.as_ptr());
        let (mut of_binary, mut status) = (cl::CL_SUCCESS, cl::CL_SUCCESS);
        // SAFETY: one device, one length and one pointer to as many bytes, which the driver copies.
        let raw = unsafe {
            (runtime.api.create_program_with_binary)(
                runtime.context().0,
                1,
                &device,
                &len,
                &at,
                &mut of_binary,
                &mut status,
            )
        };
        if raw.is_null() || status != cl::CL_SUCCESS {
            return None;
        }
        let program = Self { runtime: runtime.clone(), raw: Handle(raw) };
        if of_binary != cl::CL_SUCCESS || program.run_compiler(options) != cl::CL_SUCCESS {
            return None;
        }
        let kernel = program.kernel(source.has).ok()?;
        // SAFETY: made above and not in use.
        unsafe { (runtime.api.release_kernel)(kernel.0) };
        Some(program)
    }

    fn compile(runtime: &Arc<Runtime>, source: &Source<'_>, options: &CString) -> Result<Self> {
        let texts: Vec<*const c_char> = source.parts.iter().map(|p| p.as_ptr().cast()).collect();
        let lens: Vec<usize> = source.parts.iter().map(|p| p.len()).collect();
        let mut status = cl::CL_SUCCESS;
        // SAFETY: as many pointers as lengths, each to so many bytes, which the driver copies.
        let raw: cl_program = unsafe {
            (runtime.api.create_program_with_source)(
                runtime.context().0,
                texts.len() as u32,
                texts.as_ptr(),
                lens.as_ptr(),
                &mut status,
            )
        };
        runtime.check("clCreateProgramWithSource", status)?;
        let program = Self { runtime: runtime.clone(), raw: Handle(raw) };
        match program.run_compiler(options) {
            cl::CL_SUCCESS => Ok(program),
            status => Err(OpenClError::Build {
                device: runtime.device.name.clone(),
                file: source.file,
                status,
                log: first_lines(&program.log()),
            }),
        }
    }

    fn run_compiler(&self, options: &CString) -> cl_int {
        let device = self.runtime.device.id.0;
        // SAFETY: one device of the program's context, a text that ends in 0, no callback.
        unsafe {
            (self.runtime.api.build_program)(
                self.raw.0,
                1,
                &device,
                options.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        }
    }

    fn log(&self) -> String {
        let device = self.runtime.device.id.0;
        text(|size, to, len| {
            // SAFETY: a program, a device that it was built for, and room for `size` bytes at `to`.
            unsafe {
                (self.runtime.api.get_program_build_info)(
                    self.raw.0,
                    device,
                    cl::CL_PROGRAM_BUILD_LOG,
                    size,
                    to,
                    len,
                )
            }
        })
    }

    /// What the compiler made; `None` if the driver keeps it to itself.
    fn binary(&self) -> Option<Vec<u8>> {
        let mut size = 0usize;
        let info = self.runtime.api.get_program_info;
        let to = ptr::from_mut(&mut size).cast();
        // SAFETY: for one device the sizes are one `usize`.
        let status =
            unsafe { info(self.raw.0, cl::CL_PROGRAM_BINARY_SIZES, size_of::<usize>(), to, ptr::null_mut()) };
        if status != cl::CL_SUCCESS || size == 0 {
            return None;
        }
        let mut bytes = vec![0u8; size];
        let mut at = bytes.as_mut_ptr();
        let to = ptr::from_mut(&mut at).cast();
        // SAFETY: for one device the binaries are one pointer, to which the driver writes the size that it reported.
        let status =
            unsafe { info(self.raw.0, cl::CL_PROGRAM_BINARIES, size_of::<*mut u8>(), to, ptr::null_mut()) };
        (status == cl::CL_SUCCESS).then_some(bytes)
    }

    /// A kernel object, which the caller releases, or OpenCL's status.
    pub(super) fn kernel(&self, name: &str) -> std::result::Result<Handle, cl_int> {
        let mut status = cl::CL_SUCCESS;
        let text = CString::new(name).unwrap_or_default();
        // SAFETY: a program that was built, and a text that ends in 0.
        let raw = unsafe { (self.runtime.api.create_kernel)(self.raw.0, text.as_ptr(), &mut status) };
        match status {
            cl::CL_SUCCESS if raw.is_null() => Err(cl::CL_INVALID_KERNEL_NAME),
            cl::CL_SUCCESS => Ok(Handle(raw)),
            status => Err(status),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made in this file and released once.
        unsafe { (self.runtime.api.release_program)(self.raw.0) };
    }
}

/// All that a compiled program depends on.
fn key(runtime: &Runtime, source: &Source<'_>, options: &str) -> String {
    let d = &runtime.device;
    let mut text = String::new();
    source.parts.iter().for_each(|p| text.push_str(p));
    format!(
        "{}\n{:016x}\n{options}\n{}\n{}\n{}\n{}",
        source.file,
        checksum(text.as_bytes()),
        d.name,
        d.platform,
        d.version,
        d.driver
    )
}

/// From the first line that speaks of an error on, if there is one: some compilers warn at length before.
fn first_lines(log: &str) -> String {
    let all: Vec<&str> = log.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let begin = all.iter().position(|l| l.contains("error")).unwrap_or(0);
    let lines: Vec<&str> = all[begin..].iter().copied().take(LOG_LINES).collect();
    if lines.is_empty() { "it does not say why".to_owned() } else { lines.join(" / ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_to_its_first_lines() {
        assert_eq!(first_lines("a\n\n  b \nc\nd\ne\n"), "a / b / c / d");
        assert_eq!(first_lines(" \n"), "it does not say why");
        assert_eq!(first_lines("started\nx:1: warning: a\nx:2: error: b\n"), "x:2: error: b");
    }
}
