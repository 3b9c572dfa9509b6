//! Penalties for tokens that were there before.

use super::SamplingParams;

/// Lowers the logits of tokens among the last ones. One call costs O(w log w) for a window of w tokens,
/// whatever the vocabulary.
#[derive(Debug, Clone)]
pub struct Penalties {
    repetition: f64,
    frequency: f64,
    presence: f64,
    window: usize,
    sorted: Vec<u32>,
}

impl Penalties {
    /// The penalties of `params`.
    pub fn new(params: &SamplingParams) -> Self {
        Self {
            repetition: f64::from(params.repetition_penalty),
            frequency: f64::from(params.frequency_penalty),
            presence: f64::from(params.presence_penalty),
            window: params.repetition_window,
            sorted: Vec::new(),
        }
    }

    /// Whether logits stay as they are.
    pub fn is_off(&self) -> bool {
        self.window == 0 || (self.repetition == 1.0 && self.frequency == 0.0 && self.presence == 0.0)
    }

    /// Changes the logits of the distinct tokens in the window, which is the end of `history` (prompt and
    /// generated tokens). First the repetition penalty as in Hugging Face's `transformers`: a negative logit
    /// is multiplied, any other divided, once however often the token is there. Then, as in OpenAI's API,
    /// `count * frequency + presence` is subtracted. Ids without a logit are passed over.
    pub fn apply(&mut self, logits: &mut [f32], history: &[u32]) {
        if self.is_off() {
            return;
        }
        let window = &history[history.len().saturating_sub(self.window)..];
        self.sorted.clear();
        self.sorted.extend_from_slice(window);
        self.sorted.sort_unstable();
        for same in self.sorted.chunk_by(|a, b| a == b) {
            let Some(logit) = logits.get_mut(same[0] as usize) else { continue };
            let value = f64::from(*logit);
            let value = if value < 0.0 { value * self.repetition } else { value / self.repetition };
            *logit = (value - (same.len() as f64 * self.frequency + self.presence)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalties(repetition: f32, frequency: f32, presence: f32, window: usize) -> Penalties {
        Penalties::new(&SamplingParams {
            repetition_penalty: repetition,
            frequency_penalty: frequency,
            presence_penalty: presence,
            repetition_window: window,
            ..SamplingParams::default()
        })
    }

    fn applied(mut penalties: Penalties, history: &[u32]) -> [f32; 4] {
        let mut logits = [2.0, -2.0, 0.0, 4.0];
        penalties.apply(&mut logits, history);
        logits
    }

    #[test]
    fn repetition_divides_positive_and_multiplies_negative_logits_once() {
        assert_eq!(applied(penalties(2.0, 0.0, 0.0, 64), &[0, 1, 0, 2]), [1.0, -4.0, 0.0, 4.0]);
        assert_eq!(applied(penalties(0.5, 0.0, 0.0, 64), &[0, 1]), [4.0, -1.0, 0.0, 4.0]);
    }

    #[test]
    fn frequency_counts_and_presence_does_not() {
        assert_eq!(applied(penalties(1.0, 0.5, 0.0, 64), &[3, 0, 3, 3]), [1.5, -2.0, 0.0, 2.5]);
        assert_eq!(applied(penalties(1.0, 0.0, 0.25, 64), &[3, 3, 1]), [2.0, -2.25, 0.0, 3.75]);
        // Together, repetition first: 4 / 2 - (2 * 0.5 + 0.25).
        assert_eq!(applied(penalties(2.0, 0.5, 0.25, 64), &[3, 3]), [2.0, -2.0, 0.0, 0.75]);
    }

    #[test]
    fn only_the_last_tokens_count() {
        assert_eq!(applied(penalties(2.0, 0.0, 0.0, 2), &[3, 0, 1]), [1.0, -4.0, 0.0, 4.0]);
        assert_eq!(applied(penalties(2.0, 0.0, 0.0, 0), &[3, 0, 1]), [2.0, -2.0, 0.0, 4.0]);
        assert_eq!(applied(penalties(2.0, 0.0, 0.0, usize::MAX), &[3]), [2.0, -2.0, 0.0, 2.0]);
        assert_eq!(applied(penalties(2.0, 1.0, 1.0, 64), &[]), [2.0, -2.0, 0.0, 4.0]);
    }

    #[test]
    fn ids_without_a_logit_and_infinite_logits_do_no_harm() {
        assert_eq!(applied(penalties(2.0, 0.0, 0.0, 64), &[9, u32::MAX, 0]), [1.0, -2.0, 0.0, 4.0]);
        let mut logits = [f32::INFINITY, f32::NEG_INFINITY];
        penalties(1e30, f32::MAX, f32::MAX, 64).apply(&mut logits, &[0, 1, 1]);
        assert_eq!(logits, [f32::INFINITY, f32::NEG_INFINITY]);
    }
}
