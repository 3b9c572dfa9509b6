//! llama.cpp's own interface: <https://github.com/ggml-org/llama.cpp/tree/master/tools/server>.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::{Answer, End, Piece, Settled, Step};
use super::ask::{Ask, Prompt, conversation};
use super::dialect::{Dialect, answer};
use super::fields::{Fields, ids, wrong};
use super::llama_fields::{self, Extras};
use super::model::Model;
use super::probabilities::{self, Style};
use super::refusal::{Kind, Refusal};
use super::router::Call;
use super::stream::{Form, Out, Writer, respond};
use super::timings::{self, Progress};
use super::tools::Tools;
use crate::engine::{EngineError, Finish};

/// A number as it was typed: 0.9, and not what is next to it in 64 bits.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// `GET /health`.
pub(super) async fn health(call: Call) -> Result<Response, Refusal> {
    call.shared.check_ready()?;
    Ok(answer(&json!({ "status": "ok" })))
}

/// `GET /props`.
pub(super) async fn props(call: Call) -> Result<Response, Refusal> {
    let model = call.model(None).await?;
    let name = call.called(&model, None);
    let token = |id: Option<u32>| id.map(|id| model.token(id).0).unwrap_or_default();
    let (wishes, rest, settings) = (model.wishes, model.sampling, &call.shared.settings);
    let sampling = wishes.settle(&model.generation, rest)?;
    let params = json!({
        "temperature": short(sampling.temperature), "top_k": sampling.top_k, "top_p": short(sampling.top_p),
        "min_p": short(sampling.min_p), "repeat_penalty": short(sampling.repetition_penalty),
        "repeat_last_n": sampling.repetition_window, "frequency_penalty": short(sampling.frequency_penalty),
        "presence_penalty": short(sampling.presence_penalty), "seed": model.seed,
        "n_predict": settings.default_max_tokens.or(settings.max_tokens),
    });
    Ok(answer(&json!({
        "default_generation_settings": { "n_ctx": model.context, "params": params },
        "total_slots": call.shared.settings.parallel,
        "model_alias": name,
        "model_path": model.described.file,
        "chat_template": model.described.template.as_deref().unwrap_or_default(),
        "bos_token": token(model.form.bos),
        "eos_token": model.form.config.eos_token.clone().unwrap_or_default(),
        "modalities": { "vision": false, "audio": false },
        "build_info": concat!("llm_rs2 ", env!("CARGO_PKG_VERSION")),
    })))
}

/// `GET /slots`: how many texts are in progress. What they say is not shown.
pub(super) async fn slots(call: Call) -> Result<Response, Refusal> {
    if !call.shared.settings.slots {
        return Err(Refusal::new(Kind::Off, "this server was started with --no-slots"));
    }
    let model = call.model(None).await?;
    let active = call.shared.load().active;
    let slot = |id: usize| json!({ "id": id, "n_ctx": model.context, "is_processing": id < active });
    let slots: Vec<Value> = (0..call.shared.settings.parallel).map(slot).collect();
    Ok(answer(&json!(slots)))
}

/// `POST /slots/ID`: what is saved, restored and erased elsewhere, this server does by itself.
pub(super) async fn slot(_call: Call) -> Result<Response, Refusal> {
    let why = "a text has no slot of its own here: what prompts have in common is found by itself, and --kv-disk keeps it";
    Err(Refusal::new(Kind::Off, why))
}

/// `POST /tokenize`.
pub(super) async fn tokenize(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = fields.text("model")?;
    let model = call.model(name.as_deref()).await?;
    let content = fields.text("content")?;
    let content = fields.required("content", content)?;
    let special = fields.flag("add_special")?.unwrap_or(false);
    let pieces = fields.flag("with_pieces")?.unwrap_or(false);
    // A text that spells a special token is that token, as everywhere in this program.
    fields.neutral("parse_special", &[json!(true)])?;
    fields.done()?;
    let ids = match special {
        true => model.form.encode_text(&model.tokenizer, &content)?,
        false => model.tokenizer.encode(&content, false).map_err(EngineError::from)?,
    };
    let piece = |&id: &u32| {
        let bytes = model.token(id).1;
        // A token that is no whole text is given as its bytes.
        let piece = String::from_utf8(bytes).map_or_else(|error| json!(error.as_bytes()), |text| json!(text));
        json!({ "id": id, "piece": piece })
    };
    let tokens = if pieces { ids.iter().map(piece).collect() } else { json!(ids) };
    Ok(answer(&json!({ "tokens": tokens })))
}

/// `POST /detokenize`.
pub(super) async fn detokenize(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = fields.text("model")?;
    let model = call.model(name.as_deref()).await?;
    let ids = fields.ids("tokens")?;
    let ids = fields.required("tokens", ids)?;
    fields.done()?;
    let text = model.tokenizer.decode(&ids, false);
    let text = text.map_err(|error| Refusal::field("tokens", error.to_string()))?;
    Ok(answer(&json!({ "content": text })))
}

/// `POST /apply-template`.
pub(super) async fn apply_template(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = fields.text("model")?;
    let model = call.model(name.as_deref()).await?;
    let input = conversation(&mut fields)?;
    let tools = Tools::read(&mut fields)?;
    fields.done()?;
    Ok(answer(&json!({ "prompt": model.render(input, tools.offered(), None)?.0 })))
}

/// Texts, each a text, ids, or both in one list; several of them are a list.
fn prompts(model: &Model, value: Value) -> Result<Vec<Prompt>, Refusal> {
    let bad =
        |value: &Value| wrong("prompt", "a text, a list of texts and token ids, or a list of these", value);
    let many =
        |list: &[Value]| !list.is_empty() && list.len() <= MOST_PROMPTS && !list.iter().any(Value::is_number);
    match value {
        Value::Array(list) if many(&list) => list.into_iter().map(|value| prompt(model, value)).collect(),
        Value::Array(list) if list.is_empty() => Err(bad(&Value::Array(list))),
        other => Ok(vec![prompt(model, other)?]),
    }
}

fn prompt(model: &Model, value: Value) -> Result<Prompt, Refusal> {
    const NAME: &str = "prompt";
    match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Object(map) => {
            let mut fields = Fields::of(Value::Object(map), NAME)?;
            let text = fields.text("prompt_string")?;
            let text = fields.required("prompt_string", text)?;
            fields.neutral("multimodal_data", &[json!([])])?;
            fields.done()?;
            Ok(Prompt::Text(text))
        }
        Value::Array(list) => Ok(Prompt::Ids(mixed(model, NAME, list)?)),
        other => Err(wrong(NAME, MIXED, &other)),
    }
}

/// What a list of texts and ids has to be.
const MIXED: &str = "a text, or a list of texts and token ids";

/// The tokens of texts and ids in one list, which is the field `name`.
pub(super) fn mixed(model: &Model, name: &str, list: Vec<Value>) -> Result<Vec<u32>, Refusal> {
    let mut all = Vec::new();
    for (at, part) in list.into_iter().enumerate() {
        match part {
            Value::String(text) if at == 0 => all.extend(model.form.encode_text(&model.tokenizer, &text)?),
            Value::String(text) => {
                all.extend(model.tokenizer.encode(&text, false).map_err(EngineError::from)?);
            }
            other => all.extend(ids(std::slice::from_ref(&other)).ok_or_else(|| wrong(name, MIXED, &other))?),
        }
    }
    Ok(all)
}

/// The most prompts of a request.
const MOST_PROMPTS: usize = 128;

struct Wanted {
    asks: Vec<Ask>,
    stream: bool,
    extras: Extras,
    return_tokens: bool,
    /// The fields that an answer is to have, with the way to each; empty for all.
    fields: Vec<String>,
}

fn read(model: &Model, mut fields: Fields) -> Result<Wanted, Refusal> {
    let given = fields.take("prompt");
    let prompts = prompts(model, fields.required("prompt", given)?)?;
    let mut ask = Ask::new(Prompt::Ids(Vec::new()));
    ask.read_sampling(&mut fields)?;
    ask.stop = fields.texts("stop")?;
    ask.logprobs = fields.whole("n_probs")?.filter(|n| *n > 0).map(|n| n.min(1000));
    let extras = llama_fields::read(&mut fields, &mut ask)?;
    ask.read_cache_salt(&mut fields)?;
    ask.read_limit(&mut fields, &["max_tokens"])?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    let return_tokens = fields.flag("return_tokens")?.unwrap_or(false);
    let wanted = fields.texts("response_fields")?;
    for (name, off) in [("n_cmpl", json!(1)), ("image_data", json!([]))] {
        fields.neutral(name, &[off])?;
    }
    fields.done()?;
    let asks = prompts.into_iter().map(|prompt| Ask { prompt, ..ask.clone() }).collect();
    Ok(Wanted { asks, stream, extras, return_tokens, fields: wanted })
}

/// What is repeated of a request: its prompt, and the settings that it has in the end.
fn said(model: &Model, settled: &Settled, stream: bool) -> Map<String, Value> {
    let sampling = settled.sampling;
    let biased = |&(id, bias): &(u32, f32)| json!({ "token": id, "bias": bias.is_finite().then_some(bias) });
    let settings = json!({
        "seed": sampling.seed, "temperature": short(sampling.temperature), "top_k": sampling.top_k,
        "top_p": short(sampling.top_p), "min_p": short(sampling.min_p),
        "repeat_penalty": short(sampling.repetition_penalty), "repeat_last_n": sampling.repetition_window,
        "frequency_penalty": short(sampling.frequency_penalty),
        "presence_penalty": short(sampling.presence_penalty), "adaptive_target": -1, "adaptive_decay": 0,
        "n_predict": settled.max_tokens, "stop": settled.stop, "ignore_eos": settled.ignore_eos,
        "logit_bias": settled.bias.iter().map(biased).collect::<Vec<_>>(), "stream": stream,
    });
    Map::from_iter([
        ("prompt".to_owned(), json!(model.text(&settled.prompt))),
        ("generation_settings".to_owned(), settings),
    ])
}

/// Of an answer the fields that are wanted, each under the way to it: `generation_settings/n_predict`.
fn only(value: Value, wanted: &[String]) -> Value {
    if wanted.is_empty() {
        return value;
    }
    let find = |way: &String| {
        let found = way.split('/').try_fold(&value, |at, name| at.get(name))?;
        Some((way.clone(), found.clone()))
    };
    Value::Object(wanted.iter().filter_map(find).collect())
}

/// `POST /completion`.
pub(super) async fn completion(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = fields.text("model")?;
    let model = call.model(name.as_deref()).await?;
    let wanted = read(&model, fields)?;
    let Wanted { asks, stream, extras, return_tokens, fields } = wanted;
    let style = |ask: &Ask| if ask.chances { Style::Chances } else { Style::LlamaCpp };
    let probabilities = asks.iter().find(|ask| ask.logprobs.is_some()).map(style);
    let mut answers = call.ask(&model, asks).await?;
    let said = |answer: &Answer| said(&model, &answer.settings, stream);
    let said: Vec<_> = answers.all.iter().map(said).collect();
    let count = said.len();
    let new_lines = vec![false; count];
    let progress = (0..count).map(|_| Progress::new(&extras)).collect();
    let name = call.called(&model, name.as_deref());
    let mut writer = Messages { model, name, probabilities, progress, said, new_lines, fields };
    if stream {
        return Ok(respond(Form::Events, answers, writer));
    }
    let all = answers.whole().await?.into_iter().enumerate().map(|(index, (piece, end))| {
        writer.new_lines[index] = piece.text.contains('\n');
        let mut value = writer.last(index, &end);
        value["content"] = json!(piece.text);
        value["tokens"] = if return_tokens { json!(end.ids) } else { json!([]) };
        writer.add_probabilities(&mut value, &piece);
        only(value, &writer.fields)
    });
    let mut all: Vec<Value> = all.collect();
    // Several prompts have a list of answers.
    let value = if all.len() == 1 { all.remove(0) } else { Value::Array(all) };
    Ok(answer(&value))
}

struct Messages {
    model: Arc<Model>,
    name: String,
    /// How those of the tokens are written, if they are wanted.
    probabilities: Option<Style>,
    /// Of each answer.
    progress: Vec<Progress>,
    /// What the last message of each answer repeats of the request.
    said: Vec<Map<String, Value>>,
    /// Whether each has a line end.
    new_lines: Vec<bool>,
    fields: Vec<String>,
}

impl Messages {
    fn add_probabilities(&self, value: &mut Value, piece: &Piece) {
        if let Some(style) = self.probabilities {
            let list = probabilities::list(&self.model, &piece.tokens, style);
            value["completion_probabilities"] = json!(list);
        }
    }

    /// The last message, without text.
    fn last(&self, index: usize, end: &End) -> Value {
        let (kind, word) = match &end.finish {
            Finish::EndOfText => ("eos", ""),
            Finish::Stop(word) => ("word", word.as_str()),
            Finish::Length | Finish::ContextFull => ("limit", ""),
            Finish::Cancelled | Finish::OutputClosed => ("none", ""),
        };
        let mut value = json!({
            "index": index,
            "content": "",
            "tokens": [],
            "stop": true,
            "model": self.name,
            "tokens_predicted": end.generated_tokens,
            "tokens_evaluated": end.prompt_tokens,
            "tokens_cached": end.prompt_tokens + end.generated_tokens,
            "has_new_line": self.new_lines[index],
            "truncated": end.finish == Finish::ContextFull || end.has_evicted,
            "stop_type": kind,
            "stopping_word": word,
            "timings": timings::json(end),
        });
        if let Value::Object(map) = &mut value {
            map.extend(self.said[index].clone());
        }
        value
    }
}

impl Writer for Messages {
    fn write(&mut self, index: usize, step: Step, out: &mut Out) {
        let part = |text: &str| json!({ "index": index, "content": text, "tokens": [], "stop": false });
        let report = |progress: &mut Progress, done: usize, out: &mut Out| {
            if let Some(progress) = progress.at(done) {
                let mut value = part("");
                value["prompt_progress"] = progress;
                out.send(&value);
            }
        };
        match step {
            Step::Begun { prompt, cached } => {
                self.progress[index].begin(prompt, cached);
                report(&mut self.progress[index], cached, out);
            }
            Step::Progress { done } => report(&mut self.progress[index], done, out),
            Step::Piece(piece) => {
                self.new_lines[index] |= piece.text.contains('\n');
                let mut value = part(&piece.text);
                value["tokens"] = json!(piece.ids);
                self.add_probabilities(&mut value, &piece);
                if let Some(timings) = self.progress[index].after(&piece) {
                    value["timings"] = timings;
                }
                out.send(&value);
            }
            Step::End(end) => {
                if !end.unsaid.is_empty() {
                    let mut value = part("");
                    value["tokens"] = json!(end.unsaid);
                    out.send(&value);
                }
                out.send(&only(self.last(index, &end), &self.fields));
            }
            Step::Failed(refusal) => out.send(&Dialect::LlamaCpp.error(&refusal)),
        }
    }
}
