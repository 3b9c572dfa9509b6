//! Text to token ids and back: `tokenizer.json` through the `tokenizers` crate, and incremental decoding.
//!
//! Knows nothing of models or chat; ids are plain `u32`.

mod assemble;
mod byte_level;
mod charsmap;
mod config;
mod declared;
mod decoder_plan;
mod error;
mod flat;
mod merge_check;
mod sentence_piece;
mod stream;
mod templates;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::path::Path;

use tokenizers::{AddedToken, AddedVocabulary, Decoder as _, DecoderWrapper, Encoding};

use crate::core::HostBytes;
use crate::format::unmarked;
pub use assemble::{PieceKind, added_token, begin_with, surround};
pub use config::TokenizerConfig;
pub use declared::DeclaredToken;
use decoder_plan::DecoderPlan;
pub use error::{Result, TokenizerError};
use flat::FlatTokenizer;
pub use flat::{BytePairs, FlatForm};
pub use sentence_piece::{Piece, SentencePiece};
pub use stream::StreamDecoder;
pub use templates::{ChatTemplates, more_templates};
pub use vocabulary::Vocabulary;

/// A model's tokenizer, as its `tokenizer.json` describes it.
pub struct Tokenizer {
    inner: Inner,
    plan: DecoderPlan,
    origin: String,
}

/// The crate's tokenizer, with its own model or with ours.
enum Inner {
    Whole(Box<tokenizers::Tokenizer>),
    Flat(Box<FlatTokenizer>),
}

/// Calls the same method of either.
macro_rules! either {
    ($inner:expr, $t:ident => $call:expr) => {
        match $inner {
            Inner::Whole($t) => $call,
            Inner::Flat($t) => $call,
        }
    };
}

impl Inner {
    fn encode(&self, text: &str, special: bool) -> tokenizers::Result<Encoding> {
        either!(self, t => t.encode_fast(text, special))
    }

    fn added(&self) -> &AddedVocabulary {
        either!(self, t => t.get_added_vocabulary())
    }

    fn decoder(&self) -> Option<&DecoderWrapper> {
        either!(self, t => t.get_decoder())
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        either!(self, t => t.token_to_id(token))
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        either!(self, t => t.id_to_token(id))
    }

    fn vocab_size(&self) -> usize {
        either!(self, t => t.get_vocab_size(true))
    }

    fn max_id(&self) -> Option<u32> {
        match self {
            Inner::Whole(t) => t.get_vocab(true).into_values().max(),
            Inner::Flat(t) => {
                let added = t.get_added_vocabulary().get_added_tokens_decoder();
                added.keys().copied().max().max(t.get_model().max_id())
            }
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Read`] or [`TokenizerError::BadTokenizer`]; both name the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        Self::from_bytes(&error::read(path)?, &path.display().to_string())
    }

    /// Reads the bytes of a `tokenizer.json`; `origin` names their source in messages.
    ///
    /// Truncation and padding that the file may ask for are switched off: a prompt is never cut silently.
    ///
    /// # Errors
    /// [`TokenizerError::BadTokenizer`].
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        let bad = |reason: String| TokenizerError::BadTokenizer { origin: origin.to_owned(), reason };
        let bytes = unmarked(bytes);
        merge_check::check(bytes).map_err(bad)?;
        let mut inner: tokenizers::Tokenizer =
            serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        let plan = decoder_plan::check(inner.get_post_processor(), inner.get_decoder()).map_err(bad)?;
        Ok(Self { inner: Inner::Whole(Box::new(inner)), plan, origin: origin.to_owned() })
    }

    /// Reads the bytes of a `tokenizer.model`, SentencePiece's own file. With `adds_bos` a text begins with the token for that,
    /// if the file has one, as in `transformers`; `origin` names the file in messages.
    ///
    /// # Errors
    /// [`TokenizerError::BadModel`] if it is damaged, or has something that is not supported.
    pub fn from_sentence_piece(bytes: &[u8], adds_bos: bool, origin: &str) -> Result<Self> {
        sentence_piece::read(bytes, adds_bos, origin)
    }

    /// Adds those tokens that the model's other files declare and its tokenizer.json lacks, as `transformers` does: a
    /// text is cut at them before anything else. Their ids are those of the vocabulary, or the next ones.
    ///
    /// # Errors
    /// [`TokenizerError::BadTokenizer`] if the tokenizer cannot take them.
    pub fn declare(&mut self, tokens: &[DeclaredToken]) -> Result<()> {
        for token in tokens {
            let known = self.inner.token_to_id(&token.content);
            if known.is_some_and(|id| self.is_added(id)) || token.named_only && known.is_none() {
                continue;
            }
            let added = AddedToken::from(token.content.clone(), token.special)
                .single_word(token.single_word)
                .lstrip(token.lstrip)
                .rstrip(token.rstrip)
                .normalized(token.normalized);
            either!(&mut self.inner, t => t.add_tokens([added])).map_err(|e| {
                TokenizerError::BadTokenizer { origin: self.origin.clone(), reason: e.to_string() }
            })?;
        }
        Ok(())
    }

    /// The form that [`Self::from_flat`] loads quickly, tokens that were declared included. `None` if the tokenizer is not
    /// one whose flat form gives the same ids for every text.
    pub fn flat_form(&self) -> Option<FlatForm> {
        match &self.inner {
            Inner::Whole(whole) => flat::flatten(whole),
            Inner::Flat(flat) => flat::form(flat),
        }
    }

    /// Puts a tokenizer together from the two parts of a [`FlatForm`]; `bpe` is shared. `origin`
    /// names their source in messages.
    ///
    /// # Errors
    /// [`TokenizerError::BadTokenizer`].
    pub fn from_flat(rest: &[u8], bpe: HostBytes, origin: &str) -> Result<Self> {
        let bad = |reason: String| TokenizerError::BadTokenizer { origin: origin.to_owned(), reason };
        let inner = flat::load(rest, bpe).map_err(bad)?;
        let plan = decoder_plan::check(inner.get_post_processor(), inner.get_decoder()).map_err(bad)?;
        Ok(Self { inner: Inner::Flat(Box::new(inner)), plan, origin: origin.to_owned() })
    }

    /// The ids of `text`. Text that spells a special token (`<|eot_id|>`) becomes that token, as in Hugging
    /// Face's `transformers`. With `add_special_tokens` the post-processor runs too: for Llama it puts BOS in
    /// front.
    ///
    /// A chat template writes all special tokens itself: encode what it renders with `false`.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] if the tokenizer's model refuses the text.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode(text, add_special_tokens)
            .map_err(|e| TokenizerError::Encode { origin: self.origin.clone(), reason: e.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a plain prompt (not one from a chat template), with BOS in front at most once.
    ///
    /// The post-processor of `tokenizer.json` decides whether there is one, as in `transformers`. If it adds
    /// none although `add_bos_token` is true in [`TokenizerConfig`], `bos` is put in front. If it adds one to
    /// a text that itself begins with BOS, one of the two is dropped.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_prompt(&self, text: &str, bos: Option<u32>, config: &TokenizerConfig) -> Result<Vec<u32>> {
        let mut ids = self.encode(text, true)?;
        let Some(bos) = bos else { return Ok(ids) };
        let leading = ids.iter().take(2).filter(|&&id| id == bos).count();
        if ids.first() != Some(&bos) {
            if config.add_bos_token == Some(true) {
                ids.insert(0, bos);
            }
        } else if leading == 2 && ids.len() > self.encode(text, false)?.len() {
            // Two of them, one from the post-processor: keep what the text itself says.
            ids.remove(0);
        }
        Ok(ids)
    }

    /// The text of `ids`. Ids that name no token add nothing; special tokens neither, with `skip_special`.
    /// Broken UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`] if the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.decode_pieces(ids.iter().filter_map(|&id| self.piece(id, skip_special)).collect())
    }

    /// How many tokens there are, added ones included. Ids may have holes: see [`Self::max_id`].
    pub fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }

    /// Bytes of the tables in which its tokens are looked up, if it is in its flat form.
    pub fn table_bytes(&self) -> Option<usize> {
        match &self.inner {
            Inner::Flat(flat) => Some(flat.get_model().tables().as_ref().len()),
            Inner::Whole(_) => None,
        }
    }

    /// The largest id, which the model's embedding must have a row for; `None` for an empty vocabulary. Walks
    /// the whole vocabulary, except in the flat form.
    pub fn max_id(&self) -> Option<u32> {
        self.inner.max_id()
    }

    /// The id of a token, given as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token as the vocabulary spells it (`Ġhello`, `<0x0A>`), which is not its text.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Whether a text is cut at the token `id` before anything else.
    pub fn is_added(&self, id: u32) -> bool {
        self.inner.added().get_added_tokens_decoder().contains_key(&id)
    }

    /// Whether `id` is marked special: such tokens steer and are not text.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.inner.added();
        added.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }

    /// The bytes that the token `id` stands for in the middle of a text, which need not be whole characters; none for an
    /// id without a token.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn token_bytes(&self, id: u32) -> Result<Vec<u8>> {
        let Some(piece) = self.piece(id, false) else { return Ok(Vec::new()) };
        stream::bytes_of(self, piece)
    }

    /// What the decoder is given for `id`, or `None` if it is not to be decoded.
    fn piece(&self, id: u32, skip_special: bool) -> Option<String> {
        let added = self.inner.added();
        let piece = added.simple_id_to_token(id).or_else(|| self.inner.id_to_token(id))?;
        (!skip_special || !added.is_special_token(&piece)).then_some(piece)
    }

    /// Runs the decoder over pieces.
    fn decode_pieces(&self, pieces: Vec<String>) -> Result<String> {
        if pieces.is_empty() {
            return Ok(String::new()); // some decoders count on at least one
        }
        match self.inner.decoder() {
            Some(decoder) => decoder
                .decode(pieces)
                .map_err(|e| TokenizerError::Decode { origin: self.origin.clone(), reason: e.to_string() }),
            None => Ok(pieces.join(" ")),
        }
    }
}
