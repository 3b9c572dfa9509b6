//! Which files of `kernels/` make which program, and the compiling of each.

use std::sync::{Arc, Mutex, PoisonError};

use super::cache::DeviceCache;
use super::error::Result;
use super::layout::TILE;
use super::program::{Program, Source};
use super::runtime::Runtime;
use crate::core::DType;
use crate::format::checksum;

macro_rules! text {
    ($file:expr) => {
        include_str!(concat!("../../../kernels/", $file))
    };
}

macro_rules! source {
    ($file:literal, $has:literal $(, $front:literal)*) => {
        Source { file: $file, parts: &[$(text!($front),)* text!($file)], has: $has }
    };
}

pub(super) const NORM: Source<'_> = source!("norm.cl", "rms_norm", "subgroups.cl");
pub(super) const QUANTIZE: Source<'_> = source!("quantize.cl", "quantize");
pub(super) const ROPE: Source<'_> = source!("rope.cl", "rope");
pub(super) const KV: Source<'_> = source!("kv.cl", "kv_append", "kv_types.cl");
pub(super) const ATTENTION: Source<'_> =
    source!("attention.cl", "attention_plain", "subgroups.cl", "kv_types.cl");
pub(super) const ELEMENTWISE: Source<'_> = source!("elementwise.cl", "glu");
pub(super) const ARGMAX: Source<'_> = source!("argmax.cl", "argmax_first");

/// A file with a kernel that reads weights: a program for each format.
pub(super) struct FormatSource {
    file: &'static str,
    /// What comes after the format's own file.
    parts: &'static [&'static str],
}

macro_rules! format_source {
    ($file:literal $(, $front:literal)*) => {
        FormatSource { file: $file, parts: &[$(text!($front),)* text!($file)] }
    };
}

pub(super) static EMBED: FormatSource = format_source!("embed.cl", "layout.cl", "one_row.cl");
pub(super) static LINEAR: FormatSource = format_source!("linear.cl", "layout.cl", "one_row.cl");
pub(super) static LINEAR_ROW: FormatSource =
    format_source!("linear_row.cl", "layout.cl", "blocks.cl", "slices.cl");
pub(super) static LINEAR_SUB: FormatSource =
    format_source!("linear_sub.cl", "subgroups.cl", "layout.cl", "blocks.cl", "slices.cl");
pub(super) static LINEAR_DOT: FormatSource =
    format_source!("linear_dot.cl", "layout.cl", "blocks.cl", "slices.cl", "dot.cl");
pub(super) static LINEAR_DOT_TILE: FormatSource =
    format_source!("linear_dot_tile.cl", "layout.cl", "blocks.cl", "tile.cl", "dot.cl");
pub(super) static LINEAR_TILE: FormatSource =
    format_source!("linear_tile.cl", "layout.cl", "blocks.cl", "tile.cl");

/// What the kernels know of a format; nothing of types that are no weights.
fn format_parts(dtype: DType) -> &'static [&'static str] {
    macro_rules! parts {
        ($name:literal, $kind:literal) => {
            &[text!(concat!("formats/", $name, ".cl")), text!($kind)]
        };
    }
    match dtype {
        DType::F32 => parts!("f32", "floats.cl"),
        DType::F16 => parts!("f16", "floats.cl"),
        DType::BF16 => parts!("bf16", "floats.cl"),
        DType::Q8_0 => parts!("q8_0", "codes.cl"),
        DType::Q4_0 => parts!("q4_0", "codes.cl"),
        DType::Q4_1 => parts!("q4_1", "codes.cl"),
        DType::Q5_0 => parts!("q5_0", "codes.cl"),
        DType::Q5_1 => parts!("q5_1", "codes.cl"),
        DType::Iq4Nl => parts!("iq4_nl", "codes.cl"),
        DType::Mxfp4 => parts!("mxfp4", "codes.cl"),
        DType::Q2K => parts!("q2_k", "codes.cl"),
        DType::Q3K => parts!("q3_k", "codes.cl"),
        DType::Iq4Xs => parts!("iq4_xs", "codes.cl"),
        DType::Q4K => parts!("q4_k", "codes.cl"),
        DType::Q5K => parts!("q5_k", "codes.cl"),
        DType::Q6K => parts!("q6_k", "codes.cl"),
        DType::Tq1_0 => parts!("tq1_0", "codes.cl"),
        DType::Tq2_0 => parts!("tq2_0", "codes.cl"),
        DType::ReadOnly(_) | DType::U8 | DType::I32 => &[],
    }
}

/// The kernel's name for weights of this format: `NAME` of its file. Types that are no weights have a name that no program
/// has.
macro_rules! by_format {
    ($dtype:expr, $stem:literal) => {
        match $dtype {
            DType::F32 => concat!($stem, "f32"),
            DType::F16 => concat!($stem, "f16"),
            DType::BF16 => concat!($stem, "bf16"),
            DType::Q8_0 => concat!($stem, "q8_0"),
            DType::Q4_0 => concat!($stem, "q4_0"),
            DType::Q4_1 => concat!($stem, "q4_1"),
            DType::Q5_0 => concat!($stem, "q5_0"),
            DType::Q5_1 => concat!($stem, "q5_1"),
            DType::Iq4Nl => concat!($stem, "iq4_nl"),
            DType::Mxfp4 => concat!($stem, "mxfp4"),
            DType::Q2K => concat!($stem, "q2_k"),
            DType::Q3K => concat!($stem, "q3_k"),
            DType::Iq4Xs => concat!($stem, "iq4_xs"),
            DType::Q4K => concat!($stem, "q4_k"),
            DType::Q5K => concat!($stem, "q5_k"),
            DType::Q6K => concat!($stem, "q6_k"),
            DType::Tq1_0 => concat!($stem, "tq1_0"),
            DType::Tq2_0 => concat!($stem, "tq2_0"),
            DType::ReadOnly(_) | DType::U8 | DType::I32 => concat!($stem, "unknown"),
        }
    };
}
pub(super) use by_format;

/// Compiles programs, each of them once.
pub(super) struct Programs {
    pub runtime: Arc<Runtime>,
    cache: DeviceCache,
    perturb: Option<String>,
    /// By file and options, which name the format.
    built: Mutex<Vec<(&'static str, String, Arc<Program>)>>,
}

impl Programs {
    /// `perturb` names a kernel that is to compute wrongly, for tests of what should notice.
    pub fn new(runtime: &Arc<Runtime>, cache: &DeviceCache, perturb: Option<&str>) -> Arc<Self> {
        let (cache, perturb) = (cache.clone(), perturb.map(str::to_owned));
        Arc::new(Self { runtime: runtime.clone(), cache, perturb, built: Mutex::default() })
    }

    /// # Errors
    /// What the device's compiler says.
    pub fn build(&self, source: &Source<'_>, language: &str, more: &str) -> Result<Arc<Program>> {
        let options = options(group(&self.runtime), self.perturb.as_deref(), source.parts, language) + more;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., program)) = built.iter().find(|b| (b.0, &b.1) == (source.file, &options)) {
            return Ok(program.clone());
        }
        let program = Program::build(&self.runtime, source, &options, &self.cache)?;
        built.push((source.file, options, program.clone()));
        Ok(program)
    }

    /// A program whose kernels take sums over work-groups.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn reducing(&self, source: &Source<'_>, subgroups: bool, more: &str) -> Result<Arc<Program>> {
        let (language, how) =
            if subgroups { (self.runtime.device.language(), SUBGROUPS) } else { (PLAIN, "") };
        self.build(source, language, &format!("{how}{more}"))
    }

    /// The programs of a file for each format.
    pub fn of_formats(
        self: &Arc<Self>,
        source: &'static FormatSource,
        language: &'static str,
        more: String,
    ) -> FormatPrograms {
        FormatPrograms { programs: self.clone(), source, language, more }
    }
}

/// The programs of a file for each format, compiled, or taken from the cache, when a weight of that format is used for the
/// first time: a model has a few formats, and a compiler may be slow.
pub(super) struct FormatPrograms {
    programs: Arc<Programs>,
    source: &'static FormatSource,
    language: &'static str,
    more: String,
}

impl FormatPrograms {
    /// That of a format, which has a kernel `name` ([`by_format`]).
    ///
    /// # Errors
    /// What the device's compiler says.
    pub fn of(&self, dtype: DType, name: &str) -> Result<Arc<Program>> {
        let parts = [format_parts(dtype), self.source.parts].concat();
        let source = Source { file: self.source.file, parts: &parts, has: name };
        self.programs.build(&source, self.language, &format!("{} -D OF_{dtype}", self.more))
    }
}

/// The language of kernels that need nothing of a device.
pub(super) const PLAIN: &str = "CL1.2";

/// What says that sub-groups are meant.
pub(super) const SUBGROUPS: &str = " -D SUBGROUPS";

/// Slices that make a group of the usual size.
pub(super) fn most_slices(runtime: &Runtime) -> usize {
    (group(runtime) / (TILE / 4)).max(1)
}

/// The largest work-group that is used where any would do.
const MOST_GROUP: usize = 256;

/// The largest power of two that a group may have, up to what is of use.
pub(super) fn group(runtime: &Runtime) -> usize {
    let most = runtime.device.max_group.min(runtime.device.max_sides[0]).min(MOST_GROUP);
    1 << most.max(1).ilog2()
}

/// The options of the compiler.
fn options(group: usize, perturb: Option<&str>, parts: &[&str], language: &str) -> String {
    let mut options = format!("-cl-std={language} -D GROUP={group} -D TILE={TILE}");
    // Only for the file that it means: the others stay what they are in the cache.
    let wrong = perturb.map(|kernel| format!("PERTURB_{}", kernel.to_uppercase()));
    let means =
        |part: &&str, wrong: &str| part.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == wrong);
    if let Some(wrong) = wrong.filter(|w| parts.iter().any(|p| means(p, w))) {
        options += &format!(" -D {wrong}");
    }
    options
}

/// All that a verdict on a device depends on.
pub(super) fn verdict_key(runtime: &Runtime, perturb: Option<&str>) -> String {
    let of_formats = [&LINEAR, &LINEAR_ROW, &LINEAR_SUB, &LINEAR_TILE, &LINEAR_DOT, &LINEAR_DOT_TILE, &EMBED];
    let others = [NORM, ROPE, KV, ATTENTION, ELEMENTWISE, ARGMAX, QUANTIZE];
    let formats = DType::ALL.into_iter().flat_map(format_parts);
    let all =
        formats.chain(of_formats.iter().flat_map(|s| s.parts)).chain(others.iter().flat_map(|s| s.parts));
    let sources: String = all.copied().collect();
    let d = &runtime.device;
    format!(
        "verdict\n{:016x}\n{}\n{}\n{}\n{}\n{}\n{}",
        checksum(sources.as_bytes()),
        options(group(runtime), perturb, &[&sources], d.language()),
        d.extensions,
        d.name,
        d.platform,
        d.version,
        d.driver
    )
}
