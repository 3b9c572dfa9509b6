//! Anthropic's interface: <https://docs.anthropic.com/en/api/messages>.

mod conversation;
mod events;

use axum::response::Response;
use serde_json::{Value, json};

use self::conversation::{Wanted, conversation};
use self::events::Events;
use super::answer::{CallPart, End, Piece};
use super::ask::{Ask, Prompt};
use super::dialect::answer;
use super::fields::Fields;
use super::refusal::{Kind, Refusal};
use super::router::Call;
use super::stream::{Form, respond};
use crate::engine::Finish;

/// `POST /v1/messages`.
pub(super) async fn messages(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let Wanted { model: name, input, tools, thinking } = conversation(&mut fields)?;
    let mut ask = Ask::new(Prompt::Chat(Box::new(input)));
    (ask.thinking, ask.tools) = (thinking, tools);
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
    let mut answers = call.ask(&model, vec![ask]).await?;
    let id = format!("msg_{}", call.id);
    if stream {
        let writer = Events::new(id, name);
        return Ok(respond(Form::Events, answers, writer));
    }
    let mut all = answers.whole().await?;
    let (piece, end) = all.pop().ok_or_else(|| Refusal::new(Kind::Failed, "there is no answer"))?;
    let Piece { reasoning, text, calls, .. } = piece;
    let mut content = Vec::new();
    if !reasoning.is_empty() {
        content.push(json!({ "type": "thinking", "thinking": reasoning, "signature": "" }));
    }
    if !text.is_empty() || calls.is_empty() {
        content.push(json!({ "type": "text", "text": text }));
    }
    let call = |call: &CallPart| json!({ "type": "tool_use", "id": call.id(), "name": call.name(), "input": call.object() });
    content.extend(calls.iter().map(call));
    let (reason, sequence) = stop(&end);
    let mut value =
        message(&id, &name, content, usage(end.prompt_tokens, end.cached_tokens, end.generated_tokens));
    value["stop_reason"] = json!(reason);
    value["stop_sequence"] = json!(sequence);
    Ok(answer(&value))
}

/// `POST /v1/messages/count_tokens`.
pub(super) async fn count_tokens(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let Wanted { model: name, input, tools, thinking } = conversation(&mut fields)?;
    // Neither adds to the prompt.
    fields.ignore(&["max_tokens", "output_config", "output_format"]);
    fields.done()?;
    let model = call.model(Some(&name)).await?;
    let (_, ids) = model.render(input, tools.offered(), thinking)?;
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

fn stop(end: &End) -> (&'static str, Option<&str>) {
    match &end.finish {
        _ if end.is_calls() => ("tool_use", None),
        Finish::Length | Finish::ContextFull => ("max_tokens", None),
        Finish::Stop(text) => ("stop_sequence", Some(text)),
        _ => ("end_turn", None),
    }
}
