//! What a request with functions makes of the text: calls that have to come, and arguments that have to be as their schema says.

use serde_json::json;

use super::ask::Ask;
use super::refusal::Refusal;
use crate::chat::tools::{Choice, Form, Otherwise, Tool, Wanted, constraint};
use crate::sampling::Constraint;
use crate::tokenizer::Tokenizer;

/// Sets what the text of an answer has to be, by the form in which the model writes calls.
///
/// # Errors
/// Wishes that cannot both be.
pub(super) fn constrain_calls(
    ask: &mut Ask,
    form: &'static Form,
    tokenizer: &Tokenizer,
) -> Result<(), Refusal> {
    let tools = ask.tools.offered();
    let strict = tools.iter().any(|tool| tool.strict);
    let (chosen, otherwise): (Vec<&Tool>, Otherwise) = match (&ask.tools.choice, &ask.constraint) {
        (Choice::None, _) => return Ok(()),
        _ if tools.is_empty() => return Ok(()),
        (Choice::Auto, None) if !strict => return Ok(()),
        (Choice::Auto, None) => (tools.iter().collect(), Otherwise::Text),
        // Calls, or else the JSON that is asked for.
        (Choice::Auto, Some(Constraint::JsonObject)) => {
            (tools.iter().collect(), Otherwise::Json(json!({ "type": "object" })))
        }
        (Choice::Auto, Some(Constraint::JsonSchema(schema))) => {
            (tools.iter().collect(), Otherwise::Json(schema.clone()))
        }
        (_, Some(_)) => {
            let why = "together with another field that says what the text has to be";
            return Err(Refusal::unsupported("tools", why));
        }
        (Choice::Required, None) => (tools.iter().collect(), Otherwise::Nothing),
        (Choice::Named(name), None) => {
            (tools.iter().filter(|tool| tool.name == *name).collect(), Otherwise::Nothing)
        }
    };
    let many = ask.tools.parallel && !matches!(ask.tools.choice, Choice::Named(_));
    let special = |text: &str| tokenizer.token_to_id(text).filter(|&id| tokenizer.is_special(id));
    let grammar = constraint(form, &chosen, &Wanted { otherwise, many }, &special);
    ask.constraint = Some(Constraint::Lark(grammar));
    ask.constraint_field = ask.constraint_field.or(Some("tools"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tools::Form;
    use crate::grammar::check;
    use serde_json::Value;

    fn tool(name: &str, properties: Value, required: Value) -> Tool {
        let parameters = json!({ "type": "object", "properties": properties, "required": required });
        Tool { name: name.into(), description: String::new(), parameters, strict: true }
    }

    /// What follows grammars takes those of all forms.
    #[test]
    fn grammars_of_all_forms_can_be_followed() {
        let properties = json!({
            "city": { "type": "string" }, "days": { "type": "integer" }, "unit": { "enum": ["c", "f"] },
            "ok": { "type": "boolean" }, "list": { "type": "array", "items": { "type": "string" } },
        });
        let tools = [tool("get_weather", properties, json!(["city"])), tool("now", json!({}), json!([]))];
        let tools: Vec<&Tool> = tools.iter().collect();
        for source in [
            "<tool_call></tool_call> arguments",
            "<tool_call> <function= <parameter=",
            "Respond in the format {\"name\": function name, \"parameters\": dictionary}",
            "[TOOL_CALLS] [ARGS]",
            "[TOOL_CALLS]",
            "'<|tool_call>call:'",
            "<|channel|>commentary <|message|>",
            "List of tools: [",
            "available_tools <|tool_call|>",
            "<|START_ACTION|> tool_call_id",
        ] {
            let form = Form::of_template(source).unwrap();
            for otherwise in
                [Otherwise::Nothing, Otherwise::Text, Otherwise::Json(json!({ "type": "object" }))]
            {
                for many in [false, true] {
                    let wanted = Wanted { otherwise: otherwise.clone(), many };
                    let lark = constraint(form, &tools, &wanted, &|_| None);
                    let checked = check(&Constraint::Lark(lark.clone()));
                    assert!(checked.is_ok(), "{}, {wanted:?}: {checked:?}\n{lark}", form.name);
                }
            }
        }
    }
}
