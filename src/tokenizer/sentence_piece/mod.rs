//! SentencePiece's vocabularies, out of a `tokenizer.model` or a GGUF file, in the form of this program's tokenizers.

mod model_file;
mod protobuf;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Value, json};

use super::assemble::{PieceKind, added_token};
use super::flat::{BytePairs, FlatForm};
pub(super) use model_file::read;

/// What stands for a space.
const SPACE: &str = "\u{2581}";

/// One piece of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece<'a> {
    /// Its text.
    pub text: &'a str,
    /// How good it is: of byte-pair models the better pieces are made first, of unigram models this is a logarithm of a
    /// probability.
    pub score: f32,
    /// What it is for.
    pub kind: PieceKind,
    /// Whether white space after it belongs to it, where a text is cut at it.
    pub rstrip: bool,
}

/// A vocabulary with what is done to a text before its pieces are looked for.
#[derive(Clone, Debug)]
pub struct SentencePiece<'a> {
    /// By id.
    pub pieces: Vec<Piece<'a>>,
    /// The piece for characters that have none.
    pub unknown: Option<u32>,
    /// Whether characters without a piece are spelled in bytes.
    pub byte_fallback: bool,
    /// Whether each part of a text begins with a space.
    pub add_prefix: bool,
    /// Whether spaces at both ends and repeated ones are left out.
    pub remove_extra_spaces: bool,
    /// The table of characters that are replaced by others, as SentencePiece stores it; empty for none.
    pub replacements: &'a [u8],
    /// The `post_processor`.
    pub post_processor: Value,
}

impl SentencePiece<'_> {
    /// A byte-pair model. `None` if it has more than can be counted.
    pub fn byte_pairs(&self) -> Option<FlatForm> {
        self.with_merges(self.merges())
    }

    /// The same with other merges than those that the scores stand for.
    pub fn with_merges(&self, merges: Vec<[u32; 3]>) -> Option<FlatForm> {
        let model = BytePairs {
            tokens: self.pieces.iter().map(|piece| Some(piece.text)).collect(),
            merges,
            whole_words: false,
            byte_fallback: self.byte_fallback,
            unknown: self.unknown,
            fuse_unknown: true,
        };
        FlatForm::new(&self.rest(), &model)
    }

    /// The `tokenizer.json` of a unigram model.
    pub fn unigram(&self) -> Value {
        let vocab: Vec<Value> = self.pieces.iter().map(|piece| json!([piece.text, piece.score])).collect();
        let mut all = self.rest();
        all["version"] = "1.0".into();
        all["model"] = json!({
            "type": "Unigram", "unk_id": self.unknown, "vocab": vocab, "byte_fallback": self.byte_fallback,
        });
        all
    }

    /// All but the model.
    fn rest(&self) -> Value {
        let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
        let mut normalizers = Vec::new();
        if !self.replacements.is_empty() {
            let table = super::charsmap::encode(self.replacements);
            normalizers.push(json!({"type": "Precompiled", "precompiled_charsmap": table}));
        }
        if self.remove_extra_spaces {
            normalizers.push(replace(json!({"Regex": "^ +| +$"}), ""));
            normalizers.push(replace(json!({"Regex": " {2,}"}), " "));
        }
        if self.add_prefix {
            normalizers.push(json!({"type": "Prepend", "prepend": SPACE}));
        }
        normalizers.push(replace(json!({"String": " "}), SPACE));
        let mut decoders = vec![
            replace(json!({"String": SPACE}), " "),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.add_prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let added = self.pieces.iter().enumerate().filter(|(_, piece)| piece.kind.is_added());
        let added: Vec<Value> =
            added.map(|(id, piece)| added_token(id, piece.text, piece.kind, piece.rstrip)).collect();
        json!({
            "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": null,
            "post_processor": self.post_processor,
            "decoder": {"type": "Sequence", "decoders": decoders},
        })
    }

    /// A byte-pair model of SentencePiece's has no merges: of all neighbours it joins those that give the piece with the
    /// highest score. The same as merges, best piece first (as transformers converts such vocabularies).
    fn merges(&self) -> Vec<[u32; 3]> {
        let numbered = || (0u32..).zip(&self.pieces);
        let ids: HashMap<&str, u32> = numbered().map(|(id, piece)| (piece.text, id)).collect();
        let mut found: Vec<(f32, [u32; 3])> = Vec::new();
        for (id, piece) in numbered() {
            if matches!(piece.kind, PieceKind::Control | PieceKind::Unknown | PieceKind::Byte) {
                continue;
            }
            for (at, _) in piece.text.char_indices().skip(1) {
                let (left, right) = piece.text.split_at(at);
                if let Some(&left) = ids.get(left)
                    && let Some(&right) = ids.get(right)
                {
                    found.push((piece.score, [left, right, id]));
                }
            }
        }
        found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        found.into_iter().map(|(_, merge)| merge).collect()
    }
}
