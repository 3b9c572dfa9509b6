//! The tokens of a model as grammars see them.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};

use super::error::GrammarError;
use crate::tokenizer::Tokenizer;

/// A tree of the bytes of `vocab` tokens. Special tokens are in it under a byte that no text has, so that none is taken for
/// text; `eos` are those that end a text.
///
/// # Errors
/// A tokenizer whose tokens have no bytes of their own.
pub(super) fn factory(
    tokenizer: &Tokenizer,
    eos: &[u32],
    vocab: usize,
    limits: ParserLimits,
) -> Result<ParserFactory, GrammarError> {
    let bad =
        |error: String| GrammarError(format!("this model's tokenizer does not allow grammars: {error}"));
    let vocab = u32::try_from(vocab).map_err(|error| bad(error.to_string()))?;
    let eos: Vec<u32> = eos.iter().copied().filter(|id| *id < vocab).collect();
    let mut words = Vec::with_capacity(vocab as usize);
    for id in 0..vocab {
        let bytes = tokenizer.token_bytes(id).map_err(|error| bad(error.to_string()))?;
        let hidden = tokenizer.is_special(id) || eos.contains(&id) || bytes.first() == Some(&MARK);
        words.push(if hidden && !bytes.is_empty() { [&[MARK], bytes.as_slice()].concat() } else { bytes });
    }
    let info = TokRxInfo::new(vocab, eos.first().copied().unwrap_or(INVALID_TOKEN));
    let mut trie = TokTrie::from(&info, &words);
    if eos.len() > 1 {
        trie = trie.with_eos_tokens(&eos);
    }
    with_limits(Arc::new(ApproximateTokEnv::new(trie)), limits)
}

/// The same for single bytes, of which each is a token.
///
/// # Errors
/// None, as far as is known.
pub(super) fn factory_of_bytes(limits: ParserLimits) -> Result<ParserFactory, GrammarError> {
    with_limits(ApproximateTokEnv::single_byte_env(), limits)
}

fn with_limits(env: TokEnv, limits: ParserLimits) -> Result<ParserFactory, GrammarError> {
    let bad =
        |error: String| GrammarError(format!("this model's tokenizer does not allow grammars: {error}"));
    let mut factory = ParserFactory::new_simple(&env).map_err(|error| bad(error.to_string()))?;
    factory.quiet();
    *factory.limits_mut() = limits;
    Ok(factory)
}

/// Before the bytes of special tokens.
const MARK: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
