//! What is wrong with a device or with operands is said.

use super::*;

#[test]
fn operands_that_do_not_fit_are_refused() {
    let Some(gpu) = gpu("operands_that_do_not_fit_are_refused") else { return };
    let mismatch = |r: Result<()>| assert!(matches!(r, Err(CoreError::Mismatch { .. })), "{r:?}");
    let (a, mut b) = (gpu.tensor(2, 4).unwrap(), gpu.tensor(2, 5).unwrap());
    mismatch(gpu.add(&a, &mut b));
    mismatch(gpu.copy_rows(&a, 2, 1, &mut gpu.tensor(2, 4).unwrap()));
    mismatch(gpu.upload(&[0.0; 9], &mut gpu.tensor(2, 4).unwrap(), 0));
    mismatch(gpu.download(&a, 3, &mut []));
    let w = gpu.prepare(&stored(DType::F16, 3, 32, 1).unwrap(), DType::F16).unwrap();
    mismatch(gpu.linear(&a, &mut [LinearPart { weight: &w, bias: None, out: &mut b }]));
    let mut out = gpu.tensor(1, 32).unwrap();
    let r = gpu.embed(&w, &[3], &mut out);
    assert!(matches!(r, Err(CoreError::BadToken { id: 3, vocab: 3 })), "{r:?}");
    assert!(matches!(gpu.alloc(DType::F32, usize::MAX), Err(CoreError::OutOfMemory { .. })));
}

#[test]
fn a_wrong_kernel_is_found_on_first_use_and_replaced_or_the_device_is_refused() {
    let test = "a_wrong_kernel_is_found_on_first_use_and_replaced_or_the_device_is_refused";
    let Some(_) = gpu(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let cache = DeviceCache::new(Some(dir.path().to_owned()));
    let start = |kernel: &str| {
        let perturb = Some(kernel.to_owned());
        OpenClBackend::new(OpenClOptions { cache: cache.clone(), perturb, ..OpenClOptions::default() })
    };
    // The second start knows it from the cache.
    for _ in 0..2 {
        let gpu = start("linear_tile").unwrap();
        assert!(!gpu.forms.tile && gpu.forms.norm && gpu.forms.attention_tile, "{:?}", gpu.forms);
        assert!(gpu.warning().unwrap().contains("linear_tile"), "{:?}", gpu.warning());
        let error =
            Operation::Linear { format: DType::Q4_0, tokens: 40, cols: 64, outs: 70 }.error(&gpu).unwrap();
        assert!(error <= BOUND, "{error:e}");
    }
    for (kernel, said) in [("rope", "computes rope wrongly"), ("top", "as the most of 30000 values")] {
        let refused = start(kernel).err().unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_device_that_is_lost_is_said_to_be_by_every_call_from_then_on() {
    let Some(_) = gpu("a_device_that_is_lost_is_said_to_be_by_every_call_from_then_on") else { return };
    let preset = Some(Preset::Fast);
    let gpu = OpenClBackend::new(OpenClOptions { lose_after: Some(2), preset, ..options() }).unwrap();
    let (x, mut acc) = (tensor(&gpu, 1, 1, 5).unwrap(), gpu.tensor(1, 5).unwrap());
    gpu.add(&x, &mut acc).unwrap();
    // The second launch is the last one that works; nothing has waited for it yet.
    let mut reported =
        vec![gpu.add(&x, &mut acc).and_then(|()| gpu.add(&x, &mut acc)).unwrap_err().to_string()];
    reported.push(gpu.download(&acc, 0, &mut [0.0; 5]).unwrap_err().to_string());
    reported.push(gpu.alloc(DType::F32, 4).unwrap_err().to_string());
    for said in reported {
        let parts =
            ["CL_OUT_OF_RESOURCES", gpu.device().name.as_str(), "gave up or was lost", "the cpu backend"];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn devices_are_named_and_unknown_ones_are_refused() {
    let Some(gpu) = gpu("devices_are_named_and_unknown_ones_are_refused") else { return };
    assert!(Device::list().unwrap().iter().any(|d| d.name == gpu.device().name));
    let refused =
        OpenClBackend::new(OpenClOptions { device: Some("no such".into()), ..options() }).err().unwrap();
    let text = refused.to_string();
    assert!(text.contains("'no such'") && text.contains(&gpu.device().name), "{text}");
}

#[test]
fn what_the_device_refuses_names_the_kernel_the_file_and_the_way_on() {
    let Some(gpu) = gpu("what_the_device_refuses_names_the_kernel_the_file_and_the_way_on") else { return };
    let name = &gpu.device().name;
    let says = |text: String, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
    };
    // Less memory than is asked for.
    let small = Device { memory: 1 << 20, ..gpu.device().clone() };
    let runtime = Arc::new(Runtime::new(small, false, None).unwrap());
    let first = Memory::new(&runtime, 1 << 19, "a test").unwrap();
    let refused = Memory::new(&runtime, 1 << 20, "a test").err().unwrap().to_string();
    says(
        refused,
        &[
            name,
            "1048576 bytes of memory",
            "524288 are taken",
            "a smaller format of the weights or a shorter context",
        ],
    );
    drop(first);
    Memory::new(&runtime, 1 << 20, "a test").unwrap();
    // A program that does not compile.
    let broken = program::Source { file: "broken.cl", parts: &["__kernel void x(", "int) {"], has: "x" };
    let refused = program::Program::build(&runtime, &broken, "", &DeviceCache::default()).err().unwrap();
    says(
        refused.to_string(),
        &[name, "kernels/broken.cl", "CL_BUILD_PROGRAM_FAILURE", "error", "the cpu backend"],
    );
    // A kernel that is not there, and one that cannot be launched.
    let good = program::Source {
        file: "good.cl",
        parts: &["__kernel void good(__global int *x) { x[0] = 1; }"],
        has: "good",
    };
    let program = program::Program::build(&runtime, &good, "", &DeviceCache::default()).unwrap();
    says(kernel::Kernel::new(&program, "bad").err().unwrap().to_string(), &["clCreateKernel (bad)", name]);
    let mut kernel = kernel::Kernel::new(&program, "good").unwrap();
    // SAFETY: refused before anything runs: no argument is set, and no device has groups of 2^30.
    let refused = unsafe { kernel.launch([1 << 30, 1, 1], [1 << 30, 1, 1]) }.unwrap_err();
    says(refused.to_string(), &["clEnqueueNDRangeKernel (good)", name, "the cpu backend"]);
    // A device that the kernels cannot run on.
    for lack in [
        Device { version: "OpenCL 1.1 old".into(), ..gpu.device().clone() },
        Device { max_group: 32, ..gpu.device().clone() },
        Device { local_memory: 8192, ..gpu.device().clone() },
    ] {
        says(Runtime::new(lack, false, None).unwrap_err().to_string(), &[name, "needed", "another device"]);
    }
}
