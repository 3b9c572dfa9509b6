//! The tokenizer against published cases, and streaming against the decoding of the whole.

use super::*;
use crate::skip::shared;

fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut stream = StreamDecoder::new(skip_special);
    let mut text: String = ids.iter().map(|&id| stream.push(tokenizer, id).unwrap()).collect();
    text += &stream.finish(tokenizer).unwrap();
    text
}

/// A small multiplicative generator: tests have to be the same on every run.
fn pseudo_random(state: &mut u64, bound: u32) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) % u64::from(bound)) as u32
}

fn assert_streaming_equals_whole_on_random_ids(tokenizer: &Tokenizer, sequences: usize) {
    let mut state = 7;
    let beyond = tokenizer.max_id().unwrap() + 3; // ids that name nothing, too
    for n in 0..sequences {
        let len = 1 + pseudo_random(&mut state, 40);
        let ids: Vec<u32> = (0..len).map(|_| pseudo_random(&mut state, beyond)).collect();
        let skip = n % 2 == 0;
        assert_eq!(streamed(tokenizer, &ids, skip), tokenizer.decode(&ids, skip).unwrap(), "{ids:?}");
    }
}

fn assert_every_id_decodes(tokenizer: &Tokenizer) {
    for id in 0..=tokenizer.max_id().unwrap() + 1 {
        assert_eq!(streamed(tokenizer, &[id], false), tokenizer.decode(&[id], false).unwrap(), "{id}");
    }
}

/// A word-level tokenizer with the given decoder and post-processor, as JSON.
fn word_level(vocab: &[&str], decoder: &str, post_processor: &str) -> String {
    let vocab: serde_json::Map<String, serde_json::Value> =
        vocab.iter().enumerate().map(|(i, &t)| (t.to_owned(), i.into())).collect();
    let vocab = serde_json::Value::Object(vocab);
    format!(
        r#"{{"version": "1.0", "added_tokens": [{{"id": 0, "content": "<s>", "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true}}], "normalizer": null,
            "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "post_processor": {post_processor},
            "decoder": {decoder},
            "model": {{"type": "WordLevel", "vocab": {vocab}, "unk_token": "<s>"}}}}"#
    )
}

fn parse(json: &str) -> Result<Tokenizer> {
    Tokenizer::from_bytes(json.as_bytes(), "some/tokenizer.json")
}

const BOS_TEMPLATE: &str = r#"{"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}"#;

#[test]
fn llama3_matches_the_published_cases_and_streams() {
    let test = "llama3_matches_the_published_cases_and_streams";
    let Some(dir) = shared(test, "tokenizers/llama3") else { return };
    let tokenizer = Tokenizer::from_file(&dir.join("tokenizer.json")).unwrap();
    let inputs = std::fs::read_to_string(dir.join("cases.inp")).unwrap();
    let outputs = std::fs::read_to_string(dir.join("cases.out")).unwrap();
    // Each text ends with a newline of the file's own; the separator's line has another.
    let texts: Vec<&str> =
        inputs.split("__ggml_vocab_test__\n").map(|t| t.strip_suffix('\n').unwrap_or(t)).collect();
    let expected: Vec<Vec<u32>> = outputs
        .split('\n')
        .map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect())
        .collect();
    // 46 texts and, after the last separator and the last newline, the empty one.
    assert_eq!((texts.len(), expected.len()), (47, 47));
    for (text, ids) in texts.iter().zip(&expected) {
        assert_eq!(&tokenizer.encode(text, false).unwrap(), ids, "{text:?}");
        assert_eq!(&tokenizer.decode(ids, false).unwrap(), text);
        assert_eq!(&streamed(&tokenizer, ids, false), text);
    }

    assert_eq!((tokenizer.vocab_size(), tokenizer.max_id()), (128_256, Some(128_255)));
    assert_eq!(tokenizer.token_to_id("<|eot_id|>"), Some(128_009));
    assert_eq!(tokenizer.id_to_token(128_000).as_deref(), Some("<|begin_of_text|>"));
    assert!(tokenizer.is_special(128_009) && !tokenizer.is_special(5) && !tokenizer.is_special(999_999));
    let config = TokenizerConfig::default();
    assert_eq!(tokenizer.encode("Hello world<|eot_id|>", true).unwrap(), [128_000, 9906, 1917, 128_009]);
    assert_eq!(tokenizer.encode_prompt("Hello", Some(128_000), &config).unwrap(), [128_000, 9906]);
    let doubled = "<|begin_of_text|>Hello";
    assert_eq!(tokenizer.encode_prompt(doubled, Some(128_000), &config).unwrap(), [128_000, 9906]);
    assert_eq!(tokenizer.decode(&[9906, 128_009, 1917], true).unwrap(), "Hello world");
    assert_eq!(tokenizer.decode(&[9906, 128_009, 1917], false).unwrap(), "Hello<|eot_id|> world");

    assert_every_id_decodes(&tokenizer);
    assert_streaming_equals_whole_on_random_ids(&tokenizer, 4000);
}

#[test]
fn llama3_streams_a_character_as_soon_as_its_last_byte_is_there() {
    let test = "llama3_streams_a_character_as_soon_as_its_last_byte_is_there";
    let Some(path) = shared(test, "tokenizers/llama3/tokenizer.json") else { return };
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    let mut stream = StreamDecoder::new(true);
    for text in ["🦙", "𠮷"] {
        let ids = tokenizer.encode(text, false).unwrap();
        assert!(ids.len() > 1);
        let pieces: Vec<String> = ids.iter().map(|&id| stream.push(&tokenizer, id).unwrap()).collect();
        assert_eq!(pieces.last().unwrap(), text);
        assert!(pieces[..pieces.len() - 1].iter().all(String::is_empty));
    }
    let half = tokenizer.encode("🦙", false).unwrap()[0];
    assert_eq!(stream.push(&tokenizer, half).unwrap(), "");
    assert_eq!(stream.finish(&tokenizer).unwrap(), "\u{fffd}");
    assert_eq!(stream.finish(&tokenizer).unwrap(), "");
}

#[test]
fn stories260k_decodes_and_streams() {
    let test = "stories260k_decodes_and_streams";
    let Some(path) = shared(test, "models/stories260k/tokenizer.json") else { return };
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    let config = TokenizerConfig::from_dir(path.parent().unwrap()).unwrap();
    assert_eq!(config.bos_token.as_deref(), Some("<s>"));
    assert_eq!(tokenizer.max_id(), Some(511));
    for text in ["Once upon a time", " two  spaces ", "日本 🦙!\n\n", "<s>x", ""] {
        let ids = tokenizer.encode_prompt(text, Some(1), &config).unwrap();
        assert_eq!(ids.iter().take_while(|&&id| id == 1).count(), 1, "{text:?}: {ids:?}");
        assert_eq!(streamed(&tokenizer, &ids, true), tokenizer.decode(&ids, true).unwrap());
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), text.trim_start_matches("<s>"));
    }
    assert_every_id_decodes(&tokenizer);
    assert_streaming_equals_whole_on_random_ids(&tokenizer, 4000);
}

#[test]
fn streaming_equals_the_whole_for_each_family_of_decoders() {
    let vocab =
        ["<s>", "▁", "▁a", "b▁", "", "<0xE6>", "<0x97>", "<0xA5>", "<0x20>", "##c", "d", "d", "▁▁", "e</w>"];
    let mut vocab: Vec<String> = vocab.iter().map(|&s| s.to_owned()).collect();
    vocab[11] = "\u{1}x".to_owned();
    let vocab: Vec<&str> = vocab.iter().map(String::as_str).collect();
    let replace = r#"{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}"#;
    let strip = r#"{"type": "Strip", "content": " ", "start": 1, "stop": 0}"#;
    let (bytes, fuse) = (r#"{"type": "ByteFallback"}"#, r#"{"type": "Fuse"}"#);
    let metaspace = |scheme| {
        format!(r#"{{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "{scheme}", "split": true}}"#)
    };
    let sequence = |steps: &[&str]| format!(r#"{{"type": "Sequence", "decoders": [{}]}}"#, steps.join(","));
    let byte_level =
        r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#;
    let decoders = [
        ("null".to_owned(), false),
        (sequence(&[replace, bytes, fuse, strip]), false),
        (sequence(&[replace, bytes, fuse]), false),
        (sequence(&[bytes, fuse, replace]), false),
        (sequence(&[&metaspace("always"), bytes, fuse]), false),
        (metaspace("first"), false),
        (metaspace("never"), false),
        (byte_level.to_owned(), false),
        (sequence(&[byte_level]), false),
        (strip.to_owned(), true),
        (sequence(&[&metaspace("always"), fuse, strip]), true),
        (sequence(&[bytes, &metaspace("always")]), true),
        (r###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###.to_owned(), true),
        (r#"{"type": "BPEDecoder", "suffix": "</w>"}"#.to_owned(), true),
        (
            r#"{"type": "CTC", "pad_token": "d", "word_delimiter_token": "▁", "cleanup": true}"#.to_owned(),
            true,
        ),
    ];
    for (decoder, whole) in decoders {
        let tokenizer = parse(&word_level(&vocab, &decoder, "null")).unwrap();
        assert_eq!(tokenizer.plan == DecoderPlan::Whole, whole, "{decoder}");
        assert_eq!(tokenizer.decode(&[0], true).unwrap(), "");
        assert_streaming_equals_whole_on_random_ids(&tokenizer, 2000);
    }
}

/// What belongs to the prompt is no part of the answer, though it is held back until the answer's first token.
#[test]
fn a_text_begins_after_its_prompt() {
    let sequence = r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}]}"#;
    let vocab = ["a", "<0x0A>", "<0xE6>", "<0x97>", "<0xA5>"];
    let bytes = parse(&word_level(&vocab, sequence, "null")).unwrap();
    let after = |tokenizer: &Tokenizer, prompt: &[u32], ids: &[u32]| {
        let mut stream = StreamDecoder::new(true);
        prompt.iter().for_each(|&id| drop(stream.push(tokenizer, id).unwrap()));
        stream.begin_after(tokenizer).unwrap();
        let text: String = ids.iter().map(|&id| stream.push(tokenizer, id).unwrap()).collect();
        text + &stream.finish(tokenizer).unwrap()
    };
    assert_eq!(after(&bytes, &[0, 1], &[0]), "a", "a line's end that a byte stands for");
    assert_eq!(after(&bytes, &[0, 1], &[1, 0]), "\na");
    assert_eq!(after(&bytes, &[0, 1, 2, 3], &[4, 0]), "日a", "a character that the prompt has begun");
    assert_eq!(after(&bytes, &[0, 2, 3, 4, 1], &[0, 1]), "a\n");
    assert_eq!(after(&bytes, &[0, 2, 1], &[0]), "a", "an unfinished character that nothing can complete");
    let words = r###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###;
    let whole = parse(&word_level(&["a", "b", "##c"], words, "null")).unwrap();
    assert_eq!(whole.plan, DecoderPlan::Whole);
    assert_eq!(after(&whole, &[0, 1], &[2, 1]), "c b");
}

#[test]
fn bos_comes_once() {
    let vocab = ["<s>", "a", "b"];
    let says = |add_bos_token| TokenizerConfig { add_bos_token, ..TokenizerConfig::default() };
    let adds = parse(&word_level(&vocab, "null", BOS_TEMPLATE)).unwrap();
    let adds_none = parse(&word_level(&vocab, "null", "null")).unwrap();
    for (tokenizer, text, bos, config, expected) in [
        (&adds, "a b", Some(0), None, &[0, 1, 2][..]),
        (&adds, "a b", Some(0), Some(false), &[0, 1, 2]),
        (&adds, "<s> a", Some(0), Some(true), &[0, 1]),
        (&adds, "<s> a", None, Some(true), &[0, 0, 1]),
        (&adds_none, "a b", Some(0), None, &[1, 2]),
        (&adds_none, "a b", Some(0), Some(true), &[0, 1, 2]),
        (&adds_none, "<s> a", Some(0), Some(true), &[0, 1]),
        (&adds_none, "", Some(0), Some(true), &[0]),
    ] {
        assert_eq!(tokenizer.encode_prompt(text, bos, &says(config)).unwrap(), expected, "{text} {config:?}");
    }
}

#[test]
fn truncation_and_padding_of_the_file_do_not_apply() {
    let json = word_level(&["<s>", "a"], "null", "null").replacen(
        '{',
        r#"{"truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<s>"},"#,
        1,
    );
    assert_eq!(parse(&json).unwrap().encode("a a a", true).unwrap(), [1, 1, 1]);
}

#[test]
fn a_bad_file_gives_one_sentence_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let check = || {
        let message = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(message.contains(&path.display().to_string()) && !message.contains('\n'), "{message}");
        message
    };
    assert!(check().starts_with("cannot read"));
    let vocab = ["<s>", "a"];
    let undefined = BOS_TEMPLATE.replace(r#""special_tokens": {"<s>""#, r#""special_tokens": {"<t>""#);
    let from_end =
        r#"{"type": "Sequence", "decoders": [{"type": "Strip", "content": " ", "start": 0, "stop": 1}]}"#;
    for bad in [
        "",
        "not JSON",
        "[]",
        "{}",
        r#"{"model": {"type": "BPE"}}"#,
        r#"{"version": "1.0", "model": {"type": "BPE", "vocab": {"ab": 0, "cd": 1}, "merges": ["ab cd"]}}"#,
        r#"{"version": "1.0", "model": {"type": "Nonesuch", "vocab": {}}}"#,
        &word_level(&vocab, r#"{"type": "Nonesuch"}"#, "null"),
        &word_level(&vocab, from_end, "null"),
        &word_level(&vocab, "null", &undefined),
        &word_level(&vocab, "null", &BOS_TEMPLATE.replacen(r#""id": "A""#, r#""id": "B""#, 1)),
        &word_level(&vocab, "null", "null").replace(r#""unk_token": "<s>""#, r#""unk_token": 3"#),
    ] {
        std::fs::write(&path, bad).unwrap();
        check();
    }
    std::fs::write(&path, [0xff, 0x00]).unwrap();
    check();
}
