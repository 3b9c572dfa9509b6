//! The fields of each request.

use serde_json::{Value, json};

use super::kinds::Kind::{Flag, Ids, Integer, List, Number, Object, Other, Text, Texts, Whole};
use super::kinds::{Field, ids, may, must};

/// What chooses the tokens, by the names that all dialects have.
const SAMPLING: &[Field] = &[
    may("temperature", Number, "0 for the likeliest token each time"),
    may("top_p", Number, "the likeliest tokens that have this probability together"),
    may("min_p", Number, "tokens at least so likely beside the likeliest"),
    may("top_k", Integer, "so many of the likeliest tokens; 0 or less for all"),
    may("frequency_penalty", Number, "for each time that a token came before"),
    may("presence_penalty", Number, "for a token that came before"),
    may("seed", Integer, "the same request with the same seed has the same answer; a negative one is any"),
];

const REPETITION: &[Field] = &[
    may("repeat_penalty", Number, "1 for none"),
    may("repetition_penalty", Number, "another name of repeat_penalty"),
    may("repeat_last_n", Integer, "how many of the last tokens the penalties look at; -1 for all"),
];

/// llama.cpp's own, which OpenAI's requests may have too.
const LLAMA_CPP: &[Field] = &[
    may("n_predict", Integer, "the most tokens of an answer; -1 for as many as fit"),
    may("ignore_eos", Flag, "whether the answer goes on after its end"),
    may("verbose", Flag, "whether the answer has the prompt as it went to the model"),
    may("return_progress", Flag, "whether a stream says how far the prompt is taken in"),
    may("timings_per_token", Flag, "whether each event of a stream has the times so far"),
    may("post_sampling_probs", Flag, "whether n_probs are the chances in the draw; in /completion alone"),
    may("logit_bias", Other(bias), "what is added to the logits of tokens; false rules one out"),
];

fn bias() -> Value {
    let number = json!({ "type": "number", "minimum": -1e6, "maximum": 1e6 });
    let token = json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string" }] });
    json!({ "anyOf": [
        { "type": "object", "additionalProperties": { "anyOf": [number, { "const": false }] } },
        { "type": "array", "items": {
            "type": "array", "prefixItems": [token, { "anyOf": [number, { "const": false }] }], "minItems": 2, "maxItems": 2,
        } },
    ] })
}

/// What the text has to be, as OpenAI's requests have it and llama.cpp's.
const CONSTRAINTS: &[Field] = &[
    may("json_schema", Other(any), "a JSON schema that the text follows"),
    may("grammar", Text, "a grammar that the text follows (GBNF, or Lark after %llguidance)"),
    may("response_format", Other(response_format), "what the text has to be"),
];

fn response_format() -> Value {
    let schema = json!({ "type": "object", "properties": { "schema": {} }, "required": ["schema"] });
    json!({
        "type": "object",
        "properties": {
            "type": { "enum": ["text", "json_object", "json_schema"] }, "json_schema": schema, "schema": {},
        },
        "required": ["type"],
    })
}

/// Functions that the model may call.
const TOOLS: &[Field] = &[
    may("tools", Other(tools), "functions that the model may call"),
    may("tool_choice", Other(tool_choice), "whether it has to"),
    may("parallel_tool_calls", Flag, "whether an answer may have several calls"),
];

fn tools() -> Value {
    let function = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" }, "description": { "type": "string" }, "parameters": { "type": "object" },
            "strict": { "type": "boolean" },
        },
        "required": ["name"],
    });
    let tool = json!({
        "type": "object",
        "properties": { "type": { "const": "function" }, "function": function },
        "required": ["function"],
    });
    json!({ "type": "array", "items": tool })
}

fn tool_choice() -> Value {
    let named =
        json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    json!({ "anyOf": [
        { "enum": ["none", "auto", "required"] },
        { "type": "object", "properties": { "type": { "const": "function" }, "function": named } },
    ] })
}

/// Who shares what was computed.
const CACHE: &[Field] = &[may(
    "cache_salt",
    Text,
    "texts with another one share nothing that was computed for them; a text that others cannot guess",
)];

/// A conversation.
const MESSAGES: &[Field] = &[must("messages", List(&[MESSAGE]), "the conversation")];

const MESSAGE: &[Field] = &[
    must("role", Other(role), ""),
    may("content", Other(content), "missing in an assistant's message alone"),
    may("reasoning_content", Text, "what the model has reasoned before it answered"),
    may("thinking", Text, "another name of reasoning_content"),
    may("reasoning", Text, "another name of reasoning_content"),
    may("tool_calls", Other(tool_calls), "functions that the assistant has called"),
    may("tool_call_id", Text, "whose result a message of the role 'tool' is"),
    may("tool_name", Text, "which function has given it"),
];

fn tool_calls() -> Value {
    let function = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "arguments": { "anyOf": [{ "type": "string" }, { "type": "object" }] },
        },
        "required": ["name"],
    });
    let call = json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "type": { "const": "function" }, "function": function },
        "required": ["function"],
    });
    json!({ "type": "array", "items": call })
}

fn role() -> Value {
    json!({ "enum": ["system", "developer", "user", "assistant", "tool"] })
}

/// A text, or a list of its parts.
fn content() -> Value {
    let part = json!({
        "type": "object",
        "properties": { "type": { "enum": ["text", "input_text", "output_text"] }, "text": { "type": "string" } },
        "required": ["type", "text"],
    });
    json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": part }] })
}

fn any() -> Value {
    json!({})
}

fn anything() -> Value {
    json!({ "type": "object" })
}

const TEMPLATE: &[Field] = &[
    may("add_generation_prompt", Flag, "whether the assistant's turn begins at the end"),
    may("continue_final_message", Flag, "whether the last message is gone on with"),
    may("chat_template_kwargs", Other(anything), "variables of the template"),
];

/// What requests of OpenAI's interface have in common.
const OPENAI: &[Field] = &[
    may("model", Text, "a name of the model"),
    may("stream", Flag, "whether the answer comes as events"),
    may(
        "stream_options",
        Object(&[&[may("include_usage", Flag, "whether the last event has the usage")]]),
        "",
    ),
    may("n", Whole, "answers to each prompt: 1 to 128"),
    may("stop", Texts, "texts that end the answer"),
    may("max_tokens", Integer, "the most tokens of an answer; -1 for as many as fit"),
];

pub const CHAT: &[&[Field]] = &[
    MESSAGES,
    OPENAI,
    SAMPLING,
    REPETITION,
    LLAMA_CPP,
    CACHE,
    CONSTRAINTS,
    TOOLS,
    TEMPLATE,
    &[
        may("max_completion_tokens", Integer, "another name of max_tokens, which it is stronger than"),
        may("logprobs", Flag, "whether the answer's tokens come with their probabilities"),
        may("top_logprobs", Whole, "the probabilities of so many other tokens: 0 to 20"),
    ],
];

pub const COMPLETIONS: &[&[Field]] = &[
    &[
        must("prompt", Other(prompts), "what the text begins with, or several of these"),
        may("logprobs", Whole, "the probabilities of the tokens and of so many others: 0 to 20"),
        may("echo", Flag, "whether the answer begins with the prompt"),
        may(
            "prompt_logprobs",
            Whole,
            "the probabilities of the prompt's tokens and of so many others: 0 to 20",
        ),
    ],
    OPENAI,
    SAMPLING,
    REPETITION,
    LLAMA_CPP,
    CACHE,
    CONSTRAINTS,
];

fn prompts() -> Value {
    let text = json!({ "type": "string" });
    let each = json!({ "anyOf": [text, ids()] });
    json!({ "anyOf": [text, ids(), { "type": "array", "items": each, "minItems": 1, "maxItems": 128 }] })
}

pub const COMPLETION: &[&[Field]] = &[
    &[
        must("prompt", Other(prompt), "what the text begins with"),
        may("max_tokens", Integer, "stronger than n_predict"),
        may("stop", Texts, "texts that end the answer"),
        may("n_probs", Whole, "the probabilities of so many tokens"),
        may("stream", Flag, "whether the answer comes as events"),
        may("return_tokens", Flag, "whether the answer has its token ids"),
        may("response_fields", Texts, "the fields that the answer is to have"),
        may("model", Text, "a name of the model"),
    ],
    SAMPLING,
    REPETITION,
    LLAMA_CPP,
    CACHE,
    CONSTRAINTS,
];

fn prompt() -> Value {
    let text = json!({ "type": "string" });
    let object =
        json!({ "type": "object", "properties": { "prompt_string": text }, "required": ["prompt_string"] });
    let part = json!({ "anyOf": [text, { "type": "integer", "minimum": 0 }] });
    let one = json!({ "anyOf": [text, object, { "type": "array", "items": part }] });
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

/// Which model is meant.
const NAME: &[Field] = &[may("model", Text, "a name of the model")];

pub const TOKENIZE: &[&[Field]] = &[
    NAME,
    &[
        must("content", Text, "the text"),
        may("add_special", Flag, "whether the ids begin as a prompt's do"),
        may("with_pieces", Flag, "whether each id comes with its text"),
    ],
];

pub const DETOKENIZE: &[&[Field]] = &[NAME, &[must("tokens", Ids, "")]];

pub const APPLY_TEMPLATE: &[&[Field]] = &[NAME, MESSAGES, TEMPLATE, TOOLS];

const ANTHROPIC: &[Field] = &[
    must("model", Text, "a name of the model"),
    may("system", Other(content), "what goes before the conversation"),
    must(
        "messages",
        List(&[&[must("role", Other(role_of_anthropic), ""), must("content", Other(blocks), "")]]),
        "",
    ),
    may(
        "thinking",
        Object(&[&[may("type", Text, "enabled, disabled or adaptive")]]),
        "whether the model reasons before it answers",
    ),
    may("tools", Other(tools_of_anthropic), "functions that the model may call"),
    may("tool_choice", Other(choice_of_anthropic), "whether it has to"),
];

fn role_of_anthropic() -> Value {
    json!({ "enum": ["user", "assistant", "system"] })
}

/// A text, or a list of texts, reasoning, calls and their results.
fn blocks() -> Value {
    let kinds = ["text", "thinking", "redacted_thinking", "tool_use", "tool_result"];
    let block =
        json!({ "type": "object", "properties": { "type": { "enum": kinds } }, "required": ["type"] });
    json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": block }] })
}

fn tools_of_anthropic() -> Value {
    let tool = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" }, "description": { "type": "string" }, "input_schema": { "type": "object" },
        },
        "required": ["name"],
    });
    json!({ "type": "array", "items": tool })
}

fn choice_of_anthropic() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "enum": ["auto", "any", "tool", "none"] }, "name": { "type": "string" },
            "disable_parallel_tool_use": { "type": "boolean" },
        },
        "required": ["type"],
    })
}

pub const MESSAGES_OF_ANTHROPIC: &[&[Field]] = &[
    ANTHROPIC,
    SAMPLING,
    &[
        must("max_tokens", Whole, "the most tokens of the answer"),
        may("stop_sequences", Texts, "texts that end the answer"),
        may("stream", Flag, "whether the answer comes as events"),
        may("output_config", Other(anything), "what the text has to be: format"),
        may("output_format", Other(anything), "what output_config.format was before"),
    ],
];

pub const COUNT_TOKENS: &[&[Field]] = &[ANTHROPIC];

/// What both of Ollama's ways to ask have.
const OLLAMA: &[Field] = &[
    must("model", Text, "a name of the model"),
    may("stream", Flag, "whether the answer comes as lines, which it does unless this is false"),
    may("think", Flag, "whether the model reasons before it answers"),
    may("options", Object(&[OPTIONS, SAMPLING, REPETITION]), ""),
    may("format", Other(format_of_ollama), "what the text has to be"),
];

fn format_of_ollama() -> Value {
    json!({ "anyOf": [{ "enum": ["", "json"] }, { "type": "object" }] })
}

const OPTIONS: &[Field] = &[
    may("num_predict", Integer, "the most tokens of the answer; -1 for as many as fit"),
    may("num_ctx", Whole, "no more than the server's context"),
    may("stop", Texts, "texts that end the answer"),
];

pub const GENERATE: &[&[Field]] = &[
    OLLAMA,
    &[
        may("prompt", Text, "what is asked; nothing to see whether the model is loaded"),
        may("system", Text, "what goes before it"),
        may("raw", Flag, "whether the prompt goes to the model without its template"),
        may("keep_alive", Other(any), "0 without a prompt unloads the model"),
    ],
];

pub const CHAT_OF_OLLAMA: &[&[Field]] = &[OLLAMA, MESSAGES, TOOLS];

pub const SHOW: &[&[Field]] =
    &[&[may("model", Text, "a name of the model"), may("name", Text, "another name of model")]];

/// A name of a model in two fields, one of which has to be there.
const MODEL: &[Field] =
    &[must("model", Text, "a name of the model"), may("name", Text, "another name of model")];

pub const PULL: &[&[Field]] =
    &[MODEL, &[may("stream", Flag, "whether progress comes as lines, which it does unless this is false")]];

pub const DELETE: &[&[Field]] = &[MODEL];

pub const COPY: &[&[Field]] = &[&[
    must("source", Text, "a name of the model"),
    must("destination", Text, "the name that it gets beside its own"),
]];

pub const RESPONSES: &[&[Field]] = &[
    NAME,
    SAMPLING,
    REPETITION,
    LLAMA_CPP,
    CACHE,
    CONSTRAINTS,
    TOOLS,
    &[
        must("input", Other(input), "a text, or what was said, called and answered"),
        may("instructions", Text, "what goes before it"),
        may("max_output_tokens", Integer, "the most tokens of an answer; -1 for as many as fit"),
        may("max_tokens", Integer, "another name of max_output_tokens"),
        may(
            "reasoning",
            Object(&[&[may("effort", Text, "how much, for the template")]]),
            "how the model reasons",
        ),
        may("text", Other(anything), "what the text has to be: format"),
        may("stop", Texts, "texts that end the answer"),
        may("store", Flag, "nothing is kept"),
        may("stream", Flag, "whether the answer comes as events"),
    ],
];

fn input() -> Value {
    json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "object" }, "minItems": 1 }] })
}

const NORM: &[Field] =
    &[may("embd_normalize", Integer, "-1 for no norm, 0 for the largest magnitude, else the power")];

const DIMENSIONS: &[Field] = &[may("dimensions", Whole, "vectors are cut to so many elements")];

pub const EMBEDDINGS: &[&[Field]] = &[
    NAME,
    NORM,
    DIMENSIONS,
    &[must("input", Other(texts), "what becomes vectors"), may("encoding_format", Text, "float, or base64")],
];

fn texts() -> Value {
    let text = json!({ "type": "string" });
    json!({ "anyOf": [text, ids(), { "type": "array", "items": { "anyOf": [text, ids()] } }] })
}

pub const EMBEDDING: &[&[Field]] = &[
    NAME,
    NORM,
    &[
        may("input", Other(texts), "another name of content"),
        must("content", Other(texts), "what becomes vectors"),
    ],
];

pub const EMBED_OF_OLLAMA: &[&[Field]] = &[
    DIMENSIONS,
    &[
        must("model", Text, "a name of the model"),
        may("input", Other(texts), "what becomes vectors"),
        may("truncate", Flag, "whether texts that are too long are cut"),
    ],
];

pub const EMBEDDINGS_OF_OLLAMA: &[&[Field]] =
    &[&[must("model", Text, "a name of the model"), may("prompt", Text, "what becomes a vector")]];
