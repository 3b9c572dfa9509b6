//! What a text has to be, by the fields of each dialect.

use serde_json::Value;

use super::ask::Ask;
use super::fields::{Fields, wrong};
use super::refusal::Refusal;
use crate::sampling::Constraint;

impl Ask {
    /// Sets what the text has to be, which a request may say once.
    ///
    /// # Errors
    /// It has been said by another field.
    fn constrain(&mut self, field: &'static str, constraint: Constraint) -> Result<(), Refusal> {
        if let Some(other) = self.constraint_field {
            let why = format!("'{field}' and '{other}' both say what the text has to be; give one of them");
            return Err(Refusal::field(field, why));
        }
        self.constraint = Some(constraint);
        self.constraint_field = Some(field);
        Ok(())
    }

    /// `response_format`, as OpenAI has it in chats.
    ///
    /// # Errors
    /// As [`Self::read_openai_format`].
    pub fn read_response_format(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        const NAME: &str = "response_format";
        let format = fields.object(NAME)?;
        format.map_or(Ok(()), |format| self.read_openai_format(NAME, format, "json_schema"))
    }

    /// `text.format`, as OpenAI has it in responses.
    ///
    /// # Errors
    /// As [`Self::read_openai_format`]; other settings of `text`.
    pub fn read_text(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        let Some(mut text) = fields.object("text")? else { return Ok(()) };
        if let Some(format) = text.object("format")? {
            self.read_openai_format("text.format", format, "schema")?;
        }
        // How much it says is the model's own affair.
        text.ignore(&["verbosity"]);
        text.done()
    }

    /// The object `field` with the type of a text. The schema is within `json_schema`, or right here, as in responses and as
    /// llama.cpp's clients have it, also next to `json_object`; `usual` is where it is missed.
    ///
    /// # Errors
    /// Another type, a schema that is missing or there twice.
    fn read_openai_format(
        &mut self,
        field: &'static str,
        mut format: Fields,
        usual: &str,
    ) -> Result<(), Refusal> {
        // A name and a description for the model's makers; a text is always held to the schema.
        const NOTES: [&str; 3] = ["name", "description", "strict"];
        let kind = format.text("type")?;
        let constraint = match format.required("type", kind)?.as_str() {
            "text" => None,
            "json_object" => {
                Some(format.take("schema").map_or(Constraint::JsonObject, Constraint::JsonSchema))
            }
            "json_schema" => {
                let within = format.object("json_schema")?;
                let direct = format.take("schema");
                let schema = match (within, direct) {
                    (Some(mut within), None) => {
                        within.ignore(&NOTES);
                        let schema = within.take("schema");
                        let schema = within.required("schema", schema)?;
                        within.done()?;
                        schema
                    }
                    (None, Some(schema)) => {
                        format.ignore(&NOTES);
                        schema
                    }
                    (None, None) => format.required(usual, None)?,
                    (Some(_), Some(_)) => {
                        let (name, schema) = (format.full("json_schema"), format.full("schema"));
                        let why = format!("'{name}' and '{schema}' are both there; give one of them");
                        return Err(Refusal::field(name, why));
                    }
                };
                Some(Constraint::JsonSchema(schema))
            }
            other => {
                let why = format!("'{other}'; there are text, json_object and json_schema");
                return Err(Refusal::unsupported(&format.full("type"), &why));
            }
        };
        format.done()?;
        constraint.map_or(Ok(()), |constraint| self.constrain(field, constraint))
    }

    /// llama.cpp's `grammar` and `json_schema`.
    ///
    /// # Errors
    /// Values of the wrong kind, both of them.
    pub fn read_grammar(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        if let Some(schema) = fields.take("json_schema") {
            self.constrain("json_schema", Constraint::JsonSchema(schema))?;
        }
        if let Some(grammar) = fields.text("grammar")?.filter(|grammar| !grammar.is_empty()) {
            // llama.cpp's mark of a grammar in the other form.
            let lark = grammar.trim_start().starts_with("%llguidance");
            let constraint = if lark { Constraint::Lark(grammar) } else { Constraint::Gbnf(grammar) };
            self.constrain("grammar", constraint)?;
        }
        Ok(())
    }

    /// Ollama's `format`: "json", or a schema.
    ///
    /// # Errors
    /// Anything else.
    pub fn read_format(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        const NAME: &str = "format";
        let constraint = match fields.take(NAME) {
            None => return Ok(()),
            Some(Value::String(word)) if word.is_empty() => return Ok(()),
            Some(Value::String(word)) if word == "json" => Constraint::JsonObject,
            Some(schema @ Value::Object(_)) => Constraint::JsonSchema(schema),
            Some(other) => return Err(wrong(NAME, "\"json\" or a schema", &other)),
        };
        self.constrain(NAME, constraint)
    }

    /// Anthropic's `output_config.format`, which was `output_format`.
    ///
    /// # Errors
    /// Another type, a schema that is missing, other settings.
    pub fn read_output(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        let older = fields.object("output_format")?;
        let mut newer = None;
        if let Some(mut config) = fields.object("output_config")? {
            newer = config.object("format")?;
            // How much a model is to reason is its own affair.
            config.ignore(&["effort"]);
            config.done()?;
        }
        for (name, format) in [("output_format", older), ("output_config", newer)] {
            let Some(mut format) = format else { continue };
            let kind = format.text("type")?;
            match format.required("type", kind)?.as_str() {
                "json_schema" => {}
                other => {
                    let why = format!("'{other}'; there is json_schema");
                    return Err(Refusal::unsupported(&format.full("type"), &why));
                }
            }
            let schema = format.take("schema");
            let schema = format.required("schema", schema)?;
            format.done()?;
            self.constrain(name, Constraint::JsonSchema(schema))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::ask::Prompt;

    type Reader = fn(&mut Ask, &mut Fields) -> Result<(), Refusal>;

    fn read(reader: Reader, body: Value) -> Result<Option<Constraint>, String> {
        let mut ask = Ask::new(Prompt::Ids(Vec::new()));
        let mut fields = Fields::of_body(body.to_string().as_bytes()).unwrap();
        let read = reader(&mut ask, &mut fields).and_then(|()| fields.done());
        read.map(|()| ask.constraint).map_err(|refusal| refusal.field.unwrap_or(refusal.message))
    }

    #[test]
    fn each_dialect_says_it_in_its_own_way() {
        let schema = json!({"type": "object"});
        let is_schema = Ok(Some(Constraint::JsonSchema(schema.clone())));
        let format = |format: Value| read(Ask::read_response_format, json!({ "response_format": format }));
        assert_eq!(format(json!({"type": "text"})), Ok(None));
        assert_eq!(format(Value::Null), Ok(None));
        assert_eq!(format(json!({"type": "json_object"})), Ok(Some(Constraint::JsonObject)));
        assert_eq!(format(json!({"type": "json_object", "schema": schema})), is_schema);
        assert_eq!(format(json!({"type": "json_schema", "schema": schema})), is_schema);
        let strict = json!({"name": "a", "strict": true, "schema": schema});
        assert_eq!(format(json!({"type": "json_schema", "json_schema": strict})), is_schema);
        let refused = |value: Value| format(value).unwrap_err();
        assert_eq!(refused(json!({"type": "json_schema"})), "response_format.json_schema");
        assert_eq!(
            refused(json!({"type": "json_schema", "json_schema": {"name": "a"}})),
            "response_format.json_schema.schema"
        );
        assert_eq!(refused(json!({"type": "xml"})), "response_format.type");
        assert_eq!(refused(json!({"type": "text", "x": 1})), "response_format.x");
        assert_eq!(
            refused(json!({"type": "json_schema", "json_schema": strict, "schema": schema})),
            "response_format.json_schema"
        );
        let text = |format: Value| read(Ask::read_text, json!({ "text": { "format": format } }));
        assert_eq!(text(json!({"type": "text"})), Ok(None));
        assert_eq!(text(json!({"type": "json_object"})), Ok(Some(Constraint::JsonObject)));
        assert_eq!(
            text(json!({"type": "json_schema", "name": "a", "strict": true, "schema": schema})),
            is_schema
        );
        assert_eq!(text(json!({"type": "json_schema", "name": "a"})), Err("text.format.schema".into()));
        assert_eq!(text(json!({"type": "xml"})), Err("text.format.type".into()));
        assert_eq!(text(json!({"type": "text", "x": 1})), Err("text.format.x".into()));
        assert_eq!(read(Ask::read_text, json!({"text": {"x": 1}})), Err("text.x".into()));
        assert_eq!(read(Ask::read_text, json!({"text": {"verbosity": "low"}})), Ok(None));
        let grammar = |body: Value| read(Ask::read_grammar, body);
        assert_eq!(grammar(json!({"grammar": ""})), Ok(None));
        assert_eq!(
            grammar(json!({"grammar": "root ::= \"a\""})),
            Ok(Some(Constraint::Gbnf("root ::= \"a\"".into())))
        );
        let lark = "%llguidance {}\nstart: \"a\"";
        assert_eq!(grammar(json!({"grammar": lark})), Ok(Some(Constraint::Lark(lark.into()))));
        assert_eq!(grammar(json!({"json_schema": schema})), is_schema);
        assert_eq!(grammar(json!({"json_schema": schema, "grammar": "x"})), Err("grammar".into()));
        let ollama = |body: Value| read(Ask::read_format, json!({ "format": body }));
        assert_eq!(ollama(json!("json")), Ok(Some(Constraint::JsonObject)));
        assert_eq!(ollama(json!("")), Ok(None));
        assert_eq!(ollama(schema.clone()), is_schema);
        assert_eq!(ollama(json!("yaml")), Err("format".into()));
        let output = |body: Value| read(Ask::read_output, body);
        let format = json!({"type": "json_schema", "schema": schema});
        assert_eq!(output(json!({"output_format": format})), is_schema);
        assert_eq!(output(json!({"output_config": {"format": format, "effort": "low"}})), is_schema);
        assert_eq!(output(json!({"output_config": {"x": 1}})), Err("output_config.x".into()));
        assert_eq!(
            output(json!({"output_config": {"format": {"type": "x"}}})),
            Err("output_config.format.type".into())
        );
    }
}
