//! What a template knows of functions, and a conversation made so that it writes all of them.

use serde_json::{Value, json};

use super::form::Writing;
use super::history::{self, calls_mut, object};
use super::write::spaced;
use super::{Form, Tool, generic};
use crate::chat::ChatInput;

/// What a template knows of functions, found out by what it writes of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// How the model writes calls.
    pub form: &'static Form,
    /// The variable that it gets functions by; `None`: it shows none.
    variable: Option<&'static str>,
    /// It writes calls of earlier turns.
    calls: bool,
    /// It writes results.
    results: bool,
    /// It writes system messages.
    system: bool,
    /// It wants arguments as text, and not as an object.
    text: bool,
}

/// Names of variables for functions; the second one is SmolLM 3's.
const VARIABLES: [&str; 2] = ["tools", "xml_tools"];

/// Words that no template has in it.
const FUNCTION: &str = "probe_function";
const ARGUMENT: &str = "probe_argument";
const VALUE: &str = "probe value";
const RESULT: &str = "probe result";
const SYSTEM: &str = "probe of the system";

impl Support {
    /// By what `render` makes of conversations; `form` is the template's.
    pub fn find(form: Option<&'static Form>, render: impl Fn(ChatInput) -> Option<String>) -> Self {
        let plain = |messages: Value| ChatInput::new(&[], true).with("messages", messages);
        let user = json!({ "role": "user", "content": "words" });
        let system = render(plain(json!([{ "role": "system", "content": SYSTEM }, user])));
        let system = system.is_some_and(|text| text.contains(SYSTEM));
        let tool = Tool {
            name: FUNCTION.into(),
            description: "A probe.".into(),
            parameters: json!({
                "type": "object", "properties": { ARGUMENT: { "type": "string", "description": "words" } },
                "required": [ARGUMENT],
            }),
            strict: false,
        };
        let tools = json!([tool.json()]);
        let shows = |variable: &&str| {
            let text = render(plain(json!([user])).with(variable, tools.clone()));
            text.is_some_and(|text| text.contains(FUNCTION))
        };
        let variable = form.and_then(|_| VARIABLES.into_iter().find(shows));
        let (Some(form), Some(variable)) = (form, variable) else {
            let form = Form::generic();
            return Self { form, variable: None, calls: false, results: false, system, text: false };
        };
        let turns = |arguments: Value| {
            let function = json!({ "name": FUNCTION, "arguments": arguments });
            let calls = json!([{ "id": "abc123def", "type": "function", "function": function }]);
            let turns = json!([
                user,
                { "role": "assistant", "content": "", "tool_calls": calls },
                { "role": "tool", "content": RESULT, "tool_call_id": "abc123def", "name": FUNCTION },
            ]);
            render(plain(turns).with(variable, tools.clone()))
        };
        let text = json!({ ARGUMENT: VALUE }).to_string();
        let as_object = turns(json!({ ARGUMENT: VALUE })).filter(|text| {
            // An object that was printed as Python prints it is none in JSON.
            text.contains(VALUE) && !text.contains(&format!("{{'{ARGUMENT}': '{VALUE}'"))
        });
        let as_text = || turns(json!(text)).filter(|text| text.contains(VALUE));
        let (written, text) = match as_object {
            Some(written) => (Some(written), false),
            None => (as_text(), true),
        };
        let calls = written.is_some();
        let written = written.or_else(|| turns(json!({})));
        let results = written.is_some_and(|text| text.contains(RESULT));
        Self { form, variable: Some(variable), calls, results, system, text: text && calls }
    }

    /// Whether the template itself shows functions to the model.
    pub fn is_native(&self) -> bool {
        self.variable.is_some()
    }

    /// A conversation with functions, as the template wants it.
    pub fn adapt(&self, input: ChatInput, tools: &[Tool]) -> ChatInput {
        let mut input = input;
        let Some(Value::Array(messages)) = input.variables.get_mut("messages") else { return input };
        history::complete(messages, self.form.short_ids && self.is_native());
        for message in messages.iter_mut() {
            if !self.calls {
                generic::write_calls(message, self.form);
                continue;
            }
            // GPT-OSS's template refuses calls with both, and shows either as what led to them.
            if self.form.writing == Writing::Harmony
                && calls_mut(message).next().is_some()
                && message.get("thinking").is_some()
            {
                message["content"] = json!("");
            }
            for call in calls_mut(message) {
                let Some(arguments) = call.get_mut("function").and_then(|f| f.get_mut("arguments")) else {
                    continue;
                };
                match arguments {
                    Value::String(_) if self.text => {}
                    other if self.text => *other = spaced(other).into(),
                    other => {
                        if let Some(map) = object(other) {
                            *other = Value::Object(map);
                        }
                    }
                }
            }
        }
        if !self.results {
            generic::write_results(messages);
        }
        if tools.is_empty() {
            return input;
        }
        match self.variable {
            Some(variable) => {
                let tools = tools.iter().map(Tool::json).collect();
                input.with(variable, tools)
            }
            None => {
                generic::say_first(messages, &generic::described(tools), self.system);
                input
            }
        }
    }
}
