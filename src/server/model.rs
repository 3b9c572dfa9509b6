//! A loaded model as HTTP sees it: how a request becomes token ids and settings.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::ask::{Ask, Biased, Prompt};
use super::call_constraints::constrain_calls;
use super::isolation::combined;
use super::refusal::{Kind, Refusal};
use crate::chat::tools::{Tool, ToolParser};
use crate::chat::{ChatError, ChatInput, Date, ReasoningSplitter};
use crate::engine::{
    CacheSalt, ChatFormat, EngineError, Pooling, PromptForm, PromptRows, Request, SamplingWishes, TextLimits,
};
use crate::grammar::Grammars;
use crate::models::GenerationConfig;
use crate::sampling::{SamplingError, SamplingParams};
use crate::tokenizer::Tokenizer;

/// What is reported of a model.
#[derive(Clone, Debug)]
pub struct Described {
    /// `gguf` or `safetensors`.
    pub format: &'static str,
    /// The name of its file or directory, without the way there.
    pub file: String,
    /// The family's name, as in config.json.
    pub family: String,
    /// The formats of the matrices.
    pub weights: String,
    /// Bytes of the prepared weights.
    pub weight_bytes: usize,
    /// Parameters.
    pub parameters: u64,
    /// Elements of the residual stream.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// The tokens that it was trained for.
    pub trained: usize,
    /// The source of the chat template, if there is one.
    pub template: Option<String>,
    /// When it was loaded.
    pub loaded: SystemTime,
}

/// How texts become vectors.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings {
    /// How the vectors of all tokens become one.
    pub pooling: Pooling,
    /// Elements of a vector.
    pub size: usize,
    /// The most tokens of a text of a model that reads in both directions, which gives nothing but embeddings; `None`: it
    /// goes on with texts too.
    pub at_once: Option<usize>,
}

/// What HTTP needs of a model, whose weights another thread has.
pub struct Model {
    /// Its place among the models of the server.
    pub number: usize,
    /// See there.
    pub described: Described,
    /// See there.
    pub tokenizer: Arc<Tokenizer>,
    /// How texts begin.
    pub form: PromptForm,
    /// How conversations become text, or why they do not.
    pub chat: Result<ChatFormat, ChatError>,
    /// What templates get for today's date, if that is fixed.
    pub date: Option<Date>,
    /// What templates get besides the conversation, unless a request has it.
    pub variables: Map<String, Value>,
    /// Whether the model is to reason, unless a request says so.
    pub thinking: Option<bool>,
    /// What prompts have to keep to.
    pub limits: TextLimits,
    /// The tokens that end a text.
    pub eos: Vec<u32>,
    /// See there.
    pub embeddings: Embeddings,
    /// The most tokens that a text holds.
    pub context: usize,
    /// What the model's makers recommend.
    pub generation: GenerationConfig,
    /// What this server's user has set.
    pub wishes: SamplingWishes,
    /// All other settings of sampling.
    pub sampling: SamplingParams,
    /// The seed of requests that name none; `None` for another one each time.
    pub seed: Option<u64>,
    /// What texts may be held to.
    pub grammars: Grammars,
}

/// What goes to the model, and what is done with its text.
pub(super) struct Prepared {
    pub request: Request,
    pub splitter: Option<ReasoningSplitter>,
    pub parser: Option<ToolParser>,
}

impl Model {
    fn format(&self) -> Result<&ChatFormat, Refusal> {
        self.chat.as_ref().map_err(|error| EngineError::Chat(error.clone()).into())
    }

    /// A conversation with functions as its template writes it, and its ids.
    ///
    /// # Errors
    /// No template, or one that refuses it.
    pub(super) fn render(
        &self,
        input: ChatInput,
        tools: &[Tool],
        thinking: Option<bool>,
    ) -> Result<(String, Vec<u32>), Refusal> {
        let format = self.format()?;
        let mut input = format.tools().adapt(input, tools);
        for (name, value) in &self.variables {
            if !input.has(name) {
                input = input.with(name, value.clone());
            }
        }
        // What the server's user has set may do nothing with this template; what a request says may not.
        let switch = match (thinking, self.thinking) {
            (Some(on), _) => Some(format.switch(on)?),
            (None, Some(on)) => format.switch(on).ok(),
            (None, None) => None,
        };
        if let Some((name, value)) = switch.filter(|(name, _)| thinking.is_some() || !input.has(name)) {
            input = input.with(name, value);
        }
        let date = self.date.unwrap_or_else(Date::today);
        Ok(format.prompt_on(&self.tokenizer, &input, date)?)
    }

    /// What goes to the model for a request of a key whose texts have the salt `key_salt`; of an answer `most` tokens at most.
    ///
    /// # Errors
    /// What of the request cannot be.
    pub(super) fn prepare(
        &self,
        mut ask: Ask,
        key_salt: Option<CacheSalt>,
        most: Option<usize>,
    ) -> Result<Prepared, Refusal> {
        if let (Prompt::Chat(_), Ok(format)) = (&ask.prompt, &self.chat) {
            constrain_calls(&mut ask, format.tools().form, &self.tokenizer)?;
        }
        let (mut splitter, mut parser, mut shown, mut reasoning) = (None, None, Vec::new(), None);
        let mut prompt = match ask.prompt {
            Prompt::Ids(ids) => ids,
            Prompt::Text(text) => self.form.encode_text(&self.tokenizer, &text)?,
            Prompt::Chat(input) => {
                let format = self.format()?;
                let tools = ask.tools.offered();
                let (text, ids) = self.render(*input, tools, ask.thinking)?;
                reasoning = format.reasoning(&text);
                splitter = Some(format.splitter(&text));
                shown = format.marker_tokens(&self.tokenizer)?;
                if !tools.is_empty() {
                    shown.extend(format.tool_tokens(&self.tokenizer)?);
                    let most = if ask.tools.parallel { usize::MAX } else { 1 };
                    parser = Some(ToolParser::new(format.tools().form, tools.into(), most, random()));
                }
                ids
            }
        };
        if ask.truncate {
            self.truncate(&mut prompt);
        }
        self.limits.check_prompt(&prompt, &self.tokenizer)?;
        if let Some(max) = self.embeddings.at_once {
            match (ask.rows, prompt.len()) {
                (PromptRows::Hidden(_), tokens) if tokens > max => {
                    return Err(EngineError::TextTooLong { tokens, max }.into());
                }
                (PromptRows::Hidden(_), _) => {}
                _ => return Err(EngineError::NotCausal.into()),
            }
        }
        let (wished, own) = (ask.wishes, self.wishes);
        let wishes = SamplingWishes {
            temperature: wished.temperature.or(own.temperature),
            top_k: wished.top_k.or(own.top_k),
            top_p: wished.top_p.or(own.top_p),
            min_p: wished.min_p.or(own.min_p),
            repetition_penalty: wished.repetition_penalty.or(own.repetition_penalty),
        };
        let rest = SamplingParams {
            repetition_window: ask.repetition_window.unwrap_or(self.sampling.repetition_window),
            frequency_penalty: ask.frequency_penalty.unwrap_or(self.sampling.frequency_penalty),
            presence_penalty: ask.presence_penalty.unwrap_or(self.sampling.presence_penalty),
            seed: ask.seed.or(self.seed).unwrap_or_else(random),
            ..self.sampling
        };
        let sampling = wishes.settle(&self.generation, rest)?;
        sampling.validate().map_err(|error| {
            let message = error.to_string();
            match error {
                SamplingError::BadParam { name, .. } => {
                    Refusal::field(name.replace(['-', ' '], "_"), message)
                }
                _ => Refusal::new(Kind::Invalid, message),
            }
        })?;
        let mut bias = self.bias(&ask.bias)?;
        if ask.ignore_eos {
            bias.extend(self.eos.iter().map(|&id| (id, f32::NEG_INFINITY)));
        }
        let rule = ask.constraint.as_ref().map(|constraint| self.grammars.rule(constraint, reasoning));
        let rule = rule.transpose().map_err(|error| Refusal {
            field: ask.constraint_field.map(str::to_owned),
            ..Refusal::new(Kind::Invalid, error.to_string())
        })?;
        let request = Request {
            prompt,
            max_tokens: ask.max_tokens.into_iter().chain(most).min(),
            sampling,
            stop: ask.stop,
            ignore_eos: ask.ignore_eos,
            bias,
            logprobs: ask.logprobs,
            chances: ask.chances,
            prompt_rows: ask.rows,
            shown,
            rule,
            cache_salt: combined(key_salt, ask.cache_salt.as_deref()),
            ..Request::default()
        };
        Ok(Prepared { request, splitter, parser })
    }

    /// Cuts a text to what the model takes; a special token at its end stays.
    fn truncate(&self, prompt: &mut Vec<u32>) {
        let most = self.limits.context.map_or(usize::MAX, |context| context.saturating_sub(1));
        let most = self.embeddings.at_once.map_or(most, |at_once| most.min(at_once));
        if prompt.len() <= most || most == 0 {
            return;
        }
        let last = prompt.last().copied().filter(|id| self.tokenizer.is_special(*id));
        prompt.truncate(most);
        if let (Some(last), Some(end)) = (last, prompt.last_mut()) {
            *end = last;
        }
    }

    fn bias(&self, asked: &[(Biased, f32)]) -> Result<Vec<(u32, f32)>, Refusal> {
        let mut bias = Vec::new();
        for (token, add) in asked {
            match token {
                Biased::Id(id) if *id as usize >= self.limits.vocab => {
                    let why = format!("the model has no token {id}; it has {}", self.limits.vocab);
                    return Err(Refusal::field("logit_bias", why));
                }
                Biased::Id(id) => bias.push((*id, *add)),
                Biased::Text(text) => {
                    let ids = self.tokenizer.encode(text, false).map_err(EngineError::from)?;
                    bias.extend(ids.into_iter().map(|id| (id, *add)));
                }
            }
        }
        Ok(bias)
    }

    /// The text of ids, special tokens included.
    pub(super) fn text(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, false).unwrap_or_default()
    }

    /// The text of a token by itself, and its bytes.
    pub(super) fn token(&self, id: u32) -> (String, Vec<u8>) {
        let bytes = self.tokenizer.token_bytes(id).unwrap_or_default();
        (String::from_utf8_lossy(&bytes).into_owned(), bytes)
    }
}

/// A seed where a request has none. Small enough for every client's numbers.
fn random() -> u64 {
    RandomState::new().hash_one(0) >> 32
}
