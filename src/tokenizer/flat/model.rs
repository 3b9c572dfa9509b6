//! The flat model as the `tokenizers` crate wants models.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{Model, Result, Token};

use super::merge::{Symbol, merge};
use super::tables::{BytePairs, Tables};
use crate::core::HostBytes;

/// Byte-pair encoding over tables in memory that it shares.
#[derive(Clone, Debug)]
pub(in crate::tokenizer) struct FlatBpe {
    tables: Tables,
}

impl FlatBpe {
    /// A model over `bytes`.
    ///
    /// # Errors
    /// If they are no tables.
    pub fn new(bytes: HostBytes) -> std::result::Result<Self, String> {
        Ok(Self { tables: Tables::new(bytes)? })
    }

    /// The tables.
    pub fn tables(&self) -> &HostBytes {
        self.tables.bytes()
    }

    /// The parts that the tables are made of.
    pub fn parts(&self) -> BytePairs {
        self.tables.parts()
    }

    /// The largest id; `None` if there is none.
    pub fn max_id(&self) -> Option<u32> {
        u32::try_from(self.tables.ids()).ok().and_then(|n| n.checked_sub(1))
    }

    /// The characters of a word as the tokens that merging begins with.
    fn symbols(&self, word: &str) -> Vec<Symbol> {
        let mut symbols = Vec::with_capacity(word.len());
        // An unknown character waits for the next one, which may share its token.
        let mut unknown: Option<Symbol> = None;
        let mut one = [0; 4];
        for c in word.chars() {
            let text = c.encode_utf8(&mut one);
            let len = text.len();
            if let Some(id) = self.tables.id(text) {
                symbols.extend(unknown.take());
                symbols.push(Symbol { id, len });
            } else if let Some(bytes) = self.bytes_of(text) {
                symbols.extend(bytes.into_iter().map(|id| Symbol { id, len: 1 }));
            } else if let Some(id) = self.tables.unknown {
                match &mut unknown {
                    Some(before) if self.tables.fuse_unknown => before.len += len,
                    _ => symbols.extend(unknown.replace(Symbol { id, len })),
                }
            }
        }
        symbols.extend(unknown);
        symbols
    }

    /// The tokens of a character's bytes, if there are all of them.
    fn bytes_of(&self, character: &str) -> Option<Vec<u32>> {
        if !self.tables.byte_fallback {
            return None;
        }
        character.bytes().map(|byte| self.tables.byte(byte)).collect()
    }
}

impl Model for FlatBpe {
    type Trainer = BpeTrainer;

    fn tokenize(&self, sequence: &str) -> Result<Vec<Token>> {
        let whole = if self.tables.whole_words { self.tables.id(sequence) } else { None };
        if let Some(id) = whole.filter(|_| !sequence.is_empty()) {
            return Ok(vec![Token::new(id, sequence.to_owned(), (0, sequence.len()))]);
        }
        let symbols = merge(&self.tables, self.symbols(sequence));
        let mut at = 0;
        let mut tokens = Vec::with_capacity(symbols.len());
        for Symbol { id, len } in symbols {
            let value =
                self.id_to_token(id).ok_or_else(|| format!("its merges make the unknown token {id}"))?;
            tokens.push(Token::new(id, value, (at, at + len)));
            at += len;
        }
        Ok(tokens)
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.tables.id(token)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.tables.token(id).map(str::to_owned)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        let ids = 0..self.tables.ids() as u32;
        ids.filter_map(|id| Some((self.id_to_token(id)?, id))).collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.tables.tokens()
    }

    fn save(&self, _: &Path, _: Option<&str>) -> Result<Vec<PathBuf>> {
        Err("a packed model is not saved".into())
    }

    fn get_trainer(&self) -> BpeTrainer {
        BpeTrainer::default()
    }
}
