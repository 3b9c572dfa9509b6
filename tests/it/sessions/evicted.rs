//! Texts whose caches give up tokens, interrupted and taken up: as if they had not been.

use std::fs;

use llm_rs2::core::{DType, KvTypes};
use llm_rs2::engine::{Request, SessionOptions, Text};
use llm_rs2::kv::Eviction;

use super::files::{forge, origin, parts};
use super::{by, generate, options, request, session, text};

const POLICIES: [&str; 3] = ["sliding", "streaming", "h2o"];

fn with(eviction: Option<Eviction>, kv_types: KvTypes) -> SessionOptions {
    SessionOptions { kv_types, ..options(eviction, 0) }
}

#[test]
fn a_text_that_was_interrupted_ends_as_one_that_was_not() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (whole, parted) = (dir.path().join("whole.session"), dir.path().join("parted.session"));
    let mixed = KvTypes { k: DType::Q8_0, v: DType::Q4_0 };
    for types in KvTypes::STORED.map(KvTypes::from).into_iter().chain([mixed]) {
        for policy in POLICIES {
            let options = with(Some(by(policy, 32, 4)), types);
            let prompt = text(20, 1);
            let mut alone = session(options);
            let expected = generate(&mut alone, &request(&prompt, 100));
            assert!(expected.eviction.evictions > 8, "{:?}", expected.eviction);
            let said = Text { ids: [&prompt[..], &expected.ids].concat(), draws: 100, ..Text::default() };
            alone.save(&whole, &origin(), &said).expect("saves");
            let mut ids = prompt;
            let mut draws = 0;
            // Without a token evicted; with the cache full; with some evicted; an eviction later; many later.
            for (part, tokens) in [4, 9, 6, 9, 72].into_iter().enumerate() {
                // First in a session that has seen nothing, then in one that has seen something else.
                let mut subject = session(options);
                if part > 0 {
                    if part > 1 {
                        generate(&mut subject, &request(&text(60, 7), 3));
                    }
                    let restored = subject.restore(&parted, &origin()).expect("reads");
                    assert_eq!(restored.refused, None, "{policy} {types}, part {part}");
                    assert_eq!(restored.text.map(|text| text.ids).as_ref(), Some(&ids));
                }
                let outcome = generate(&mut subject, &Request { draws, ..request(&ids, tokens) });
                assert_eq!(outcome.reused_tokens, if part > 0 { ids.len() - 1 } else { 0 }, "part {part}");
                draws = outcome.draws;
                ids.extend(&outcome.ids);
                let text = Text { ids: ids.clone(), draws, ..Text::default() };
                subject.save(&parted, &origin(), &text).expect("saves");
            }
            assert_eq!(ids, said.ids, "{policy} {types}");
            // Keys, values, what is kept unrotated, sums of attention, counts: to the last bit.
            let same = fs::read(&parted).expect("readable") == fs::read(&whole).expect("readable");
            assert!(same, "{policy} {types}: another file");
        }
    }
}

#[test]
fn what_a_policy_goes_by_has_to_be_in_the_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("s.session");
    let types = DType::F16.into();
    let eviction = |name: &str| {
        let numbered = name.split_once(' ');
        numbered.map(|(policy, protected)| by(policy, 32, protected.parse().expect("a number")))
    };
    let lacking = |policy: &str| Some(format!("without what {policy} needs"));
    let short = [
        ("none", "sliding 4", None),
        ("sliding 4", "sliding 2", None),
        ("streaming 4", "none", None),
        ("h2o 4", "sliding 4", None),
        ("h2o 4", "h2o 2", None),
        ("none", "streaming 4", lacking("streaming")),
        ("streaming 4", "streaming 2", lacking("streaming")),
        ("h2o 4", "streaming 4", lacking("streaming")),
        ("sliding 4", "h2o 4", lacking("h2o")),
        ("streaming 4", "h2o 4", lacking("h2o")),
        // Protects nothing, so that there is nothing to turn.
        ("none", "streaming 0", None),
    ];
    let evicted = ["sliding 4", "streaming 4", "h2o 4", "streaming 2", "none"];
    let given_up = Some("given up tokens by another eviction policy".to_owned());
    let evicted = (0..evicted.len() * (evicted.len() - 1)).map(|i| {
        let (from, to) = (i / evicted.len(), i % evicted.len());
        (evicted[from], evicted[to], if from == to { None } else { given_up.clone() })
    });
    let cases = short.into_iter().map(|case| (20, case)).chain(evicted.map(|case| (50, case)));
    for (tokens, (from, to, reason)) in cases {
        let mut subject = session(with(eviction(from), types));
        let first = generate(&mut subject, &request(&text(tokens, 1), 4));
        let ids = [text(tokens, 1), first.ids].concat();
        subject.save(&path, &origin(), &Text { ids: ids.clone(), ..Text::default() }).expect("saves");
        let mut subject = session(with(eviction(to), types));
        let restored = subject.restore(&path, &origin()).expect("reads");
        assert_eq!(restored.text.map(|text| text.ids).as_ref(), Some(&ids), "the text is there always");
        let why = restored.refused.unwrap_or_default();
        match &reason {
            Some(reason) => assert!(why.contains(reason), "{from} to {to}: {why}"),
            None => assert_eq!(why, "", "{from} to {to}"),
        }
        let outcome = generate(&mut subject, &request(&ids, 30));
        let known = if reason.is_some() { 0 } else { ids.len() - 1 };
        assert_eq!(outcome.reused_tokens, known, "{from} to {to}");
        let alone = generate(&mut session(with(eviction(to), types)), &request(&ids, 30));
        assert_eq!((outcome.ids, outcome.eviction), (alone.ids, alone.eviction), "{from} to {to}");
    }
}

#[test]
fn files_of_the_first_version_are_keys_and_values_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("s.session");
    for (policy, refused) in [("sliding", false), ("streaming", true), ("h2o", true)] {
        let options = with(Some(by(policy, 32, 4)), DType::F16.into());
        let mut subject = session(options);
        let first = generate(&mut subject, &request(&text(50, 1), 9));
        let ids = [text(50, 1), first.ids].concat();
        subject.save(&path, &origin(), &Text { ids: ids.clone(), ..Text::default() }).expect("saves");
        let (mut description, ids, cache) = parts(&path);
        let fields = description.as_object_mut().expect("an object");
        let beside = ["unrotated", "received"].map(|name| fields.remove(name).expect("is told"));
        let (held, seen) = subject.tokens();
        assert!(held < seen, "some are evicted");
        // Two vectors of 4 tokens, 2 heads of 64 elements, in each of 3 layers; sums in all layers but the last.
        let bytes = match policy {
            "streaming" => 3 * 2 * 4 * 2 * 64 * 4,
            "h2o" => 2 * held * 8,
            _ => 0,
        };
        let all = 3 * 2 * held * 2 * 64 * 2;
        assert_eq!(cache.len(), all + bytes, "{policy}: {beside:?}");
        forge(&path, &description, &ids, &cache[..all]);
        let restored = subject.restore(&path, &origin()).expect("reads");
        let why = restored.refused.unwrap_or_default();
        assert_eq!(why.contains(&format!("without what {policy} needs")), refused, "{policy}: {why}");
        assert_eq!(subject.tokens(), if refused { (0, 0) } else { (held, seen) });
    }
}
