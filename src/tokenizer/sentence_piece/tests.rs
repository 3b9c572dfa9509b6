//! Files of SentencePiece's. `scripts/make_sentence_piece_cases.py` trains them, and says what the library makes of texts.

use serde::Deserialize;

use crate::tokenizer::{Tokenizer, TokenizerError};

/// What that script writes.
#[derive(Deserialize)]
struct Cases {
    texts: Vec<String>,
    models: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The file in base 64.
    file: String,
    /// Of each text.
    ids: Vec<Vec<u32>>,
    /// What the ids are decoded to.
    decoded: Vec<String>,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("cases.json")).unwrap()
}

fn file(case: &Case) -> Vec<u8> {
    crate::tokenizer::charsmap::decode(&case.file).unwrap()
}

#[test]
fn models_give_the_ids_of_the_library() {
    let cases = cases();
    assert!(cases.models.len() >= 5);
    for case in &cases.models {
        let tokenizer = Tokenizer::from_sentence_piece(&file(case), false, &case.name).unwrap();
        for ((text, ids), decoded) in cases.texts.iter().zip(&case.ids).zip(&case.decoded) {
            assert_eq!(tokenizer.encode(text, true).unwrap(), *ids, "{}: {text:?}", case.name);
            // The library prints a sign for the unknown piece, which transformers spells.
            if !ids.contains(&0) {
                assert_eq!(tokenizer.decode(ids, false).unwrap(), *decoded, "{}", case.name);
            }
        }
        let begun = Tokenizer::from_sentence_piece(&file(case), true, &case.name).unwrap();
        assert_eq!(begun.encode("a", true).unwrap()[0], begun.token_to_id("<s>").unwrap(), "{}", case.name);
        assert!(begun.is_special(1) && begun.encode("x</s>", false).unwrap().contains(&2));
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    for case in &cases().models {
        let whole = file(case);
        let read = |bytes: &[u8]| match Tokenizer::from_sentence_piece(bytes, true, "tokenizer.model") {
            Ok(t) => drop((t.encode("Hello <s> wörld ﬁ", true), t.decode(&[0, 3, 9], false))),
            Err(e) => {
                let known =
                    matches!(e, TokenizerError::BadModel { .. } | TokenizerError::BadTokenizer { .. });
                assert!(known && !e.to_string().contains('\n'), "{e}");
            }
        };
        // The pieces come first, the settings and the table of characters last.
        for at in
            (0..whole.len()).step_by(whole.len() / 300).chain(whole.len().saturating_sub(120)..whole.len())
        {
            read(&whole[..at]);
            for value in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                read(&bytes);
            }
        }
    }
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let refused = |bytes: &[u8], says: &str| {
        let message =
            Tokenizer::from_sentence_piece(bytes, true, "DIR/tokenizer.model").unwrap_err().to_string();
        assert!(message.starts_with("'DIR/tokenizer.model' is not a usable tokenizer.model"), "{message}");
        assert!(message.contains(says), "{message}");
    };
    refused(b"", "it has no pieces");
    refused(&[0x0a], "a field claims 1 bytes where 0 are left");
    refused(
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1],
        "a field claims 9223372036854775807 bytes",
    );
    refused(&[0xff; 11], "a number has more than 64 bits");
    refused(b"\x0f", "a field has the unknown type 7");
    refused(b"\x0a\x03\x0a\x01\xff", "a piece is not UTF-8");
    // One piece, and a model by words.
    refused(b"\x0a\x03\x0a\x01a\x12\x02\x18\x03", "its model is of the type 3");
    refused(b"\x0a\x03\x0a\x01a\x12\x03\xc0\x01\x01", "it marks spaces otherwise");
    refused(b"\x0a\x03\x0a\x01a\x1a\x03\x12\x01z", "its table of replaced characters is damaged");
}
