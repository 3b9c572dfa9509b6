//! Making a packed file: the same bytes from the same tensors, on every machine.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;

use super::header::{Entry, HEADER, Header, LINE, PAGE, Section, Table};
use crate::core::{CoreError, DType, HostTensor, Order, TILE_ROWS};
use crate::format::file::io_error;
use crate::format::sample::Sample;
use crate::format::{Checksum, FormatError, checksum};
use crate::quant::row_bytes;
use crate::quant::rows::RowReader;
use crate::quant::tiles::TileLayout;

/// Bytes that are converted at a time, by all threads together.
pub const BATCH: usize = 8 << 20;

/// What a packed file will hold.
pub struct Packer {
    sections: Vec<(String, Vec<u8>)>,
    tensors: Vec<(HostTensor, DType)>,
    /// Without checksums, which are known when all is written.
    table: Table,
    header: Header,
}

impl Packer {
    /// Plans a file of these sections and tensors, in this order; each tensor is stored as the type beside it.
    /// Block formats are stored in tiles, the others row by row.
    ///
    /// # Errors
    /// A tensor that has no such form.
    pub fn new(
        sections: Vec<(String, Vec<u8>)>,
        tensors: Vec<(HostTensor, DType)>,
    ) -> Result<Self, CoreError> {
        let table = Table { sections: vec![], tensors: vec![] };
        let header = Header { table: 0, data: 0, file: 0, head_sum: 0 };
        let mut packer = Self { sections, tensors, table, header };
        // The table's length depends on the numbers in it, and these on its length: twice is enough, since the
        // second time begins with a table that is at least as long.
        for _ in 0..8 {
            let before = packer.header;
            packer.lay_out()?;
            if packer.header == before {
                return Ok(packer);
            }
        }
        Err(CoreError::OutOfMemory { what: "the table of a packed file", bytes: usize::MAX })
    }

    /// Places everything after a table as long as the last one, or longer.
    fn lay_out(&mut self) -> Result<(), CoreError> {
        let overflow = || CoreError::OutOfMemory { what: "a packed file", bytes: usize::MAX };
        let mut at = HEADER as u64 + self.header.table;
        let sections = self.sections.iter().map(|(name, bytes)| {
            let offset = at.checked_next_multiple_of(LINE)?;
            at = offset.checked_add(bytes.len() as u64)?;
            Some(Section { name: name.clone(), offset, length: bytes.len() as u64 })
        });
        let sections = sections.collect::<Option<Vec<_>>>().ok_or_else(overflow)?;
        let data = at.checked_next_multiple_of(PAGE).ok_or_else(overflow)?;
        let mut at = data;
        let mut entries = Vec::with_capacity(self.tensors.len());
        for (tensor, dtype) in &self.tensors {
            let (rows, cols) = tensor.matrix_dims();
            let order = Order::read_by_kernels(*dtype);
            let length = order.bytes(*dtype, rows, cols).ok_or_else(|| CoreError::BadTensor {
                name: tensor.name().to_owned(),
                reason: format!("shape {} is impossible for {dtype}", tensor.shape()),
            })? as u64;
            let align = if length < PAGE { LINE } else { PAGE };
            let offset = at.checked_next_multiple_of(align).ok_or_else(overflow)?;
            at = offset.checked_add(length).ok_or_else(overflow)?;
            entries.push(Entry {
                name: tensor.name().to_owned(),
                dtype: dtype.name().to_owned(),
                shape: tensor.shape().dims().iter().map(|&d| d as u64).collect(),
                order: order.name().to_owned(),
                offset,
                length,
                checksum: hex(0),
                sample: hex(0),
            });
        }
        (self.table.sections, self.table.tensors) = (sections, entries);
        let table = self.table_bytes().len().max(self.header.table as usize) as u64;
        self.header = Header { table, data, file: at, head_sum: 0 };
        Ok(())
    }

    /// The table as JSON, filled up with spaces to the length that was planned.
    fn table_bytes(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(&self.table).unwrap_or_default();
        json.resize(json.len().max(self.header.table as usize), b' ');
        json
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.header.file
    }

    /// Writes the file from the start of `out`, converting the tensors on all cores, some MB at a time. The
    /// header comes last: before that the file is none of this format. `progress` gets the bytes of the file
    /// that are written.
    ///
    /// # Errors
    /// What the system answers, under the name `path`; a tensor that cannot be converted.
    pub fn write(
        mut self,
        path: &Path,
        out: impl Write + Seek,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FormatError> {
        let failed = |e: io::Error| io_error("write", path, e);
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let mut at = 0;
        pad(&mut out, &mut at, self.header.data).map_err(failed)?;
        let mut buffer = Vec::new();
        // Each goes when it is written: some are copies.
        for (i, (tensor, dtype)) in std::mem::take(&mut self.tensors).into_iter().enumerate() {
            let mut sum = Checksum::default();
            let mut sample = Sample::new(self.table.tensors[i].length as usize);
            pad(&mut out, &mut at, self.table.tensors[i].offset).map_err(failed)?;
            let mut convert = Conversion::new(&tensor, dtype);
            while convert.fill(&mut buffer).map_err(|e| FormatError::Tensor {
                path: path.into(),
                name: tensor.name().into(),
                reason: match e {
                    CoreError::BadTensor { reason, .. } => reason,
                    e => format!("cannot be packed: {e}"),
                },
            })? {
                sum.update(&buffer);
                sample.update(&buffer);
                out.write_all(&buffer).map_err(failed)?;
                at += buffer.len() as u64;
                progress(at);
            }
            self.table.tensors[i].checksum = hex(sum.finish());
            self.table.tensors[i].sample = hex(sample.finish());
        }
        let head = self.head();
        self.header.head_sum = checksum(&head);
        out.seek(SeekFrom::Start(HEADER as u64)).map_err(failed)?;
        out.write_all(&head).map_err(failed)?;
        out.seek(SeekFrom::Start(0)).map_err(failed)?;
        out.write_all(&self.header.to_bytes()).map_err(failed)?;
        out.flush().map_err(failed)
    }

    /// All between the header and the data.
    fn head(&self) -> Vec<u8> {
        let mut head = vec![0; self.header.data as usize - HEADER];
        let table = self.table_bytes();
        head[..table.len()].copy_from_slice(&table);
        for (section, (_, bytes)) in self.table.sections.iter().zip(&self.sections) {
            let at = section.offset as usize - HEADER;
            head[at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }
}

fn hex(sum: u64) -> String {
    format!("{sum:016x}")
}

/// Writes zeros up to byte `to` of the file.
fn pad(out: &mut impl Write, at: &mut u64, to: u64) -> io::Result<()> {
    let zeros = [0; 4096];
    while *at < to {
        let n = zeros.len().min((to - *at) as usize);
        out.write_all(&zeros[..n])?;
        *at += n as u64;
    }
    Ok(())
}

/// A tensor on its way into the file, some tiles or rows at a time.
struct Conversion<'a> {
    tensor: &'a HostTensor,
    dtype: DType,
    tiles: Option<TileLayout>,
    /// Bytes and rows of a unit, a tile or a row.
    unit: (usize, usize),
    units: usize,
    done: usize,
}

impl<'a> Conversion<'a> {
    fn new(tensor: &'a HostTensor, dtype: DType) -> Self {
        let (rows, cols) = tensor.matrix_dims();
        let tiles = TileLayout::new(dtype, cols);
        let unit = match &tiles {
            Some(layout) => (layout.bytes(), TILE_ROWS),
            None => (row_bytes(dtype, cols), 1),
        };
        Self { tensor, dtype, tiles, unit, units: rows.div_ceil(unit.1), done: 0 }
    }

    /// Replaces `buffer` by the next units; false at the end.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<bool, CoreError> {
        let (bytes, rows) = self.unit;
        if bytes == 0 || self.done == self.units {
            return Ok(false);
        }
        let count = (BATCH / bytes).max(1).min(self.units - self.done);
        buffer.clear();
        buffer.resize(count * bytes, 0);
        let (tensor, dtype, tiles, first) = (self.tensor, self.dtype, self.tiles, self.done);
        buffer.par_chunks_mut(bytes).enumerate().try_for_each_init(
            || RowReader::new(tensor, dtype),
            |reader, (i, out)| match &tiles {
                Some(layout) => reader.tile(layout, first + i, out),
                None => reader.row(first + i).map(|row| out.copy_from_slice(row)),
            },
        )?;
        self.done += count;
        // What was read will not be read again: a model's pages would fill the memory.
        let (all, cols) = tensor.matrix_dims();
        if tensor.order() != Order::Tiles {
            // Interleaved rows lie within the same group, so that at worst a few pages are read once more.
            let row = row_bytes(tensor.dtype(), cols);
            let range = first * rows * row..(self.done * rows).min(all) * row;
            if let Some(read) = tensor.data().slice(range) {
                read.release();
            }
        }
        Ok(true)
    }
}
