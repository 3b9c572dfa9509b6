//! llama.cpp's own fields, which its clients also send in requests of OpenAI's form.

use serde_json::{Value, json};

use super::ask::Ask;
use super::fields::Fields;
use super::refusal::Refusal;

/// What llama.cpp's own fields ask for, besides settings of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// To see the prompt as it went to the model.
    pub verbose: bool,
    /// To hear how far the prompt is taken in.
    pub progress: bool,
    /// To have each piece of a stream with the times so far.
    pub timings: bool,
}

/// Fields of which only values are supported that ask for nothing.
fn neutral() -> Vec<(&'static str, Vec<Value>)> {
    let zero = || vec![json!(0)];
    vec![
        ("typical_p", vec![json!(1)]),
        ("mirostat", zero()),
        ("dynatemp_range", zero()),
        ("xtc_probability", zero()),
        ("dry_multiplier", zero()),
        ("top_n_sigma", vec![json!(-1)]),
        ("adaptive_target", vec![json!(-1)]),
        ("n_indent", zero()),
        ("n_keep", vec![json!(0), json!(-1)]),
        ("n_discard", zero()),
        ("min_keep", zero()),
        ("t_max_predict_ms", vec![json!(0), json!(-1)]),
        ("lora", vec![json!([])]),
        // Reasoning has a field of its own here; its other forms would be part of the text.
        ("reasoning_format", vec![json!("auto"), json!("deepseek")]),
        ("reasoning_in_content", vec![json!(false)]),
    ]
}

/// Fields that shape what is off, and those that change where something is computed and no text.
const WITHOUT_EFFECT: [&str; 13] = [
    // Neither what was computed before nor which place a text has changes it here.
    "cache_prompt",
    "id_slot",
    "n_cache_reuse",
    "backend_sampling",
    "mirostat_tau",
    "mirostat_eta",
    "dynatemp_exponent",
    "xtc_threshold",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "adaptive_decay",
];

/// Reads them; settings of the text go into `ask`. `n_predict` counts where no other limit has been read.
///
/// # Errors
/// Values of the wrong kind, and what is not supported.
pub(super) fn read(fields: &mut Fields, ask: &mut Ask) -> Result<Extras, Refusal> {
    ask.read_repetition(fields)?;
    ask.read_bias(fields)?;
    ask.read_grammar(fields)?;
    ask.read_response_format(fields)?;
    ask.ignore_eos = fields.flag("ignore_eos")?.unwrap_or(false);
    ask.read_limit(fields, &["n_predict"])?;
    let verbose = fields.flag("verbose")?.unwrap_or(false);
    let progress = fields.flag("return_progress")?.unwrap_or(false);
    let timings = fields.flag("timings_per_token")?.unwrap_or(false);
    ask.chances = fields.flag("post_sampling_probs")?.unwrap_or(false);
    for (name, off) in neutral() {
        fields.neutral(name, &off)?;
    }
    fields.ignore(&WITHOUT_EFFECT);
    Ok(Extras { verbose, progress, timings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ask::Prompt;

    fn extras(body: Value) -> Result<(Extras, Ask), Refusal> {
        let mut fields = Fields::of_body(body.to_string().as_bytes())?;
        let mut ask = Ask::new(Prompt::Ids(vec![1]));
        let extras = read(&mut fields, &mut ask)?;
        fields.done().map(|()| (extras, ask))
    }

    #[test]
    fn what_asks_for_nothing_is_taken_and_the_rest_named() {
        let (extras, ask) = extras_of(json!({
            "typical_p": 1.0, "mirostat": 0, "cache_prompt": true, "id_slot": 3, "n_predict": 5, "verbose": true,
        }));
        assert_eq!((extras, ask.max_tokens), (Extras { verbose: true, ..Extras::default() }, Some(5)));
        let (extras, ask) =
            extras_of(json!({"timings_per_token": true, "post_sampling_probs": true, "dry_base": 2}));
        assert!(extras.timings && ask.chances && ask.logprobs.is_none());
        for (name, value) in [
            ("typical_p", json!(0.5)),
            ("lora", json!([{"id": 0}])),
            ("xtc_probability", json!(1)),
            ("reasoning_format", json!("none")),
        ] {
            assert_eq!(self::extras(json!({ name: value })).unwrap_err().field.as_deref(), Some(name));
        }
        assert_eq!(extras_of(json!({"n_predict": -1})).1.max_tokens, None);
    }

    fn extras_of(body: Value) -> (Extras, Ask) {
        extras(body).unwrap()
    }
}
