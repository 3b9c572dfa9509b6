//! OpenAI's interface: <https://platform.openai.com/docs/api-reference>.

mod chat;
mod completions;
mod responses;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::Response;
use serde_json::{Value, json};

pub(super) use self::chat::chat;
pub(super) use self::completions::completions;
pub(super) use self::responses::responses;
use super::answer::End;
use super::ask::Ask;
use super::catalog::Offer;
use super::dialect::answer;
use super::fields::Fields;
use super::llama_fields::{self, Extras};
use super::model::Model;
use super::refusal::Refusal;
use super::router::Call;
use crate::engine::Finish;

/// `GET /v1/models`.
pub(super) async fn models(call: Call) -> Result<Response, Refusal> {
    call.shared.check_ready()?;
    let data: Vec<Value> =
        call.shared.catalog.all().iter().map(|(offer, model)| listed(offer, model.as_deref())).collect();
    Ok(answer(&json!({ "object": "list", "data": data })))
}

fn listed(offer: &Offer, model: Option<&Model>) -> Value {
    let status = if model.is_some() { "loaded" } else { "unloaded" };
    let mut value = json!({
        "id": offer.names.first(), "aliases": offer.names, "object": "model", "created": 0, "owned_by": "llm_rs2",
        "status": { "value": status },
    });
    if let Some(model) = model {
        let own = &model.described;
        value["created"] = json!(seconds(own.loaded));
        value["meta"] = json!({
            "n_ctx": model.context, "n_ctx_train": own.trained, "n_vocab": model.limits.vocab,
            "n_params": own.parameters, "n_embd": own.hidden_size, "size": own.weight_bytes,
        });
    }
    value
}

/// `GET /v1/models/NAME`.
pub(super) async fn model(call: Call) -> Result<Response, Refusal> {
    let name = call.path.strip_prefix("/v1/models/").unwrap_or_default();
    let number = call.shared.catalog.find(Some(name), true)?;
    let (offer, model) =
        call.shared.catalog.get(number).ok_or_else(|| Refusal::field("model", "no model"))?;
    let mut value = listed(&offer, model.as_deref());
    value["id"] = json!(name);
    Ok(answer(&value))
}

/// `POST /v1/chat/completions/input_tokens`: how many tokens the prompt of a chat has.
pub(super) async fn count_tokens(call: Call) -> Result<Response, Refusal> {
    let ids = chat::prompt(&call).await?;
    Ok(answer(&json!({ "object": "response.input_tokens", "input_tokens": ids.len() })))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn finish_reason(end: &End) -> &'static str {
    match end.finish {
        Finish::Length | Finish::ContextFull => "length",
        _ if end.is_calls() => "tool_calls",
        _ => "stop",
    }
}

/// `usage` of all answers to one request.
fn usage(ends: &[End]) -> Value {
    let prompt = ends.first().map_or(0, |end| end.prompt_tokens);
    let cached = ends.first().map_or(0, |end| end.cached_tokens);
    let generated: usize = ends.iter().map(|end| end.generated_tokens).sum();
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}

/// What both kinds of requests have.
struct Common {
    /// The name that was asked for.
    model: Option<String>,
    stream: bool,
    include_usage: bool,
    /// Answers to each prompt.
    n: usize,
    extras: Extras,
}

/// The most answers to one prompt.
const MOST: usize = 128;

/// Reads what both kinds have, settings of sampling into `ask`.
fn common(fields: &mut Fields, ask: &mut Ask) -> Result<Common, Refusal> {
    let model = fields.text("model")?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    let mut include_usage = false;
    if let Some(mut options) = fields.object("stream_options")? {
        include_usage = options.flag("include_usage")?.unwrap_or(false);
        options.ignore(&["include_obfuscation"]);
        options.done()?;
    }
    let n = fields.whole("n")?.unwrap_or(1);
    if n == 0 || n > MOST {
        return Err(Refusal::field("n", format!("'n' has to be 1 to {MOST}, not {n}")));
    }
    ask.read_sampling(fields)?;
    ask.stop = fields.texts("stop")?;
    let extras = llama_fields::read(fields, ask)?;
    refuse_chances(ask)?;
    ask.read_cache_salt(fields)?;
    // Notes for whoever runs a service: the text is the same with them.
    fields.ignore(&[
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    ]);
    Ok(Common { model, stream, include_usage, n, extras })
}

/// OpenAI's probabilities are the model's own.
fn refuse_chances(ask: &Ask) -> Result<(), Refusal> {
    match ask.chances {
        true => Err(Refusal::unsupported("post_sampling_probs", "here; /completion has it")),
        false => Ok(()),
    }
}

/// As many asks as answers are wanted. The first has the seed that was asked for, the others the next ones.
fn copies(ask: Ask, n: usize) -> Vec<Ask> {
    let copy = |i: u64| Ask { seed: ask.seed.map(|seed| seed.wrapping_add(i)), ..ask.clone() };
    (0..n as u64).map(copy).collect()
}

/// What answers depend on besides model and request: with the same, the same request has the same answer.
const FINGERPRINT: &str = concat!("build-", env!("CARGO_PKG_VERSION"));

/// The fields that begin every object of an answer.
#[derive(Clone)]
struct Head {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
}

impl Head {
    fn new(prefix: &str, object: &'static str, call: &Call, model: &str) -> Self {
        let id = format!("{prefix}-{}", call.id);
        Self { id, object, created: seconds(SystemTime::now()), model: model.to_owned() }
    }

    fn with(&self, choices: Vec<Value>) -> Value {
        let Self { id, object, created, model } = self;
        json!({
            "id": id, "object": object, "created": created, "model": model, "system_fingerprint": FINGERPRINT,
            "choices": choices,
        })
    }
}

/// Adds a field.
fn set(value: &mut Value, name: &str, field: Value) {
    if let Value::Object(map) = value {
        map.insert(name.to_owned(), field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ask::Prompt;

    #[test]
    fn every_answer_has_a_seed_of_its_own() {
        let mut ask = Ask::new(Prompt::Ids(vec![1]));
        assert!(copies(ask.clone(), 2).iter().all(|copy| copy.seed.is_none()));
        ask.seed = Some(u64::MAX);
        let seeds: Vec<_> = copies(ask, 3).iter().map(|copy| copy.seed).collect();
        assert_eq!(seeds, [Some(u64::MAX), Some(0), Some(1)]);
    }

    #[test]
    fn what_both_kinds_have_is_read_or_refused() {
        let read = |body: Value| {
            let mut fields = Fields::of_body(body.to_string().as_bytes()).unwrap();
            let mut ask = Ask::new(Prompt::Ids(vec![1]));
            let common = common(&mut fields, &mut ask)?;
            fields.done()?;
            Ok((common, ask))
        };
        let (common, ask) = read(json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "n": 2, "stop": "x", "top_k": -1,
            "seed": 7, "user": "me", "temperature": 1, "response_format": {"type": "text"}, "frequency_penalty": null,
        }))
        .unwrap();
        assert!(common.stream && common.include_usage && common.n == 2 && ask.stop == ["x"]);
        assert_eq!((ask.wishes.top_k, ask.seed, ask.wishes.temperature), (Some(0), Some(7), Some(1.0)));
        let field = |body: Value| read(body).map(|_| ()).map_err(|refusal: Refusal| refusal.field.unwrap());
        assert_eq!(field(json!({"n": 0})), Err("n".into()));
        assert_eq!(field(json!({"logprob": 1})), Err("logprob".into()));
        assert_eq!(field(json!({"response_format": {"type": "xml"}})), Err("response_format.type".into()));
        assert_eq!(field(json!({"stream_options": {"x": 1}})), Err("stream_options.x".into()));
    }
}
