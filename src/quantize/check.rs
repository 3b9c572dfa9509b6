//! Whether a file's tensors and its tokenizer are in order.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::core::Result;
use crate::format::FormatError;
use crate::format::gguf::{Metadata, StoredTensor, Value};
use crate::quant::{dequantize_row, row_bytes};

/// What a tensor's values are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values {
    /// Elements.
    pub count: u64,
    /// Those that are no finite numbers.
    pub not_finite: u64,
    /// Rows of a matrix, and how many of them are zeros alone.
    pub rows: u64,
    /// Rows that are zeros alone.
    pub zero_rows: u64,
    /// The largest magnitude.
    pub largest: f32,
    /// Root of the mean square of those that are finite.
    pub rms: f64,
}

/// A magnitude of so many root mean squares is an outlier that is reported.
const REPORTED: f64 = 100.0;

/// A magnitude of so many is no weight that training leaves.
const IMPOSSIBLE: f64 = 100_000.0;

impl Values {
    /// Reads all values of a tensor, on all threads of the current pool.
    ///
    /// # Errors
    /// A type that is not read.
    pub fn of(tensor: &StoredTensor) -> Result<Option<Self>> {
        let Some(dtype) = tensor.dtype else { return Ok(None) };
        let cols = tensor.dims.last().copied().unwrap_or(0);
        let size = row_bytes(dtype, cols);
        if size == 0 {
            return Ok(Some(Self::default()));
        }
        let rows: Vec<(Self, f64)> = tensor
            .bytes
            .as_ref()
            .par_chunks(size)
            .map_init(
                || vec![0.0; cols],
                |values, row| {
                    dequantize_row(dtype, row, values)?;
                    Ok(row_values(values))
                },
            )
            .collect::<Result<_>>()?;
        let (mut all, mut squares) = (Self::default(), 0.0);
        for (row, sum) in rows {
            all.count += row.count;
            all.not_finite += row.not_finite;
            all.rows += 1;
            all.zero_rows += row.zero_rows;
            all.largest = all.largest.max(row.largest);
            squares += sum;
        }
        all.rms = (squares / (all.count - all.not_finite).max(1) as f64).sqrt();
        Ok(Some(all))
    }

    /// What is wrong with them, if the tensor has this name.
    pub fn faults(&self, name: &str) -> Vec<String> {
        let mut faults = Vec::new();
        if self.not_finite > 0 {
            faults.push(format!("{} of {} values are NaN or infinite", self.not_finite, self.count));
        }
        let outlier = f64::from(self.largest) / self.rms.max(f64::MIN_POSITIVE);
        if self.rms > 0.0 && outlier > IMPOSSIBLE {
            faults
                .push(format!("its largest value, {:e}, is {outlier:.0} times the usual one", self.largest));
        }
        // Biases and norms of zeros do nothing, which may be meant; a matrix of zeros is none.
        if self.rows > 1 && self.zero_rows == self.rows {
            faults.push("all of its values are 0".to_owned());
        } else if self.rows > 1 && self.zero_rows * 2 > self.rows && !name.contains("embd") {
            faults.push(format!("{} of its {} rows are zeros", self.zero_rows, self.rows));
        }
        faults
    }

    /// What is unusual about them, and may be meant.
    pub fn remarks(&self, name: &str) -> Vec<String> {
        let mut remarks = Vec::new();
        let outlier = f64::from(self.largest) / self.rms.max(f64::MIN_POSITIVE);
        if self.rms > 0.0 && outlier > REPORTED && outlier <= IMPOSSIBLE {
            remarks.push(format!("largest value {:.4} is {outlier:.0} times the usual one", self.largest));
        }
        if self.zero_rows > 0 && self.rows > 1 && self.faults(name).is_empty() {
            remarks.push(format!("{} of {} rows are zeros", self.zero_rows, self.rows));
        }
        remarks
    }
}

fn row_values(values: &[f32]) -> (Values, f64) {
    let (mut row, mut squares) = (Values { count: values.len() as u64, rows: 1, ..Values::default() }, 0.0);
    let mut zeros = true;
    for &v in values {
        zeros &= v == 0.0;
        if v.is_finite() {
            row.largest = row.largest.max(v.abs());
            squares += f64::from(v) * f64::from(v);
        } else {
            row.not_finite += 1;
        }
    }
    row.zero_rows = u64::from(zeros && !values.is_empty());
    (row, squares)
}

/// Token ids that a file names by these keys.
const IDS: [&str; 8] = ["bos", "eos", "unknown", "padding", "separator", "eot", "eom", "mask"];

/// What is wrong with a file's tokenizer, of whose embedding `rows` is the number of rows.
///
/// # Errors
/// Values of other types than the format has.
pub fn tokenizer(metadata: &Metadata, rows: Option<usize>) -> std::result::Result<Vec<String>, FormatError> {
    let mut faults = Vec::new();
    let Some(model) = metadata.text("tokenizer.ggml.model")? else {
        return Ok(vec!["there is no tokenizer ('tokenizer.ggml.model')".to_owned()]);
    };
    let Some(tokens) = metadata.list("tokenizer.ggml.tokens")? else {
        if model != "none" {
            faults.push(format!("a tokenizer '{model}' without tokens ('tokenizer.ggml.tokens')"));
        }
        return Ok(faults);
    };
    let count = tokens.len();
    if let Some(rows) = rows.filter(|&rows| rows != count) {
        faults.push(format!("{count} tokens for an embedding of {rows} rows"));
    }
    for key in ["tokenizer.ggml.scores", "tokenizer.ggml.token_type"] {
        match metadata.list(key)? {
            Some(list) if list.len() != count => {
                faults.push(format!("{} values in '{key}' for {count} tokens", list.len()));
            }
            None if model == "llama" => faults.push(format!("no '{key}', which a 'llama' tokenizer has")),
            _ => {}
        }
    }
    for name in IDS {
        let key = format!("tokenizer.ggml.{name}_token_id");
        if let Some(id) = metadata.integer(&key)?.filter(|&id| id >= count as u64) {
            faults.push(format!("'{key}' = {id}, of {count} tokens"));
        }
    }
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (id, token) in tokens.iter().enumerate() {
        let Value::Text(token) = token else {
            faults.push("tokens that are no texts".to_owned());
            return Ok(faults);
        };
        if let Some(first) = known.insert(token, id) {
            // Control tokens of some models have one text in common.
            if !token.starts_with('<') && !token.starts_with('[') {
                faults.push(format!("the token '{}' twice, as {first} and {id}", token.escape_debug()));
            }
        }
    }
    faults.extend(merges(metadata, &known)?);
    Ok(faults)
}

/// Merges that make no token, as far as the first few of them.
fn merges(
    metadata: &Metadata,
    known: &HashMap<&str, usize>,
) -> std::result::Result<Option<String>, FormatError> {
    let Some(list) = metadata.list("tokenizer.ggml.merges")? else { return Ok(None) };
    let mut bad = HashSet::new();
    for merge in list.iter() {
        let Value::Text(merge) = merge else { return Ok(Some("merges that are no texts".to_owned())) };
        // The first character may be a blank itself.
        let cut = merge.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
        let made = cut.map(|at| format!("{}{}", &merge[..at], &merge[at + 1..]));
        if !made.is_some_and(|made| known.contains_key(made.as_str())) {
            bad.insert(merge);
        }
    }
    let first = bad.iter().min();
    Ok(first.map(|merge| {
        format!(
            "{} of {} merges that make no token, such as '{}'",
            bad.len(),
            list.len(),
            merge.escape_debug()
        )
    }))
}
