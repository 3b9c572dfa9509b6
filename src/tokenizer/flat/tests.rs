//! The flat form against the crate's own model.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BytePairs, FlatForm};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// A byte-pair tokenizer over `abcd` and a letter outside of ASCII, with merges that compete.
fn small(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let tokens = ["a", "b", "c", "d", "é", "ab", "bc", "abc", "cd", "aa", "aaa", "éa", "abcd", "dé", "aab"];
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(i, &t)| (t.to_owned(), i.into())).collect();
    let mut json = json!({
        "version": "1.0",
        "added_tokens": [
            {"id": 15, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
             "normalized": false, "special": true},
            {"id": 5, "content": "ab", "single_word": true, "lstrip": false, "rstrip": false,
             "normalized": false, "special": false},
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocab, "ignore_merges": false, "merges": [
            ["b", "c"], ["a", "a"], ["a", "b"], ["ab", "c"], ["a", "bc"], ["c", "d"], ["aa", "a"], ["é", "a"],
            ["abc", "d"], ["d", "é"], ["a", "ab"], ["ab", "cd"],
        ]},
    });
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

fn both(json: &[u8]) -> (Tokenizer, Tokenizer) {
    let whole = Tokenizer::from_bytes(json, "t").unwrap();
    let form = whole.flat_form().expect("a plain byte-pair model");
    let flat = Tokenizer::from_flat(&form.rest, form.bpe.into(), "t").unwrap();
    (whole, flat)
}

fn assert_same_ids(whole: &Tokenizer, flat: &Tokenizer) {
    assert_eq!((flat.vocab_size(), flat.max_id()), (whole.vocab_size(), whole.max_id()));
    for id in 0..=whole.max_id().unwrap() + 1 {
        assert_eq!(flat.id_to_token(id), whole.id_to_token(id));
        assert_eq!(flat.is_special(id), whole.is_special(id));
        for skip in [false, true] {
            assert_eq!(flat.decode(&[id], skip).unwrap(), whole.decode(&[id], skip).unwrap(), "{id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn small_texts_have_the_same_ids(text in "[abcdéx ]{0,24}(<end>)?[abcd]{0,12}", words: bool) {
        let (whole, flat) = both(&small(|json| json["model"]["ignore_merges"] = words.into()));
        prop_assert_eq!(flat.encode(&text, true).unwrap(), whole.encode(&text, true).unwrap(), "{}", text);
    }
}

/// What becomes of characters that are no tokens, and ids that are none.
fn unusual(unknown: bool, fuse: bool, bytes: bool) -> Vec<u8> {
    small(|json| {
        if unknown {
            json["model"]["unk_token"] = "cd".into();
        }
        json["model"]["fuse_unk"] = fuse.into();
        json["model"]["byte_fallback"] = bytes.into();
        // 'x', and the first byte of 'ü' alone.
        json["model"]["vocab"]["<0x78>"] = 20.into();
        json["model"]["vocab"]["<0xC3>"] = 23.into();
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn unknown_characters_become_the_same(
        text in "[abcdéxüy ]{0,16}(<end>)?[abx]{0,12}", unknown: bool, fuse: bool, bytes: bool
    ) {
        let (whole, flat) = both(&unusual(unknown, fuse, bytes));
        prop_assert_eq!(flat.encode(&text, true).unwrap(), whole.encode(&text, true).unwrap(), "{}", text);
    }
}

#[test]
fn tokenizers_with_holes_are_equal_in_all_else() {
    let (whole, flat) = both(&unusual(true, true, true));
    assert_same_ids(&whole, &flat);
    assert_eq!((flat.max_id(), flat.token_to_id("<0x78>")), (Some(23), Some(20)));
    assert_eq!(flat.id_to_token(21), None);
    // And read back once more.
    let form = flat.flat_form().unwrap();
    let again = Tokenizer::from_flat(&form.rest, form.bpe.into(), "t").unwrap();
    assert_same_ids(&whole, &again);
    assert_eq!(
        again.encode("abcx cdy ab<end>", true).unwrap(),
        whole.encode("abcx cdy ab<end>", true).unwrap()
    );
}

#[test]
fn of_equal_texts_the_last_token_and_of_equal_pairs_the_first_merge_counts() {
    let model = BytePairs {
        tokens: vec![Some("a"), Some("b"), Some("ab"), None, Some("a"), Some("ba"), Some("")],
        merges: vec![[4, 1, 2], [1, 4, 5], [4, 1, 5]],
        ..BytePairs::default()
    };
    let form = FlatForm::new(&json!({}), &model).unwrap();
    let flat = Tokenizer::from_flat(&form.rest, form.bpe.into(), "t").unwrap();
    assert_eq!(flat.encode("aabba", false).unwrap(), [4, 2, 5]);
    assert_eq!((flat.token_to_id("a"), flat.id_to_token(0).as_deref()), (Some(4), Some("a")));
    assert_eq!((flat.id_to_token(3), flat.id_to_token(6), flat.vocab_size()), (None, None, 4));
    let outside = BytePairs { merges: vec![[0, 1, 7]], ..model };
    assert!(FlatForm::new(&json!({}), &outside).is_none());
}

#[test]
fn small_tokenizers_are_equal_in_all_else() {
    let (whole, flat) = both(&small(|_| {}));
    assert_same_ids(&whole, &flat);
    assert_eq!(flat.max_id(), Some(15));
    assert_eq!(flat.token_to_id("<end>"), Some(15));
    assert_eq!(flat.token_to_id("abcd"), Some(12));
    assert_eq!(flat.token_to_id("zzz"), None);
}

#[test]
fn what_the_flat_form_cannot_do_stays_json() {
    for change in [
        |json: &mut Value| json["model"]["unk_token"] = "none of these".into(),
        |json: &mut Value| json["model"]["end_of_word_suffix"] = "d".into(),
        |json: &mut Value| json["model"]["dropout"] = 0.5.into(),
        |json: &mut Value| json["model"]["vocab"]["aab"] = 9999.into(),
        |json: &mut Value| json["model"]["vocab"]["aab"] = 3.into(),
    ] {
        let json = small(change);
        let whole = Tokenizer::from_bytes(&json, "t").unwrap();
        assert!(whole.flat_form().is_none(), "{}", String::from_utf8_lossy(&json));
    }
}

#[test]
fn damaged_tables_give_errors_or_other_ids_but_never_a_panic() {
    for json in [small(|_| {}), unusual(true, true, true)] {
        damage(&json);
    }
}

fn damage(json: &[u8]) {
    let form = Tokenizer::from_bytes(json, "t").unwrap().flat_form().unwrap();
    let mut refused = 0;
    for at in 0..form.bpe.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bpe = form.bpe.clone();
            bpe[at] = value;
            match Tokenizer::from_flat(&form.rest, bpe.into(), "t") {
                Ok(t) => {
                    drop((t.encode("abcd aab éabc x üy <end>", true), t.decode(&[0, 3, 14, 15, 99], false)))
                }
                Err(e) => {
                    assert!(matches!(e, TokenizerError::BadTokenizer { .. }), "{e}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
    for len in 0..form.bpe.len() {
        assert!(Tokenizer::from_flat(&form.rest, form.bpe[..len].to_vec().into(), "t").is_err(), "{len}");
    }
    for rest in [&b""[..], b"7", b"{\"added_tokens\": 3}", b"{\"decoder\": {\"type\": \"None\"}}"] {
        assert!(Tokenizer::from_flat(rest, form.bpe.clone().into(), "t").is_err());
    }
}

/// Letters, digits, spaces, newlines, punctuation, emoji, accents and CJK, mixed.
fn mixed_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-zA-Z']{1,12}",
        "[0-9]{1,9}",
        "[ \t]{1,5}",
        "[\r\n]{1,3}",
        "[.,;:!?(){}\\[\\]=+*/<>-]{1,6}",
        "\\PC{1,4}",
        "(the|of|ing|tion|don't|I'll|Hello|world|<\\|eot_id\\|>|<\\|begin_of_text\\|>)",
        "[áéíóúñçüß日本語中文🦙😀]{1,6}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

#[test]
fn llama3_is_equal_in_every_token_and_on_many_texts() {
    let test = "llama3_is_equal_in_every_token_and_on_many_texts";
    let Some(dir) = crate::skip::shared(test, "tokenizers/llama3") else { return };
    let json = std::fs::read(dir.join("tokenizer.json")).unwrap();
    let (whole, flat) = both(&json);
    assert_same_ids(&whole, &flat);
    let inputs = std::fs::read_to_string(dir.join("cases.inp")).unwrap();
    let outputs = std::fs::read_to_string(dir.join("cases.out")).unwrap();
    let texts = inputs.split("__ggml_vocab_test__\n").map(|t| t.strip_suffix('\n').unwrap_or(t));
    for (text, line) in texts.zip(outputs.split('\n')) {
        let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(flat.encode(text, false).unwrap(), ids, "{text:?}");
        assert_eq!(flat.decode(&ids, false).unwrap(), text);
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&mixed_text(), |text| {
        let ids = whole.encode(&text, true).unwrap();
        prop_assert_eq!(flat.encode(&text, true).unwrap(), ids.clone());
        prop_assert_eq!(flat.decode(&ids, true).unwrap(), whole.decode(&ids, true).unwrap());
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
}
