//! `tokenizer.model`: SentencePiece's own file (`sentencepiece_model.proto`).

use serde_json::Value as Json;

use super::protobuf::{Fields, Value};
use super::{Piece, SentencePiece};
use crate::core::HostBytes;
use crate::tokenizer::assemble::{PieceKind, begin_with};
use crate::tokenizer::{FlatForm, Result, Tokenizer, TokenizerError};

/// `TrainerSpec.ModelType`.
const UNIGRAM: u64 = 1;
const BPE: u64 = 2;

/// What the file says beside its pieces, with what holds where it says nothing.
struct Settings<'a> {
    model: u64,
    byte_fallback: bool,
    spaces_after: bool,
    unknown: i64,
    bos: i64,
    replacements: &'a [u8],
    add_prefix: bool,
    remove_extra_spaces: bool,
    escape_spaces: bool,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            model: UNIGRAM,
            byte_fallback: false,
            spaces_after: false,
            unknown: 0,
            bos: 1,
            replacements: &[],
            add_prefix: true,
            remove_extra_spaces: true,
            escape_spaces: true,
        }
    }
}

impl<'a> Settings<'a> {
    fn read_trainer(&mut self, message: &'a [u8]) -> Result<(), String> {
        for field in Fields::of(message) {
            match field? {
                (3, Value::Number(n)) => self.model = n,
                (24, Value::Number(n)) => self.spaces_after = n != 0,
                (35, Value::Number(n)) => self.byte_fallback = n != 0,
                // Negative ones are none.
                (40, Value::Number(n)) => self.unknown = n as i64,
                (41, Value::Number(n)) => self.bos = n as i64,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, message: &'a [u8]) -> Result<(), String> {
        for field in Fields::of(message) {
            match field? {
                (2, Value::Bytes(table)) => self.replacements = table,
                (3, Value::Number(n)) => self.add_prefix = n != 0,
                (4, Value::Number(n)) => self.remove_extra_spaces = n != 0,
                (5, Value::Number(n)) => self.escape_spaces = n != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

fn piece(message: &[u8]) -> Result<Piece<'_>, String> {
    let mut piece = Piece { text: "", score: 0.0, kind: PieceKind::Normal, rstrip: false };
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(text)) => {
                piece.text = str::from_utf8(text).map_err(|_| "a piece is not UTF-8".to_owned())?;
            }
            (2, Value::Float(score)) => piece.score = score,
            (3, Value::Number(kind)) => piece.kind = PieceKind::of(kind),
            _ => {}
        }
    }
    Ok(piece)
}

/// The tokenizer in the bytes of a `tokenizer.model`; `adds_bos`: a text begins with the token for that, if there is one.
/// `origin` names the file in messages.
///
/// # Errors
/// [`TokenizerError::BadModel`] if it is damaged, or has something that is not supported.
pub(in crate::tokenizer) fn read(bytes: &[u8], adds_bos: bool, origin: &str) -> Result<Tokenizer> {
    let bad = |reason: String| TokenizerError::BadModel { origin: origin.to_owned(), reason };
    match form(bytes, adds_bos).map_err(bad)? {
        Form::Flat(form) => Tokenizer::from_flat(&form.rest, HostBytes::from(form.bpe), origin),
        Form::Json(json) => Tokenizer::from_bytes(json.to_string().as_bytes(), origin),
    }
}

enum Form {
    Flat(FlatForm),
    Json(Json),
}

fn form(bytes: &[u8], adds_bos: bool) -> Result<Form, String> {
    let mut settings = Settings::default();
    let mut pieces = Vec::new();
    for field in Fields::of(bytes) {
        match field? {
            (1, Value::Bytes(message)) => pieces.push(piece(message)?),
            (2, Value::Bytes(message)) => settings.read_trainer(message)?,
            (3, Value::Bytes(message)) => settings.read_normalizer(message)?,
            _ => {}
        }
    }
    if pieces.is_empty() {
        return Err("it has no pieces".to_owned());
    }
    if settings.spaces_after || !settings.escape_spaces {
        return Err("it marks spaces otherwise than before a word, which is not supported".to_owned());
    }
    crate::tokenizer::charsmap::check(settings.replacements)?;
    // Ids of int32, which are stored as 64 bits.
    let id = |id: i64| usize::try_from(id).ok().filter(|&id| id < pieces.len());
    let unknown = id(settings.unknown).and_then(|id| u32::try_from(id).ok());
    let bos = id(settings.bos).filter(|&id| adds_bos && pieces[id].kind == PieceKind::Control);
    let post_processor = bos.map_or(Json::Null, |id| begin_with(id as u64, pieces[id].text));
    let model = SentencePiece {
        unknown,
        byte_fallback: settings.byte_fallback,
        add_prefix: settings.add_prefix,
        remove_extra_spaces: settings.remove_extra_spaces,
        replacements: settings.replacements,
        post_processor,
        pieces,
    };
    match settings.model {
        BPE => model.byte_pairs().map(Form::Flat).ok_or_else(|| "it has too many pieces".to_owned()),
        UNIGRAM => Ok(Form::Json(model.unigram())),
        other => Err(format!("its model is of the type {other}; supported are 1 (unigram) and 2 (BPE)")),
    }
}
