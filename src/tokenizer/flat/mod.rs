//! A byte-pair model whose tables are used as a packed file holds them: loading it takes a copy of their bytes, where
//! parsing its JSON and filling hash maps takes half a second for 128,000 tokens.
//!
//! The rest of a tokenizer (added tokens, pre-tokenizer, decoder, ...) is little and stays JSON; the `tokenizers`
//! crate runs it all, with [`FlatBpe`] in the place of its own model.
//!
//! Everything here is a bounded look into the bytes: damaged ones give wrong or no tokens, never a panic.

mod merge;
mod model;
mod tables;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::{
    AddedToken, DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerImpl,
};

use model::FlatBpe;

use super::charsmap::check_normalizer;
use crate::core::HostBytes;
pub use tables::BytePairs;

/// A tokenizer of the crate around the flat model.
pub(super) type FlatTokenizer =
    TokenizerImpl<FlatBpe, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// A tokenizer in the form that loads quickly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatForm {
    /// A `tokenizer.json` without its model.
    pub rest: Vec<u8>,
    /// The model's tables.
    pub bpe: Vec<u8>,
}

/// The parts of a `tokenizer.json` beside its model; `A` for those that can be thousands.
#[derive(Serialize, Deserialize)]
struct Rest<A: Default> {
    #[serde(default)]
    added_tokens: A,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

/// Puts a tokenizer together from its two parts.
///
/// # Errors
/// What is wrong with them, as a part of a sentence.
pub(super) fn load(rest: &[u8], bpe: HostBytes) -> Result<FlatTokenizer, String> {
    let rest: Rest<Option<Vec<AddedToken>>> = serde_json::from_slice(rest).map_err(|e| e.to_string())?;
    check_normalizer(&rest.normalizer)?;
    let mut tokenizer = TokenizerImpl::new(FlatBpe::new(bpe)?);
    let crate_error = |e: tokenizers::Error| e.to_string();
    // Before the added tokens, which are normalized when they are added.
    tokenizer.with_normalizer(part::<NormalizerWrapper>(rest.normalizer)?).map_err(crate_error)?;
    tokenizer.with_pre_tokenizer(part::<PreTokenizerWrapper>(rest.pre_tokenizer)?);
    tokenizer.with_post_processor(part::<PostProcessorWrapper>(rest.post_processor)?);
    tokenizer.with_decoder(part::<DecoderWrapper>(rest.decoder)?);
    tokenizer.add_tokens(rest.added_tokens.unwrap_or_default()).map_err(crate_error)?;
    Ok(tokenizer)
}

fn part<T: serde::de::DeserializeOwned>(value: Value) -> Result<Option<T>, String> {
    serde_json::from_value(value).map_err(|e| e.to_string())
}

/// The flat form of a tokenizer. `None` if it is not one whose flat form gives the same ids for every text:
///
/// - the model is byte-pair encoding without dropout, prefix and suffix, and its ids have few holes: the whole algorithm is
///   then "the lowest merge first, from the left";
/// - vocabulary and added tokens read back are the same, each token and each id.
pub(super) fn flatten(whole: &tokenizers::Tokenizer) -> Option<FlatForm> {
    let rest = rest(whole)?;
    let bpe = tables::build(&tables::parts(whole.get_model())?)?;
    let flat = load(&rest, bpe.clone().into()).ok()?;
    same_tokens(whole, &flat).then_some(FlatForm { rest, bpe })
}

/// The form that a tokenizer was loaded from, with the tokens that have been added since.
pub(super) fn form(flat: &FlatTokenizer) -> Option<FlatForm> {
    Some(FlatForm { rest: rest(flat)?, bpe: flat.get_model().tables().as_ref().to_vec() })
}

/// The model of a tokenizer by its parts, and the rest as the JSON of a `tokenizer.json`; `None` if it is not of byte pairs.
pub(super) fn parts_of_whole(whole: &tokenizers::Tokenizer) -> Option<(BytePairs, Value)> {
    let model = tables::parts(whole.get_model())?;
    Some((model, serde_json::from_slice(&rest(whole)?).ok()?))
}

/// The same of a flat one.
pub(super) fn parts_of_flat(flat: &FlatTokenizer) -> Option<(BytePairs, Value)> {
    Some((flat.get_model().parts(), serde_json::from_slice(&rest(flat)?).ok()?))
}

/// All but the model of a tokenizer, as JSON.
fn rest<M: Model>(
    tokenizer: &TokenizerImpl<
        M,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >,
) -> Option<Vec<u8>> {
    let rest = Rest {
        added_tokens: serde_json::to_value(tokenizer.get_added_vocabulary()).ok()?,
        normalizer: serde_json::to_value(tokenizer.get_normalizer()).ok()?,
        pre_tokenizer: serde_json::to_value(tokenizer.get_pre_tokenizer()).ok()?,
        post_processor: serde_json::to_value(tokenizer.get_post_processor()).ok()?,
        decoder: serde_json::to_value(tokenizer.get_decoder()).ok()?,
    };
    serde_json::to_vec(&rest).ok()
}

impl FlatForm {
    /// A byte-pair model, and a `tokenizer.json` of all else. `None` if the model is none that tables can stand for.
    pub fn new<T: AsRef<str>>(rest: &Value, model: &BytePairs<T>) -> Option<Self> {
        Some(Self { rest: rest.to_string().into_bytes(), bpe: tables::build(model)? })
    }
}

/// Whether both have the same tokens under the same ids, added ones with all their marks.
fn same_tokens(whole: &tokenizers::Tokenizer, flat: &FlatTokenizer) -> bool {
    let marks = |value: serde_json::Result<Value>| value.ok().filter(|v| !v.is_null());
    let added = marks(serde_json::to_value(whole.get_added_vocabulary()));
    let same_added = added.is_some() && added == marks(serde_json::to_value(flat.get_added_vocabulary()));
    let vocab = whole.get_vocab(true);
    same_added
        && vocab.len() == flat.get_vocab(true).len()
        && vocab.iter().all(|(token, &id)| {
            flat.token_to_id(token) == Some(id)
                && flat.id_to_token(id) == whole.id_to_token(id)
                && flat.get_added_vocabulary().simple_id_to_token(id)
                    == whole.get_added_vocabulary().simple_id_to_token(id)
        })
}
