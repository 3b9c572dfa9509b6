//! A backend that counts what another one is asked to do, and can take attention into its own hands.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llm_rs2::core::{
    Activation, AttentionParams, Backend, DType, HostTensor, KvLayer, KvLayout, LinearPart, PageId, Result,
    Run, Tensor,
};

/// What was asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots that queries looked at.
    pub attended: usize,
    /// Rows that went into linear layers.
    pub linear_rows: usize,
    /// Slots that were moved by evictions.
    pub moved: usize,
    /// Rows whose attention was told slot by slot.
    pub weighed: usize,
    /// Rows that were rotated.
    pub rotated: usize,
    /// The largest cache capacity seen.
    pub capacity: usize,
}

/// Keys and values of one layer, every token's, in order of positions: nothing is ever dropped here, and nothing has been
/// rotated.
#[derive(Default)]
struct Stored {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// What each token of a text is to see, and where.
pub struct Rule {
    /// For each position, those that it sees, itself the last of them.
    pub visible: Vec<Vec<usize>>,
    /// Works out `visible` as the text goes on, token by token.
    pub heavy: Option<Heavy>,
    /// Whether a token stands where it lies among those seen, or else at its position in the text.
    pub in_cache: bool,
}

/// Eviction by attention: of `window` tokens held, the first `protected`, as many of the newest as of the others
/// (or one more), and of those between them those that have received the most stay, `target` in all.
#[derive(Clone, Copy)]
pub struct Heavy {
    pub window: usize,
    pub protected: usize,
    pub target: usize,
}

/// Attention over all tokens by a rule.
struct Oracle {
    rule: Rule,
    /// Cosine and sine of each pair of a head, for each position.
    turns: Vec<Vec<(f64, f64)>>,
    layers: Vec<Stored>,
    /// The layer whose keys came last.
    layer: usize,
    /// What was rotated last, before it was.
    unrotated: Vec<f32>,
    /// What each token has received, in all layers but the last.
    received: Vec<f64>,
}

#[derive(Default)]
struct State {
    counts: Counts,
    oracle: Option<Oracle>,
}

/// Another backend, watched.
pub struct Spy<B> {
    inner: B,
    state: Arc<Mutex<State>>,
}

/// Reads the counts while a session owns the spy.
#[derive(Clone)]
pub struct Counter(Arc<Mutex<State>>);

impl Counter {
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts
    }
}

impl<B: Backend> Spy<B> {
    pub fn new(inner: B) -> (Self, Counter) {
        let state = Arc::default();
        (Self { inner, state: Arc::clone(&state) }, Counter(state))
    }

    /// Rotation and attention are computed here, in f64, from copies of all keys and values of one text.
    pub fn oracle(inner: B, layers: usize, rule: Rule) -> Self {
        let layers: Vec<_> = (0..layers).map(|_| Stored::default()).collect();
        let frequencies = frequencies();
        let turns = (0..rule.visible.len())
            .map(|p| frequencies.iter().map(|f| ((p as f64 * f).cos(), (p as f64 * f).sin())).collect())
            .collect();
        let received = vec![0.0; rule.visible.len()];
        let oracle = Oracle { rule, turns, layer: layers.len() - 1, layers, unrotated: Vec::new(), received };
        Self { inner, state: Arc::new(Mutex::new(State { oracle: Some(oracle), ..State::default() })) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, x: &Tensor<B::Buffer>) -> Result<Vec<f32>> {
        let mut values = vec![0.0; x.rows() * x.cols()];
        self.inner.download(x, 0, &mut values)?;
        Ok(values)
    }
}

/// Radians per position of each pair of a head, from the fixture's `config.json` and the definition of `llama3` scaling.
fn frequencies() -> Vec<f64> {
    let (theta, head_dim, factor, low, high, trained) = (500_000f64, 64.0, 32.0, 1.0, 4.0, 8192.0);
    let scaled = |i: i32| {
        let plain = theta.powf(-2.0 * f64::from(i) / head_dim);
        let turns = trained * plain / std::f64::consts::TAU;
        let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        plain * (keep + (1.0 - keep) / factor)
    };
    (0..32).map(scaled).collect()
}

impl Oracle {
    /// A head, turned to position `place`.
    fn turned(&self, head: &[f32], place: usize) -> Vec<f64> {
        let (first, second) = head.split_at(head.len() / 2);
        let pairs = || first.iter().zip(second).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let pairs = || pairs().zip(&self.turns[place]);
        let cosines = pairs().map(|((a, b), (cos, sin))| a * cos - b * sin);
        cosines.chain(pairs().map(|((a, b), (cos, sin))| b * cos + a * sin)).collect()
    }

    /// What the token at `position` is to see, if that is not known beforehand.
    fn choose(&mut self, position: usize) {
        let Some(Heavy { window, protected, target }) = self.rule.heavy else { return };
        let mut held = position.checked_sub(1).map_or(Vec::new(), |last| self.rule.visible[last].clone());
        if held.len() == window {
            let newest = held.split_off(window - (target - protected).div_ceil(2));
            let mut between = held.split_off(protected);
            between.sort_by(|&a, &b| self.received[b].total_cmp(&self.received[a]));
            between.truncate((target - protected) / 2);
            between.sort_unstable();
            held.extend(between);
            held.extend(newest);
        }
        held.push(position);
        self.rule.visible[position] = held;
    }

    /// What attention gives the token at `position`, head by head.
    fn row(&mut self, query: &[f32], position: usize, layout: &KvLayout) -> Vec<f32> {
        if self.layer == 0 {
            self.choose(position);
        }
        let (d, width) = (layout.head_dim, layout.kv_heads * layout.head_dim);
        let heads_per_kv_head = query.len() / width;
        let place = |(index, &p): (usize, &usize)| if self.rule.in_cache { index } else { p };
        let mut received = std::mem::take(&mut self.received);
        let (stored, seen) = (&self.layers[self.layer], &self.rule.visible[position]);
        let mut out = Vec::with_capacity(query.len());
        for (head, q) in query.chunks_exact(d).enumerate() {
            let at = |p: usize| p * width + head / heads_per_kv_head * d;
            let q = self.turned(q, place((seen.len() - 1, &position)));
            let weights: Vec<f64> = seen
                .iter()
                .enumerate()
                .map(|(index, p)| {
                    let k = self.turned(&stored.keys[at(*p)..at(*p) + d], place((index, p)));
                    let dot: f64 = q.iter().zip(k).map(|(a, b)| a * b).sum();
                    (dot / (d as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            if self.layer + 1 < self.layers.len() {
                for (&p, weight) in seen.iter().zip(&weights) {
                    received[p] += weight / total;
                }
            }
            out.extend((0..d).map(|i| {
                let sum: f64 =
                    seen.iter().zip(&weights).map(|(&p, w)| w * f64::from(stored.values[at(p) + i])).sum();
                (sum / total) as f32
            }));
        }
        self.received = received;
        out
    }
}

impl<B: Backend> Backend for Spy<B> {
    type Buffer = B::Buffer;
    type Weight = B::Weight;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<B::Buffer> {
        self.inner.alloc(dtype, len)
    }

    fn resize(&self, buffer: &mut B::Buffer, len: usize) -> Result<()> {
        self.inner.resize(buffer, len)
    }

    fn upload(&self, values: &[f32], dst: &mut Tensor<B::Buffer>, row: usize) -> Result<()> {
        self.inner.upload(values, dst, row)
    }

    fn download(&self, src: &Tensor<B::Buffer>, row: usize, dst: &mut [f32]) -> Result<()> {
        self.inner.download(src, row, dst)
    }

    fn prepare(&self, tensor: &HostTensor, format: DType) -> Result<B::Weight> {
        self.inner.prepare(tensor, format)
    }

    fn embed(&self, table: &B::Weight, ids: &[u32], out: &mut Tensor<B::Buffer>) -> Result<()> {
        self.inner.embed(table, ids, out)
    }

    fn rms_norm(
        &self,
        x: &Tensor<B::Buffer>,
        gain: &B::Weight,
        eps: f32,
        out: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        self.inner.rms_norm(x, gain, eps, out)
    }

    fn rms_norm_in_place(&self, x: &mut Tensor<B::Buffer>, gain: &B::Weight, eps: f32) -> Result<()> {
        self.inner.rms_norm_in_place(x, gain, eps)
    }

    fn linear(&self, x: &Tensor<B::Buffer>, parts: &mut [LinearPart<'_, Self>]) -> Result<()> {
        self.lock().counts.linear_rows += x.rows();
        let mut parts: Vec<LinearPart<'_, B>> = parts
            .iter_mut()
            .map(|p| LinearPart { weight: p.weight, bias: p.bias, out: &mut *p.out })
            .collect();
        self.inner.linear(x, &mut parts)
    }

    fn rope(&self, x: &mut Tensor<B::Buffer>, angles: &Tensor<B::Buffer>, head_dim: usize) -> Result<()> {
        let mut state = self.lock();
        state.counts.rotated += x.rows();
        if let Some(oracle) = &mut state.oracle {
            oracle.unrotated = self.read(x)?;
        }
        self.inner.rope(x, angles, head_dim)
    }

    fn kv_append(
        &self,
        k: &Tensor<B::Buffer>,
        v: &Tensor<B::Buffer>,
        layer: &mut KvLayer<B::Buffer>,
        runs: &[Run<'_>],
    ) -> Result<()> {
        if let (Some(oracle), [run]) = (&mut self.lock().oracle, runs) {
            oracle.layer = (oracle.layer + 1) % oracle.layers.len();
            let stored = &mut oracle.layers[oracle.layer];
            assert_eq!(stored.keys.len(), run.len * k.cols(), "nothing is evicted from the oracle");
            stored.keys.append(&mut oracle.unrotated);
            stored.values.extend(self.read(v)?);
        }
        self.inner.kv_append(k, v, layer, runs)
    }

    fn kv_copy(
        &self,
        layer: &mut KvLayer<B::Buffer>,
        from: (&[PageId], usize),
        to: (&[PageId], usize),
        count: usize,
    ) -> Result<()> {
        self.lock().counts.moved += count;
        self.inner.kv_copy(layer, from, to, count)
    }

    fn kv_export(
        &self,
        layer: &KvLayer<B::Buffer>,
        pages: &[PageId],
        slots: Range<usize>,
        k: &mut [u8],
        v: &mut [u8],
    ) -> Result<()> {
        self.inner.kv_export(layer, pages, slots, k, v)
    }

    fn kv_import(
        &self,
        k: &[u8],
        v: &[u8],
        layer: &mut KvLayer<B::Buffer>,
        pages: &[PageId],
        at: usize,
    ) -> Result<()> {
        self.inner.kv_import(k, v, layer, pages, at)
    }

    fn attention(
        &self,
        q: &Tensor<B::Buffer>,
        layer: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        runs: &[Run<'_>],
        out: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        let mut state = self.lock();
        let [run] = runs else { return self.inner.attention(q, layer, how, runs, out) };
        state.counts.attended += (0..q.rows()).map(|row| run.len + row + 1).sum::<usize>();
        state.counts.capacity = state.counts.capacity.max(layer.pages * KvLayout::PAGE);
        let Some(oracle) = &mut state.oracle else { return self.inner.attention(q, layer, how, runs, out) };
        out.set_rows(q.rows())?;
        let unrotated = std::mem::take(&mut oracle.unrotated);
        for (row, query) in unrotated.chunks_exact(q.cols()).enumerate() {
            self.inner.upload(&oracle.row(query, run.len + row, &layer.layout), out, row)?;
        }
        Ok(())
    }

    fn attention_weights(
        &self,
        q: &Tensor<B::Buffer>,
        layer: &KvLayer<B::Buffer>,
        how: &AttentionParams,
        run: &Run<'_>,
        weights: &mut [f32],
    ) -> Result<()> {
        self.lock().counts.weighed += q.rows();
        self.inner.attention_weights(q, layer, how, run, weights)
    }

    fn glu(
        &self,
        gate: &Tensor<B::Buffer>,
        up: &Tensor<B::Buffer>,
        activation: Activation,
        out: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        self.inner.glu(gate, up, activation, out)
    }

    fn scale(&self, x: &mut Tensor<B::Buffer>, factor: f32) -> Result<()> {
        self.inner.scale(x, factor)
    }

    fn softcap(&self, x: &mut Tensor<B::Buffer>, cap: f32) -> Result<()> {
        self.inner.softcap(x, cap)
    }

    fn add(&self, x: &Tensor<B::Buffer>, acc: &mut Tensor<B::Buffer>) -> Result<()> {
        self.inner.add(x, acc)
    }

    fn copy_rows(
        &self,
        src: &Tensor<B::Buffer>,
        from: usize,
        count: usize,
        dst: &mut Tensor<B::Buffer>,
    ) -> Result<()> {
        self.inner.copy_rows(src, from, count, dst)
    }
}
