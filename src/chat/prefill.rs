//! Answers that go on with a message that is begun already.

use serde_json::{Map, Value};

use super::{ChatError, ChatInput, Result};

/// Stands where the message ends; no message holds it.
const END: &str = "\u{e002}end\u{e003}";

/// The messages of a conversation, each with its fields.
fn last(variables: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    variables.get_mut("messages")?.as_array_mut()?.last_mut()?.as_object_mut()
}

fn is_assistant(message: &Value) -> bool {
    message.get("role").and_then(Value::as_str) == Some("assistant")
}

impl ChatInput {
    /// Whether the last message is the assistant's.
    pub fn ends_with_assistant(&self) -> bool {
        self.messages().last().is_some_and(is_assistant)
    }

    /// The answer is to go on with the last message, which is the assistant's: the text ends with that message's content, as
    /// with `continue_final_message` in `transformers`.
    ///
    /// # Errors
    /// [`ChatError::NoConversation`]: the last message is not the assistant's, two are, or its content is no text.
    pub fn continued(mut self) -> Result<Self> {
        let wrong = |what: &str| Err(ChatError::NoConversation(what.to_owned()));
        let messages = self.messages();
        if !self.ends_with_assistant() {
            return wrong("only a last message of the assistant can be gone on with");
        }
        if messages.len() > 1 && is_assistant(&messages[messages.len() - 2]) {
            return wrong("the last two messages are both the assistant's; join them, or leave one out");
        }
        let Some(Value::String(content)) = last(&mut self.variables).and_then(|m| m.get_mut("content"))
        else {
            return wrong("only a message that is a text can be gone on with");
        };
        content.push_str(END);
        Ok(self.with("add_generation_prompt", Value::Bool(false)))
    }

    fn messages(&self) -> &[Value] {
        self.variables.get("messages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// What a template has made of it, without what comes after a message that is gone on with.
    ///
    /// # Errors
    /// [`ChatError::Failed`]: the template leaves that message out.
    pub(super) fn cut(&self, mut text: String) -> Result<String> {
        let is_end = |content: &str| content.ends_with(END);
        let content = self.messages().last().and_then(|message| message.get("content"));
        if content.and_then(Value::as_str).is_some_and(is_end) {
            let reason = "it leaves out the message that the answer is to go on with".to_owned();
            text.truncate(text.rfind(END).ok_or(ChatError::Failed { reason })?);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChatTemplate, Date, Message, SpecialTexts};
    use super::*;

    const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}\
        {% if add_generation_prompt %}<assistant>{% endif %}";

    fn input(messages: &[(&str, &str)]) -> ChatInput {
        let messages: Vec<_> = messages.iter().map(|(role, text)| Message::new(*role, *text)).collect();
        ChatInput::new(&messages, true)
    }

    fn render(template: &str, input: &ChatInput) -> Result<String> {
        ChatTemplate::new(template).unwrap().render(input, &SpecialTexts::default(), Date::today())
    }

    #[test]
    fn the_text_ends_where_the_message_does() {
        let begun = input(&[("user", "Hi"), ("assistant", "  It is ")]);
        assert!(begun.ends_with_assistant());
        let text = render(TEMPLATE, &begun.continued().unwrap()).unwrap();
        assert_eq!(text, "<user>Hi</><assistant>It is ");
        assert_eq!(render(TEMPLATE, &input(&[("user", "Hi")])).unwrap(), "<user>Hi</><assistant>");
    }

    #[test]
    fn what_cannot_be_gone_on_with_is_refused() {
        for messages in [&[("user", "Hi")][..], &[("assistant", "a"), ("assistant", "b")], &[]] {
            let refused = input(messages).continued();
            assert!(matches!(refused, Err(ChatError::NoConversation(_))), "{messages:?}");
        }
        let begun = input(&[("assistant", "a")]).continued().unwrap();
        let left_out = render("{% for m in messages %}{{ m.role }}{% endfor %}", &begun);
        assert!(matches!(left_out, Err(ChatError::Failed { .. })));
    }
}
