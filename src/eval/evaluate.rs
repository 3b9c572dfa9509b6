//! A text through a model, window by window.

use std::path::Path;

use super::{Agreement, EvalError, Likelihood, LogitDump, Step, Windows, log_sum_exp, top};
use crate::core::CoreError;
use crate::engine::{EngineError, Session};

/// Tokens that a model is to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The token that stands before every window: the one that the model's texts begin with.
    pub prefix: Option<u32>,
    /// The tokens.
    pub ids: Vec<u32>,
    /// Whether what follows the last token is wanted too.
    pub to_the_end: bool,
}

/// What is wanted besides the likelihood.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// How many top tokens of each step to store.
    pub top_k: Option<usize>,
    /// Another run to compare with, and where it came from.
    pub against: Option<(&'a Path, &'a LogitDump)>,
    /// The likelihood of each so many tokens too (at least 1).
    pub segment: Option<usize>,
}

/// What came of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Of all tokens that were scored.
    pub likelihood: Likelihood,
    /// Of each [`Wanted::segment`] tokens, in the order of the text.
    pub segments: Vec<Likelihood>,
    /// Windows that they were scored in.
    pub windows: usize,
    /// The top tokens of each step.
    pub dump: Option<LogitDump>,
    /// How alike the other run is.
    pub agreement: Option<Agreement>,
}

/// Scores each token of `sequence` by the logits after those before it in its window. `progress` receives how many of
/// all tokens are done.
///
/// On the CPU backend the result is the same to the bit for any number of threads, chunk or instruction set.
///
/// # Errors
/// Too few tokens, logits that are not finite, another run of something else, and whatever the model answers.
pub fn evaluate(
    session: &mut Session,
    sequence: &Sequence,
    windows: Windows,
    wanted: Wanted<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, EvalError> {
    let tokens = sequence.ids.len();
    let prefixed = sequence.prefix.is_some();
    let steps = (tokens + usize::from(sequence.to_the_end)).saturating_sub(usize::from(!prefixed));
    if tokens == 0 || steps == 0 {
        return Err(EvalError::TooShort { tokens });
    }
    let vocab = session.spec().vocab_size;
    // The model looks at those that it is fed; the last one is only expected.
    if let Some(&id) = sequence.ids.iter().find(|&&id| id as usize >= vocab) {
        return Err(EngineError::from(CoreError::BadToken { id, vocab }).into());
    }
    if let Some((path, dump)) = wanted.against {
        dump.fits(path, sequence, windows, vocab, steps)?;
    }
    let mut run = Run::new(sequence, wanted);
    let mut count = 0;
    for window in windows.over(tokens, prefixed) {
        let last = window.tokens.end == tokens;
        // The last token of a window is expected, and nothing after it, unless that is wanted.
        let fed = window.tokens.end - usize::from(!(last && sequence.to_the_end));
        let ids: Vec<u32> = sequence
            .prefix
            .into_iter()
            .chain(sequence.ids[window.tokens.start..fed].iter().copied())
            .collect();
        // Row 0 is what the prefix, or else the window's first token, lets expect.
        let first = window.tokens.start + usize::from(!prefixed);
        session.score(&ids, window.scored - first, &mut |row, logits| run.step(first + row, logits))?;
        if let Some(fault) = run.fault.take() {
            return Err(fault);
        }
        count += 1;
        progress(window.tokens.end, tokens);
    }
    let dump = wanted.top_k.map(|top_k| LogitDump {
        vocab_size: vocab,
        top_k,
        window: windows.size(),
        stride: windows.stride(),
        prefix: sequence.prefix,
        ids: sequence.ids.clone(),
        steps: run.steps,
    });
    let agreement = wanted.against.map(|_| run.agreement);
    Ok(Evaluation { likelihood: run.likelihood, segments: run.segments, windows: count, dump, agreement })
}

/// What is known so far.
struct Run<'a> {
    sequence: &'a Sequence,
    wanted: Wanted<'a>,
    likelihood: Likelihood,
    segments: Vec<Likelihood>,
    agreement: Agreement,
    steps: Vec<Step>,
    fault: Option<EvalError>,
    memory: Vec<(u32, f32)>,
}

impl<'a> Run<'a> {
    fn new(sequence: &'a Sequence, wanted: Wanted<'a>) -> Self {
        Self {
            sequence,
            wanted,
            likelihood: Likelihood::default(),
            segments: Vec::new(),
            agreement: Agreement::default(),
            steps: Vec::new(),
            fault: None,
            memory: Vec::new(),
        }
    }

    /// Takes in the logits by which token `target` is expected.
    fn step(&mut self, target: usize, logits: &[f32]) {
        if self.fault.is_some() {
            return;
        }
        if let Some((token, &value)) = logits.iter().enumerate().find(|(_, l)| !l.is_finite()) {
            self.fault = Some(EvalError::NotFinite { token, before: target, value });
            return;
        }
        let logsumexp = log_sum_exp(logits);
        if let Some(&logit) = self.sequence.ids.get(target).and_then(|&id| logits.get(id as usize)) {
            let nll = logsumexp - f64::from(logit);
            self.likelihood.add(nll);
            if let Some(segment) = self.wanted.segment.and_then(|tokens| target.checked_div(tokens)) {
                // Targets come in ascending order, each once.
                self.segments.resize(segment + 1, Likelihood::default());
                self.segments[segment].add(nll);
            }
        }
        if let Some((_, dump)) = self.wanted.against {
            let done = self.agreement.steps();
            if let Some(theirs) = dump.steps.get(done) {
                self.agreement.add(theirs, logits, logsumexp);
            }
        }
        if let Some(k) = self.wanted.top_k {
            self.steps.push(Step { target, logsumexp, top: top(logits, k, &mut self.memory) });
        }
    }
}
