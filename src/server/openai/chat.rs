//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Common, Head, common, copies, finish_reason, set, usage};
use crate::server::answer::{CallPart, End, Piece, Step};
use crate::server::ask::{Ask, Prompt, conversation};
use crate::server::dialect::{Dialect, answer};
use crate::server::fields::Fields;
use crate::server::model::Model;
use crate::server::probabilities::{self, Style};
use crate::server::refusal::Refusal;
use crate::server::router::Call;
use crate::server::stream::{Form, Out, Writer, respond};
use crate::server::timings::{self, Progress};
use crate::server::tools::Tools;

/// The most likeliest tokens that may be asked for.
const MOST_TOP: usize = 20;

fn read(mut fields: Fields) -> Result<(Common, Ask), Refusal> {
    let input = conversation(&mut fields)?;
    let mut ask = Ask::new(Prompt::Chat(Box::new(input)));
    ask.read_limit(&mut fields, &["max_completion_tokens", "max_tokens"])?;
    let common = common(&mut fields, &mut ask)?;
    let wanted = fields.flag("logprobs")?.unwrap_or(false);
    let top = fields.whole("top_logprobs")?;
    if top.is_some_and(|top| top > MOST_TOP) {
        return Err(Refusal::field("top_logprobs", format!("'top_logprobs' has to be 0 to {MOST_TOP}")));
    }
    if top.is_some_and(|top| top > 0) && !wanted {
        return Err(Refusal::field("top_logprobs", "'top_logprobs' needs 'logprobs' to be true"));
    }
    ask.logprobs = wanted.then(|| top.unwrap_or(0));
    ask.tools = Tools::read(&mut fields)?;
    // What 'tools' was before.
    fields.neutral("functions", &[json!([])])?;
    fields.neutral("function_call", &[json!("none"), json!("auto")])?;
    fields.neutral("modalities", &[json!(["text"])])?;
    fields.done()?;
    Ok((common, ask))
}

/// The ids that go to the model for the body of a chat.
///
/// # Errors
/// As a chat has them.
pub(super) async fn prompt(call: &Call) -> Result<Vec<u32>, Refusal> {
    let (common, ask) = read(Fields::of_body(&call.body)?)?;
    let model = call.model(common.model.as_deref()).await?;
    let Prompt::Chat(input) = ask.prompt else { return Ok(Vec::new()) };
    Ok(model.render(*input, ask.tools.offered(), ask.thinking)?.1)
}

/// Answers a conversation.
pub(crate) async fn chat(call: Call) -> Result<Response, Refusal> {
    let (common, ask) = read(Fields::of_body(&call.body)?)?;
    let model = call.model(common.model.as_deref()).await?;
    let name = &call.called(&model, common.model.as_deref());
    let logprobs = ask.logprobs.is_some();
    let mut answers = call.ask(&model, copies(ask, common.n)).await?;
    if common.stream {
        let head = Head::new("chatcmpl", "chat.completion.chunk", &call, name);
        let writer = Chunks {
            head,
            model,
            logprobs,
            include_usage: common.include_usage,
            ends: Vec::new(),
            begun: Vec::new(),
            progress: (0..common.n).map(|_| Progress::new(&common.extras)).collect(),
        };
        return Ok(respond(Form::Events, answers, writer));
    }
    let head = Head::new("chatcmpl", "chat.completion", &call, name);
    let (pieces, ends): (Vec<Piece>, Vec<End>) = answers.whole().await?.into_iter().unzip();
    let choices = pieces.iter().zip(&ends).enumerate().map(|(index, (piece, end))| {
        let said = Some(&piece.text).filter(|text| !text.is_empty() || piece.calls.is_empty());
        let mut message = json!({ "role": "assistant", "content": said, "refusal": null });
        if !piece.reasoning.is_empty() {
            set(&mut message, "reasoning_content", json!(piece.reasoning));
        }
        if !piece.calls.is_empty() {
            let call = |call: &CallPart| {
                let function = json!({ "name": call.name(), "arguments": call.arguments });
                json!({ "id": call.id(), "type": "function", "function": function })
            };
            set(&mut message, "tool_calls", piece.calls.iter().map(call).collect());
        }
        json!({
            "index": index,
            "message": message,
            "logprobs": content(&model, piece, logprobs),
            "finish_reason": finish_reason(end),
        })
    });
    let mut value = head.with(choices.collect());
    set(&mut value, "usage", usage(&ends));
    if let [end] = ends.as_slice() {
        set(&mut value, "timings", timings::json(end));
    }
    let verbose = common.extras.verbose || call.shared.settings.verbose;
    if let Some(settings) = answers.all.first().map(|answer| &answer.settings).filter(|_| verbose) {
        set(&mut value, "__verbose", json!({ "prompt": model.text(&settings.prompt) }));
    }
    Ok(answer(&value))
}

/// More of a call in a stream. Of one that is none after all nothing comes: what it began with has been sent.
fn call_delta(part: &CallPart) -> Option<Value> {
    let mut function = json!({ "arguments": part.arguments });
    match &part.begins {
        None if part.broken.is_some() => None,
        None => Some(json!({ "index": part.index, "function": function })),
        Some((id, name)) => {
            set(&mut function, "name", json!(name));
            Some(json!({ "index": part.index, "id": id, "type": "function", "function": function }))
        }
    }
}

/// `logprobs` of a choice.
fn content(model: &Model, piece: &Piece, wanted: bool) -> Value {
    if wanted {
        json!({ "content": probabilities::list(model, &piece.tokens, Style::OpenAi), "refusal": null })
    } else {
        Value::Null
    }
}

struct Chunks {
    head: Head,
    model: Arc<Model>,
    logprobs: bool,
    include_usage: bool,
    ends: Vec<End>,
    /// Choices whose role was sent.
    begun: Vec<usize>,
    /// Of each choice.
    progress: Vec<Progress>,
}

impl Chunks {
    fn chunk(&self, index: usize, delta: Value, logprobs: Value, finish: Option<&str>) -> Value {
        let choice = json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
        let mut value = self.head.with(vec![choice]);
        if self.include_usage {
            set(&mut value, "usage", Value::Null);
        }
        value
    }

    /// `done` tokens of the prompt are taken in.
    fn report(&mut self, index: usize, done: usize, out: &mut Out) {
        if let Some(progress) = self.progress[index].at(done) {
            let mut value = self.chunk(index, json!({}), Value::Null, None);
            set(&mut value, "prompt_progress", progress);
            out.send(&value);
        }
    }

    fn send(&self, out: &mut Out, index: usize, delta: Value, logprobs: Value, finish: Option<&str>) {
        let mut value = self.chunk(index, delta, logprobs, finish);
        if finish.is_some()
            && let Some(end) = self.ends.last()
        {
            set(&mut value, "timings", timings::json(end));
        }
        out.send(&value);
    }
}

impl Writer for Chunks {
    fn write(&mut self, index: usize, step: Step, out: &mut Out) {
        if !self.begun.contains(&index) && !matches!(step, Step::Failed(_)) {
            self.begun.push(index);
            self.send(out, index, json!({ "role": "assistant", "content": null }), Value::Null, None);
        }
        match step {
            Step::Begun { prompt, cached } => {
                self.progress[index].begin(prompt, cached);
                self.report(index, cached, out);
            }
            Step::Progress { done } => self.report(index, done, out),
            Step::Piece(piece) => {
                let mut delta = json!({});
                if !piece.reasoning.is_empty() {
                    set(&mut delta, "reasoning_content", json!(piece.reasoning));
                }
                let calls: Vec<Value> = piece.calls.iter().filter_map(call_delta).collect();
                if piece.calls.is_empty() && (!piece.text.is_empty() || piece.reasoning.is_empty()) {
                    set(&mut delta, "content", json!(piece.text));
                }
                if !calls.is_empty() {
                    set(&mut delta, "tool_calls", json!(calls));
                }
                let mut value = self.chunk(index, delta, content(&self.model, &piece, self.logprobs), None);
                if let Some(timings) = self.progress[index].after(&piece) {
                    set(&mut value, "timings", timings);
                }
                out.send(&value);
            }
            Step::End(end) => {
                let finish = finish_reason(&end);
                self.ends.push(*end);
                self.send(out, index, json!({}), Value::Null, Some(finish));
            }
            Step::Failed(refusal) => out.send(&Dialect::OpenAi.error(&refusal)),
        }
    }

    fn end(&mut self, out: &mut Out) {
        if self.include_usage {
            let mut value = self.head.with(Vec::new());
            set(&mut value, "usage", usage(&self.ends));
            if let [end] = self.ends.as_slice() {
                set(&mut value, "timings", timings::json(end));
            }
            out.send(&value);
        }
        out.word("[DONE]");
    }
}
