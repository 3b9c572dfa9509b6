//! What is asked for, in whichever dialect.

use serde_json::Value;

use super::fields::{Fields, ids, wrong};
use super::refusal::Refusal;
use super::tools::{Tools, calls};
use crate::chat::{ChatInput, Message};
use crate::engine::{PromptRows, SamplingWishes};
use crate::sampling::Constraint;

/// What a text begins with.
#[derive(Clone, Debug)]
pub(super) enum Prompt {
    /// A text that goes on.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
    /// A conversation, through the model's template.
    Chat(Box<ChatInput>),
}

/// A token whose logit gets something added.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Biased {
    Id(u32),
    /// All tokens of a text.
    Text(String),
}

/// A text that is asked for. What is `None` is as the server has it by itself.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub prompt: Prompt,
    pub wishes: SamplingWishes,
    pub repetition_window: Option<usize>,
    pub frequency_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    /// As many tokens as fit are asked for in so many words.
    pub is_unlimited: bool,
    pub stop: Vec<String>,
    pub ignore_eos: bool,
    pub bias: Vec<(Biased, f32)>,
    /// Probabilities of the chosen tokens, and of so many others.
    pub logprobs: Option<usize>,
    /// These are the chances that the tokens had when they were drawn, and not the model's own probabilities.
    pub chances: bool,
    /// What is wanted of the prompt itself.
    pub rows: PromptRows,
    /// A prompt that is too long is cut.
    pub truncate: bool,
    /// Whether the model is to reason before it answers, where it can do either.
    pub thinking: Option<bool>,
    /// What the text has to be; reasoning before it is free.
    pub constraint: Option<Constraint>,
    /// The field of the body that the constraint comes from.
    pub constraint_field: Option<&'static str>,
    /// Functions that the model may call.
    pub tools: Tools,
    /// Texts with another one share nothing that was computed.
    pub cache_salt: Option<String>,
}

impl Ask {
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            wishes: SamplingWishes::default(),
            repetition_window: None,
            frequency_penalty: None,
            presence_penalty: None,
            seed: None,
            max_tokens: None,
            is_unlimited: false,
            stop: Vec::new(),
            ignore_eos: false,
            bias: Vec::new(),
            logprobs: None,
            chances: false,
            rows: PromptRows::Nothing,
            truncate: false,
            thinking: None,
            constraint: None,
            constraint_field: None,
            tools: Tools::default(),
            cache_salt: None,
        }
    }

    /// The settings of sampling that have the same names everywhere.
    ///
    /// # Errors
    /// Values of the wrong kind.
    pub fn read_sampling(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        self.wishes.temperature = fields.number("temperature")?;
        self.wishes.top_p = fields.number("top_p")?;
        self.wishes.min_p = fields.number("min_p")?;
        // -1 for all, as some have it.
        let top_k = fields.integer("top_k")?.map(|k| usize::try_from(k).unwrap_or(0));
        self.wishes.top_k = top_k;
        self.frequency_penalty = fields.number("frequency_penalty")?;
        self.presence_penalty = fields.number("presence_penalty")?;
        // A negative one is any.
        self.seed = fields.integer("seed")?.and_then(|seed| u64::try_from(seed).ok());
        Ok(())
    }

    /// The most tokens of the answer, by the first of these names that there is; negative for as many as fit.
    ///
    /// # Errors
    /// Values of the wrong kind.
    pub fn read_limit(&mut self, fields: &mut Fields, names: &[&str]) -> Result<(), Refusal> {
        for name in names {
            let given = fields.integer(name)?;
            self.is_unlimited |= given.is_some_and(|n| n < 0);
            self.max_tokens = self.max_tokens.or(given.and_then(|n| usize::try_from(n).ok()));
        }
        Ok(())
    }

    /// Penalties by llama.cpp's names, which Ollama and many clients of OpenAI's interface have too.
    ///
    /// # Errors
    /// Values of the wrong kind.
    pub fn read_repetition(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        self.wishes.repetition_penalty = match fields.number("repeat_penalty")? {
            None => fields.number("repetition_penalty")?,
            given => given,
        };
        // -1 for the whole text.
        let window = fields.integer("repeat_last_n")?;
        self.repetition_window = window.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(())
    }

    /// `cache_salt`, as vLLM has it.
    ///
    /// # Errors
    /// Anything but a text that is not empty.
    pub fn read_cache_salt(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        const NAME: &str = "cache_salt";
        self.cache_salt = fields.text(NAME)?;
        if self.cache_salt.as_deref() == Some("") {
            let why = "'cache_salt' is empty; leave it out, or give a text that others cannot guess";
            return Err(Refusal::field(NAME, why));
        }
        Ok(())
    }

    /// `logit_bias`: an object of ids, or a list of pairs of an id or a text and a number, or false to rule a token out.
    ///
    /// # Errors
    /// Anything else.
    pub fn read_bias(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        const NAME: &str = "logit_bias";
        let Some(value) = fields.take(NAME) else { return Ok(()) };
        let expected = "an object of token ids with numbers, or a list of pairs";
        let bad = |value: &Value| wrong(NAME, expected, value);
        let pairs: Vec<(Biased, Value)> = match &value {
            Value::Object(map) => {
                let biased = |(token, bias): (&String, &Value)| {
                    let token = token.parse().map_or_else(|_| Biased::Text(token.clone()), Biased::Id);
                    (token, bias.clone())
                };
                map.iter().map(biased).collect()
            }
            Value::Array(list) => {
                let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                    Some([Value::String(text), bias]) => Ok((Biased::Text(text.clone()), bias.clone())),
                    Some([id, bias]) => {
                        let id = ids(std::slice::from_ref(id)).ok_or_else(|| bad(pair))?;
                        Ok((Biased::Id(id[0]), bias.clone()))
                    }
                    _ => Err(bad(pair)),
                };
                list.iter().map(pair).collect::<Result<_, _>>()?
            }
            other => return Err(bad(other)),
        };
        for (token, bias) in pairs {
            let bias = match &bias {
                Value::Bool(false) => f32::NEG_INFINITY,
                other => match other.as_f64() {
                    Some(number) if number.abs() <= 1e6 => number as f32,
                    _ => return Err(wrong(NAME, "a bias of -100 to 100, or false", other)),
                },
            };
            self.bias.push((token, bias));
        }
        Ok(())
    }
}

/// Roles that a message may have.
const ROLES: [&str; 5] = ["system", "user", "assistant", "developer", "tool"];

/// A list of messages, as all chat dialects have it but for what else is in a message: `content` is a text, or a list of parts
/// that are texts.
///
/// # Errors
/// Roles that there are not, parts that are no texts, fields that are not supported.
pub(super) fn messages(fields: &mut Fields, ignored: &[&str]) -> Result<Vec<Message>, Refusal> {
    let list = fields.list("messages")?;
    let list = fields.required("messages", list)?;
    if list.is_empty() {
        return Err(Refusal::field("messages", "'messages' is empty; give at least one message"));
    }
    let message = |(at, value)| message(Fields::of(value, &format!("messages[{at}]"))?, ignored);
    list.into_iter().enumerate().map(message).collect()
}

/// A conversation as OpenAI's interface has it: messages, variables of the template, and where the answer begins. A last
/// message of the assistant is gone on with, unless `add_generation_prompt` or `continue_final_message` says otherwise.
///
/// # Errors
/// As [`messages`]; a message that cannot be gone on with.
pub(super) fn conversation(fields: &mut Fields) -> Result<ChatInput, Refusal> {
    const MESSAGE: [&str; 4] = ["name", "refusal", "annotations", "audio"];
    const CONTINUE: &str = "continue_final_message";
    let messages = messages(fields, &MESSAGE)?;
    let generation = fields.flag("add_generation_prompt")?;
    let go_on = fields.flag(CONTINUE)?;
    if generation == Some(true) && go_on == Some(true) {
        let why = "'continue_final_message' and 'add_generation_prompt' cannot both be true";
        return Err(Refusal::field(CONTINUE, why));
    }
    let mut input = ChatInput::new(&messages, generation.unwrap_or(true));
    if go_on.unwrap_or(generation.is_none() && input.ends_with_assistant()) {
        input = continued(input)?;
    }
    if let Some(variables) = fields.object("chat_template_kwargs")? {
        for (name, value) in variables.all() {
            input = input.with(&name, value);
        }
    }
    Ok(input)
}

/// Messages that an answer follows, or goes on with where the last one is the assistant's.
///
/// # Errors
/// A message that cannot be gone on with.
pub(super) fn answered(messages: &[Message]) -> Result<ChatInput, Refusal> {
    let input = ChatInput::new(messages, true);
    if input.ends_with_assistant() { continued(input) } else { Ok(input) }
}

fn continued(input: ChatInput) -> Result<ChatInput, Refusal> {
    input.continued().map_err(|error| Refusal::field("messages", error.to_string()))
}

/// The role of a message, which is one of `known`.
///
/// # Errors
/// None, or another one.
pub(super) fn role(fields: &mut Fields, known: &[&str]) -> Result<String, Refusal> {
    let role = fields.text("role")?;
    let role = fields.required("role", role)?;
    if known.contains(&role.as_str()) {
        return Ok(role);
    }
    let name = fields.full("role");
    let why = format!("'{name}' is '{role}'; this server knows {}", known.join(", "));
    Err(Refusal::field(name, why))
}

fn message(mut fields: Fields, ignored: &[&str]) -> Result<Message, Refusal> {
    let role = role(&mut fields, &ROLES)?;
    let name = fields.full("content");
    let content = match fields.take("content") {
        None if role == "assistant" => String::new(),
        content => parts(fields.required("content", content)?, &name)?,
    };
    let mut reasoning = None;
    for name in ["reasoning_content", "thinking", "reasoning"] {
        let found = fields.text(name)?;
        reasoning = reasoning.or(found);
    }
    let calls = calls(&mut fields)?;
    let tool_call_id = fields.text("tool_call_id")?;
    // Ollama's name for it.
    let mut function = fields.text("tool_name")?;
    let misplaced = [
        ("tool_calls", role != "assistant" && !calls.is_empty()),
        ("tool_call_id", role != "tool" && tool_call_id.is_some()),
        ("tool_name", role != "tool" && function.is_some()),
    ];
    if let Some((name, _)) = misplaced.into_iter().find(|(_, is_misplaced)| *is_misplaced) {
        return Err(Refusal::unsupported(&fields.full(name), &format!("in messages of the role '{role}'")));
    }
    if role == "tool" && function.is_none() {
        function = fields.text("name")?;
    }
    fields.neutral("images", &[Value::Array(Vec::new())])?;
    fields.ignore(ignored);
    fields.done()?;
    let role = if role == "developer" { "system".to_owned() } else { role };
    let reasoning = reasoning.filter(|text| !text.is_empty());
    Ok(Message { reasoning, calls, tool_call_id, name: function, ..Message::new(role, content) })
}

/// A text, or a list of parts that are texts.
///
/// # Errors
/// Parts that are none.
pub(super) fn parts(content: Value, path: &str) -> Result<String, Refusal> {
    let list = match content {
        Value::String(text) => return Ok(text),
        Value::Array(list) => list,
        other => return Err(wrong(path, "a text or a list of parts", &other)),
    };
    let part = |(at, value)| {
        let path = format!("{path}[{at}]");
        let mut fields = Fields::of(value, &path)?;
        let kind = fields.text("type")?;
        let kind = fields.required("type", kind)?;
        if !matches!(kind.as_str(), "text" | "input_text" | "output_text") {
            return Err(Refusal::unsupported(&path, &format!("parts of the type '{kind}'; give texts")));
        }
        fields.ignore(&["cache_control", "citations", "annotations", "logprobs"]);
        let text = fields.text("text")?;
        let text = fields.required("text", text)?;
        fields.done()?;
        Ok(text)
    };
    let texts: Vec<String> = list.into_iter().enumerate().map(part).collect::<Result<_, Refusal>>()?;
    Ok(texts.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Vec<Message>, Refusal> {
        messages(&mut Fields::of_body(value.to_string().as_bytes()).unwrap(), &["name"])
    }

    #[test]
    fn messages_are_texts_or_lists_of_texts() {
        let list = json!({"messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "x"},
            {"role": "assistant", "content": null, "reasoning_content": "hm"},
        ]});
        let read = read(list).unwrap();
        let texts: Vec<_> = read.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        assert_eq!(texts, [("system", "Be brief."), ("user", "a\nb"), ("assistant", "")]);
        assert_eq!(read[2].reasoning.as_deref(), Some("hm"));
    }

    #[test]
    fn calls_and_results_are_messages() {
        let list = json!({"messages": [
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": [{"type": "text", "text": "21"}], "tool_call_id": "a"},
            {"role": "tool", "content": "22", "tool_name": "f"},
        ]});
        let read = read(list).unwrap();
        assert_eq!((read[0].calls[0].name.as_str(), &read[0].calls[0].arguments), ("f", &json!("{}")));
        assert_eq!((read[1].tool_call_id.as_deref(), read[1].content.as_str()), (Some("a"), "21"));
        assert_eq!((read[2].tool_call_id.as_deref(), read[2].name.as_deref()), (None, Some("f")));
    }

    #[test]
    fn what_no_message_can_hold_is_named() {
        let field = |value: Value| read(json!({"messages": value})).unwrap_err().field.unwrap();
        assert_eq!(field(json!([])), "messages");
        assert_eq!(field(json!([{"role": "critic", "content": "x"}])), "messages[0].role");
        assert_eq!(field(json!([{"role": "tool"}])), "messages[0].content");
        assert_eq!(field(json!([{"role": "assistant", "tool_calls": [1]}])), "messages[0].tool_calls[0]");
        assert_eq!(field(json!([{"content": "x"}])), "messages[0].role");
        assert_eq!(field(json!([{"role": "user"}])), "messages[0].content");
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
        assert_eq!(field(image), "messages[0].content[0]");
        assert_eq!(
            field(json!([{"role": "user", "content": "x", "tool_calls": [{"function": {"name": "f"}}]}])),
            "messages[0].tool_calls"
        );
        assert_eq!(
            field(json!([{"role": "user", "content": "x", "tool_call_id": "y"}])),
            "messages[0].tool_call_id"
        );
        assert!(read(json!({})).is_err());
    }

    #[test]
    fn a_bias_is_an_object_or_a_list_of_pairs() {
        let read = |value: Value| {
            let mut ask = Ask::new(Prompt::Ids(Vec::new()));
            let body = json!({"logit_bias": value}).to_string();
            ask.read_bias(&mut Fields::of_body(body.as_bytes()).unwrap()).map(|()| ask.bias)
        };
        assert_eq!(read(json!({"5": -100})).unwrap(), [(Biased::Id(5), -100.0)]);
        let list = read(json!([[7, 1.5], ["text", false]])).unwrap();
        assert_eq!(list, [(Biased::Id(7), 1.5), (Biased::Text("text".into()), f32::NEG_INFINITY)]);
        for bad in [json!(3), json!([[1]]), json!([[1.5, 2]]), json!({"5": "x"}), json!({"5": 1e30})] {
            assert_eq!(read(bad.clone()).unwrap_err().field.as_deref(), Some("logit_bias"), "{bad}");
        }
    }
}
