//! Every program and kernel that the operations use, made when the backend is.

use std::sync::{Arc, Mutex};

use super::cache::DeviceCache;
use super::error::Result;
use super::kernel::Kernel;
use super::program::{Program, Source};
use super::runtime::Runtime;
use super::weights::TILE;
use crate::core::DType;
use crate::format::checksum;

macro_rules! source {
    ($file:literal, $has:literal $(, $front:literal)*) => {
        Source {
            file: $file,
            parts: &[
                $(include_str!(concat!("../../../kernels/", $front)),)*
                include_str!(concat!("../../../kernels/", $file)),
            ],
            has: $has,
        }
    };
}

const EMBED: Source = source!("embed.cl", "embed_f32", "layout.cl");
const NORM: Source = source!("norm.cl", "rms_norm");
const LINEAR: Source = source!("linear.cl", "linear_plain_f32", "layout.cl");
const LINEAR_ROW: Source = source!("linear_row.cl", "linear_row_f32", "layout.cl", "blocks.cl");
const LINEAR_TILE: Source = source!("linear_tile.cl", "linear_tile_f32", "layout.cl", "blocks.cl");
const ROPE: Source = source!("rope.cl", "rope");
const KV: Source = source!("kv.cl", "kv_append_f32");
const ATTENTION: Source = source!("attention.cl", "attention_plain_f32");
const ELEMENTWISE: Source = source!("elementwise.cl", "swiglu");
const ARGMAX: Source = source!("argmax.cl", "argmax_first");

/// The forms of a kernel for the two types of stored keys and values.
pub(super) struct ByKv {
    f32: Mutex<Kernel>,
    f16: Mutex<Kernel>,
}

impl ByKv {
    fn new(program: &Arc<Program>, f32: &'static str, f16: &'static str) -> Result<Self> {
        Ok(Self { f32: Mutex::new(Kernel::new(program, f32)?), f16: Mutex::new(Kernel::new(program, f16)?) })
    }

    /// The form for `dtype`, F32 or F16.
    pub fn of(&self, dtype: DType) -> &Mutex<Kernel> {
        if dtype == DType::F16 { &self.f16 } else { &self.f32 }
    }
}

/// The kernels of linear_row.cl, compiled for so many slices.
pub(super) struct RowProgram {
    pub program: Arc<Program>,
    /// Work-items that share the blocks of a row, a power of two.
    pub slices: usize,
}

impl RowProgram {
    /// # Errors
    /// What the device's compiler says.
    pub fn build(
        runtime: &Arc<Runtime>,
        cache: &DeviceCache,
        perturb: Option<&str>,
        slices: usize,
    ) -> Result<Self> {
        let options = options(group(runtime), perturb, LINEAR_ROW.parts);
        let options = format!("{options} -D SLICES={slices}");
        Ok(Self { program: Program::build(runtime, &LINEAR_ROW, &options, cache)?, slices })
    }
}

/// Slices that make a group of the usual size.
pub(super) fn most_slices(runtime: &Runtime) -> usize {
    (group(runtime) / (TILE / 4)).max(1)
}

/// The largest power of two that a group may have, up to what is of use.
fn group(runtime: &Runtime) -> usize {
    let most = runtime.device.max_group.min(runtime.device.max_sides[0]).min(MOST_GROUP);
    1 << most.max(1).ilog2()
}

/// What the compiler is told.
fn options(group: usize, perturb: Option<&str>, parts: &[&str]) -> String {
    let mut options = format!("-cl-std=CL1.2 -D GROUP={group} -D TILE={TILE}");
    // Only for the file that it means: the others stay what they are in the cache.
    let wrong = perturb.map(|kernel| format!("PERTURB_{}", kernel.to_uppercase()));
    if let Some(wrong) = wrong.filter(|w| parts.iter().any(|p| p.contains(w.as_str()))) {
        options += &format!(" -D {wrong}");
    }
    options
}

/// All that a verdict on a device depends on.
pub(super) fn verdict_key(runtime: &Runtime, perturb: Option<&str>) -> String {
    let all = [EMBED, NORM, LINEAR, LINEAR_ROW, LINEAR_TILE, ROPE, KV, ATTENTION, ELEMENTWISE, ARGMAX];
    let sources: String = all.iter().flat_map(|s| s.parts).copied().collect();
    let d = &runtime.device;
    format!(
        "verdict\n{:016x}\n{}\n{}\n{}\n{}\n{}",
        checksum(sources.as_bytes()),
        options(group(runtime), perturb, &[&sources]),
        d.name,
        d.platform,
        d.version,
        d.driver
    )
}

/// All kernels but those that belong to a weight, and the programs that the latter come from.
pub(super) struct Kernels {
    /// Work-items of a group in one dimension, a power of two.
    pub group: usize,
    pub embed: Arc<Program>,
    pub linear: Arc<Program>,
    /// `None` where the device's compiler refuses it; the plain form serves then.
    pub linear_row: Option<RowProgram>,
    pub linear_tile: Option<Arc<Program>>,
    pub rms_norm: Mutex<Kernel>,
    pub rms_norm_plain: Mutex<Kernel>,
    pub add_rms_norm: Mutex<Kernel>,
    pub rope: Mutex<Kernel>,
    pub kv_append: ByKv,
    pub kv_repack: ByKv,
    pub kv_export: ByKv,
    pub kv_import: ByKv,
    pub attention_plain: ByKv,
    pub attention_split: ByKv,
    pub attention_merge: Mutex<Kernel>,
    pub attention_tile: ByKv,
    pub swiglu: Mutex<Kernel>,
    pub add: Mutex<Kernel>,
    pub copy: Mutex<Kernel>,
    pub argmax_first: Mutex<Kernel>,
    pub argmax_last: Mutex<Kernel>,
    pub top_bar: Mutex<Kernel>,
    pub top_collect: Mutex<Kernel>,
}

/// The largest work-group that is used where any would do.
const MOST_GROUP: usize = 256;

impl Kernels {
    /// Compiles everything, or takes it from the cache, with so many slices for linear_row.cl. `perturb` names a kernel that is to compute wrongly, for
    /// tests of what should notice.
    ///
    /// # Errors
    /// What the device's compiler says.
    pub fn new(
        runtime: &Arc<Runtime>,
        cache: &DeviceCache,
        perturb: Option<&str>,
        slices: usize,
    ) -> Result<Self> {
        let group = group(runtime);
        let build =
            |source: &Source| Program::build(runtime, source, &options(group, perturb, source.parts), cache);
        let kernel = |program: &Arc<Program>, name| Kernel::new(program, name).map(Mutex::new);
        let (norm, kv, attention) = (build(&NORM)?, build(&KV)?, build(&ATTENTION)?);
        let (elementwise, argmax) = (build(&ELEMENTWISE)?, build(&ARGMAX)?);
        Ok(Self {
            group,
            embed: build(&EMBED)?,
            linear: build(&LINEAR)?,
            linear_row: RowProgram::build(runtime, cache, perturb, slices).ok(),
            linear_tile: build(&LINEAR_TILE).ok(),
            rms_norm: kernel(&norm, "rms_norm")?,
            rms_norm_plain: kernel(&norm, "rms_norm_plain")?,
            add_rms_norm: kernel(&norm, "add_rms_norm")?,
            rope: kernel(&build(&ROPE)?, "rope")?,
            kv_append: ByKv::new(&kv, "kv_append_f32", "kv_append_f16")?,
            kv_repack: ByKv::new(&kv, "kv_repack_f32", "kv_repack_f16")?,
            kv_export: ByKv::new(&kv, "kv_export_f32", "kv_export_f16")?,
            kv_import: ByKv::new(&kv, "kv_import_f32", "kv_import_f16")?,
            attention_plain: ByKv::new(&attention, "attention_plain_f32", "attention_plain_f16")?,
            attention_split: ByKv::new(&attention, "attention_split_f32", "attention_split_f16")?,
            attention_merge: kernel(&attention, "attention_merge")?,
            attention_tile: ByKv::new(&attention, "attention_tile_f32", "attention_tile_f16")?,
            swiglu: kernel(&elementwise, "swiglu")?,
            add: kernel(&elementwise, "add")?,
            copy: kernel(&elementwise, "copy")?,
            argmax_first: kernel(&argmax, "argmax_first")?,
            argmax_last: kernel(&argmax, "argmax_last")?,
            top_bar: kernel(&argmax, "top_bar")?,
            top_collect: kernel(&argmax, "top_collect")?,
        })
    }
}

/// The kernel's name for weights of this format, which [`super::OpenClWeight`] has seen to be one of six.
macro_rules! by_format {
    ($dtype:expr, $stem:literal) => {
        match $dtype {
            DType::F16 => concat!($stem, "f16"),
            DType::BF16 => concat!($stem, "bf16"),
            DType::Q8_0 => concat!($stem, "q8_0"),
            DType::Q4_0 => concat!($stem, "q4_0"),
            DType::Q4_1 => concat!($stem, "q4_1"),
            _ => concat!($stem, "f32"),
        }
    };
}
pub(super) use by_format;
