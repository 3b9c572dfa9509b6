//! Types of stored keys and values as flags.

use crate::core::{DType, KvTypes};

/// The flags of programs that run one model in one way.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct KvArgs {
    /// Type of stored keys and values: f32, f16, q8_0, q4_0. f32 is exact, the others take less memory; the blocks of
    /// q8_0 and q4_0 run along the elements of a head [default: f16]
    #[arg(long, value_name = "TYPE", value_parser = kv_dtype, help_heading = "Model")]
    kv_type: Option<DType>,

    /// Type of stored keys, if not that of --kv-type
    #[arg(long, value_name = "TYPE", value_parser = kv_dtype, help_heading = "Model")]
    kv_type_k: Option<DType>,

    /// Type of stored values, if not that of --kv-type
    #[arg(long, value_name = "TYPE", value_parser = kv_dtype, help_heading = "Model")]
    kv_type_v: Option<DType>,
}

impl KvArgs {
    /// What was asked for.
    pub fn types(&self) -> KvTypes {
        let both = self.kv_type.unwrap_or(DType::F16);
        KvTypes { k: self.kv_type_k.unwrap_or(both), v: self.kv_type_v.unwrap_or(both) }
    }

    /// The same, if any of it was asked for.
    pub fn given(&self) -> Option<KvTypes> {
        let flags = [self.kv_type, self.kv_type_k, self.kv_type_v];
        flags.iter().any(Option::is_some).then(|| self.types())
    }
}

/// All that lists of types ask for: each of `both`, with each of `keys` and of `values` in its place where there are
/// any; nothing twice.
pub(super) fn combinations(both: &[DType], keys: &[DType], values: &[DType]) -> Vec<KvTypes> {
    let mut all = Vec::new();
    for dtype in both {
        let or = |list: &'_ [DType]| if list.is_empty() { vec![*dtype] } else { list.to_vec() };
        for k in or(keys) {
            for types in or(values).into_iter().map(|v| KvTypes { k, v }) {
                if !all.contains(&types) {
                    all.push(types);
                }
            }
        }
    }
    all
}

/// A type that keys and values can be stored in.
pub(super) fn kv_dtype(text: &str) -> Result<DType, String> {
    match text.parse::<DType>() {
        Ok(dtype) if KvTypes::STORED.contains(&dtype) => Ok(dtype),
        _ => Err(format!("choose one of {}", KvTypes::STORED.map(DType::name).join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_overridden_apart_and_nothing_comes_twice() {
        let names = |both: &[DType], keys: &[DType], values: &[DType]| {
            combinations(both, keys, values).iter().map(KvTypes::to_string).collect::<Vec<_>>()
        };
        let (f16, q8, q4) = (DType::F16, DType::Q8_0, DType::Q4_0);
        assert_eq!(names(&[f16, q8], &[], &[]), ["f16", "q8_0"]);
        assert_eq!(names(&[f16], &[q8], &[]), ["q8_0/f16"]);
        assert_eq!(names(&[f16, q8], &[], &[q4]), ["f16/q4_0", "q8_0/q4_0"]);
        assert_eq!(names(&[f16, q8], &[f16, q4], &[q4]), ["f16/q4_0", "q4_0"]);
    }
}
