//! The oracle itself: what is right passes, and whatever is made wrong is found.

use std::time::Duration;

use super::*;
use crate::backend::cpu::{CpuBackend, CpuOptions, Isa};
use crate::backend::reference::ReferenceBackend;
use crate::core::{Backend, CoreError, DType, Result};

/// Those of the quick list that take no time.
fn small() -> Vec<Case> {
    let large = ["2048", "8192", "32/8x64", "70001"];
    let mut all = cases(ShapeList::Quick);
    all.retain(|case| !large.iter().any(|text| case.work.shape().contains(text)));
    all
}

fn tested<B: Backend>(backend: B, rounding: InputRounding) -> Tested<B> {
    Tested { backend, device: "here".to_owned(), variant: "a test".to_owned(), rounding }
}

fn cpu(isa: Isa) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), isa: Some(isa) }).unwrap()
}

fn verdict(case: &Case, subject: &dyn Subject) -> Verdict {
    Trial::new(case).unwrap().check(subject).unwrap_or_else(|e| panic!("the reference cannot do {case}: {e}"))
}

#[test]
fn the_cpu_passes_with_every_instruction_set() {
    let subjects: Vec<_> =
        Isa::available().into_iter().map(|isa| tested(cpu(isa), InputRounding::Int8)).collect();
    for case in small() {
        let trial = Trial::new(&case).unwrap();
        for subject in &subjects {
            let v = trial.check(subject).unwrap();
            assert!(v.passed, "{case} on {}: {v:?}", subject.backend.describe());
        }
    }
}

#[test]
fn every_operator_that_is_made_wrong_is_caught_in_every_format() {
    let all = small();
    for operator in Operator::ALL {
        let subject = tested(Perturbed::new(ReferenceBackend, operator), InputRounding::Int8);
        let cases: Vec<&Case> = all.iter().filter(|c| c.work.operator() == operator).collect();
        let mut formats: Vec<Option<DType>> = cases.iter().map(|c| c.work.dtype()).collect();
        formats.dedup();
        assert!(!formats.is_empty(), "{operator}");
        for format in formats {
            let of_format = cases.iter().filter(|c| c.work.dtype() == format);
            let (mut passed, mut failed) = (0, 0);
            for case in of_format {
                *if verdict(case, &subject).passed { &mut passed } else { &mut failed } += 1;
            }
            assert!(failed > 0, "{operator} {format:?}: {passed} cases passed");
        }
    }
}

#[test]
fn what_is_not_made_wrong_passes_beside_what_is() {
    let subject = tested(Perturbed::new(ReferenceBackend, Operator::Rope), InputRounding::Int8);
    for case in small().iter().filter(|c| c.work.operator() == Operator::Glu) {
        assert!(verdict(case, &subject).passed, "{case}");
    }
}

fn linear(dtype: DType, rows: usize) -> Case {
    let work = Work::Linear { dtype, rows, cols: 96, outs: vec![20, 3], bias: true };
    Case { work, values: Values::Random }
}

#[test]
fn a_quantized_product_is_compared_with_inputs_rounded_alike() {
    let isa = Isa::available().pop().unwrap();
    for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
        let case = linear(dtype, 5);
        assert!(verdict(&case, &tested(cpu(isa), InputRounding::Int8)).passed);
        let v = verdict(&case, &tested(cpu(isa), InputRounding::None));
        let nmse = v.difference.unwrap().nmse;
        // Rounding to steps of 1/127 costs a third of a step squared: some 1e-5 of the signal.
        assert!(!v.passed && (1e-6..1e-4).contains(&nmse), "{dtype}: {nmse:e}");
    }
    if Isa::available_by_name().contains(&Isa::Avx512Bf16) {
        for dtype in [DType::F16, DType::BF16] {
            let subject = |rounding| tested(cpu(Isa::Avx512Bf16), rounding);
            for rows in [1, 5] {
                let v = verdict(&linear(dtype, rows), &subject(InputRounding::Int8AndBf16));
                assert!(v.passed, "{dtype} x{rows}: {v:?}");
                // The bound is for devices that compute in 16 bits; but the difference is plain.
                let other = verdict(&linear(dtype, rows), &subject(InputRounding::Int8));
                let (near, far) = (v.difference.unwrap().nmse, other.difference.unwrap().nmse);
                assert!(far > 1e-7 && far > 1e4 * near, "{dtype} x{rows}: {near:e} {far:e}");
            }
        }
    }
    let plain = linear(DType::F16, 5);
    assert!(verdict(&plain, &tested(cpu(isa), InputRounding::None)).passed);
}

/// Answers the same whatever it is asked.
struct Stub(fn() -> Result<Outcome>);

impl Subject for Stub {
    fn backend(&self) -> &str {
        "stub"
    }

    fn device(&self) -> &str {
        "nowhere"
    }

    fn variant(&self) -> &str {
        "none"
    }

    fn rounding(&self) -> InputRounding {
        InputRounding::Int8
    }

    fn run(&self, _: &Work, _: &Operands) -> Result<Outcome> {
        (self.0)()
    }
}

#[test]
fn errors_and_results_of_another_size_fail() {
    let case = linear(DType::F32, 2);
    let fault = |answer| {
        let v = verdict(&case, &Stub(answer));
        assert!(!v.passed && v.difference.is_none());
        v.fault.unwrap()
    };
    let error = fault(|| {
        Err(CoreError::Backend { backend: "stub", reason: "device lost".to_owned(), remedies: &[] })
    });
    assert_eq!(error, "stub backend: device lost");
    assert_eq!(
        fault(|| Ok(Outcome { values: vec![0.0; 45], cols: 23, time: Duration::ZERO })),
        "oracle: result's length is 45, expected 46"
    );
    assert_eq!(
        fault(|| Ok(Outcome { values: vec![0.0; 46], cols: 46, time: Duration::ZERO })),
        "rows of another length"
    );
    let zeros = Stub(|| Ok(Outcome { values: vec![0.0; 46], cols: 23, time: Duration::ZERO }));
    let v = verdict(&case, &zeros);
    assert!(!v.passed && v.difference.unwrap().max == 1.0, "zeros are all of the signal away");
}

#[test]
fn lists_hold_every_operator_in_every_format_without_tokens_and_with_every_kind_of_numbers() {
    for list in [ShapeList::Quick, ShapeList::Full] {
        let all = cases(list);
        let names: Vec<String> = all.iter().map(Case::to_string).collect();
        let has = |start: &str, end: &str| names.iter().any(|n| n.starts_with(start) && n.ends_with(end));
        for operator in [
            "transfer",
            "rms_norm",
            "rms_norm_in_place",
            "rope",
            "glu silu",
            "glu gelu_tanh",
            "scale",
            "softcap",
            "add",
        ] {
            assert!(has(operator, " x0 random"), "{operator}");
        }
        for dtype in ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] {
            for operator in ["linear", "embed"] {
                assert!(has(&format!("{operator} {dtype} "), " x0 random"), "{operator} {dtype}");
                for values in Values::ALL {
                    assert!(
                        has(&format!("{operator} {dtype} "), values.name()),
                        "{operator} {dtype} {values:?}"
                    );
                }
            }
            assert!(has(&format!("linear {dtype} 2048->2048+512+512 x1 "), "random"));
            assert!(has(&format!("prepare {dtype} from q4_1"), "random"));
        }
        for dtype in ["f32", "f16", "q8_0", "q4_0"] {
            for operator in ["kv_append", "kv_copy", "kv_move", "attention"] {
                assert!(has(&format!("{operator} {dtype} 6/2x17 "), "denormal"), "{operator} {dtype}");
                assert!(has(&format!("{operator} {dtype} 32/8x64 "), "random"), "{operator} {dtype}");
            }
        }
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "no case twice");
        assert_eq!(has("attention f16 32/8x64 d32767 x1", "random"), list == ShapeList::Full);
        assert_eq!(has("linear q4_0 2048->128256 x1", "random"), list == ShapeList::Full);
    }
}

#[test]
fn operators_are_read_by_name() {
    for operator in Operator::ALL {
        assert_eq!(operator.name().parse(), Ok(operator));
    }
    let error = "matmul".parse::<Operator>().unwrap_err().to_string();
    assert!(error.contains("'matmul'") && error.contains("kv_copy"), "{error}");
}
