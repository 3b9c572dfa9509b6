use super::*;
use crate::kv::{Eviction, Registered};
use crate::models::NamedShape;

const GIB: u64 = 1 << 30;

fn options() -> SessionOptions {
    SessionOptions { weights: DType::BF16.into(), ..SessionOptions::default() }
}

const LONG: TextLength = TextLength { prompt: 10, generated: None };

fn demo() -> ModelFiles {
    ModelFiles::demo().unwrap()
}

#[test]
fn weights_stay_where_they_are_mapped_or_are_counted_in_the_format_asked_for() {
    let files = demo();
    let of = |dtype: DType, holding| {
        Footprint::of(&files, &SessionOptions { weights: dtype.into(), ..options() }, holding, LONG).unwrap()
    };
    // 13 norms of 128 gains; all else are matrices.
    let (vectors, matrices) = (13 * 128, 1_443_456 - 13 * 128);
    let stored = of(DType::BF16, Holding::InPlace);
    assert_eq!((stored.mapped, stored.converted), (2 * matrices, 4 * vectors));
    let copied = of(DType::BF16, Holding::Copied);
    assert_eq!((copied.mapped, copied.converted), (0, 2 * matrices + 4 * vectors));
    assert_eq!(of(DType::BF16, Holding::AsF32).converted, 4 * (matrices + vectors));
    assert_eq!(of(DType::Q8_0, Holding::InPlace).converted, matrices / 32 * 34 + 4 * vectors);
    assert_eq!(of(DType::Q8_0, Holding::InPlace).passing, 2 * 2048 * 128);
    let device = of(DType::Q8_0, Holding::OnDevice);
    assert_eq!((device.converted, device.cache, device.workspace), (0, 0, 0));
    assert_eq!(stored.own() + stored.mapped, stored.resident());
    // Two backends: the second has a copy of all, and a cache and a workspace of its own; keys and values of a layer, 256
    // bytes a token, go from one to the other through memory of the host.
    let both = of(DType::BF16, Holding::InPlaceAndCopied);
    assert_eq!((both.mapped, both.converted), (stored.mapped, copied.converted + stored.converted));
    assert_eq!((both.cache, both.workspace), (2 * stored.cache, 2 * stored.workspace + 4096 * 256));
    assert_eq!(both.program, stored.program);
}

#[test]
fn the_cache_is_counted_for_the_tokens_that_will_come() {
    let config = NamedShape::Llama32x1B.decoder().spec();
    let of = |options: &SessionOptions, text| {
        Footprint::without_weights(&config, options, Holding::InPlace, text).cache
    };
    // 16 layers, 8 heads of 64 elements, keys and values of two bytes.
    let token = 16 * 2 * 8 * 64 * 2;
    assert_eq!(of(&options(), LONG), 4096 * token);
    let short = TextLength { prompt: 100, generated: Some(28) };
    assert_eq!(of(&options(), short), 128 * token);
    assert_eq!(of(&SessionOptions { lookup: 2, ..options() }, short), 130 * token);
    assert_eq!(of(&SessionOptions { kv_types: DType::F32.into(), ..options() }, short), 256 * token);
    // After 8192 slots it grows by 4096, buffer by buffer: one of the 32 is there twice, with 8192 tokens.
    assert_eq!(of(&SessionOptions { max_seq_len: 8200, ..options() }, LONG), 8192 * token / 32 * 33);
    assert_eq!(of(&SessionOptions { max_seq_len: 12_000, ..options() }, LONG), 12_000 * token);
    let policy = Registered::named("sliding").unwrap();
    let eviction = Some(Eviction::new(policy, 512, 4, 0.75).unwrap());
    // An eviction moves slots in place.
    assert_eq!(of(&SessionOptions { eviction, ..options() }, LONG), 512 * token);
    assert_eq!(of(&SessionOptions { eviction, ..options() }, short), 128 * token);
    let huge = SessionOptions { max_seq_len: usize::MAX, ..options() };
    assert!(of(&huge, LONG) > u64::MAX / 2, "no overflow");
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let files = demo();
    let fit = |options: &SessionOptions, available| {
        Fit::of(&files, options, Holding::InPlace, LONG, available).unwrap().0
    };
    let wide = SessionOptions { max_seq_len: 1 << 20, kv_types: DType::F32.into(), ..options() };
    assert_eq!(fit(&wide, None), Fit::Fits);
    assert_eq!(fit(&wide, Some(64 * GIB)), Fit::Fits);
    let Fit::No(Unfit { why, remedies }) = fit(&wide, Some(GIB)) else { panic!("4 GB in 1") };
    assert_eq!(remedies, [Remedy::CacheType, Remedy::ContextLength]);
    for part in [
        "keys and values 3.48 GB for 1048576 tokens as f32",
        "only 1.07 GB is available",
        "a context of 262144 tokens would need",
    ] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    assert!(
        !why.contains("values as f16 would") && why.contains("values as q4_0 would need"),
        "f16 would not do: {why}"
    );
    let Fit::No(Unfit { why, .. }) = fit(&wide, Some(3 * GIB)) else { panic!("4 GB in 3") };
    assert!(why.contains("keys and values as f16 would need 1.7"), "{why}");
    // Both together, where neither does alone: the smallest context that is offered takes 128 tokens.
    let Fit::No(Unfit { why, .. }) = fit(&wide, Some(1 << 20)) else { panic!("a megabyte") };
    assert!(why.ends_with("use a smaller model, or free memory"), "{why}");
    let converted = SessionOptions { weights: DType::F32.into(), max_seq_len: 128, ..options() };
    let need = Footprint::of(&files, &converted, Holding::InPlace, LONG).unwrap();
    let Fit::No(Unfit { why, .. }) = fit(&converted, Some(need.own() - 1)) else { panic!("a byte short") };
    assert!(why.contains("weights 6 MB as f32") && why.contains("weights as q8_0 would need"), "{why}");
    assert_eq!(fit(&converted, Some(need.own())), Fit::Fits);
}

#[test]
fn mapped_weights_without_room_are_slow_and_no_error() {
    let files = demo();
    let short = SessionOptions { max_seq_len: 64, ..options() };
    let need = Footprint::of(&files, &short, Holding::InPlace, LONG).unwrap();
    let fit = |available| Fit::of(&files, &short, Holding::InPlace, LONG, Some(available)).unwrap().0;
    assert_eq!(fit(need.own() + need.mapped), Fit::Fits);
    let Fit::Slow(Unfit { why, .. }) = fit(need.own() + need.mapped - 1) else { panic!("a byte short") };
    assert!(why.contains("3 MB as bf16") && why.contains("slow; as q8_0 they would take 2 MB"), "{why}");
    assert!(matches!(fit(need.own()), Fit::Slow(_)));
    assert!(matches!(fit(need.own() - 1), Fit::No(_)));
}
