//! Every program and kernel that the operations use, made when the backend is.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::DeviceCache;
use super::error::{OpenClError, Result};
use super::forms::Forms;
use super::kernel::Kernel;
use super::program::{Program, Source};
use super::runtime::Runtime;
use super::weights::TILE;
use crate::core::KvTypes;
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
const NORM: Source = source!("norm.cl", "rms_norm", "subgroups.cl");
const LINEAR: Source = source!("linear.cl", "linear_plain_f32", "layout.cl");
const LINEAR_ROW: Source = source!("linear_row.cl", "linear_row_f32", "layout.cl", "blocks.cl", "slices.cl");
const LINEAR_SUB: Source =
    source!("linear_sub.cl", "linear_sub_f32", "subgroups.cl", "layout.cl", "blocks.cl", "slices.cl");
const LINEAR_DOT: Source =
    source!("linear_dot.cl", "linear_dot_q8_0", "layout.cl", "blocks.cl", "slices.cl", "dot.cl");
const LINEAR_DOT_TILE: Source =
    source!("linear_dot_tile.cl", "linear_dot_tile_q8_0", "layout.cl", "blocks.cl", "tile.cl", "dot.cl");
const QUANTIZE: Source = source!("quantize.cl", "quantize");
const LINEAR_TILE: Source = source!("linear_tile.cl", "linear_tile_f32", "layout.cl", "blocks.cl", "tile.cl");
const ROPE: Source = source!("rope.cl", "rope");
const KV: Source = source!("kv.cl", "kv_append", "kv_types.cl");
const ATTENTION: Source = source!("attention.cl", "attention_plain", "subgroups.cl", "kv_types.cl");
const ELEMENTWISE: Source = source!("elementwise.cl", "glu");
const ARGMAX: Source = source!("argmax.cl", "argmax_first");

/// What touches a cache of certain types.
pub(super) struct KvKernels {
    types: KvTypes,
    pub append: Mutex<Kernel>,
    pub copy: Mutex<Kernel>,
    pub export: Mutex<Kernel>,
    pub import: Mutex<Kernel>,
    pub attention_plain: Mutex<Kernel>,
    pub attention_split: Mutex<Kernel>,
    pub attention_merge: Mutex<Kernel>,
    pub attention_tile: Mutex<Kernel>,
}

/// Makes [`KvKernels`] when a cache of their types is used for the first time.
struct KvPrograms {
    cache: DeviceCache,
    perturb: Option<String>,
    subgroups: bool,
    made: Mutex<Vec<Arc<KvKernels>>>,
}

impl KvPrograms {
    fn make(&self, runtime: &Arc<Runtime>, types: KvTypes) -> Result<KvKernels> {
        let programs = Programs::new(runtime, &self.cache, self.perturb.as_deref());
        let of_types = format!(" -D KEYS={} -D VALUES={}", types.k, types.v);
        let kv = programs.build(&KV, PLAIN, &of_types)?;
        let attention = programs.reducing(&ATTENTION, self.subgroups, &of_types)?;
        let kernel = |program: &Arc<Program>, name| Kernel::new(program, name).map(Mutex::new);
        Ok(KvKernels {
            types,
            append: kernel(&kv, "kv_append")?,
            copy: kernel(&kv, "kv_copy")?,
            export: kernel(&kv, "kv_export")?,
            import: kernel(&kv, "kv_import")?,
            attention_plain: kernel(&attention, "attention_plain")?,
            attention_split: kernel(&attention, "attention_split")?,
            attention_merge: kernel(&attention, "attention_merge")?,
            attention_tile: kernel(&attention, "attention_tile")?,
        })
    }
}

/// The kernels for a token or a few, compiled for so many slices.
pub(super) struct RowProgram {
    pub program: Arc<Program>,
    /// Work-items that share the blocks of a row.
    pub slices: usize,
}

/// The kernels of the block formats whose inputs are rounded: to int8, or to fp16.
pub(super) struct DotKernels {
    pub row: RowProgram,
    pub quantize: Mutex<Kernel>,
    /// Bytes of a rounded value.
    pub bytes: usize,
    /// Matrices of fewer outputs go through the kernels that round nothing.
    pub least_outs: usize,
    /// What there is for other shapes, of int8 alone: others go through the kernels that round nothing.
    pub others: Option<OtherDotKernels>,
}

/// Those of [`DotKernels`] for more than a few tokens, and for rows that are no whole blocks.
pub(super) struct OtherDotKernels {
    pub tile: Arc<Program>,
    pub round_values: Mutex<Kernel>,
}

/// Compiles programs, each of them once.
pub(super) struct Programs<'a> {
    runtime: Arc<Runtime>,
    cache: &'a DeviceCache,
    perturb: Option<&'a str>,
    /// By file and options.
    built: RefCell<Vec<(&'static str, String, Arc<Program>)>>,
}

impl<'a> Programs<'a> {
    /// `perturb` names a kernel that is to compute wrongly, for tests of what should notice.
    pub fn new(runtime: &Arc<Runtime>, cache: &'a DeviceCache, perturb: Option<&'a str>) -> Self {
        Self { runtime: runtime.clone(), cache, perturb, built: RefCell::default() }
    }

    /// # Errors
    /// What the device's compiler says.
    fn build(&self, source: &Source, language: &str, more: &str) -> Result<Arc<Program>> {
        let options = options(group(&self.runtime), self.perturb, source.parts, language) + more;
        let mut built = self.built.borrow_mut();
        if let Some((.., program)) = built.iter().find(|b| (b.0, &b.1) == (source.file, &options)) {
            return Ok(program.clone());
        }
        let program = Program::build(&self.runtime, source, &options, self.cache)?;
        built.push((source.file, options, program.clone()));
        Ok(program)
    }

    /// A program whose kernels take sums over work-groups.
    fn reducing(&self, source: &Source, subgroups: bool, more: &str) -> Result<Arc<Program>> {
        let (language, how) =
            if subgroups { (self.runtime.device.language(), SUBGROUPS) } else { (PLAIN, "") };
        self.build(source, language, &format!("{how}{more}"))
    }
}

/// The language of kernels that need nothing of a device.
const PLAIN: &str = "CL1.2";

/// What says that sub-groups are meant.
const SUBGROUPS: &str = " -D SUBGROUPS";

/// Slices that make a group of the usual size.
pub(super) fn most_slices(runtime: &Runtime) -> usize {
    (group(runtime) / (TILE / 4)).max(1)
}

/// The largest power of two that a group may have, up to what is of use.
fn group(runtime: &Runtime) -> usize {
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
    let linear = [LINEAR, LINEAR_ROW, LINEAR_SUB, LINEAR_TILE, LINEAR_DOT, LINEAR_DOT_TILE, QUANTIZE];
    let all = [&[EMBED, NORM, ROPE, KV, ATTENTION, ELEMENTWISE, ARGMAX][..], &linear].concat();
    let sources: String = all.iter().flat_map(|s| s.parts).copied().collect();
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

/// All kernels but those that belong to a weight, and the programs that the latter come from.
pub(super) struct Kernels {
    /// Work-items of a group in one dimension, a power of two.
    pub group: usize,
    pub embed: Arc<Program>,
    pub linear: Arc<Program>,
    /// `None` where the device's compiler refuses it; the plain form serves then.
    pub linear_row: Option<RowProgram>,
    pub linear_tile: Option<Arc<Program>>,
    /// linear_sub.cl, where it is in use.
    pub linear_sub: Option<RowProgram>,
    /// linear_row.cl with images, where they are in use.
    pub linear_image: Option<RowProgram>,
    /// `None` where nothing is rounded.
    pub dot: Option<DotKernels>,
    pub rms_norm: Mutex<Kernel>,
    pub rms_norm_plain: Mutex<Kernel>,
    pub add_rms_norm: Mutex<Kernel>,
    pub rope: Mutex<Kernel>,
    kv: KvPrograms,
    pub glu: Mutex<Kernel>,
    pub scale: Mutex<Kernel>,
    pub softcap: Mutex<Kernel>,
    pub copy_words: Mutex<Kernel>,
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
    /// Compiles everything that `forms` ask for, or takes it from the cache.
    ///
    /// # Errors
    /// What the device's compiler says.
    pub fn new(programs: &Programs<'_>, forms: &Forms) -> Result<Self> {
        let device = &programs.runtime.device;
        let build = |source: &Source| programs.build(source, PLAIN, "");
        let slices = |n: usize| format!(" -D SLICES={n}");
        let row = |source: &Source, language: &str, n: usize, more: &str| {
            let program = programs.build(source, language, &(slices(n) + more))?;
            Ok::<_, OpenClError>(RowProgram { program, slices: n })
        };
        let dot = || {
            // Devices that do not have it compute the same in several steps.
            let (language, how) = match device.dot_product() {
                Some(how) => (device.language(), format!(" -D {how}")),
                None => (PLAIN, String::new()),
            };
            let quantize = build(&QUANTIZE)?;
            Ok::<_, OpenClError>(DotKernels {
                row: row(&LINEAR_DOT, language, forms.dot_slices, &how)?,
                quantize: Mutex::new(Kernel::new(&quantize, "quantize")?),
                bytes: 1,
                least_outs: 0,
                others: Some(OtherDotKernels {
                    tile: programs.build(&LINEAR_DOT_TILE, language, &how)?,
                    round_values: Mutex::new(Kernel::new(&quantize, "round_values")?),
                }),
            })
        };
        let half = || {
            // By what the device reports: a compiler may know fp16 for devices that do not compute in it.
            let how = if device.has_half() { " -D HALVES -D FP16" } else { " -D HALVES" };
            Ok::<_, OpenClError>(DotKernels {
                row: row(&LINEAR_DOT, PLAIN, forms.dot_slices, how)?,
                quantize: Mutex::new(Kernel::new(&build(&QUANTIZE)?, "halve")?),
                bytes: 2,
                // The error of a few outputs may be large beside them: their sums may cancel out.
                least_outs: TILE,
                others: None,
            })
        };
        let kernel = |program: &Arc<Program>, name| Kernel::new(program, name).map(Mutex::new);
        let norm = programs.reducing(&NORM, forms.subgroups, "")?;
        let (elementwise, argmax) = (build(&ELEMENTWISE)?, build(&ARGMAX)?);
        Ok(Self {
            group: group(&programs.runtime),
            embed: build(&EMBED)?,
            linear: build(&LINEAR)?,
            linear_row: row(&LINEAR_ROW, PLAIN, forms.slices, "").ok(),
            linear_sub: if forms.linear_sub {
                Some(row(&LINEAR_SUB, device.language(), forms.slices, SUBGROUPS)?)
            } else {
                None
            },
            linear_image: if forms.image {
                Some(row(&LINEAR_ROW, PLAIN, forms.slices, " -D IMAGES")?)
            } else {
                None
            },
            dot: match (forms.dot, forms.half) {
                (true, _) => Some(dot()?),
                (false, true) => Some(half()?),
                (false, false) => None,
            },
            linear_tile: build(&LINEAR_TILE).ok(),
            rms_norm: kernel(&norm, "rms_norm")?,
            rms_norm_plain: kernel(&norm, "rms_norm_plain")?,
            add_rms_norm: kernel(&norm, "add_rms_norm")?,
            rope: kernel(&build(&ROPE)?, "rope")?,
            kv: KvPrograms {
                cache: programs.cache.clone(),
                perturb: programs.perturb.map(str::to_owned),
                subgroups: forms.subgroups,
                made: Mutex::default(),
            },
            glu: kernel(&elementwise, "glu")?,
            scale: kernel(&elementwise, "scale")?,
            softcap: kernel(&elementwise, "softcap")?,
            copy_words: kernel(&elementwise, "copy_words")?,
            add: kernel(&elementwise, "add")?,
            copy: kernel(&elementwise, "copy")?,
            argmax_first: kernel(&argmax, "argmax_first")?,
            argmax_last: kernel(&argmax, "argmax_last")?,
            top_bar: kernel(&argmax, "top_bar")?,
            top_collect: kernel(&argmax, "top_collect")?,
        })
    }
}

impl Kernels {
    /// The kernels for a cache of `types`, compiled, or taken from the cache of programs, at the first call.
    ///
    /// # Errors
    /// What the device's compiler says.
    pub fn kv(&self, runtime: &Arc<Runtime>, types: KvTypes) -> Result<Arc<KvKernels>> {
        let mut made = self.kv.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernels) = made.iter().find(|kernels| kernels.types == types) {
            return Ok(kernels.clone());
        }
        let kernels = Arc::new(self.kv.make(runtime, types)?);
        made.push(kernels.clone());
        Ok(kernels)
    }
}

/// The kernel's name for weights of this format, which [`super::OpenClWeight`] has seen to be one of six; the others have
/// a name that no program has.
macro_rules! by_format {
    ($dtype:expr, $stem:literal) => {
        match $dtype {
            DType::F16 => concat!($stem, "f16"),
            DType::BF16 => concat!($stem, "bf16"),
            DType::Q8_0 => concat!($stem, "q8_0"),
            DType::Q4_0 => concat!($stem, "q4_0"),
            DType::Q4_1 => concat!($stem, "q4_1"),
            DType::F32 => concat!($stem, "f32"),
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl | DType::Mxfp4 => concat!($stem, "unknown"),
            DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K => concat!($stem, "unknown"),
            DType::Iq4Xs | DType::Tq1_0 | DType::Tq2_0 => concat!($stem, "unknown"),
            DType::U8 | DType::I32 => concat!($stem, "unknown"),
        }
    };
}
pub(super) use by_format;
