//! What each weight format costs a model: mean negative log-likelihood and perplexity of a text.
//!
//! usage: quantization_loss MODEL_DIR [TEXT_FILE]
//!
//! Paragraphs of the text (separated by blank lines) are scored one by one. Without a text, the model in f32
//! makes some up at temperature 1. `q4_0 plain` and `q4_1 plain` round to the nearest step of the grid that the
//! largest value gives, as a yardstick for the search that `q4_0` and `q4_1` use.

#![allow(clippy::print_stdout, reason = "the table is the program's result")]

use std::path::Path;

use anyhow::{Context, Result};
use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::{BLOCK_LEN, DType, HostTensor, Shape};
use llm_rs2::engine::{ModelFiles, Session, SessionOptions};
use llm_rs2::eval::texts;
use llm_rs2::format::{FormatError, TensorSource};
use llm_rs2::quant::{dequantize_row, q4_0, q4_1};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let model = args.next().context("usage: quantization_loss MODEL_DIR [TEXT_FILE]")?;
    let model = Path::new(&model);
    let texts = match args.next() {
        Some(file) => {
            let files = ModelFiles::open(model)?;
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
            texts::paragraphs(&text).map(|p| Ok(files.encode_text(p)?)).collect::<Result<Vec<_>>>()?
        }
        None => {
            let files = ModelFiles::open(model)?;
            let start = files.bos.context("the model names no first token: give a text")?;
            texts::make_up(&mut session(files, DType::F32)?, start, 8, 250)?
        }
    };
    let tokens: usize = texts.iter().map(|t| t.len().saturating_sub(1)).sum();
    println!("{} texts, {tokens} tokens\n", texts.len());
    println!("| weights | mean NLL | perplexity | NLL against f32 |\n|---|---|---|---|");
    let mut base = None;
    let rows = [
        ("f32", DType::F32, None),
        ("bf16", DType::BF16, None),
        ("q8_0", DType::Q8_0, None),
        ("q4_1", DType::Q4_1, None),
        ("q4_1 plain", DType::Q4_1, Some(DType::Q4_1)),
        ("q4_0", DType::Q4_0, None),
        ("q4_0 plain", DType::Q4_0, Some(DType::Q4_0)),
    ];
    for (name, weights, plain) in rows {
        let mut files = ModelFiles::open(model)?;
        if let Some(grid) = plain {
            files.tensors = Box::new(Plain { inner: files.tensors, grid });
        }
        let likelihood = texts::score(&mut session(files, weights)?, &texts)?;
        let (nll, perplexity) = (likelihood.mean_nll(), likelihood.perplexity());
        let base = *base.get_or_insert(nll);
        println!("| {name} | {nll:.4} | {perplexity:.3} | {:+.2} % |", (nll / base - 1.0) * 100.0);
    }
    Ok(())
}

fn session(files: ModelFiles, weight_dtype: DType) -> Result<Session> {
    let options = SessionOptions {
        weights: weight_dtype.into(),
        kv_types: DType::F32.into(),
        max_seq_len: 1024,
        eviction: None,
        prefill_chunk: 256,
        lookup: 0,
        check_numerics: false,
    };
    Ok(Session::load(CpuBackend::new(CpuOptions::default())?, files, &options, &mut |_| ())?)
}

/// Matrices as plain rounding leaves them, in f32. The search keeps such a matrix as it is: its grid has no
/// error at all.
struct Plain {
    inner: Box<dyn TensorSource>,
    grid: DType,
}

impl TensorSource for Plain {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let Some(tensor) = self.inner.get(name)? else { return Ok(None) };
        let (rows, cols) = tensor.matrix_dims();
        if tensor.shape().dims().len() != 2 {
            return Ok(Some(tensor));
        }
        let mut values = vec![0.0; rows * cols];
        for (r, row) in values.chunks_exact_mut(cols).enumerate() {
            if dequantize_row(tensor.dtype(), tensor.row_bytes(r), row).is_err() {
                return Ok(Some(tensor));
            }
            row.chunks_mut(BLOCK_LEN).for_each(|part| round(self.grid, part));
        }
        Ok(HostTensor::from_f32(name, Shape::from([rows, cols]), &values).ok())
    }

    fn names(&self) -> Vec<&str> {
        self.inner.names()
    }

    fn location(&self, name: &str) -> String {
        self.inner.location(name)
    }

    fn total_bytes(&self) -> u64 {
        self.inner.total_bytes()
    }
}

fn round(grid: DType, part: &mut [f32]) {
    let mut block = [0.0; BLOCK_LEN];
    block[..part.len()].copy_from_slice(part);
    match grid {
        DType::Q4_1 => q4_1::Block::quantize_round_to_nearest(&block).dequantize(&mut block),
        _ => q4_0::Block::quantize_round_to_nearest(&block).dequantize(&mut block),
    }
    part.copy_from_slice(&block[..part.len()]);
}
