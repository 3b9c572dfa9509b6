//! llama.cpp's own interface: <https://github.com/ggml-org/llama.cpp/tree/master/tools/server>.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::{End, Piece, Step};
use super::ask::{Ask, Prompt, messages};
use super::dialect::{Dialect, answer};
use super::fields::{Fields, ids, wrong};
use super::model::Model;
use super::refusal::Refusal;
use super::router::Call;
use super::stream::{Form, Out, Writer, respond};
use super::{probabilities, timings};
use crate::chat::ChatInput;
use crate::engine::{EngineError, Finish};

/// A number as it was typed: 0.9, and not what is next to it in 64 bits.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// `GET /health`.
pub(super) async fn health(call: Call) -> Result<Response, Refusal> {
    call.shared.model()?;
    Ok(answer(&json!({ "status": "ok" })))
}

/// `GET /props`.
pub(super) async fn props(call: Call) -> Result<Response, Refusal> {
    let model = call.shared.model()?;
    let token = |id: Option<u32>| id.map(|id| model.token(id).0).unwrap_or_default();
    let (wishes, rest) = (model.wishes, model.sampling);
    let sampling = wishes.settle(&model.generation, rest)?;
    let params = json!({
        "temperature": short(sampling.temperature), "top_k": sampling.top_k, "top_p": short(sampling.top_p),
        "min_p": short(sampling.min_p), "repeat_penalty": short(sampling.repetition_penalty),
        "repeat_last_n": sampling.repetition_window, "frequency_penalty": short(sampling.frequency_penalty),
        "presence_penalty": short(sampling.presence_penalty), "seed": model.seed,
        "n_predict": call.shared.settings.max_tokens,
    });
    Ok(answer(&json!({
        "default_generation_settings": { "n_ctx": model.context, "params": params },
        "total_slots": call.shared.settings.parallel,
        "model_alias": model.name(),
        "model_path": model.name(),
        "chat_template": model.described.template.as_deref().unwrap_or_default(),
        "bos_token": token(model.form.bos),
        "eos_token": model.form.config.eos_token.clone().unwrap_or_default(),
        "modalities": { "vision": false, "audio": false },
        "build_info": concat!("llm_rs2 ", env!("CARGO_PKG_VERSION")),
    })))
}

/// `GET /slots`: how many texts are in progress. What they say is not shown.
pub(super) async fn slots(call: Call) -> Result<Response, Refusal> {
    let model = call.shared.model()?;
    let active = call.shared.load().active;
    let slot = |id: usize| json!({ "id": id, "n_ctx": model.context, "is_processing": id < active });
    let slots: Vec<Value> = (0..call.shared.settings.parallel).map(slot).collect();
    Ok(answer(&json!(slots)))
}

/// `POST /tokenize`.
pub(super) async fn tokenize(call: Call) -> Result<Response, Refusal> {
    let model = call.shared.model()?;
    let mut fields = Fields::of_body(&call.body)?;
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
    let model = call.shared.model()?;
    let mut fields = Fields::of_body(&call.body)?;
    let ids = fields.ids("tokens")?;
    let ids = fields.required("tokens", ids)?;
    fields.done()?;
    let text = model.tokenizer.decode(&ids, false);
    let text = text.map_err(|error| Refusal::field("tokens", error.to_string()))?;
    Ok(answer(&json!({ "content": text })))
}

/// `POST /apply-template`.
pub(super) async fn apply_template(call: Call) -> Result<Response, Refusal> {
    let model = call.shared.model()?;
    let mut fields = Fields::of_body(&call.body)?;
    let messages = messages(&mut fields, &["name"])?;
    let generation = fields.flag("add_generation_prompt")?.unwrap_or(true);
    let mut input = ChatInput::new(&messages, generation);
    if let Some(variables) = fields.object("chat_template_kwargs")? {
        for (name, value) in variables.all() {
            input = input.with(&name, value);
        }
    }
    fields.done()?;
    Ok(answer(&json!({ "prompt": model.render(input, None)?.0 })))
}

/// A text, ids, or both in one list.
fn prompt(model: &Model, value: Value) -> Result<Prompt, Refusal> {
    const NAME: &str = "prompt";
    let expected = "a text, or a list of texts and token ids";
    let list = match value {
        Value::String(text) => return Ok(Prompt::Text(text)),
        Value::Array(list) => list,
        other => return Err(wrong(NAME, expected, &other)),
    };
    let mut all = Vec::new();
    for (at, part) in list.into_iter().enumerate() {
        match part {
            Value::String(text) if at == 0 => all.extend(model.form.encode_text(&model.tokenizer, &text)?),
            Value::String(text) => {
                all.extend(model.tokenizer.encode(&text, false).map_err(EngineError::from)?);
            }
            other => {
                all.extend(ids(std::slice::from_ref(&other)).ok_or_else(|| wrong(NAME, expected, &other))?)
            }
        }
    }
    Ok(Prompt::Ids(all))
}

struct Wanted {
    ask: Ask,
    stream: bool,
    return_tokens: bool,
    model: Option<String>,
}

fn read(model: &Model, mut fields: Fields) -> Result<Wanted, Refusal> {
    let given = fields.take("prompt");
    let mut ask = Ask::new(prompt(model, fields.required("prompt", given)?)?);
    ask.read_sampling(&mut fields)?;
    ask.read_repetition(&mut fields)?;
    ask.read_bias(&mut fields)?;
    // -1 for as many as fit.
    let limit = match fields.integer("n_predict")? {
        None => fields.integer("max_tokens")?,
        given => given,
    };
    ask.max_tokens = limit.and_then(|n| usize::try_from(n).ok());
    ask.stop = fields.texts("stop")?;
    ask.ignore_eos = fields.flag("ignore_eos")?.unwrap_or(false);
    ask.logprobs = fields.whole("n_probs")?.filter(|n| *n > 0).map(|n| n.min(1000));
    let stream = fields.flag("stream")?.unwrap_or(false);
    let return_tokens = fields.flag("return_tokens")?.unwrap_or(false);
    let name = fields.text("model")?;
    for (name, off) in [
        ("typical_p", json!(1.0)),
        ("mirostat", json!(0)),
        ("dynatemp_range", json!(0.0)),
        ("xtc_probability", json!(0.0)),
        ("dry_multiplier", json!(0.0)),
        ("top_n_sigma", json!(-1.0)),
        ("grammar", json!("")),
        ("n_indent", json!(0)),
        ("n_keep", json!(0)),
        ("n_discard", json!(0)),
        ("n_cmpl", json!(1)),
        ("min_keep", json!(0)),
        ("id_slot", json!(-1)),
        ("t_max_predict_ms", json!(0)),
        ("post_sampling_probs", json!(false)),
        ("timings_per_token", json!(false)),
        ("return_progress", json!(false)),
        ("lora", json!([])),
        ("response_fields", json!([])),
        ("image_data", json!([])),
    ] {
        fields.neutral(name, &[off])?;
    }
    // What was computed before changes no text here.
    fields.ignore(&["cache_prompt"]);
    fields.done()?;
    Ok(Wanted { ask, stream, return_tokens, model: name })
}

/// `POST /completion`.
pub(super) async fn completion(call: Call) -> Result<Response, Refusal> {
    let model = Arc::clone(call.shared.model()?);
    let Wanted { mut ask, stream, return_tokens, model: name } = read(&model, Fields::of_body(&call.body)?)?;
    model.check_name(name.as_deref())?;
    let probabilities = ask.logprobs.is_some();
    if stream && return_tokens {
        // Tokens come with their probabilities or not at all.
        ask.logprobs = ask.logprobs.or(Some(0));
    }
    let mut said = Map::new();
    if let Prompt::Text(text) = &ask.prompt {
        said.insert("prompt".into(), json!(text));
    }
    let mut answers = call.shared.ask(&call.id, vec![ask]).await?;
    if let Some(settings) = answers.all.first().map(|answer| Arc::clone(&answer.settings)) {
        let sampling = settings.sampling;
        said.insert(
            "generation_settings".into(),
            json!({
                "seed": sampling.seed, "temperature": short(sampling.temperature), "top_k": sampling.top_k,
                "top_p": short(sampling.top_p), "min_p": short(sampling.min_p), "repeat_penalty": short(sampling.repetition_penalty),
                "repeat_last_n": sampling.repetition_window, "frequency_penalty": short(sampling.frequency_penalty),
                "presence_penalty": short(sampling.presence_penalty), "n_predict": settings.max_tokens,
                "stop": settings.stop, "ignore_eos": settings.ignore_eos, "stream": stream,
            }),
        );
    }
    let mut writer = Messages { model, probabilities, return_tokens, said, new_line: false };
    if stream {
        return Ok(respond(Form::Events, answers, writer));
    }
    let (piece, end) = match answers.all.first_mut() {
        Some(answer) => answer.whole().await?,
        None => return Err(Refusal::field("prompt", "'prompt' is missing")),
    };
    writer.new_line = piece.text.contains('\n');
    let mut value = writer.last(&end);
    value["content"] = json!(piece.text);
    value["tokens"] = if return_tokens { json!(end.ids) } else { json!([]) };
    writer.add_probabilities(&mut value, &piece);
    Ok(answer(&value))
}

struct Messages {
    model: Arc<Model>,
    probabilities: bool,
    return_tokens: bool,
    /// What the last message repeats of the request.
    said: Map<String, Value>,
    new_line: bool,
}

impl Messages {
    fn add_probabilities(&self, value: &mut Value, piece: &Piece) {
        if self.probabilities {
            let list = probabilities::list(&self.model, &piece.tokens, true);
            value["completion_probabilities"] = json!(list);
        }
    }

    /// The last message, without text.
    fn last(&self, end: &End) -> Value {
        let (kind, word) = match &end.finish {
            Finish::EndOfText => ("eos", ""),
            Finish::Stop(word) => ("word", word.as_str()),
            Finish::Length | Finish::ContextFull => ("limit", ""),
            Finish::Cancelled | Finish::OutputClosed => ("none", ""),
        };
        let mut value = json!({
            "index": 0,
            "content": "",
            "tokens": [],
            "stop": true,
            "model": self.model.name(),
            "tokens_predicted": end.generated_tokens,
            "tokens_evaluated": end.prompt_tokens,
            "tokens_cached": end.prompt_tokens + end.generated_tokens,
            "has_new_line": self.new_line,
            "truncated": end.finish == Finish::ContextFull,
            "stop_type": kind,
            "stopping_word": word,
            "timings": timings::json(end),
        });
        if let Value::Object(map) = &mut value {
            map.extend(self.said.clone());
        }
        value
    }
}

impl Writer for Messages {
    fn write(&mut self, _index: usize, step: Step, out: &mut Out) {
        match step {
            Step::Begun { .. } => {}
            Step::Piece(piece) => {
                self.new_line |= piece.text.contains('\n');
                let mut value = json!({ "index": 0, "content": piece.text, "stop": false });
                if self.return_tokens {
                    value["tokens"] = piece.tokens.iter().map(|token| token.id).collect();
                }
                self.add_probabilities(&mut value, &piece);
                out.send(&value);
            }
            Step::End(end) => out.send(&self.last(&end)),
            Step::Failed(refusal) => out.send(&Dialect::LlamaCpp.error(&refusal)),
        }
    }
}
