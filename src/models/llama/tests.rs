//! What a pass computes, that leaving out unused results changes no bit, and that sequences do not see each other.

use proptest::prelude::*;

use super::{Llama, Share, Workspace};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::core::{Backend, CoreError, DType, KvPool, KvSequence};
use crate::models::{Decoder, ModelSpec, NamedShape, RandomWeights, random_ids};

const VOCAB: usize = 64;

/// A model with its memory, and a sequence.
struct Bed<B: Backend> {
    backend: B,
    model: Llama<B>,
    pool: KvPool<B::Buffer>,
    sequence: KvSequence,
    ws: Workspace<B>,
}

fn spec(layers: usize) -> ModelSpec {
    Decoder { layers, vocab_size: VOCAB, intermediate_size: 96, ..NamedShape::Demo.decoder() }.spec()
}

fn bed_of<B: Backend>(backend: B, spec: ModelSpec, format: DType, logits_rows: usize) -> Bed<B> {
    let source = RandomWeights::new(&spec);
    let model = Llama::load(&backend, &source, spec, format, &mut |_| ()).unwrap();
    let pool = model.new_pool(&backend, DType::F16.into(), 2000).unwrap();
    let sequence = KvSequence::new(&pool, 500);
    let ws = model.workspace(&backend, 200, logits_rows).unwrap();
    Bed { backend, model, pool, sequence, ws }
}

fn bed<B: Backend>(backend: B, layers: usize, format: DType, logits_rows: usize) -> Bed<B> {
    bed_of(backend, spec(layers), format, logits_rows)
}

impl<B: Backend> Bed<B> {
    /// A pass of the bed's own sequence.
    fn pass(&mut self, ids: &[u32], wanted: usize) -> Result<(), CoreError> {
        let Self { backend, model, pool, sequence, ws } = self;
        model.forward(backend, pool, &mut [Share::new(sequence, ids, wanted)], ws)
    }

    /// A pass of several sequences, each with its ids and how many logits it wants. The logits, as bits.
    fn together(&mut self, sequences: &mut [KvSequence], parts: &[(&[u32], usize)]) -> Vec<Vec<Vec<u32>>> {
        let Self { backend, model, pool, ws, .. } = self;
        let mut shares: Vec<_> =
            sequences.iter_mut().zip(parts).map(|(of, (ids, wanted))| Share::new(of, ids, *wanted)).collect();
        model.forward(backend, pool, &mut shares, ws).unwrap();
        let mut row = 0;
        let mut rows_of = |wanted: usize| {
            row += wanted;
            (row - wanted..row).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<usize>> =
            parts.iter().map(|(ids, wanted)| rows_of((*wanted).min(ids.len()))).collect();
        rows.into_iter().map(|rows| rows.into_iter().map(|row| self.row(row)).collect()).collect()
    }

    fn row(&mut self, row: usize) -> Vec<u32> {
        let mut logits = vec![0.0; VOCAB];
        self.model.logits_of(&self.backend, row, &mut self.ws, &mut logits).unwrap();
        bits(&logits)
    }

    /// Every position's logits, as bits.
    fn all(&mut self, ids: &[u32]) -> Vec<Vec<u32>> {
        let mut rows = Vec::new();
        for ids in ids.chunks(self.ws.chunk()) {
            self.pass(ids, ids.len()).unwrap();
            rows.extend((0..ids.len()).map(|row| self.row(row)));
        }
        rows
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn cpu() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), isa: None }).unwrap()
}

fn last_row_is_that_of_all<B: Backend>(make: impl Fn() -> B, layers: usize, format: DType) {
    let ids = random_ids(VOCAB, 16);
    let (prompt, next) = (&ids[..15], ids[15]);
    let mut whole = bed(make(), layers, format, 3);
    let expected = whole.all(prompt);
    let following = whole.all(&[next]).remove(0);
    for chunk in [1, 2, 7, 15] {
        let mut bed = bed(make(), layers, format, 1);
        let mut done = 0;
        for part in prompt.chunks(chunk) {
            done += part.len();
            bed.pass(part, usize::from(done == 15)).unwrap();
        }
        assert_eq!(bed.row(0), expected[14], "chunks of {chunk}");
        // Sees the keys and values of every token, those of the last layer too.
        bed.pass(&[next], 1).unwrap();
        assert_eq!(bed.row(0), following, "after chunks of {chunk}");
    }
}

#[test]
fn the_last_layer_gives_the_same_bits_for_one_position_as_for_all() {
    for layers in [1, 3] {
        for format in [DType::F32, DType::BF16, DType::Q8_0, DType::Q4_0] {
            last_row_is_that_of_all(cpu, layers, format);
        }
        last_row_is_that_of_all(|| ReferenceBackend, layers, DType::F32);
    }
}

#[test]
fn rows_at_once_are_those_of_one_by_one() {
    let ids = random_ids(VOCAB, 12);
    let expected = bed(cpu(), 2, DType::Q4_0, 1).all(&ids);
    let mut bed = bed(cpu(), 2, DType::Q4_0, 3);
    for from in (0..12).step_by(4) {
        bed.pass(&ids[from..from + 4], 4).unwrap();
        for row in [3, 0, 2, 1] {
            assert_eq!(bed.row(row), expected[from + row]);
        }
    }
    let Bed { backend, model, ws, .. } = &mut bed;
    let mut logits = vec![0.0; VOCAB];
    assert!(model.logits_of(backend, 4, ws, &mut logits).is_err(), "there were four rows");
    assert!(model.logits_of(backend, 0, ws, &mut logits[1..]).is_err());
    assert!(bed.pass(&random_ids(VOCAB, 201), 1).is_err(), "more than the workspace is for");
    assert!(matches!(bed.pass(&[1, VOCAB as u32], 1), Err(CoreError::BadToken { id: 64, .. })));
    assert_eq!(bed.sequence.len(), 12, "nothing was taken in");
}

/// Rows that an operator has last worked on, where 0 stands for none since `clear`.
fn worked(ws: &Workspace<ReferenceBackend>) -> [usize; 6] {
    [&ws.k, &ws.q, &ws.attended, &ws.gate, &ws.activated, &ws.logits].map(|t| t.rows())
}

fn clear(ws: &mut Workspace<ReferenceBackend>) {
    for tensor in [&mut ws.k, &mut ws.q, &mut ws.attended, &mut ws.gate, &mut ws.activated, &mut ws.logits] {
        tensor.set_rows(0).unwrap();
    }
}

#[test]
fn nothing_is_computed_that_is_not_read() {
    // With one layer, what is not computed there is not computed at all.
    let mut one = bed(ReferenceBackend, 1, DType::F32, 1);
    clear(&mut one.ws);
    one.pass(&[1, 2, 3, 4], 0).unwrap();
    assert_eq!(worked(&one.ws), [4, 0, 0, 0, 0, 0], "keys and values alone");
    one.pass(&[5, 6, 7], 1).unwrap();
    assert_eq!(worked(&one.ws), [3, 1, 1, 1, 1, 1]);
    // With two, the first one's rows are all there before the second one begins.
    let mut two = bed(ReferenceBackend, 2, DType::F32, 2);
    clear(&mut two.ws);
    two.pass(&[1, 2, 3, 4], 0).unwrap();
    assert_eq!(worked(&two.ws), [4, 4, 4, 4, 4, 0]);
    two.pass(&[5, 6, 7], 1).unwrap();
    assert_eq!(worked(&two.ws), [3, 1, 1, 1, 1, 1]);
    assert_eq!((one.sequence.len(), two.sequence.len()), (7, 7));
    // A prompt that wants nothing yet, the end of another one, and a token of a third text: two rows are enough.
    let mut sequences: Vec<_> = (0..3).map(|_| KvSequence::new(&two.pool, 100)).collect();
    two.together(&mut sequences, &[(&[1, 2, 3], 0), (&[4, 5], 1), (&[6], 1)]);
    assert_eq!(worked(&two.ws), [6, 2, 2, 2, 2, 2]);
    // No token: nothing happens.
    two.pass(&[], 1).unwrap();
    assert_eq!(two.sequence.len(), 7);
}

/// A decoder with windows in every other layer.
fn windowed() -> ModelSpec {
    let mut spec = spec(3);
    spec.layers[1].attention.window = Some(40);
    spec
}

/// Each text in passes with the others, in pieces of these lengths (0: not in that pass), has the logits that it has alone.
fn batched_is_alone<B: Backend>(
    make: impl Fn() -> B,
    format: DType,
    pieces: &[[usize; 3]],
    logits_rows: usize,
) {
    let mut bed = bed_of(make(), windowed(), format, logits_rows);
    let texts: Vec<Vec<u32>> = (0..3)
        .map(|text| {
            let len: usize = pieces.iter().map(|pass| pass[text]).sum();
            random_ids(VOCAB, len + text).split_off(text)
        })
        .collect();
    let mut sequences: Vec<_> = (0..3).map(|_| KvSequence::new(&bed.pool, 500)).collect();
    let mut found = vec![Vec::new(); 3];
    let mut done = [0; 3];
    for pass in pieces {
        // Another order in every other pass: rows of a text are where the others leave room.
        let parts: Vec<(&[u32], usize)> = (0..3)
            .map(|text| {
                (&texts[text][done[text]..done[text] + pass[text]], if pass[text] > 20 { 1 } else { 9 })
            })
            .collect();
        for (text, rows) in bed.together(&mut sequences, &parts).into_iter().enumerate() {
            done[text] += pass[text];
            let first = done[text] - rows.len();
            found[text].extend(rows.into_iter().enumerate().map(|(row, bits)| (first + row, bits)));
        }
    }
    for (text, found) in texts.iter().zip(&found) {
        bed.sequence.clear(&mut bed.pool);
        let mut alone = Vec::new();
        for part in text.chunks(37) {
            alone.extend(bed.all(part));
        }
        for (position, bits) in found {
            assert_eq!(*bits, alone[*position], "position {position} of {pieces:?}");
        }
    }
}

#[test]
fn several_sequences_in_one_pass_have_the_bits_that_each_has_alone() {
    let passes = [[100, 1, 3], [0, 1, 80], [1, 90, 1], [1, 1, 1], [30, 0, 5], [1, 1, 0]];
    for format in [DType::F32, DType::BF16, DType::Q8_0, DType::Q4_0] {
        batched_is_alone(cpu, format, &passes, 4);
    }
    batched_is_alone(|| ReferenceBackend, DType::Q8_0, &passes, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_mix_of_prompts_and_tokens(
        pieces in prop::collection::vec((0usize..70, prop_oneof![Just(1usize), 0usize..9], 0usize..50), 1..6),
        logits_rows in 1usize..12,
    ) {
        let pieces: Vec<[usize; 3]> = pieces.into_iter().map(<[usize; 3]>::from).collect();
        batched_is_alone(cpu, DType::Q8_0, &pieces, logits_rows);
    }
}

/// A text that begins as another one, in that one's pages, has the logits of the same text computed from its first token;
/// and the other one goes on as if nothing had happened.
fn shared_is_computed<B: Backend>(make: impl Fn() -> B) {
    let ids = random_ids(VOCAB, 400);
    for begins in [1, 63, 64, 100, 128, 150] {
        let mut bed = bed(make(), 2, DType::Q8_0, 4);
        let mut first = KvSequence::new(&bed.pool, 500);
        bed.together(std::slice::from_mut(&mut first), &[(&ids[..150], 1)]);
        let pages = bed.pool.size_bytes();
        let mut fork = first.fork(&mut bed.pool, begins, 500).unwrap();
        assert_eq!((fork.len(), fork.position(), bed.pool.size_bytes()), (begins, begins, pages));
        let (own, others) = (&ids[150..155], &ids[200..270]);
        // Both go on, in one pass and each by itself.
        let mut both = [first, fork];
        let rows = bed.together(&mut both, &[(own, 5), (others, 70)]);
        let [first, forked] = both;
        fork = forked;
        let next = bed.together(std::slice::from_mut(&mut fork), &[(&ids[270..273], 3)]);
        let mut expected = |text: &[u32]| {
            bed.sequence.clear(&mut bed.pool);
            bed.all(text)
        };
        assert_eq!(rows[0], expected(&[&ids[..150], own].concat())[150..], "{begins}");
        let of_fork = expected(&[&ids[..begins], others, &ids[270..273]].concat());
        assert_eq!(rows[1], of_fork[begins..begins + 70], "{begins}");
        assert_eq!(next[0], of_fork[begins + 70..], "{begins}");
        // A sequence that was cut back writes where the other one still reads.
        let mut again = fork.fork(&mut bed.pool, begins, 500).unwrap();
        fork.rewind(begins);
        bed.together(std::slice::from_mut(&mut fork), &[(&ids[300..320], 1)]);
        let rows = bed.together(std::slice::from_mut(&mut again), &[(others, 70)]);
        assert_eq!(rows[0], of_fork[begins..begins + 70], "{begins}");
        // An eviction moves slots, but not those of the other one.
        fork.retain(&bed.backend, &mut bed.pool, &[0..1, begins..begins + 20], 5).unwrap();
        let rows = bed.together(std::slice::from_mut(&mut again), &[(&ids[270..273], 3)]);
        assert_eq!(rows[0], of_fork[begins + 70..], "{begins}");
        assert_eq!(first.len(), 155);
    }
}

#[test]
fn a_shared_prefix_has_the_bits_of_a_computed_one() {
    shared_is_computed(cpu);
    shared_is_computed(|| ReferenceBackend);
}
