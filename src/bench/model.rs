//! How fast a model takes in and makes tokens, through the passes that generation uses.

use std::fmt;
use std::time::{Duration, Instant};

use crate::core::{CoreError, Result};
use crate::engine::{Part, Runner, SequenceId, Stage};
use crate::models::random_ids;

/// What is measured: `prompt` tokens taken in, then `generated` single steps, after `depth` tokens that are
/// in the cache already. Shown as llama-bench shows it: `pp512`, `tg128 @ d2048`, `pp512+tg128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Tokens that go through the model in chunks.
    pub prompt: usize,
    /// Tokens that go through it one by one.
    pub generated: usize,
    /// Tokens before them.
    pub depth: usize,
}

impl Test {
    /// Tokens whose time is taken.
    pub fn tokens(&self) -> usize {
        self.prompt.saturating_add(self.generated)
    }

    /// Tokens in the cache at the end.
    pub fn positions(&self) -> usize {
        self.depth.saturating_add(self.tokens())
    }

    /// Tokens a second, if all took `time`.
    pub fn rate(&self, time: Duration) -> f64 {
        self.tokens() as f64 / time.as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.prompt, self.generated) {
            (p, 0) => write!(f, "pp{p}")?,
            (0, g) => write!(f, "tg{g}")?,
            (p, g) => write!(f, "pp{p}+tg{g}")?,
        }
        if self.depth > 0 { write!(f, " @ d{}", self.depth) } else { Ok(()) }
    }
}

/// A model with the memory to measure it.
///
/// The tokens are random but the same each time. No token is chosen from the logits; the logits are computed,
/// as in generation: of the prompt's last token and of every single step.
pub struct ModelBench<'a> {
    runner: &'a mut dyn Runner,
    id: SequenceId,
    logits: Vec<f32>,
    ids: Vec<u32>,
}

impl<'a> ModelBench<'a> {
    /// Makes room for tests of up to `positions` tokens, depth included.
    ///
    /// # Errors
    /// No memory.
    pub fn new(runner: &'a mut dyn Runner, positions: usize) -> Result<Self> {
        let id = runner.open(positions)?;
        // Now, so that growing is not part of any measurement.
        runner.reserve_text(id, positions)?;
        let vocab = runner.spec().vocab_size;
        Ok(Self { runner, id, logits: vec![0.0; vocab], ids: random_ids(vocab, positions) })
    }

    /// Tokens held.
    fn len(&self) -> Result<usize> {
        Ok(self.runner.held(self.id)?.slots.len())
    }

    /// Runs `test` as often as asked for and gives the time of each run, in order.
    ///
    /// The cache is filled to the test's depth first, and a chunk and a step go through the model to wake it:
    /// none of this is timed. Tokens that an earlier test has left in the cache are used again; they are
    /// the same. `progress` learns how many of all tokens are done, between timed runs only.
    ///
    /// # Errors
    /// A test of more tokens than there is room for, or what the backend reports.
    pub fn run(
        &mut self,
        test: Test,
        repetitions: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Duration>> {
        let total = test.depth + repetitions * test.tokens();
        self.runner.rewind(self.id, test.depth)?;
        while self.len()? < test.depth {
            let from = self.len()?;
            let to = test.depth.min(from + self.runner.chunk());
            self.take_in(from..to, false)?;
            progress(to, total);
        }
        let chunk = test.prompt.min(self.runner.chunk());
        self.pass(Test { prompt: chunk, generated: test.generated.min(1), ..test })?;
        let mut times = Vec::with_capacity(repetitions);
        for run in 1..=repetitions {
            self.runner.rewind(self.id, test.depth)?;
            let start = Instant::now();
            self.pass(test)?;
            times.push(start.elapsed());
            progress(test.depth + run * test.tokens(), total);
        }
        Ok(times)
    }

    fn pass(&mut self, test: Test) -> Result<()> {
        let end = test.depth + test.prompt;
        let mut from = test.depth;
        while from < end {
            let to = end.min(from + self.runner.chunk());
            self.take_in(from..to, to == end)?;
            from = to;
        }
        for position in end..end + test.generated {
            self.take_in(position..position + 1, true)?;
        }
        Ok(())
    }

    /// The ids at these positions go through the model; reading the logits waits for it.
    fn take_in(&mut self, positions: std::ops::Range<usize>, logits: bool) -> Result<()> {
        let Self { runner, id, logits: values, ids } = self;
        let (len, more) = (positions.start, positions.len());
        let ids = ids.get(positions).ok_or(CoreError::CacheFull { len, max: ids.len(), more })?;
        runner.forward(&[Part { sequence: *id, ids, wanted: usize::from(logits), stage: Stage::Score }])?;
        if logits { runner.logits(0, values) } else { Ok(()) }
    }
}

impl Drop for ModelBench<'_> {
    fn drop(&mut self) {
        self.runner.close(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::DType;
    use crate::engine::{ModelRunner, RunnerSize};
    use crate::models::llama::Llama;
    use crate::models::{Decoder, NamedShape, RandomWeights};

    #[test]
    fn tests_are_named_as_in_llama_bench() {
        let name = |prompt, generated, depth| Test { prompt, generated, depth }.to_string();
        assert_eq!(name(512, 0, 0), "pp512");
        assert_eq!(name(0, 128, 2048), "tg128 @ d2048");
        assert_eq!(name(64, 16, 8), "pp64+tg16 @ d8");
    }

    #[test]
    fn rates_count_every_timed_token() {
        let test = Test { prompt: 30, generated: 10, depth: 1000 };
        assert_eq!(test.rate(Duration::from_millis(500)), 80.0);
        assert_eq!(test.positions(), 1040);
    }

    /// After tests in any order the cache and the logits are those of the same tokens in one go.
    #[test]
    fn a_run_is_the_pass_that_generation_makes() {
        let spec =
            Decoder { layers: 2, vocab_size: 64, intermediate_size: 32, ..NamedShape::Demo.decoder() }.spec();
        let source = RandomWeights::new(&spec);
        let model = Llama::load(&ReferenceBackend, &source, spec, DType::F32, &mut |_| ()).unwrap();
        let size = RunnerSize {
            kv_types: DType::F32.into(),
            slots: 64,
            chunk: 4,
            logits_rows: 1,
            check_numerics: false,
        };
        let mut runner = ModelRunner::new(ReferenceBackend, model, size).unwrap();
        let mut bench = ModelBench::new(&mut runner, 14).unwrap();
        let mut seen = Vec::new();
        let deep = Test { prompt: 5, generated: 2, depth: 7 };
        assert_eq!(bench.run(deep, 3, &mut |done, all| seen.push((done, all))).unwrap().len(), 3);
        assert_eq!(seen, [(4, 28), (7, 28), (14, 28), (21, 28), (28, 28)]);
        let shallow = Test { depth: 1, ..deep };
        assert_eq!(bench.run(shallow, 2, &mut |_, _| ()).unwrap().len(), 2);
        assert_eq!(bench.len().unwrap(), 8);
        let ours = bench.logits.clone();
        assert!(bench.run(Test { depth: 10, ..deep }, 1, &mut |_, _| ()).is_err());
        drop(bench);

        let (id, ids) = (runner.open(8).unwrap(), random_ids(64, 8));
        for (ids, wanted) in [(&ids[..4], 0), (&ids[4..], 1)] {
            runner.forward(&[Part { sequence: id, ids, wanted, stage: Stage::Score }]).unwrap();
        }
        let mut logits = vec![0.0; 64];
        runner.logits(0, &mut logits).unwrap();
        for (ours, expected) in ours.iter().zip(&logits) {
            assert!((ours - expected).abs() < 1e-5, "{ours} {expected}");
        }
    }
}
