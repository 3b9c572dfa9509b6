//! Time of each kernel, from the device's own events.

use std::collections::BTreeMap;

use super::library::Handle;

/// What a kernel took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelTime {
    /// How often it ran.
    pub launches: u64,
    /// Nanoseconds on the device, from its start to its end, of all launches.
    pub nanoseconds: u64,
}

/// Events that were not looked at yet, and what the others gave.
#[derive(Debug, Default)]
pub struct Profile {
    pub(super) pending: Vec<(&'static str, Handle)>,
    pub(super) times: BTreeMap<&'static str, KernelTime>,
}
