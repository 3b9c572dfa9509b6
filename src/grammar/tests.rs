//! Constraints over tokenizers.

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

pub(super) fn bytes() -> Grammars {
    Grammars::of_bytes().unwrap()
}

/// Prints what a test has found out, past the harness.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether a text is all that a constraint asks for, taken in byte by byte.
pub(super) fn accepts(matcher: &Matcher, text: &str) -> bool {
    let mut matcher = matcher.deep_clone();
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    let accepted = matcher.try_consume_tokens(&bytes).unwrap_or(0);
    accepted == bytes.len() && matcher.is_accepting().unwrap_or(false)
}

/// A tokenizer of GPT-2's kind: a token for each byte, a few words, and tokens that are no text.
fn tokenizer() -> Arc<Tokenizer> {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255_u8 {
        let spelled = match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                let before =
                    (0..byte).filter(|b| !matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)).count();
                char::from_u32(256 + before as u32).unwrap()
            }
        };
        vocab.insert(spelled.to_string(), json!(byte));
    }
    vocab.insert("tr".into(), json!(256));
    vocab.insert("ue".into(), json!(257));
    vocab.insert("true".into(), json!(258));
    vocab.insert("\"}".into(), json!(259));
    let added = |id: u32, content: &str, special: bool| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special});
    let json = json!({
        "added_tokens": [
            added(260, "<|end|>", true), added(261, "<|stop|>", true), added(262, "<think>", false),
            added(263, "</think>", false), added(264, "true!", true),
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["t r", "u e", "tr ue", "\" }"]},
    });
    Arc::new(Tokenizer::from_bytes(json.to_string().as_bytes(), "test").unwrap())
}

/// For 270 tokens, of which the last have no text.
fn grammars() -> Grammars {
    Grammars::new(tokenizer(), &[260, 261], 270)
}

fn ids(set: &[u32]) -> Vec<u32> {
    (0..set.len() as u32 * 32).filter(|id| set[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

fn allowed(mask: &mut dyn Mask) -> Vec<u32> {
    ids(mask.allowed().unwrap().expect("a set"))
}

fn begin(constraint: Constraint, reasoning: Option<ReasoningStart>) -> Box<dyn Mask> {
    grammars().rule(&constraint, reasoning).unwrap().begin().unwrap()
}

const END: [u32; 2] = [260, 261];

#[test]
fn a_text_goes_on_with_what_the_constraint_allows() {
    let mut mask = begin(Constraint::Regex("(true|t[0-9])x*".into()), None);
    // "t", "tr", "true", but not the special token of which these are a beginning.
    assert_eq!(allowed(mask.as_mut()), [u32::from(b't'), 256, 258]);
    assert_eq!(allowed(mask.as_mut()), [u32::from(b't'), 256, 258], "asked for again");
    mask.accept(256).unwrap();
    assert_eq!(allowed(mask.as_mut()), [u32::from(b'u'), 257]);
    mask.accept(257).unwrap();
    assert!(!mask.is_finished());
    assert_eq!(allowed(mask.as_mut()), [&[u32::from(b'x')], &END[..]].concat());
    assert!(mask.accept(u32::from(b'y')).is_err());
    let mut mask = begin(Constraint::JsonSchema(json!({"const": true})), None);
    mask.accept(258).unwrap();
    assert!(mask.is_finished(), "nothing but the end may come");
    assert_eq!(allowed(mask.as_mut()), END);
}

#[test]
fn tokens_that_are_no_text_are_never_part_of_one() {
    let mut mask = begin(Constraint::Regex("(?s:.)*".into()), None);
    let set = allowed(mask.as_mut());
    assert_eq!(
        set.iter().filter(|id| **id >= 256).copied().collect::<Vec<_>>(),
        [256, 257, 258, 259, 260, 261, 262, 263]
    );
    let mut mask = begin(Constraint::Regex("<\\|end\\|>".into()), None);
    assert_eq!(allowed(mask.as_mut()), [u32::from(b'<')]);
    // What is text cannot be named as if it were not.
    assert!(grammars().rule(&Constraint::Lark("start: <think> \"a\"".into()), None).is_err());
    let mut mask = begin(Constraint::Lark("start: <[264]> \"a\"".into()), None);
    assert_eq!(allowed(mask.as_mut()), [264], "where a grammar names one");
}

#[test]
fn a_copy_goes_its_own_way() {
    let rule = grammars().rule(&Constraint::Regex("ab|ac".into()), None).unwrap();
    let (mut a, mut b) = (rule.begin().unwrap(), rule.begin().unwrap());
    a.accept(u32::from(b'a')).unwrap();
    a.accept(u32::from(b'b')).unwrap();
    assert!(a.is_finished() && !b.is_finished());
    assert_eq!(allowed(b.as_mut()), [u32::from(b'a')]);
}

#[test]
fn a_constraint_holds_after_the_reasoning() {
    let text = |text: &str| text.bytes().map(u32::from).collect::<Vec<_>>();
    let constraint = Constraint::Regex("true".into());
    let begun = ReasoningStart::Begun { end: "</think>" };
    let mut mask = begin(constraint.clone(), Some(begun.clone()));
    let free: Vec<u32> = (0..288).filter(|id| !END.contains(id)).collect();
    assert_eq!(allowed(mask.as_mut()), free, "all but the end");
    text("a <think").into_iter().chain([262, 256]).for_each(|id| mask.accept(id).unwrap());
    assert_eq!(allowed(mask.as_mut()), free);
    mask.accept(263).unwrap();
    assert_eq!(allowed(mask.as_mut()), [u32::from(b't'), 256, 258]);
    mask.accept(258).unwrap();
    assert!(mask.is_finished());
    // In parts, the last of which is more than the marker.
    let mut mask = begin(constraint.clone(), Some(begun));
    text("x</th</think>").into_iter().for_each(|id| mask.accept(id).unwrap());
    assert_eq!(allowed(mask.as_mut()), [u32::from(b't'), 256, 258]);
    // The model may begin with it, or not.
    let markers = vec![("<think>", "</think>"), ("no token", "x")];
    let possible = ReasoningStart::Possible { markers };
    let mut mask = begin(constraint.clone(), Some(possible.clone()));
    assert_eq!(allowed(mask.as_mut()), [u32::from(b't'), 256, 258, 262]);
    mask.accept(262).unwrap();
    assert_eq!(allowed(mask.as_mut()), free);
    mask.accept(263).unwrap();
    assert_eq!(allowed(mask.as_mut()), [u32::from(b't'), 256, 258]);
    let mut mask = begin(constraint, Some(possible));
    mask.accept(256).unwrap();
    assert_eq!(allowed(mask.as_mut()), [u32::from(b'u'), 257]);
}

#[test]
fn what_cannot_be_followed_is_one_sentence() {
    let error =
        |constraint: Constraint| bytes().matcher(&constraint).err().map(|error| error.to_string()).unwrap();
    for (constraint, part) in [
        (Constraint::Regex("a(".into()), "regular expression"),
        (Constraint::Lark("start: b".into()), "unknown name"),
        (Constraint::Lark("begin: \"b\"".into()), "start"),
        (Constraint::Lark("start: %json {\"not\": {}}".into()), "'not'"),
        (Constraint::Lark("start: %json {\"x-guidance\": {\"lenient\": true}}".into()), "x-guidance"),
        (Constraint::Gbnf("a ::= \"b\"".into()), "root"),
        (Constraint::Gbnf("root ::= root \"a\"".into()), "no text"),
        (Constraint::JsonSchema(json!({"$ref": "#"})), "no text"),
        (Constraint::JsonSchema(json!({"not": {}})), "'not'"),
        (Constraint::JsonSchema(json!(false)), "false"),
        (Constraint::JsonSchema(json!({"enum": []})), "schema"),
        (Constraint::JsonSchema(json!({"type": "string", "pattern": "(?=a)"})), "schema"),
    ] {
        let error = error(constraint);
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

/// As a schema or a grammar of an attacker: it ends, with a sentence or a matcher, in a moment and little memory.
#[test]
fn what_is_hostile_ends_soon() {
    let nested = |depth: usize| {
        let inner = json!({"type": "string"});
        (0..depth).fold(inner, |inner, _| json!({"type": "array", "items": inner}))
    };
    let chain: serde_json::Map<String, Value> = (0..4000)
        .map(|i| {
            (format!("d{i}"), json!({"type": "array", "items": {"$ref": format!("#/$defs/d{}", i + 1)}}))
        })
        .chain([("d4000".to_owned(), json!({"type": "null"}))])
        .collect();
    let optional: serde_json::Map<String, Value> = (0..3000).map(|i| (format!("p{i}"), json!({}))).collect();
    let choices: Vec<Value> =
        (0..30).map(|i| json!({"anyOf": [{"minimum": i}, {"maximum": -i}, {"multipleOf": i + 1}]})).collect();
    let rules: String = (0..8000).map(|i| format!("r{i}: r{}\n", i + 1)).collect();
    let doubling: String = (0..60).map(|i| format!("r{i} ::= r{} r{}\n", i + 1, i + 1)).collect();
    let groups = format!("root ::= {}\"a\"{}", "(".repeat(5000), ")".repeat(5000));
    let ambiguous = "root ::= (root root | \"a\" | \"\")*";
    let all = [
        Constraint::JsonSchema(nested(60)),
        Constraint::JsonSchema(json!({"$ref": "#/$defs/d0", "$defs": chain})),
        Constraint::JsonSchema(json!({"$ref": "#"})),
        Constraint::JsonSchema(json!({"allOf": [{"$ref": "#"}]})),
        Constraint::JsonSchema(
            json!({"type": "object", "properties": optional, "additionalProperties": false}),
        ),
        Constraint::JsonSchema(json!({"allOf": choices})),
        Constraint::JsonSchema(json!({"type": "array", "minItems": 1_000_000_000_u64})),
        Constraint::JsonSchema(
            json!({"type": "array", "minItems": 100_000, "items": {"type": "array", "minItems": 100_000}}),
        ),
        Constraint::JsonSchema(json!({"type": "string", "minLength": 100_000, "maxLength": 100_000})),
        Constraint::JsonSchema(json!({"type": "string", "pattern": "^(a+)+(b?){500}(.*x.*){30}$"})),
        Constraint::JsonSchema(json!({"type": "string", "pattern": "^((.{1,1000}){1,1000}){1,1000}$"})),
        Constraint::JsonSchema(
            json!({"type": "integer", "multipleOf": 1_000_003, "minimum": 1, "maximum": 1_000_000_000}),
        ),
        Constraint::JsonSchema(json!({"enum": (0..100_000).map(|i| format!("word{i}")).collect::<Vec<_>>()})),
        Constraint::Lark(format!("start: r0\n{rules}r8000: \"a\"\n")),
        Constraint::Lark(format!("start: {}\"a\"{}", "(".repeat(10_000), ")".repeat(10_000))),
        Constraint::Lark("start: /((a{1,1000}){1,1000}){1,1000}/".into()),
        Constraint::Gbnf(rules.replace(':', " ::=").replace("r0 ", "root ") + "r8000 ::= \"a\""),
        Constraint::Gbnf(doubling.replace("r0 ", "root ") + "r60 ::= [a-z]"),
        Constraint::Gbnf(groups),
        Constraint::Gbnf(ambiguous.into()),
        Constraint::Gbnf("root ::= ((\"a\"{0,10000} \"b\"){0,10000} \"c\"){0,10000}".into()),
        Constraint::Gbnf("root ::= ([a-z]{0,9999} root){0,9999}".into()),
        Constraint::Regex("(a|b|ab)*c{0,5000}(.*d){100}".into()),
        Constraint::Regex(format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000))),
    ];
    let grammars = bytes();
    for (i, constraint) in all.iter().enumerate() {
        let start = std::time::Instant::now();
        let compiled = grammars.matcher(constraint);
        let result = compiled.and_then(|matcher| {
            let mut mask = TextMask::new(matcher);
            for _ in 0..40 {
                let set = mask.allowed().map_err(|error| GrammarError(error.0))?;
                let Some(&id) = set.map(ids).unwrap_or_default().iter().find(|id| **id < 256) else { break };
                mask.accept(id).map_err(|error| GrammarError(error.0))?;
            }
            Ok(())
        });
        let took = start.elapsed();
        assert!(took.as_secs() < 20, "{i}: {took:?}");
        if let Err(error) = result {
            assert!(error.0.len() < 700 && !error.0.contains('\n'), "{error}");
        }
    }
}

/// With a vocabulary of 128,256 tokens; prints what a step costs.
#[test]
fn a_large_vocabulary_is_followed_quickly() {
    let test = "a_large_vocabulary_is_followed_quickly";
    let Some(path) = crate::skip::shared(test, "tokenizers/llama3/tokenizer.json") else { return };
    let tokenizer = Arc::new(Tokenizer::from_file(&path).unwrap());
    let vocab = tokenizer.max_id().unwrap() as usize + 1;
    let end = tokenizer.token_to_id("<|eot_id|>").unwrap();
    let grammars = Grammars::new(Arc::clone(&tokenizer), &[end], vocab);
    let start = std::time::Instant::now();
    grammars.factory().unwrap();
    note(&format!("vocabulary of {vocab}: {:?}", start.elapsed()));
    let person = json!({
        "type": "object", "additionalProperties": false, "required": ["name", "age", "tags"],
        "properties": {
            "name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 4},
            "note": {"type": "string", "maxLength": 40},
        },
    });
    let text = r#"{"name": "Lily of the river \u0001 house", "age": 42, "tags": ["red", "blue"], "note": "She has a red ball."}"#;
    let gbnf = include_str!("../../tests/fixtures/grammars/json.gbnf");
    for (name, constraint) in [
        ("schema", Constraint::JsonSchema(person)),
        ("object", Constraint::JsonObject),
        ("gbnf", Constraint::Gbnf(gbnf.into())),
    ] {
        let start = std::time::Instant::now();
        let rule = grammars.rule(&constraint, None).unwrap();
        let compiled = start.elapsed();
        let start = std::time::Instant::now();
        let mut mask = rule.begin().unwrap();
        let begun = start.elapsed();
        let mut times: Vec<f64> = Vec::new();
        let mut taken: Vec<f64> = Vec::new();
        for id in tokenizer.encode(text, false).unwrap() {
            let start = std::time::Instant::now();
            let set = ids(mask.allowed().unwrap().unwrap());
            times.push(start.elapsed().as_secs_f64() * 1e6);
            assert!(set.contains(&id), "{name}: {:?}", tokenizer.id_to_token(id));
            let start = std::time::Instant::now();
            mask.accept(id).unwrap();
            taken.push(start.elapsed().as_secs_f64() * 1e6);
        }
        let first = times[0];
        times.sort_by(f64::total_cmp);
        taken.sort_by(f64::total_cmp);
        let (n, sum) = (times.len(), times.iter().sum::<f64>());
        note(&format!(
            "{name}: compiled {compiled:?}, begun {begun:?}, first set {first:.0} us, {n} sets: mean {:.0} us, median {:.0}, \
             largest {:.0}; a token taken: median {:.0} us, largest {:.0}",
            sum / n as f64,
            times[n / 2],
            times[n - 1],
            taken[n / 2],
            taken[n - 1],
        ));
    }
}
