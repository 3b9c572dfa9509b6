//! What the doctor finds, in the form in which `--json` prints it.

use serde::Serialize;

use crate::backend::cpu::Isa;
use crate::backend::opencl::{self, Device, DeviceKind};
use crate::cli::provenance;
use crate::host::{self, Identity, affinity, clusters, core_name, most_threads};

/// Name and version of the object's form: changed when a field is renamed, removed or means something else.
pub const SCHEMA: &str = "llm_rs2.doctor/1";

/// Everything.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub schema: &'static str,
    pub program: Program,
    pub machine: Machine,
    pub cores: Cores,
    pub instructions: Instructions,
    pub memory: Memory,
    pub cpu_self_test: Vec<Tested>,
    pub opencl: OpenCl,
    pub calibration: Calibration,
    pub thermal_zones: Vec<Zone>,
    pub advice: Advice,
}

#[derive(Debug, Serialize)]
pub struct Program {
    pub version: &'static str,
    pub commit: &'static str,
    pub target: String,
    pub time: String,
}

#[derive(Debug, Serialize)]
pub struct Machine {
    pub device: Option<String>,
    pub soc: Option<String>,
    pub cpu: Option<String>,
    pub system: Option<String>,
    pub kernel: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Cores {
    pub clusters: Vec<Cluster>,
    pub allowed: String,
    pub fast: String,
    pub most_threads: usize,
    pub default_threads: usize,
}

#[derive(Debug, Serialize)]
pub struct Cluster {
    pub cpus: String,
    pub core: Option<&'static str>,
    pub max_mhz: Option<u64>,
    pub capacity: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Instructions {
    pub sets: Vec<&'static str>,
    pub chosen: Option<&'static str>,
    pub features: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Memory {
    pub total_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub limit_left_bytes: Option<u64>,
    pub page_bytes: Option<u64>,
}

/// What a test of an instruction set came to.
#[derive(Debug, Serialize)]
pub struct Tested {
    pub set: &'static str,
    pub cases: usize,
    pub failed: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct OpenCl {
    pub library: Option<String>,
    pub fault: Option<String>,
    pub devices: Vec<OpenClDevice>,
}

#[derive(Debug, Serialize)]
pub struct OpenClDevice {
    pub name: String,
    pub kind: &'static str,
    pub platform: String,
    pub version: String,
    pub driver: String,
    pub compute_units: u32,
    pub memory_bytes: u64,
    pub max_buffer_bytes: u64,
    pub unified_memory: bool,
    pub extensions: Vec<String>,
    pub self_test: Verdict,
}

#[derive(Debug, Serialize)]
pub struct Verdict {
    pub passed: bool,
    pub detail: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Calibration {
    pub shape: &'static str,
    pub weight_format: &'static str,
    pub method: &'static str,
    pub cpu: Speed,
    pub opencl: Option<Speed>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    pub what: String,
    pub decode_tokens_per_s: f64,
    pub prefill_tokens_per_s: f64,
}

#[derive(Debug, Serialize)]
pub struct Zone {
    pub name: String,
    pub celsius: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Advice {
    pub backend: &'static str,
    pub threads: usize,
    pub weight_format: &'static str,
    pub max_context: Option<usize>,
    pub flags: String,
    pub why: String,
}

impl Facts {
    /// Whether everything that was tested computes rightly.
    pub fn is_well(&self) -> bool {
        self.cpu_self_test.iter().all(|t| t.failed.is_empty())
    }
}

impl Program {
    pub fn this() -> Self {
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        Self { version: provenance::VERSION, commit: provenance::COMMIT, target, time: provenance::now() }
    }
}

impl Machine {
    pub fn this() -> Self {
        let Identity { device, soc, cpu, system, kernel } = Identity::this();
        Self { device, soc, cpu, system, kernel }
    }
}

impl Cores {
    pub fn this() -> Self {
        let machine = host::Machine::this();
        let clusters = clusters().into_iter().map(|c| Cluster {
            cpus: affinity::list(&c.cpus),
            core: c.midr.and_then(core_name),
            max_mhz: c.max_khz.map(|khz| khz / 1000),
            capacity: c.capacity,
        });
        Self {
            clusters: clusters.collect(),
            allowed: affinity::list(&machine.allowed),
            fast: affinity::list(&machine.fast),
            most_threads: most_threads(),
            default_threads: machine.default_threads,
        }
    }
}

impl Instructions {
    pub fn this() -> Self {
        Self {
            sets: Isa::available_by_name().iter().map(|isa| isa.name()).collect(),
            chosen: Isa::detect().map(Isa::name),
            features: features(),
        }
    }
}

/// The CPU's features that speed depends on, as the standard library names them. On arm64 the kernel reports them
/// (hwcaps).
fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! look {
        ($detected:ident: $($name:tt)*) => {
            $(if std::arch::$detected!($name) {
                found.push($name);
            })*
        };
    }
    #[cfg(target_arch = "x86_64")]
    look!(is_x86_feature_detected: "avx" "avx2" "fma" "f16c" "avxvnni" "avx512f" "avx512bw" "avx512vl" "avx512dq"
        "avx512vnni" "avx512vbmi" "avx512bf16" "avx512fp16");
    #[cfg(target_arch = "aarch64")]
    look!(is_aarch64_feature_detected: "neon" "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2");
    found
}

impl Memory {
    pub fn now() -> Self {
        let memory = host::Memory::now();
        Self {
            total_bytes: memory.total,
            available_bytes: memory.available,
            limit_bytes: memory.limit.map(|l| l.bytes),
            limit_left_bytes: memory.limit.map(|l| l.left()),
            page_bytes: host::page_bytes(),
        }
    }
}

impl OpenCl {
    /// The library and its devices, which are not tested yet, and the place of the one that is meant (see
    /// [`Device::choose`]).
    pub fn list(wanted: Option<&str>) -> (Self, Option<usize>) {
        let devices = Device::list();
        let meant = devices.as_ref().map_err(Clone::clone).and_then(|all| Device::place(wanted, all));
        let found = Self {
            library: opencl::library_path().ok(),
            fault: meant.as_ref().err().map(ToString::to_string),
            devices: devices.unwrap_or_default().into_iter().map(OpenClDevice::of).collect(),
        };
        (found, meant.ok())
    }
}

impl OpenClDevice {
    fn of(device: Device) -> Self {
        let mut extensions: Vec<String> =
            device.extensions.split_ascii_whitespace().map(str::to_owned).collect();
        extensions.sort();
        Self {
            kind: match device.kind {
                DeviceKind::Gpu => "gpu",
                DeviceKind::Accelerator => "accelerator",
                DeviceKind::Cpu => "cpu",
            },
            name: device.name,
            platform: device.platform,
            version: device.version,
            driver: device.driver,
            compute_units: device.units,
            memory_bytes: device.memory,
            max_buffer_bytes: device.max_buffer,
            unified_memory: device.unified,
            extensions,
            self_test: Verdict { passed: false, detail: None },
        }
    }
}

impl Verdict {
    /// Of a device that can be used, perhaps with something to be said.
    pub fn of(warning: Option<&str>) -> Self {
        Self { passed: true, detail: warning.map(str::to_owned) }
    }
}
