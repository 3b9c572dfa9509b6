//! Weights in the layout that the kernels read (`kernels/layout.cl` describes it).

use std::sync::{Arc, Mutex, OnceLock};

use opencl_sys as cl;
use rayon::prelude::*;

use super::buffer::{Image, Memory};
use super::error::OpenClError;
use super::kernel::{Arg, Kernel};
use super::runtime::Runtime;
use crate::core::{BLOCK_LEN, CoreError, DType, HostTensor, PreparedWeight, Result};
use crate::quant::rows::RowReader;

/// Rows of a tile.
pub(super) const TILE: usize = 64;

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
    /// Scales; `None` for floats.
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

/// How the rows of a matrix lie.
#[derive(Clone, Copy, Debug)]
struct Layout {
    dtype: DType,
    /// Rows side by side.
    wide: usize,
    /// Units of a row.
    units: usize,
    unit_bytes: usize,
    /// Blocks of a row.
    blocks: usize,
    /// f16 numbers that a block begins with.
    heads: usize,
}

impl Layout {
    /// `None` for types that are no weights, and sizes that the kernels cannot count.
    fn new(dtype: DType, rows: usize, cols: usize) -> Option<Self> {
        let blocks = cols.div_ceil(BLOCK_LEN);
        let (units, unit_bytes, heads) = match dtype {
            DType::F32 => (cols, 4, 0),
            DType::F16 | DType::BF16 => (cols, 2, 0),
            DType::Q8_0 => (blocks.checked_mul(8)?, 4, 1),
            DType::Q4_0 => (blocks.checked_mul(4)?, 4, 1),
            DType::Q4_1 => (blocks.checked_mul(4)?, 4, 2),
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl | DType::Mxfp4 => return None,
            DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K => return None,
            DType::Iq4Xs | DType::Tq1_0 | DType::Tq2_0 | DType::U8 | DType::I32 => return None,
        };
        let wide = if rows == 1 && dtype == DType::F32 { 1 } else { TILE };
        let layout = Self { dtype, wide, units, unit_bytes, blocks, heads };
        let counts = [rows.checked_next_multiple_of(wide)?, units, layout.tile_bytes()?];
        counts.iter().all(|&n| u32::try_from(n).is_ok()).then_some(layout)
    }

    fn tile_bytes(&self) -> Option<usize> {
        self.units.checked_mul(self.unit_bytes)?.checked_mul(self.wide)
    }

    fn head_bytes(&self) -> usize {
        self.blocks * self.heads * 2 * self.wide
    }

    /// Puts a row, stored as its format has it, into lane `lane` of a tile.
    fn put(&self, row: &[u8], lane: usize, units: &mut [u8], heads: &mut [u8]) {
        let size = self.unit_bytes;
        if self.heads == 0 {
            for (u, unit) in row.chunks_exact(size).enumerate() {
                units[(u * self.wide + lane) * size..][..size].copy_from_slice(unit);
            }
            return;
        }
        for (b, block) in row.chunks_exact(self.dtype.block_bytes()).enumerate() {
            let (head, body) = block.split_at(2 * self.heads);
            for (h, head) in head.chunks_exact(2).enumerate() {
                heads[((b * self.heads + h) * self.wide + lane) * 2..][..2].copy_from_slice(head);
            }
            let each = body.len() / size;
            for (u, unit) in body.chunks_exact(size).enumerate() {
                units[((b * each + u) * self.wide + lane) * size..][..size].copy_from_slice(unit);
            }
        }
    }
}

/// The format that kernels have for weights in `format`: the same, or the one that loses least.
fn computed(format: DType) -> DType {
    match format {
        DType::F32 | DType::F16 | DType::BF16 | DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => format,
        // The same codes, with the scale and the minimum of each group of 32 as f16.
        DType::Q4K => DType::Q4_1,
        DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl | DType::Mxfp4 => DType::Q8_0,
        DType::Q2K | DType::Q3K | DType::Q5K | DType::Q6K => DType::Q8_0,
        DType::Iq4Xs | DType::Tq1_0 | DType::Tq2_0 => DType::Q8_0,
        // No weights.
        DType::U8 | DType::I32 => format,
    }
}

impl OpenClWeight {
    /// Brings a tensor to the device, converted to `format`. Rows go from where they are stored (a memory map) into
    /// the mapped buffer; there is no other copy of the whole.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`] for formats that are not weights, and what the device answers.
    pub(super) fn new(runtime: &Arc<Runtime>, tensor: &HostTensor, format: DType) -> Result<Self> {
        tensor.check_weight("a weight", format)?;
        let format = computed(format);
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
            _ => Some(Memory::new(runtime, size(head)?, "a weight's scales")?),
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
        let element = match self.layout.dtype {
            DType::F16 => cl::CL_HALF_FLOAT,
            DType::BF16 => cl::CL_UNSIGNED_INT16,
            DType::F32 | DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => cl::CL_UNSIGNED_INT32,
            // These are converted before they get here.
            DType::Q5_0 | DType::Q5_1 | DType::Iq4Nl | DType::Mxfp4 => return None,
            DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K => return None,
            DType::Iq4Xs | DType::Tq1_0 | DType::Tq2_0 | DType::U8 | DType::I32 => return None,
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
        self.layout.wide == TILE && self.cols.is_multiple_of(BLOCK_LEN)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_heads_lie_where_the_kernels_look_for_them() {
        // layout.cl: unit u of lane r at (u * wide + r), heads likewise.
        let layout = Layout::new(DType::Q4_1, 64, 64).unwrap();
        assert_eq!((layout.units, layout.tile_bytes(), layout.head_bytes()), (8, Some(2048), 2 * 2 * 2 * 64));
        let mut row = vec![0; 40];
        row[20..24].copy_from_slice(&[1, 2, 3, 4]);
        row[24 + 5] = 9;
        let (mut units, mut heads) = (vec![0; 2048], vec![0; 512]);
        layout.put(&row, 3, &mut units, &mut heads);
        let set = |b: &[u8]| -> Vec<(usize, u8)> {
            b.iter().copied().enumerate().filter(|&(_, b)| b != 0).collect()
        };
        // Block 1, byte 5: unit 4 + 1, byte 1.
        assert_eq!(set(&units), [((5 * 64 + 3) * 4 + 1, 9)]);
        let at = |head: usize| (head * 64 + 3) * 2;
        assert_eq!(set(&heads), [(at(2), 1), (at(2) + 1, 2), (at(3), 3), (at(3) + 1, 4)]);
        assert!(Layout::new(DType::F32, usize::MAX, 1).is_none());
        assert!(Layout::new(DType::F32, 1, usize::MAX).is_none());
        assert!(Layout::new(DType::I32, 1, 1).is_none());
    }
}
