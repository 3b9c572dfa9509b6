//! What holds between backends: a cache that leaves one can go on in another, and several sequences share a pass.

mod batch;
mod windows;

use super::cpu::{CpuBackend, CpuOptions, Isa};
use super::opencl::{DeviceCache, OpenClBackend, OpenClError, OpenClOptions};
use super::reference::ReferenceBackend;
use crate::core::{
    AttentionParams, Backend, CoreError, DType, KvLayer, KvLayout, KvShape, KvTypes, OneSequence, PageId,
    Run, Tensor,
};
use crate::models::noise;
use crate::quant::heads;

/// Heads, and elements of a head.
const HEADS: [(usize, usize); 5] = [(1, 1), (2, 8), (3, 17), (1, 64), (2, 80)];

fn layouts() -> impl Iterator<Item = KvLayout> {
    KvTypes::various()
        .flat_map(move |types| HEADS.map(|(kv_heads, head_dim)| KvLayout { types, kv_heads, head_dim }))
}

fn cpu(isa: Isa, threads: usize) -> CpuBackend {
    CpuBackend::new(CpuOptions { isa: Some(isa), threads: Some(threads) }).unwrap()
}

/// `None`, and `test` is skipped, where there is no device.
fn opencl(test: &str) -> Option<OpenClBackend> {
    let cache = DeviceCache::new(Some(std::env::temp_dir().join("llm_rs2-test-kernels")));
    match OpenClBackend::new(OpenClOptions { cache, ..OpenClOptions::default() }) {
        Ok(gpu) => Some(gpu),
        Err(OpenClError::Static | OpenClError::NoLibrary { .. } | OpenClError::NoDevice { .. }) => {
            crate::skip::skipped(test, "there is no OpenCL device");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn tensor<B: Backend>(b: &B, seed: u64, rows: usize, cols: usize) -> Tensor<B::Buffer> {
    let mut t = b.tensor(rows, cols).unwrap();
    b.upload(&noise(seed, rows * cols).collect::<Vec<f32>>(), &mut t, 0).unwrap();
    t
}

/// Bytes of `slots` exported slots that no two neighbours share.
fn bytes(seed: usize, layout: &KvLayout, slots: usize) -> (Vec<u8>, Vec<u8>) {
    let (k, v) = layout.slot_bytes();
    let some =
        |len: usize, salt: usize| (0..len).map(|i| ((i * 89 + i / 251 + salt * 57) % 253) as u8).collect();
    (some(k * slots, seed), some(v * slots, seed + 1))
}

/// So many pages, and the table of a sequence that has all of them, the last one first.
fn paged<B: Backend>(b: &B, layout: &KvLayout, slots: usize) -> (KvLayer<B::Buffer>, Vec<PageId>) {
    let pages: Vec<PageId> = (0..slots.div_ceil(KvLayout::PAGE)).rev().map(PageId::new).collect();
    (KvLayer::new(b, *layout, pages.len()).unwrap(), pages)
}

/// The rows of a pass of one sequence.
fn run(pages: &[PageId], rows: usize, len: usize) -> [Run<'_>; 1] {
    [Run { rows: 0..rows, pages, len }]
}

fn export<B: Backend>(
    b: &B,
    (layer, pages): (&KvLayer<B::Buffer>, &[PageId]),
    slots: std::ops::Range<usize>,
) -> (Vec<u8>, Vec<u8>) {
    let (k, v) = layer.layout.slot_bytes();
    let (mut k, mut v) = (vec![0x55; k * slots.len()], vec![0x55; v * slots.len()]);
    b.kv_export(layer, pages, slots, &mut k, &mut v).unwrap();
    (k, v)
}

/// Any bits go in and come out where they belong, and nowhere else.
fn bits_survive<B: Backend>(b: &B) {
    for layout in layouts() {
        let (mut layer, pages) = paged(b, &layout, 70);
        let (mut k, mut v) = bytes(1, &layout, 70);
        b.kv_import(&k, &v, &mut layer, &pages, 0).unwrap();
        let (new_k, new_v) = bytes(9, &layout, 21);
        b.kv_import(&new_k, &new_v, &mut layer, &pages, 13).unwrap();
        let (slot_k, slot_v) = layout.slot_bytes();
        k[13 * slot_k..34 * slot_k].copy_from_slice(&new_k);
        v[13 * slot_v..34 * slot_v].copy_from_slice(&new_v);
        for slots in [0..70, 3..41, 16..32, 69..70, 5..5] {
            let expected_k = &k[slots.start * slot_k..slots.end * slot_k];
            let expected_v = &v[slots.start * slot_v..slots.end * slot_v];
            let (got_k, got_v) = export(b, (&layer, &pages), slots.clone());
            assert!(
                (&got_k[..], &got_v[..]) == (expected_k, expected_v),
                "{} {layout:?} {slots:?}",
                b.name()
            );
        }
        let mut refused = |slots: std::ops::Range<usize>, less: usize| {
            let len = 70 * slot_k;
            let result = b.kv_export(&layer, &pages, slots.clone(), &mut k[..len - less], &mut v);
            assert!(matches!(result, Err(CoreError::Mismatch { .. })), "{slots:?} {result:?}");
        };
        refused(59..129, 0);
        refused(0..70, 1);
        refused(std::ops::Range { start: 70, end: 0 }, 0);
        assert!(b.kv_import(&k, &v[1..], &mut layer, &pages, 0).is_err());
        assert!(b.kv_import(&k, &v, &mut layer, &pages, 59).is_err());
    }
}

#[test]
fn a_cache_is_exported_and_imported_bit_for_bit() {
    bits_survive(&ReferenceBackend);
    bits_survive(&cpu(Isa::Scalar, 1));
    if let Some(gpu) = opencl("a_cache_is_exported_and_imported_bit_for_bit") {
        bits_survive(&gpu);
    }
}

/// What two queries see of a cache whose last slot is `last`.
fn look<B: Backend>(b: &B, (layer, pages): (&KvLayer<B::Buffer>, &[PageId]), last: usize) -> Vec<f32> {
    let width = 2 * layer.layout.width();
    let mut out = b.tensor(2, width).unwrap();
    let how = AttentionParams::of_head_dim(layer.layout.head_dim);
    b.attention(&tensor(b, 3, 2, width), layer, &how, &run(pages, 2, last - 1), &mut out).unwrap();
    let mut seen = vec![0.0; 2 * width];
    b.download(&out, 0, &mut seen).unwrap();
    seen
}

/// What is seen through `from`, and through `to` once the cache has moved there.
fn moved<A: Backend, B: Backend>(from: &A, to: &B, layout: &KvLayout) -> (Vec<f32>, Vec<f32>) {
    let (mut layer, pages) = paged(from, layout, 70);
    let (k, v) = (tensor(from, 1, 70, layout.width()), tensor(from, 2, 70, layout.width()));
    from.kv_append(&k, &v, &mut layer, &run(&pages, 70, 0)).unwrap();
    let (k, v) = export(from, (&layer, &pages), 0..70);
    // Pages of other numbers.
    let (mut there, _) = paged(to, layout, 300);
    let others = [3, 1].map(PageId::new);
    to.kv_import(&k, &v, &mut there, &others, 0).unwrap();
    let back = export(to, (&there, &others), 0..70);
    assert!(back == (k, v), "{} to {} {layout:?}", from.name(), to.name());
    (look(from, (&layer, &pages), 69), look(to, (&there, &others), 69))
}

#[test]
fn attention_goes_on_where_a_cache_has_moved_to() {
    let gpu = opencl("attention_goes_on_where_a_cache_has_moved_to");
    let scalar = cpu(Isa::Scalar, 1);
    let close = |(a, b): (Vec<f32>, Vec<f32>), layout: &KvLayout| {
        assert!(a.iter().any(|x| x.abs() > 1e-3));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{layout:?}");
    };
    for layout in layouts() {
        for isa in Isa::available() {
            let (here, there) = moved(&scalar, &cpu(isa, 2), &layout);
            assert_eq!(here, there, "{isa} {layout:?}");
        }
        close(moved(&scalar, &ReferenceBackend, &layout), &layout);
        close(moved(&ReferenceBackend, &scalar, &layout), &layout);
        if let Some(gpu) = &gpu {
            close(moved(&scalar, gpu, &layout), &layout);
            close(moved(gpu, &scalar, &layout), &layout);
        }
    }
}

/// Keys and values of the slots held in a layer.
fn held<B: Backend>(b: &B, cache: &OneSequence<B::Buffer>, layer: usize) -> (Vec<u8>, Vec<u8>) {
    cache.export(b, layer, 0..cache.len()).unwrap()
}

fn shape(kv_heads: usize, head_dim: usize) -> KvShape {
    KvShape { kv_heads, head_dim, window: None }
}

#[test]
fn a_whole_cache_moves_with_its_counts() {
    let (from, to) = (cpu(Isa::Scalar, 1), ReferenceBackend);
    // Layers that differ.
    let shapes = [shape(2, 8), shape(1, 12)];
    let mut cache = OneSequence::new(&from, &shapes, DType::F16.into(), 600).unwrap();
    cache.reserve(&from, 300).unwrap();
    for layer in 0..2 {
        let width = cache.layout(layer).width();
        let (k, v) =
            (tensor(&from, 10 + layer as u64, 300, width), tensor(&from, 20 + layer as u64, 300, width));
        cache.append(&from, layer, (&k, &v), 0).unwrap();
    }
    cache.advance(300);
    cache.retain(&from, &[0..4, 100..300], 0).unwrap();
    let stored = [held(&from, &cache, 0), held(&from, &cache, 1)];
    assert_ne!(stored[0], stored[1]);
    let mut other = OneSequence::new(&to, &shapes, DType::F16.into(), 1000).unwrap();
    other.reserve(&to, 204).unwrap();
    for (layer, stored) in stored.iter().enumerate() {
        other.import(&to, layer, stored, 0).unwrap();
    }
    other.sequence.recount(204, 300, 300).unwrap();
    assert!(other.sequence.can_rewind(300) && !other.sequence.can_rewind(299));
    assert_eq!((other.len(), other.position()), (204, 300));
    for layer in 0..2 {
        assert!(held(&from, &cache, layer) == held(&to, &other, layer));
    }
    // It goes on from there: the next token is one after those held.
    other.reserve(&to, 1).unwrap();
    other.advance(1);
    assert_eq!((other.len(), other.position()), (205, 301));
    assert!(other.sequence.recount(204, 203, 200).is_err(), "seen fewer than held");
    for retained in [0, 95, 301] {
        assert!(other.sequence.recount(204, 300, retained).is_err(), "evicted when {retained} were seen");
    }
    assert_eq!((other.len(), other.position()), (205, 301), "nothing has changed");
    assert!(other.sequence.recount(204, 300, 250).is_ok());
    other.clear();
    assert_eq!((other.len(), other.position()), (0, 0));
}

/// What a layer of any types stands for, in f32.
fn wide<B: Backend>(
    b: &B,
    (layer, pages): (&KvLayer<B::Buffer>, &[PageId]),
    len: usize,
) -> (KvLayer<B::Buffer>, Vec<PageId>) {
    let (layout, (k, v)) = (layer.layout, export(b, (layer, pages), 0..len));
    let decoded = |dtype, bytes: &[u8]| -> Vec<u8> {
        let mut head = vec![0.0; layout.head_dim];
        let heads = bytes.chunks_exact(layout.head_bytes(dtype));
        heads
            .flat_map(|bytes| {
                heads::decode(dtype, bytes, &mut head).unwrap();
                head.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()
            })
            .collect()
    };
    let (mut wide, pages) = paged(b, &KvLayout { types: DType::F32.into(), ..layout }, len);
    b.kv_import(&decoded(layout.types.k, &k), &decoded(layout.types.v, &v), &mut wide, &pages, 0).unwrap();
    (wide, pages)
}

/// The numeric contract of all caches: what is stored is rounded, and nothing else is.
#[test]
fn attention_is_that_over_an_f32_cache_of_what_the_stored_values_stand_for() {
    for layout in layouts() {
        for isa in Isa::available() {
            for threads in [1, 3] {
                let b = cpu(isa, threads);
                let (mut layer, pages) = paged(&b, &layout, 600);
                // In uneven chunks, over a whole span.
                for (at, rows) in [(0, 37), (37, 1), (38, 562)] {
                    let [k, v] = [0, 7].map(|seed| tensor(&b, seed + at as u64, rows, layout.width()));
                    b.kv_append(&k, &v, &mut layer, &run(&pages, rows, at)).unwrap();
                }
                let (wide, wide_pages) = wide(&b, (&layer, &pages), 600);
                for last in [1, 40, 599] {
                    let seen = look(&b, (&layer, &pages), last);
                    assert!(seen.iter().any(|x| x.abs() > 1e-3));
                    let expected = look(&b, (&wide, &wide_pages), last);
                    assert_eq!(seen, expected, "{isa} {threads} {layout:?} {last}");
                }
            }
        }
    }
}

#[test]
fn eviction_growth_and_rewinding_keep_stored_blocks_as_they_are() {
    let b = cpu(Isa::Scalar, 1);
    let bytes_of = |types: KvTypes, slots: usize| {
        let mut cache = OneSequence::new(&b, &[shape(2, 40); 2], types, 1000).unwrap();
        cache.reserve(&b, slots).unwrap();
        cache.size_bytes()
    };
    for types in KvTypes::various() {
        let mut cache = OneSequence::new(&b, &[shape(2, 40); 2], types, 1000).unwrap();
        let add = |cache: &mut OneSequence<_>, rows: usize| {
            cache.reserve(&b, rows).unwrap();
            let (at, seed) = (cache.len(), cache.position() as u64);
            for layer in 0..2 {
                let (k, v) = (tensor(&b, seed + layer, rows, 80), tensor(&b, seed + 2 + layer, rows, 80));
                cache.append(&b, layer as usize, (&k, &v), at).unwrap();
            }
            cache.advance(rows);
        };
        add(&mut cache, 250);
        let before = held(&b, &cache, 1);
        add(&mut cache, 300);
        assert!(cache.pool.whole_capacity() > 512, "it has grown");
        cache.rewind(250);
        assert!(held(&b, &cache, 1) == before, "{types}");
        cache.retain(&b, &[0..5, 17..100], 10).unwrap();
        assert_eq!(cache.size_bytes(), bytes_of(types, 256), "memory goes back");
        let (k, v) = cache.layout(1).slot_bytes();
        let kept = held(&b, &cache, 1);
        for (kept, before, slot) in [(&kept.0, &before.0, k), (&kept.1, &before.1, v)] {
            let right = [&before[..5 * slot], &before[17 * slot..100 * slot]].concat();
            assert!(*kept == right, "{types}");
        }
    }
    // 40 elements are a block and a short one; a buffer ends with a whole block.
    let buffer = |slot: usize, block| (2 * 256 * slot).next_multiple_of(block);
    let (q8_0, q4_0, f16) = (buffer(34 + 10, 34), buffer(18 + 6, 18), 2 * 256 * 80);
    assert_eq!(bytes_of(DType::F16.into(), 256), 2 * (f16 + f16));
    assert_eq!(bytes_of(DType::Q8_0.into(), 256), 2 * (q8_0 + q8_0));
    assert_eq!(bytes_of(KvTypes { k: DType::Q8_0, v: DType::Q4_0 }, 256), 2 * (q8_0 + q4_0));
}
