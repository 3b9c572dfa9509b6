//! What the system reports of this machine: cores, memory, temperatures, the user's directories. Linux and Android
//! report most of it in files, which tests replace by trees of their own.
//!
//! Knows no model and no backend; nothing here changes the machine, but for the cores that a thread may run on and the
//! memory that it asks to keep.

pub mod affinity;
mod cgroup;
mod clock;
mod cores;
mod directories;
mod identity;
mod lock;
mod memory;
mod thermal;

pub use clock::{local_date, utc};
pub use cores::{Cluster, Machine, clusters, most_threads};
pub use directories::{cache_directory, open_private, private_directory};
pub use identity::{Identity, core_name};
pub use lock::{LockError, lock};
pub use memory::{Memory, available_bytes, human_bytes, page_bytes, peak_resident_bytes};
pub use thermal::{THERMAL_ROOT, Thermal, Zone};

use std::fs;
use std::path::Path;

/// The number that is all of a file's text.
fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The text of a small file, without the blanks around it; `None` where there is nothing to read.
fn read_text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
