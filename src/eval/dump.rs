//! The top-k tokens after each token of a text, to be compared with those of another run.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{EvalError, Sequence, Windows};
use crate::core::Remedy;

/// The largest number of top tokens that are stored.
pub const MOST: usize = 1000;

/// What a model expects at one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Index of the token that is expected; one beyond the last for what follows the text.
    pub target: usize,
    /// `ln(sum(exp(logits)))` over the whole vocabulary: a logit less this is the logarithm of a probability.
    pub logsumexp: f64,
    /// The top ids with their logits, in descending order; ids of the same logit in ascending order.
    pub top: Vec<(u32, f32)>,
}

/// The steps of a text, with all that they depend on besides the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogitDump {
    /// Tokens that the model knows.
    pub vocab_size: usize,
    /// How many top ids each step has.
    pub top_k: usize,
    /// Tokens of a window.
    pub window: usize,
    /// From one window to the next.
    pub stride: usize,
    /// The token before every window.
    pub prefix: Option<u32>,
    /// The text.
    pub ids: Vec<u32>,
    /// One for each token that was scored.
    pub steps: Vec<Step>,
}

/// The part of a report that is read.
#[derive(Deserialize)]
struct Report {
    logits: Option<LogitDump>,
}

impl LogitDump {
    /// Reads the report of an earlier evaluation.
    ///
    /// # Errors
    /// A file that cannot be read, is no such report or holds what no evaluation gives.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let fault =
            |reason: String| EvalError::Dump { path: path.into(), reason, remedies: &[Remedy::LogitDump] };
        let bytes = fs::read(path).map_err(|e| fault(format!("cannot be read: {e}")))?;
        let report: Report = serde_json::from_slice(&bytes).map_err(|e| {
            fault(format!("is no report of an evaluation ({e}); make one that stores its top logits"))
        })?;
        let dump = report
            .logits
            .ok_or_else(|| fault("holds no logits; make it again, with its top logits".to_owned()))?;
        match dump.flaw() {
            Some(flaw) => Err(fault(format!("is damaged: {flaw}; make it again, with its top logits"))),
            None => Ok(dump),
        }
    }

    /// What no evaluation gives.
    fn flaw(&self) -> Option<String> {
        let vocab = self.vocab_size;
        if self.top_k == 0 || self.top_k > MOST {
            return Some(format!("it has {} top tokens, not 1 to {MOST}", self.top_k));
        }
        let first = usize::from(self.prefix.is_none());
        for (i, step) in self.steps.iter().enumerate() {
            let largest = step.top.first().map_or(f32::NAN, |top| top.1);
            let sorted = step.top.is_sorted_by(|a, b| likelier(a, b) == Ordering::Less);
            let sound = step.top.len() == self.top_k.min(vocab)
                && sorted
                && step.top.iter().all(|(id, logit)| (*id as usize) < vocab && logit.is_finite())
                && step.logsumexp.is_finite()
                && step.logsumexp >= f64::from(largest) - 1e-6
                && step.target == first + i
                && step.target <= self.ids.len();
            if !sound {
                return Some(format!("step {i} cannot be"));
            }
        }
        None
    }

    /// Refuses to be compared with a run over something else.
    ///
    /// # Errors
    /// A sentence that says what is different. `path` is where this came from.
    pub fn fits(
        &self,
        path: &Path,
        sequence: &Sequence,
        windows: Windows,
        vocab: usize,
        steps: usize,
    ) -> Result<(), EvalError> {
        let remedies = &[Remedy::Windows, Remedy::EvaluatedText];
        let fault = |reason: String| Err(EvalError::Dump { path: path.into(), reason, remedies });
        if self.vocab_size != vocab {
            return fault(format!(
                "is of a model with {} tokens, but this one has {vocab}; compare models of one vocabulary",
                self.vocab_size
            ));
        }
        if self.ids.len() != sequence.ids.len() {
            return fault(format!(
                "is of a text of {} tokens, but this one has {}; give the same text",
                self.ids.len(),
                sequence.ids.len()
            ));
        }
        if let Some(at) = (0..self.ids.len()).find(|&i| self.ids[i] != sequence.ids[i]) {
            return fault(format!(
                "is of another text: its token {at} is {}, not {}",
                self.ids[at], sequence.ids[at]
            ));
        }
        if (self.window, self.stride) != (windows.size(), windows.stride()) {
            return fault(format!(
                "was made with a window of {} and a stride of {}; use the same",
                self.window, self.stride
            ));
        }
        if self.prefix != sequence.prefix || self.steps.len() != steps {
            return fault("was made in another way; give the text or the tokens as it was made".to_owned());
        }
        Ok(())
    }
}

/// Likelier first, then by id.
fn likelier(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The top `k` ids with their logits, in descending order. `memory` is reused from step to step.
pub fn top(logits: &[f32], k: usize, memory: &mut Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    memory.clear();
    memory.extend((0..).zip(logits.iter().copied()));
    let k = k.min(memory.len());
    if k == 0 {
        return Vec::new();
    }
    memory.select_nth_unstable_by(k - 1, likelier);
    memory.truncate(k);
    memory.sort_unstable_by(likelier);
    memory.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_largest_come_first_and_equals_by_id(
            levels in prop::collection::vec(0u8..6, 0..200), k in 0usize..250
        ) {
            let logits: Vec<f32> = levels.iter().map(|&l| f32::from(l)).collect();
            let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            all.sort_by(likelier);
            all.truncate(k);
            prop_assert_eq!(top(&logits, k, &mut Vec::new()), all);
        }
    }

    fn dump() -> LogitDump {
        let logits: Vec<f32> = noise(1, 10).collect();
        let logsumexp = super::super::log_sum_exp(&logits);
        let step = |target| Step { target, logsumexp, top: top(&logits, 3, &mut Vec::new()) };
        LogitDump {
            vocab_size: 10,
            top_k: 3,
            window: 8,
            stride: 4,
            prefix: Some(0),
            ids: vec![4, 9],
            steps: vec![step(0), step(1)],
        }
    }

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(&path, serde_json::json!({"other": 1, "logits": dump()}).to_string()).unwrap();
        let read = LogitDump::read(&path).unwrap();
        for (a, b) in read.steps.iter().zip(&dump().steps) {
            assert_eq!(a.top, b.top);
            assert!((a.logsumexp - b.logsumexp).abs() < 1e-15);
        }
        assert_eq!(read.ids, dump().ids);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let reason = |text: String| {
            fs::write(&path, text).unwrap();
            LogitDump::read(&path).unwrap_err().to_string()
        };
        let broken = |change: &dyn Fn(&mut LogitDump)| {
            let mut dump = dump();
            change(&mut dump);
            reason(serde_json::json!({"logits": dump}).to_string())
        };
        assert!(reason("{}".to_owned()).contains("holds no logits"));
        assert!(reason("[1, 2".to_owned()).contains("is no report of an evaluation"));
        assert!(broken(&|d| d.top_k = 0).contains("has 0 top tokens"));
        assert!(broken(&|d| d.top_k = 4).contains("step 0 cannot be"));
        assert!(broken(&|d| d.steps[1].top[0].0 = 10).contains("step 1"), "an id outside of the vocabulary");
        assert!(broken(&|d| d.steps[1].top.swap(0, 1)).contains("step 1"), "out of order");
        assert!(broken(&|d| d.steps[0].logsumexp = -5.0).contains("step 0"), "a probability above 1");
        assert!(broken(&|d| d.steps[0].target = 3).contains("step 0"));
        assert!(
            LogitDump::read(&dir.path().join("none")).unwrap_err().to_string().contains("cannot be read")
        );
    }

    #[test]
    fn only_the_same_text_in_the_same_windows_is_compared() {
        let sequence = Sequence { prefix: Some(0), ids: vec![4, 9], to_the_end: false };
        let windows = Windows::new(8, 4).unwrap();
        let fits = |dump: &LogitDump, sequence: &Sequence, windows, vocab| {
            dump.fits(Path::new("a.json"), sequence, windows, vocab, 2).map_err(|e| e.to_string())
        };
        let dump = dump();
        assert_eq!(fits(&dump, &sequence, windows, 10), Ok(()));
        let says = |result: Result<(), String>, part: &str| {
            let text = result.unwrap_err();
            assert!(text.starts_with("'a.json' ") && text.contains(part), "{text}");
        };
        says(fits(&dump, &sequence, windows, 11), "10 tokens, but this one has 11");
        let longer = Sequence { ids: vec![4, 9, 1], ..sequence.clone() };
        says(fits(&dump, &longer, windows, 10), "2 tokens, but this one has 3");
        let other = Sequence { ids: vec![4, 8], ..sequence.clone() };
        says(fits(&dump, &other, windows, 10), "its token 1 is 9, not 8");
        says(fits(&dump, &sequence, Windows::new(8, 5).unwrap(), 10), "a window of 8 and a stride of 4");
        let bare = Sequence { prefix: None, ..sequence };
        says(fits(&dump, &bare, windows, 10), "in another way");
    }
}
