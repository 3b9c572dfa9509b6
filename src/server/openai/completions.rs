//! `POST /v1/completions`.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Common, Head, common, copies, finish_reason, set, usage};
use crate::engine::PromptRows;
use crate::server::answer::{End, Piece, Settled, Step};
use crate::server::ask::{Ask, Prompt};
use crate::server::dialect::{Dialect, answer};
use crate::server::fields::{Fields, ids, wrong};
use crate::server::model::Model;
use crate::server::probabilities;
use crate::server::refusal::Refusal;
use crate::server::router::Call;
use crate::server::stream::{Form, Out, Writer, respond};
use crate::server::timings::{self, Progress};

/// The most likeliest tokens that may be asked for.
const MOST_TOP: usize = 20;

/// The most prompts of a request.
const MOST_PROMPTS: usize = 128;

/// One text, one list of ids, or a list of either.
fn prompts(value: Value) -> Result<Vec<Prompt>, Refusal> {
    let bad = |value: &Value| wrong("prompt", "a text, a list of token ids, or a list of these", value);
    match value {
        Value::String(text) => Ok(vec![Prompt::Text(text)]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => {
            let ids = ids(&list).ok_or_else(|| bad(&Value::Array(list)))?;
            Ok(vec![Prompt::Ids(ids)])
        }
        Value::Array(list) if !list.is_empty() && list.len() <= MOST_PROMPTS => {
            let one = |value| match value {
                Value::String(text) => Ok(Prompt::Text(text)),
                Value::Array(list) => Ok(Prompt::Ids(ids(&list).ok_or_else(|| bad(&Value::Array(list)))?)),
                other => Err(bad(&other)),
            };
            list.into_iter().map(one).collect()
        }
        other => Err(bad(&other)),
    }
}

struct Wanted {
    common: Common,
    asks: Vec<Ask>,
    echo: bool,
    logprobs: bool,
    /// The most likely tokens at each of the prompt's.
    prompt_logprobs: Option<usize>,
}

fn read(mut fields: Fields) -> Result<Wanted, Refusal> {
    let prompt = fields.take("prompt");
    let prompts = prompts(fields.required("prompt", prompt)?)?;
    let mut ask = Ask::new(Prompt::Ids(Vec::new()));
    ask.read_limit(&mut fields, &["max_tokens"])?;
    let common = common(&mut fields, &mut ask)?;
    ask.logprobs = fields.whole("logprobs")?;
    if ask.logprobs.is_some_and(|top| top > MOST_TOP) {
        return Err(Refusal::field("logprobs", format!("'logprobs' has to be 0 to {MOST_TOP}")));
    }
    let echo = fields.flag("echo")?.unwrap_or(false);
    let prompt_logprobs = fields.whole("prompt_logprobs")?;
    if prompt_logprobs.is_some_and(|top| top > MOST_TOP) {
        return Err(Refusal::field(
            "prompt_logprobs",
            format!("'prompt_logprobs' has to be 0 to {MOST_TOP}"),
        ));
    }
    if let Some(top) = ask.logprobs.filter(|_| echo).max(prompt_logprobs) {
        ask.rows = PromptRows::Logprobs(top);
    }
    if common.stream && prompt_logprobs.is_some() {
        return Err(Refusal::unsupported("prompt_logprobs", "in a stream; 'echo' with 'logprobs' is"));
    }
    fields.neutral("best_of", &[json!(common.n)])?;
    fields.neutral("suffix", &[json!("")])?;
    fields.done()?;
    let logprobs = ask.logprobs.is_some();
    let of_prompt = |prompt| copies(Ask { prompt, ..ask.clone() }, common.n);
    let asks = prompts.into_iter().flat_map(of_prompt).collect();
    Ok(Wanted { common, asks, echo, logprobs, prompt_logprobs })
}

/// Goes on with texts.
pub(crate) async fn completions(call: Call) -> Result<Response, Refusal> {
    let Wanted { common, asks, echo, logprobs, prompt_logprobs } = read(Fields::of_body(&call.body)?)?;
    let model = call.model(common.model.as_deref()).await?;
    let name = &call.called(&model, common.model.as_deref());
    let said = asks.iter().map(|ask| if echo { said(&model, &ask.prompt) } else { Ok(String::new()) });
    let said = said.collect::<Result<Vec<String>, Refusal>>()?;
    let n = common.n;
    let mut answers = call.ask(&model, asks).await?;
    let head = Head::new("cmpl", "text_completion", &call, name);
    if common.stream {
        let offsets = said.iter().map(|text| text.chars().count()).collect();
        let include_usage = common.include_usage;
        let prompts = answers.all.iter().map(|answer| Arc::clone(&answer.settings)).collect();
        let waits = echo && logprobs;
        let progress = answers.all.iter().map(|_| Progress::new(&common.extras)).collect();
        let writer = Chunks {
            head,
            model,
            logprobs,
            include_usage,
            said,
            waits,
            prompts,
            offsets,
            ends: Vec::new(),
            n,
            progress,
        };
        return Ok(respond(Form::Events, answers, writer));
    }
    let (pieces, ends): (Vec<Piece>, Vec<End>) = answers.whole().await?.into_iter().unzip();
    let whole = pieces.iter().zip(&ends).zip(&said).zip(&answers.all);
    let choices = whole.enumerate().map(|(index, (((piece, end), said), answer))| {
        let mut offset = said.chars().count();
        let mut columns = columns(&model, piece, logprobs, &mut offset);
        if echo && logprobs {
            let mut all = probabilities::of_prompt(&model, &answer.settings.prompt, &piece.prompt);
            probabilities::append(&mut all, columns);
            columns = all;
        }
        let mut choice = json!({
            "index": index,
            "text": format!("{said}{}", piece.text),
            "logprobs": columns,
            "finish_reason": finish_reason(end),
        });
        if let Some(top) = prompt_logprobs {
            set(&mut choice, "prompt_logprobs", probabilities::prompt_logprobs(&model, &piece.prompt, top));
        }
        choice
    });
    let mut value = head.with(choices.collect());
    set(&mut value, "usage", usage_of_prompts(&ends, n));
    if let [end] = ends.as_slice() {
        set(&mut value, "timings", timings::json(end));
    }
    Ok(answer(&value))
}

/// A prompt as text.
fn said(model: &Model, prompt: &Prompt) -> Result<String, Refusal> {
    match prompt {
        Prompt::Text(text) => Ok(text.clone()),
        Prompt::Ids(ids) => {
            let text = model.tokenizer.decode(ids, true);
            text.map_err(|error| Refusal::field("prompt", error.to_string()))
        }
        Prompt::Chat(_) => Ok(String::new()),
    }
}

fn columns(model: &Model, piece: &Piece, wanted: bool, offset: &mut usize) -> Value {
    if wanted { probabilities::columns(model, &piece.tokens, offset) } else { Value::Null }
}

/// `usage` of several prompts with `n` answers each.
fn usage_of_prompts(ends: &[End], n: usize) -> Value {
    let mut all = usage(&[]);
    for ends in ends.chunks(n.max(1)) {
        let more = usage(ends);
        for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
            all[name] = json!(all[name].as_u64().unwrap_or(0) + more[name].as_u64().unwrap_or(0));
        }
        let cached = |usage: &Value| usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
        all["prompt_tokens_details"]["cached_tokens"] = json!(cached(&all) + cached(&more));
    }
    all
}

struct Chunks {
    head: Head,
    model: Arc<Model>,
    logprobs: bool,
    include_usage: bool,
    /// What is still to be said before each answer.
    said: Vec<String>,
    /// That is said with its probabilities, once they are there.
    waits: bool,
    /// The settings of each, with its prompt.
    prompts: Vec<Arc<Settled>>,
    /// Where the next token of each stands.
    offsets: Vec<usize>,
    ends: Vec<(usize, End)>,
    n: usize,
    /// Of each answer.
    progress: Vec<Progress>,
}

impl Chunks {
    fn chunk(&self, index: usize, text: &str, logprobs: Value, finish: Option<&str>) -> Value {
        let choice = json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish });
        let mut value = self.head.with(vec![choice]);
        if self.include_usage {
            set(&mut value, "usage", Value::Null);
        }
        value
    }

    /// How far a prompt is taken in.
    fn report(&mut self, index: usize, done: usize, out: &mut Out) {
        if let Some(progress) = self.progress[index].at(done) {
            let mut value = self.chunk(index, "", Value::Null, None);
            set(&mut value, "prompt_progress", progress);
            out.send(&value);
        }
    }
}

impl Writer for Chunks {
    fn write(&mut self, index: usize, step: Step, out: &mut Out) {
        let now = match &step {
            Step::Failed(_) => false,
            Step::Piece(piece) if self.waits => !piece.prompt.is_empty() || !self.said[index].is_empty(),
            Step::Begun { .. } | Step::Progress { .. } if self.waits => false,
            _ => !self.said[index].is_empty(),
        };
        if now {
            let said = std::mem::take(&mut self.said[index]);
            let logprobs = match &step {
                Step::Piece(piece) if self.waits => {
                    probabilities::of_prompt(&self.model, &self.prompts[index].prompt, &piece.prompt)
                }
                _ => Value::Null,
            };
            out.send(&self.chunk(index, &said, logprobs, None));
        }
        match step {
            Step::Begun { prompt, cached } => {
                self.progress[index].begin(prompt, cached);
                self.report(index, cached, out);
            }
            Step::Progress { done } => self.report(index, done, out),
            Step::Piece(piece) => {
                let logprobs = columns(&self.model, &piece, self.logprobs, &mut self.offsets[index]);
                let mut value = self.chunk(index, &piece.text, logprobs, None);
                if let Some(timings) = self.progress[index].after(&piece) {
                    set(&mut value, "timings", timings);
                }
                out.send(&value);
            }
            Step::End(end) => {
                let mut value = self.chunk(index, "", Value::Null, Some(finish_reason(&end)));
                set(&mut value, "timings", timings::json(&end));
                out.send(&value);
                self.ends.push((index, *end));
            }
            Step::Failed(refusal) => out.send(&Dialect::OpenAi.error(&refusal)),
        }
    }

    fn end(&mut self, out: &mut Out) {
        if self.include_usage {
            self.ends.sort_by_key(|(index, _)| *index);
            let ends: Vec<End> = self.ends.drain(..).map(|(_, end)| end).collect();
            let mut value = self.head.with(Vec::new());
            set(&mut value, "usage", usage_of_prompts(&ends, self.n));
            out.send(&value);
        }
        out.word("[DONE]");
    }
}
