//! Files for big-endian machines: the same format, with the bytes of every number swapped, in the header as in the tensors.
//! Both become what the usual files have, so that nothing else knows of them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::metadata::Kind;
use crate::core::{HostBytes, HostMemory};
use crate::quant::factors::SwapRule;

/// Whether the first bytes of a file are those of one for big-endian machines: the version is then small with its bytes
/// swapped alone.
pub(super) fn is_big_endian(file: &[u8]) -> bool {
    let version = file.get(4..8).and_then(|bytes| bytes.first_chunk());
    version.is_some_and(|bytes| (1..1 << 16).contains(&u32::from_be_bytes(*bytes)))
}

/// Swaps all numbers of a header. One that is damaged is swapped up to there: whoever reads it finds the same fault.
pub(super) fn to_little_endian(header: &mut [u8]) {
    let mut numbers = Numbers { header, at: 4 };
    let _ = numbers.all();
}

/// A place in a header whose numbers before it are swapped.
struct Numbers<'a> {
    header: &'a mut [u8],
    at: usize,
}

/// What ends the walk.
struct Damaged;

impl Numbers<'_> {
    fn all(&mut self) -> Result<(), Damaged> {
        self.u32()?;
        let (tensors, keys) = (self.u64()?, self.u64()?);
        for _ in 0..keys {
            self.text()?;
            let kind = Kind::from_code(self.u32()?).map_err(|_| Damaged)?;
            self.value(kind)?;
        }
        for _ in 0..tensors {
            self.text()?;
            for _ in 0..self.u32()? {
                self.u64()?;
            }
            self.u32()?;
            self.u64()?;
        }
        Ok(())
    }

    fn value(&mut self, kind: Kind) -> Result<(), Damaged> {
        match kind {
            Kind::Text => self.text(),
            Kind::Array => {
                let kind = Kind::from_code(self.u32()?).map_err(|_| Damaged)?;
                for _ in 0..self.u64()? {
                    if kind == Kind::Array {
                        return Err(Damaged);
                    }
                    self.value(kind)?;
                }
                Ok(())
            }
            kind => self.take(kind.least()).map(<[u8]>::reverse),
        }
    }

    fn take(&mut self, count: usize) -> Result<&mut [u8], Damaged> {
        let end = self.at.checked_add(count).ok_or(Damaged)?;
        let taken = self.header.get_mut(self.at..end).ok_or(Damaged)?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        let bytes: &mut [u8; 4] = self.take(4)?.try_into().map_err(|_| Damaged)?;
        bytes.reverse();
        Ok(u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        let bytes: &mut [u8; 8] = self.take(8)?.try_into().map_err(|_| Damaged)?;
        bytes.reverse();
        Ok(u64::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> Result<(), Damaged> {
        let len = self.u64()?;
        self.take(usize::try_from(len).map_err(|_| Damaged)?).map(drop)
    }
}

/// The bytes of a tensor with those of its numbers swapped, when they are first asked for.
struct Swapped {
    stored: HostBytes,
    rule: SwapRule,
    swapped: OnceLock<Vec<u8>>,
}

impl HostMemory for Swapped {
    fn bytes(&self) -> &[u8] {
        self.swapped.get_or_init(|| {
            let mut bytes = self.stored.as_ref().to_vec();
            self.rule.swap(&mut bytes);
            self.stored.release();
            bytes
        })
    }

    fn size(&self) -> usize {
        self.stored.size()
    }

    fn is_copy(&self) -> bool {
        true
    }

    fn prefetch(&self, range: Range<usize>) {
        if let Some(part) = self.stored.slice(range) {
            part.prefetch();
        }
    }
}

/// The bytes of a tensor as the usual files have them. Nothing is read before they are.
pub(super) fn swapped(stored: HostBytes, rule: SwapRule) -> HostBytes {
    HostBytes::new(Arc::new(Swapped { stored, rule, swapped: OnceLock::new() }))
}
