//! What a request with functions makes of the text: calls that have to come, and arguments that have to be as their schema says.

use serde_json::json;

use super::ask::Ask;
use super::refusal::Refusal;
use crate::chat::tools::{Choice, Form, Otherwise, Tool, Wanted, constraint};
use crate::sampling::Constraint;
use crate::tokenizer::Tokenizer;

/// What the text of an answer has to be, by the form in which the model writes calls; `None`: anything.
///
/// # Errors
/// Wishes that cannot both be.
pub(super) fn constrained(
    ask: &mut Ask,
    form: &'static Form,
    tokenizer: &Tokenizer,
) -> Result<Option<Constraint>, Refusal> {
    let own = ask.constraint.take();
    let tools = ask.tools.offered();
    let strict = tools.iter().any(|tool| tool.strict);
    let (chosen, otherwise): (Vec<&Tool>, Otherwise) = match (&ask.tools.choice, &own) {
        (Choice::None, _) => return Ok(own),
        _ if tools.is_empty() => return Ok(own),
        (Choice::Auto, None) if !strict => return Ok(None),
        (Choice::Auto, None) => (tools.iter().collect(), Otherwise::Text),
        // Calls, or else the JSON that is asked for.
        (Choice::Auto, Some(Constraint::JsonObject)) => {
            (tools.iter().collect(), Otherwise::Json(json!({ "type": "object" })))
        }
        (Choice::Auto, Some(Constraint::JsonSchema(schema))) => {
            (tools.iter().collect(), Otherwise::Json(schema.clone()))
        }
        (_, Some(_)) => {
            let why = "together with a format or a grammar of the answer";
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
    Ok(Some(Constraint::Lark(grammar)))
}
