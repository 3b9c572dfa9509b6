//! A checkpoint: one safetensors file or an index and its shards, as Hugging Face lays it out, or a GGUF file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::file::io_error;
use super::gguf::{self, GgufFile};
use super::parts::{Parts, is_shard};
use super::safetensors::SafeTensorsFile;
use super::sample::sample_file;
use super::what_is_it::{absent, adapter_file, no_json, no_weights};
use super::{Checksum, FormatError, TensorSource, parse_json, read_bounded, shown};
use crate::core::{HostBytes, HostTensor};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The most bytes of an index. Llama 405B's has under 200 kB.
const MAX_INDEX: u64 = 64 << 20;

/// The tensors of a checkpoint, memory-mapped: opening one reads the headers only.
///
/// [`TensorSource::names`] are sorted.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    files: Vec<WeightFile>,
    /// Tensor name -> position in `files`.
    holder: BTreeMap<String, usize>,
}

/// A file of a checkpoint.
#[derive(Debug)]
enum WeightFile {
    SafeTensors(SafeTensorsFile),
    Gguf(GgufFile),
}

impl WeightFile {
    fn path(&self) -> &Path {
        match self {
            WeightFile::SafeTensors(file) => file.path(),
            WeightFile::Gguf(file) => file.path(),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            WeightFile::SafeTensors(file) => file.names().map(str::to_owned).collect(),
            WeightFile::Gguf(file) => file.names().collect(),
        }
    }

    fn data_bytes(&self) -> u64 {
        match self {
            WeightFile::SafeTensors(file) => file.data_bytes(),
            WeightFile::Gguf(file) => file.data_bytes(),
        }
    }

    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        match self {
            WeightFile::SafeTensors(file) => file.get(name),
            WeightFile::Gguf(file) => file.get(name),
        }
    }

    /// Where the tensors lie in the file, in ascending order.
    fn ranges(&self) -> Vec<Range<usize>> {
        let mut ranges: Vec<_> = match self {
            WeightFile::SafeTensors(file) => file.ranges().cloned().collect(),
            WeightFile::Gguf(file) => file.ranges().cloned().collect(),
        };
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        ranges
    }

    /// See [`Checkpoint::samples`].
    fn sample(&self) -> io::Result<u64> {
        let mut file = File::open(self.path())?;
        let mut sum = Checksum::default();
        let ranges = self.ranges();
        // What is in front of the tensors says their names, and in a GGUF file much else.
        let header = ranges.iter().map(|range| range.start).filter(|&start| start > 0).min();
        let mut start = Vec::new();
        (&mut file).take(header.unwrap_or(0) as u64).read_to_end(&mut start)?;
        sum.update(&start);
        for range in &ranges {
            sample_file(&mut file, range, &mut sum)?;
        }
        Ok(sum.finish())
    }
}

impl Checkpoint {
    /// Opens a Hugging Face directory, a `.safetensors` file or a GGUF file.
    ///
    /// In a directory `model.safetensors` is taken if it is there, and else the shards that
    /// `model.safetensors.index.json` names: the order in which transformers looks. All tensors of these
    /// shards count, including those that the index does not list. Without an index the shards are taken whose names say
    /// that they are all there, and without any of them a single GGUF file, or one in parts. Any part of a GGUF file stands
    /// for all of them.
    ///
    /// # Errors
    /// If the path cannot be read, is in another format, or if anything in it contradicts itself: truncated
    /// files, ranges that overlap, do not fit their shape or leave the file, shards that are missing, lie
    /// outside of the directory, lack a tensor of the index, or hold one that another shard holds too.
    /// Element types and ranks that have no form here are no error until such a tensor is asked for.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let is_dir = fs::metadata(path).map_err(|e| match io_error("open", path, e) {
            FormatError::NotFound { path, note } if note.is_empty() => {
                FormatError::NotFound { note: absent(&path), path }
            }
            other => other,
        })?;
        let is_dir = is_dir.is_dir();
        if is_dir {
            return Self::open_dir(path);
        }
        if path.extension().is_some_and(|e| e == "json") {
            return Err(FormatError::OtherFormat {
                path: path.into(),
                what: "a JSON file and not weights",
                way_on: "give the directory that holds it".into(),
            });
        }
        let dir = match path.parent() {
            Some(p) if p != Path::new("") => p,
            _ => Path::new("."),
        };
        if GgufFile::is_at(path) {
            return Self::open_gguf(dir, path);
        }
        if let Some(adapter) = adapter_file(path, &[]) {
            return Err(adapter);
        }
        if is_shard(path) {
            return Err(FormatError::OtherFormat {
                path: path.into(),
                what: "one part of a model in several",
                way_on: format!("give the directory that holds all of them, '{}'", dir.display()),
            });
        }
        let file = SafeTensorsFile::open(path)?;
        if let Some(adapter) = adapter_file(path, &file.names().collect::<Vec<_>>()) {
            return Err(adapter);
        }
        Self::from_files(dir, vec![WeightFile::SafeTensors(file)])
    }

    /// Reads a safetensors file that is already in memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: HostBytes) -> Result<Self, FormatError> {
        let file = SafeTensorsFile::from_bytes(Path::new(name), bytes)?;
        Self::from_files(Path::new(""), vec![WeightFile::SafeTensors(file)])
    }

    fn open_dir(dir: &Path) -> Result<Self, FormatError> {
        for name in ["config.json", "tokenizer.json"] {
            if let Some(other) = no_json(&dir.join(name)) {
                return Err(other);
            }
        }
        let single = dir.join(SINGLE);
        // `symlink_metadata`: a link to a file that is gone is an error to report, not an absent file.
        if fs::symlink_metadata(&single).is_ok() {
            return Self::from_files(dir, vec![WeightFile::SafeTensors(SafeTensorsFile::open(&single)?)]);
        }
        let index = dir.join(INDEX);
        if fs::symlink_metadata(&index).is_ok() {
            return Self::open_shards(dir, &index);
        }
        let names = listed(dir)?;
        // Parts whose index is missing: their names say whether they are all there.
        let shards = Parts::among(&names, ".safetensors");
        if let [Some(parts)] = shards.iter().map(Parts::whole).collect::<Vec<_>>().as_slice() {
            let open = |name: &&str| Ok(WeightFile::SafeTensors(SafeTensorsFile::open(&dir.join(name))?));
            return Self::from_files(dir, parts.iter().map(open).collect::<Result<_, FormatError>>()?);
        }
        let models: Vec<&String> =
            names.iter().filter(|n| n.ends_with(".gguf") && !n.starts_with("mmproj")).collect();
        let parts = Parts::among(&names, ".gguf");
        let whole = parts.iter().find(|parts| parts.are_all(&models)).and_then(Parts::whole);
        match (models.as_slice(), whole) {
            ([only], _) => Self::open_gguf(dir, &dir.join(only)),
            (_, Some(parts)) => Self::open_gguf(dir, &dir.join(parts[0])),
            _ => Err(no_weights(dir, &names)),
        }
    }

    /// A GGUF file, or all parts of the model that it is a part of.
    fn open_gguf(dir: &Path, path: &Path) -> Result<Self, FormatError> {
        Self::from_files(dir, gguf::open_parts(path)?.into_iter().map(WeightFile::Gguf).collect())
    }

    fn open_shards(dir: &Path, index: &Path) -> Result<Self, FormatError> {
        let fault = |reason| FormatError::Index { path: index.into(), reason };
        let weight_map = read_index(index)?;
        let mut shards: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        for (name, shard) in &weight_map {
            if shards.contains_key(shard.as_str()) {
                continue;
            }
            if !stays_inside(shard) {
                return Err(fault(format!(
                    "puts tensor '{}' in '{}', which is not a file within its directory",
                    shown(name),
                    shown(shard)
                )));
            }
            let path = dir.join(shard);
            if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
                return Err(fault(format!(
                    "names the shard '{}', which is not in '{}': download it",
                    shown(shard),
                    dir.display()
                )));
            }
            shards.insert(shard, files.len());
            files.push(SafeTensorsFile::open(&path)?);
        }
        for (name, shard) in &weight_map {
            let lacks =
                shards.get(shard.as_str()).and_then(|&i| files.get(i)).is_none_or(|f| !f.contains(name));
            if lacks {
                return Err(fault(format!(
                    "puts tensor '{}' in '{}', which does not hold it: the files are of different downloads",
                    shown(name),
                    shown(shard)
                )));
            }
        }
        Self::from_files(dir, files.into_iter().map(WeightFile::SafeTensors).collect())
    }

    fn from_files(dir: &Path, files: Vec<WeightFile>) -> Result<Self, FormatError> {
        let mut holder = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(first) = holder.insert(name.clone(), i) {
                    return Err(FormatError::Tensor {
                        path: file.path().into(),
                        name,
                        reason: format!(
                            "is in '{}' too: delete the shard that does not belong to this checkpoint",
                            files[first].path().display()
                        ),
                    });
                }
            }
        }
        Ok(Self { dir: dir.into(), files, holder })
    }

    /// The directory in which the weights lie, and so the model's other files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The mapped files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(WeightFile::path)
    }

    /// Path and sample of each file: a number that is another one for other weights, with all likelihood. The headers and
    /// some pages of each tensor are read, and nothing else.
    ///
    /// # Errors
    /// What the system answers.
    pub fn samples(&self) -> io::Result<Vec<(&Path, u64)>> {
        self.files.iter().map(|file| Ok((file.path(), file.sample()?))).collect()
    }

    /// The GGUF file that describes the model itself, if it is in such files: the only one, or the first part. The tensors of
    /// all parts are the checkpoint's.
    pub fn gguf(&self) -> Option<&GgufFile> {
        match self.files.first() {
            Some(WeightFile::Gguf(file)) => Some(file),
            _ => None,
        }
    }
}

impl TensorSource for Checkpoint {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        match self.holder.get(name) {
            Some(&i) => self.files[i].get(name),
            None => Ok(None),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.holder.keys().map(String::as_str).collect()
    }

    fn location(&self, name: &str) -> String {
        let path = match (self.holder.get(name), self.files.as_slice()) {
            (Some(&i), files) => files[i].path(),
            (None, [only]) => only.path(),
            (None, _) => &self.dir,
        };
        path.display().to_string()
    }

    fn total_bytes(&self) -> u64 {
        self.files.iter().map(WeightFile::data_bytes).sum()
    }
}

/// Tensor name -> shard file name, as the index says.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>, FormatError> {
    let fault = |reason| FormatError::Index { path: path.into(), reason };
    let bytes = read_bounded(path, MAX_INDEX)?;
    let index: Value = parse_json(&bytes)
        .map_err(|e| fault(format!("is not JSON ({e}): it is damaged, download it again")))?;
    let Some(entries) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(fault("has no \"weight_map\" from tensor names to files: download it again".into()));
    };
    if entries.is_empty() {
        return Err(fault("has an empty \"weight_map\": download it again".into()));
    }
    entries
        .iter()
        .map(|(name, shard)| match shard.as_str() {
            Some(s) => Ok((name.clone(), s.to_owned())),
            None => Err(fault(format!(
                "puts tensor '{}' in {}, which is no file name",
                shown(name),
                shown(&shard.to_string())
            ))),
        })
        .collect()
}

/// Whether a shard's name is a plain relative path that cannot leave the directory.
fn stays_inside(shard: &str) -> bool {
    !shard.is_empty() && Path::new(shard).components().all(|c| matches!(c, Component::Normal(_)))
}

/// The names in a directory, sorted.
fn listed(dir: &Path) -> Result<Vec<String>, FormatError> {
    let entries = fs::read_dir(dir).map_err(|e| io_error("list", dir, e))?;
    let mut names: Vec<String> =
        entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
