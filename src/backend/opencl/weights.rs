//! Weights in the layout that the kernels read (`kernels/layout.cl` describes it).

use std::sync::{Arc, Mutex, OnceLock};

use opencl_sys as cl;
use rayon::prelude::*;

use super::buffer::{Image, Memory};
use super::error::OpenClError;
use super::kernel::{Arg, Kernel};
use super::layout::{Layout, TILE};
use super::runtime::Runtime;
use crate::core::{BLOCK_LEN, CoreError, DType, FloatFormat, HostTensor, PreparedWeight, Result};
use crate::quant::rows::RowReader;

/// A prepared weight of the OpenCL backend.
pub struct OpenClWeight {
    dtype: DType,
    rows: usize,
    cols: usize,
    pub(super) parts: Vec<Part>,
}

/// Consecutive rows of a weight, in a buffer of their own: most have one part, those that are larger than a buffer
/// may be have several.
pub(super) struct Part {
    /// The first of its rows in the whole matrix.
    first: usize,
    pub rows: usize,
    cols: usize,
    layout: Layout,
    units: Memory,
    /// Factors of blocks; `None` for floats.
    heads: Option<Memory>,
    /// The units as an image, made when it is first asked for; `None` where the device does not take them so.
    image: OnceLock<Option<Image>>,
    /// Kernels whose first arguments are this part, made when they are first used.
    pub kernels: Mutex<PartKernels>,
}

/// Which of a part's kernels is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Embed,
    Plain,
    /// Of linear_row.cl or linear_sub.cl.
    Row,
    Image,
    Tile,
    Dot,
    DotTile,
}

#[derive(Default)]
pub(super) struct PartKernels([Option<Kernel>; 7]);

impl PartKernels {
    /// The kernel of this form. When it is first asked for it is made, with the arguments of `part` with its `units`.
    ///
    /// # Errors
    /// What the driver answers.
    ///
    /// # Safety
    /// These are the kernels of `part`, and what `make` makes has to begin with WEIGHT of `kernels/layout.cl`, be for the
    /// part's format, and read units that are given so.
    pub unsafe fn bound(
        &mut self,
        form: Form,
        part: &Part,
        units: Arg<'_>,
        make: impl FnOnce() -> Result<Kernel, OpenClError>,
    ) -> Result<&mut Kernel, OpenClError> {
        match &mut self.0[form as usize] {
            Some(kernel) => Ok(kernel),
            none => {
                let mut fresh = make()?;
                // SAFETY: as the caller vouches; it lives in the part.
                unsafe { part.bind(&mut fresh, units)? };
                Ok(none.insert(fresh))
            }
        }
    }
}

/// Arguments that [`Part::bind`] sets.
pub(super) const BOUND: usize = 8;

impl OpenClWeight {
    /// Brings a tensor to the device in `format`. Rows go from where they are stored (a memory map) into
    /// the mapped buffer; there is no other copy of the whole.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for formats that are not weights, and what the device answers.
    pub(super) fn new(runtime: &Arc<Runtime>, tensor: &HostTensor, format: DType) -> Result<Self> {
        tensor.check_weight("a weight", format)?;
        let (rows, cols) = tensor.matrix_dims();
        let too_large = CoreError::OutOfMemory { what: "a weight", bytes: usize::MAX };
        let layout = Layout::new(format, rows, cols).ok_or(too_large)?;
        // As many tiles as a buffer holds, and no buffer for none.
        let limit = usize::try_from(runtime.device.max_buffer).unwrap_or(usize::MAX);
        let tile = layout.tile_bytes().unwrap_or(usize::MAX).max(layout.head_bytes()).max(1);
        let step = limit / tile * layout.wide;
        if step == 0 {
            let device = runtime.device.name.clone();
            let (bytes, limit) = (tile as u64, runtime.device.max_buffer);
            return Err(OpenClError::BufferTooLarge { device, what: "rows of a weight", bytes, limit }.into());
        }
        let parts = (0..rows)
            .step_by(step)
            .map(|first| Part::new(runtime, tensor, layout, first, step.min(rows - first)))
            .collect::<Result<_>>()?;
        // All that is needed of the file is on the device now.
        tensor.data().release();
        Ok(Self { dtype: format, rows, cols, parts })
    }

    /// The memory of a vector of f32 values.
    pub(super) fn vector(&self, op: &'static str, len: usize) -> Result<&Memory> {
        CoreError::expect_eq(op, "vector length", self.rows * self.cols, len)?;
        match &self.parts[..] {
            [part] if self.dtype == DType::F32 && part.layout.wide == 1 => Ok(&part.units),
            _ => Err(CoreError::Unsupported { op, dtype: self.dtype }),
        }
    }
}

impl PreparedWeight for OpenClWeight {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn size_bytes(&self) -> usize {
        self.parts.iter().map(|p| p.units.bytes() + p.heads.as_ref().map_or(0, Memory::bytes)).sum()
    }
}

impl Part {
    fn new(
        runtime: &Arc<Runtime>,
        tensor: &HostTensor,
        layout: Layout,
        first: usize,
        rows: usize,
    ) -> Result<Self> {
        let tiles = rows.div_ceil(layout.wide);
        let size = |each: usize| {
            each.checked_mul(tiles).ok_or(CoreError::OutOfMemory { what: "a weight", bytes: usize::MAX })
        };
        let (tile, head) = (layout.tile_bytes().unwrap_or(usize::MAX), layout.head_bytes());
        let mut units = Memory::new(runtime, size(tile)?, "a weight")?;
        let mut heads = match head {
            0 => None,
            _ => Some(Memory::new(runtime, size(head)?, "a weight's factors")?),
        };
        {
            let mut units = units.map()?;
            let mut heads = heads.as_mut().map(Memory::map).transpose()?;
            let mut none = [];
            let heads: &mut [u8] = heads.as_mut().map_or(&mut none, |h| &mut h[..]);
            fill(tensor, &layout, first..first + rows, &mut units, heads)?;
        }
        let (cols, image, kernels) = (tensor.matrix_dims().1, OnceLock::new(), Mutex::default());
        Ok(Self { first, rows, cols, layout, units, heads, image, kernels })
    }

    /// The units as kernels read them without IMAGES.
    pub fn units(&self) -> Arg<'_> {
        Arg::Memory(&self.units)
    }

    /// The same as they do with IMAGES (blocks.cl).
    pub fn image(&self) -> Option<&Image> {
        let element = match self.layout.dtype.float_format() {
            Some(FloatFormat::F16) => cl::CL_HALF_FLOAT,
            Some(FloatFormat::BF16) => cl::CL_UNSIGNED_INT16,
            Some(FloatFormat::F32) | None => cl::CL_UNSIGNED_INT32,
        };
        let make = || Image::over(&self.units, element, self.layout.unit_bytes);
        self.image.get_or_init(make).as_ref()
    }

    /// Sets the arguments that say which weight it is.
    ///
    /// # Errors
    /// What the driver answers.
    ///
    /// # Safety
    /// `kernel` has to begin with WEIGHT of `kernels/layout.cl`, be for this part's format, and not be launched when
    /// this part is gone. `units` are the part's, as the kernel reads them.
    unsafe fn bind(&self, kernel: &mut Kernel, units: Arg<'_>) -> Result<(), OpenClError> {
        let n = |v: usize| Arg::U32(v as u32);
        let l = &self.layout;
        let args: [Arg<'_>; BOUND] = [
            units,
            Arg::Memory(self.heads.as_ref().unwrap_or(&self.units)),
            n(l.units),
            n(l.blocks),
            n(l.wide),
            n(self.first),
            n(self.rows),
            n(self.cols),
        ];
        // SAFETY: the types are those of WEIGHT; the memory lives as long as `self`, as the caller vouches.
        unsafe { kernel.set(0, &args) }
    }

    /// Whether the kernels for tiles of whole blocks can read it.
    pub fn is_tiled(&self) -> bool {
        self.layout.wide == TILE && self.cols == self.layout.blocks * BLOCK_LEN
    }
}

/// Writes rows `range` of a tensor into `units` and `heads`, tile by tile, on all cores. Rows that fill up the last
/// tile become zero.
fn fill(
    tensor: &HostTensor,
    layout: &Layout,
    range: std::ops::Range<usize>,
    units: &mut [u8],
    heads: &mut [u8],
) -> Result<()> {
    let (tile, head) = (layout.tile_bytes().unwrap_or(usize::MAX).max(1), layout.head_bytes());
    let write = |reader: &mut RowReader<'_>, t: usize, units: &mut [u8], heads: &mut [u8]| -> Result<()> {
        let begin = range.start + t * layout.wide;
        let count = layout.wide.min(range.end.saturating_sub(begin));
        if count < layout.wide {
            units.fill(0);
            heads.fill(0);
        }
        for lane in 0..count {
            layout.put(reader.row(begin + lane)?, lane, units, heads);
        }
        Ok(())
    };
    let reader = || RowReader::new(tensor, layout.dtype);
    let tiles = units.par_chunks_exact_mut(tile).enumerate();
    if head == 0 {
        return tiles.try_for_each_init(reader, |r, (t, units)| write(r, t, units, &mut []));
    }
    tiles
        .zip(heads.par_chunks_exact_mut(head))
        .try_for_each_init(reader, |r, ((t, units), heads)| write(r, t, units, heads))
}
