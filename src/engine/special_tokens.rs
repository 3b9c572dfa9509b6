//! Which tokens begin a text, and which end one: one rule for every kind of model file.

use super::warning::ModelWarning;
use crate::models::{GenerationConfig, ModelConfig};
use crate::tokenizer::{Tokenizer, TokenizerConfig};

/// Control tokens that end a text or a turn in every vocabulary that has them (`special_eog_ids` of llama.cpp, and what
/// chat templates close a turn with), whatever type a file gives them.
const ENDS: [&str; 27] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_utterance>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|eot|>",
    "<|eom|>",
    "<|EOT|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "[|endofturn|]",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// The same, of texts that a vocabulary may also have as plain text, such as a tag of HTML: they count where the file
/// marks them as more than that.
const MARKED_ENDS: [&str; 12] = [
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<fim-repo>",
    "<REPO>",
];

/// A token in a vocabulary that has all of one of these lists ends nothing: it parts a turn there, or is a tag of HTML.
const EXCEPT: [(&str, &[&str]); 4] = [
    ("<|end|>", &["<|return|>", "<|call|>"]),
    ("<|end|>", &["<|flush|>", "<|call|>"]),
    ("<|end|>", &["<|flush|>", "<|calls|>"]),
    ("</s>", &["<|tool_response>"]),
];

/// Whether a token of this text ends a text or a turn, given whether the file marks it as more than plain text, and
/// which other tokens there are.
pub(super) fn ends_a_text(text: &str, marked: bool, has: impl Fn(&str) -> bool) -> bool {
    let listed = ENDS.contains(&text) || marked && MARKED_ENDS.contains(&text);
    listed && !EXCEPT.iter().any(|(token, others)| *token == text && others.iter().all(|other| has(other)))
}

/// The tokens that begin and end a text, by id.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    pub bos: Option<u32>,
    /// In ascending order.
    pub eos: Vec<u32>,
    pub warnings: Vec<ModelWarning>,
}

impl SpecialTokens {
    /// What the model's small files say together. Completes the texts and the ids in `named` by each other: a chat
    /// template writes the texts.
    pub fn settle(
        config: &ModelConfig,
        generation: &GenerationConfig,
        tokenizer: &Tokenizer,
        named: &mut TokenizerConfig,
    ) -> Self {
        let mut this = Self::default();
        let id = |text: &Option<String>| text.as_deref().and_then(|text| tokenizer.token_to_id(text));
        let mut within = |key: &'static str, id: &u32| {
            let fits = (*id as usize) < config.spec.vocab_size;
            if !fits {
                this.warnings.push(ModelWarning::TokenOutOfRange {
                    key,
                    id: *id,
                    tokens: config.spec.vocab_size,
                });
            }
            fits
        };
        let bos = [config.bos_token_id, generation.bos_token_id].into_iter().flatten();
        let bos: Vec<u32> = bos.filter(|id| within("bos_token_id", id)).collect();
        let eos = [&config.eos_token_ids, &generation.eos_token_ids].into_iter().flatten().copied();
        let mut eos: Vec<u32> = eos.filter(|id| within("eos_token_id", id)).collect();
        for key in ["bos_token_id", "eos_token_id"] {
            let why = generation.fault(key).map(str::to_owned);
            this.warnings.extend(why.map(ModelWarning::ValueNotUsed));
        }
        if let Some(last) =
            tokenizer.max_id().filter(|&id| id as usize >= config.spec.vocab_size && !tokenizer.is_added(id))
        {
            this.warnings.push(ModelWarning::ForeignTokenizer { last, tokens: config.spec.vocab_size });
        }
        this.bos = id(&named.bos_token).or(bos.first().copied());
        if named.bos_token.is_none() && !named.without_bos {
            named.bos_token = this.bos.and_then(|id| tokenizer.id_to_token(id));
        }
        if named.eos_token.is_none() {
            named.eos_token = eos.first().and_then(|&id| tokenizer.id_to_token(id));
        }
        named.begins_chats =
            this.bos.filter(|_| named.add_bos_token == Some(true) && named.bos_token.is_some());
        eos.extend(id(&named.eos_token));
        let known = |text: &str| tokenizer.token_to_id(text).is_some();
        for text in ENDS.iter().chain(&MARKED_ENDS) {
            if let Some(id) = tokenizer.token_to_id(text)
                && ends_a_text(text, tokenizer.is_added(id), known)
            {
                eos.push(id);
            }
        }
        eos.sort_unstable();
        eos.dedup();
        this.eos = eos;
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_text_depends_on_the_rest_of_the_vocabulary() {
        let ends =
            |text: &str, marked: bool, others: &[&str]| ends_a_text(text, marked, |t| others.contains(&t));
        assert!(ends("<|im_end|>", false, &[]) && ends("<|end|>", true, &["<|return|>"]));
        assert!(!ends("<|end|>", true, &["<|return|>", "<|call|>"]));
        assert!(!ends("<|end|>", true, &["<|flush|>", "<|calls|>"]));
        // A tag of HTML, unless the file says otherwise.
        assert!(!ends("</s>", false, &[]) && ends("</s>", true, &[]));
        assert!(!ends("</s>", true, &["<|tool_response>"]));
        assert!(!ends("<|im_start|>", true, &[]));
    }
}
