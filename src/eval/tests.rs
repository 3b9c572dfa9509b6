//! The demo model on a few sentences.

use super::*;
use crate::backend::cpu::{CpuBackend, CpuOptions, Isa};
use crate::backend::reference::ReferenceBackend;
use crate::core::{Backend, DType};
use crate::engine::{ModelFiles, Session, SessionOptions};
use std::path::Path;

/// Like the stories that it was trained on.
const TEXT: &str = "Once upon a time, there was a lively boy named Max. He lived in a small town between two hills. \
                    One day, Max was walking down the road when he saw the old goat with a big bag of potatoes.";

fn session<B: Backend>(backend: B, weight_dtype: DType, prefill_chunk: usize) -> Session {
    let options = SessionOptions {
        weights: weight_dtype.into(),
        kv_types: DType::F16.into(),
        max_seq_len: 24,
        eviction: None,
        prefill_chunk,
        lookup: 0,
        check_numerics: false,
    };
    Session::load(backend, ModelFiles::demo().unwrap(), &options, &mut |_| ()).unwrap()
}

fn cpu(threads: usize, isa: Option<Isa>) -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(threads), isa }).unwrap()
}

fn sequence() -> Sequence {
    let files = ModelFiles::demo().unwrap();
    let ids = files.encode_text(TEXT).unwrap();
    let prefix = files.bos.filter(|bos| ids.first() == Some(bos));
    let ids = ids[usize::from(prefix.is_some())..].to_vec();
    assert!(prefix.is_some() && ids.len() > 40, "{prefix:?} {}", ids.len());
    Sequence { prefix, ids, to_the_end: true }
}

fn run(session: &mut Session, wanted: Wanted<'_>) -> Evaluation {
    evaluate(session, &sequence(), Windows::new(24, 10).unwrap(), wanted, &mut |_, _| ()).unwrap()
}

const TOP_4: Wanted<'_> = Wanted { top_k: Some(4), against: None, segment: None };

#[test]
fn figures_are_the_same_to_the_bit_on_any_threads_chunks_and_instructions() {
    let truth = run(&mut session(cpu(1, None), DType::Q8_0, 24), TOP_4);
    assert_eq!(truth.likelihood.tokens(), sequence().ids.len());
    assert!(truth.likelihood.mean_nll() < 3.0, "it knows stories: {:?}", truth.likelihood);
    for (threads, chunk) in [(3, 24), (1, 1), (3, 7), (2, 10)] {
        let got = run(&mut session(cpu(threads, None), DType::Q8_0, chunk), TOP_4);
        assert_eq!(got, truth, "{threads} threads, chunks of {chunk}");
    }
    for isa in Isa::available() {
        assert_eq!(run(&mut session(cpu(2, Some(isa)), DType::Q8_0, 16), TOP_4), truth, "{isa}");
    }
}

#[test]
fn every_step_has_the_logits_behind_the_tokens_of_its_window() {
    let mut session = session(cpu(2, None), DType::BF16, 24);
    let sequence = sequence();
    let got = run(&mut session, TOP_4);
    let dump = got.dump.unwrap();
    let targets: Vec<usize> = dump.steps.iter().map(|s| s.target).collect();
    assert_eq!(targets, (0..=sequence.ids.len()).collect::<Vec<_>>());
    let mut sum = 0.0;
    // A window holds 23 tokens after the first one. Token 23 is scored by the second one, which begins at 10.
    for (target, start) in [(0, 0), (1, 0), (22, 0), (23, 10), (32, 10), (33, 20)] {
        let mut ids: Vec<u32> = sequence.prefix.into_iter().collect();
        ids.extend(&sequence.ids[start..target]);
        let mut last = Vec::new();
        session.score(&ids, ids.len() - 1, &mut |_, logits| last = logits.to_vec()).unwrap();
        let step = &dump.steps[target];
        assert_eq!(step.logsumexp, log_sum_exp(&last), "token {target}");
        assert_eq!(step.top, top(&last, 4, &mut Vec::new()), "token {target}");
        sum += step.logsumexp - f64::from(last[sequence.ids[target] as usize]);
    }
    assert!(sum > 0.0);
}

#[test]
fn a_run_agrees_with_itself_and_less_with_four_bits() {
    let truth = run(&mut session(cpu(2, None), DType::BF16, 24), TOP_4).dump.unwrap();
    let against = Wanted { against: Some((Path::new("a.json"), &truth)), ..Wanted::default() };
    let same = run(&mut session(cpu(1, None), DType::BF16, 5), against).agreement.unwrap();
    assert_eq!((same.same_first(), same.mean_tau()), (1.0, Some(1.0)));
    assert_eq!(same.steps(), truth.steps.len());
    assert!(same.largest_divergence().0 < 1e-12, "{same:?}");
    let coarse = run(&mut session(cpu(2, None), DType::Q4_0, 24), against);
    assert!(coarse.dump.is_none());
    let coarse = coarse.agreement.unwrap();
    assert!(coarse.mean_divergence() > 1e-5 && coarse.mean_divergence() < 0.5, "{coarse:?}");
    assert!(coarse.mean_tau().unwrap() < 1.0, "{coarse:?}");
}

#[test]
fn backends_agree_within_rounding() {
    let (a, b) = (
        run(&mut session(cpu(2, None), DType::F32, 24), TOP_4),
        run(&mut session(ReferenceBackend, DType::F32, 24), TOP_4),
    );
    let distance = a.likelihood.mean_nll() - b.likelihood.mean_nll();
    assert!(distance.abs() < 1e-4, "{distance:e}");
}

#[test]
fn what_cannot_be_scored_is_an_error() {
    let mut session = session(cpu(1, None), DType::BF16, 24);
    let mut fails = |ids: &[u32], prefix| {
        let sequence = Sequence { prefix, ids: ids.to_vec(), to_the_end: false };
        evaluate(&mut session, &sequence, Windows::new(24, 12).unwrap(), TOP_4, &mut |_, _| ())
            .map(|e| e.likelihood.tokens())
            .map_err(|e| e.to_string())
    };
    assert!(fails(&[], Some(0)).unwrap_err().contains("0 tokens"));
    assert!(fails(&[5], None).unwrap_err().contains("1 tokens"));
    assert_eq!(fails(&[5], Some(0)), Ok(1));
    for ids in [[5, 4000], [4000, 5]] {
        assert!(fails(&ids, None).unwrap_err().contains("token id 4000 is outside"), "{ids:?}");
    }
}

#[test]
fn made_up_texts_are_likely_and_the_same_each_time() {
    let mut session = session(cpu(2, None), DType::BF16, 24);
    let start = ModelFiles::demo().unwrap().bos.unwrap();
    let texts = texts::make_up(&mut session, start, 3, 20).unwrap();
    assert_eq!(texts, texts::make_up(&mut session, start, 3, 20).unwrap());
    assert!(texts.iter().all(|t| t[0] == start && t.len() > 1) && texts[0] != texts[1]);
    let all = texts::score(&mut session, &texts).unwrap();
    assert_eq!(all.tokens(), texts.iter().map(|t| t.len() - 1).sum::<usize>());
    let mean: f64 = texts
        .iter()
        .map(|t| {
            texts::score(&mut session, std::slice::from_ref(t)).unwrap().mean_nll() * (t.len() - 1) as f64
        })
        .sum::<f64>()
        / all.tokens() as f64;
    assert!((all.mean_nll() - mean).abs() < 1e-12, "every token weighs the same");
    assert_eq!(texts::paragraphs("a\nb\n\n\n  c \n\n").collect::<Vec<_>>(), ["a\nb", "c"]);
}
