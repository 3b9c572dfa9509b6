//! What can go wrong on a device, and what the driver's numbers mean.

use opencl_sys::cl_int;

use crate::core::{CoreError, Remedy};

/// Errors of the OpenCL backend. Each names the device or the place, and the way on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OpenClError {
    /// No library.
    #[error(
        "there is no OpenCL library here ({tried}); install the GPU's driver, name the library in \
         OPENCL_DYLIB_PATH, or use the cpu backend"
    )]
    NoLibrary {
        /// What was tried.
        tried: String,
    },
    /// A program that cannot load libraries.
    #[error(
        "this program is linked statically and cannot load an OpenCL driver; use one for aarch64-linux-android \
         (docs/ANDROID.md) or one that is not static, or the cpu backend"
    )]
    Static,
    /// A library without a device.
    #[error("the OpenCL library {library} knows no device; install the GPU's driver, or use the cpu backend")]
    NoDevice {
        /// The library's file.
        library: String,
    },
    /// `--device` names none.
    #[error("no OpenCL device is '{wanted}'; there are {have}")]
    UnknownDevice {
        /// As typed.
        wanted: String,
        /// All, with their numbers.
        have: String,
    },
    /// A device that lacks what every kernel needs.
    #[error("the OpenCL device '{device}' {lack}; choose another device, or use the cpu backend")]
    Unsuitable {
        /// Its name.
        device: String,
        /// What is missing.
        lack: String,
    },
    /// A call that failed.
    #[error("{call} failed on the OpenCL device '{device}': {}; {}", status_name(*status), advice(*status).0)]
    Call {
        /// The function, and the kernel if there is one.
        call: String,
        /// The device.
        device: String,
        /// What it answered.
        status: cl_int,
    },
    /// A program that the device's compiler refuses.
    #[error(
        "the OpenCL device '{device}' cannot build kernels/{file}: {}; {log}; use the cpu backend",
        status_name(*status)
    )]
    Build {
        /// The device.
        device: String,
        /// The file of kernels.
        file: &'static str,
        /// What it answered.
        status: cl_int,
        /// The first lines of the compiler's log.
        log: String,
    },
    /// More memory than the device has.
    #[error(
        "the OpenCL device '{device}' has {total} bytes of memory, of which {used} are taken, and {what} needs {bytes} \
         more; use a smaller format of the weights or a shorter context"
    )]
    TooLarge {
        /// The device.
        device: String,
        /// What for.
        what: &'static str,
        /// How much.
        bytes: u64,
        /// What is taken.
        used: u64,
        /// What there is.
        total: u64,
    },
    /// One buffer that is larger than the device allows.
    #[error(
        "the OpenCL device '{device}' allows buffers of up to {limit} bytes, and {what} needs {bytes}; use a smaller \
         format of the weights or a shorter context"
    )]
    BufferTooLarge {
        /// The device.
        device: String,
        /// What for.
        what: &'static str,
        /// How much.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A device that gave up while its kernels were tested.
    #[error("{reason}")]
    SelfTest {
        /// What happened.
        reason: String,
        /// The settings that its advice is about.
        remedies: &'static [Remedy],
    },
    /// A device whose results are wrong.
    #[error("the OpenCL device '{device}' computes {kernel} wrongly ({detail}); use the cpu backend")]
    Wrong {
        /// The device.
        device: String,
        /// The kernel.
        kernel: String,
        /// By how much.
        detail: String,
    },
}

impl From<OpenClError> for CoreError {
    fn from(e: OpenClError) -> Self {
        match e {
            // It has been one before.
            OpenClError::SelfTest { reason, remedies } => {
                CoreError::Backend { backend: "opencl", reason, remedies }
            }
            e => CoreError::Backend { backend: "opencl", reason: e.to_string(), remedies: e.remedies() },
        }
    }
}

impl OpenClError {
    /// The settings that the error's advice is about.
    pub fn remedies(&self) -> &'static [Remedy] {
        match self {
            OpenClError::UnknownDevice { .. } => &[Remedy::Device],
            OpenClError::Unsuitable { .. } => &[Remedy::Device, Remedy::CpuBackend],
            OpenClError::Call { status, .. } => advice(*status).1,
            OpenClError::TooLarge { .. } | OpenClError::BufferTooLarge { .. } => LESS_MEMORY,
            OpenClError::SelfTest { remedies, .. } => remedies,
            _ => &[Remedy::CpuBackend],
        }
    }
}

/// Result of a call to the driver.
pub type Result<T, E = OpenClError> = std::result::Result<T, E>;

/// The name that cl.h gives a status.
pub fn status_name(status: cl_int) -> String {
    let name = match status {
        -1 => "CL_DEVICE_NOT_FOUND",
        -2 => "CL_DEVICE_NOT_AVAILABLE",
        -3 => "CL_COMPILER_NOT_AVAILABLE",
        -4 => "CL_MEM_OBJECT_ALLOCATION_FAILURE",
        -5 => "CL_OUT_OF_RESOURCES",
        -6 => "CL_OUT_OF_HOST_MEMORY",
        -7 => "CL_PROFILING_INFO_NOT_AVAILABLE",
        -11 => "CL_BUILD_PROGRAM_FAILURE",
        -12 => "CL_MAP_FAILURE",
        -14 => "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
        -30 => "CL_INVALID_VALUE",
        -33 => "CL_INVALID_DEVICE",
        -34 => "CL_INVALID_CONTEXT",
        -36 => "CL_INVALID_COMMAND_QUEUE",
        -38 => "CL_INVALID_MEM_OBJECT",
        -42 => "CL_INVALID_BINARY",
        -43 => "CL_INVALID_BUILD_OPTIONS",
        -44 => "CL_INVALID_PROGRAM",
        -45 => "CL_INVALID_PROGRAM_EXECUTABLE",
        -46 => "CL_INVALID_KERNEL_NAME",
        -48 => "CL_INVALID_KERNEL",
        -49 => "CL_INVALID_ARG_INDEX",
        -50 => "CL_INVALID_ARG_VALUE",
        -51 => "CL_INVALID_ARG_SIZE",
        -52 => "CL_INVALID_KERNEL_ARGS",
        -53 => "CL_INVALID_WORK_DIMENSION",
        -54 => "CL_INVALID_WORK_GROUP_SIZE",
        -55 => "CL_INVALID_WORK_ITEM_SIZE",
        -61 => "CL_INVALID_BUFFER_SIZE",
        -63 => "CL_INVALID_GLOBAL_WORK_SIZE",
        -1001 => "CL_PLATFORM_NOT_FOUND_KHR",
        -9999 => "illegal read or write to a buffer (-9999)",
        other => return format!("status {other}"),
    };
    name.to_owned()
}

const LESS_MEMORY: &[Remedy] = &[Remedy::WeightFormat, Remedy::ContextLength];

/// What to do about a status, and the settings for it.
fn advice(status: cl_int) -> (&'static str, &'static [Remedy]) {
    match status {
        -4 | -6 => {
            ("its memory is full: use a smaller format of the weights or a shorter context", LESS_MEMORY)
        }
        -5 | -9999 | -14 | -36 => (
            "the device gave up or was lost; try again, take a smaller prefill chunk, or use the cpu backend",
            &[Remedy::PrefillChunk, Remedy::CpuBackend],
        ),
        _ => ("use the cpu backend", &[Remedy::CpuBackend]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_the_device_and_the_way_on() {
        let lost = OpenClError::Call {
            call: "clEnqueueNDRangeKernel (rms_norm)".into(),
            device: "Mali-G78".into(),
            status: -5,
        };
        let core = CoreError::from(lost);
        assert_eq!(core.remedies(), [Remedy::PrefillChunk, Remedy::CpuBackend]);
        let core = core.to_string();
        for part in ["rms_norm", "Mali-G78", "CL_OUT_OF_RESOURCES", "the cpu backend"] {
            assert!(core.contains(part), "{core}");
        }
        assert_eq!(status_name(-77), "status -77");
    }
}
