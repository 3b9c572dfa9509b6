//! A text that is asked for, and what comes of it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::drafter::DraftStats;
use super::prompt_rows::PromptRows;
use super::switch::MoveStats;
use crate::kv::EvictionStats;
use crate::models::llama::NonFinite;
use crate::sampling::{Rule, SamplingParams};

/// Who may share keys and values: a text begins with those that were computed for another one only if both have the same
/// salt, or both have none. Whoever asks makes it, of a secret or a name, so that the one cannot be found from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CacheSalt(pub [u8; 32]);

/// What to generate.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The prompt, special tokens included.
    pub prompt: Vec<u32>,
    /// The most tokens to generate; `None`: until the model ends the text or the context is full.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the generation; they are not part of the output.
    pub stop: Vec<String>,
    /// Go on after the model's end-of-text token, which is then among the ids but prints nothing.
    pub ignore_eos: bool,
    /// How many random numbers of the seed belong to earlier texts: this one begins with the next. 0 for a text by
    /// itself.
    pub draws: u64,
    /// Tokens of the answer for which room is made before the prompt goes in, as far as an eviction can make it: so that
    /// it falls between the turns of a conversation and not into one. 0 evicts nothing early.
    pub room: usize,
    /// Added to the logits of these tokens before anything else; -inf rules a token out.
    pub bias: Vec<(u32, f32)>,
    /// Report [`Observer::token`] with the probabilities of so many of the most likely tokens; `None` for no such reports.
    pub logprobs: Option<usize>,
    /// These are the chances with which the token was drawn, after bias, penalties and filters, and not the model's own
    /// probabilities. Tokens that could not be drawn are not among the most likely ones.
    pub chances: bool,
    /// What is wanted of the prompt itself.
    pub prompt_rows: PromptRows,
    /// Special tokens whose text is part of this text, as the markers of reasoning are.
    pub shown: Vec<u32>,
    /// What the text has to be. It ends when nothing may follow, even if [`Self::ignore_eos`] is set.
    pub rule: Option<Arc<dyn Rule>>,
    /// Which other texts may share keys and values with this one in a [`Batcher`](super::Batcher); a session has one text at
    /// a time, and no use for it.
    pub cache_salt: Option<CacheSalt>,
}

/// A token that was chosen, and how likely the model found it: by all logits as they come from the model, before any bias,
/// penalty or filter, unless [`Request::chances`] asks for what these have made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenToken {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The most likely tokens with theirs, the likeliest first.
    pub top: Vec<(u32, f64)>,
}

/// Follows a generation as it runs.
pub trait Observer {
    /// `done` of `total` prompt tokens are taken in; those in common with the text before are so from the start.
    fn prefill(&mut self, done: usize, total: usize);

    /// The next token of the prompt, from the second one on; only if [`Request::prompt_rows`] asks for it.
    fn prompt_token(&mut self, _token: ChosenToken) {}

    /// The next token of the answer, before the text that it completes.
    fn id(&mut self, _id: u32) {}

    /// How likely it was, after [`Self::id`]; only if [`Request::logprobs`] asks for it.
    fn token(&mut self, _token: ChosenToken) {}

    /// More text, in order; whole characters, and nothing that belongs to a stop string. `Break` ends the
    /// generation (the reader has gone).
    fn text(&mut self, piece: &str) -> ControlFlow<()>;

    /// Something in the model's arithmetic is not finite, and what follows from it has no meaning. Reported once, and
    /// only if the session looks for it.
    fn non_finite(&mut self, _found: &NonFinite) {}

    /// The text has become longer than the `trained` positions that the model was trained for, which only a cache
    /// that evicts lets it. Reported once.
    fn beyond_training(&mut self, _trained: usize) {}

    /// The model has computed for `busy` since the last such call, and will go on when this returns: the moment to let
    /// the machine rest. Reported after every chunk of the prompt and every token.
    fn rest(&mut self, _busy: Duration) {}

    /// Whether to stop now. Asked before every chunk of the prompt and every token.
    fn cancelled(&self) -> bool;
}

/// No observer.
impl Observer for () {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// Why a generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended the text.
    EndOfText,
    /// This stop string came up.
    Stop(String),
    /// As many tokens as asked for.
    Length,
    /// `--max-seq-len` tokens.
    ContextFull,
    /// [`Observer::cancelled`] said so.
    Cancelled,
    /// [`Observer::text`] broke off.
    OutputClosed,
}

impl Finish {
    /// One word for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Finish::EndOfText => "eos",
            Finish::Stop(_) => "stop",
            Finish::Length => "length",
            Finish::ContextFull => "context",
            Finish::Cancelled => "cancelled",
            Finish::OutputClosed => "closed",
        }
    }
}

/// How long each part took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Taking in the prompt, up to its last logits.
    pub prefill: Duration,
    /// From the start of prefill until the first token was chosen; zero if none was.
    pub first_token: Duration,
    /// All tokens after the first one.
    pub decode: Duration,
}

/// What was generated.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The text, without prompt and stop string.
    pub text: String,
    /// The ids after the prompt, in order; the end-of-text token is not among them unless it was ignored.
    pub ids: Vec<u32>,
    /// The hidden states of the prompt, if [`Request::prompt_rows`] asks for them: one vector, which has been
    /// through the model's [layers after pooling](super::EmbeddingHead), or without pooling one for each token as it is. None
    /// has a norm of its own.
    pub hidden: Vec<Vec<f32>>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that did not go through the model, since the text before began with them.
    pub reused_tokens: usize,
    /// Tokens taken in after the prompt, which [`Timings::decode`] covers. Each is a forward pass of its own,
    /// but for those that were drafted and accepted.
    pub decode_steps: usize,
    /// What became of drafts.
    pub lookup: DraftStats,
    /// What was evicted from the cache.
    pub eviction: EvictionStats,
    /// What was moved between two backends.
    pub moved: MoveStats,
    /// Tokens that the cache holds at the end.
    pub held: usize,
    /// Tokens that went through the model: the position of the next one.
    pub positions: usize,
    /// Random numbers of the seed that are used up, those before this text included.
    pub draws: u64,
    /// Why it ended.
    pub finish: Finish,
    /// Durations.
    pub timings: Timings,
}
