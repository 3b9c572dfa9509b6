//! Text as it is generated: one id at a time, never half a character.

use super::byte_level;
use super::decoder_plan::{ANCHOR, DecoderPlan, Start};
use super::{Result, Tokenizer};

/// Incremental decoding. The pieces of text that [`Self::push`] and [`Self::finish`] return are, one after the
/// other, byte for byte what [`Tokenizer::decode`] makes of all the ids.
///
/// The work per id does not depend on how many came before. What is held back:
/// - ByteLevel (Llama 3): the bytes of an unfinished character, three at most;
/// - SentencePiece-like (Llama 2): a run of `<0x..>` byte tokens until another token ends it, since one bad
///   byte turns its whole run into U+FFFD;
/// - decoders outside of these two families (WordPiece, CTC): everything, until [`Self::finish`].
#[derive(Debug, Clone, Default)]
pub struct StreamDecoder {
    skip_special: bool,
    /// Special tokens that are text nevertheless.
    shown: Vec<u32>,
    started: bool,
    bytes: Vec<u8>,
    pieces: Vec<String>,
    /// The text of the pieces that were there before, where all are held back.
    before: String,
}

impl StreamDecoder {
    /// A decoder at the start of a text. With `skip_special`, special tokens add nothing.
    pub fn new(skip_special: bool) -> Self {
        Self { skip_special, ..Self::default() }
    }

    /// Special tokens with these ids add their text nevertheless.
    pub fn showing(self, ids: &[u32]) -> Self {
        Self { shown: ids.to_vec(), ..self }
    }

    /// Takes the next id and returns the text that it completes, often empty. All ids of one text have to
    /// come with the same `tokenizer`.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String> {
        let skip_special = self.skip_special && !self.shown.contains(&id);
        let Some(piece) = tokenizer.piece(id, skip_special) else { return Ok(String::new()) };
        match tokenizer.plan {
            DecoderPlan::Spaced => {
                let text = if self.started { format!(" {piece}") } else { piece };
                self.started = true;
                Ok(text)
            }
            DecoderPlan::ByteLevel => {
                byte_level::push_bytes(&piece, &mut self.bytes);
                Ok(byte_level::take_text(&mut self.bytes))
            }
            DecoderPlan::Segments { byte_fallback, start } => {
                let ends_segment = !(byte_fallback && is_byte_piece(&piece));
                self.pieces.push(piece);
                if ends_segment { self.take_segment(tokenizer, start) } else { Ok(String::new()) }
            }
            DecoderPlan::Whole => {
                self.pieces.push(piece);
                Ok(String::new())
            }
        }
    }

    /// Whoever reads has what came so far, as the prompt is before an answer: of what was held back nothing is text from now
    /// on but an unfinished character, which the next ids may complete.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn begin_after(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        match tokenizer.plan {
            DecoderPlan::Spaced | DecoderPlan::ByteLevel => {}
            DecoderPlan::Segments { .. } => {
                // These are bytes: a run that no other token has ended.
                let bytes: Vec<u8> = self.pieces.iter().filter_map(|piece| byte_of(piece)).collect();
                let rest = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
                let whole = bytes.len() - if is_unfinished(rest) { rest.len() } else { 0 };
                self.started |= whole > 0;
                self.pieces.drain(..whole);
            }
            DecoderPlan::Whole => self.before = tokenizer.decode_pieces(self.pieces.clone())?,
        }
        Ok(())
    }

    /// The text that was held back, an unfinished character as U+FFFD. Afterwards the decoder stands at the
    /// start of a new text.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let text = match tokenizer.plan {
            DecoderPlan::Spaced => Ok(String::new()),
            DecoderPlan::ByteLevel => Ok(String::from_utf8_lossy(&self.bytes).into_owned()),
            DecoderPlan::Segments { start, .. } => self.take_segment(tokenizer, start),
            DecoderPlan::Whole => {
                let text = tokenizer.decode_pieces(std::mem::take(&mut self.pieces))?;
                Ok(text.strip_prefix(&self.before).map(str::to_owned).unwrap_or(text))
            }
        };
        *self = Self { shown: std::mem::take(&mut self.shown), ..Self::new(self.skip_special) };
        text
    }

    fn take_segment(&mut self, tokenizer: &Tokenizer, start: Start) -> Result<String> {
        if self.pieces.is_empty() {
            return Ok(String::new());
        }
        let pieces = std::mem::take(&mut self.pieces);
        let first = if self.started { None } else { Some(tokenizer.decode_pieces(pieces.clone())?) };
        let mut anchored = Vec::with_capacity(pieces.len() + 1);
        anchored.push(ANCHOR.to_owned());
        anchored.extend(pieces);
        let mut text = tokenizer.decode_pieces(anchored)?;
        // The plan makes sure that the decoder leaves the anchor as it is.
        if text.starts_with(ANCHOR) {
            text.drain(..ANCHOR.len());
        }
        self.started |= start == Start::Piece || !text.is_empty();
        Ok(first.unwrap_or(text))
    }
}

/// What a piece stands for by itself, in the middle of a text.
pub(super) fn bytes_of(tokenizer: &Tokenizer, piece: String) -> Result<Vec<u8>> {
    match tokenizer.plan {
        DecoderPlan::ByteLevel => {
            let mut bytes = Vec::new();
            byte_level::push_bytes(&piece, &mut bytes);
            Ok(bytes)
        }
        DecoderPlan::Segments { byte_fallback: true, .. } if is_byte_piece(&piece) => {
            Ok(u8::from_str_radix(&piece[3..5], 16).into_iter().collect())
        }
        DecoderPlan::Segments { .. } => {
            let text = tokenizer.decode_pieces(vec![ANCHOR.to_owned(), piece])?;
            Ok(text.strip_prefix(ANCHOR).unwrap_or(&text).as_bytes().to_vec())
        }
        DecoderPlan::Spaced => Ok(format!(" {piece}").into_bytes()),
        DecoderPlan::Whole => Ok(piece.into_bytes()),
    }
}

/// Whether a `ByteFallback` decoder takes `piece` for a byte.
fn is_byte_piece(piece: &str) -> bool {
    byte_of(piece).is_some()
}

/// The byte that a `ByteFallback` decoder takes `piece` for: by the same test as its own.
fn byte_of(piece: &str) -> Option<u8> {
    if piece.len() != 6 || !piece.starts_with("<0x") || !piece.ends_with('>') {
        return None;
    }
    u8::from_str_radix(piece.get(3..5)?, 16).ok()
}

/// Whether more bytes can make a character of these.
fn is_unfinished(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
