//! A cache whose layers see different lengths of the text.

use super::*;

const WINDOW: usize = 100;

/// A layer that sees all, one with a window and other heads, and one more that sees all.
fn shapes(window: Option<usize>) -> [KvShape; 3] {
    [shape(2, 16), KvShape { kv_heads: 1, head_dim: 24, window }, shape(2, 16)]
}

fn cache<B: Backend>(b: &B, window: Option<usize>) -> OneSequence<B::Buffer> {
    OneSequence::new(b, &shapes(window), DType::F16.into(), 2000).unwrap()
}

/// Takes in `rows` tokens, and gives what each layer's queries see.
fn pass<B: Backend>(b: &B, cache: &mut OneSequence<B::Buffer>, rows: usize) -> Vec<Vec<f32>> {
    cache.reserve(b, rows).unwrap();
    let (at, position) = (cache.len(), cache.position() as u64);
    let mut all = Vec::new();
    for layer in 0..cache.layers() {
        let layout = *cache.layout(layer);
        // The same numbers for the same position, however the text is cut.
        let rows_of = |part: u64, width: usize| {
            let mut t = b.tensor(rows, width).unwrap();
            for row in 0..rows {
                let seed = ((position + row as u64) * 3 + layer as u64) * 3 + part;
                b.upload(&noise(seed, width).collect::<Vec<f32>>(), &mut t, row).unwrap();
            }
            t
        };
        let (q, k, v) =
            (rows_of(0, 2 * layout.width()), rows_of(1, layout.width()), rows_of(2, layout.width()));
        cache.append(b, layer, (&k, &v), at).unwrap();
        let window = (layer == 1).then_some(WINDOW);
        let how = AttentionParams { window, ..AttentionParams::of_head_dim(layout.head_dim) };
        let mut out = b.tensor(rows, q.cols()).unwrap();
        cache.attend(b, layer, &q, &how, at, &mut out).unwrap();
        let mut values = vec![0.0; rows * q.cols()];
        b.download(&out, 0, &mut values).unwrap();
        all.push(values);
    }
    cache.advance(rows);
    all
}

/// Slots that the layer with the window has memory for.
fn window_slots<B: Backend>(cache: &OneSequence<B::Buffer>) -> usize {
    cache.layer(1).0.pages * KvLayout::PAGE
}

#[test]
fn a_window_holds_no_more_than_it_needs_and_sees_the_same() {
    let b = cpu(Isa::Scalar, 2);
    let (mut windowed, mut whole) = (cache(&b, Some(WINDOW)), cache(&b, None));
    for rows in [70, 1, 150, 1, 1, 90, 3].into_iter().chain([1; 200]).chain([150]) {
        assert_eq!(pass(&b, &mut windowed, rows), pass(&b, &mut whole, rows), "at {}", windowed.len());
        // The window, the largest pass so far, and what is left of a page at either end.
        assert!(window_slots::<CpuBackend>(&windowed) <= WINDOW + 150 + 2 * KvLayout::PAGE);
    }
    let tokens = windowed.len();
    assert!(whole.layer(1).0.pages * KvLayout::PAGE >= tokens);
    let mut small = cache(&b, Some(WINDOW));
    (0..600).for_each(|_| drop(pass(&b, &mut small, 1)));
    assert!(window_slots::<CpuBackend>(&small) <= (WINDOW + KvLayout::PAGE).next_multiple_of(KvLayout::PAGE));
}

#[test]
fn a_window_can_be_cut_back_evicted_from_saved_and_used_again() {
    let b = cpu(Isa::Scalar, 1);
    let (mut windowed, mut whole) = (cache(&b, Some(WINDOW)), cache(&b, None));
    let both = |windowed: &mut OneSequence<_>, whole: &mut OneSequence<_>, rows: usize, what: &str| {
        assert_eq!(pass(&b, windowed, rows), pass(&b, whole, rows), "{what}");
    };
    both(&mut windowed, &mut whole, 300, "a prompt");
    both(&mut windowed, &mut whole, 7, "a draft");
    // What the last pass has added can be taken back; what is before the window is gone.
    assert!(
        windowed.sequence.can_rewind(300)
            && !windowed.sequence.can_rewind(150)
            && whole.sequence.can_rewind(150)
    );
    [&mut windowed, &mut whole].into_iter().for_each(|cache| cache.rewind(301));
    both(&mut windowed, &mut whole, 5, "after a draft that was taken back");
    // Sinks and the last 200: all that the window sees is there.
    for cache in [&mut windowed, &mut whole] {
        cache.retain(&b, &[0..4, 106..306], 300).unwrap();
    }
    assert_eq!((windowed.len(), windowed.position()), (204, 306));
    both(&mut windowed, &mut whole, 1, "after an eviction");
    both(&mut windowed, &mut whole, 80, "and some more");
    // What was given back cannot be kept where the window would see it again.
    let refused = windowed.retain(&b, &[0..60, 270..285], 0).unwrap_err();
    assert!(matches!(refused, CoreError::Mismatch { what: "slots before a window", .. }), "{refused}");
    assert_eq!(windowed.len(), 285, "nothing has changed");
    // Out and into another cache.
    let mut other = cache(&b, Some(WINDOW));
    other.reserve(&b, 285).unwrap();
    for layer in 0..windowed.layers() {
        other.import(&b, layer, &windowed.export(&b, layer, 0..285).unwrap(), 0).unwrap();
    }
    other.sequence.recount(285, windowed.position(), windowed.sequence.retained()).unwrap();
    assert_eq!(pass(&b, &mut other, 3), pass(&b, &mut whole, 3), "restored");
    // Another text.
    [&mut windowed, &mut whole].into_iter().for_each(OneSequence::clear);
    both(&mut windowed, &mut whole, 90, "another text");
}
