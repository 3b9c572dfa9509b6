//! Within a session: the cache of the text before.

use llm_rs2::engine::{EngineError, Request, Session};

use super::{by, generate, options, request, session, text};

/// Each request in turn, in one session and each in a fresh one, with the tokens that are to be reused.
fn same_as_alone(eviction: Option<llm_rs2::kv::Eviction>, lookup: usize, requests: &[(Request, usize)]) {
    let mut together = session(options(eviction, lookup));
    let mut alone = session(options(eviction, lookup));
    for (i, (request, reused)) in requests.iter().enumerate() {
        let with = generate(&mut together, request);
        alone.forget();
        let without = generate(&mut alone, request);
        assert_eq!(without.reused_tokens, 0);
        assert_eq!(with.reused_tokens, *reused, "request {i}");
        assert_eq!(with.ids, without.ids, "request {i}");
        assert_eq!((with.held, with.positions), (without.held, without.positions), "request {i}");
        assert_eq!(with.eviction, without.eviction, "request {i}");
    }
}

/// A prompt that goes on where another's text has ended.
fn behind(prompt: &[u32], answer: &[u32], more: &[u32]) -> Vec<u32> {
    [prompt, answer, more].concat()
}

#[test]
fn what_two_texts_have_in_common_is_computed_once() {
    let prompt = text(40, 1);
    let answer = generate(&mut session(options(None, 0)), &request(&prompt, 12)).ids;
    let next = behind(&prompt, &answer, &text(9, 2));
    let other = [&prompt[..25], &text(20, 3)].concat();
    for lookup in [0, 4] {
        same_as_alone(
            None,
            lookup,
            &[
                (request(&prompt, 12), 0),
                // The last of the answer has not been through the model.
                (request(&next, 7), 40 + 11),
                // Back to an earlier place, and the same once more: all but the last token of the prompt.
                (request(&prompt, 12), 39),
                (request(&prompt, 12), 39),
                (request(&other, 5), 25),
                (request(&prompt[..10], 5), 9),
                (request(&text(30, 7)[1..], 5), 0),
            ],
        );
    }
}

#[test]
fn behind_an_eviction_texts_go_on_and_others_begin_anew() {
    // A window of 64 is left with 48: evictions at 64, 80, 96, ...
    let eviction = Some(by("sliding", 64, 4));
    let prompt = text(70, 5);
    let answer = generate(&mut session(options(eviction, 0)), &request(&prompt, 30)).ids;
    let next = behind(&prompt, &answer, &text(30, 6));
    // 99 tokens have been through the model, the last eviction came at 96.
    let parts_behind = [&next[..97], &text(12, 8)].concat();
    let parts_before = [&next[..95], &text(12, 8)].concat();
    same_as_alone(
        eviction,
        0,
        &[
            (request(&prompt, 30), 0),
            (request(&next, 20), 99),
            (request(&prompt, 30), 0),
            (request(&parts_behind, 3), 97),
            (request(&prompt, 30), 0),
            (request(&parts_before, 3), 0),
        ],
    );
}

#[test]
fn a_prompt_that_is_refused_leaves_the_text_before_as_it_is() {
    let mut session = session(options(None, 0));
    let prompt = text(20, 1);
    let whole = generate(&mut session, &request(&prompt, 5)).ids;
    let mut bad = prompt.clone();
    bad.extend([3, u32::MAX]);
    let error = session.generate(&request(&bad, 5), &mut ()).unwrap_err();
    assert!(matches!(error, EngineError::UnknownToken { id: u32::MAX, vocab: 512, .. }), "{error}");
    let again = generate(&mut session, &request(&prompt, 5));
    assert_eq!((again.ids, again.reused_tokens), (whole, 19));
}

#[test]
fn scores_do_not_depend_on_the_text_before() {
    let mut session = session(options(None, 0));
    let ids = text(20, 1);
    let first = scores(&mut session, &ids);
    generate(&mut session, &request(&ids, 5));
    assert_eq!(scores(&mut session, &ids), first);
    assert_eq!(generate(&mut session, &request(&ids, 5)).reused_tokens, 0, "scoring keeps no text");
}

fn scores(session: &mut Session, ids: &[u32]) -> Vec<f32> {
    let mut all = Vec::new();
    session.score(ids, 0, &mut |_, logits| all.extend_from_slice(logits)).expect("scores");
    all
}

#[test]
fn a_text_goes_on_with_the_random_numbers_behind_those_of_its_beginning() {
    let mut session = session(options(None, 0));
    let prompt = text(20, 1);
    let whole = generate(&mut session, &request(&prompt, 30));
    let first = generate(&mut session, &request(&prompt, 12));
    assert_eq!((whole.draws, first.draws), (30, 12));
    let rest = Request { draws: first.draws, ..request(&behind(&prompt, &first.ids, &[]), 18) };
    let rest = generate(&mut session, &rest);
    assert_eq!(behind(&[], &first.ids, &rest.ids), whole.ids);
    assert_eq!(rest.draws, 30);
}
