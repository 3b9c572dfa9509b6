//! One safetensors file: 8 bytes of header length (little endian), a JSON header, the tensors' bytes.
//! <https://huggingface.co/docs/safetensors/index#format>

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::file::open_regular;
use super::mapped::{copied, map, tensor_parts};
use super::what_is_it::other_format;
use super::{FormatError, header_fault};
use crate::core::{DType, HostBytes, HostTensor};

/// Bytes of the length field at the start.
const LEN_BYTES: u64 = 8;

/// The longest header: the limit of the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// One mapped file. Every range in it has been checked to lie within the file.
#[derive(Debug)]
pub(super) struct SafeTensorsFile {
    path: PathBuf,
    bytes: HostBytes,
    tensors: HashMap<String, Entry>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    /// In bytes, from the start of the file.
    range: Range<usize>,
}

impl SafeTensorsFile {
    /// Maps a file and checks all that its header says.
    pub(super) fn open(path: &Path) -> Result<Self, FormatError> {
        let (file, len) = open_regular(path)?;
        if len < LEN_BYTES {
            return Err(damaged(path, format!("has {len} bytes, too few for a safetensors file: {AGAIN}")));
        }
        Self::from_bytes(path, map(path, &file)?)
    }

    /// Checks a file's bytes.
    pub(super) fn from_bytes(path: &Path, bytes: HostBytes) -> Result<Self, FormatError> {
        let all = bytes.as_ref();
        let len = all.len() as u64;
        if let Some(other) = other_format(path, all) {
            return Err(other);
        }
        let Some((first, _)) = all.split_first_chunk::<8>() else {
            return Err(damaged(path, format!("has {len} bytes, too few for a safetensors file: {AGAIN}")));
        };
        let header_len = u64::from_le_bytes(*first);
        if header_len > MAX_HEADER {
            return Err(damaged(
                path,
                format!(
                    "claims a header of {header_len} bytes, more than the {MAX_HEADER} that are allowed: \
                     it is damaged or no safetensors file"
                ),
            ));
        }
        // Cannot overflow: header_len is at most MAX_HEADER.
        let data_start = LEN_BYTES + header_len;
        if data_start > len {
            return Err(damaged(
                path,
                format!("ends after {len} bytes but its header ends at {data_start}: {AGAIN}"),
            ));
        }
        let data_start = data_start as usize;
        let header = copied(path, &all[LEN_BYTES as usize..data_start])?;
        let header = header.as_ref();
        let data_len = all.len() - data_start;

        // The crate checks that the ranges are as long as type and shape say, start at 0 and leave no gap.
        // Not through `SafeTensors::deserialize`: that adds up the end of the data without an overflow check.
        let metadata: Metadata =
            serde_json::from_slice(header).map_err(|e| header_fault::explain(path, header, &e))?;
        let tensors = metadata.tensors();
        let end = metadata.data_len();
        if end > data_len {
            let cut = tensors.iter().filter(|(_, t)| t.data_offsets.1 > data_len);
            let name = cut.min_by_key(|(n, t)| (t.data_offsets, *n)).map_or("", |(n, _)| n);
            let needs = tensors.get(name).map_or(end, |t| t.data_offsets.1) as u128 + data_start as u128;
            return Err(damaged(
                path,
                format!(
                    "ends after {len} bytes but tensor '{}' needs bytes up to {needs}: {AGAIN}",
                    super::shown(name)
                ),
            ));
        }
        if end < data_len {
            return Err(damaged(
                path,
                format!("has {} bytes after its last tensor, where it should end: {AGAIN}", data_len - end),
            ));
        }
        let tensors = tensors
            .into_iter()
            .map(|(name, t)| {
                // Neither sum overflows: both offsets are at most data_len.
                let range = data_start + t.data_offsets.0..data_start + t.data_offsets.1;
                (name, Entry { dtype: t.dtype, shape: t.shape.clone(), range })
            })
            .collect();
        Ok(Self { path: path.into(), bytes, tensors })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Where the tensors lie in the file.
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        self.tensors.values().map(|entry| &entry.range)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Bytes of all tensors.
    pub(super) fn data_bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.range.len() as u64).sum()
    }

    /// The tensor of that name, or `None`.
    pub(super) fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let Some(entry) = self.tensors.get(name) else { return Ok(None) };
        let fault = |reason| FormatError::Tensor { path: self.path.clone(), name: name.into(), reason };
        let dtype = readable(entry.dtype).ok_or_else(|| {
            fault(format!(
                "has elements of type {}, which is not read; known are F32, F16, BF16, U8 and I32: \
                 use a checkpoint in one of these",
                entry.dtype
            ))
        })?;
        let (shape, data) = tensor_parts(&self.bytes, &entry.shape, &entry.range).map_err(fault)?;
        HostTensor::new(name, dtype, shape, data).map(Some).map_err(|e| fault(format!("cannot be used: {e}")))
    }
}

/// The way on for a file that is not whole.
const AGAIN: &str = "download it again";

fn damaged(path: &Path, reason: String) -> FormatError {
    FormatError::Damaged { path: path.into(), reason }
}

/// The element types that have a form here.
fn readable(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::U8 => Some(DType::U8),
        Dtype::I32 => Some(DType::I32),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
