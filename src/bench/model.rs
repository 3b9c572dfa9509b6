//! How fast a model takes in and makes tokens, through the passes that generation uses.

use std::fmt;
use std::time::{Duration, Instant};

use crate::core::{Backend, KvCache, KvTypes, Result};
use crate::models::llama::{Llama, Workspace};
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
pub struct ModelBench<'a, B: Backend> {
    backend: &'a B,
    model: &'a Llama<B>,
    cache: KvCache<B::Buffer>,
    workspace: Workspace<B>,
    logits: Vec<f32>,
    ids: Vec<u32>,
}

impl<'a, B: Backend> ModelBench<'a, B> {
    /// Makes room for tests of up to `positions` tokens, depth included, with keys and values of types `kv` and
    /// prompts in chunks of `chunk`.
    ///
    /// # Errors
    /// No memory, or a type that keys cannot be stored in.
    pub fn new(
        backend: &'a B,
        model: &'a Llama<B>,
        kv: KvTypes,
        positions: usize,
        chunk: usize,
    ) -> Result<Self> {
        let mut cache = model.new_cache(backend, kv, positions)?;
        // Now, so that growing is not part of any measurement.
        cache.reserve(backend, positions)?;
        let vocab = model.spec().vocab_size;
        Ok(Self {
            backend,
            model,
            cache,
            workspace: model.workspace(backend, chunk.min(positions), 1)?,
            logits: vec![0.0; vocab],
            ids: random_ids(vocab, positions),
        })
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
        self.cache.rewind(test.depth);
        while self.cache.len() < test.depth {
            let from = self.cache.len();
            let to = test.depth.min(from + self.workspace.chunk());
            self.take_in(from..to, false)?;
            progress(to, total);
        }
        let chunk = test.prompt.min(self.workspace.chunk());
        self.pass(Test { prompt: chunk, generated: test.generated.min(1), ..test })?;
        let mut times = Vec::with_capacity(repetitions);
        for run in 1..=repetitions {
            self.cache.rewind(test.depth);
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
            let to = end.min(from + self.workspace.chunk());
            self.take_in(from..to, to == end)?;
            from = to;
        }
        for position in end..end + test.generated {
            let id = self.ids.get(position).copied().unwrap_or_default();
            self.model.decode(self.backend, id, &mut self.cache, &mut self.workspace, &mut self.logits)?;
        }
        Ok(())
    }

    /// The ids at these positions go through the model; reading the logits waits for it.
    fn take_in(&mut self, positions: std::ops::Range<usize>, logits: bool) -> Result<()> {
        let full = crate::core::CoreError::CacheFull {
            len: positions.start,
            max: self.ids.len(),
            more: positions.len(),
        };
        let ids = self.ids.get(positions).ok_or(full)?;
        let logits = logits.then_some(&mut self.logits[..]);
        self.model.prefill(self.backend, ids, &mut self.cache, &mut self.workspace, logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::ReferenceBackend;
    use crate::core::DType;
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
        let backend = ReferenceBackend;
        let source = RandomWeights::new(&spec);
        let model = Llama::load(&backend, &source, spec, DType::F32, &mut |_| ()).unwrap();
        let mut bench = ModelBench::new(&backend, &model, DType::F32.into(), 14, 4).unwrap();
        let mut seen = Vec::new();
        let deep = Test { prompt: 5, generated: 2, depth: 7 };
        assert_eq!(bench.run(deep, 3, &mut |done, all| seen.push((done, all))).unwrap().len(), 3);
        assert_eq!(seen, [(4, 28), (7, 28), (14, 28), (21, 28), (28, 28)]);
        let shallow = Test { depth: 1, ..deep };
        assert_eq!(bench.run(shallow, 2, &mut |_, _| ()).unwrap().len(), 2);
        assert_eq!(bench.cache.len(), 8);

        let ids = random_ids(64, 8);
        let mut cache = model.new_cache(&backend, DType::F32.into(), 8).unwrap();
        let mut workspace = model.workspace(&backend, 8, 1).unwrap();
        let mut logits = vec![0.0; 64];
        model.prefill(&backend, &ids, &mut cache, &mut workspace, Some(&mut logits)).unwrap();
        for (ours, expected) in bench.logits.iter().zip(&logits) {
            assert!((ours - expected).abs() < 1e-5, "{ours} {expected}");
        }
        assert!(bench.run(Test { depth: 10, ..deep }, 1, &mut |_, _| ()).is_err());
    }
}
