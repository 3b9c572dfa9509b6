//! The OpenCL devices of this machine, and which of them is meant.

use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use opencl_sys as cl;
use opencl_sys::{cl_device_info, cl_device_type, cl_platform_id, cl_uint, cl_ulong};

use super::error::{OpenClError, Result};
use super::library::{Api, Handle};

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A graphics processor.
    Gpu,
    /// Something else that was made to compute.
    Accelerator,
    /// The machine's processor, by way of OpenCL.
    Cpu,
}

/// A device and what it says of itself.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) id: Handle,
    /// What it is.
    pub kind: DeviceKind,
    /// Its name.
    pub name: String,
    /// Name and version of the platform that it belongs to.
    pub platform: String,
    /// `OpenCL 3.0 ...`
    pub version: String,
    /// The driver's version.
    pub driver: String,
    /// Compute units.
    pub units: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// The most bytes of one buffer.
    pub max_buffer: u64,
    /// Bytes of local memory of a work-group.
    pub local_memory: u64,
    /// The most work-items of a work-group.
    pub max_group: usize,
    /// The most in each dimension.
    pub max_sides: [usize; 3],
    /// Whether host and device share their memory.
    pub unified: bool,
    /// Whether it has sub-groups.
    pub subgroups: bool,
    /// The most texels of an image over a buffer; 0 if it has no images.
    pub image_texels: usize,
    /// Names of extensions, separated by blanks.
    pub extensions: String,
}

/// Work-items of a group that the kernels take for granted.
pub const LEAST_GROUP: usize = 64;

impl Device {
    /// All devices, in the library's order; their places are the numbers of `--device`.
    ///
    /// # Errors
    /// No library, or one that knows no device.
    pub fn list() -> Result<Vec<Self>> {
        // Drivers are initialized by the first question, and some not well if two threads ask it.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let api = Api::get()?;
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for platform in platforms(api) {
            for id in devices(api, platform) {
                all.push(Self::read(api, platform, id));
            }
        }
        if all.is_empty() { Err(OpenClError::NoDevice { library: api.path.clone() }) } else { Ok(all) }
    }

    /// The device that `wanted` names by number or by a part of its name; else the first GPU, the first
    /// accelerator, or the first device.
    ///
    /// # Errors
    /// As [`Self::list`], and where no device is meant.
    pub fn choose(wanted: Option<&str>) -> Result<Self> {
        let all = Self::list()?;
        let place = Self::place(wanted, &all)?;
        Ok(all[place].clone())
    }

    /// Which of `all`, a list as [`Self::list`] gives it, [`Self::choose`] chooses.
    ///
    /// # Errors
    /// No device is meant.
    pub fn place(wanted: Option<&str>, all: &[Self]) -> Result<usize> {
        let index = match wanted {
            None => (0..all.len()).min_by_key(|&i| all[i].kind),
            Some(text) => find(text, &all.iter().map(|d| d.name.as_str()).collect::<Vec<_>>()),
        };
        match index {
            Some(index) => Ok(index),
            None => {
                let have = all.iter().enumerate().map(|(i, d)| format!("{i} ({})", d.name));
                Err(OpenClError::UnknownDevice {
                    wanted: wanted.unwrap_or_default().to_owned(),
                    have: have.collect::<Vec<_>>().join(", "),
                })
            }
        }
    }

    /// Checks that the kernels can run here at all.
    pub(super) fn check(&self) -> Result<()> {
        let unsuitable = |lack: String| Err(OpenClError::Unsuitable { device: self.name.clone(), lack });
        if self.version_number() < (1, 2) {
            return unsuitable(format!("speaks {}, and OpenCL 1.2 is needed", self.version));
        }
        if self.max_group < LEAST_GROUP || self.max_sides[0] < LEAST_GROUP {
            return unsuitable(format!(
                "has work-groups of up to {}, and {LEAST_GROUP} are needed",
                self.max_group.min(self.max_sides[0])
            ));
        }
        if self.local_memory < 16 << 10 {
            return unsuitable(format!(
                "has {} bytes of local memory, and 16384 are needed",
                self.local_memory
            ));
        }
        Ok(())
    }

    /// The language that its compiler is asked for where more than OpenCL C 1.2 is needed.
    pub(super) fn language(&self) -> &'static str {
        match self.version_number() {
            (3.., _) => "CL3.0",
            (2, _) => "CL2.0",
            _ => "CL1.2",
        }
    }

    /// The macro that says how kernels/dot.cl multiplies four int8 at once; `None` if the device does not do that.
    pub(super) fn dot_product(&self) -> Option<&'static str> {
        if self.has("cl_khr_integer_dot_product") {
            Some("DOT_KHR")
        } else if self.has("cl_arm_integer_dot_product_int8") {
            Some("DOT_ARM")
        } else {
            None
        }
    }

    /// Whether it multiplies int8 by fours.
    pub fn has_dot_product(&self) -> bool {
        self.dot_product().is_some()
    }

    /// Whether it computes in fp16.
    pub fn has_half(&self) -> bool {
        self.has("cl_khr_fp16")
    }

    /// Whether kernels can read buffers as images.
    pub fn has_images(&self) -> bool {
        self.image_texels > 0
    }

    /// Whether it reports an extension.
    pub fn has(&self, extension: &str) -> bool {
        self.extensions.split_ascii_whitespace().any(|e| e == extension)
    }

    fn version_number(&self) -> (u32, u32) {
        let number = self.version.strip_prefix("OpenCL ").and_then(|v| v.split_whitespace().next());
        let parts = number.and_then(|n| n.split_once('.'));
        parts.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))).unwrap_or((0, 0))
    }

    fn read(api: &Api, platform: cl_platform_id, id: Handle) -> Self {
        let text = |what| {
            text(|size, to, len| {
                // SAFETY: `id` is a device, and `to` has room for `size` bytes.
                unsafe { (api.get_device_info)(id.0, what, size, to, len) }
            })
        };
        let of_platform = |what| {
            self::text(|size, to, len| {
                // SAFETY: as above, with a platform.
                unsafe { (api.get_platform_info)(platform, what, size, to, len) }
            })
        };
        let kind: cl_device_type = number(api, id, cl::CL_DEVICE_TYPE);
        let extensions = text(cl::CL_DEVICE_EXTENSIONS);
        // Of OpenCL 2.1 and later; others do not know the question.
        let groups: cl_uint = number(api, id, cl::CL_DEVICE_MAX_NUM_SUB_GROUPS);
        let has = |e| extensions.split_ascii_whitespace().any(|x| x == e);
        Self {
            subgroups: groups > 0 || has("cl_khr_subgroups") || has("cl_intel_subgroups"),
            id,
            kind: match kind {
                k if k & cl::CL_DEVICE_TYPE_GPU != 0 => DeviceKind::Gpu,
                k if k & cl::CL_DEVICE_TYPE_CPU != 0 => DeviceKind::Cpu,
                _ => DeviceKind::Accelerator,
            },
            name: text(cl::CL_DEVICE_NAME),
            platform: format!(
                "{}, {}",
                of_platform(cl::CL_PLATFORM_NAME),
                of_platform(cl::CL_PLATFORM_VERSION)
            ),
            version: text(cl::CL_DEVICE_VERSION),
            driver: text(cl::CL_DRIVER_VERSION),
            units: number::<cl_uint>(api, id, cl::CL_DEVICE_MAX_COMPUTE_UNITS),
            memory: number::<cl_ulong>(api, id, cl::CL_DEVICE_GLOBAL_MEM_SIZE),
            max_buffer: number::<cl_ulong>(api, id, cl::CL_DEVICE_MAX_MEM_ALLOC_SIZE),
            local_memory: number::<cl_ulong>(api, id, cl::CL_DEVICE_LOCAL_MEM_SIZE),
            max_group: number::<usize>(api, id, cl::CL_DEVICE_MAX_WORK_GROUP_SIZE),
            max_sides: number::<[usize; 3]>(api, id, cl::CL_DEVICE_MAX_WORK_ITEM_SIZES),
            unified: number::<cl_uint>(api, id, cl::CL_DEVICE_HOST_UNIFIED_MEMORY) != 0
                || kind & cl::CL_DEVICE_TYPE_CPU != 0,
            image_texels: match number::<cl_uint>(api, id, cl::CL_DEVICE_IMAGE_SUPPORT) {
                0 => 0,
                _ => number::<usize>(api, id, cl::CL_DEVICE_IMAGE_MAX_BUFFER_SIZE),
            },
            extensions,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Gpu => "GPU",
            DeviceKind::Accelerator => "accelerator",
            DeviceKind::Cpu => "CPU",
        };
        write!(
            f,
            "{} ({kind}, {} compute units, {:.1} GB, {}; driver {}; {})",
            self.name,
            self.units,
            self.memory as f64 / 1e9,
            self.version.trim(),
            self.driver,
            self.platform
        )
    }
}

/// The place of the name that `text` means: its number, or the first name that has the text in it, in any letter
/// case.
fn find(text: &str, names: &[&str]) -> Option<usize> {
    if let Ok(n) = text.parse::<usize>() {
        return (n < names.len()).then_some(n);
    }
    let text = text.to_lowercase();
    names.iter().position(|name| name.to_lowercase().contains(&text))
}

fn platforms(api: &Api) -> Vec<cl_platform_id> {
    let mut count: cl_uint = 0;
    // SAFETY: asks for the number alone.
    let status = unsafe { (api.get_platform_ids)(0, ptr::null_mut(), &mut count) };
    if status != cl::CL_SUCCESS {
        // A loader without drivers answers CL_PLATFORM_NOT_FOUND_KHR: that is no platform, not a fault.
        return Vec::new();
    }
    let mut ids = vec![ptr::null_mut(); count as usize];
    // SAFETY: `ids` has room for `count`.
    let status = unsafe { (api.get_platform_ids)(count, ids.as_mut_ptr(), ptr::null_mut()) };
    if status == cl::CL_SUCCESS { ids } else { Vec::new() }
}

fn devices(api: &Api, platform: cl_platform_id) -> Vec<Handle> {
    let mut count: cl_uint = 0;
    let all = cl::CL_DEVICE_TYPE_ALL;
    // SAFETY: asks for the number alone.
    let status = unsafe { (api.get_device_ids)(platform, all, 0, ptr::null_mut(), &mut count) };
    if status != cl::CL_SUCCESS {
        return Vec::new();
    }
    let mut ids = vec![ptr::null_mut(); count as usize];
    // SAFETY: `ids` has room for `count`.
    let status = unsafe { (api.get_device_ids)(platform, all, count, ids.as_mut_ptr(), ptr::null_mut()) };
    if status == cl::CL_SUCCESS { ids.into_iter().map(Handle).collect() } else { Vec::new() }
}

/// A text that the driver gives in two calls: how long it is, and what it is. Empty if it does not report it.
pub(super) fn text(ask: impl Fn(usize, *mut c_void, *mut usize) -> cl::cl_int) -> String {
    let mut len = 0;
    if ask(0, ptr::null_mut(), &mut len) != cl::CL_SUCCESS {
        return String::new();
    }
    let mut bytes = vec![0u8; len];
    if ask(len, bytes.as_mut_ptr().cast(), ptr::null_mut()) != cl::CL_SUCCESS {
        return String::new();
    }
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(len);
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// Numbers that a device reports.
trait Plain: Copy + Default {}
impl Plain for cl_uint {}
impl Plain for cl_ulong {}
impl Plain for usize {}
impl Plain for [usize; 3] {}

/// A number of a device; 0 if it does not report it.
fn number<T: Plain>(api: &Api, id: Handle, what: cl_device_info) -> T {
    let mut value = T::default();
    let to = ptr::from_mut(&mut value).cast();
    // SAFETY: `id` is a device, and `value` has the size that is given. Any bits are a number.
    let status = unsafe { (api.get_device_info)(id.0, what, size_of::<T>(), to, ptr::null_mut()) };
    if status == cl::CL_SUCCESS { value } else { T::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_parts_of_names() {
        let names = ["Intel UHD", "Mali-G78", "pthread-x"];
        assert_eq!(find("1", &names), Some(1));
        assert_eq!(find("mali", &names), Some(1));
        assert_eq!(find("3", &names), None);
        assert_eq!(find("adreno", &names), None);
    }
}
