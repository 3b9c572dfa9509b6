//! Log probabilities of a prompt are those that `eval_model` sums up, to the bit.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use llm_rs2::backend::cpu::{CpuBackend, CpuOptions};
use llm_rs2::core::DType;
use llm_rs2::engine::{
    BatchOptions, Batcher, ChosenToken, EngineError, ModelFiles, Observer, Outcome, PromptRows, Reader,
    Request, Session, SessionOptions,
};
use llm_rs2::eval::{Sequence, Wanted, Windows, evaluate};

const TEXT: &str =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the sun.";

#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<(Vec<ChosenToken>, Vec<ChosenToken>)>>);

impl Observer for Tokens {
    fn prefill(&mut self, _: usize, _: usize) {}

    fn prompt_token(&mut self, token: ChosenToken) {
        self.0.lock().unwrap().0.push(token);
    }

    fn token(&mut self, token: ChosenToken) {
        self.0.lock().unwrap().1.push(token);
    }

    fn text(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn cancelled(&self) -> bool {
        false
    }
}

impl Reader for Tokens {
    fn begun(&mut self, _: usize, _: usize) {}

    fn ended(&mut self, outcome: Result<Outcome, EngineError>) {
        outcome.expect("nothing is wrong with it");
    }
}

fn cpu() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), isa: None }).expect("a CPU that we support")
}

fn options(chunk: usize) -> SessionOptions {
    SessionOptions {
        weights: DType::Q8_0.into(),
        max_seq_len: 256,
        prefill_chunk: chunk,
        ..SessionOptions::default()
    }
}

#[test]
fn they_are_those_of_an_evaluation_of_the_same_text() {
    let ids = ModelFiles::demo().unwrap().encode_text(TEXT).unwrap();
    let mut session = Session::load(cpu(), ModelFiles::demo().unwrap(), &options(64), &mut |_| ()).unwrap();
    let sequence = Sequence { prefix: None, ids: ids.clone(), to_the_end: false };
    let wanted = Wanted { segment: Some(1), ..Wanted::default() };
    let windows = Windows::new(200, 100).unwrap();
    let evaluation = evaluate(&mut session, &sequence, windows, wanted, &mut |_, _| ()).unwrap();
    let expected: Vec<u64> = evaluation.segments[1..].iter().map(|one| (-one.mean_nll()).to_bits()).collect();

    let request = |max_tokens| Request {
        prompt: ids.clone(),
        max_tokens: Some(max_tokens),
        prompt_rows: PromptRows::Logprobs(2),
        logprobs: Some(2),
        ..Request::default()
    };
    for chunk in [5, 64] {
        let batch = BatchOptions { session: options(chunk), texts: 4, slots: 2000, prefixes: 10 };
        let mut batcher = Batcher::load(cpu(), ModelFiles::demo().unwrap(), batch, &mut |_| ()).unwrap();
        // Twice, so that the second ones find what the first ones have left.
        for _ in 0..2 {
            let readers: Vec<Tokens> = [0, 1, 5].map(|_| Tokens::default()).to_vec();
            for (reader, max_tokens) in readers.iter().zip([0, 1, 5]) {
                batcher.submit(request(max_tokens), Box::new(reader.clone()));
            }
            while !batcher.is_idle() {
                batcher.step();
            }
            for (reader, max_tokens) in readers.iter().zip([0, 1, 5]) {
                let (prompt, answer) = std::mem::take(&mut *reader.0.lock().unwrap());
                assert_eq!(prompt.iter().map(|token| token.id).collect::<Vec<_>>(), ids[1..]);
                let got: Vec<u64> = prompt.iter().map(|token| token.logprob.to_bits()).collect();
                assert!(got == expected, "{chunk} tokens at once");
                assert_eq!(answer.len(), max_tokens);
                for token in &prompt {
                    let best = token.top[0];
                    assert!(token.top.len() == 2 && best.1 >= token.logprob && best.1 >= token.top[1].1);
                    assert_eq!(best.0 == token.id, best.1 == token.logprob);
                }
            }
        }
    }
    // A session has them too.
    let mut tokens = Tokens::default();
    session.generate(&request(0), &mut tokens).unwrap();
    let (prompt, _) = std::mem::take(&mut *tokens.0.lock().unwrap());
    assert!(prompt.iter().map(|token| token.logprob.to_bits()).eq(expected.iter().copied()));
}
