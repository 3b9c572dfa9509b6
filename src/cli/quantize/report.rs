//! What is printed of a file that was made.

use std::path::Path;

use crate::format::gguf::StoredTensor;
use crate::host::human_bytes;
use crate::quantize::Plan;

/// A line for each tensor: its shape, the type that it has and the one that it gets.
pub(super) fn tensors(stored: &[StoredTensor], plan: &Plan) -> String {
    let width = stored.iter().map(|t| t.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (from, to) in stored.iter().zip(&plan.tensors) {
        let shape: Vec<_> = from.dims.iter().map(usize::to_string).collect();
        let new = to.tensor.dtype.name().to_uppercase();
        let change = if new == from.type_name { new } else { format!("{} -> {new}", from.type_name) };
        text += &format!("{:width$}  {:>14}  {change}", from.name, shape.join(" x "));
        if let Some(wanted) = to.instead_of {
            text += &format!(" (its rows do not suit {})", wanted.name().to_uppercase());
        }
        text.push('\n');
    }
    text
}

/// The size, and what it is made of.
pub(super) fn summary(stored: &[StoredTensor], plan: &Plan, output: Option<&Path>) -> String {
    let (before, after) = (stored.iter().map(|t| t.bytes.size() as u64).sum(), plan.bytes());
    let bits = |bytes: u64| bytes as f64 * 8.0 / plan.elements().max(1) as f64;
    let shares: Vec<_> =
        plan.shares().iter().map(|(dtype, bytes)| share(dtype.name(), *bytes, after)).collect();
    let what =
        output.map_or("Weights would take".to_owned(), |path| format!("'{}' has weights of", path.display()));
    format!(
        "{what} {} ({:.2} bits each; {} and {:.2} before): {}\n",
        human_bytes(after),
        bits(after),
        human_bytes(before),
        bits(before),
        shares.join(", ")
    )
}

fn share(name: &str, bytes: u64, all: u64) -> String {
    format!("{:.1} % {}", bytes as f64 * 100.0 / all.max(1) as f64, name.to_uppercase())
}
