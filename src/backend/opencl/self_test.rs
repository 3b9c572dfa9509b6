//! The first use of a device: every kernel against the reference backend, and which of them is fastest.
//!
//! What was found is kept, so that later starts test nothing. A form that computes wrongly is not used; if the plain
//! form of an operation does, the device is refused.

use std::sync::Arc;
use std::time::Instant;

use super::OpenClBackend;
use super::compare::{Operation, first, stored, tensor};
use super::error::{OpenClError, Result as DeviceResult};
use super::forms::{Forms, KV_BLOCKS, sub_slices};
use super::kernels::Kernels;
use super::programs::Programs;
use crate::core::{
    Activation, AttentionParams, Backend, CoreError, DType, HostTensor, KvLayer, KvLayout, Largest,
    LinearPart, PageId, Result, Run, Shape, Top,
};

/// The largest error that is taken for rounding (see [`Operation::error`]). A wrong index, scale or term is off by
/// orders of magnitude more.
pub(super) const BOUND: f64 = 1e-4;

/// The same where inputs are rounded to int8: what is between two int8 may fall to either side.
const BOUND_ROUNDED: f64 = 5e-3;

/// The same where inputs and products are rounded to 11 bits.
const BOUND_HALF: f64 = 1e-3;

/// The same over keys and values in blocks: what is between two quants may fall to either side.
const BOUND_BLOCKS: f64 = 2e-2;

/// Formats of weights that the first test covers; the others are tested when a weight in one of them comes, since a
/// compiler takes long for all.
pub(super) const FIRST: [DType; 4] = [DType::F32, DType::F16, DType::Q8_0, DType::Q4_0];

/// Types of keys and values.
const FLOATS: [DType; 2] = [DType::F32, DType::F16];
const BLOCKS: [DType; 2] = [DType::Q8_0, DType::Q4_0];

/// How much faster a variant has to be that not every device has, to be worth it.
const WORTH: f64 = 1.1;

/// What is known of a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub forms: Forms,
    /// What computes wrongly or not at all, although the device should have it.
    pub bad: Vec<String>,
    /// The first operation that is wrong even in its plain form, and how.
    pub wrong: Option<(String, String)>,
}

/// Runs everything. `gpu`'s forms and kernels are changed on the way, and are the verdict's in the end.
///
/// # Errors
/// A device that gives up, or refuses a kernel in its plain form.
pub(super) fn examine(gpu: &mut OpenClBackend, programs: &Arc<Programs>) -> Result<Verdict> {
    let fast = gpu.forms;
    let refused = |gpu: &mut OpenClBackend, (kernel, detail): (&str, String)| {
        gpu.forms = Forms::all(false, fast.slices);
        Verdict { forms: gpu.forms, bad: Vec::new(), wrong: Some((kernel.to_owned(), detail)) }
    };
    gpu.forms = Forms::all(false, fast.slices);
    for operation in plain() {
        if let Some(detail) = fault(gpu, &operation)? {
            return Ok(refused(gpu, (operation.kernel(), detail)));
        }
    }
    if let Some(detail) = largest_fault(gpu)? {
        return Ok(refused(gpu, ("argmax", detail)));
    }
    let mut bad = Vec::new();
    // Each faster form by itself; one that the device does not even take counts as wrong.
    let mut built = fast;
    for (name, flag) in Forms::FLAGS {
        let operations = faster(name);
        if !*flag(&mut gpu.forms.clone()) && !operations.is_empty() {
            *flag(&mut gpu.forms) = true;
            if !(*flag(&mut built) && right(gpu, &operations)) {
                *flag(&mut gpu.forms) = false;
                bad.push(name.to_owned());
            }
        }
    }
    tune(gpu, programs, &mut bad)?;
    Ok(Verdict { forms: gpu.forms, bad, wrong: None })
}

/// Whether all operations give what they should.
fn right(gpu: &OpenClBackend, operations: &[Operation]) -> bool {
    operations.iter().all(|o| matches!(fault(gpu, o), Ok(None)))
}

/// What is wrong with an operation, if anything.
fn fault(gpu: &OpenClBackend, operation: &Operation) -> Result<Option<String>> {
    let error = operation.error(gpu)?;
    let blocks = matches!(operation, Operation::Attention { types, .. } if types.k.is_quantized());
    let bound = match gpu.forms.dot {
        _ if blocks => BOUND_BLOCKS,
        true => BOUND_ROUNDED,
        false if gpu.forms.half => BOUND_HALF,
        false => BOUND,
    };
    // Not `>`: NaN is wrong too.
    Ok(if error <= bound { None } else { Some(format!("error {error:.1e} at {operation:?}")) })
}

fn largest_fault(gpu: &OpenClBackend) -> Result<Option<String>> {
    let mut top = [Top::default(), Top::default()];
    for cols in [1, 63, 5000, 30_000] {
        let x = tensor(gpu, 7, 2, cols)?;
        let mut row = vec![0.0; cols];
        gpu.download(&x, 1, &mut row)?;
        let (got, right) = (gpu.largest(&x, 1, &mut row.clone())?, Largest::of(&row));
        if got != right {
            return Ok(Some(format!("{got:?} instead of {right:?} of {cols} values")));
        }
        gpu.top(&x, 1, 20, &mut row.clone(), &mut top[0])?;
        top[1].find(&row, 20);
        let [got, right] = top.each_ref().map(Top::sorted);
        if got != right {
            return Ok(Some(format!("{got:?} instead of {right:?} as the most of {cols} values")));
        }
    }
    Ok(None)
}

/// Every operation at sizes that fill no group.
fn plain() -> Vec<Operation> {
    let mut all = vec![
        Operation::RmsNorm { rows: 3, cols: 70 },
        Operation::HeadNorm { rows: 3, heads: 5, head_dim: 14 },
        Operation::Rope { rows: 3, heads: 5, head_dim: 6, turned: 6 },
        Operation::Rope { rows: 3, heads: 5, head_dim: 11, turned: 6 },
        Operation::Scale { rows: 3, cols: 67 },
        Operation::Softcap { rows: 3, cols: 67 },
        Operation::Add { rows: 3, cols: 67 },
        Operation::CopyRows { from: 2, count: 3, cols: 67 },
    ];
    all.extend(Activation::ALL.map(|activation| Operation::Glu { activation, rows: 3, cols: 67 }));
    for format in FIRST {
        all.push(Operation::Embed { format, vocab: 67, cols: 45, tokens: 3 });
        all.push(Operation::Linear { format, tokens: 3, cols: 75, outs: 67 });
    }
    for dtype in [DType::F32, DType::F16] {
        let (types, keep) = (dtype.into(), vec![1..4, 9..20]);
        for (window, softcap) in [(None, None), (Some(4), Some(0.3))] {
            let (at, rows, keep) = (20, 3, keep.clone());
            all.push(Operation::Attention {
                types,
                kv_heads: 2,
                group: 3,
                head_dim: 10,
                window,
                softcap,
                at,
                rows,
                keep,
            });
        }
    }
    all
}

/// What is wrong with the kernels of a format, in the forms that are used.
///
/// # Errors
/// What the device reports.
pub(super) fn format_fault(gpu: &OpenClBackend, format: DType) -> Result<Option<String>> {
    let (cols, outs) = (96, 67);
    let linear = |tokens| Operation::Linear { format, tokens, cols, outs };
    let odd = Operation::Linear { format, tokens: 3, cols: 75, outs };
    for operation in [Operation::Embed { format, vocab: 67, cols: 45, tokens: 3 }, odd, linear(2), linear(37)]
    {
        if let Some(detail) = fault(gpu, &operation)? {
            return Ok(Some(detail));
        }
    }
    Ok(None)
}

/// Products with whole blocks, of each of the first formats.
fn linear(tokens: usize) -> Vec<Operation> {
    FIRST.into_iter().map(|format| Operation::Linear { format, tokens, cols: 96, outs: 67 }).collect()
}

fn attention(types: &[DType], at: usize, rows: usize) -> Vec<Operation> {
    let ways = [(None, None), (Some(at / 2), None), (Some(3), Some(0.3))];
    let of = |dtype: &DType| {
        let types = (*dtype).into();
        ways.map(|(window, softcap)| {
            let (kv_heads, group, head_dim, keep) = (2, 2, 72, first(at));
            Operation::Attention { types, kv_heads, group, head_dim, window, softcap, at, rows, keep }
        })
    };
    types.iter().flat_map(of).collect()
}

fn norms() -> Vec<Operation> {
    let heads = Operation::HeadNorm { rows: 3, heads: 5, head_dim: 14 };
    vec![Operation::RmsNorm { rows: 3, cols: 300 }, heads, Operation::AddRmsNorm { rows: 3, cols: 300 }]
}

/// Operations that take a form which every device should have.
fn faster(form: &str) -> Vec<Operation> {
    match form {
        "rms_norm" => norms(),
        "linear_row" => linear(2),
        "linear_tile" => linear(37),
        "attention_split" => [attention(&FLOATS, 17, 1), attention(&FLOATS, 200, 2)].concat(),
        "attention_tile" => attention(&FLOATS, 70, 13),
        KV_BLOCKS => [(17, 1), (200, 2), (70, 13)].map(|(at, rows)| attention(&BLOCKS, at, rows)).concat(),
        _ => Vec::new(),
    }
}

/// Tries what not every device has, and how many work-items should share a row; leaves the fastest that is right.
fn tune(gpu: &mut OpenClBackend, programs: &Arc<Programs>, bad: &mut Vec<String>) -> Result<()> {
    let device = gpu.runtime.device.clone();
    let base = gpu.forms;
    if device.subgroups && base.norm && base.attention_split {
        let sums = [norms(), attention(&FLOATS, 17, 1), attention(&FLOATS, 200, 2)].concat();
        let forms = [base, Forms { subgroups: true, ..base }];
        fastest(gpu, programs, &forms, &sums, &time_sums, ("sub-groups", bad))?;
    }
    let few = linear(2);
    if base.row {
        let base = gpu.forms;
        let halves = |most: usize| [most, most / 4, 1].into_iter().filter(|&s| s > 0);
        let rows = |slices| Forms { slices, ..base };
        let mut forms: Vec<Forms> = halves(base.slices).map(rows).collect();
        fastest(gpu, programs, &forms, &few, &time_row, ("linear_row", bad))?;
        if device.subgroups {
            let subs = |slices| Forms { linear_sub: true, ..rows(slices) };
            forms = std::iter::once(gpu.forms).chain(halves(sub_slices(base.slices)).map(subs)).collect();
            fastest(gpu, programs, &forms, &few, &time_row, ("linear_sub", bad))?;
        }
        if device.has_images() {
            let images = |slices| Forms { image: true, ..rows(slices) };
            forms = std::iter::once(gpu.forms).chain(halves(base.slices).map(images)).collect();
            fastest(gpu, programs, &forms, &few, &time_row, ("linear_image", bad))?;
        }
    }
    let most = gpu.forms.dot_slices;
    let with = |rounding: Forms| {
        let slices = [most, most / 4, 1].into_iter().filter(|&s| s > 0);
        slices.map(move |dot_slices| Forms { dot_slices, ..rounding })
    };
    if device.has_half() {
        let base = gpu.forms;
        let forms: Vec<Forms> = std::iter::once(base).chain(with(Forms { half: true, ..base })).collect();
        fastest(gpu, programs, &forms, &few, &time_row, ("linear_half", bad))?;
    }
    if device.has_dot_product() {
        let base = gpu.forms;
        let dots = with(Forms { dot: true, half: false, ..base });
        let forms: Vec<Forms> = std::iter::once(base).chain(dots).collect();
        // Rows that are no whole blocks are rounded too.
        let odd = FIRST.into_iter().map(|format| Operation::Linear { format, tokens: 3, cols: 75, outs: 67 });
        let operations = [few, linear(37), odd.collect()].concat();
        fastest(gpu, programs, &forms, &operations, &time_row, ("linear_dot", bad))?;
    }
    Ok(())
}

/// Leaves that of some forms which computes the operations rightly and is fastest. The first is what is used already; any
/// of the others that the device's compiler refuses, or that is wrong, is named in `bad`.
///
/// Each of them computes the operations with [`TIMED`], the one that is taken all: a compiler takes long for every format.
fn fastest(
    gpu: &mut OpenClBackend,
    programs: &Arc<Programs>,
    forms: &[Forms],
    operations: &[Operation],
    time: &dyn Fn(&OpenClBackend) -> Result<f64>,
    (name, bad): (&str, &mut Vec<String>),
) -> Result<()> {
    let timed = |o: &&Operation| !matches!(o, Operation::Linear { format, .. } if *format != TIMED);
    let some: Vec<Operation> = operations.iter().filter(timed).cloned().collect();
    let mut wrong = || {
        if !bad.iter().any(|b| b == name) {
            bad.push(name.to_owned());
        }
    };
    let mut times: Vec<(f64, Forms)> = Vec::new();
    for &these in forms {
        let usable = match Kernels::new(programs, &these) {
            Ok(kernels) => {
                (gpu.kernels, gpu.forms) = (kernels, these);
                times.is_empty() || right(gpu, &some)
            }
            Err(_) => false,
        };
        if usable {
            times.push((time(gpu)?, these));
        } else {
            wrong();
        }
    }
    while let Some(best) = best(&times) {
        let (_, forms) = times[best];
        (gpu.kernels, gpu.forms) = (Kernels::new(programs, &forms)?, forms);
        if best == 0 || right(gpu, operations) {
            break;
        }
        wrong();
        times.remove(best);
    }
    Ok(())
}

/// The fastest by so much that it is worth it; the first of all unless another one is.
fn best(times: &[(f64, Forms)]) -> Option<usize> {
    (0..times.len()).reduce(|best, i| if times[i].0 * WORTH < times[best].0 { i } else { best })
}

/// Seconds of what `act` puts into the queue, the least of some.
fn least_time(gpu: &OpenClBackend, mut act: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for round in 0..4 {
        let start = Instant::now();
        for _ in 0..4 {
            act()?;
        }
        gpu.finish()?;
        // The first round compiles and wakes up.
        if round > 0 {
            least = least.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(least)
}

/// The format that forms are timed with.
const TIMED: DType = DType::Q4_0;

/// A product of one row with a matrix of a size that models have.
fn time_row(gpu: &OpenClBackend) -> Result<f64> {
    const ROWS: usize = 2048;
    const COLS: usize = 2048;
    // All rows alike: what is in them does not matter.
    let one = stored(TIMED, 1, COLS, 1)?;
    let bytes = one.bytes().repeat(ROWS);
    let matrix = HostTensor::new("w", TIMED, Shape::from([ROWS, COLS]), bytes.into())?;
    let weight = gpu.prepare(&matrix, TIMED)?;
    let (x, mut out) = (tensor(gpu, 1, 1, COLS)?, gpu.tensor(1, ROWS)?);
    least_time(gpu, || gpu.linear(&x, &mut [LinearPart { weight: &weight, bias: None, out: &mut out }]))
}

/// A norm, and attention of one token over some hundred.
fn time_sums(gpu: &OpenClBackend) -> Result<f64> {
    const COLS: usize = 2048;
    let gain = HostTensor::from_f32("gain", Shape::from([COLS]), &[1.0; COLS])?;
    let gain = gpu.prepare(&gain, DType::F32)?;
    let (q, mut out) = (tensor(gpu, 1, 1, COLS)?, gpu.tensor(1, COLS)?);
    let layout = KvLayout { types: DType::F16.into(), kv_heads: 8, head_dim: 64 };
    let pages: Vec<PageId> = (0..8).map(PageId::new).collect();
    let layer = KvLayer::new(gpu, layout, pages.len())?;
    least_time(gpu, || {
        gpu.rms_norm(&q, &gain, 1e-5, &mut out)?;
        gpu.attention(
            &q,
            &layer,
            &AttentionParams::of_head_dim(64),
            &[Run { rows: 0..1, pages: &pages, len: 511 }],
            &mut out,
        )
    })
}

impl Verdict {
    /// These forms, which have not been tried.
    pub fn trusted(forms: Forms) -> Self {
        Self { forms, bad: Vec::new(), wrong: None }
    }

    /// As a line of text, for the cache.
    pub fn to_text(&self) -> String {
        let (kernel, detail) = self.wrong.clone().unwrap_or_default();
        format!("{}\t{}\t{kernel}\t{detail}", self.forms.to_text(), self.bad.join(" "))
    }

    /// The inverse of [`Self::to_text`].
    pub fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.splitn(4, '\t');
        let forms = Forms::from_text(fields.next()?)?;
        let bad = fields.next()?.split_whitespace().map(str::to_owned).collect();
        let (kernel, detail) = (fields.next()?, fields.next()?);
        let wrong = (!kernel.is_empty()).then(|| (kernel.to_owned(), detail.to_owned()));
        Some(Self { forms, bad, wrong })
    }

    /// A sentence for each form that is not used, or the refusal.
    ///
    /// # Errors
    /// [`OpenClError::Wrong`].
    pub fn judge(&self, device: &str) -> DeviceResult<Option<String>> {
        if let Some((kernel, detail)) = &self.wrong {
            let (kernel, detail) = (kernel.clone(), detail.clone());
            return Err(OpenClError::Wrong { device: device.to_owned(), kernel, detail });
        }
        Ok((!self.bad.is_empty()).then(|| {
            format!(
                "the OpenCL device '{device}' computes {} wrongly or not at all; other kernels take their place",
                self.bad.join(", ")
            )
        }))
    }
}

impl From<CoreError> for OpenClError {
    /// For what a test of the device ran into, which names the device already.
    fn from(e: CoreError) -> Self {
        OpenClError::SelfTest { reason: e.to_string(), remedies: e.remedies() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::Preset;
    use super::*;

    #[test]
    fn verdicts_read_back() {
        let forms = Forms { tile: false, ..Forms::of(Preset::Fast, 16) };
        let good = Verdict { forms, bad: vec!["linear_tile".into(), "sub-groups".into()], wrong: None };
        assert_eq!(Verdict::from_text(&good.to_text()), Some(good.clone()));
        let warning = good.judge("Mali").unwrap().unwrap();
        assert!(warning.contains("'Mali' computes linear_tile, sub-groups wrongly"), "{warning}");
        let quiet = Verdict::trusted(forms);
        assert_eq!(Verdict::from_text(&quiet.to_text()), Some(quiet.clone()));
        assert_eq!(quiet.judge("Mali"), Ok(None));
        let wrong = Some(("rope".to_owned(), "error 2.0e-1".to_owned()));
        let bad = Verdict { forms: Forms::all(false, 1), bad: Vec::new(), wrong };
        assert_eq!(Verdict::from_text(&bad.to_text()), Some(bad.clone()));
        assert!(bad.judge("Mali").unwrap_err().to_string().contains("computes rope wrongly"));
        for text in ["", "111", "11111111 1 1", "11111111 1 1\t\t", "11111111 1 x\t\t\t"] {
            assert_eq!(Verdict::from_text(text), None, "{text}");
        }
    }
}
