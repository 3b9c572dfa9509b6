//! Eviction on an OpenCL device, against the reference.

use llm_rs2::backend::opencl::{DeviceCache, OpenClBackend, OpenClError, OpenClOptions};
use llm_rs2::backend::reference::ReferenceBackend;

use super::{apart, by, exact_options, greedy, logits, session, text};

/// A device adds up in another order.
const TOLERANCE: f32 = 1e-3;

/// The default device; `None`, and the test is skipped, where there is none.
fn gpu() -> Option<OpenClBackend> {
    let cache = DeviceCache::new(Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels").into()));
    match OpenClBackend::new(OpenClOptions { cache, ..OpenClOptions::default() }) {
        Ok(gpu) => Some(gpu),
        Err(OpenClError::Static | OpenClError::NoLibrary { .. } | OpenClError::NoDevice { .. }) => {
            crate::skip::skipped("eviction", "there is no OpenCL device");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn a_device_evicts_as_the_reference_does() {
    let ids = text(220);
    for policy in ["sliding", "streaming"] {
        for (window, protected, chunk) in [(48, 4, 20), (33, 1, 1)] {
            let Some(gpu) = gpu() else { return };
            let options = exact_options(Some(by(policy, window, protected, 0.75)), chunk);
            let mut device = session(gpu, options);
            let got = logits(&mut device, &ids, 0);
            let expected = logits(&mut session(ReferenceBackend, options), &ids, 0);
            for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let apart = apart(got, expected);
                assert!(apart <= TOLERANCE, "{policy}, window {window}, step {step}: {apart} apart");
            }
            let outcome = device.generate(&greedy(text(70), 60), &mut ()).expect("generates");
            assert!(outcome.eviction.evictions > 3 && outcome.held <= window, "{outcome:?}");
        }
    }
}
