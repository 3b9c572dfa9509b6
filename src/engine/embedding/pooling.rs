//! One vector of those of all tokens.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// How the hidden states of a text's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Not at all: each token has its own.
    None,
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last one.
    Last,
}

impl Pooling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Mean, Self::Cls, Self::Last];

    /// Its name, as in `--pooling`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
        }
    }

    /// The tokens whose hidden states it needs, of a text of so many.
    pub(in crate::engine) fn needs(self, tokens: usize) -> Range<usize> {
        match self {
            Self::None | Self::Mean => 0..tokens,
            Self::Cls => 0..tokens.min(1),
            Self::Last => tokens.saturating_sub(1)..tokens,
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Pooling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|pooling| pooling.name() == text);
        found.ok_or_else(|| format!("'{text}' is no pooling; known are {}", known()))
    }
}

/// Hidden states as they come, token by token.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Pool {
    pooling: Pooling,
    /// Of the mean, in the order of tokens.
    sums: Vec<f64>,
    count: usize,
    rows: Vec<Vec<f32>>,
}

impl Pool {
    pub fn new(pooling: Pooling) -> Self {
        Self { pooling, sums: Vec::new(), count: 0, rows: Vec::new() }
    }

    /// The hidden state of the next token that is [needed](Pooling::needs).
    pub fn add(&mut self, hidden: &[f32]) {
        self.count += 1;
        if self.pooling != Pooling::Mean {
            self.rows.push(hidden.to_vec());
            return;
        }
        self.sums.resize(hidden.len(), 0.0);
        self.sums.iter_mut().zip(hidden).for_each(|(sum, &x)| *sum += f64::from(x));
    }

    /// What has come of them: one vector, or one a token without pooling.
    pub fn finish(self) -> Vec<Vec<f32>> {
        match self.pooling {
            Pooling::Mean if self.count > 0 => {
                let count = self.count as f64;
                vec![self.sums.into_iter().map(|sum| (sum / count) as f32).collect()]
            }
            _ => self.rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pooling_takes_what_it_needs() {
        let rows = [[1.0, 2.0], [3.0, 5.0], [8.0, -1.0]];
        let of = |pooling: Pooling| {
            let mut pool = Pool::new(pooling);
            rows[pooling.needs(3)].iter().for_each(|row| pool.add(row));
            pool.finish()
        };
        assert_eq!(of(Pooling::Mean), [[4.0, 2.0]]);
        assert_eq!((of(Pooling::Cls), of(Pooling::Last)), (vec![vec![1.0, 2.0]], vec![vec![8.0, -1.0]]));
        assert_eq!(of(Pooling::None).len(), 3);
        assert!(Pool::new(Pooling::Mean).finish().is_empty());
    }

    #[test]
    fn poolings_have_names() {
        for pooling in Pooling::ALL {
            assert_eq!(pooling.to_string().parse(), Ok(pooling));
        }
        assert_eq!(
            "max".parse::<Pooling>().unwrap_err(),
            "'max' is no pooling; known are none, mean, cls, last"
        );
    }
}
