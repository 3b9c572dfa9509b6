//! The settings of sampling, and which of them are valid.

use super::{Result, SamplingError};

/// How tokens are chosen. See [`super::Chain`] for the order in which the settings apply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 always chooses the argmax.
    pub temperature: f32,
    /// Keep this many of the most likely tokens; 0 keeps all, 1 is greedy.
    pub top_k: usize,
    /// Keep the most likely tokens until their probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the window (CTRL, arXiv:1909.05858); 1 is
    /// off.
    pub repetition_penalty: f32,
    /// How many of the last tokens, those of the prompt included, the three penalties look at; 0 turns them
    /// off.
    pub repetition_window: usize,
    /// Subtracted from a token's logit for each time it is in the window.
    pub frequency_penalty: f32,
    /// Subtracted once from the logit of each token in the window.
    pub presence_penalty: f32,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            seed: 0,
        }
    }
}

impl SamplingParams {
    /// Always the argmax, without penalties.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Whether the argmax is always chosen, so that no random number is drawn.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`SamplingError::BadParam`] for the first one that makes no sense.
    pub fn validate(&self) -> Result<()> {
        let check = |name, value: f32, ok: bool, expected| {
            if ok { Ok(()) } else { Err(SamplingError::BadParam { name, value, expected }) }
        };
        let t = self.temperature;
        check("temperature", t, t.is_finite() && t >= 0.0, "0 (greedy) or a positive number")?;
        let p = self.top_p;
        check("top-p", p, p > 0.0 && p <= 1.0, "above 0 and at most 1 (off)")?;
        let p = self.min_p;
        check("min-p", p, (0.0..1.0).contains(&p), "at least 0 (off) and below 1")?;
        let r = self.repetition_penalty;
        check("repetition penalty", r, r.is_finite() && r > 0.0, "a positive number (1 is off)")?;
        let f = self.frequency_penalty;
        check("frequency penalty", f, f.is_finite(), "a finite number (0 is off)")?;
        let p = self.presence_penalty;
        check("presence penalty", p, p.is_finite(), "a finite number (0 is off)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_and_the_limits_are_valid() {
        SamplingParams::default().validate().unwrap();
        SamplingParams::greedy().validate().unwrap();
        let limits = SamplingParams { top_p: 1.0, min_p: 0.0, temperature: 0.0, ..Default::default() };
        limits.validate().unwrap();
        let negative = SamplingParams { frequency_penalty: -2.0, presence_penalty: -1.5, ..limits };
        negative.validate().unwrap();
    }

    #[test]
    fn each_bad_setting_is_named_with_its_value() {
        let d = SamplingParams::default;
        let inf = f32::INFINITY;
        for (params, name) in [
            (SamplingParams { temperature: -0.5, ..d() }, "temperature is -0.5"),
            (SamplingParams { temperature: f32::NAN, ..d() }, "temperature is NaN"),
            (SamplingParams { temperature: inf, ..d() }, "temperature is inf"),
            (SamplingParams { top_p: 0.0, ..d() }, "top-p is 0"),
            (SamplingParams { top_p: 1.5, ..d() }, "top-p is 1.5"),
            (SamplingParams { top_p: f32::NAN, ..d() }, "top-p is NaN"),
            (SamplingParams { min_p: 1.0, ..d() }, "min-p is 1"),
            (SamplingParams { min_p: -0.1, ..d() }, "min-p is -0.1"),
            (SamplingParams { repetition_penalty: 0.0, ..d() }, "repetition penalty is 0"),
            (SamplingParams { repetition_penalty: inf, ..d() }, "repetition penalty is inf"),
            (SamplingParams { frequency_penalty: f32::NAN, ..d() }, "frequency penalty is NaN"),
            (SamplingParams { presence_penalty: -inf, ..d() }, "presence penalty is -inf"),
        ] {
            let message = params.validate().unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }

    #[test]
    fn greedy_is_temperature_zero_or_one_candidate() {
        assert!(SamplingParams::greedy().is_greedy());
        assert!(SamplingParams { top_k: 1, ..Default::default() }.is_greedy());
        assert!(!SamplingParams { top_k: 0, ..Default::default() }.is_greedy());
    }
}
