//! How much memory a text will take, estimated before the weights are read: Android ends a program that takes too much
//! without a word, and Linux does so late.

use super::EngineError;
use super::model_files::ModelFiles;
use super::session::SessionOptions;
use super::weight_format::weight_bytes;
use crate::core::{DType, HostTensor, KvTypes, Order, Remedy, capacity_before};
use crate::host::human_bytes;
use crate::kv::{Evictor, Positions};
use crate::models::llama::{find_tensor, tensor_specs};
use crate::models::{LayerSpec, ModelSpec, WeightPlan};

/// Where a backend holds weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Where they are mapped, if they are stored as the backend reads them; else in memory of its own.
    InPlace,
    /// In memory of its own, which is the machine's.
    Copied,
    /// As [`Self::InPlace`], with a second backend beside it that holds them as [`Self::Copied`]; each has a cache.
    InPlaceAndCopied,
    /// As [`Self::Copied`], with everything as f32.
    AsF32,
    /// On a device with memory that is not the machine's: weights, cache and workspace.
    OnDevice,
}

impl Holding {
    /// Whether a tensor that is `stored` in this order, and is wanted in `format`, stays where it is mapped.
    pub fn uses_in_place(self, stored: DType, order: Order, format: DType) -> bool {
        let readable = order == Order::read_by_kernels(format);
        let reads = matches!(self, Holding::InPlace | Holding::InPlaceAndCopied);
        reads && stored == format && readable
    }

    /// Backends whose memory is counted.
    fn backends(self) -> u64 {
        match self {
            Holding::OnDevice => 0,
            Holding::InPlaceAndCopied => 2,
            Holding::InPlace | Holding::Copied | Holding::AsF32 => 1,
        }
    }

    /// Bytes in which keys and values of a layer go from one of two backends to the other.
    fn moving_bytes(self, spec: &ModelSpec, types: KvTypes, slots: usize) -> u64 {
        match self {
            Holding::InPlaceAndCopied => {
                let tokens =
                    spec.cache_shapes().into_iter().map(|shape| shape.layout(types).bytes_per_token());
                (slots as u64).saturating_mul(tokens.max().unwrap_or(0) as u64)
            }
            Holding::InPlace | Holding::Copied | Holding::AsF32 | Holding::OnDevice => 0,
        }
    }

    /// Bytes of the caches, of `slots` tokens in `types`.
    fn cache_bytes(self, spec: &ModelSpec, types: KvTypes, slots: usize, pass: usize) -> u64 {
        let types = if self == Holding::AsF32 { DType::F32.into() } else { types };
        cache_bytes(spec, types, slots, pass).saturating_mul(self.backends())
    }
}

/// Tokens of a text, as far as they are known beforehand.
#[derive(Clone, Copy, Debug)]
pub struct TextLength {
    /// Of the prompt.
    pub prompt: usize,
    /// The most that are generated after it; `None`: as far as the context goes.
    pub generated: Option<usize>,
}

/// Bytes of memory that a session will have taken when its text has its full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Weights in the pages of a mapped file: the system can drop them, and read them again.
    pub mapped: u64,
    /// Weights in memory of the process.
    pub converted: u64,
    /// Pages of the largest tensor that is read to be converted; they are given back before anything else is made.
    pub passing: u64,
    /// What making the packed file takes, if it is made first, before all else that the session takes.
    pub packing: u64,
    /// Keys and values, at the moment when they take most.
    pub cache: u64,
    /// Activations, logits and what kernels work in; what an eviction policy goes by beside keys and values.
    pub workspace: u64,
    /// The program itself and the tokenizer.
    pub program: u64,
}

/// What the program takes without a model: its own pages, stacks, the allocator's slack.
const PROGRAM: u64 = 9_000_000;

/// What a parsed tokenizer takes for each token: the text of it twice, its merge, and the tables around them.
const PARSED_TOKEN: u64 = 500;

impl Footprint {
    /// What a session with these options takes for such a text.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape than the configuration says.
    pub fn of(
        files: &ModelFiles,
        options: &SessionOptions,
        holding: Holding,
        text: TextLength,
    ) -> Result<Self, EngineError> {
        let spec = &files.config.spec;
        let mut all = Self::without_weights(spec, options, holding, text);
        all.program += match files.tokenizer.table_bytes() {
            Some(bytes) => bytes as u64,
            None => PARSED_TOKEN * files.tokenizer.vocab_size() as u64,
        };
        all.program += files.header_bytes as u64;
        all.packing = files.packing_bytes();
        for asked in tensor_specs(spec) {
            let tensor = find_tensor(files.tensors.as_ref(), &asked.name, asked.shape)?;
            let format = options.weights.format(asked.role, tensor.dtype(), tensor.matrix_dims().1);
            let stored = match files.to_pack() {
                Some(_) => Stored::packed(&tensor, format),
                None => Stored::now(&tensor),
            };
            all.add(stored, &tensor, format, holding);
        }
        Ok(all)
    }

    /// What a session takes for a model of this shape whose weights are packed in the format asked for, so that they
    /// are mapped.
    pub fn of_shape(spec: &ModelSpec, options: &SessionOptions, text: TextLength) -> Self {
        let mapped = weight_bytes(spec, options.weights);
        Self { mapped, ..Self::without_weights(spec, options, Holding::InPlace, text) }
    }

    fn without_weights(
        spec: &ModelSpec,
        options: &SessionOptions,
        holding: Holding,
        text: TextLength,
    ) -> Self {
        let slots = slots(options, text);
        Self {
            mapped: 0,
            converted: 0,
            passing: 0,
            packing: 0,
            cache: holding.cache_bytes(spec, options.kv_types, slots, pass_rows(options, text) as usize),
            workspace: workspace_bytes(spec, options, text)
                .saturating_mul(holding.backends())
                .saturating_add(policy_bytes(spec, options, slots, text))
                .saturating_add(holding.moving_bytes(spec, options.kv_types, slots)),
            program: PROGRAM,
        }
    }

    /// Counts a tensor that will lie as `stored` when it is loaded, and is wanted in `format`.
    fn add(&mut self, stored: Stored, tensor: &HostTensor, format: DType, holding: Holding) {
        let mut copies = holding.backends();
        if holding.uses_in_place(stored.dtype, stored.order, format) && !stored.copied {
            self.mapped = self.mapped.saturating_add(stored.bytes);
            copies -= 1;
        } else {
            self.passing = self.passing.max(stored.bytes);
        }
        let (rows, cols) = tensor.matrix_dims();
        let format = if holding == Holding::AsF32 { DType::F32 } else { format };
        self.converted = self.converted.saturating_add(bytes(format, rows, cols).saturating_mul(copies));
    }

    /// What the system cannot take back: if this is not there, the program is ended.
    pub fn own(&self) -> u64 {
        self.session().max(self.packing).saturating_add(self.program)
    }

    /// What the session takes of its own.
    fn session(&self) -> u64 {
        self.converted.saturating_add(self.cache).saturating_add(self.workspace)
    }

    /// The most that will be resident at a time, mapped pages included.
    pub fn resident(&self) -> u64 {
        let later = self.cache.saturating_add(self.workspace).max(self.passing);
        let loaded = [self.mapped, self.converted].iter().fold(later, |a, &b| a.saturating_add(b));
        loaded.max(self.packing).saturating_add(self.program)
    }
}

/// How a tensor is stored in the file that it is loaded from.
struct Stored {
    dtype: DType,
    order: Order,
    bytes: u64,
    /// Whether its bytes are a copy of those in the file, wherever it is used.
    copied: bool,
}

impl Stored {
    fn now(tensor: &HostTensor) -> Self {
        let (bytes, copied) = (tensor.data().size() as u64, tensor.data().is_copy());
        Self { dtype: tensor.dtype(), order: tensor.order(), bytes, copied }
    }

    /// In a packed file with `dtype` for it.
    fn packed(tensor: &HostTensor, dtype: DType) -> Self {
        let (rows, cols) = tensor.matrix_dims();
        let bytes = bytes(dtype, rows, cols);
        Self { dtype, order: Order::read_by_kernels(dtype), bytes, copied: false }
    }
}

/// Bytes of a matrix in a packed file, or in a backend's own memory: the block formats fill whole tiles.
fn bytes(format: DType, rows: usize, cols: usize) -> u64 {
    Order::read_by_kernels(format).bytes(format, rows, cols).map_or(u64::MAX / 1024, |n| n as u64)
}

/// Tokens that the cache will hold at most.
fn slots(options: &SessionOptions, text: TextLength) -> usize {
    let most = options.eviction.map_or(options.max_seq_len, |eviction| eviction.window());
    let generated = text.generated.unwrap_or(usize::MAX);
    // A draft is stored before it is known to be right.
    most.min(text.prompt.saturating_add(generated).saturating_add(options.lookup))
}

/// Bytes of the cache while it holds `slots` tokens; or while it grew the last time to get there, if that was more: it had
/// one buffer in two places. Memory that no token was stored in is not taken. `pass`: rows of a pass.
fn cache_bytes(spec: &ModelSpec, types: KvTypes, slots: usize, pass: usize) -> u64 {
    let (mut filled, mut growing, mut largest) = (0u64, 0u64, 0u64);
    for shape in spec.cache_shapes() {
        let (k, v) = shape.layout(types).slot_bytes();
        let held = shape.held(slots, pass);
        let of = |bytes: usize, slots: usize| (bytes as u64).saturating_mul(slots as u64);
        filled = filled.saturating_add(of(k.saturating_add(v), held));
        growing = growing.saturating_add(of(k.saturating_add(v), capacity_before(held)));
        largest = largest.max(of(k.max(v), capacity_before(held)));
    }
    filled.max(growing.saturating_add(largest))
}

/// Rows that go through the model at a time, at most. Rows that no token comes to take no memory.
fn pass_rows(options: &SessionOptions, text: TextLength) -> u64 {
    (options.prefill_chunk.min(text.prompt.max(1)) as u64).max(options.lookup as u64 + 1)
}

/// What an eviction policy goes by, on the host whatever computes: unrotated first tokens (streaming), and attention
/// received (h2o) with what it takes to weigh a pass of it.
fn policy_bytes(spec: &ModelSpec, options: &SessionOptions, slots: usize, text: TextLength) -> u64 {
    let Some(eviction) = options.eviction else { return 0 };
    let evictor = Evictor::new(eviction);
    let heads = spec.widest(|layer| layer.attention.heads) as u64;
    let [layers, kv_heads, head_dim] = spec.cache_shape().map(|n| n as u64);
    let mut bytes = 0u64;
    if evictor.positions() == Positions::Cache {
        let width = kv_heads * head_dim;
        bytes = (2 * 4 * layers * width).saturating_mul(eviction.protected() as u64);
    }
    if evictor.wants_attention() {
        let (rows, drafts) = (pass_rows(options, text), options.lookup as u64 + 1);
        let counted = layers.saturating_sub(1).max(1);
        // A sum of each slot (f64), and the weights of a pass that may be taken back; both grow by doubling.
        let kept = 2 * (8 * (counted + 1) + 4 * counted * drafts);
        // The weights of a pass of one layer, and of sixteen of its rows the parts of each head: of the cache's heads their
        // sums, and of all heads the products.
        let weighing = 4 * (rows + rows.min(16) * (kv_heads + heads));
        bytes = bytes.saturating_add((slots as u64).saturating_mul(kept + weighing));
    }
    bytes
}

fn workspace_bytes(spec: &ModelSpec, options: &SessionOptions, text: TextLength) -> u64 {
    let widest = |of: fn(&LayerSpec) -> usize| spec.widest(of);
    let ffn = widest(|layer| layer.ffn.width) as u64;
    let (q, kv) = (widest(|layer| layer.attention.q_width()), widest(|layer| layer.attention.kv_width()));
    // On the host too.
    let angles: usize =
        spec.ropes.iter().map(|r| 2 * r.dims * (1 + usize::from(r.query_growth.is_some()))).sum();
    let [hidden, vocab, q, kv, angles] = [spec.hidden_size, spec.vocab_size, q, kv, angles].map(|n| n as u64);
    let logits_rows = options.lookup as u64 + 1;
    let rows = pass_rows(options, text);
    let activations = 2 * hidden + 2 * q + 2 * kv + 3 * ffn + angles;
    // The widest input in the form that the kernels read.
    let input = hidden.max(ffn).max(q);
    // Beside the logits, what a token is chosen among: an id and its logit and probability.
    let chosen = vocab * (logits_rows + 1 + 4) + logits_rows * hidden;
    rows.saturating_mul(activations + input).saturating_add(chosen).saturating_mul(4)
}

/// Whether a footprint fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does, as far as is known.
    Fits,
    /// Only if parts of the mapped file are read again and again.
    Slow(Unfit),
    /// Not at all.
    No(Unfit),
}

/// Why a footprint does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What it needs, what there is, and the smaller choices that would fit, in plain terms.
    pub why: String,
    /// The settings for these choices.
    pub remedies: Vec<Remedy>,
}

impl Unfit {
    fn new(facts: &str, ways: &Ways) -> Self {
        Self { why: format!("{facts}; {}", ways.text), remedies: ways.remedies.clone() }
    }
}

/// Smaller choices, in plain terms, and the settings for them.
struct Ways {
    text: String,
    remedies: Vec<Remedy>,
}

/// What could be asked for instead, and what it would take.
struct Choices<'a> {
    files: &'a ModelFiles,
    options: &'a SessionOptions,
    holding: Holding,
    text: TextLength,
    have: u64,
}

impl Fit {
    /// Whether a session with these options fits into `available` bytes of memory (`None`: unknown), with a sentence
    /// about the smaller choices if it does not.
    ///
    /// # Errors
    /// As [`Footprint::of`].
    pub fn of(
        files: &ModelFiles,
        options: &SessionOptions,
        holding: Holding,
        text: TextLength,
        available: Option<u64>,
    ) -> Result<(Self, Footprint), EngineError> {
        let need = Footprint::of(files, options, holding, text)?;
        let Some(have) = available else { return Ok((Fit::Fits, need)) };
        let choices = Choices { files, options, holding, text, have };
        let fit = if need.own() > have {
            Fit::No(choices.refusal(&need)?)
        } else if need.own().saturating_add(need.mapped) > have {
            Fit::Slow(choices.warning(&need)?)
        } else {
            Fit::Fits
        };
        Ok((fit, need))
    }
}

impl Choices<'_> {
    fn refusal(&self, need: &Footprint) -> Result<Unfit, EngineError> {
        let Self { options, text, have, .. } = self;
        if need.session() <= need.packing {
            let text = "free memory, or make a packed file on another machine".to_owned();
            let facts = format!(
                "converting the weights needs {} of memory, but only {} is available",
                human_bytes(need.own()),
                human_bytes(*have)
            );
            return Ok(Unfit::new(&facts, &Ways { text, remedies: vec![Remedy::PackedFile] }));
        }
        let weights = match need.converted {
            0 => String::new(),
            n => format!("weights {} as {}, ", human_bytes(n), self.files.weight_mix(options.weights)?),
        };
        let facts = format!(
            "this needs {} of memory ({weights}keys and values {} for {} tokens as {}, all else {}), but only {} is \
             available",
            human_bytes(need.own()),
            human_bytes(need.cache),
            slots(options, *text),
            options.kv_types,
            human_bytes(need.workspace + need.program),
            human_bytes(*have)
        );
        Ok(Unfit::new(&facts, &self.ways_on(need)?))
    }

    /// What fits of the smaller choices: one by one, or else all together.
    fn ways_on(&self, need: &Footprint) -> Result<Ways, EngineError> {
        let of = |options: &SessionOptions| -> Result<u64, EngineError> {
            Ok(Footprint::of(self.files, options, self.holding, self.text)?.own())
        };
        let mut all = *self.options;
        let (mut ways, mut remedies) = (Vec::new(), Vec::new());
        let mut consider = |(what, remedy): Choice, options: SessionOptions| -> Result<(), EngineError> {
            let own = of(&options)?;
            if own <= self.have {
                ways.push(format!("{what} would need {}", human_bytes(own)));
                remedies.extend((!remedies.contains(&remedy)).then_some(remedy));
            }
            Ok(())
        };
        if need.converted > 0 && self.files.packed.is_none() {
            for (dtype, weights) in self.lighter()? {
                all.weights = weights;
                consider(weights_as(dtype), SessionOptions { weights, ..*self.options })?;
            }
        }
        for dtype in KvTypes::STORED {
            let types = self.options.kv_types;
            // For keys and values alike.
            if shrinks(types.k, dtype) && shrinks(types.v, dtype) {
                all.kv_types = dtype.into();
                consider(cache_as(dtype), SessionOptions { kv_types: dtype.into(), ..*self.options })?;
            }
        }
        if let Some((choice, options)) = self.shorter(self.options)? {
            consider(choice, options)?;
        }
        if ways.is_empty()
            && let Some((choice, options)) = self.shorter(&all)?
        {
            let weights = self.lighter()?.pop().filter(|(_, weights)| *weights == all.weights);
            let weights = weights.map(|(dtype, _)| weights_as(dtype));
            let cache = (all.kv_types != self.options.kv_types).then(|| cache_as(all.kv_types.k));
            let (together, settings): (Vec<_>, Vec<_>) =
                weights.into_iter().chain(cache).chain([choice]).unzip();
            ways.push(format!(
                "{} together would need {}",
                together.join(" and "),
                human_bytes(of(&options)?)
            ));
            remedies = settings;
        }
        let smaller = || "use a smaller model, or free memory".to_owned();
        Ok(Ways { text: if ways.is_empty() { smaller() } else { ways.join(", ") }, remedies })
    }

    /// The longest context that fits with these options otherwise, as a power of two that has room for the prompt.
    fn shorter(&self, options: &SessionOptions) -> Result<Option<(Choice, SessionOptions)>, EngineError> {
        let weights = Footprint::of(self.files, options, self.holding, self.text)?;
        let now = slots(options, self.text);
        let least = if options.eviction.is_some() { 256 } else { self.text.prompt + 1 };
        let fits = |tokens: usize| {
            let pass = pass_rows(options, self.text) as usize;
            let spec = &self.files.config.spec;
            let cache = self.holding.cache_bytes(spec, options.kv_types, tokens, pass);
            Footprint { cache, ..weights }.own() <= self.have && tokens < now
        };
        let tokens = (0..usize::BITS - 1).rev().map(|bit| 1usize << bit).find(|&n| fits(n));
        let Some(tokens) = tokens.filter(|&n| n >= least.max(128)) else { return Ok(None) };
        let choice = match options.eviction {
            Some(_) => (format!("an eviction window of {tokens} tokens"), Remedy::EvictionWindow),
            None => (format!("a context of {tokens} tokens"), Remedy::ContextLength),
        };
        let options = SessionOptions { max_seq_len: tokens, eviction: None, ..*options };
        Ok(Some((choice, options)))
    }

    /// The formats, from the finest on, in which the weights take less than now.
    fn lighter(&self) -> Result<Vec<(DType, WeightPlan)>, EngineError> {
        let now = self.files.weight_mix(self.options.weights)?.bytes();
        let all = [DType::Q8_0, DType::Q4_0].map(|dtype| (dtype, WeightPlan::sparing_outer(dtype)));
        Ok(all.into_iter().filter(|(_, plan)| weight_bytes(&self.files.config.spec, *plan) < now).collect())
    }

    fn warning(&self, need: &Footprint) -> Result<Unfit, EngineError> {
        let Self { files, options, have, .. } = self;
        let rest = have.saturating_sub(need.own());
        let bytes = |plan| weight_bytes(&files.config.spec, plan);
        let ways = match self.lighter()?.into_iter().find(|(_, plan)| bytes(*plan) <= rest) {
            Some((d, plan)) => Ways {
                text: format!("as {d} they would take {}", human_bytes(bytes(plan))),
                remedies: vec![Remedy::WeightFormat],
            },
            None => Ways { text: "a smaller model would be faster".to_owned(), remedies: Vec::new() },
        };
        let facts = format!(
            "the weights take {} as {}, but only {} of memory is left for them, so that parts of their file are read \
             again for every token, which is slow",
            human_bytes(need.mapped),
            files.weight_mix(options.weights)?,
            human_bytes(rest)
        );
        Ok(Unfit::new(&facts, &ways))
    }
}

/// A smaller choice in plain terms, and its setting.
type Choice = (String, Remedy);

fn weights_as(dtype: DType) -> Choice {
    (format!("weights as {dtype}"), Remedy::WeightFormat)
}

fn cache_as(dtype: DType) -> Choice {
    (format!("keys and values as {dtype}"), Remedy::CacheType)
}

/// Whether `to` takes fewer bytes for a block of elements than `from`.
fn shrinks(from: DType, to: DType) -> bool {
    to.bytes_for(256) < from.bytes_for(256)
}

#[cfg(test)]
#[path = "footprint_tests.rs"]
mod tests;
