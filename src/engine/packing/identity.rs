//! What a cached file was made from, so that it is used for nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::engine::small_files::SmallFiles;
use crate::format::packed::{LAYOUT, VERSION};
use crate::format::{Checkpoint, checksum};
use crate::models::WeightPlan;

/// The section of a packed file that holds it.
pub(super) const SECTION: &str = "source";

/// The state of all files that a model consists of, and what was to be made of them.
pub(super) struct Identity {
    /// As it is stored and compared: every byte counts.
    pub bytes: Vec<u8>,
    /// A name for the file that is to be made, the same for every state of these files.
    pub file_name: String,
}

impl Identity {
    /// Looks at the files' sizes and times of change, at samples of their contents (a file can be replaced and keep its
    /// time), and at the contents of the small ones that are beside them. `None` if the system does not report that, which
    /// means that nothing can be cached.
    pub fn of(checkpoint: &Checkpoint, small: Option<&SmallFiles>, plan: Option<WeightPlan>) -> Option<Self> {
        let mut paths = Vec::new();
        let mut weights = Vec::new();
        for (file, sample) in checkpoint.samples().ok()? {
            let path = fs::canonicalize(file).ok()?;
            weights.push(state(&path, sample)?);
            paths.push(path);
        }
        let contents: Vec<Value> = small
            .into_iter()
            .flat_map(SmallFiles::iter)
            .map(|(name, bytes)| json!([name, bytes.len(), format!("{:016x}", checksum(bytes))]))
            .collect();
        let format = plan.map_or_else(|| "tokenizer".to_owned(), |plan| plan.to_string());
        let identity = json!({
            "program": env!("CARGO_PKG_VERSION"),
            "version": [VERSION, LAYOUT],
            "format": format,
            "weights": weights,
            "files": contents,
        });
        let bytes = serde_json::to_vec(&identity).ok()?;
        Some(Self { bytes, file_name: file_name(checkpoint.dir(), &paths, &format) })
    }
}

/// Path, size, time of change in nanoseconds, and the sample.
fn state(path: &Path, sample: u64) -> Option<Value> {
    let data = fs::metadata(path).ok()?;
    let changed = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(json!([path.to_str()?, data.len(), changed.as_nanos().to_string(), format!("{sample:016x}")]))
}

/// The directory's own name, to be read, and a checksum of the paths against mistakes.
fn file_name(dir: &Path, paths: &[PathBuf], format: &str) -> String {
    let canonical = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let name: String = canonical.file_name().unwrap_or_default().to_string_lossy().chars().take(60).collect();
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_");
    let listed: Vec<String> = paths.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let sum = checksum(listed.join("\n").as_bytes()) >> 32;
    format!("{}-{sum:08x}-{format}.packed", name.trim_start_matches('.'))
}
