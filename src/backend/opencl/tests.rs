//! Every operation against the reference backend, at sizes that are awkward for tiles and groups.
//!
//! Where no OpenCL device is, each test says so and passes.

use std::io::Write as _;
use std::sync::OnceLock;

use super::compare::{Operation, first, numbers, stored, tensor, values};
use super::*;
use crate::core::{CoreError, KvTypes, PreparedWeight, Shape};

const FORMATS: [DType; 6] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

/// Sums in f32 in another order than the reference's in f64: some hundred roundings of 6e-8.
const BOUND: f64 = 2e-5;

/// Inputs and products of 11 bits.
const BOUND_HALF: f64 = 1e-3;

/// What lies halfway between two int8 may be rounded to the other one than the reference's.
const BOUND_ROUNDED: f64 = 2e-3;

fn options() -> OpenClOptions {
    // Compiling takes seconds on some devices; tests of the cache use places of their own.
    let cache = DeviceCache::new(vec![std::env::temp_dir().join("llm_rs2-test-kernels")]);
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
        let _ = writeln!(std::io::stderr(), "skipped: {test}: there is no OpenCL device");
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

#[test]
fn linear_in_every_format_and_shape() {
    let mut all = Vec::new();
    for format in FORMATS {
        for (tokens, cols, outs) in [
            (0, 32, 3),
            (1, 32, 1),
            (1, 64, 64),
            (1, 96, 65),
            (1, 44, 7),
            (2, 160, 130),
            (5, 256, 63),
            (33, 32, 65),
            (40, 96, 128),
            (31, 33, 3),
        ] {
            all.push(Operation::Linear { format, tokens, cols, outs });
        }
    }
    check("linear_in_every_format_and_shape", &all);
}

#[test]
fn a_few_outputs_are_not_multiplied_in_fp16() {
    let test = "a_few_outputs_are_not_multiplied_in_fp16";
    for gpu in all(test).iter().filter(|gpu| gpu.forms.half) {
        for format in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
            let error = |outs| Operation::Linear { format, tokens: 1, cols: 96, outs }.error(gpu).unwrap();
            let (few, many) = (error(63), error(64));
            assert!(few <= BOUND && many > BOUND, "{format}: {few:e}, {many:e}");
        }
    }
}

#[test]
fn linear_at_the_shapes_of_a_1b_model() {
    let mut all = vec![];
    for format in [DType::F16, DType::Q8_0, DType::Q4_0] {
        all.push(Operation::Linear { format, tokens: 1, cols: 2048, outs: 512 });
    }
    all.push(Operation::Linear { format: DType::Q4_0, tokens: 33, cols: 2048, outs: 192 });
    check("linear_at_the_shapes_of_a_1b_model", &all);
}

#[test]
fn embedding_rows_in_every_format() {
    let mut all = Vec::new();
    for format in FORMATS {
        for (vocab, cols, tokens) in [(1, 32, 1), (65, 64, 7), (130, 45, 3), (10, 32, 0)] {
            all.push(Operation::Embed { format, vocab, cols, tokens });
        }
    }
    check("embedding_rows_in_every_format", &all);
}

#[test]
fn norm_rope_and_elements() {
    let mut all = Vec::new();
    for (rows, cols) in [(0, 5), (1, 1), (1, 2048), (3, 63), (2, 257), (70, 64)] {
        all.push(Operation::RmsNorm { rows, cols });
        all.push(Operation::AddRmsNorm { rows, cols });
        all.push(Operation::Swiglu { rows, cols });
        all.push(Operation::Add { rows, cols });
        all.push(Operation::CopyRows { from: rows / 2, count: rows, cols });
    }
    for (rows, heads, head_dim) in [(0, 1, 2), (1, 1, 2), (3, 5, 6), (2, 32, 64), (65, 2, 128)] {
        all.push(Operation::Rope { rows, heads, head_dim });
    }
    check("norm_rope_and_elements", &all);
}

#[test]
fn attention_and_the_cache_in_every_type() {
    let mut all = Vec::new();
    for types in KvTypes::various() {
        for (kv_heads, group, head_dim, at, rows, keep) in [
            (1, 1, 2, 0, 1, vec![]),
            (1, 1, 8, 5, 0, first(5)),
            (2, 4, 8, 20, 1, first(20)),
            (2, 1, 10, 40, 3, vec![0..4, 9..37]),
            (1, 4, 64, 130, 1, first(130)),
            (1, 3, 64, 300, 2, first(300)),
            (2, 2, 64, 70, 19, vec![3..3, 1..70]),
            (1, 1, 128, 5, 70, first(5)),
            (1, 2, 80, 17, 9, vec![16..17, 0..16]),
            (1, 1, 256, 3, 10, first(3)),
            (1, 1, 258, 3, 10, first(3)),
        ] {
            all.push(Operation::Attention { types, kv_heads, group, head_dim, at, rows, keep });
        }
    }
    check("attention_and_the_cache_in_every_type", &all);
}

/// One of each kernel, for `scripts/oclgrind.sh`: a simulated device takes seconds for what others do in no time.
#[test]
fn small_shapes() {
    if Device::list().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: small_shapes: there is no OpenCL device");
        return;
    }
    for preset in [Preset::Plain, Preset::Fast, Preset::IntegerDot, Preset::Half, Preset::Images] {
        if preset == Preset::Images && !Device::choose(None).unwrap().has_images() {
            continue;
        }
        let gpu = OpenClBackend::new(OpenClOptions { preset: Some(preset), ..options() }).unwrap();
        let mut all = vec![
            Operation::RmsNorm { rows: 2, cols: 33 },
            Operation::Rope { rows: 2, heads: 3, head_dim: 6 },
            Operation::Swiglu { rows: 1, cols: 33 },
            Operation::Add { rows: 1, cols: 33 },
            Operation::AddRmsNorm { rows: 2, cols: 33 },
            Operation::Linear { format: DType::Q8_0, tokens: 2, cols: 33, outs: 3 },
            Operation::CopyRows { from: 1, count: 2, cols: 5 },
            Operation::Embed { format: DType::Q4_1, vocab: 67, cols: 33, tokens: 2 },
        ];
        for format in FORMATS {
            for (tokens, cols, outs) in [(1, 64, 3), (1, 32, 65), (5, 32, 65)] {
                all.push(Operation::Linear { format, tokens, cols, outs });
            }
        }
        for types in KvTypes::various() {
            for (at, rows) in [(3, 1), (130, 1), (2, 9)] {
                let keep = first(at);
                all.push(Operation::Attention { types, kv_heads: 1, group: 2, head_dim: 6, at, rows, keep });
            }
        }
        for operation in all {
            let error = operation.error(&gpu).unwrap();
            let bound = bound(&gpu);
            assert!(error <= bound, "{operation:?}: {error:e}");
        }
        let (x, values) = (tensor(&gpu, 1, 1, 1500).unwrap(), numbers(1, 1500));
        assert_eq!(gpu.largest(&x, 0, &mut []).unwrap(), Largest::of(&values));
        let (mut got, mut right) = (Top::default(), Top::default());
        gpu.top(&x, 0, 2, &mut [], &mut got).unwrap();
        right.find(&values, 2);
        assert_eq!(got.sorted(), right.sorted());
    }
}

#[test]
fn a_perturbed_kernel_is_far_beyond_the_bound() {
    let test = "a_perturbed_kernel_is_far_beyond_the_bound";
    let Some(gpu) = gpu(test) else { return };
    let linear = |format, tokens| Operation::Linear { format, tokens, cols: 64, outs: 65 };
    let mut cases = vec![
        ("rms_norm", Preset::Fast, Operation::RmsNorm { rows: 2, cols: 64 }),
        ("add_rms_norm", Preset::Fast, Operation::AddRmsNorm { rows: 2, cols: 64 }),
        ("embed", Preset::Fast, Operation::Embed { format: DType::F32, vocab: 9, cols: 32, tokens: 2 }),
        ("linear_plain", Preset::Plain, linear(DType::Q4_0, 1)),
        ("linear_row", Preset::Fast, linear(DType::Q8_0, 1)),
        ("linear_tile", Preset::Fast, linear(DType::F16, 9)),
        ("linear_dot", Preset::IntegerDot, linear(DType::Q4_1, 1)),
        ("linear_dot_tile", Preset::IntegerDot, linear(DType::Q4_0, 9)),
        ("quantize", Preset::IntegerDot, linear(DType::Q8_0, 9)),
        ("linear_half", Preset::Half, linear(DType::Q4_1, 1)),
        ("halve", Preset::Half, linear(DType::Q8_0, 1)),
        ("swiglu", Preset::Fast, Operation::Swiglu { rows: 1, cols: 9 }),
    ];
    if gpu.device().subgroups {
        cases.push(("linear_sub", Preset::SubGroups, linear(DType::Q8_0, 1)));
        cases.push(("subgroups", Preset::SubGroups, Operation::RmsNorm { rows: 2, cols: 64 }));
    }
    if gpu.device().has_images() {
        cases.push(("linear_image", Preset::Images, linear(DType::F16, 1)));
    }
    for (kernel, preset, operation) in cases {
        let options = OpenClOptions { perturb: Some(kernel.to_owned()), preset: Some(preset), ..options() };
        let error = operation.error(&OpenClBackend::new(options).unwrap()).unwrap();
        assert!(error > 2.0 * BOUND_ROUNDED, "{kernel}: {error:e}");
    }
}

#[test]
fn a_mapped_buffer_is_the_buffer_itself() {
    let Some(gpu) = gpu("a_mapped_buffer_is_the_buffer_itself") else { return };
    let (mut x, mut acc) = (tensor(gpu, 1, 2, 3).unwrap(), gpu.tensor(2, 3).unwrap());
    let written = [1.0f32, -2.0, 3.5, 0.0, 5.0, 6.0];
    let place;
    {
        let mut mapped = acc.buffer_mut().map().unwrap();
        place = mapped.as_ptr();
        assert!(mapped.iter().all(|&b| b == 0), "fresh memory is zero");
        for (to, v) in mapped.as_chunks_mut::<4>().0.iter_mut().zip(written) {
            *to = v.to_le_bytes();
        }
    }
    // What the host wrote, a kernel reads; what the kernel writes, the host reads.
    gpu.add(&x, &mut acc).unwrap();
    let expected: Vec<f32> = written.iter().zip(numbers(1, 6)).map(|(a, b)| a + b).collect();
    assert_eq!(values(gpu, &acc).unwrap(), expected);
    let mapped = acc.buffer_mut().map().unwrap();
    // Where both share one memory, the host always sees the same.
    assert!(!gpu.device().unified || mapped.as_ptr() == place);
    let seen: Vec<f32> = mapped.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!(seen[..6], expected);
    drop(mapped);
    gpu.add(&acc, &mut x).unwrap();
    let twice: Vec<f32> = expected.iter().zip(numbers(1, 6)).map(|(a, b)| b + a).collect();
    assert_eq!(values(gpu, &x).unwrap(), twice);
}

#[test]
fn operations_only_queue_and_a_download_waits_once() {
    let Some(_) = gpu("operations_only_queue_and_a_download_waits_once") else { return };
    // A device of its own: other tests count on theirs.
    let gpu = OpenClBackend::new(options()).unwrap();
    let w = gpu.prepare(&stored(DType::Q4_0, 65, 64, 1).unwrap(), DType::Q4_0).unwrap();
    let (mut x, mut out) = (gpu.tensor(1, 64).unwrap(), gpu.tensor(1, 65).unwrap());
    let mut step = |ids: &[u32]| {
        let before = gpu.counters();
        gpu.embed(&w, ids, &mut x).unwrap();
        gpu.linear(&x, &mut [LinearPart { weight: &w, bias: None, out: &mut out }]).unwrap();
        let queued = gpu.counters() - before;
        let mut row = [0.0; 65];
        gpu.download(&out, 0, &mut row).unwrap();
        (queued, gpu.counters() - before)
    };
    step(&[3]);
    let (queued, done) = step(&[7]);
    assert_eq!(queued, Counters { launches: 2, written: 4, ..Counters::default() });
    assert_eq!(done, Counters { blocking: 1, read: 65 * 4, ..queued });
    // The largest value comes back as two numbers. Its memory is made once.
    gpu.largest(&out, 0, &mut []).unwrap();
    let before = gpu.counters();
    gpu.largest(&out, 0, &mut []).unwrap();
    let expected = Counters { launches: 2, blocking: 1, read: 8, ..Counters::default() };
    assert_eq!(gpu.counters() - before, expected);
}

#[test]
fn a_large_weight_is_split_by_rows_and_too_large_ones_are_refused() {
    let Some(_) = gpu("a_large_weight_is_split_by_rows_and_too_large_ones_are_refused") else { return };
    // 64 rows of 64 f32 values are 16 KiB: two tiles a buffer.
    let gpu = OpenClBackend::new(OpenClOptions { max_buffer: Some(40_000), ..options() }).unwrap();
    let tensor = stored(DType::F32, 300, 64, 1).unwrap();
    let w = gpu.prepare(&tensor, DType::F32).unwrap();
    assert_eq!((w.parts.len(), w.rows(), w.parts[2].rows), (3, 300, 44));
    for operation in [
        Operation::Linear { format: DType::F32, tokens: 2, cols: 64, outs: 300 },
        Operation::Embed { format: DType::Q8_0, vocab: 700, cols: 64, tokens: 9 },
    ] {
        let error = operation.error(&gpu).unwrap();
        assert!(error <= BOUND, "{operation:?}: {error:e}");
    }
    let wide = HostTensor::from_f32("w", Shape::from([2, 1000]), &[0.0; 2000]).unwrap();
    let refused = gpu.prepare(&wide, DType::F32).err().unwrap().to_string();
    assert!(refused.contains("40000") && refused.contains("--weight-dtype"), "{refused}");
    let refused = gpu.alloc(DType::F32, 20_000).err().unwrap().to_string();
    assert!(refused.contains("buffers of up to 40000 bytes"), "{refused}");
}

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
fn programs_come_out_of_the_cache_and_damaged_ones_are_built_anew() {
    let Some(_) = gpu("programs_come_out_of_the_cache_and_damaged_ones_are_built_anew") else { return };
    let dir = tempfile::tempdir().unwrap();
    let cache = DeviceCache::new(vec![dir.path().to_owned()]);
    let start = || {
        // Without the self-test, which compiles some kernels several times.
        let options =
            OpenClOptions { cache: cache.clone(), preset: Some(Preset::Fast), ..OpenClOptions::default() };
        let gpu = OpenClBackend::new(options).unwrap();
        let error = Operation::RmsNorm { rows: 2, cols: 65 }.error(&gpu).unwrap();
        assert!(error <= BOUND, "{error:e}");
        gpu.counters().builds
    };
    let first = start();
    assert!(first > 0);
    assert_eq!(start(), 0);
    let entries: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(entries.len() as u64, first);
    for (i, path) in entries.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        match i % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.iter_mut().for_each(|b| *b ^= 0x55),
            _ => bytes.clear(),
        }
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(start(), first);
    assert_eq!(start(), 0);
}

#[test]
fn the_largest_value_is_the_one_that_the_host_would_find() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for gpu in all("the_largest_value_is_the_one_that_the_host_would_find") {
        let mut rows = vec![
            vec![1.0],
            vec![-inf],
            vec![nan],
            vec![-0.0, 0.0],
            vec![0.0, -0.0],
            vec![2.0, 5.0, 5.0, nan, nan],
            vec![3.0, inf, inf],
            vec![-inf; 5000],
            numbers(3, 128_256),
            vec![1.0; 3000],
        ];
        let mut late = numbers(4, 70_000);
        late[69_999] = 7.0;
        late[65_000] = 7.0;
        late[33] = nan;
        rows.push(late);
        for row in rows {
            let mut x = gpu.tensor(2, row.len()).unwrap();
            gpu.upload(&row, &mut x, 1).unwrap();
            assert_eq!(gpu.largest(&x, 1, &mut []).unwrap(), Largest::of(&row), "{} values", row.len());
        }
    }
}

#[test]
fn the_largest_few_are_those_that_the_host_would_find() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for gpu in all("the_largest_few_are_those_that_the_host_would_find") {
        let noise = numbers(3, 128_256);
        let change = |f: &dyn Fn(usize, f32) -> f32| -> Vec<f32> {
            noise.iter().enumerate().map(|(i, &v)| f(i, v)).collect()
        };
        // Which are found on the device, as the bytes that come back tell: not where too many are alike.
        let rows = [
            (noise.clone(), true),
            (numbers(4, 32_000), true),
            (change(&|i, v| if i % 7919 == 3 { inf } else { v }), true),
            (change(&|i, v| if i == 70_000 || i == 90_000 { nan } else { v }), true),
            // Many ties at the bar: 129 values in all groups are 1, of which 40 with the lowest indices count.
            (change(&|i, v| if i % 1000 == 7 { 1.0 } else { v.min(0.9) }), true),
            (change(&|i, _| if i < 30 { i as f32 } else { -inf }), false),
            (change(&|_, _| 0.5), false),
            (numbers(5, 500), false),
        ];
        for (row, (values, on_device)) in rows.into_iter().enumerate() {
            let mut x = gpu.tensor(2, values.len()).unwrap();
            gpu.upload(&values, &mut x, 1).unwrap();
            for count in [2, 40, 62] {
                let (mut scratch, mut got, mut right) = (values.clone(), Top::default(), Top::default());
                scratch.fill(7.0);
                gpu.top(&x, 1, count, &mut scratch, &mut got).unwrap();
                right.find(&values, count);
                assert_eq!(got.nan(), right.nan(), "row {row}, {count}");
                if right.nan().is_none() {
                    assert_eq!(got.sorted(), right.sorted(), "row {row}, {count}");
                }
                assert_eq!(scratch[0] == 7.0, on_device, "row {row}, {count}");
            }
        }
    }
}

#[test]
fn a_wrong_kernel_is_found_on_first_use_and_replaced_or_the_device_is_refused() {
    let test = "a_wrong_kernel_is_found_on_first_use_and_replaced_or_the_device_is_refused";
    let Some(_) = gpu(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let cache = DeviceCache::new(vec![dir.path().to_owned()]);
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
    // The second launch is the last one that works; nobody has waited for it yet.
    let mut told = vec![gpu.add(&x, &mut acc).and_then(|()| gpu.add(&x, &mut acc)).unwrap_err().to_string()];
    told.push(gpu.download(&acc, 0, &mut [0.0; 5]).unwrap_err().to_string());
    told.push(gpu.alloc(DType::F32, 4).unwrap_err().to_string());
    for said in told {
        let parts =
            ["CL_OUT_OF_RESOURCES", gpu.device().name.as_str(), "gave up or was lost", "--backend cpu"];
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
    says(refused, &[name, "1048576 bytes of memory", "524288 are taken", "--weight-dtype", "--max-seq-len"]);
    drop(first);
    Memory::new(&runtime, 1 << 20, "a test").unwrap();
    // A program that does not compile.
    let broken = program::Source { file: "broken.cl", parts: &["__kernel void x(", "int) {"], has: "x" };
    let refused = program::Program::build(&runtime, &broken, "", &DeviceCache::default()).err().unwrap();
    says(
        refused.to_string(),
        &[name, "kernels/broken.cl", "CL_BUILD_PROGRAM_FAILURE", "error", "--backend cpu"],
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
    says(refused.to_string(), &["clEnqueueNDRangeKernel (good)", name, "--backend cpu"]);
    // A device that the kernels cannot run on.
    for lack in [
        Device { version: "OpenCL 1.1 old".into(), ..gpu.device().clone() },
        Device { max_group: 32, ..gpu.device().clone() },
        Device { local_memory: 8192, ..gpu.device().clone() },
    ] {
        says(Runtime::new(lack, false, None).unwrap_err().to_string(), &[name, "needed", "--device"]);
    }
}
