//! Functions that a request offers to the model, in OpenAI's form, which Ollama and llama.cpp have too.

use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::refusal::Refusal;
use crate::chat::ToolCall;
use crate::chat::tools::{Choice, Tool};

/// What may be called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tools {
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// Whether an answer may have several calls.
    pub parallel: bool,
}

/// The most functions of a request.
const MOST: usize = 512;

impl Default for Tools {
    fn default() -> Self {
        Self { tools: Vec::new(), choice: Choice::Auto, parallel: true }
    }
}

impl Tools {
    /// `tools`, `tool_choice` and `parallel_tool_calls`.
    ///
    /// # Errors
    /// What of them is no function, or a choice of one that there is not.
    pub fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        Self::read_by(fields, |mut fields| {
            let kind = fields.text("type")?;
            only(&fields, kind.as_deref(), "function")?;
            let function = fields.object("function")?;
            let tool = function_of(fields.required("function", function)?, "parameters")?;
            fields.done()?;
            Ok(tool)
        })
    }

    /// The same, of tools that `read` reads.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_by(
        fields: &mut Fields,
        read: impl Fn(Fields) -> Result<Tool, Refusal>,
    ) -> Result<Self, Refusal> {
        let tools = list(fields, read)?;
        let choice = match fields.take("tool_choice") {
            None => Choice::Auto,
            Some(Value::String(word)) => match word.as_str() {
                "auto" => Choice::Auto,
                "none" => Choice::None,
                "required" => Choice::Required,
                _ => return Err(choice_is(fields, &json!(word))),
            },
            Some(value @ Value::Object(_)) => {
                let mut choice = Fields::of(value, &fields.full("tool_choice"))?;
                let kind = choice.text("type")?;
                only(&choice, kind.as_deref(), "function")?;
                // The name stands by itself in the interface of responses.
                let name = match choice.object("function")? {
                    Some(mut function) => {
                        let name = function.text("name")?;
                        let name = function.required("name", name)?;
                        function.done()?;
                        Some(name)
                    }
                    None => choice.text("name")?,
                };
                let name = choice.required("function", name)?;
                choice.done()?;
                Choice::Named(name)
            }
            Some(other) => return Err(choice_is(fields, &other)),
        };
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        Self { tools, choice, parallel }.checked(&fields.full("tool_choice"))
    }

    /// With a choice that can be.
    ///
    /// # Errors
    /// A function that there is not.
    pub fn checked(self, field: &str) -> Result<Self, Refusal> {
        let why = match &self.choice {
            Choice::Named(name) if !self.tools.iter().any(|tool| tool.name == *name) => {
                format!("'{field}' names the function '{name}', which 'tools' does not have")
            }
            Choice::Required if self.tools.is_empty() => {
                format!("'{field}' asks for a call, but there are no 'tools'")
            }
            _ => return Ok(self),
        };
        Err(Refusal::field(field, why))
    }

    /// Those that the model hears of.
    pub fn offered(&self) -> &[Tool] {
        match self.choice {
            Choice::None => &[],
            _ => &self.tools,
        }
    }
}

fn choice_is(fields: &Fields, value: &Value) -> Refusal {
    let expected = "'none', 'auto', 'required' or an object with a function's name";
    match value {
        Value::String(word) => {
            let name = fields.full("tool_choice");
            Refusal::field(name.clone(), format!("'{name}' has to be {expected}, not '{word}'"))
        }
        other => wrong(&fields.full("tool_choice"), expected, other),
    }
}

/// Refuses kinds of tools that are not `expected`.
pub(super) fn only(fields: &Fields, kind: Option<&str>, expected: &str) -> Result<(), Refusal> {
    match kind {
        Some(kind) if kind != expected => {
            let why = format!("tools of the type '{kind}'; give functions");
            Err(Refusal::unsupported(&fields.full("type"), &why))
        }
        _ => Ok(()),
    }
}

/// The list `tools`, each read by `read`.
pub(super) fn list(
    fields: &mut Fields,
    read: impl Fn(Fields) -> Result<Tool, Refusal>,
) -> Result<Vec<Tool>, Refusal> {
    let path = fields.full("tools");
    let list = fields.list("tools")?.unwrap_or_default();
    if list.len() > MOST {
        return Err(Refusal::field(path, format!("'tools' has {} functions, more than {MOST}", list.len())));
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(list.len());
    for (at, value) in list.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        let tool = read(Fields::of(value, &path)?)?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(Refusal::field(path, format!("there are two functions '{}'", tool.name)));
        }
        tools.push(tool);
    }
    Ok(tools)
}

/// A function: name, description, the schema of its arguments (in the field `schema`) and whether it is strict.
pub(super) fn function_of(mut fields: Fields, schema: &str) -> Result<Tool, Refusal> {
    let name = fields.text("name")?;
    let name = fields.required("name", name)?;
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if name.is_empty() || name.chars().count() > 128 || !name.chars().all(good) {
        let field = fields.full("name");
        let why = format!("'{field}' has to be 1 to 128 letters, digits, '_' or '-'");
        return Err(Refusal::field(field, why));
    }
    let description = fields.text("description")?.unwrap_or_default();
    let path = fields.full(schema);
    let parameters = match fields.take(schema) {
        None => Tool::no_parameters(),
        Some(Value::Object(mut map)) => {
            // What templates read of every schema.
            map.entry("type").or_insert_with(|| "object".into());
            map.entry("properties").or_insert_with(|| json!({}));
            if !map["properties"].is_object() {
                return Err(wrong(&format!("{path}.properties"), "an object", &map["properties"]));
            }
            Value::Object(map)
        }
        Some(other) => return Err(wrong(&path, "an object", &other)),
    };
    let strict = fields.flag("strict")?.unwrap_or(false);
    fields.done()?;
    Ok(Tool { name, description, parameters, strict })
}

/// `tool_calls` of an assistant's message.
///
/// # Errors
/// What is no call of a function.
pub(super) fn calls(fields: &mut Fields) -> Result<Vec<ToolCall>, Refusal> {
    let path = fields.full("tool_calls");
    let call = |(at, value)| {
        let mut fields = Fields::of(value, &format!("{path}[{at}]"))?;
        let kind = fields.text("type")?;
        only(&fields, kind.as_deref(), "function")?;
        let id = fields.text("id")?.unwrap_or_default();
        let function = fields.object("function")?;
        let mut function = fields.required("function", function)?;
        let name = function.text("name")?;
        let name = function.required("name", name)?;
        let arguments = match function.take("arguments") {
            None => json!({}),
            Some(value @ (Value::Object(_) | Value::String(_))) => value,
            Some(other) => {
                return Err(wrong(&function.full("arguments"), "an object, or one as a text", &other));
            }
        };
        function.ignore(&["index", "description"]);
        function.done()?;
        fields.ignore(&["index"]);
        fields.done()?;
        Ok(ToolCall { id, name, arguments })
    };
    fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate().map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Tools, Refusal> {
        let mut fields = Fields::of_body(value.to_string().as_bytes()).unwrap();
        let tools = Tools::read(&mut fields)?;
        fields.done()?;
        Ok(tools)
    }

    fn one(function: Value) -> Value {
        json!([{"type": "function", "function": function}])
    }

    #[test]
    fn functions_and_choices_are_read() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let tools = one(json!({"name": "f", "description": "d", "parameters": schema, "strict": true}));
        let tools = read(json!({"tools": tools, "parallel_tool_calls": false})).unwrap();
        assert_eq!(
            tools.tools,
            [Tool { name: "f".into(), description: "d".into(), parameters: schema, strict: true }]
        );
        assert!(tools.choice == Choice::Auto && !tools.parallel);
        let choice = |choice: Value| {
            read(json!({"tools": one(json!({"name": "f"})), "tool_choice": choice})).map(|t| t.choice)
        };
        assert_eq!(choice(json!("none")), Ok(Choice::None));
        assert_eq!(choice(json!("required")), Ok(Choice::Required));
        assert_eq!(
            choice(json!({"type": "function", "function": {"name": "f"}})),
            Ok(Choice::Named("f".into()))
        );
        assert_eq!(choice(json!({"type": "function", "name": "f"})), Ok(Choice::Named("f".into())));
        let none = read(json!({"tools": one(json!({"name": "f"})), "tool_choice": "none"})).unwrap();
        assert!(none.offered().is_empty());
        assert_eq!(read(json!({"tools": [], "tool_choice": "auto"})), Ok(Tools::default()));
    }

    #[test]
    fn what_is_no_function_is_named() {
        let field = |value: Value| read(value).unwrap_err().field.unwrap();
        assert_eq!(field(json!({"tools": [{"type": "function"}]})), "tools[0].function");
        assert_eq!(field(json!({"tools": [{"type": "web_search"}]})), "tools[0].type");
        assert_eq!(field(json!({"tools": one(json!({"name": "a b"}))})), "tools[0].function.name");
        assert_eq!(
            field(json!({"tools": one(json!({"name": "f", "parameters": 3}))})),
            "tools[0].function.parameters"
        );
        assert_eq!(field(json!({"tools": one(json!({"name": "f", "x": 3}))})), "tools[0].function.x");
        assert_eq!(field(json!({"tools": 3})), "tools");
        let f = one(json!({"name": "f"}));
        assert_eq!(field(json!({"tools": [f[0], f[0]]})), "tools[1]");
        assert_eq!(field(json!({"tools": f, "tool_choice": "any"})), "tool_choice");
        let other = json!({"type": "function", "function": {"name": "g"}});
        assert_eq!(field(json!({"tools": f, "tool_choice": other})), "tool_choice");
        assert_eq!(field(json!({"tool_choice": "required"})), "tool_choice");
    }

    #[test]
    fn calls_have_arguments_as_text_or_object() {
        let read = |value: Value| {
            calls(&mut Fields::of_body(json!({"tool_calls": value}).to_string().as_bytes()).unwrap())
        };
        let list = json!([
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"function": {"name": "g", "arguments": {"a": 1}, "index": 0}},
        ]);
        let expected = [
            ToolCall { id: "1".into(), name: "f".into(), arguments: json!("{}") },
            ToolCall { id: String::new(), name: "g".into(), arguments: json!({"a": 1}) },
        ];
        assert_eq!(read(list).unwrap(), expected);
        let field = |value: Value| read(value).unwrap_err().field.unwrap();
        assert_eq!(
            field(json!([{"function": {"name": "f", "arguments": 3}}])),
            "tool_calls[0].function.arguments"
        );
        assert_eq!(field(json!([{"function": {}}])), "tool_calls[0].function.name");
        assert_eq!(field(json!([1])), "tool_calls[0]");
    }
}
