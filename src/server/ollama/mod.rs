//! Ollama's interface: <https://github.com/ollama/ollama/blob/main/docs/api.md>.

mod library;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::response::Response;
use serde_json::{Value, json};

pub(super) use self::library::{blobs, copy, create, delete, pull, push};
use super::answer::{CallPart, End, Piece, Step};
use super::ask::{Ask, Prompt, answered, messages};
use super::catalog::Offer;
use super::dialect::{Dialect, answer};
use super::fields::Fields;
use super::model::Model;
use super::refusal::{Kind, Refusal};
use super::router::Call;
use super::stream::{Form, Out, Writer, respond};
use super::tools::Tools;
use crate::chat::Message;
use crate::engine::Finish;

/// `GET /api/version`.
pub(super) async fn version(_call: Call) -> Result<Response, Refusal> {
    Ok(answer(&json!({ "version": env!("CARGO_PKG_VERSION") })))
}

fn details(model: &Model) -> Value {
    let own = &model.described;
    let size = match own.parameters {
        n if n >= 1_000_000_000 => format!("{:.1}B", n as f64 / 1e9),
        n => format!("{:.2}M", n as f64 / 1e6),
    };
    json!({
        "parent_model": "", "format": own.format, "family": own.family, "families": [own.family],
        "parameter_size": size, "quantization_level": own.weights,
    })
}

fn listed(model: Option<&Model>, offer: &Offer, name: &str) -> Value {
    let mut value = json!({ "name": name, "model": name, "size": offer.bytes });
    if let Some(model) = model {
        value["size"] = json!(model.described.weight_bytes);
        value["details"] = details(model);
    }
    value
}

/// When a model was loaded, or else when its files were written: clients want a time.
fn modified(offer: &Offer, model: Option<&Model>) -> SystemTime {
    let written = || offer.path.as_ref()?.metadata().ok()?.modified().ok();
    model.map(|model| model.described.loaded).or_else(written).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// `GET /api/tags`.
pub(super) async fn tags(call: Call) -> Result<Response, Refusal> {
    call.shared.check_ready()?;
    let mut models = Vec::new();
    for (offer, model) in call.shared.catalog.all() {
        for name in &offer.names {
            let mut value = listed(model.as_deref(), &offer, name);
            value["modified_at"] = json!(rfc3339(modified(&offer, model.as_deref())));
            models.push(value);
        }
    }
    Ok(answer(&json!({ "models": models })))
}

/// `GET /api/ps`.
pub(super) async fn ps(call: Call) -> Result<Response, Refusal> {
    call.shared.check_ready()?;
    let after = call.shared.settings.unload_after;
    let one = |(offer, model): (Offer, Option<Arc<Model>>)| {
        let model = model?;
        let mut value = listed(Some(&model), &offer, offer.names.first()?);
        // When it goes if no request comes for it.
        let ends = after.and_then(|after| SystemTime::now().checked_add(after));
        value["expires_at"] = json!(ends.map_or_else(|| "9999-12-31T23:59:59Z".to_owned(), rfc3339));
        value["size_vram"] = json!(0);
        value["context_length"] = json!(model.context);
        Some(value)
    };
    let models: Vec<Value> = call.shared.catalog.all().into_iter().filter_map(one).collect();
    Ok(answer(&json!({ "models": models })))
}

/// `POST /api/show`.
pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = match fields.text("model")? {
        None => fields.text("name")?,
        given => given,
    };
    fields.ignore(&["verbose", "name"]);
    fields.done()?;
    let model = call.model(name.as_deref()).await?;
    let own = &model.described;
    let family = &own.family;
    let info = json!({
        "general.architecture": family,
        "general.parameter_count": own.parameters,
        format!("{family}.context_length"): own.trained,
        format!("{family}.embedding_length"): own.hidden_size,
        format!("{family}.block_count"): own.layers,
        format!("{family}.vocab_size"): model.limits.vocab,
    });
    let template = own.template.as_deref().unwrap_or_default();
    Ok(answer(&json!({
        "modelfile": format!("FROM {}", call.called(&model, name.as_deref())),
        "parameters": format!("num_ctx {}", model.context),
        "template": template,
        "details": details(&model),
        "model_info": info,
        "capabilities": capabilities(&model),
        "modified_at": rfc3339(own.loaded),
    })))
}

/// The name that has to be there.
fn name(fields: &mut Fields) -> Result<String, Refusal> {
    let name = fields.text("model")?;
    fields.required("model", name)
}

/// What a model can do.
fn capabilities(model: &Model) -> &'static [&'static str] {
    match (model.embeddings.at_once.is_some(), model.chat.is_ok()) {
        (true, _) => &["embedding"],
        (false, true) => &["completion", "tools"],
        (false, false) => &["completion"],
    }
}

/// What both ways to ask have, `options` included. Returns whether the answer is to be a stream.
fn common(model: &Model, fields: &mut Fields, ask: &mut Ask) -> Result<bool, Refusal> {
    let stream = fields.flag("stream")?.unwrap_or(true);
    ask.thinking = fields.flag("think")?;
    if let Some(mut options) = fields.object("options")? {
        ask.read_sampling(&mut options)?;
        ask.read_repetition(&mut options)?;
        // -1 for as many as fit, -2 for the context.
        let limit = options.integer("num_predict")?;
        ask.max_tokens = limit.and_then(|n| usize::try_from(n).ok());
        ask.stop = options.texts("stop")?;
        if let Some(context) = options.whole("num_ctx")?
            && context > model.context
        {
            let why = format!(
                "'num_ctx' is {context}, more than this server's context of {} (--max-seq-len)",
                model.context
            );
            return Err(Refusal::field("options.num_ctx", why));
        }
        for (name, off) in [
            ("typical_p", json!(1.0)),
            ("tfs_z", json!(1.0)),
            ("mirostat", json!(0)),
            ("penalize_newline", json!(true)),
        ] {
            options.neutral(name, &[off])?;
        }
        // How the machine computes, which is this server's to settle and changes no text.
        options.ignore(&[
            "num_keep",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "num_thread",
            "use_mmap",
            "use_mlock",
            "numa",
            "low_vram",
            "f16_kv",
            "vocab_only",
            "mirostat_eta",
            "mirostat_tau",
        ]);
        options.done()?;
    }
    ask.read_format(fields)?;
    // How long models stay, the server's user says; 0 unloads one, without a prompt.
    fields.ignore(&["keep_alive"]);
    Ok(stream)
}

/// Whether a model is not to be kept: 0 as a number or as a duration.
fn ends_now(keep_alive: Option<&Value>) -> bool {
    match keep_alive {
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::String(text)) => text.trim_end_matches(char::is_alphabetic) == "0",
        _ => false,
    }
}

/// `POST /api/generate`.
pub(super) async fn generate(call: Call) -> Result<Response, Refusal> {
    let start = Instant::now();
    let mut fields = Fields::of_body(&call.body)?;
    let name = name(&mut fields)?;
    let prompt = fields.text("prompt")?.unwrap_or_default();
    let keep_alive = fields.take("keep_alive");
    if prompt.is_empty() && ends_now(keep_alive.as_ref()) {
        call.shared.unload(call.shared.catalog.find(Some(&name), true)?);
        let mut value =
            Lines { model: name, chat: false, start, calls: Piece::default() }.line(Piece::default(), true);
        value["done_reason"] = json!("unload");
        return Ok(answer(&value));
    }
    let model = call.model(Some(&name)).await?;
    let system = fields.text("system")?.filter(|text| !text.is_empty());
    let raw = fields.flag("raw")?.unwrap_or(false);
    let templated = !raw && model.chat.is_ok();
    if system.is_some() && !templated {
        let why = if raw { "together with 'raw'" } else { "by a model without a chat template" };
        return Err(Refusal::unsupported("system", why));
    }
    let empty = prompt.is_empty();
    let mut ask = Ask::new(if templated {
        let mut messages: Vec<Message> = system.iter().map(|text| Message::new("system", text)).collect();
        messages.push(Message::new("user", prompt));
        Prompt::Chat(Box::new(answered(&messages)?))
    } else {
        Prompt::Text(prompt)
    });
    let stream = common(&model, &mut fields, &mut ask)?;
    for (name, none) in
        [("suffix", json!("")), ("template", json!("")), ("images", json!([])), ("context", json!([]))]
    {
        fields.neutral(name, &[none])?;
    }
    fields.done()?;
    let writer = Lines { model: name, chat: false, start, calls: Piece::default() };
    // An empty prompt asks for the model to be loaded, which it is.
    if empty {
        let mut value = writer.line(Piece::default(), true);
        value["done_reason"] = json!("load");
        return Ok(answer(&value));
    }
    reply(call, &model, ask, stream, writer).await
}

/// `POST /api/chat`.
pub(super) async fn chat(call: Call) -> Result<Response, Refusal> {
    let start = Instant::now();
    let mut fields = Fields::of_body(&call.body)?;
    let name = name(&mut fields)?;
    let model = call.model(Some(&name)).await?;
    let messages = messages(&mut fields, &[])?;
    let mut ask = Ask::new(Prompt::Chat(Box::new(answered(&messages)?)));
    let stream = common(&model, &mut fields, &mut ask)?;
    ask.tools = Tools::read(&mut fields)?;
    fields.done()?;
    let writer = Lines { model: name, chat: true, start, calls: Piece::default() };
    reply(call, &model, ask, stream, writer).await
}

async fn reply(
    call: Call,
    model: &Arc<Model>,
    ask: Ask,
    stream: bool,
    mut writer: Lines,
) -> Result<Response, Refusal> {
    let mut answers = call.ask(model, vec![ask]).await?;
    if stream {
        return Ok(respond(Form::Lines, answers, writer));
    }
    let mut all = answers.whole().await?;
    let (piece, end) = all.pop().ok_or_else(|| Refusal::new(Kind::Failed, "there is no answer"))?;
    Ok(answer(&writer.last(piece, &end)))
}

struct Lines {
    model: String,
    chat: bool,
    start: Instant,
    /// Calls that have not been sent: a call is sent as a whole.
    calls: Piece,
}

impl Lines {
    fn line(&self, piece: Piece, done: bool) -> Value {
        let mut value = json!({ "model": self.model, "created_at": rfc3339(SystemTime::now()) });
        if self.chat {
            let mut message = json!({ "role": "assistant", "content": piece.text });
            if !piece.reasoning.is_empty() {
                message["thinking"] = json!(piece.reasoning);
            }
            if !piece.calls.is_empty() {
                let call = |call: &CallPart| {
                    let function = json!({ "name": call.name(), "arguments": call.object() });
                    json!({ "id": call.id(), "function": function })
                };
                message["tool_calls"] = piece.calls.iter().map(call).collect();
            }
            value["message"] = message;
        } else {
            value["response"] = json!(piece.text);
            if !piece.reasoning.is_empty() {
                value["thinking"] = json!(piece.reasoning);
            }
        }
        value["done"] = json!(done);
        value
    }

    fn last(&mut self, piece: Piece, end: &End) -> Value {
        let nanos = |time: Duration| json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let mut value = self.line(piece, true);
        value["done_reason"] = json!(match end.finish {
            Finish::Length | Finish::ContextFull => "length",
            _ => "stop",
        });
        value["total_duration"] = nanos(self.start.elapsed());
        value["load_duration"] = json!(0);
        value["prompt_eval_count"] = json!(end.prompt_tokens);
        value["prompt_eval_duration"] = nanos(end.timings.prefill);
        value["eval_count"] = json!(end.generated_tokens);
        value["eval_duration"] = nanos(end.timings.decode);
        value
    }
}

impl Lines {
    /// Sends the calls that have come, or the text of what was none.
    fn send_calls(&mut self, out: &mut Out) {
        let calls = std::mem::take(&mut self.calls);
        if !calls.calls.is_empty() || !calls.text.is_empty() {
            out.send(&self.line(calls, false));
        }
    }
}

impl Writer for Lines {
    fn write(&mut self, _index: usize, step: Step, out: &mut Out) {
        match step {
            Step::Begun { .. } | Step::Progress { .. } => {}
            Step::Piece(piece) => {
                if piece.calls.is_empty() {
                    self.send_calls(out);
                    out.send(&self.line(piece, false));
                    return;
                }
                for part in piece.calls {
                    if part.begins.is_some() {
                        self.send_calls(out);
                    }
                    self.calls.add(Piece { calls: vec![part], ..Piece::default() });
                }
            }
            Step::End(end) => {
                self.send_calls(out);
                out.send(&self.last(Piece::default(), &end));
            }
            Step::Failed(refusal) => out.send(&Dialect::Ollama.error(&refusal)),
        }
    }
}

/// A time in UTC, to the millisecond.
fn rfc3339(time: SystemTime) -> String {
    crate::host::utc(time)
}
