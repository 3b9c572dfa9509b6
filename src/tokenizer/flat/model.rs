//! The flat model as the `tokenizers` crate wants models.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{Model, Result, Token};

use super::merge::{Symbol, merge};
use super::tables::Tables;
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

    /// Bytes of the tables.
    pub fn table_bytes(&self) -> usize {
        self.tables.len()
    }
}

impl Model for FlatBpe {
    type Trainer = BpeTrainer;

    fn tokenize(&self, sequence: &str) -> Result<Vec<Token>> {
        let whole = if self.tables.whole_words { self.tables.id(sequence) } else { None };
        if let Some(id) = whole.filter(|_| !sequence.is_empty()) {
            return Ok(vec![Token::new(id, sequence.to_owned(), (0, sequence.len()))]);
        }
        let mut one = [0; 4];
        let symbol = |c: char| {
            let id = self.tables.id(c.encode_utf8(&mut one))?;
            Some(Symbol { id, len: c.len_utf8() })
        };
        // A character that is no token is left out: there is no unknown token.
        let symbols = merge(&self.tables, sequence.chars().filter_map(symbol).collect());
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
        let ids = 0..self.tables.tokens() as u32;
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
