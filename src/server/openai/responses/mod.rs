//! `POST /v1/responses`. Nothing is kept: each request brings the whole conversation.

mod events;
mod input;
mod output;

use axum::response::Response;
use serde_json::{Value, json};

use self::events::Events;
use self::output::{Head, Kind};
use super::{refuse_chances, set};
use crate::chat::Message;
use crate::server::answer::{End, Piece};
use crate::server::ask::{Ask, Prompt, answered};
use crate::server::dialect::answer;
use crate::server::fields::Fields;
use crate::server::llama_fields::{self, Extras};
use crate::server::refusal::{Kind as Why, Refusal};
use crate::server::router::Call;
use crate::server::stream::{Form, respond};
use crate::server::timings;
use crate::server::tools::{Tools, function_of, only};

struct Wanted {
    model: Option<String>,
    ask: Ask,
    stream: bool,
    extras: Extras,
    /// What the answer repeats of the request.
    said: Vec<(&'static str, Value)>,
}

/// Fields that ask for something to be kept, or for what was.
const KEPT: [(&str, &str); 6] = [
    ("previous_response_id", "send the whole conversation as 'input'"),
    ("conversation", "send the whole conversation as 'input'"),
    ("background", "responses are answered at once"),
    ("prompt", "prompts are not kept here"),
    ("context_management", "the conversation is taken as it is"),
    ("moderation", ""),
];

/// Fields that the answer repeats, and what they are where the request does not have them.
fn repeated() -> [(&'static str, Value); 10] {
    [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("reasoning", json!({ "effort": null, "summary": null })),
        ("temperature", Value::Null),
        ("text", json!({ "format": { "type": "text" } })),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_p", Value::Null),
    ]
}

fn read(mut fields: Fields) -> Result<Wanted, Refusal> {
    let said = repeated().map(|(name, missing)| (name, fields.get(name).cloned().unwrap_or(missing))).into();
    for (name, why) in KEPT {
        if fields.get(name).is_some_and(|value| *value != json!(false)) {
            return Err(Refusal::unsupported(name, why));
        }
        fields.ignore(&[name]);
    }
    if fields.flag("store")?.unwrap_or(false) {
        return Err(Refusal::unsupported("store", "nothing is kept here"));
    }
    fields.neutral("truncation", &[json!("disabled")])?;
    fields.neutral("top_logprobs", &[json!(0)])?;
    let input = fields.take("input");
    let mut messages = input::messages(fields.required("input", input)?)?;
    if let Some(instructions) = fields.text("instructions")? {
        messages.insert(0, Message::new("system", instructions));
    }
    let mut input = answered(&messages)?;
    if let Some(mut reasoning) = fields.object("reasoning")? {
        if let Some(effort) = reasoning.text("effort")? {
            // Templates have either degrees or a switch.
            if effort == "none" {
                input = input.with("enable_thinking", json!(false));
            }
            input = input.with("reasoning_effort", json!(effort));
        }
        reasoning.ignore(&["summary", "generate_summary", "context"]);
        reasoning.done()?;
    }
    let mut ask = Ask::new(Prompt::Chat(Box::new(input)));
    ask.tools = Tools::read_by(&mut fields, |mut fields| {
        let kind = fields.text("type")?;
        only(&fields, kind.as_deref(), "function")?;
        function_of(fields, "parameters")
    })?;
    ask.read_text(&mut fields)?;
    ask.read_limit(&mut fields, &["max_output_tokens", "max_tokens"])?;
    ask.read_sampling(&mut fields)?;
    ask.stop = fields.texts("stop")?;
    let extras = llama_fields::read(&mut fields, &mut ask)?;
    refuse_chances(&ask)?;
    ask.read_cache_salt(&mut fields)?;
    let model = fields.text("model")?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    fields.ignore(&[
        "include",
        "max_tool_calls",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "stream_options",
        "user",
    ]);
    fields.done()?;
    Ok(Wanted { model, ask, stream, extras, said })
}

/// Answers a conversation.
pub(crate) async fn responses(call: Call) -> Result<Response, Refusal> {
    let Wanted { model: name, ask, stream, extras, said } = read(Fields::of_body(&call.body)?)?;
    let model = call.model(name.as_deref()).await?;
    let head = Head::new(&call, &call.called(&model, name.as_deref()), said);
    let mut answers = call.ask(&model, vec![ask]).await?;
    if stream {
        return Ok(respond(Form::Events, answers, Events::new(head, &extras)));
    }
    let mut all = answers.whole().await?;
    let (piece, end) = all.pop().ok_or_else(|| Refusal::new(Why::Failed, "there is no answer"))?;
    let mut value = head.response(&items(&head, &piece, &end), Some(&end));
    set(&mut value, "timings", timings::json(&end));
    Ok(answer(&value))
}

/// The items of a whole answer.
fn items(head: &Head, piece: &Piece, end: &End) -> Vec<Value> {
    let mut kinds = Vec::new();
    if !piece.reasoning.is_empty() {
        kinds.push((Kind::Reasoning, piece.reasoning.as_str()));
    }
    if !piece.text.is_empty() || piece.calls.is_empty() {
        kinds.push((Kind::Text, piece.text.as_str()));
    }
    kinds.extend(piece.calls.iter().map(|call| (Kind::of_call(call), call.arguments.as_str())));
    let last = kinds.len() - 1;
    let one = |(index, (kind, text)): (usize, (Kind, &str))| {
        let is_cut = index == last && !matches!(kind, Kind::Call { .. });
        let status = if is_cut { output::status(end) } else { "completed" };
        head.item(&kind, index, text, status)
    };
    kinds.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tools::Choice;
    use crate::sampling::Constraint;

    fn wanted(value: Value) -> Result<Wanted, Refusal> {
        read(Fields::of_body(value.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn requests_are_read() {
        let wanted = wanted(json!({
            "model": "m", "input": "Hello", "instructions": "Be brief.", "max_output_tokens": 5, "temperature": 0.5,
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "function", "name": "f"}, "store": false, "background": false, "stream": true,
            "reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": {"type": "json_object"}},
            "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}, "previous_response_id": null,
        }))
        .unwrap();
        assert!(wanted.stream && wanted.ask.max_tokens == Some(5));
        assert_eq!(
            (wanted.ask.tools.choice, wanted.ask.tools.tools[0].strict),
            (Choice::Named("f".into()), true)
        );
        assert_eq!(wanted.ask.constraint, Some(Constraint::JsonObject));
        let said: Vec<_> =
            wanted.said.iter().filter(|(name, _)| ["metadata", "top_p"].contains(name)).collect();
        assert_eq!(said, [&("metadata", json!({"a": "b"})), &("top_p", Value::Null)]);
    }

    #[test]
    fn what_would_have_to_be_kept_is_refused_by_name() {
        for (name, value) in [
            ("previous_response_id", json!("resp_1")),
            ("conversation", json!("conv_1")),
            ("background", json!(true)),
            ("store", json!(true)),
            ("truncation", json!("auto")),
            ("prompt", json!({"id": "x"})),
            ("zzz", json!(1)),
        ] {
            let mut body = json!({"input": "Hello"});
            body[name] = value;
            assert_eq!(wanted(body).map(|_| ()).unwrap_err().field.as_deref(), Some(name));
        }
        let field = |body: Value| wanted(body).map(|_| ()).unwrap_err().field.unwrap();
        assert_eq!(field(json!({"model": "m"})), "input");
        assert_eq!(field(json!({"input": "x", "tools": [{"type": "web_search"}]})), "tools[0].type");
        assert_eq!(field(json!({"input": "x", "text": {"format": {"type": "x"}}})), "text.format.type");
    }
}
