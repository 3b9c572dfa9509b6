//! A type for each matrix: the least sum of divergences within a number of bytes.

use crate::core::DType;

/// A type that a matrix may get.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The type.
    pub dtype: DType,
    /// Bytes of the matrix in it.
    pub bytes: u64,
    /// What that adds to the divergence, in nats.
    pub divergence: f64,
}

/// The place of the choice for each matrix, so that all take `bytes` at most. `None` if that is too few.
///
/// A price of a byte makes every matrix choose by itself (Lagrange); the lowest price at which all fit is searched for. What
/// is left then goes, step by step, where a byte takes most of the divergence away.
pub(super) fn choose(all: &[&[Choice]], bytes: u64) -> Option<Vec<usize>> {
    let size = |chosen: &[usize]| all.iter().zip(chosen).map(|(choices, &at)| choices[at].bytes).sum::<u64>();
    let at_price = |price: f64| -> Vec<usize> {
        let cost = |choice: &Choice| choice.divergence + price * choice.bytes as f64;
        let best = |choices: &&[Choice]| {
            let order = |a: &usize, b: &usize| cost(&choices[*a]).total_cmp(&cost(&choices[*b]));
            (0..choices.len()).min_by(order).unwrap_or(0)
        };
        all.iter().map(best).collect()
    };
    // Prices from what buys everything to what buys nothing.
    let (mut low, mut high) = (-80.0f64, 40.0f64);
    let mut chosen = at_price(libm::exp(high));
    if size(&chosen) > bytes {
        return None;
    }
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        let trial = at_price(libm::exp(middle));
        if size(&trial) <= bytes {
            (high, chosen) = (middle, trial);
        } else {
            low = middle;
        }
    }
    let mut left = bytes - size(&chosen);
    while let Some((matrix, to)) = best_step(all, &chosen, left) {
        left -= all[matrix][to].bytes - all[matrix][chosen[matrix]].bytes;
        chosen[matrix] = to;
    }
    Some(chosen)
}

/// The step up that takes most divergence away for a byte, of those that `left` bytes pay for.
fn best_step(all: &[&[Choice]], chosen: &[usize], left: u64) -> Option<(usize, usize)> {
    let mut best: Option<(f64, (usize, usize))> = None;
    for (matrix, (choices, &at)) in all.iter().zip(chosen).enumerate() {
        let now = &choices[at];
        for (to, choice) in choices.iter().enumerate() {
            let more = choice.bytes.saturating_sub(now.bytes);
            let gain = (now.divergence - choice.divergence) / more.max(1) as f64;
            if more > 0 && more <= left && gain > 0.0 && best.is_none_or(|(other, _)| gain > other) {
                best = Some((gain, (matrix, to)));
            }
        }
    }
    best.map(|(_, step)| step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choices(all: &[(u64, f64)]) -> Vec<Choice> {
        all.iter().map(|&(bytes, divergence)| Choice { dtype: DType::Q8_0, bytes, divergence }).collect()
    }

    #[test]
    fn bits_go_where_they_help_most() {
        let (sensitive, other) = (choices(&[(10, 8.0), (20, 1.0)]), choices(&[(10, 2.0), (20, 1.5)]));
        assert_eq!(choose(&[&sensitive, &other], 30), Some(vec![1, 0]));
        assert_eq!(choose(&[&sensitive, &other], 40), Some(vec![1, 1]));
        assert_eq!(choose(&[&sensitive, &other], 20), Some(vec![0, 0]));
        assert_eq!(choose(&[&sensitive, &other], 19), None);
        assert_eq!(choose(&[], 0), Some(vec![]));
    }

    proptest! {
        #[test]
        fn no_choice_is_larger_than_allowed_or_much_worse_than_the_best(
            shapes in prop::collection::vec(prop::collection::vec((1u64..50, 0.0f64..1.0), 1..4), 1..5),
            bytes in 1u64..200,
        ) {
            let all: Vec<Vec<Choice>> = shapes.iter().map(|shape| choices(shape)).collect();
            let slices: Vec<&[Choice]> = all.iter().map(Vec::as_slice).collect();
            // Every combination.
            let mut sums = vec![(0u64, 0.0f64)];
            for choices in &slices {
                let with = |c: &Choice| sums.iter().map(|s| (s.0 + c.bytes, s.1 + c.divergence)).collect::<Vec<_>>();
                sums = choices.iter().flat_map(with).collect();
            }
            let best = sums.iter().filter(|s| s.0 <= bytes).map(|s| s.1).min_by(f64::total_cmp);
            let found = choose(&slices, bytes);
            prop_assert_eq!(found.is_some(), best.is_some());
            if let (Some(found), Some(best)) = (found, best) {
                let pick = || slices.iter().zip(&found).map(|(choices, &at)| choices[at]);
                prop_assert!(pick().map(|c| c.bytes).sum::<u64>() <= bytes);
                let got: f64 = pick().map(|c| c.divergence).sum();
                // One matrix may be short of its next step.
                prop_assert!(got <= best + 1.0 + 1e-9, "{} {}", got, best);
            }
        }
    }
}
