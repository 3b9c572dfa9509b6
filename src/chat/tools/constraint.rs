//! Grammars that an answer with calls has to keep to, in llguidance's form of Lark
//! (<https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md>).

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::form::Writing;
use super::write::spaced;
use super::{Form, Tool};

/// What an answer may be that is no call.
#[derive(Clone, Debug, PartialEq)]
pub enum Otherwise {
    /// There has to be a call.
    Nothing,
    /// Any text; where a call begins in it, it has to be one.
    Text,
    /// JSON that this schema allows.
    Json(Value),
}

/// What a grammar is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What an answer may be that is no call.
    pub otherwise: Otherwise,
    /// There may be several calls.
    pub many: bool,
}

/// The grammar of calls of `tools` as a model of this form writes them. `special` gives the ids of texts that are special
/// tokens, which a grammar has to name by these.
pub fn constraint(
    form: &Form,
    tools: &[&Tool],
    wanted: &Wanted,
    special: &dyn Fn(&str) -> Option<u32>,
) -> String {
    let mut lark = Lark { rules: String::new(), special };
    let close = lark.text(form.close);
    let list = |call: &str| {
        let more = if wanted.many { format!(" (\", \" {call})*") } else { String::new() };
        format!("\"[\" {call}{more} \"]\" {close}")
    };
    // What follows the marker, and what stands between two calls with one each, if there may be two.
    let (call, between) = match form.writing {
        Writing::Json | Writing::Named if form.list => (list(&lark.object(form, tools)), None),
        Writing::Json => (format!("\"\\n\" {} \"\\n\" {close}", lark.object(form, tools)), Some("\"\\n\"")),
        Writing::BareJson => (lark.object(form, tools), None),
        Writing::Named => (lark.named(tools), Some("")),
        Writing::Harmony => (lark.harmony(tools), None),
        Writing::Tags => (format!("\"\\n\" {} {close}", lark.tags(tools)), Some("\"\\n\"")),
        Writing::Gemma => (format!("\"call:\" {} {close}", lark.gemma(tools)), Some("")),
        Writing::Python => (list(&lark.python(tools)), None),
    };
    // Llama's calls have no marker of their own.
    let marker = match form.writing {
        Writing::BareJson => "",
        Writing::Harmony => "<|channel|>",
        _ => form.open.first().copied().unwrap_or_default(),
    };
    let open = lark.text(marker);
    let between = between.filter(|_| wanted.many);
    let more = between.map_or_else(String::new, |between| format!(" ({between} {open} call)*"));
    lark.rule("call", &call);
    lark.rule("calls", &format!("{open} call{more}"));
    let start = match &wanted.otherwise {
        Otherwise::Nothing => "calls".to_owned(),
        Otherwise::Json(schema) if marker.is_empty() => format!("%json {}", either(form, tools, schema)),
        Otherwise::Json(schema) => format!("calls | %json {schema}"),
        // A text may not begin like a call.
        Otherwise::Text if marker.is_empty() => "calls | /([^{](.|\\n)*)?/".to_owned(),
        Otherwise::Text if special(marker).is_some() => "/(.|\\n)*/ calls?".to_owned(),
        Otherwise::Text => {
            lark.rule("text", "/(.|\\n)*/");
            lark.rule("before[lazy]", &format!("/(.|\\n)*/ {open}"));
            format!("(before call){} text", if between.is_some() { "*" } else { "?" })
        }
    };
    format!("start: {start}\n{}", lark.rules)
}

struct Lark<'a> {
    rules: String,
    special: &'a dyn Fn(&str) -> Option<u32>,
}

/// A text in quotes.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl Lark<'_> {
    /// A text, or the special token that it is; nothing for none.
    fn text(&self, text: &str) -> String {
        match (self.special)(text) {
            _ if text.is_empty() => String::new(),
            Some(id) => format!("<[{id}]>"),
            None => quoted(text),
        }
    }

    fn rule(&mut self, name: &str, body: &str) {
        let _ = writeln!(self.rules, "{name}: {body}");
    }

    /// A rule with an alternative for each function.
    fn any(&mut self, tools: &[&Tool], mut one: impl FnMut(&mut Self, usize, &Tool) -> String) -> String {
        let mut names = Vec::new();
        for (number, tool) in tools.iter().enumerate() {
            let body = one(self, number, tool);
            let name = format!("f{number}");
            self.rule(&name, &body);
            names.push(name);
        }
        self.rule("any_function", &names.join(" | "));
        "any_function".into()
    }

    /// A call in JSON.
    fn object(&mut self, form: &Form, tools: &[&Tool]) -> String {
        let (name, arguments) = form.keys;
        self.any(tools, |_, _, tool| {
            let head = format!("{{\"{name}\": {}, \"{arguments}\": ", quoted(&tool.name));
            format!("{} %json {} \"}}\"", quoted(&head), tool.parameters)
        })
    }

    fn named(&mut self, tools: &[&Tool]) -> String {
        let id = match (self.special)("[CALL_ID]") {
            Some(id) => format!("(<[{id}]> /[a-zA-Z0-9]{{9}}/)?"),
            None => String::new(),
        };
        let args = self.text("[ARGS]");
        self.any(tools, |_, _, tool| format!("{} {id} {args} %json {}", quoted(&tool.name), tool.parameters))
    }

    fn harmony(&mut self, tools: &[&Tool]) -> String {
        let message = self.text("<|message|>");
        let constrain = self.text("<|constrain|>");
        self.any(tools, |_, _, tool| {
            let to = quoted(&format!("commentary to=functions.{} ", tool.name));
            format!("{to} {constrain} \"json\" {message} %json {}", tool.parameters)
        })
    }

    fn tags(&mut self, tools: &[&Tool]) -> String {
        self.any(tools, |lark, number, tool| {
            let mut body = quoted(&format!("<function={}>\n", tool.name));
            for (at, (key, schema, required)) in arguments(tool).into_iter().enumerate() {
                let open = format!("<parameter={key}>\n");
                let parameter = if tool.is_text(&key) && schema.get("enum").is_none() {
                    let value = format!("f{number}_p{at}");
                    lark.rule(&format!("{value}[suffix=\"\\n</parameter>\\n\"]"), "/(.|\\n)*/");
                    format!("{} {value}", quoted(&open))
                } else {
                    let value = match schema.get("enum").and_then(Value::as_array) {
                        Some(values) => alternatives(values, |value| match value {
                            Value::String(text) => quoted(text),
                            other => quoted(&spaced(other)),
                        }),
                        None => format!("%json {schema}"),
                    };
                    format!("{} {value} \"\\n</parameter>\\n\"", quoted(&open))
                };
                let _ = write!(body, " {}", if required { parameter } else { format!("({parameter})?") });
            }
            format!("{body} \"</function>\\n\"")
        })
    }

    fn gemma(&mut self, tools: &[&Tool]) -> String {
        let quote = self.text("<|\"|>");
        let is_special = (self.special)("<|\"|>").is_some();
        self.any(tools, |lark, number, tool| {
            let value = |lark: &mut Self, at: usize, schema: &Value, text: bool| {
                if let Some(values) = schema.get("enum").and_then(Value::as_array) {
                    return alternatives(values, |value| match value {
                        Value::String(text) => format!("{quote} {} {quote}", quoted(text)),
                        other => quoted(&spaced(other)),
                    });
                }
                match text {
                    true if is_special => format!("{quote} /(.|\\n)*/ {quote}"),
                    true => {
                        let name = format!("f{number}_p{at}");
                        lark.rule(&format!("{name}[suffix={quote}]"), "/(.|\\n)*/");
                        format!("{quote} {name}")
                    }
                    false => format!("%json {schema}"),
                }
            };
            let pairs = lark.pairs(number, tool, ":", ",", value);
            format!("{} {pairs} \"}}\"", quoted(&format!("{}{{", tool.name)))
        })
    }

    fn python(&mut self, tools: &[&Tool]) -> String {
        self.any(tools, |lark, number, tool| {
            let value = |_: &mut Self, _: usize, schema: &Value, _: bool| {
                if let Some(values) = schema.get("enum").and_then(Value::as_array) {
                    return alternatives(values, |value| match value {
                        Value::Bool(true) => "\"True\"".into(),
                        Value::Bool(false) => "\"False\"".into(),
                        Value::Null => "\"None\"".into(),
                        other => quoted(&other.to_string()),
                    });
                }
                match schema["type"].as_str() {
                    Some("boolean") => "(\"True\" | \"False\")".into(),
                    Some("null") => "\"None\"".into(),
                    _ => format!("%json {schema}"),
                }
            };
            let pairs = lark.pairs(number, tool, "=", ", ", value);
            format!("{} {pairs} \")\"", quoted(&format!("{}(", tool.name)))
        })
    }

    /// Arguments with their names: those that are required first, and `comma` between them. The name of a rule.
    fn pairs(
        &mut self,
        number: usize,
        tool: &Tool,
        equals: &str,
        comma: &str,
        mut value: impl FnMut(&mut Self, usize, &Value, bool) -> String,
    ) -> String {
        let mut arguments = arguments(tool);
        arguments.sort_by_key(|(_, _, required)| !required);
        let mut pairs = Vec::new();
        for (at, (key, schema, required)) in arguments.iter().enumerate() {
            let value = value(self, at, schema, tool.is_text(key));
            let name = format!("f{number}_a{at}");
            self.rule(&name, &format!("{} {value}", quoted(&format!("{key}{equals}"))));
            pairs.push((name, *required));
        }
        let optional = |pairs: &[(String, bool)]| -> String {
            let one = |(name, _): &(String, bool)| format!(" ({} {name})?", quoted(comma));
            pairs.iter().map(one).collect()
        };
        let required = pairs.iter().take_while(|(_, required)| *required).count();
        let rule = format!("f{number}_all");
        let body = if required > 0 {
            let names: Vec<&str> = pairs[..required].iter().map(|(name, _)| name.as_str()).collect();
            format!("{}{}", names.join(&format!(" {} ", quoted(comma))), optional(&pairs[required..]))
        } else {
            // Any of them may be the first one.
            let from = |at: usize| format!("{}{}", pairs[at].0, optional(&pairs[at + 1..]));
            let all: Vec<String> = (0..pairs.len()).map(from).collect();
            if all.is_empty() { "\"\"".into() } else { format!("({})?", all.join(" | ")) }
        };
        self.rule(&rule, &body);
        rule
    }
}

/// A schema of calls in JSON, or of an object that is none. In a grammar both would begin with the same brace.
fn either(form: &Form, tools: &[&Tool], other: &Value) -> Value {
    let (name, arguments) = form.keys;
    let mut shared = Map::new();
    let mut alone = |schema: &Value| {
        let mut schema = schema.clone();
        for key in SHARED {
            if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|map| map.shift_remove(key)) {
                let all = shared.entry(key).or_insert_with(|| json!({}));
                if let Value::Object(all) = all {
                    all.extend(own);
                }
            }
        }
        schema
    };
    let call = |tool: &&Tool| {
        let properties = json!({ name: { "const": tool.name }, arguments: alone(&tool.parameters) });
        json!({
            "type": "object", "properties": properties, "required": [name, arguments], "additionalProperties": false,
        })
    };
    let mut any: Vec<Value> = tools.iter().map(call).collect();
    any.push(alone(other));
    shared.insert("anyOf".into(), any.into());
    Value::Object(shared)
}

/// Where schemas have what they refer to.
const SHARED: [&str; 2] = ["$defs", "definitions"];

fn alternatives(values: &[Value], one: impl Fn(&Value) -> String) -> String {
    let all: Vec<String> = values.iter().map(one).collect();
    format!("({})", all.join(" | "))
}

/// The arguments of a function: name, schema by itself, and whether it is required.
fn arguments(tool: &Tool) -> Vec<(String, Value, bool)> {
    let required = |key: &str| {
        let list = tool.parameters.get("required").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|name| name == key))
    };
    // What a schema refers to has to come along.
    let shared: Map<String, Value> = SHARED
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), tool.parameters.get(name)?.clone())))
        .collect();
    let one = |(key, schema): (&String, &Value)| {
        let schema = match schema {
            Value::Object(map) => Value::Object(map.clone().into_iter().chain(shared.clone()).collect()),
            other => json!(other),
        };
        (key.clone(), schema, required(key))
    };
    tool.properties().into_iter().flatten().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> Tool {
        let properties = json!({ "city": { "type": "string" }, "unit": { "enum": ["c", "f"] } });
        let parameters = json!({ "type": "object", "properties": properties, "required": ["city"] });
        Tool { name: "f".into(), description: String::new(), parameters, strict: true }
    }

    fn lark(source: &str, otherwise: Otherwise, special: &[&str]) -> String {
        let form = Form::of_template(source).unwrap();
        let id = |text: &str| special.iter().position(|token| *token == text).map(|at| at as u32);
        constraint(form, &[&tool()], &Wanted { otherwise, many: false }, &id)
    }

    /// Grammars that llguidance 1.9.1 accepts, and with them the calls that are expected.
    #[test]
    fn a_grammar_has_the_markers_of_its_form() {
        let schema = tool().parameters;
        let hermes = "<tool_call></tool_call> arguments";
        let function = format!(r#"f0: "{{\"name\": \"f\", \"arguments\": " %json {schema} "}}""#);
        let plain = lark(hermes, Otherwise::Nothing, &[]);
        assert_eq!(
            plain,
            format!(
                "start: calls\n{function}\nany_function: f0\ncall: \"\\n\" any_function \"\\n\" \"</tool_call>\"\n\
                 calls: \"<tool_call>\" call\n"
            )
        );
        // Special tokens by their ids; text before a call, where there need not be one.
        let special = lark(hermes, Otherwise::Text, &["<tool_call>", "</tool_call>"]);
        assert!(special.starts_with("start: /(.|\\n)*/ calls?\n"), "{special}");
        assert!(special.contains("calls: <[0]> call\n") && special.contains("\"\\n\" <[1]>\n"), "{special}");
        let text = lark(hermes, Otherwise::Text, &[]);
        assert!(text.contains("before[lazy]: /(.|\\n)*/ \"<tool_call>\"\n"), "{text}");
        let json = lark(hermes, Otherwise::Json(json!({ "type": "object" })), &[]);
        assert!(json.starts_with("start: calls | %json {\"type\":\"object\"}\n"), "{json}");
        let mistral =
            lark("[TOOL_CALLS] [ARGS]", Otherwise::Nothing, &["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"]);
        assert!(
            mistral.contains(&format!("f0: \"f\" (<[2]> /[a-zA-Z0-9]{{9}}/)? <[1]> %json {schema}")),
            "{mistral}"
        );
        let tags = lark("<tool_call> <function= <parameter=", Otherwise::Nothing, &[]);
        let body = r#"f0: "<function=f>\n" "<parameter=city>\n" f0_p0 ("<parameter=unit>\n" ("c" | "f") "\n</parameter>\n")?"#;
        assert!(tags.contains(body), "{tags}");
        let python = lark("List of tools: [", Otherwise::Nothing, &[]);
        assert!(python.contains("f0_all: f0_a0 (\", \" f0_a1)?\n"), "{python}");
    }
}
