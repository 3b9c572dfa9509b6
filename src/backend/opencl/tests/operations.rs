//! Every operation against the reference backend, at sizes that are awkward for tiles and groups.

use super::*;

#[test]
fn linear_in_every_format_and_shape() {
    let mut all = Vec::new();
    for format in formats() {
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
        for format in formats().filter(|format| format.is_quantized()) {
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
    for format in formats() {
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
        all.extend(Activation::ALL.map(|activation| Operation::Glu { activation, rows, cols }));
        all.push(Operation::Scale { rows, cols });
        all.push(Operation::Softcap { rows, cols });
        all.push(Operation::Add { rows, cols });
        all.push(Operation::CopyRows { from: rows / 2, count: rows, cols });
    }
    for (rows, heads, head_dim) in [(0, 1, 2), (1, 1, 2), (3, 5, 6), (2, 32, 64), (65, 2, 128)] {
        all.push(Operation::Rope { rows, heads, head_dim, turned: head_dim });
        all.push(Operation::HeadNorm { rows, heads, head_dim });
    }
    for (rows, heads, head_dim, turned) in [(1, 1, 3, 2), (3, 5, 80, 32), (9, 2, 96, 48), (2, 3, 7, 0)] {
        all.push(Operation::Rope { rows, heads, head_dim, turned });
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
            (1, 2, 80, 17, 9, vec![0..1, 2..17]),
            (1, 1, 256, 3, 10, first(3)),
            (1, 1, 258, 3, 10, first(3)),
        ] {
            for (window, softcap) in [(None, None), (Some(1), None), (Some(7), Some(0.4)), (Some(200), None)]
            {
                let keep = keep.clone();
                all.push(Operation::Attention {
                    types,
                    kv_heads,
                    group,
                    head_dim,
                    window,
                    softcap,
                    at,
                    rows,
                    keep,
                });
            }
        }
    }
    check("attention_and_the_cache_in_every_type", &all);
}

/// One of each kernel, for `scripts/oclgrind.sh`: a simulated device takes seconds for what others do in no time.
#[test]
fn small_shapes() {
    if Device::list().is_err() {
        crate::skip::skipped("small_shapes", "there is no OpenCL device");
        return;
    }
    for preset in [Preset::Plain, Preset::Fast, Preset::IntegerDot, Preset::Half, Preset::Images] {
        if preset == Preset::Images && !Device::choose(None).unwrap().has_images() {
            continue;
        }
        let gpu = OpenClBackend::new(OpenClOptions { preset: Some(preset), ..options() }).unwrap();
        let mut all = vec![
            Operation::RmsNorm { rows: 2, cols: 33 },
            Operation::HeadNorm { rows: 2, heads: 3, head_dim: 5 },
            Operation::Rope { rows: 2, heads: 3, head_dim: 6, turned: 6 },
            Operation::Rope { rows: 2, heads: 3, head_dim: 6, turned: 2 },
            Operation::Glu { activation: Activation::Silu, rows: 1, cols: 33 },
            Operation::Glu { activation: Activation::GeluTanh, rows: 1, cols: 33 },
            Operation::Scale { rows: 1, cols: 33 },
            Operation::Softcap { rows: 1, cols: 33 },
            Operation::Add { rows: 1, cols: 33 },
            Operation::AddRmsNorm { rows: 2, cols: 33 },
            Operation::Linear { format: DType::Q8_0, tokens: 2, cols: 33, outs: 3 },
            Operation::CopyRows { from: 1, count: 2, cols: 5 },
            Operation::Embed { format: DType::Q4_1, vocab: 67, cols: 33, tokens: 2 },
        ];
        for format in formats() {
            for (tokens, cols, outs) in [(1, 64, 3), (1, 32, 65), (5, 32, 65)] {
                all.push(Operation::Linear { format, tokens, cols, outs });
            }
        }
        for types in KvTypes::various() {
            for (at, rows) in [(3, 1), (130, 1), (2, 9)] {
                for (window, softcap) in [(None, None), (Some(2), Some(0.4))] {
                    let (kv_heads, group, head_dim, keep) = (1, 2, 6, first(at));
                    all.push(Operation::Attention {
                        types,
                        kv_heads,
                        group,
                        head_dim,
                        window,
                        softcap,
                        at,
                        rows,
                        keep,
                    });
                }
            }
        }
        for operation in all {
            let error = operation.error(&gpu).unwrap();
            let bound = bound(&gpu);
            assert!(error <= bound, "{preset:?}, {operation:?}: {error:e}");
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
        ("glu", Preset::Fast, Operation::Glu { activation: Activation::Silu, rows: 1, cols: 9 }),
        ("scale", Preset::Fast, Operation::Scale { rows: 1, cols: 9 }),
        ("softcap", Preset::Fast, Operation::Softcap { rows: 1, cols: 9 }),
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
