//! The OpenCL library: found and loaded when it is first needed, never linked.

use std::env;
use std::ffi::{OsString, c_char, c_void};
use std::sync::OnceLock;

use libloading::Library;
use opencl_sys::{
    cl_bool, cl_command_queue, cl_command_queue_properties, cl_context, cl_context_properties, cl_device_id,
    cl_device_info, cl_device_type, cl_event, cl_image_desc, cl_image_format, cl_int, cl_kernel,
    cl_map_flags, cl_mem, cl_mem_flags, cl_platform_id, cl_platform_info, cl_profiling_info, cl_program,
    cl_program_build_info, cl_program_info, cl_uchar, cl_uint,
};

use super::error::OpenClError;

/// Names the library's file, before all others.
pub const LIBRARY_VARIABLE: &str = "OPENCL_DYLIB_PATH";

/// Where drivers put it. Bare names are for the system's loader to find: on Android that is the only way to a
/// library which the vendor declares public, by paths alone a program there may be refused.
const PLACES: &[&str] = &[
    "libOpenCL.so",
    "libOpenCL.so.1",
    "/vendor/lib64/libOpenCL.so",
    "/system/vendor/lib64/libOpenCL.so",
    "/system/lib64/libOpenCL.so",
    "/vendor/lib64/egl/libOpenCL.so",
    "/vendor/lib64/libGLES_mali.so",
    "/vendor/lib64/egl/libGLES_mali.so",
    "/system/vendor/lib64/egl/libGLES_mali.so",
    "libGLES_mali.so",
    "/vendor/lib64/libPVROCL.so",
    "/system/vendor/lib64/libPVROCL.so",
    "libPVROCL.so",
];

/// Whether this program has the C library within itself, which then cannot load others.
const STATIC: bool = cfg!(all(target_os = "linux", target_feature = "crt-static"));

/// Called by the driver with what went wrong; we ask for the return value instead.
type Notify = *mut c_void;

/// The signature of clCreateImage.
type CreateImage = unsafe extern "C" fn(
    cl_context,
    cl_mem_flags,
    *const cl_image_format,
    *const cl_image_desc,
    *mut c_void,
    *mut cl_int,
) -> cl_mem;

/// Declares the table of functions, each with its symbol and the signature that cl.h of OpenCL 1.2 gives it.
macro_rules! functions {
    ($($field:ident = $symbol:literal ($($arg:ty),* $(,)?) -> $out:ty;)*) => {
        /// The functions that are used of the library, by their names without `cl`.
        #[allow(missing_docs)]
        pub struct Api {
            $(pub $field: unsafe extern "C" fn($($arg),*) -> $out,)*
            /// clCreateImage, which is not needed.
            pub create_image: Option<CreateImage>,
            /// The file that they come from.
            pub path: String,
        }

        impl Api {
            /// # Safety
            /// `library` has to be an OpenCL library, so that its symbols have the signatures of cl.h, and has to
            /// stay loaded as long as the result is used.
            unsafe fn from(library: &Library, path: String) -> Result<Self, String> {
                Ok(Self {
                    $($field: {
                        let name = concat!($symbol, "\0").as_bytes();
                        // SAFETY: the symbol has this type by cl.h, as the caller vouches.
                        let found = unsafe { library.get::<unsafe extern "C" fn($($arg),*) -> $out>(name) };
                        *found.map_err(|_| concat!("it has no ", $symbol).to_owned())?
                    },)*
                    // SAFETY: as above.
                    create_image: unsafe { library.get::<CreateImage>(b"clCreateImage\0") }.ok().map(|f| *f),
                    path,
                })
            }
        }
    };
}

functions! {
    get_platform_ids = "clGetPlatformIDs"(cl_uint, *mut cl_platform_id, *mut cl_uint) -> cl_int;
    get_platform_info = "clGetPlatformInfo"(
        cl_platform_id, cl_platform_info, usize, *mut c_void, *mut usize,
    ) -> cl_int;
    get_device_ids = "clGetDeviceIDs"(
        cl_platform_id, cl_device_type, cl_uint, *mut cl_device_id, *mut cl_uint,
    ) -> cl_int;
    get_device_info = "clGetDeviceInfo"(
        cl_device_id, cl_device_info, usize, *mut c_void, *mut usize,
    ) -> cl_int;
    create_context = "clCreateContext"(
        *const cl_context_properties, cl_uint, *const cl_device_id, Notify, *mut c_void, *mut cl_int,
    ) -> cl_context;
    release_context = "clReleaseContext"(cl_context) -> cl_int;
    create_command_queue = "clCreateCommandQueue"(
        cl_context, cl_device_id, cl_command_queue_properties, *mut cl_int,
    ) -> cl_command_queue;
    release_command_queue = "clReleaseCommandQueue"(cl_command_queue) -> cl_int;
    create_buffer = "clCreateBuffer"(cl_context, cl_mem_flags, usize, *mut c_void, *mut cl_int) -> cl_mem;
    release_mem_object = "clReleaseMemObject"(cl_mem) -> cl_int;
    create_program_with_source = "clCreateProgramWithSource"(
        cl_context, cl_uint, *const *const c_char, *const usize, *mut cl_int,
    ) -> cl_program;
    create_program_with_binary = "clCreateProgramWithBinary"(
        cl_context, cl_uint, *const cl_device_id, *const usize, *const *const cl_uchar, *mut cl_int,
        *mut cl_int,
    ) -> cl_program;
    build_program = "clBuildProgram"(
        cl_program, cl_uint, *const cl_device_id, *const c_char, Notify, *mut c_void,
    ) -> cl_int;
    get_program_info = "clGetProgramInfo"(
        cl_program, cl_program_info, usize, *mut c_void, *mut usize,
    ) -> cl_int;
    get_program_build_info = "clGetProgramBuildInfo"(
        cl_program, cl_device_id, cl_program_build_info, usize, *mut c_void, *mut usize,
    ) -> cl_int;
    release_program = "clReleaseProgram"(cl_program) -> cl_int;
    create_kernel = "clCreateKernel"(cl_program, *const c_char, *mut cl_int) -> cl_kernel;
    release_kernel = "clReleaseKernel"(cl_kernel) -> cl_int;
    set_kernel_arg = "clSetKernelArg"(cl_kernel, cl_uint, usize, *const c_void) -> cl_int;
    enqueue_nd_range_kernel = "clEnqueueNDRangeKernel"(
        cl_command_queue, cl_kernel, cl_uint, *const usize, *const usize, *const usize, cl_uint,
        *const cl_event, *mut cl_event,
    ) -> cl_int;
    enqueue_read_buffer = "clEnqueueReadBuffer"(
        cl_command_queue, cl_mem, cl_bool, usize, usize, *mut c_void, cl_uint, *const cl_event,
        *mut cl_event,
    ) -> cl_int;
    enqueue_write_buffer = "clEnqueueWriteBuffer"(
        cl_command_queue, cl_mem, cl_bool, usize, usize, *const c_void, cl_uint, *const cl_event,
        *mut cl_event,
    ) -> cl_int;
    enqueue_fill_buffer = "clEnqueueFillBuffer"(
        cl_command_queue, cl_mem, *const c_void, usize, usize, usize, cl_uint, *const cl_event,
        *mut cl_event,
    ) -> cl_int;
    enqueue_map_buffer = "clEnqueueMapBuffer"(
        cl_command_queue, cl_mem, cl_bool, cl_map_flags, usize, usize, cl_uint, *const cl_event,
        *mut cl_event, *mut cl_int,
    ) -> *mut c_void;
    enqueue_unmap_mem_object = "clEnqueueUnmapMemObject"(
        cl_command_queue, cl_mem, *mut c_void, cl_uint, *const cl_event, *mut cl_event,
    ) -> cl_int;
    get_event_profiling_info = "clGetEventProfilingInfo"(
        cl_event, cl_profiling_info, usize, *mut c_void, *mut usize,
    ) -> cl_int;
    release_event = "clReleaseEvent"(cl_event) -> cl_int;
    finish = "clFinish"(cl_command_queue) -> cl_int;
}

impl Api {
    /// The library, loaded on the first call and kept until the process ends: drivers start threads that would not
    /// survive its being unloaded.
    ///
    /// # Errors
    /// [`OpenClError::NoLibrary`], each time; [`OpenClError::Static`] in a program that cannot load any.
    pub fn get() -> Result<&'static Self, OpenClError> {
        if STATIC {
            return Err(OpenClError::Static);
        }
        static API: OnceLock<Result<Api, String>> = OnceLock::new();
        let api = API.get_or_init(|| Self::search(env::var_os(LIBRARY_VARIABLE), PLACES));
        api.as_ref().map_err(|tried| OpenClError::NoLibrary { tried: tried.clone() })
    }

    /// The file that is named, if one is, and nothing else; or the first of `places` that is an OpenCL library.
    /// Otherwise says what was tried.
    fn search(named: Option<OsString>, places: &[&str]) -> Result<Self, String> {
        if let Some(named) = named.filter(|n| !n.is_empty()) {
            return Self::open(&named).map_err(|e| format!("{LIBRARY_VARIABLE} names {named:?}: {e}"));
        }
        let mut unfit = String::new();
        for place in places {
            match Self::open(&OsString::from(place)) {
                Ok(api) => return Ok(api),
                // A file that is there but is no OpenCL library is worth a word; one that is not there is none.
                Err(e) if e.starts_with("it has no") => unfit = format!("; {place}: {e}"),
                Err(_) => {}
            }
        }
        Err(format!("looked for {} and the vendors' libraries{unfit}", places.first().unwrap_or(&"nothing")))
    }

    fn open(path: &OsString) -> Result<Self, String> {
        // SAFETY: loading runs the library's initialization. The names are those of OpenCL drivers, or the one
        // that the user gave for this purpose; like every driver it is trusted.
        let library = unsafe { Library::new(path) }.map_err(|e| e.to_string())?;
        // SAFETY: as above; and the library is never unloaded, since its handle is forgotten below.
        let api = unsafe { Self::from(&library, path.to_string_lossy().into_owned()) };
        if api.is_ok() {
            std::mem::forget(library);
        }
        api
    }
}

/// An identifier that the driver gave out. Their use from any thread is safe by the specification (OpenCL 1.2,
/// A.2), except for setting arguments of one kernel object, which [`super::kernel::Kernel`] sees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub *mut c_void);

// SAFETY: see above; the pointer is never followed here.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_and_is_not_there_is_said() {
        let said = Api::search(Some("/nowhere/libOpenCL.so".into()), PLACES).err().unwrap();
        assert!(said.starts_with("OPENCL_DYLIB_PATH names \"/nowhere/libOpenCL.so\": "), "{said}");
        let said = Api::search(None, &["/nowhere/a.so", "/nowhere/b.so"]).err().unwrap();
        assert!(said.contains("/nowhere/a.so"), "{said}");
    }

    #[test]
    fn a_static_program_looks_for_nothing() {
        let said = Api::get().err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(said.starts_with("this program is linked statically"), STATIC, "{said}");
    }

    #[test]
    fn a_library_of_another_kind_is_refused() {
        let said = Api::search(Some("libc.so.6".into()), PLACES).err().unwrap();
        assert!(said.contains("it has no clGetPlatformIDs") || said.contains("libc.so.6"), "{said}");
    }
}
