//! The first use of a device: every kernel against the reference backend, and which of them is fastest.
//!
//! What was found is kept, so that later starts test nothing. A form that computes wrongly is not used; if the plain
//! form of an operation does, the device is refused.

use std::time::Instant;

use super::compare::{Operation, first, stored, tensor};
use super::error::{OpenClError, Result as DeviceResult};
use super::kernels::RowProgram;
use super::{Forms, OpenClBackend};
use crate::core::{Backend, CoreError, DType, Largest, LinearPart, Result, Top};

/// The largest error that is taken for rounding (see [`Operation::error`]). A wrong index, scale or term is off by
/// orders of magnitude more.
pub(super) const BOUND: f64 = 1e-4;

const FORMATS: [DType; 6] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

/// What is known of a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub forms: Forms,
    /// See [`RowProgram`].
    pub slices: usize,
    /// The first operation that is wrong even in its plain form, and how.
    pub wrong: Option<(String, String)>,
}

/// Runs everything. `gpu`'s forms and slices are changed on the way, and are the verdict's in the end.
///
/// # Errors
/// A device that gives up, or refuses a kernel in its plain form.
pub(super) fn examine(
    gpu: &mut OpenClBackend,
    build: &dyn Fn(usize) -> DeviceResult<RowProgram>,
) -> Result<Verdict> {
    gpu.forms = Forms::PLAIN;
    let mut verdict = Verdict { forms: Forms::PLAIN, slices: 1, wrong: None };
    for operation in plain() {
        if let Some(detail) = fault(gpu, &operation)? {
            verdict.wrong = Some((operation.kernel().to_owned(), detail));
            return Ok(verdict);
        }
    }
    if let Some(detail) = largest_fault(gpu)? {
        verdict.wrong = Some(("argmax".to_owned(), detail));
        return Ok(verdict);
    }
    // Each faster form by itself; one that the device does not even take counts as wrong.
    let built = Forms {
        row: gpu.kernels.linear_row.is_some(),
        tile: gpu.kernels.linear_tile.is_some(),
        ..Forms::ALL
    };
    for (form, operations) in faster() {
        let mut available = built;
        if !*form(&mut available) {
            continue;
        }
        let forms = gpu.forms;
        *form(&mut gpu.forms) = true;
        let right = operations.iter().all(|o| matches!(fault(gpu, o), Ok(None)));
        if !right {
            gpu.forms = forms;
        }
    }
    if gpu.forms.row {
        tune(gpu, build)?;
    }
    verdict.forms = gpu.forms;
    verdict.slices = gpu.kernels.linear_row.as_ref().map_or(1, |r| r.slices);
    Ok(verdict)
}

/// What is wrong with an operation, if anything.
fn fault(gpu: &OpenClBackend, operation: &Operation) -> Result<Option<String>> {
    let error = operation.error(gpu)?;
    // Not `>`: NaN is wrong too.
    Ok(if error <= BOUND { None } else { Some(format!("error {error:.1e} at {operation:?}")) })
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
        Operation::Rope { rows: 3, heads: 5, head_dim: 6 },
        Operation::Swiglu { rows: 3, cols: 67 },
        Operation::Add { rows: 3, cols: 67 },
        Operation::CopyRows { from: 2, count: 3, cols: 67 },
    ];
    for format in FORMATS {
        all.push(Operation::Embed { format, vocab: 67, cols: 45, tokens: 3 });
        all.push(Operation::Linear { format, tokens: 3, cols: 75, outs: 67 });
    }
    for dtype in [DType::F32, DType::F16] {
        let keep = vec![1..4, 9..20];
        all.push(Operation::Attention { dtype, kv_heads: 2, group: 3, head_dim: 10, at: 20, rows: 3, keep });
    }
    all
}

type Flag = fn(&mut Forms) -> &mut bool;

/// The faster forms, each with operations that take them.
fn faster() -> [(Flag, Vec<Operation>); 5] {
    let linear =
        |tokens| FORMATS.map(|format| Operation::Linear { format, tokens, cols: 96, outs: 67 }).to_vec();
    let attention = |at: usize, rows| {
        let of = |dtype| {
            let keep = first(at);
            Operation::Attention { dtype, kv_heads: 2, group: 2, head_dim: 72, at, rows, keep }
        };
        [DType::F32, DType::F16].map(of).to_vec()
    };
    [
        (
            |f| &mut f.norm,
            vec![Operation::RmsNorm { rows: 3, cols: 300 }, Operation::AddRmsNorm { rows: 3, cols: 300 }],
        ),
        (|f| &mut f.row, linear(2)),
        (|f| &mut f.tile, linear(37)),
        (|f| &mut f.attention_split, [attention(17, 1), attention(200, 2)].concat()),
        (|f| &mut f.attention_tile, attention(70, 13)),
    ]
}

/// Tries how many work-items should share a row, on a matrix of a size that models have.
fn tune(gpu: &mut OpenClBackend, build: &dyn Fn(usize) -> DeviceResult<RowProgram>) -> Result<()> {
    let Some(most) = gpu.kernels.linear_row.as_ref().map(|r| r.slices) else { return Ok(()) };
    let mut best: Option<(f64, RowProgram)> = None;
    for slices in [most, most / 4, 1] {
        if slices == 0 || best.as_ref().is_some_and(|(_, b)| b.slices == slices) {
            continue;
        }
        let Ok(program) = build(slices) else { continue };
        gpu.kernels.linear_row = Some(program);
        let right = Operation::Linear { format: DType::Q4_0, tokens: 2, cols: 96, outs: 67 };
        if !matches!(fault(gpu, &right), Ok(None)) {
            continue;
        }
        let seconds = time(gpu)?;
        if let Some(program) = gpu.kernels.linear_row.take()
            && best.as_ref().is_none_or(|(least, _)| seconds < *least)
        {
            best = Some((seconds, program));
        }
    }
    gpu.kernels.linear_row = best.map(|(_, program)| program);
    Ok(())
}

/// Seconds of a product of one row, the least of some.
fn time(gpu: &OpenClBackend) -> Result<f64> {
    const ROWS: usize = 2048;
    const COLS: usize = 2048;
    // All rows alike: what is in them does not matter.
    let one = stored(DType::Q4_0, 1, COLS, 1)?;
    let bytes = one.bytes().repeat(ROWS);
    let shape = crate::core::Shape::from([ROWS, COLS]);
    let weight =
        gpu.prepare(&crate::core::HostTensor::new("w", DType::Q4_0, shape, bytes.into())?, DType::Q4_0)?;
    let (x, mut out) = (tensor(gpu, 1, 1, COLS)?, gpu.tensor(1, ROWS)?);
    let mut least = f64::INFINITY;
    for round in 0..4 {
        let start = Instant::now();
        for _ in 0..4 {
            gpu.linear(&x, &mut [LinearPart { weight: &weight, bias: None, out: &mut out }])?;
        }
        gpu.finish()?;
        // The first round compiles and wakes up.
        if round > 0 {
            least = least.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(least)
}

impl Verdict {
    /// As a line of text, for the cache.
    pub fn to_text(&self) -> String {
        let f = &self.forms;
        let bits =
            [f.norm, f.row, f.tile, f.attention_split, f.attention_tile].map(|b| if b { '1' } else { '0' });
        let (kernel, detail) = self.wrong.clone().unwrap_or_default();
        format!("{}\t{}\t{kernel}\t{detail}", String::from_iter(bits), self.slices)
    }

    /// The inverse of [`Self::to_text`].
    pub fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.splitn(4, '\t');
        let bits: Vec<bool> = fields.next()?.chars().map(|c| c == '1').collect();
        let [norm, row, tile, attention_split, attention_tile] = bits.try_into().ok()?;
        let slices: usize = fields.next()?.parse().ok()?;
        let (kernel, detail) = (fields.next()?, fields.next()?);
        let wrong = (!kernel.is_empty()).then(|| (kernel.to_owned(), detail.to_owned()));
        let forms = Forms { norm, row, tile, attention_split, attention_tile };
        slices.is_power_of_two().then_some(Self { forms, slices, wrong })
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
        let f = &self.forms;
        let all = [
            (f.norm, "rms_norm"),
            (f.row, "linear_row"),
            (f.tile, "linear_tile"),
            (f.attention_split, "attention_split"),
            (f.attention_tile, "attention_tile"),
        ];
        let bad: Vec<&str> = all.iter().filter(|(used, _)| !used).map(|&(_, name)| name).collect();
        Ok((!bad.is_empty()).then(|| {
            format!(
                "the OpenCL device '{device}' computes {} wrongly or not at all; slower kernels take their place",
                bad.join(", ")
            )
        }))
    }
}

impl From<CoreError> for OpenClError {
    /// For what a test of the device ran into, which names the device already.
    fn from(e: CoreError) -> Self {
        OpenClError::SelfTest(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_read_back() {
        let good = Verdict { forms: Forms { tile: false, ..Forms::ALL }, slices: 16, wrong: None };
        assert_eq!(Verdict::from_text(&good.to_text()), Some(good.clone()));
        let warning = good.judge("Mali").unwrap().unwrap();
        assert!(warning.contains("'Mali' computes linear_tile wrongly"), "{warning}");
        let wrong = Some(("rope".to_owned(), "error 2.0e-1".to_owned()));
        let bad = Verdict { forms: Forms::PLAIN, slices: 1, wrong };
        assert_eq!(Verdict::from_text(&bad.to_text()), Some(bad.clone()));
        assert!(bad.judge("Mali").unwrap_err().to_string().contains("computes rope wrongly"));
        for text in ["", "111", "11111\t3\t\t", "11111\tx\t\t", "111111\t1\t\t"] {
            assert_eq!(Verdict::from_text(text), None, "{text}");
        }
    }
}
