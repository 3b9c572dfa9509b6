//! The type of each tensor of a file to be made.

use std::path::Path;

use fancy_regex::Regex;

use super::QuantizeError;
use super::facts::ModelFacts;
use super::mix::Mix;
use super::rules::{Rules, fitting};
use super::tensors::{Role, may_change, order};
use crate::core::DType;
use crate::format::gguf::{NewTensor, StoredTensor};

/// A pattern of names, and the type of the tensors that have such a name.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
    dtype: DType,
}

impl Pattern {
    /// From a regular expression, which any part of a name may match.
    ///
    /// # Errors
    /// A sentence about an expression that is none.
    pub fn new(text: &str, dtype: DType) -> Result<Self, String> {
        let regex = Regex::new(text).map_err(|e| format!("'{text}' is no regular expression: {e}"))?;
        Ok(Self { text: text.to_owned(), regex, dtype })
    }

    fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name).unwrap_or(false)
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Choices {
    /// The mix.
    pub mix: Mix,
    /// The mix's main type for all matrices.
    pub pure: bool,
    /// Types of some tensors; the first pattern that matches counts.
    pub patterns: Vec<Pattern>,
    /// Type of the output matrix.
    pub output: Option<DType>,
    /// Type of the embedding.
    pub embedding: Option<DType>,
    /// Whether there is an importance matrix: some rules depend on it.
    pub weighted: bool,
}

/// What becomes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The tensor in the new file.
    pub tensor: NewTensor,
    /// The type that the rules asked for, where the tensor's columns do not allow it.
    pub instead_of: Option<DType>,
}

/// The types of all tensors of a model, in the order in which they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each tensor.
    pub tensors: Vec<Planned>,
}

impl Plan {
    /// Chooses the types.
    ///
    /// # Errors
    /// A tensor of a type that is not read; a pattern that no tensor has.
    pub fn new(
        path: &Path,
        stored: &[StoredTensor],
        facts: &ModelFacts,
        choices: &Choices,
    ) -> Result<Self, QuantizeError> {
        let unsuitable = |reason| QuantizeError::Unsuitable { path: path.into(), reason };
        for pattern in &choices.patterns {
            if !stored.iter().any(|t| pattern.matches(&t.name)) {
                let text = &pattern.text;
                return Err(unsuitable(format!(
                    "has no tensor with a name that '{text}' matches (--tensor-type)"
                )));
            }
        }
        let names = stored.iter().map(|t| t.name.as_str());
        let mut rules = Rules::new(choices.mix, facts, choices.weighted, names);
        let mut tensors = vec![None; stored.len()];
        let mut counted: Vec<usize> = (0..stored.len()).collect();
        counted.sort_by_key(|&i| order(&stored[i].name));
        for i in counted {
            let StoredTensor { name, dims, dtype, type_name, .. } = &stored[i];
            let Some(dtype) = *dtype else {
                return Err(unsuitable(format!(
                    "has a tensor '{name}' of type {type_name}, which is not read: start from a file in another type"
                )));
            };
            let wanted = if may_change(name, dims) { choose(&mut rules, choices, name, dims) } else { dtype };
            let found = fitting(wanted, dims.last().copied().unwrap_or(0));
            tensors[i] = Some(Planned {
                tensor: NewTensor { name: name.clone(), dtype: found, dims: dims.clone() },
                instead_of: (found != wanted).then_some(wanted),
            });
        }
        Ok(Self { tensors: tensors.into_iter().flatten().collect() })
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().filter_map(|t| t.tensor.bytes()).map(|n| n as u64).sum()
    }

    /// Elements of all tensors.
    pub fn elements(&self) -> u64 {
        self.tensors.iter().map(|t| t.tensor.dims.iter().product::<usize>() as u64).sum()
    }

    /// The types with the bytes that they take, the largest share first.
    pub fn shares(&self) -> Vec<(DType, u64)> {
        let mut shares: Vec<(DType, u64)> = Vec::new();
        for tensor in &self.tensors {
            let bytes = tensor.tensor.bytes().unwrap_or(0) as u64;
            match shares.iter_mut().find(|share| share.0 == tensor.tensor.dtype) {
                Some(share) => share.1 += bytes,
                None => shares.push((tensor.tensor.dtype, bytes)),
            }
        }
        shares.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        shares
    }
}

/// The type of a matrix, whatever its columns.
fn choose(rules: &mut Rules<'_>, choices: &Choices, name: &str, dims: &[usize]) -> DType {
    let main = choices.mix.main();
    // Counted in any case.
    let by_rules = rules.next(name, dims, choices.output);
    match (Role::of(name), choices.embedding, choices.output) {
        (Role::Embedding, Some(dtype), _) | (Role::Output, _, Some(dtype)) => return dtype,
        _ => {}
    }
    if let Some(pattern) = choices.patterns.iter().find(|pattern| pattern.matches(name)) {
        return pattern.dtype;
    }
    if main.is_float() || choices.pure {
        // With one matrix for both, what is asked for the output holds.
        return choices.output.filter(|_| rules.tied() && Role::of(name) == Role::Embedding).unwrap_or(main);
    }
    by_rules
}
