//! Texts that are scored each for itself.

use super::{EvalError, Evaluation, Likelihood, Sequence, Wanted, Windows, evaluate};
use crate::engine::{EngineError, Request, Session};
use crate::sampling::SamplingParams;

/// The paragraphs of a text, which blank lines separate.
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(str::trim).filter(|p| !p.is_empty())
}

/// `count` texts of up to `tokens` tokens that the model generates after `start`, at temperature 1 and from its whole
/// distribution: what another format adds to their likelihood is its divergence from this one, and not luck with a few
/// words. The same ones each time.
///
/// # Errors
/// Whatever the model answers.
pub fn make_up(
    session: &mut Session,
    start: u32,
    count: usize,
    tokens: usize,
) -> Result<Vec<Vec<u32>>, EngineError> {
    (0..count as u64)
        .map(|seed| {
            let sampling =
                SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, seed, ..SamplingParams::default() };
            let request = Request {
                prompt: vec![start],
                max_tokens: Some(tokens),
                sampling,
                stop: Vec::new(),
                ignore_eos: false,
                ..Request::default()
            };
            let ids = session.generate(&request, &mut ())?.ids;
            Ok([vec![start], ids].concat())
        })
        .collect()
}

/// The likelihood of all tokens but the first of each text, each from an empty context; every token weighs the same.
///
/// # Errors
/// Whatever the model answers. Texts of fewer than two tokens count for nothing.
pub fn score(session: &mut Session, texts: &[Vec<u32>]) -> Result<Likelihood, EvalError> {
    let mut all = Likelihood::default();
    for ids in texts.iter().filter(|ids| ids.len() > 1) {
        let windows = Windows::new(ids.len(), ids.len() - 1)?;
        let sequence = Sequence { prefix: None, ids: ids.clone(), to_the_end: false };
        let Evaluation { likelihood, .. } =
            evaluate(session, &sequence, windows, Wanted::default(), &mut |_, _| ())?;
        all.merge(&likelihood);
    }
    Ok(all)
}
