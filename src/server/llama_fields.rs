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
        ("post_sampling_probs", vec![json!(false)]),
        ("lora", vec![json!([])]),
    ]
}

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
    for (name, off) in neutral() {
        fields.neutral(name, &off)?;
    }
    // Neither what was computed before nor which place a text has changes it here; times come with the end of a text.
    fields.ignore(&["cache_prompt", "id_slot", "timings_per_token"]);
    Ok(Extras { verbose, progress })
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
        assert_eq!((extras, ask.max_tokens), (Extras { verbose: true, progress: false }, Some(5)));
        for (name, value) in
            [("typical_p", json!(0.5)), ("lora", json!([{"id": 0}])), ("xtc_probability", json!(1))]
        {
            assert_eq!(self::extras(json!({ name: value })).unwrap_err().field.as_deref(), Some(name));
        }
        assert_eq!(extras_of(json!({"n_predict": -1})).1.max_tokens, None);
    }

    fn extras_of(body: Value) -> (Extras, Ask) {
        extras(body).unwrap()
    }
}
