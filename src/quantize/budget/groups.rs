//! Matrices that are measured together: those that do the same at a like depth.

use std::collections::BTreeMap;
use std::fmt;

use super::super::tensors::{Role, order};
use super::is_open;
use crate::format::gguf::StoredTensor;
use crate::models::llama::tensor_specs;
use crate::models::{Family, ModelSpec, TensorRole};

/// What the matrices of a group do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Embedding,
    Output,
    QueryKey,
    Value,
    AttentionOutput,
    GateUp,
    Down,
    Other,
}

impl Part {
    fn of(name: &str) -> Self {
        match Role::of(name) {
            Role::Embedding => Part::Embedding,
            Role::Output => Part::Output,
            Role::Query | Role::Key => Part::QueryKey,
            Role::Value | Role::Fused | Role::KeyValue => Part::Value,
            Role::AttentionOutput => Part::AttentionOutput,
            Role::Gate | Role::Up => Part::GateUp,
            Role::Down => Part::Down,
            Role::Other => Part::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Part::Embedding => "embedding",
            Part::Output => "output",
            Part::QueryKey => "attention q, k",
            Part::Value => "attention v",
            Part::AttentionOutput => "attention output",
            Part::GateUp => "ffn gate, up",
            Part::Down => "ffn down",
            Part::Other => "others",
        }
    }
}

/// A matrix of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its place among the stored tensors.
    pub index: usize,
    /// What the forward pass calls what it holds.
    pub names: Vec<String>,
}

/// Matrices that are measured together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    part: Part,
    /// The first layer and the last; `None` outside of layers.
    layers: Option<(usize, usize)>,
    /// The matrices.
    pub members: Vec<Member>,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layers {
            Some((first, last)) if first == last => write!(f, "{} of layer {first}", self.part.name()),
            Some((first, last)) => write!(f, "{} of layers {first} to {last}", self.part.name()),
            None => f.write_str(self.part.name()),
        }
    }
}

/// The quarter of the model that a layer is in, where the two in the middle are one: the first and the last layers differ most
/// from the others.
fn depth(layer: usize, layers: usize) -> usize {
    match layer * 4 / layers.max(1) {
        0 => 0,
        1 | 2 => 1,
        _ => 2,
    }
}

/// A matrix, and the layer that it is in.
type Placed = (Option<usize>, Member);

/// The groups of a model's tensors.
pub(super) fn of(stored: &[StoredTensor], family: &'static Family, spec: &ModelSpec) -> Vec<Group> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for tensor in tensor_specs(spec).into_iter().filter(|t| t.role != TensorRole::Vector) {
        if let Some(name) = family.gguf_name(&tensor.name) {
            names.entry(name).or_default().push(tensor.name);
        }
    }
    let mut groups: BTreeMap<(Part, Option<usize>), Vec<Placed>> = BTreeMap::new();
    for (index, tensor) in stored.iter().enumerate().filter(|(_, tensor)| is_open(tensor)) {
        let layer = order(&tensor.name).0;
        let key = (Part::of(&tensor.name), layer.map(|layer| depth(layer, spec.layers.len())));
        let names = names.remove(&tensor.name).unwrap_or_default();
        groups.entry(key).or_default().push((layer, Member { index, names }));
    }
    let group = |((part, _), members): ((Part, _), Vec<Placed>)| {
        let numbers = || members.iter().filter_map(|(layer, _)| *layer);
        let layers = numbers().min().zip(numbers().max());
        Group { part, layers, members: members.into_iter().map(|(_, member)| member).collect() }
    };
    groups.into_iter().map(group).collect()
}
