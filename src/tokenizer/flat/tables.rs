//! The tables of a flat byte-pair model: numbers are 32 bits, little endian.
//!
//! ```text
//! n, m, t, flags      tokens, merges, bytes of text; flag 1: a word that is a token is not taken apart
//! start   n + 1       where the text of token i begins
//! sorted  n           ids in ascending order of their texts' bytes
//! first   n + 1       where the merges with token i on the left begin
//! merges  m * 3       right token, rank, token that both become; by left, then right token
//! text    t bytes     the tokens' texts, UTF-8, in ascending order of ids
//! ```

use serde::Deserialize;
use tokenizers::{Model as _, ModelWrapper};

use crate::core::HostBytes;

/// The flag for `ignore_merges`.
const WHOLE_WORDS: u32 = 1;

/// Numbers before the tables.
const HEADER: usize = 4;

/// The tables in some bytes. Every look is checked against their length.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    bytes: HostBytes,
    tokens: usize,
    sorted: usize,
    first: usize,
    merges: usize,
    text: usize,
    /// Whether a word that is a token itself becomes that token.
    pub whole_words: bool,
}

impl Tables {
    /// Looks at the lengths only.
    ///
    /// # Errors
    /// If they are not those of the bytes.
    pub fn new(bytes: HostBytes) -> Result<Self, String> {
        let all = bytes.as_ref();
        let (words, _) = all.as_chunks::<4>();
        let Some(&[tokens, merges, text_len, flags]) = words.first_chunk::<HEADER>() else {
            return Err("its tables are cut off".to_owned());
        };
        let [tokens, merges, text_len] = [tokens, merges, text_len].map(|w| u32::from_le_bytes(w) as u64);
        let flags = u32::from_le_bytes(flags);
        let [sorted, first] = [HEADER as u64 + tokens + 1, HEADER as u64 + 2 * tokens + 1];
        let start_of_merges = first + tokens + 1;
        let text = 4 * (start_of_merges + 3 * merges);
        // No sum overflows: each number has 32 bits.
        if text + text_len != all.len() as u64 || flags & !WHOLE_WORDS != 0 {
            return Err("its tables do not have the lengths that they name".to_owned());
        }
        let [tokens, sorted, first, merges, text] =
            [tokens, sorted, first, start_of_merges, text].map(|n| n as usize);
        Ok(Self { bytes, tokens, sorted, first, merges, text, whole_words: flags == WHOLE_WORDS })
    }

    /// How many bytes they take.
    pub fn len(&self) -> usize {
        self.bytes.as_ref().len()
    }

    /// How many tokens there are: ids are below.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    fn words(&self, at: usize, count: usize) -> Option<&[[u8; 4]]> {
        let (words, _) = self.bytes.as_ref().as_chunks::<4>();
        words.get(at..at.checked_add(count)?)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.words(at, 1).map(|w| u32::from_le_bytes(w[0]))
    }

    /// The text of a token.
    pub fn token(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        if id >= self.tokens {
            return None;
        }
        let [from, to] = [self.word(HEADER + id)?, self.word(HEADER + id + 1)?].map(|at| at as usize);
        let text = self.bytes.as_ref().get(self.text..)?;
        std::str::from_utf8(text.get(from..to)?).ok()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        let ids = self.words(self.sorted, self.tokens)?;
        let of = |id: &[u8; 4]| u32::from_le_bytes(*id);
        let compare = |id: &[u8; 4]| self.token(of(id)).unwrap_or_default().as_bytes().cmp(token.as_bytes());
        let found = ids.binary_search_by(compare).ok()?;
        let id = of(&ids[found]);
        // An id out of range has no text, which the empty token would be equal to.
        self.token(id).map(|_| id)
    }

    /// Rank and result of merging two tokens.
    pub fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let left = left as usize;
        if left >= self.tokens {
            return None;
        }
        let [from, to] =
            [self.word(self.first + left)?, self.word(self.first + left + 1)?].map(|at| at as usize);
        let words = self.words(self.merges.checked_add(3 * from)?, to.checked_sub(from)?.checked_mul(3)?)?;
        let (entries, _) = words.as_chunks::<3>();
        let found = entries.binary_search_by(|e| u32::from_le_bytes(e[0]).cmp(&right)).ok()?;
        let [_, rank, result] = entries[found];
        Some((u32::from_le_bytes(rank), u32::from_le_bytes(result)))
    }
}

/// What the crate says of a byte-pair model when it is written as JSON, beside its vocabulary.
#[derive(Deserialize)]
struct Written {
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    /// In ascending rank.
    merges: Vec<(String, String)>,
}

/// The tables of a model; `None` if it is none that they can stand for.
pub(super) fn build(model: &ModelWrapper) -> Option<Vec<u8>> {
    let ModelWrapper::BPE(bpe) = model else { return None };
    let mut vocab: Vec<(String, u32)> = bpe.get_vocab().into_iter().collect();
    vocab.sort_unstable_by_key(|v| v.1);
    let ids_are_a_range = vocab.iter().enumerate().all(|(i, v)| v.1 as usize == i);
    let written: Written = serde_json::from_slice(&serde_json::to_vec(bpe).ok()?).ok()?;
    let plain = written.dropout.is_none()
        && written.unk_token.is_none()
        && written.continuing_subword_prefix.is_none()
        && written.end_of_word_suffix.is_none()
        && !written.fuse_unk
        && !written.byte_fallback;
    if !ids_are_a_range || !plain {
        return None;
    }
    let id = |token: &str| bpe.token_to_id(token);
    let mut merges = Vec::with_capacity(written.merges.len());
    for (rank, (left, right)) in written.merges.iter().enumerate() {
        let result = id(&format!("{left}{right}"))?;
        merges.push((id(left)?, id(right)?, u32::try_from(rank).ok()?, result));
    }
    merges.sort_unstable();

    let mut words: Vec<u32> = vec![];
    let text_len: usize = vocab.iter().map(|v| v.0.len()).sum();
    let [n, m, t] = [vocab.len(), merges.len(), text_len].map(|n| u32::try_from(n).ok());
    words.extend([n?, m?, t?, if written.ignore_merges { WHOLE_WORDS } else { 0 }]);
    let mut at = 0;
    for (token, _) in &vocab {
        words.push(at);
        at += token.len() as u32;
    }
    words.push(at);
    let mut sorted: Vec<u32> = (0..vocab.len() as u32).collect();
    sorted.sort_unstable_by(|&a, &b| vocab[a as usize].0.as_bytes().cmp(vocab[b as usize].0.as_bytes()));
    words.extend(sorted);
    let mut next = 0;
    for left in 0..=vocab.len() as u32 {
        while merges.get(next).is_some_and(|m| m.0 < left) {
            next += 1;
        }
        words.push(next as u32);
    }
    words.extend(merges.iter().flat_map(|&(_, right, rank, result)| [right, rank, result]));
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    vocab.iter().for_each(|(token, _)| bytes.extend(token.as_bytes()));
    Some(bytes)
}
