//! The token loop as a library: what an observer sees, and why a generation ends.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;

use llm_rs2::backend::reference::ReferenceBackend;
use llm_rs2::core::DType;
use llm_rs2::engine::{EngineError, Finish, ModelFiles, Observer, Outcome, Request, Session, SessionOptions};
use llm_rs2::sampling::SamplingParams;

/// The demo model, which ends its stories by itself.
fn demo(max_seq_len: usize, prefill_chunk: usize) -> Session {
    let options = SessionOptions {
        weights: DType::F32.into(),
        kv_types: DType::F32.into(),
        max_seq_len,
        eviction: None,
        prefill_chunk,
        lookup: 0,
        check_numerics: false,
    };
    let files = ModelFiles::demo().expect("the demo model is whole");
    Session::load(ReferenceBackend, files, &options, &mut |_| ()).expect("the demo model loads")
}

fn request(session: &Session, text: &str) -> Request {
    Request {
        prompt: session.tokenizer().encode(text, true).expect("plain text"),
        max_tokens: None,
        sampling: SamplingParams { seed: 5, ..SamplingParams::default() },
        stop: Vec::new(),
        ignore_eos: false,
        ..Request::default()
    }
}

/// Writes down what happens, and stops where it is told to.
#[derive(Default)]
struct Log {
    prefill: Vec<(usize, usize)>,
    text: String,
    pieces: usize,
    close_after: Option<usize>,
    cancel_at_question: Option<usize>,
    questions: Cell<usize>,
}

impl Observer for Log {
    fn prefill(&mut self, done: usize, total: usize) {
        self.prefill.push((done, total));
    }

    fn text(&mut self, piece: &str) -> ControlFlow<()> {
        self.text.push_str(piece);
        self.pieces += 1;
        if self.close_after == Some(self.pieces) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn cancelled(&self) -> bool {
        self.questions.set(self.questions.get() + 1);
        self.cancel_at_question == Some(self.questions.get())
    }
}

fn run(session: &mut Session, request: &Request, mut log: Log) -> (Outcome, Log) {
    let outcome = session.generate(request, &mut log).expect("generation succeeds");
    (outcome, log)
}

#[test]
fn a_story_streams_in_pieces_and_ends_by_itself() {
    let mut session = demo(512, 3);
    let request = request(&session, "Once upon a time");
    let (outcome, log) = run(&mut session, &request, Log::default());
    assert_eq!(outcome.finish, Finish::EndOfText);
    assert_eq!(log.text, outcome.text);
    assert!(log.pieces > 20, "{} pieces", log.pieces);
    let all = [request.prompt.clone(), outcome.ids.clone()].concat();
    let whole = session.tokenizer().decode(&all, true).unwrap();
    assert_eq!(whole, format!("Once upon a time{}", outcome.text));
    // The prompt goes in by threes.
    let total = request.prompt.len();
    let expected: Vec<_> = (1..=total.div_ceil(3)).map(|i| ((3 * i).min(total), total)).collect();
    assert_eq!(log.prefill, expected);
    // A second run in the same session starts afresh.
    let (again, _) = run(&mut session, &request, Log::default());
    assert_eq!(again.ids, outcome.ids);
}

#[test]
fn ignoring_the_end_goes_on_to_the_limit_with_the_end_among_the_ids() {
    let mut session = demo(512, 64);
    let mut request = request(&session, "Once upon a time");
    let (short, _) = run(&mut session, &request, Log::default());
    request.ignore_eos = true;
    request.max_tokens = Some(short.ids.len() + 5);
    let (long, _) = run(&mut session, &request, Log::default());
    assert_eq!(long.finish, Finish::Length);
    assert_eq!(long.ids.len(), short.ids.len() + 5);
    assert_eq!(long.ids[..short.ids.len()], short.ids);
    assert!(session.tokenizer().is_special(long.ids[short.ids.len()]));
    assert!(long.text.starts_with(&short.text) && !long.text.contains("<|"));
}

#[test]
fn limits_of_length_and_context() {
    let mut session = demo(24, 64);
    let mut request = request(&session, "Once upon a time");
    let (full, _) = run(&mut session, &request, Log::default());
    assert_eq!((full.finish, request.prompt.len() + full.ids.len()), (Finish::ContextFull, 24));
    request.max_tokens = Some(0);
    let (none, log) = run(&mut session, &request, Log::default());
    assert_eq!((none.finish, none.ids.len(), log.text.as_str()), (Finish::Length, 0, ""));
    request.prompt = vec![3; 24];
    let error = session.generate(&request, &mut Log::default()).unwrap_err();
    assert!(matches!(error, EngineError::PromptTooLong { tokens: 24, max: 24 }), "{error}");
    request.prompt.clear();
    let error = session.generate(&request, &mut Log::default()).unwrap_err();
    assert!(matches!(error, EngineError::EmptyPrompt), "{error}");
}

#[test]
fn it_can_be_cancelled_during_the_prompt_and_during_the_text() {
    let mut session = demo(512, 2);
    let request = request(&session, "Once upon a time there was a");
    let (early, log) = run(&mut session, &request, Log { cancel_at_question: Some(2), ..Log::default() });
    assert_eq!((early.finish, early.ids.len(), log.prefill.len()), (Finish::Cancelled, 0, 1));
    let chunks = request.prompt.len().div_ceil(2);
    session.forget();
    let late = Log { cancel_at_question: Some(chunks + 4), ..Log::default() };
    let (late, _) = run(&mut session, &request, late);
    assert_eq!((late.finish, late.ids.len()), (Finish::Cancelled, 3));
}

#[test]
fn a_closed_output_and_a_stop_string_end_it() {
    let mut session = demo(512, 64);
    let mut request = request(&session, "Once upon a time");
    let (closed, log) = run(&mut session, &request, Log { close_after: Some(4), ..Log::default() });
    assert_eq!((closed.finish, log.pieces), (Finish::OutputClosed, 4));
    let (whole, _) = run(&mut session, &request, Log::default());
    let stop: String = whole.text.chars().skip(30).take(12).collect();
    request.stop = vec!["never to be found".to_owned(), stop.clone()];
    let (stopped, log) = run(&mut session, &request, Log::default());
    assert_eq!(stopped.finish, Finish::Stop(stop.clone()));
    assert_eq!(stopped.text, whole.text.split(&stop).next().unwrap());
    assert_eq!(log.text, stopped.text);
    assert!(stopped.ids.len() < whole.ids.len());
}

#[test]
fn a_model_from_a_directory_is_the_same_as_the_one_inside() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let [inside, outside] = [ModelFiles::demo().unwrap(), ModelFiles::open(&dir).unwrap()];
    assert_eq!(inside.config, outside.config);
    assert_eq!(inside.eos, outside.eos);
    assert_eq!(inside.encode_text("A fox").unwrap(), outside.encode_text("A fox").unwrap());
    let norm = |files: &ModelFiles| files.tensors.get("model.norm.weight").unwrap().unwrap().bytes().to_vec();
    assert_eq!(norm(&inside), norm(&outside));
}
