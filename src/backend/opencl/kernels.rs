//! Every program and kernel that the operations use, made when the backend is.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::{OpenClError, Result};
use super::forms::Forms;
use super::kernel::Kernel;
use super::layout::TILE;
use super::program::{Program, Source};
use super::programs::{
    ARGMAX, ATTENTION, ELEMENTWISE, EMBED, FormatPrograms, FormatSource, KV, LINEAR, LINEAR_DOT,
    LINEAR_DOT_TILE, LINEAR_ROW, LINEAR_SUB, LINEAR_TILE, NORM, PLAIN, Programs, QUANTIZE, ROPE, SUBGROUPS,
    group,
};
use crate::core::KvTypes;

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
    programs: Arc<Programs>,
    subgroups: bool,
    made: Mutex<Vec<Arc<KvKernels>>>,
}

impl KvPrograms {
    fn make(&self, types: KvTypes) -> Result<KvKernels> {
        let programs = &self.programs;
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

/// The kernels for a token or a few, for so many slices.
pub(super) struct RowProgram {
    pub program: FormatPrograms,
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

impl DotKernels {
    /// Whether to int8, as the reference does.
    pub fn rounds_to_int8(&self) -> bool {
        self.others.is_some()
    }
}

/// Those of [`DotKernels`] for more than a few tokens, and for rows that are no whole blocks.
pub(super) struct OtherDotKernels {
    pub tile: FormatPrograms,
    pub round_values: Mutex<Kernel>,
}

/// All kernels but those that belong to a weight, and the programs that the latter come from.
pub(super) struct Kernels {
    /// Work-items of a group in one dimension, a power of two.
    pub group: usize,
    pub embed: FormatPrograms,
    pub linear: FormatPrograms,
    pub linear_row: RowProgram,
    pub linear_tile: FormatPrograms,
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

impl Kernels {
    /// Compiles everything that `forms` ask for, or takes it from the cache; what reads weights when one is used.
    ///
    /// # Errors
    /// What the device's compiler says.
    pub fn new(programs: &Arc<Programs>, forms: &Forms) -> Result<Self> {
        let device = &programs.runtime.device;
        let build = |source: &Source<'_>| programs.build(source, PLAIN, "");
        let slices = |n: usize| format!(" -D SLICES={n}");
        let row = |source: &'static FormatSource, language: &'static str, n: usize, more: &str| {
            let program = programs.of_formats(source, language, slices(n) + more);
            RowProgram { program, slices: n }
        };
        let dot = || {
            // Devices that do not have it compute the same in several steps.
            let (language, how) = match device.dot_product() {
                Some(how) => (device.language(), format!(" -D {how}")),
                None => (PLAIN, String::new()),
            };
            let quantize = build(&QUANTIZE)?;
            Ok::<_, OpenClError>(DotKernels {
                row: row(&LINEAR_DOT, language, forms.dot_slices, &how),
                quantize: Mutex::new(Kernel::new(&quantize, "quantize")?),
                bytes: 1,
                least_outs: 0,
                others: Some(OtherDotKernels {
                    tile: programs.of_formats(&LINEAR_DOT_TILE, language, how),
                    round_values: Mutex::new(Kernel::new(&quantize, "round_values")?),
                }),
            })
        };
        let half = || {
            // By what the device reports: a compiler may know fp16 for devices that do not compute in it.
            let how = if device.has_half() { " -D HALVES -D FP16" } else { " -D HALVES" };
            Ok::<_, OpenClError>(DotKernels {
                row: row(&LINEAR_DOT, PLAIN, forms.dot_slices, how),
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
            embed: programs.of_formats(&EMBED, PLAIN, String::new()),
            linear: programs.of_formats(&LINEAR, PLAIN, String::new()),
            linear_row: row(&LINEAR_ROW, PLAIN, forms.slices, ""),
            linear_sub: forms
                .linear_sub
                .then(|| row(&LINEAR_SUB, device.language(), forms.slices, SUBGROUPS)),
            linear_image: forms.image.then(|| row(&LINEAR_ROW, PLAIN, forms.slices, " -D IMAGES")),
            dot: match (forms.dot, forms.half) {
                (true, _) => Some(dot()?),
                (false, true) => Some(half()?),
                (false, false) => None,
            },
            linear_tile: programs.of_formats(&LINEAR_TILE, PLAIN, String::new()),
            rms_norm: kernel(&norm, "rms_norm")?,
            rms_norm_plain: kernel(&norm, "rms_norm_plain")?,
            add_rms_norm: kernel(&norm, "add_rms_norm")?,
            rope: kernel(&build(&ROPE)?, "rope")?,
            kv: KvPrograms { programs: programs.clone(), subgroups: forms.subgroups, made: Mutex::default() },
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
    pub fn kv(&self, types: KvTypes) -> Result<Arc<KvKernels>> {
        let mut made = self.kv.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernels) = made.iter().find(|kernels| kernels.types == types) {
            return Ok(kernels.clone());
        }
        let kernels = Arc::new(self.kv.make(types)?);
        made.push(kernels.clone());
        Ok(kernels)
    }
}
