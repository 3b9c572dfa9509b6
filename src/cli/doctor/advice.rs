//! What to choose on this machine.

use super::facts::{Advice, Calibration};
use crate::core::DType;
use crate::engine::{Footprint, SessionOptions, TextLength};
use crate::models::{ModelSpec, WeightPlan};

/// The settings for a model of this shape, stored packed in `format`, with `available` bytes of memory.
pub fn advise(
    spec: &ModelSpec,
    format: DType,
    threads: usize,
    calibration: &Calibration,
    available: Option<u64>,
) -> Advice {
    let cpu = calibration.cpu.decode_tokens_per_s;
    let (backend, why) = match &calibration.opencl {
        Some(gpu) if gpu.decode_tokens_per_s > cpu => (
            "opencl",
            format!("it is {:.1} times as fast as the cpu at decoding", gpu.decode_tokens_per_s / cpu),
        ),
        Some(gpu) => (
            "cpu",
            format!(
                "it is {:.1} times as fast as the OpenCL device at decoding",
                cpu / gpu.decode_tokens_per_s
            ),
        ),
        None => ("cpu", "no OpenCL device can be used".to_owned()),
    };
    let max_context = available.and_then(|available| max_context(spec, format, available));
    let mut flags = format!("-b {backend}");
    if backend == "cpu" {
        flags += &format!(" -t {threads}");
    }
    flags += &format!(" --weight-dtype {format}");
    if let Some(context) = max_context {
        flags += &format!(" --max-seq-len {context}");
    }
    Advice { backend, threads, weight_format: format.name(), max_context, flags, why }
}

/// The longest context, as a power of two up to what the model was trained for, that memory has room for next to all
/// weights.
fn max_context(spec: &ModelSpec, format: DType, available: u64) -> Option<usize> {
    let fits = |tokens: usize| {
        let options = SessionOptions {
            weights: WeightPlan::sparing_outer(format),
            max_seq_len: tokens,
            ..SessionOptions::default()
        };
        let text = TextLength { prompt: 1, generated: None };
        let need = Footprint::of_shape(spec, &options, text);
        need.own().saturating_add(need.mapped) <= available
    };
    (7..32).map(|bit| 1usize << bit).take_while(|&n| n <= spec.max_positions && fits(n)).last()
}

#[cfg(test)]
mod tests {
    use super::super::facts::Speed;
    use super::*;
    use crate::models::NamedShape;

    fn calibration(cpu: f64, opencl: Option<f64>) -> Calibration {
        let speed =
            |rate| Speed { what: String::new(), decode_tokens_per_s: rate, prefill_tokens_per_s: rate };
        Calibration {
            shape: "llama3.2-1b",
            weight_format: "q4_0",
            method: "",
            cpu: speed(cpu),
            opencl: opencl.map(speed),
        }
    }

    #[test]
    fn the_faster_one_is_chosen_and_no_context_that_does_not_fit() {
        let spec = NamedShape::Llama32x1B.decoder().spec();
        let of = |cpu, gpu, gb: u64| {
            advise(&spec, DType::Q4_0, 4, &calibration(cpu, gpu), Some(gb * 1_000_000_000))
        };
        let phone = of(10.0, Some(25.0), 4);
        assert_eq!(
            (phone.backend, phone.why.as_str()),
            ("opencl", "it is 2.5 times as fast as the cpu at decoding")
        );
        // 0.7 GB of weights, and 32 kB for each token of the cache, which has one layer of 16 twice when it grows.
        assert_eq!(phone.max_context, Some(65_536));
        assert_eq!(phone.flags, "-b opencl --weight-dtype q4_0 --max-seq-len 65536");
        let pc = of(30.0, Some(15.0), 64);
        assert_eq!((pc.backend, pc.max_context), ("cpu", Some(131_072)));
        assert_eq!(pc.flags, "-b cpu -t 4 --weight-dtype q4_0 --max-seq-len 131072");
        let small = of(5.0, None, 0);
        assert_eq!((small.backend, small.max_context), ("cpu", None));
        assert_eq!(small.flags, "-b cpu -t 4 --weight-dtype q4_0");
    }
}
