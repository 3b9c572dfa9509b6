//! Session files that are whole but lie: nothing in them is believed.

use std::fs::{self, File};
use std::path::Path;

use llm_rs2::engine::{Identity, ModelFiles, Origin, Text};
use llm_rs2::format::FormatError;
use llm_rs2::format::session::{self, Found, SessionReader};
use proptest::prelude::*;
use serde_json::Value;

use super::{by, generate, options, request, session as engine, text};

pub fn origin() -> Origin {
    Origin { model: Identity { constants: 7, rows: 8 }, arithmetic: "cpu".to_owned() }
}

/// Writes a file of these parts, with the checksums that they have.
pub fn forge(path: &Path, description: &Value, ids: &[u32], cache: &[u8]) {
    let file = File::create(path).expect("writable");
    let description = description.to_string();
    session::write::<FormatError>(path, &file, description.as_bytes(), ids, cache.len() as u64, |put| {
        put(cache)
    })
    .expect("writes");
}

/// The description, the ids and the cache of a file.
pub fn parts(path: &Path) -> (Value, Vec<u32>, Vec<u8>) {
    let Ok(Found::Session(mut reader)) = SessionReader::open(path) else { panic!("a session file") };
    let (description, ids) = reader.start().expect("reads");
    let mut cache = vec![0; usize::try_from(reader.cache_bytes()).expect("small")];
    reader.fill(&mut cache).expect("reads");
    (serde_json::from_slice(&description).expect("JSON"), ids, cache)
}

#[test]
fn counts_and_names_that_are_wrong_are_refused_and_never_panic() {
    for policy in ["sliding", "streaming", "h2o"] {
        lies_are_refused(policy);
    }
}

fn lies_are_refused(policy: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("s.session");
    let mut session = engine(options(Some(by(policy, 32, 4)), 0));
    let first = generate(&mut session, &request(&text(40, 1), 9));
    let ids = [text(40, 1), first.ids].concat();
    session.save(&path, &origin(), &Text { ids: ids.clone(), ..Text::default() }).expect("saves");
    let (whole, ids, cache) = parts(&path);
    let restored = session.restore(&path, &origin()).expect("reads");
    assert!(restored.refused.is_none() && restored.text.is_some_and(|t| t.ids == ids));
    assert_eq!(session.tokens().1, 48);

    let numbers = ["held", "position", "retained", "unrotated", "received", "seed", "draws"];
    let names = [
        "model",
        "rows",
        "weights",
        "arithmetic",
        "keys",
        "values",
        "eviction",
        "messages",
        "program",
        "spelt",
    ];
    let value = prop_oneof![
        any::<u64>().prop_map(Value::from),
        (0u64..60).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        "[a-z0-9_\u{1b}']{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![prop::sample::select(numbers.to_vec()), prop::sample::select(names.to_vec())];
    // Bits of the cache itself: numbers of any kind, which may be no numbers.
    let flips = prop::collection::vec((0..8 * cache.len(), any::<bool>()), 0..3);
    let change = (prop::collection::vec((key, value), 0..4), 0usize..60, any::<bool>(), flips);
    let session = std::cell::RefCell::new(session);
    let mut runner = proptest::test_runner::TestRunner::default();
    let outcome = runner.run(&change, |(changes, cut, cut_ids, flips)| {
        let mut description = whole.clone();
        for (key, value) in changes {
            description[key] = value;
        }
        let mut cache = cache.clone();
        for (bit, late) in flips {
            // Late: among what is kept beside keys and values, if anything is.
            let bit = if late { 8 * cache.len() - 1 - bit / 64 } else { bit };
            cache[bit / 8] ^= 1 << (bit % 8);
        }
        let (ids, cache) = if cut_ids {
            (&ids[..cut.min(ids.len())], &cache[..])
        } else {
            (&ids[..], &cache[..cache.len() - cut])
        };
        forge(&path, &description, ids, cache);
        let mut session = session.borrow_mut();
        let restored = session.restore(&path, &origin()).expect("a file that can be read");
        let (held, seen) = session.tokens();
        // Either all of it or none.
        prop_assert!(restored.refused.is_none() || (held, seen) == (0, 0));
        prop_assert!(restored.refused.is_some() || (held <= seen && seen <= ids.len()));
        if restored.refused.is_none() && !ids.is_empty() {
            // Numbers of any kind lead to some text, or to an error.
            let _ = session.generate(&request(ids, 20), &mut ());
        }
        Ok(())
    });
    outcome.expect("no case fails");
    let mut session = session.into_inner();
    // Ids that the model has no rows for.
    forge(&path, &whole, &[&ids[..ids.len() - 1], &[u32::MAX]].concat(), &cache);
    let restored = session.restore(&path, &origin()).expect("reads");
    assert!(
        restored.refused.is_some_and(|why| why.contains("beyond the vocabulary")) && restored.text.is_none()
    );
}

#[test]
fn a_model_is_known_by_its_constants_and_its_weights_in_their_format() {
    use llm_rs2::core::DType;
    let open = |name: &str| {
        ModelFiles::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
            .expect("opens")
    };
    let tiny = open("tiny-llama32");
    let identity = |files: &ModelFiles, format: DType| files.identity(format.into()).expect("a whole model");
    assert_eq!(identity(&tiny, DType::BF16), identity(&open("tiny-llama32"), DType::BF16));
    let (stored, rounded) = (identity(&tiny, DType::BF16), identity(&tiny, DType::Q8_0));
    assert!(stored.constants == rounded.constants && stored.rows != rounded.rows);
    assert_ne!(stored.constants, identity(&open("tiny-options"), DType::BF16).constants);
    // The same model in one file.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let packed = dir.path().join("tiny.packed");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama32");
    let format = llm_rs2::engine::WeightDType::Fixed(DType::Q8_0);
    ModelFiles::pack(Some(&source), format, &packed, false, &mut ()).expect("packs");
    let packed = ModelFiles::open(&packed).expect("opens");
    assert_eq!(identity(&tiny, DType::Q8_0), identity(&packed, DType::Q8_0));
    assert!(fs::read_dir(dir.path()).is_ok_and(|entries| entries.count() == 1));
}
