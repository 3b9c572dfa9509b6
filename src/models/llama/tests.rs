//! What a pass computes, and that leaving out unused results changes no bit.

use super::{Llama, Workspace};
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::backend::reference::ReferenceBackend;
use crate::core::{Backend, CoreError, DType, KvCache};
use crate::models::{Decoder, NamedShape, RandomWeights, random_ids};

const VOCAB: usize = 64;

/// A model with its memory.
struct Bed<B: Backend> {
    backend: B,
    model: Llama<B>,
    cache: KvCache<B::Buffer>,
    ws: Workspace<B>,
}

fn bed<B: Backend>(backend: B, layers: usize, format: DType, logits_rows: usize) -> Bed<B> {
    let spec =
        Decoder { layers, vocab_size: VOCAB, intermediate_size: 96, ..NamedShape::Demo.decoder() }.spec();
    let source = RandomWeights::new(&spec);
    let model = Llama::load(&backend, &source, spec, format, &mut |_| ()).unwrap();
    let cache = model.new_cache(&backend, DType::F16.into(), 64).unwrap();
    let ws = model.workspace(&backend, 16, logits_rows).unwrap();
    Bed { backend, model, cache, ws }
}

impl<B: Backend> Bed<B> {
    fn prefill(&mut self, ids: &[u32], logits: Option<&mut [f32]>) -> Result<(), CoreError> {
        self.model.prefill(&self.backend, ids, &mut self.cache, &mut self.ws, logits)
    }

    /// Every position's logits, as bits.
    fn all(&mut self, ids: &[u32]) -> Vec<Vec<u32>> {
        let mut rows = Vec::new();
        let mut sink = |_: usize, logits: &[f32]| rows.push(bits(logits));
        self.model.forward_all(&self.backend, ids, &mut self.cache, &mut self.ws, &mut sink).unwrap();
        rows
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn last_row_is_that_of_all<B: Backend>(make: impl Fn() -> B, layers: usize, format: DType) {
    let ids = random_ids(VOCAB, 16);
    let (prompt, next) = (&ids[..15], ids[15]);
    let mut whole = bed(make(), layers, format, 3);
    let expected = whole.all(prompt);
    let following = whole.all(&[next]).remove(0);
    for chunk in [1, 2, 7, 15] {
        let mut bed = bed(make(), layers, format, 1);
        let mut logits = vec![0.0; VOCAB];
        let mut done = 0;
        for part in prompt.chunks(chunk) {
            done += part.len();
            bed.prefill(part, (done == 15).then_some(&mut logits[..])).unwrap();
        }
        assert_eq!(bits(&logits), expected[14], "chunks of {chunk}");
        // Sees the keys and values of every token, those of the last layer too.
        bed.prefill(&[next], Some(&mut logits)).unwrap();
        assert_eq!(bits(&logits), following, "after chunks of {chunk}");
    }
}

#[test]
fn the_last_layer_gives_the_same_bits_for_one_position_as_for_all() {
    let cpu = || CpuBackend::new(CpuOptions { threads: Some(2), isa: None }).unwrap();
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
    let cpu = || CpuBackend::new(CpuOptions { threads: Some(2), isa: None }).unwrap();
    let expected = bed(cpu(), 2, DType::Q4_0, 1).all(&ids);
    let mut bed = bed(cpu(), 2, DType::Q4_0, 5);
    let Bed { backend, model, cache, ws } = &mut bed;
    let mut logits = vec![0.0; VOCAB];
    for from in (0..12).step_by(4) {
        model.decode_rows(backend, &ids[from..from + 4], cache, ws).unwrap();
        for row in [3, 0, 2, 1] {
            model.logits_of(backend, row, ws, &mut logits).unwrap();
            assert_eq!(bits(&logits), expected[from + row]);
        }
    }
    assert!(model.logits_of(backend, 4, ws, &mut logits).is_err(), "there were four rows");
    assert!(model.logits_of(backend, 0, ws, &mut logits[1..]).is_err());
    assert!(model.decode_rows(backend, &ids[..6], cache, ws).is_err(), "more than the workspace is for");
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
fn nothing_is_computed_that_nobody_reads() {
    let mut logits = vec![0.0; VOCAB];
    // With one layer, what is not computed there is not computed at all.
    let mut one = bed(ReferenceBackend, 1, DType::F32, 1);
    clear(&mut one.ws);
    one.prefill(&[1, 2, 3, 4], None).unwrap();
    assert_eq!(worked(&one.ws), [4, 0, 0, 0, 0, 0], "keys and values alone");
    one.prefill(&[5, 6, 7], Some(&mut logits)).unwrap();
    assert_eq!(worked(&one.ws), [3, 1, 1, 1, 1, 1]);
    // With two, the first one's rows are all there before the second one begins.
    let mut two = bed(ReferenceBackend, 2, DType::F32, 1);
    clear(&mut two.ws);
    two.prefill(&[1, 2, 3, 4], None).unwrap();
    assert_eq!(worked(&two.ws), [4, 4, 4, 4, 4, 0]);
    two.prefill(&[5, 6, 7], Some(&mut logits)).unwrap();
    assert_eq!(worked(&two.ws), [3, 1, 1, 1, 1, 1]);
    assert_eq!((one.cache.len(), two.cache.len()), (7, 7));
    // No token: nothing happens.
    two.prefill(&[], Some(&mut logits)).unwrap();
    assert_eq!(two.cache.len(), 7);
}
