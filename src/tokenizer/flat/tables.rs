//! The tables of a flat byte-pair model: numbers are 32 bits, little endian.
//!
//! ```text
//! n, m, t, flags      ids, merges, bytes of text, and what else holds (below)
//! s, u                only with the flag SPARSE: tokens, and the id for unknown characters plus 1; else n and 0
//! start   n + 1       where the text of token i begins; an id without a text is no token
//! sorted  s           ids in ascending order of their texts' bytes
//! first   n + 1       where the merges with token i on the left begin
//! merges  m * 3       right token, rank, token that both become; by left, then right token
//! text    t bytes     the tokens' texts, UTF-8, in ascending order of ids
//! ```

use serde::Deserialize;
use tokenizers::ModelWrapper;

use crate::core::HostBytes;

/// Flags. A word that is a token is not taken apart (`ignore_merges`).
const WHOLE_WORDS: u32 = 1;
/// There are two more numbers before the tables.
const SPARSE: u32 = 2;
/// A character without a token becomes the tokens of its bytes.
const BYTE_FALLBACK: u32 = 4;
/// Neighbours that are unknown become one token.
const FUSE_UNKNOWN: u32 = 8;

/// Numbers before the tables, and with [`SPARSE`].
const HEADER: usize = 4;
const LONG_HEADER: usize = 6;

/// The tables in some bytes. Every look is checked against their length.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    bytes: HostBytes,
    ids: usize,
    tokens: usize,
    start: usize,
    sorted: usize,
    first: usize,
    merges: usize,
    text: usize,
    /// Whether a word that is a token itself becomes that token.
    pub whole_words: bool,
    /// Whether a character without a token becomes the tokens of its bytes.
    pub byte_fallback: bool,
    /// The token of characters that have no other.
    pub unknown: Option<u32>,
    /// Whether neighbours without a token share one of those.
    pub fuse_unknown: bool,
}

impl Tables {
    /// Looks at the lengths only.
    ///
    /// # Errors
    /// If they are not those of the bytes.
    pub fn new(bytes: HostBytes) -> Result<Self, String> {
        let all = bytes.as_ref();
        let (words, _) = all.as_chunks::<4>();
        let number = |at: usize| words.get(at).map(|w| u32::from_le_bytes(*w));
        let header = || Some([number(0)?, number(1)?, number(2)?, number(3)?]);
        let [ids, merges, text_len, flags] = header().ok_or("its tables are cut off")?;
        let sparse = flags & SPARSE != 0;
        let (start, tokens, unknown) = if sparse {
            let more = || Some((number(HEADER)?, number(HEADER + 1)?));
            let (tokens, unknown) = more().ok_or("its tables are cut off")?;
            (LONG_HEADER as u64, tokens, unknown.checked_sub(1))
        } else {
            (HEADER as u64, ids, None)
        };
        // No sum overflows: each number has 32 bits.
        let [ids, tokens, merges, text_len] = [ids, tokens, merges, text_len].map(u64::from);
        let sorted = start + ids + 1;
        let first = sorted + tokens;
        let start_of_merges = first + ids + 1;
        let text = 4 * (start_of_merges + 3 * merges);
        let known = WHOLE_WORDS | SPARSE | BYTE_FALLBACK | FUSE_UNKNOWN;
        if text + text_len != all.len() as u64 || flags & !known != 0 || tokens > ids {
            return Err("its tables do not have the lengths that they name".to_owned());
        }
        let [ids, tokens, start, sorted, first, merges, text] =
            [ids, tokens, start, sorted, first, start_of_merges, text].map(|n| n as usize);
        let flag = |flag: u32| flags & flag != 0;
        Ok(Self {
            bytes,
            ids,
            tokens,
            start,
            sorted,
            first,
            merges,
            text,
            whole_words: flag(WHOLE_WORDS),
            byte_fallback: flag(BYTE_FALLBACK),
            unknown,
            fuse_unknown: flag(FUSE_UNKNOWN),
        })
    }

    /// The bytes.
    pub fn bytes(&self) -> &HostBytes {
        &self.bytes
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// All ids are below.
    pub fn ids(&self) -> usize {
        self.ids
    }

    fn words(&self, at: usize, count: usize) -> Option<&[[u8; 4]]> {
        let (words, _) = self.bytes.as_ref().as_chunks::<4>();
        words.get(at..at.checked_add(count)?)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.words(at, 1).map(|w| u32::from_le_bytes(w[0]))
    }

    /// The bytes of a token's text.
    fn text(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        if id >= self.ids {
            return None;
        }
        let [from, to] = [self.word(self.start + id)?, self.word(self.start + id + 1)?].map(|at| at as usize);
        let text = self.bytes.as_ref().get(self.text..)?;
        text.get(from..to).filter(|text| !text.is_empty())
    }

    /// The text of a token.
    pub fn token(&self, id: u32) -> Option<&str> {
        std::str::from_utf8(self.text(id)?).ok()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        let ids = self.words(self.sorted, self.tokens)?;
        let of = |id: &[u8; 4]| u32::from_le_bytes(*id);
        let compare = |id: &[u8; 4]| self.text(of(id)).unwrap_or_default().cmp(token.as_bytes());
        let found = ids.binary_search_by(compare).ok()?;
        let id = of(&ids[found]);
        // An id out of range has no text, which the empty token would be equal to.
        self.text(id).map(|_| id)
    }

    /// The token that stands for a byte.
    pub fn byte(&self, byte: u8) -> Option<u32> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[digit as usize]);
        let token = [b'<', b'0', b'x', high, low, b'>'];
        self.id(std::str::from_utf8(&token).ok()?)
    }

    /// What the tables were built of; of damaged ones what can be read.
    pub fn parts(&self) -> BytePairs {
        let ids = 0..self.ids as u32;
        let mut ranked = Vec::new();
        for left in ids.clone() {
            let bounds = [self.first + left as usize, self.first + left as usize + 1].map(|at| self.word(at));
            let [Some(from), Some(to)] = bounds else { continue };
            for merge in from..to {
                let Some(words) = self.words(self.merges + 3 * merge as usize, 3) else { break };
                let [right, rank, result] = [0, 1, 2].map(|at| u32::from_le_bytes(words[at]));
                ranked.push((rank, [left, right, result]));
            }
        }
        ranked.sort_unstable();
        BytePairs {
            tokens: ids.map(|id| self.token(id).map(str::to_owned)).collect(),
            merges: ranked.into_iter().map(|(_, merge)| merge).collect(),
            whole_words: self.whole_words,
            byte_fallback: self.byte_fallback,
            unknown: self.unknown,
            fuse_unknown: self.fuse_unknown,
        }
    }

    /// Rank and result of merging two tokens.
    pub fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let left = left as usize;
        if left >= self.ids {
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

/// The parts of a model, by their ids; `None` if it is none that the tables can stand for.
pub(super) fn parts(model: &ModelWrapper) -> Option<BytePairs> {
    let ModelWrapper::BPE(bpe) = model else { return None };
    let vocab = bpe.get_vocab();
    let written: Written = serde_json::from_slice(&serde_json::to_vec(bpe).ok()?).ok()?;
    let plain = written.dropout.is_none()
        && written.continuing_subword_prefix.is_none()
        && written.end_of_word_suffix.is_none();
    // Few enough holes that a table of all ids is no larger than its texts are.
    let ids = vocab.values().max().map_or(0, |&last| last as usize + 1);
    if !plain || ids > 2 * vocab.len() + 1024 || vocab.contains_key("") {
        return None;
    }
    let id = |token: &str| vocab.get(token).copied();
    let unknown = match &written.unk_token {
        Some(token) => Some(id(token)?),
        None => None,
    };
    let mut merges = Vec::with_capacity(written.merges.len());
    for (left, right) in &written.merges {
        merges.push([id(left)?, id(right)?, id(&format!("{left}{right}"))?]);
    }
    let mut tokens = vec![None; ids];
    for (token, id) in vocab {
        // Two tokens under one id have no place.
        if tokens.get_mut(id as usize)?.replace(token).is_some() {
            return None;
        }
    }
    Some(BytePairs {
        tokens,
        merges,
        whole_words: written.ignore_merges,
        byte_fallback: written.byte_fallback,
        unknown,
        fuse_unknown: written.fuse_unk,
    })
}

/// A byte-pair model by its parts.
#[derive(Clone, Debug, Default)]
pub struct BytePairs<T = String> {
    /// The token of each id; an id may have none. Of two with one text the last is found.
    pub tokens: Vec<Option<T>>,
    /// Left token, right token, and what they become; the first of them merge first.
    pub merges: Vec<[u32; 3]>,
    /// A word that is a token is not taken apart.
    pub whole_words: bool,
    /// A character without a token becomes the tokens of its bytes, `<0x00>` to `<0xFF>`.
    pub byte_fallback: bool,
    /// The token of characters that have no other; without one they are left out.
    pub unknown: Option<u32>,
    /// Neighbours without a token share one.
    pub fuse_unknown: bool,
}

/// The tables of a model; `None` if it has more than 32 bits can count, or names ids that it does not have.
pub(super) fn build<T: AsRef<str>>(model: &BytePairs<T>) -> Option<Vec<u8>> {
    let last = model.tokens.iter().rposition(Option::is_some);
    let tokens = &model.tokens[..last.map_or(0, |last| last + 1)];
    let text = |id: u32| tokens.get(id as usize).and_then(|t| t.as_ref()).map_or("", AsRef::as_ref);
    let ids = u32::try_from(tokens.len()).ok()?;
    let mut sorted: Vec<u32> = (0..ids).filter(|&id| !text(id).is_empty()).collect();
    // Of equal texts the last id comes first, and is kept.
    sorted.sort_unstable_by(|&a, &b| text(a).as_bytes().cmp(text(b).as_bytes()).then(b.cmp(&a)));
    sorted.dedup_by(|later, kept| text(*later) == text(*kept));
    let mut merges = Vec::with_capacity(model.merges.len());
    for (rank, &[left, right, result]) in model.merges.iter().enumerate() {
        if [left, right, result].iter().any(|&id| id >= ids) {
            return None;
        }
        merges.push([left, right, u32::try_from(rank).ok()?, result]);
    }
    // Of a pair that is there twice the first merge counts.
    merges.sort_unstable();
    merges.dedup_by_key(|&mut [left, right, ..]| [left, right]);

    let text_len: usize = tokens.iter().flatten().map(|t| t.as_ref().len()).sum();
    let [found, pairs, text_len] = [sorted.len(), merges.len(), text_len].map(|n| u32::try_from(n).ok());
    let (found, pairs, text_len) = (found?, pairs?, text_len?);
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    let sparse = found != ids || model.unknown.is_some();
    let flags = flag(model.whole_words, WHOLE_WORDS)
        | flag(sparse, SPARSE)
        | flag(model.byte_fallback, BYTE_FALLBACK)
        | flag(model.fuse_unknown, FUSE_UNKNOWN);
    let mut words: Vec<u32> = vec![ids, pairs, text_len, flags];
    if sparse {
        words.extend([found, model.unknown.map_or(Some(0), |id| id.checked_add(1))?]);
    }
    let mut at = 0;
    for token in tokens {
        words.push(at);
        at += token.as_ref().map_or(0, |t| t.as_ref().len() as u32);
    }
    words.push(at);
    words.extend(sorted);
    let mut next = 0;
    for left in 0..=ids {
        while merges.get(next).is_some_and(|m| m[0] < left) {
            next += 1;
        }
        words.push(next as u32);
    }
    words.extend(merges.iter().flat_map(|&[_, right, rank, result]| [right, rank, result]));
    let mut bytes: Vec<u8> = Vec::with_capacity(4 * words.len() + text_len as usize);
    words.into_iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    tokens.iter().flatten().for_each(|token| bytes.extend(token.as_ref().as_bytes()));
    Some(bytes)
}
