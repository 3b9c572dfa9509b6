//! What prompts give besides their next token is the same alone and in a crowd.

use super::*;
use crate::backend::reference::ReferenceBackend;
use crate::engine::{ChosenToken, EmbeddingHead, Pooling, PromptRows};

/// Hears of the tokens of a prompt too.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<ChosenToken>>>, Listener);

impl Observer for Rows {
    fn prefill(&mut self, done: usize, total: usize) {
        self.1.prefill(done, total);
    }

    fn prompt_token(&mut self, token: ChosenToken) {
        self.0.lock().unwrap().push(token);
    }

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        self.1.text(piece)
    }

    fn cancelled(&self) -> bool {
        self.1.cancelled()
    }
}

impl Reader for Rows {
    fn begun(&mut self, tokens: usize, reused: usize) {
        self.1.begun(tokens, reused);
    }

    fn ended(&mut self, outcome: Result<Outcome, EngineError>) {
        self.1.ended(outcome);
    }
}

/// The texts of the other tests, which want rows of their prompts.
fn wanting() -> Vec<Request> {
    let ways = [
        PromptRows::Logprobs(3),
        PromptRows::Hidden(Pooling::Mean),
        PromptRows::Nothing,
        PromptRows::Hidden(Pooling::Last),
        PromptRows::Hidden(Pooling::Cls),
        PromptRows::Hidden(Pooling::None),
        PromptRows::Logprobs(0),
    ];
    let with = |(i, request): (usize, Request)| Request { prompt_rows: ways[i % ways.len()], ..request };
    requests().into_iter().enumerate().map(with).collect()
}

type Given = (Vec<ChosenToken>, Outcome);

fn crowd(batcher: &mut Batcher, requests: &[Request]) -> (Vec<Given>, Vec<Pass>) {
    let readers: Vec<Rows> = requests.iter().map(|_| Rows::default()).collect();
    for (request, reader) in requests.iter().zip(&readers) {
        batcher.submit(request.clone(), Box::new(reader.clone()));
    }
    let passes = run(batcher);
    let given = readers
        .iter()
        .map(|Rows(tokens, listener)| (std::mem::take(&mut *tokens.lock().unwrap()), listener.outcome()));
    (given.collect(), passes)
}

fn bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}

#[track_caller]
fn same_rows(ours: &[Given], alone: &[Given]) {
    for (i, (ours, alone)) in ours.iter().zip(alone).enumerate() {
        assert_eq!(ours.0, alone.0, "log probabilities of request {i}");
        assert_eq!(bits(&ours.1.hidden), bits(&alone.1.hidden), "hidden states of request {i}");
        same(std::slice::from_ref(&ours.1), std::slice::from_ref(&alone.1));
    }
}

#[test]
fn rows_depend_neither_on_the_crowd_nor_on_what_was_kept_nor_on_interruptions() {
    let requests = wanting();
    let alone: Vec<Given> = requests
        .iter()
        .flat_map(|r| crowd(&mut batcher(1, 400, 0, None), std::slice::from_ref(r)).0)
        .collect();
    let mut many = batcher(8, 4000, 100, None);
    let (first, passes) = crowd(&mut many, &requests);
    same_rows(&first, &alone);
    assert!(passes.iter().any(|pass| pass.decoding > 1 && pass.prompt_tokens > 0), "prompts beside texts");
    // With everything kept.
    let (again, _) = crowd(&mut many, &requests);
    same_rows(&again, &alone);
    let reused = |what: fn(&PromptRows) -> bool| {
        let of = again.iter().zip(&requests).filter(|(_, r)| what(&r.prompt_rows));
        of.map(|((_, outcome), _)| outcome.reused_tokens).sum::<usize>()
    };
    assert!(reused(|rows| *rows == PromptRows::Nothing) > 0, "others use beginnings again");
    assert_eq!(reused(|rows| *rows != PromptRows::Nothing), 0);
    let (small, passes) = crowd(&mut batcher(8, 400, 100, None), &requests);
    assert!(passes.iter().any(|pass| pass.interrupted > 0), "memory was never short");
    same_rows(&small, &alone);
}

#[test]
fn embeddings_leave_nothing_behind() {
    let requests = wanting().into_iter().filter(|r| matches!(r.prompt_rows, PromptRows::Hidden(_)));
    let mut many = batcher(8, 4000, 100, None);
    let (given, passes) = crowd(&mut many, &requests.collect::<Vec<_>>());
    let load = many.load_now();
    assert_eq!((load.pages.used, load.prefixes, load.active), (0, 0, 0));
    assert!(given.iter().all(|(_, outcome)| outcome.ids.is_empty() && outcome.finish == Finish::Length));
    assert!(passes.iter().all(|pass| pass.decoding == 0));
}

#[test]
fn hidden_states_are_what_logits_are_made_of() {
    let request = &wanting()[1];
    let mut session =
        Session::load(cpu(), ModelFiles::demo().unwrap(), &session_options(None), &mut |_| ()).unwrap();
    let rows = session.embed(&request.prompt, Pooling::None).unwrap();
    assert_eq!(rows.len(), request.prompt.len());
    // The first token alone has the same; the mean is theirs; and the last is the last.
    assert_eq!(session.embed(&request.prompt[..1], Pooling::None).unwrap()[0], rows[0]);
    assert_eq!(session.embed(&request.prompt, Pooling::Cls).unwrap()[0], rows[0]);
    assert_eq!(session.embed(&request.prompt, Pooling::Last).unwrap()[0], rows[rows.len() - 1]);
    let mean = &session.embed(&request.prompt, Pooling::Mean).unwrap()[0];
    for (at, mean) in mean.iter().enumerate() {
        let sum: f64 = rows.iter().map(|row| f64::from(row[at])).sum();
        assert_eq!(*mean, (sum / rows.len() as f64) as f32);
    }
}

/// The demo model with tokens that see later ones.
fn both_ways() -> ModelFiles {
    let mut files = ModelFiles::demo().unwrap();
    for (index, layer) in files.config.spec.layers.iter_mut().enumerate() {
        (layer.attention.window, layer.attention.ahead) =
            if index % 2 == 0 { (Some(17), 8) } else { (None, usize::MAX) };
    }
    files
}

#[test]
fn a_model_that_reads_both_ways_takes_a_text_in_one_pass() {
    let options = BatchOptions { session: session_options(None), texts: 6, slots: 2000, prefixes: 100 };
    let load = || Batcher::load(cpu(), both_ways(), options, &mut |_| ()).unwrap();
    let all = Request { prompt_rows: PromptRows::Hidden(Pooling::None), ..requests()[0].clone() };
    let prompts = (1..=32).step_by(5).map(|n| (0..n).map(|i| (i * 31 + n) % 500).collect::<Vec<u32>>());
    let requests: Vec<Request> = prompts.map(|prompt| Request { prompt, ..all.clone() }).collect();
    let alone: Vec<Given> =
        requests.iter().flat_map(|r| crowd(&mut load(), std::slice::from_ref(r)).0).collect();
    let (given, passes) = crowd(&mut load(), &requests);
    same_rows(&given, &alone);
    assert!(passes.len() < requests.len(), "several texts share a pass: {}", passes.len());
    assert!(passes.iter().all(|pass| pass.prompt_tokens <= 32));
    // As the reference has it.
    let f32s =
        SessionOptions { weights: DType::F32.into(), kv_types: DType::F32.into(), ..session_options(None) };
    let prompt = &requests[4].prompt;
    let mut oracle = Session::load(ReferenceBackend, both_ways(), &f32s, &mut |_| ()).unwrap();
    let mut ours = Session::load(cpu(), both_ways(), &f32s, &mut |_| ()).unwrap();
    let expected = oracle.embed(prompt, Pooling::None).unwrap();
    let got = ours.embed(prompt, Pooling::None).unwrap();
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!((got - expected).abs() < 1e-4, "{got} {expected}");
    }
    // The first token sees the others.
    assert_ne!(ours.embed(&prompt[..5], Pooling::Cls).unwrap(), ours.embed(prompt, Pooling::Cls).unwrap());
}

#[test]
fn what_a_model_that_reads_both_ways_cannot_do_is_said() {
    let options = BatchOptions { session: session_options(None), texts: 2, slots: 600, prefixes: 0 };
    let mut batcher = Batcher::load(cpu(), both_ways(), options, &mut |_| ()).unwrap();
    let mut refused = |request: Request| {
        let listener = Listener::default();
        batcher.submit(request, Box::new(listener.clone()));
        run(&mut batcher);
        let outcome = listener.0.lock().unwrap().outcome.take();
        outcome.expect("it has ended").unwrap_err().to_string()
    };
    let embed = PromptRows::Hidden(Pooling::Mean);
    let long = Request { prompt: vec![5; 33], prompt_rows: embed, ..Request::default() };
    let message = refused(long);
    assert!(
        message.contains("33 tokens long, which is too large") && message.contains("32 tokens can"),
        "{message}"
    );
    assert!(refused(Request { prompt: vec![5], ..Request::default() }).contains("cannot go on with a text"));
    let logprobs = Request { prompt: vec![5, 6], prompt_rows: PromptRows::Logprobs(0), ..Request::default() };
    assert!(refused(logprobs).contains("cannot go on with a text"));
    let mut session = Session::load(cpu(), both_ways(), &session_options(None), &mut |_| ()).unwrap();
    assert!(matches!(session.score(&[5, 6], 0, &mut |_, _| ()), Err(EngineError::NotCausal)));
}

#[test]
fn layers_after_pooling_are_applied() {
    let mut files = ModelFiles::demo().unwrap();
    let width = files.config.spec.hidden_size;
    // The first and the last element, added.
    let row = (0..width).map(|i| f32::from(u8::from(i == 0 || i + 1 == width)));
    let sum = crate::engine::embedding::Dense::new(row.collect(), width, None, false);
    files.embedding = EmbeddingHead { pooling: None, layers: vec![sum] };
    let prompt = &requests()[1].prompt;
    let of = |files| {
        let mut session = Session::load(cpu(), files, &session_options(None), &mut |_| ()).unwrap();
        session.embed(prompt, Pooling::Last).unwrap().remove(0)
    };
    let (with, without) = (of(files), of(ModelFiles::demo().unwrap()));
    assert_eq!(with, [(f64::from(without[0]) + f64::from(without[width - 1])) as f32]);
}
