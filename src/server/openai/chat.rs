//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Common, Head, common, copies, finish_reason, set, usage};
use crate::chat::ChatInput;
use crate::server::answer::{End, Piece, Step};
use crate::server::ask::{Ask, Prompt, messages};
use crate::server::dialect::{Dialect, answer};
use crate::server::fields::Fields;
use crate::server::model::Model;
use crate::server::refusal::Refusal;
use crate::server::router::Call;
use crate::server::stream::{Form, Out, Writer, respond};
use crate::server::{probabilities, timings};

/// The most likeliest tokens that may be asked for.
const MOST_TOP: usize = 20;

fn read(mut fields: Fields) -> Result<(Common, Ask), Refusal> {
    let messages = messages(&mut fields, &["name", "refusal", "annotations", "audio"])?;
    let generation = fields.flag("add_generation_prompt")?.unwrap_or(true);
    let mut input = ChatInput::new(&messages, generation);
    if let Some(variables) = fields.object("chat_template_kwargs")? {
        for (name, value) in variables.all() {
            input = input.with(&name, value);
        }
    }
    let mut ask = Ask::new(Prompt::Chat(Box::new(input)));
    let common = common(&mut fields, &mut ask)?;
    ask.max_tokens = match fields.whole("max_completion_tokens")? {
        None => fields.whole("max_tokens")?,
        given => {
            fields.ignore(&["max_tokens"]);
            given
        }
    };
    let wanted = fields.flag("logprobs")?.unwrap_or(false);
    let top = fields.whole("top_logprobs")?;
    if top.is_some_and(|top| top > MOST_TOP) {
        return Err(Refusal::field("top_logprobs", format!("'top_logprobs' has to be 0 to {MOST_TOP}")));
    }
    if top.is_some_and(|top| top > 0) && !wanted {
        return Err(Refusal::field("top_logprobs", "'top_logprobs' needs 'logprobs' to be true"));
    }
    ask.logprobs = wanted.then(|| top.unwrap_or(0));
    for list in ["tools", "functions"] {
        fields.neutral(list, &[json!([])])?;
    }
    for choice in ["tool_choice", "function_call"] {
        fields.neutral(choice, &[json!("none"), json!("auto")])?;
    }
    fields.neutral("modalities", &[json!(["text"])])?;
    fields.ignore(&["parallel_tool_calls"]);
    fields.done()?;
    Ok((common, ask))
}

/// Answers a conversation.
pub(crate) async fn chat(call: Call) -> Result<Response, Refusal> {
    let model = Arc::clone(call.shared.model()?);
    let (common, ask) = read(Fields::of_body(&call.body)?)?;
    model.check_name(common.model.as_deref())?;
    let name = common.model.as_deref().unwrap_or(model.name());
    let logprobs = ask.logprobs.is_some();
    let mut answers = call.shared.ask(&call.id, copies(ask, common.n)).await?;
    if common.stream {
        let head = Head::new("chatcmpl", "chat.completion.chunk", &call, name);
        let writer = Chunks {
            head,
            model,
            logprobs,
            include_usage: common.include_usage,
            ends: Vec::new(),
            begun: Vec::new(),
        };
        return Ok(respond(Form::Events, answers, writer));
    }
    let head = Head::new("chatcmpl", "chat.completion", &call, name);
    let (pieces, ends): (Vec<Piece>, Vec<End>) = answers.whole().await?.into_iter().unzip();
    let choices = pieces.iter().zip(&ends).enumerate().map(|(index, (piece, end))| {
        let mut message = json!({ "role": "assistant", "content": piece.text, "refusal": null });
        if !piece.reasoning.is_empty() {
            set(&mut message, "reasoning_content", json!(piece.reasoning));
        }
        json!({
            "index": index,
            "message": message,
            "logprobs": content(&model, piece, logprobs),
            "finish_reason": finish_reason(&end.finish),
        })
    });
    let mut value = head.with(choices.collect());
    set(&mut value, "usage", usage(&ends));
    if let [end] = ends.as_slice() {
        set(&mut value, "timings", timings::json(end));
    }
    Ok(answer(&value))
}

/// `logprobs` of a choice.
fn content(model: &Model, piece: &Piece, wanted: bool) -> Value {
    if wanted {
        json!({ "content": probabilities::list(model, &piece.tokens, false), "refusal": null })
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
}

impl Chunks {
    fn send(&self, out: &mut Out, index: usize, delta: Value, logprobs: Value, finish: Option<&str>) {
        let choice = json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
        let mut value = self.head.with(vec![choice]);
        if self.include_usage {
            set(&mut value, "usage", Value::Null);
        }
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
            self.send(out, index, json!({ "role": "assistant", "content": "" }), Value::Null, None);
        }
        match step {
            Step::Begun { .. } => {}
            Step::Piece(piece) => {
                let mut delta = json!({});
                if !piece.reasoning.is_empty() {
                    set(&mut delta, "reasoning_content", json!(piece.reasoning));
                }
                if !piece.text.is_empty() || piece.reasoning.is_empty() {
                    set(&mut delta, "content", json!(piece.text));
                }
                self.send(out, index, delta, content(&self.model, &piece, self.logprobs), None);
            }
            Step::End(end) => {
                let finish = finish_reason(&end.finish);
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
            out.send(&value);
        }
        out.word("[DONE]");
    }
}
