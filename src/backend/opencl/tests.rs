//! What tests of the backend have in common. Where no OpenCL device is, each test says so and passes.

mod likeliest;
mod memory;
mod operations;
mod refusals;

use std::sync::OnceLock;

use super::compare::{Operation, first, formats, numbers, stored, tensor, values};
use super::*;
use crate::core::{CoreError, KvTypes, PreparedWeight, Shape};

/// Sums in f32 in another order than the reference's in f64: some hundred roundings of 6e-8.
const BOUND: f64 = 2e-5;

/// Inputs and products of 11 bits.
const BOUND_HALF: f64 = 1e-3;

/// What is halfway between two int8 may be rounded to the other one than the reference's.
const BOUND_ROUNDED: f64 = 2e-3;

fn options() -> OpenClOptions {
    // Compiling takes seconds on some devices; tests of the cache use places of their own.
    let cache = DeviceCache::new(Some(std::env::temp_dir().join("llm_rs2-test-kernels")));
    OpenClOptions { cache, ..OpenClOptions::default() }
}

/// The default device, opened once with each set of kernels: those that it would choose, the plain ones, those with
/// integer dot products or in fp16 (which any device can compute), and those with sub-groups or images where it has them.
fn all(test: &str) -> Vec<&'static OpenClBackend> {
    static ALL: OnceLock<Vec<OpenClBackend>> = OnceLock::new();
    let made = ALL.get_or_init(|| match OpenClBackend::new(options()) {
        Ok(chosen) => {
            let subgroups = chosen.device().subgroups.then_some(Preset::SubGroups);
            let images = chosen.device().has_images().then_some(Preset::Images);
            let presets = [Preset::Plain, Preset::Fast, Preset::IntegerDot, Preset::Half];
            let presets = presets.into_iter().chain(subgroups).chain(images);
            let open =
                |preset| OpenClBackend::new(OpenClOptions { preset: Some(preset), ..options() }).unwrap();
            std::iter::once(chosen).chain(presets.map(open)).collect()
        }
        Err(OpenClError::Static | OpenClError::NoLibrary { .. } | OpenClError::NoDevice { .. }) => Vec::new(),
        Err(e) => panic!("{e}"),
    });
    if made.is_empty() {
        crate::skip::skipped(test, "there is no OpenCL device");
    }
    made.iter().collect()
}

fn gpu(test: &str) -> Option<&'static OpenClBackend> {
    all(test).first().copied()
}

fn bound(gpu: &OpenClBackend) -> f64 {
    match (gpu.forms.dot, gpu.forms.half) {
        (true, _) => BOUND_ROUNDED,
        (false, true) => BOUND_HALF,
        (false, false) => BOUND,
    }
}

fn check(test: &str, operations: &[Operation]) {
    for gpu in all(test) {
        for operation in operations {
            let error = operation.error(gpu).unwrap_or_else(|e| panic!("{operation:?}: {e}"));
            let bound = bound(gpu);
            assert!(error <= bound, "{operation:?} on {}, {:?}: error {error:e}", gpu.describe(), gpu.forms);
        }
    }
}
