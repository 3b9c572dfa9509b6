//! `--kv-budget-mb`: from memory to a window and a type of keys and values.

use anyhow::{Result, bail};

use crate::core::{DType, KvTypes};
use crate::kv::CacheShape;

/// What a budget has to pay for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The budget, in MiB.
    pub mib: usize,
    /// The model's cache.
    pub shape: CacheShape,
    /// As which keys and values are to be stored, if that is given.
    pub types: Option<KvTypes>,
    /// The most tokens that are of use.
    pub most: usize,
    /// The fewest.
    pub least: usize,
    /// Tokens that are kept unrotated too.
    pub unrotated: usize,
}

/// Types in the order of their quality. More tokens are worth more than the last bits of each: q8_0 is taken as soon as
/// f16 would not hold all, and q4_0 where q8_0 would hold less than [`FEW`], or than the least.
const BY_QUALITY: [DType; 3] = [DType::F16, DType::Q8_0, DType::Q4_0];

/// Tokens below which a coarser type is better than a shorter memory.
const FEW: usize = 512;

impl Wish {
    /// Types and a window that the budget pays for.
    ///
    /// # Errors
    /// A budget below the least, which is named.
    pub fn settle(&self) -> Result<(KvTypes, usize)> {
        let stored = BY_QUALITY.into_iter().filter(|dtype| KvTypes::STORED.contains(dtype));
        let choices: Vec<KvTypes> =
            self.types.map_or_else(|| stored.map(KvTypes::from).collect(), |t| vec![t]);
        let mut chosen = None;
        for (index, &types) in choices.iter().enumerate() {
            let window = self.shape.window(types, self.bytes(), self.unrotated, self.most);
            chosen = Some((types, window));
            let enough = if index == 0 { self.most } else { FEW.max(self.least).min(self.most) };
            if window >= enough {
                break;
            }
        }
        match chosen {
            Some((types, window)) if window >= self.least => Ok((types, window)),
            Some((types, window)) => {
                let needed = self.shape.bytes(types, self.least, self.unrotated).div_ceil(1 << 20);
                bail!(
                    "--kv-budget-mb {} holds {window} tokens as {types} keys and values, but {} are the least that make \
                     sense here; give at least {needed}",
                    self.mib,
                    self.least
                )
            }
            None => bail!("there is no type of keys and values to choose from; give --kv-type"),
        }
    }

    fn bytes(&self) -> usize {
        self.mib.saturating_mul(1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::KvShape;

    fn llama_1b() -> CacheShape {
        CacheShape { layers: vec![KvShape { kv_heads: 8, head_dim: 64, window: None }; 16], pass: 256 }
    }

    fn wish(mib: usize) -> Wish {
        Wish { mib, shape: llama_1b(), types: None, most: 4096, least: 6, unrotated: 4 }
    }

    #[test]
    fn what_holds_all_is_f16_and_no_more_than_all() {
        assert_eq!(wish(200).settle().unwrap(), (DType::F16.into(), 4096));
        let few = Wish { most: 100, ..wish(200) };
        assert_eq!(few.settle().unwrap(), (DType::F16.into(), 100));
    }

    #[test]
    fn a_given_type_stays() {
        let given = Wish { types: Some(DType::F32.into()), ..wish(64) };
        assert_eq!(given.settle().unwrap(), (DType::F32.into(), 960));
    }

    #[test]
    fn smaller_budgets_take_coarser_types() {
        for (mib, quality) in [(64, 1), (24, 1), (8, 2)] {
            let best = BY_QUALITY[..=quality].iter().rev().find(|dtype| KvTypes::STORED.contains(dtype));
            let (types, window) = wish(mib).settle().unwrap();
            assert_eq!(Some(&types.k), best, "{mib} MiB");
            assert!(llama_1b().bytes(types, window, 4) <= mib << 20 && window >= 6, "{mib} MiB: {window}");
        }
    }

    #[test]
    fn less_than_the_least_is_refused_and_the_least_named() {
        let error =
            Wish { least: 700, types: Some(DType::F16.into()), ..wish(9) }.settle().unwrap_err().to_string();
        assert!(
            error.contains("--kv-budget-mb 9 holds 256 tokens as f16") && error.contains("700 are the least")
        );
        // 704 slots of 33 KiB, and 256 KiB of sinks.
        assert!(error.ends_with("give at least 23"), "{error}");
        assert!(Wish { least: 700, types: Some(DType::F16.into()), ..wish(23) }.settle().is_ok());
    }
}
