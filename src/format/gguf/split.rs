//! A model in several GGUF files, as llama-gguf-split writes them: the first one has the keys, and each has some of the
//! tensors.

use std::path::Path;

use super::GgufFile;
use crate::format::FormatError;
use crate::format::parts::Part;

/// What a part says of itself.
#[derive(Clone, Copy, Debug)]
struct Split {
    /// Which part it is, from 0 on.
    number: u64,
    /// How many there are.
    count: u64,
    /// Tensors of all of them.
    tensors: Option<u64>,
}

impl GgufFile {
    /// `None` for a whole file.
    fn split(&self) -> Result<Option<Split>, FormatError> {
        let metadata = self.metadata();
        let Some(count) = metadata.integer("split.count")?.filter(|&count| count > 1) else {
            return Ok(None);
        };
        let number = metadata.required("split.no", metadata.integer("split.no")?)?;
        Ok(Some(Split { number, count, tensors: metadata.integer("split.tensors.count")? }))
    }
}

/// The file at `path`, or all parts of the model that it is a part of, in order.
///
/// # Errors
/// As [`GgufFile::open`]; parts that are missing, or do not belong to each other.
pub fn open_parts(path: &Path) -> Result<Vec<GgufFile>, FormatError> {
    let file = GgufFile::open(path)?;
    let Some(Split { count, tensors, .. }) = file.split()? else { return Ok(vec![file]) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = Part::of_name(&name).filter(|part| part.count() as u64 == count);
    let Some(part) = part.filter(|part| (1..=part.count()).contains(&part.number)) else {
        return Err(FormatError::OtherFormat {
            path: path.into(),
            what: "a part of a GGUF file",
            way_on: format!(
                "give its {count} parts the names that they had, such as 'NAME-00001-of-{count:05}.gguf'"
            ),
        });
    };
    let mut given = Some(file);
    let mut files = Vec::with_capacity(part.count());
    for number in 1..=part.count() {
        let other = path.with_file_name(part.sibling(number));
        let file = match given.take_if(|_| number == part.number) {
            Some(file) => file,
            None => GgufFile::open(&other).map_err(|error| match error {
                FormatError::NotFound { path, .. } => FormatError::NotFound {
                    path,
                    note: format!(", which is part {number} of {count} of the model: download it"),
                },
                other => other,
            })?,
        };
        let split = file.split()?.map(|split| (split.number, split.count));
        if split != Some((number as u64 - 1, count)) {
            return Err(file.metadata().fault(format!(
                "is not part {number} of {count}, as its name says: download all parts of the model again"
            )));
        }
        files.push(file);
    }
    let found: usize = files.iter().map(|file| file.tensors.len()).sum();
    match tensors.filter(|&tensors| tensors != found as u64) {
        Some(tensors) => Err(files[0].metadata().fault(format!(
            "and its other parts hold {found} tensors of {tensors}: download all parts of the model again"
        ))),
        None => Ok(files),
    }
}
