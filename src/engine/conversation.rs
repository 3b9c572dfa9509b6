//! A conversation as token ids, so that what was said before is the beginning of what goes through the model next.

use serde_json::Value;

use super::EngineError;
use super::request::{Finish, Outcome};
use super::saved::Text;
use crate::chat::tools::Support;
use crate::chat::{
    ChatError, ChatInput, ChatTemplate, Date, Message, ReasoningSplitter, ReasoningStart, SpecialTexts,
};
use crate::tokenizer::{Tokenizer, TokenizerConfig};

/// Stands for any text of a user; no user writes this.
const WORDS: &str = "\u{e000}words\u{e001}";

/// How messages become the text that a model was trained on.
#[derive(Debug)]
pub struct ChatFormat {
    template: ChatTemplate,
    special: SpecialTexts,
    date: Date,
    thinking: Option<Thinking>,
    /// The token before a conversation, where the template writes none.
    begin: Option<u32>,
}

/// Reasoning that was turned on or off.
#[derive(Debug)]
struct Thinking {
    on: bool,
    /// The template's variable and its value.
    variable: (&'static str, Value),
}

impl ChatFormat {
    /// By the default template in `config`, or by the source `template` in its place. `date` is what templates get when
    /// they ask for today's.
    ///
    /// # Errors
    /// [`ChatError::Missing`] or [`ChatError::NoDefault`] where there is neither, or a template that is no Jinja.
    pub fn new(config: &TokenizerConfig, template: Option<&str>, date: Date) -> Result<Self, EngineError> {
        let text = |token: &Option<String>| token.clone().unwrap_or_default();
        let source = template.or(config.chat_templates.default());
        let source = source.ok_or_else(|| match config.chat_templates.names() {
            names if names.is_empty() => ChatError::Missing,
            names => ChatError::NoDefault { names },
        })?;
        Ok(Self {
            template: ChatTemplate::new(source)?,
            special: SpecialTexts { bos: text(&config.bos_token), eos: text(&config.eos_token) },
            date,
            thinking: None,
            begin: config.begins_chats,
        })
    }

    /// The date that the text depends on, if it does.
    pub fn date(&self) -> Option<Date> {
        self.template.uses_date().then_some(self.date)
    }

    /// Whether the model is to reason before it answers; `None`: as the template has it by itself.
    pub fn thinking(&self) -> Option<bool> {
        self.thinking.as_ref().map(|thinking| thinking.on)
    }

    /// Turns reasoning on or off.
    ///
    /// # Errors
    /// [`ChatError::NoSwitch`] where the template has no switch; all stays as it was.
    pub fn set_thinking(&mut self, on: bool) -> Result<(), EngineError> {
        let variable = self.template.switch(on, &self.special, self.date)?;
        self.thinking = Some(Thinking { on, variable });
        Ok(())
    }

    /// Takes apart the answer to a prompt with this text.
    pub fn splitter(&self, prompt: &str) -> ReasoningSplitter {
        self.template.reasoning().splitter(prompt)
    }

    /// How the answer to a prompt with this text may begin before what it says.
    pub fn reasoning(&self, prompt: &str) -> Option<ReasoningStart> {
        self.template.reasoning().start(prompt)
    }

    /// The special tokens in which the markers of reasoning are written: without their text it is not found
    /// ([`Session::show`](super::Session::show)).
    ///
    /// # Errors
    /// What the tokenizer cannot encode.
    pub fn marker_tokens(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, EngineError> {
        special_tokens(tokenizer, self.template.reasoning().markers())
    }

    /// What the template knows of functions that the model may call.
    pub fn tools(&self) -> &Support {
        self.template.tools(&self.special, self.date)
    }

    /// The special tokens in which calls are written, as for [`Self::marker_tokens`].
    ///
    /// # Errors
    /// What the tokenizer cannot encode.
    pub fn tool_tokens(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, EngineError> {
        special_tokens(tokenizer, self.tools().form.markers())
    }

    /// The text of a conversation, and its ids.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn prompt(
        &self,
        tokenizer: &Tokenizer,
        input: &ChatInput,
    ) -> Result<(String, Vec<u32>), EngineError> {
        let text = self.write(input.clone())?;
        let ids = tokenizer.encode(&text, false)?;
        Ok((text, ids))
    }

    /// The text of a conversation on some date, and its ids, with the token that begins a text.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn prompt_on(
        &self,
        tokenizer: &Tokenizer,
        input: &ChatInput,
        date: Date,
    ) -> Result<(String, Vec<u32>), EngineError> {
        let text = self.template.render(input, &self.special, date)?;
        let ids = self.ids(tokenizer, &text)?;
        Ok((text, ids))
    }

    /// The template's variable that turns reasoning on or off, and its value for that.
    ///
    /// # Errors
    /// [`ChatError::NoSwitch`] where the template has no switch.
    pub fn switch(&self, on: bool) -> Result<(&'static str, Value), EngineError> {
        Ok(self.template.switch(on, &self.special, self.date)?)
    }

    /// The ids of a conversation, up to where the answer begins.
    ///
    /// # Errors
    /// A template that refuses these messages; what the tokenizer cannot encode.
    pub fn encode(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>, EngineError> {
        self.ids(tokenizer, &self.render(messages)?)
    }

    /// The ids of what the template writes for a whole conversation, or for the beginning of one.
    fn ids(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, EngineError> {
        let mut ids = tokenizer.encode(text, false)?;
        let bos = &self.special.bos;
        let written = !bos.is_empty() && text.trim_start().starts_with(bos.as_str());
        if let Some(begin) = self.begin.filter(|begin| !written && ids.first() != Some(begin)) {
            ids.insert(0, begin);
        }
        Ok(ids)
    }

    /// How many tokens come before a conversation's first words: the system message, and whatever the template puts
    /// there.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn first_tokens(&self, tokenizer: &Tokenizer, system: Option<&str>) -> Result<usize, EngineError> {
        let mut messages: Vec<Message> =
            system.map(|text| Message::new("system", text)).into_iter().collect();
        messages.push(Message::new("user", WORDS));
        let text = self.render(&messages)?;
        let before = text.split(WORDS).next().unwrap_or_default();
        Ok(self.ids(tokenizer, before)?.len())
    }

    fn render(&self, messages: &[Message]) -> Result<String, EngineError> {
        self.write(ChatInput::new(messages, true))
    }

    fn write(&self, mut input: ChatInput) -> Result<String, EngineError> {
        if let Some(Thinking { variable: (name, value), .. }) = &self.thinking {
            input = input.with(name, value.clone());
        }
        Ok(self.template.render(&input, &self.special, self.date)?)
    }
}

/// The special tokens in some texts.
fn special_tokens<'a>(
    tokenizer: &Tokenizer,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Vec<u32>, EngineError> {
    let mut ids = Vec::new();
    for text in texts {
        ids.extend(tokenizer.encode(text, false)?.into_iter().filter(|&id| tokenizer.is_special(id)));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// What goes through the model before an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// As ids.
    pub ids: Vec<u32>,
    /// As the template writes it.
    text: String,
}

impl Prompt {
    /// As the template writes it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What was said, as messages, and as the ids that went through the model.
///
/// The two may differ: a model may spell its answer in other tokens than the tokenizer would, and a template may trim
/// it. [`Self::prompt`] keeps to the ids where the template's text goes on from theirs.
#[derive(Debug)]
pub struct Conversation {
    format: ChatFormat,
    messages: Vec<Message>,
    /// The last prompt and its answer.
    ids: Vec<u32>,
    /// What they say, as the template writes it.
    text: String,
    /// The ends of the prompts that were answered, in `ids` and in `text`.
    prompts: Vec<(usize, usize)>,
}

impl Conversation {
    /// One that begins with this system message.
    pub fn new(format: ChatFormat, system: Option<&str>) -> Self {
        let mut this =
            Self { format, messages: Vec::new(), ids: Vec::new(), text: String::new(), prompts: Vec::new() };
        this.restart(system);
        this
    }

    /// How its messages become text.
    pub fn format(&self) -> &ChatFormat {
        &self.format
    }

    /// The messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The system message.
    pub fn system(&self) -> Option<&str> {
        self.messages.first().filter(|m| m.role == "system").map(|m| m.content.as_str())
    }

    /// Turns reasoning on or off for the answers to come.
    ///
    /// # Errors
    /// As [`ChatFormat::set_thinking`].
    pub fn set_thinking(&mut self, on: bool) -> Result<(), EngineError> {
        self.format.set_thinking(on)
    }

    /// Forgets all that was said; another conversation begins.
    pub fn restart(&mut self, system: Option<&str>) {
        self.messages = system.map(|text| Message::new("system", text)).into_iter().collect();
        self.ids.clear();
        self.text.clear();
        self.prompts.clear();
    }

    /// What was said, for a file.
    pub fn to_text(&self, seed: u64, draws: u64) -> Text {
        let answer = self.prompts.last().zip(self.messages.last().filter(|m| m.role == "assistant"));
        let whole = answer.is_none_or(|(&(_, at), message)| self.text[at..] == message.content);
        let spelt = whole && !self.text.ends_with(WORDS);
        let (date, thinking) = (self.format.date(), self.format.thinking());
        Text { ids: self.ids.clone(), seed, draws, messages: self.messages.clone(), spelt, date, thinking }
    }

    /// Goes on with what was said in an earlier run.
    ///
    /// # Errors
    /// A template that refuses the messages.
    pub fn resume(&mut self, mut text: Text) -> Result<(), EngineError> {
        self.format.date = text.date.unwrap_or(self.format.date);
        if let Some(on) = text.thinking {
            // Another template than that of the earlier run may have no switch.
            let _ = self.format.set_thinking(on);
        }
        // A question that was never answered: templates want an answer after each.
        if text.messages.pop_if(|m| m.role == "user").is_some() {
            text.spelt = false;
        }
        let said = match text.messages.split_last() {
            Some((answer, asked)) if text.spelt && answer.role == "assistant" => {
                Some(self.format.render(asked)? + &answer.content)
            }
            _ => None,
        };
        self.messages = text.messages;
        self.prompts.clear();
        // Where the ids say something else than the messages, nothing that the template writes goes on from them. What it
        // has in common with them need still not be computed again.
        (self.ids, self.text) = (text.ids, said.unwrap_or_else(|| WORDS.to_owned()));
        Ok(())
    }

    /// The ids of the last prompt and its answer.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Adds what the user says.
    pub fn ask(&mut self, text: &str) {
        self.messages.push(Message::new("user", text));
    }

    /// Takes back the user's last words, which were not answered.
    pub fn unask(&mut self) {
        self.messages.pop_if(|m| m.role == "user");
    }

    /// Takes back the last answer, so that the same words can be answered again; false where there is none.
    pub fn unanswer(&mut self) -> bool {
        if self.messages.pop_if(|m| m.role == "assistant").is_none() {
            return false;
        }
        let (ids, text) = self.prompts.pop().unwrap_or_default();
        self.ids.truncate(ids);
        self.text.truncate(text);
        true
    }

    /// The ids of the messages, up to where the answer begins. They go on from those of the last turn wherever the
    /// template's text does, so that a model need not see these again.
    ///
    /// # Errors
    /// As [`ChatFormat::encode`].
    pub fn prompt(&self, tokenizer: &Tokenizer) -> Result<Prompt, EngineError> {
        let text = self.format.render(&self.messages)?;
        let mut ids = self.format.ids(tokenizer, &text)?;
        if !ids.starts_with(&self.ids)
            && let Some(rest) = text.strip_prefix(&self.text)
        {
            // The answer was spelt in other tokens. Where the template goes on with a special token, no token could
            // reach across the border.
            let rest = tokenizer.encode(rest, false)?;
            if rest.first().is_none_or(|&id| tokenizer.is_special(id)) {
                ids = [&self.ids, rest.as_slice()].concat();
            }
        }
        Ok(Prompt { ids, text })
    }

    /// Adds the answer to `prompt`, the last one that [`Self::prompt`] gave.
    pub fn answer(&mut self, prompt: Prompt, outcome: &Outcome) {
        let split = self.format.splitter(&prompt.text).whole(&outcome.text);
        self.messages.push(Message::answer(split));
        self.prompts.push((prompt.ids.len(), prompt.text.len()));
        (self.ids, self.text) = (prompt.ids, prompt.text);
        self.ids.extend_from_slice(&outcome.ids);
        self.text.push_str(&outcome.text);
        if matches!(outcome.finish, Finish::Stop(_)) {
            // The ids say the stop string too: nothing that the template writes goes on from them.
            self.text.push_str(WORDS);
        }
    }
}
