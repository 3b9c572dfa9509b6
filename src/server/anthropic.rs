//! Anthropic's interface: <https://docs.anthropic.com/en/api/messages>.

use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{End, Piece, Step};
use super::ask::{Ask, Prompt, answered, messages as read_messages, parts};
use super::dialect::{Dialect, answer};
use super::fields::Fields;
use super::refusal::{Kind, Refusal};
use super::router::Call;
use super::stream::{Form, Out, Writer, respond};
use crate::chat::{ChatInput, Message};
use crate::engine::Finish;

struct Wanted {
    model: String,
    input: ChatInput,
    thinking: Option<bool>,
}

/// What a conversation is made of.
fn conversation(fields: &mut Fields) -> Result<Wanted, Refusal> {
    let model = fields.text("model")?;
    let model = fields.required("model", model)?;
    let mut messages = read_messages(fields, &[])?;
    if let Some(system) = fields.take("system") {
        messages.insert(0, Message::new("system", parts(system, "system")?));
    }
    let thinking = match fields.object("thinking")? {
        None => None,
        Some(mut thinking) => {
            let kind = thinking.text("type")?;
            // How long it reasons is the model's own affair.
            thinking.ignore(&["budget_tokens", "display"]);
            thinking.done()?;
            match kind.as_deref() {
                Some("enabled") => Some(true),
                Some("disabled") => Some(false),
                Some("adaptive") | None => None,
                Some(_) => return Err(Refusal::unsupported("thinking.type", "")),
            }
        }
    };
    fields.neutral("tools", &[json!([])])?;
    fields.neutral("tool_choice", &[json!({ "type": "auto" }), json!({ "type": "none" })])?;
    Ok(Wanted { model, input: answered(&messages)?, thinking })
}

/// `POST /v1/messages`.
pub(super) async fn messages(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let Wanted { model: name, input, thinking } = conversation(&mut fields)?;
    let mut ask = Ask::new(Prompt::Chat(Box::new(input)));
    ask.thinking = thinking;
    let most = fields.whole("max_tokens")?;
    ask.max_tokens = Some(fields.required("max_tokens", most)?);
    ask.read_sampling(&mut fields)?;
    ask.read_output(&mut fields)?;
    ask.stop = fields.texts("stop_sequences")?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    fields.neutral("mcp_servers", &[json!([])])?;
    fields.ignore(&["metadata", "service_tier", "cache_control"]);
    fields.done()?;
    let model = call.model(Some(&name)).await?;
    let name = call.called(&model, Some(&name));
    let mut answers = call.shared.ask(&call.id, &model, vec![ask]).await?;
    let id = format!("msg_{}", call.id);
    if stream {
        let writer = Events { id, model: name, open: None, blocks: 0, begun: false };
        return Ok(respond(Form::Events, answers, writer));
    }
    let mut all = answers.whole().await?;
    let (piece, end) = all.pop().ok_or_else(|| Refusal::new(Kind::Failed, "there is no answer"))?;
    let Piece { reasoning, text, .. } = piece;
    let mut content = Vec::new();
    if !reasoning.is_empty() {
        content.push(json!({ "type": "thinking", "thinking": reasoning, "signature": "" }));
    }
    content.push(json!({ "type": "text", "text": text }));
    let (reason, sequence) = stop(&end.finish);
    let mut value =
        message(&id, &name, content, usage(end.prompt_tokens, end.cached_tokens, end.generated_tokens));
    value["stop_reason"] = json!(reason);
    value["stop_sequence"] = json!(sequence);
    Ok(answer(&value))
}

/// `POST /v1/messages/count_tokens`.
pub(super) async fn count_tokens(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let Wanted { model: name, input, thinking } = conversation(&mut fields)?;
    // Neither adds to the prompt.
    fields.ignore(&["max_tokens", "output_config", "output_format"]);
    fields.done()?;
    let model = call.model(Some(&name)).await?;
    let (_, ids) = model.render(input, thinking)?;
    Ok(answer(&json!({ "input_tokens": ids.len() })))
}

fn message(id: &str, model: &str, content: Vec<Value>, usage: Value) -> Value {
    json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": null,
        "stop_sequence": null, "usage": usage,
    })
}

/// Tokens that were computed for an earlier text are counted apart, as Anthropic does.
fn usage(prompt: usize, cached: usize, generated: usize) -> Value {
    json!({
        "input_tokens": prompt - cached.min(prompt), "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached, "output_tokens": generated,
    })
}

fn stop(finish: &Finish) -> (&'static str, Option<&str>) {
    match finish {
        Finish::Length | Finish::ContextFull => ("max_tokens", None),
        Finish::Stop(text) => ("stop_sequence", Some(text)),
        _ => ("end_turn", None),
    }
}

/// Kinds of blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
}

struct Events {
    id: String,
    model: String,
    /// The block that is being written.
    open: Option<Block>,
    /// Blocks that have ended.
    blocks: usize,
    begun: bool,
}

impl Events {
    fn begin(&mut self, prompt: usize, cached: usize, out: &mut Out) {
        if !self.begun {
            self.begun = true;
            let message = message(&self.id, &self.model, Vec::new(), usage(prompt, cached, 0));
            out.event("message_start", &json!({ "type": "message_start", "message": message }));
            out.event("ping", &json!({ "type": "ping" }));
        }
    }

    fn close(&mut self, out: &mut Out) {
        if self.open.take().is_some() {
            let index = self.blocks;
            out.event("content_block_stop", &json!({ "type": "content_block_stop", "index": index }));
            self.blocks += 1;
        }
    }

    fn add(&mut self, block: Block, text: &str, out: &mut Out) {
        if self.open != Some(block) {
            self.close(out);
            self.open = Some(block);
            let content = match block {
                Block::Thinking => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                Block::Text => json!({ "type": "text", "text": "" }),
            };
            let start =
                json!({ "type": "content_block_start", "index": self.blocks, "content_block": content });
            out.event("content_block_start", &start);
        }
        let delta = match block {
            Block::Thinking => json!({ "type": "thinking_delta", "thinking": text }),
            Block::Text => json!({ "type": "text_delta", "text": text }),
        };
        let value = json!({ "type": "content_block_delta", "index": self.blocks, "delta": delta });
        out.event("content_block_delta", &value);
    }

    fn last(&mut self, end: &End, out: &mut Out) {
        self.begin(end.prompt_tokens, end.cached_tokens, out);
        if self.blocks == 0 && self.open.is_none() {
            self.add(Block::Text, "", out);
        }
        self.close(out);
        let (reason, sequence) = stop(&end.finish);
        let delta = json!({ "stop_reason": reason, "stop_sequence": sequence });
        let usage = usage(end.prompt_tokens, end.cached_tokens, end.generated_tokens);
        out.event("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        out.event("message_stop", &json!({ "type": "message_stop" }));
    }
}

impl Writer for Events {
    fn write(&mut self, _index: usize, step: Step, out: &mut Out) {
        match step {
            Step::Begun { prompt, cached } => self.begin(prompt, cached, out),
            Step::Progress { .. } => {}
            Step::Piece(piece) => {
                if !piece.reasoning.is_empty() {
                    self.add(Block::Thinking, &piece.reasoning, out);
                }
                if !piece.text.is_empty() {
                    self.add(Block::Text, &piece.text, out);
                }
            }
            Step::End(end) => self.last(&end, out),
            Step::Failed(refusal) => out.event("error", &Dialect::Anthropic.error(&refusal)),
        }
    }
}
