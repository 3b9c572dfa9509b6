//! The chain as a whole, against naive code and against numbers from outside.

use proptest::prelude::*;

use super::*;
use crate::core::Top;

/// Gives the same draws again and again.
struct Fixed(u64);

impl RandomSource for Fixed {
    fn next_bits53(&mut self) -> u64 {
        self.0
    }
}

/// Counts its draws.
struct Counting(SeededRng, usize);

impl RandomSource for Counting {
    fn next_bits53(&mut self) -> u64 {
        self.1 += 1;
        self.0.next_bits53()
    }
}

const LAST_DRAW: u64 = (1 << 53) - 1;

/// Nothing but the temperature 1.
fn plain() -> SamplingParams {
    SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, ..SamplingParams::default() }
}

fn candidates(logits: &[f32]) -> Candidates {
    let mut candidates = Candidates::default();
    candidates.fill(logits);
    candidates
}

fn ids(candidates: &Candidates) -> Vec<u32> {
    let mut ids: Vec<u32> = candidates.items().iter().map(|c| c.id).collect();
    ids.sort_unstable();
    ids
}

fn filtered(filter: &dyn LogitsFilter, logits: &[f32]) -> Vec<u32> {
    let mut candidates = candidates(logits);
    filter.apply(&mut candidates);
    ids(&candidates)
}

/// The candidates of a chain with this top-k.
fn top_k(k: usize, logits: &[f32]) -> Vec<u32> {
    let mut top = Top::default();
    top.find(logits, k);
    let mut candidates = Candidates::default();
    candidates.fill_some(top.found().iter().copied());
    ids(&candidates)
}

/// Logits whose probabilities are 0.5, 0.2, 0.2 and 0.1.
fn logits_of_known_probabilities() -> [f32; 4] {
    [0.2_f32.ln(), 0.5_f32.ln(), 0.1_f32.ln(), 0.2_f32.ln()]
}

#[test]
fn each_filter_by_hand() {
    let logits = logits_of_known_probabilities();
    assert_eq!(top_k(1, &logits), [1]);
    assert_eq!(top_k(2, &logits), [0, 1]); // 0 and 3 are equal: the lower id stays
    assert_eq!(top_k(3, &logits), [0, 1, 3]);
    assert_eq!(top_k(9, &logits), [0, 1, 2, 3]);
    assert_eq!(filtered(&TopP(0.4), &logits), [1]);
    assert_eq!(filtered(&TopP(0.6), &logits), [0, 1]);
    assert_eq!(filtered(&TopP(0.8), &logits), [0, 1, 3]);
    assert_eq!(filtered(&TopP(0.95), &logits), [0, 1, 2, 3]);
    assert_eq!(filtered(&TopP(1e-9), &logits), [1]);
    assert_eq!(filtered(&MinP(0.3), &logits), [0, 1, 3]); // 0.3 * 0.5 = 0.15
    assert_eq!(filtered(&MinP(0.5), &logits), [1]);
    assert_eq!(filtered(&MinP(0.1), &logits), [0, 1, 2, 3]);
    let mut tempered = candidates(&[3.0, 1.0, -1.0]);
    Temperature(0.5).apply(&mut tempered);
    assert_eq!(tempered.items().iter().map(|c| c.logit).collect::<Vec<_>>(), [0.0, -4.0, -8.0]);
}

#[test]
fn draws_fall_on_candidates_in_order_of_id() {
    let mut logits = logits_of_known_probabilities();
    let mut chain = Chain::new(&plain()).unwrap();
    // The bounds of the four probabilities: 0, 0.2, 0.7, 0.8, 1.
    for (u, token) in [(0.0, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (0.79, 2), (0.81, 3)] {
        let draw = (u * (1_u64 << 53) as f64) as u64;
        assert_eq!(chain.sample(&mut logits, &[], &mut Fixed(draw)), Ok(token), "{u}");
    }
    assert_eq!(chain.sample(&mut logits, &[], &mut Fixed(LAST_DRAW)), Ok(3));
}

#[test]
fn tokens_come_as_often_as_their_probabilities_say() {
    let mut chain = Chain::new(&SamplingParams { temperature: 2.0, ..plain() }).unwrap();
    // Temperature 2 takes the square root of each probability, up to a factor.
    let roots = [0.2_f64.sqrt(), 0.5_f64.sqrt(), 0.1_f64.sqrt(), 0.2_f64.sqrt()];
    let sum: f64 = roots.iter().sum();
    let mut counts = [0_u32; 4];
    for seed in 0..20_000 {
        let token =
            chain.sample(&mut logits_of_known_probabilities(), &[], &mut SeededRng::new(seed)).unwrap();
        counts[token as usize] += 1;
    }
    let chi2: f64 = (roots.iter().zip(counts))
        .map(|(root, count)| {
            let expected = 20_000.0 * root / sum;
            (f64::from(count) - expected).powi(2) / expected
        })
        .sum();
    // Three degrees of freedom: 16.3 is exceeded once in a thousand.
    assert!(chi2 < 16.3, "{chi2}: {counts:?}");
}

#[test]
fn the_order_is_temperature_then_top_p() {
    // At temperature 2 the likeliest of 0.5, 0.2, 0.2, 0.1 has 0.376: no longer enough for top-p 0.45.
    let params = SamplingParams { temperature: 2.0, top_p: 0.45, ..plain() };
    let mut chain = Chain::new(&params).unwrap();
    let mut logits = logits_of_known_probabilities();
    assert_eq!(chain.sample(&mut logits, &[], &mut Fixed(0)), Ok(0));
    let mut chain = Chain::new(&SamplingParams { temperature: 1.0, ..params }).unwrap();
    assert_eq!(chain.sample(&mut logits, &[], &mut Fixed(0)), Ok(1));
    // Top-k before top-p: of two candidates with 5/7 and 2/7 the first is enough for 0.7.
    let mut chain = Chain::new(&SamplingParams { top_k: 2, top_p: 0.7, ..plain() }).unwrap();
    assert_eq!(chain.sample(&mut logits, &[], &mut Fixed(0)), Ok(1));
    assert_eq!(chain.sample(&mut logits, &[], &mut Fixed(LAST_DRAW)), Ok(1));
}

#[test]
fn greedy_takes_the_lowest_of_equals_after_penalties_and_draws_nothing() {
    for params in [SamplingParams::greedy(), SamplingParams { top_k: 1, ..plain() }] {
        let mut rng = Counting(SeededRng::new(0), 0);
        let mut chain = Chain::new(&params).unwrap();
        assert_eq!(chain.sample(&mut [1.0, 3.0, 3.0], &[], &mut rng), Ok(1));
        assert_eq!(chain.sample(&mut [0.0, f32::INFINITY, f32::INFINITY], &[], &mut rng), Ok(1));
        let mut chain = Chain::new(&SamplingParams { repetition_penalty: 2.0, ..params }).unwrap();
        assert_eq!(chain.sample(&mut [1.0, 3.0, 2.0], &[1], &mut rng), Ok(2));
        assert_eq!(rng.1, 0);
    }
    assert_eq!(Greedy.sample(&mut candidates(&[1.0, 3.0, 3.0]), &mut Fixed(0)), Some(1));
    assert_eq!(Greedy.sample(&mut candidates(&[]), &mut Fixed(0)), None);
}

#[test]
fn what_is_needed_of_the_logits_follows_from_the_settings() {
    let need = |params: SamplingParams| Chain::new(&params).unwrap().need();
    assert_eq!(need(SamplingParams::greedy()), Need::Largest);
    assert_eq!(need(SamplingParams { top_k: 1, ..plain() }), Need::Largest);
    assert_eq!(need(SamplingParams { top_k: 7, top_p: 0.5, min_p: 0.1, ..plain() }), Need::Top(7));
    assert_eq!(need(plain()), Need::All);
    for params in [SamplingParams::greedy(), SamplingParams::default()] {
        assert_eq!(need(SamplingParams { repetition_penalty: 1.1, ..params }), Need::All);
        assert_eq!(need(SamplingParams { presence_penalty: 0.1, ..params }), Need::All);
        // What a chain needs less of, it can be given more of.
        let mut chain = Chain::new(&params).unwrap();
        let mut top = Top::default();
        top.find(&[1.0, f32::NAN], 2);
        let chosen = chain.sample_top(&top, 2, &mut Fixed(0));
        assert_eq!(chosen, Err(SamplingError::NanLogit { token: 1 }));
        top.find(&[f32::NEG_INFINITY; 2], 2);
        let chosen = chain.sample_top(&top, 2, &mut Fixed(0));
        assert_eq!(chosen, Err(SamplingError::NoCandidates { vocab: 2 }));
    }
}

#[test]
fn the_chances_are_those_of_the_draw() {
    let near = |found: Vec<(u32, f64)>, expected: &[(u32, f64)]| {
        let same = |(a, b): (&(u32, f64), &(u32, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6;
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(same),
            "{found:?} {expected:?}"
        );
    };
    let of = |params: SamplingParams, logits: &mut [f32]| {
        let mut chain = Chain::new(&params).unwrap();
        let chosen = chain.sample(logits, &[], &mut Fixed(0)).unwrap();
        chain.chances(chosen)
    };
    let mut logits = logits_of_known_probabilities();
    near(of(plain(), &mut logits), &[(1, 0.5), (0, 0.2), (3, 0.2), (2, 0.1)]);
    // Of two candidates with 0.5 and 0.2.
    near(of(SamplingParams { top_k: 2, ..plain() }, &mut logits), &[(1, 5.0 / 7.0), (0, 2.0 / 7.0)]);
    // One is enough for top-p.
    near(of(SamplingParams { top_p: 0.4, ..plain() }, &mut logits), &[(1, 1.0)]);
    near(of(SamplingParams::greedy(), &mut logits), &[(1, 1.0)]);
    // exp(-40) is below the resolution.
    near(of(plain(), &mut [0.0, -40.0, 0.0]), &[(0, 0.5), (2, 0.5)]);
    let biased = Chain::new(&plain()).unwrap().biased(&[(1, f32::NEG_INFINITY)]);
    let mut chain = biased;
    chain.sample(&mut logits_of_known_probabilities(), &[], &mut Fixed(0)).unwrap();
    near(chain.chances(0), &[(0, 0.4), (3, 0.4), (2, 0.2)]);
}

#[test]
fn one_draw_per_token() {
    let mut rng = Counting(SeededRng::new(0), 0);
    let mut chain = Chain::new(&SamplingParams::default()).unwrap();
    chain.sample(&mut logits_of_known_probabilities(), &[], &mut rng).unwrap();
    chain.sample(&mut [f32::NEG_INFINITY, 1.0], &[], &mut rng).unwrap(); // one candidate: still a draw
    assert_eq!(rng.1, 2);
}

#[test]
fn logits_without_meaning_are_errors() {
    let inf = f32::INFINITY;
    for params in [SamplingParams::greedy(), SamplingParams::default()] {
        let mut chain = Chain::new(&params).unwrap();
        let mut sample = |logits: &mut [f32]| chain.sample(logits, &[], &mut Fixed(LAST_DRAW));
        assert_eq!(sample(&mut [0.0, inf, f32::NAN]), Err(SamplingError::NanLogit { token: 2 }));
        assert_eq!(sample(&mut [-inf, -inf]), Err(SamplingError::NoCandidates { vocab: 2 }));
        assert_eq!(sample(&mut []), Err(SamplingError::NoCandidates { vocab: 0 }));
        assert_eq!(sample(&mut [-inf, f32::MIN]), Ok(1));
        assert!([1, 2].contains(&sample(&mut [f32::MAX, inf, inf]).unwrap()));
    }
    // The smallest temperature and the largest penalties do not overflow into NaN.
    let params = SamplingParams {
        temperature: f32::from_bits(1),
        repetition_penalty: f32::MIN_POSITIVE,
        frequency_penalty: -f32::MAX,
        ..plain()
    };
    let mut chain = Chain::new(&params).unwrap();
    assert_eq!(chain.sample(&mut [1.0, f32::MAX, f32::MIN], &[0, 0, 1], &mut Fixed(0)), Ok(0));
    assert!(Chain::new(&SamplingParams { top_p: 0.0, ..plain() }).is_err());
}

/// A vocabulary of the size of Llama 3's, with the logits of a hash.
fn large_logits() -> Vec<f32> {
    (0..128_256_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 12) as f32 / 65_536.0).collect()
}

#[test]
fn tokens_of_a_seed_never_change() {
    // From an implementation of the same definitions in another language.
    let cases = [
        (
            SamplingParams::default(),
            42,
            [6_765, 110_447, 24_476, 79_206, 121_393, 42_187, 110_447, 57_314, 81_790, 96_917, 48_952, 6_765],
        ),
        (
            plain(),
            42,
            [4_833, 114_288, 22_180, 79_837, 122_778, 41_022, 114_136, 57_801, 81_277, 96_213, 49_617, 5_655],
        ),
        (
            SamplingParams { temperature: 1.5, top_p: 0.9, min_p: 0.05, ..plain() },
            7,
            [12_161, 56_932, 56_304, 17_528, 42_656, 37_454, 1_186, 28_809, 11_153, 59_694, 57_432, 125_467],
        ),
    ];
    let logits = large_logits();
    for (params, seed, expected) in cases {
        let mut chain = Chain::new(&params).unwrap();
        let mut rng = SeededRng::new(seed);
        let tokens = expected.map(|_| chain.sample(&mut logits.clone(), &[], &mut rng).unwrap());
        assert_eq!(tokens, expected);
    }
}

/// The definition of top-p: everything sorted, then the shortest prefix that is enough.
fn naive_top_p(logits: &[f32], p: f32) -> Vec<u32> {
    let mut all = candidates(logits);
    let target = (f64::from(p) * all.weigh() as f64).ceil();
    let mut sorted = all.items().to_vec();
    sorted.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap().then(a.id.cmp(&b.id)));
    let mut mass = 0_u128;
    let mut kept: Vec<u32> = Vec::new();
    for c in sorted {
        kept.push(c.id);
        mass += u128::from(c.weight);
        if mass as f64 >= target {
            break;
        }
    }
    kept.sort_unstable();
    kept
}

/// Logits with many ties, some of them -inf, at least one not.
fn some_logits() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        4 => -8.0_f32..8.0,
        4 => (-6_i8..6).prop_map(f32::from),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(-0.0_f32),
    ];
    (prop::collection::vec(logit, 0..400), 0.0_f32..4.0).prop_map(|(mut logits, one)| {
        logits.push(one);
        logits
    })
}

proptest! {
    #[test]
    fn top_k_keeps_the_first_k_of_the_sorted(logits in some_logits(), k in 1_usize..500) {
        let mut sorted: Vec<(u32, f32)> =
            (0..).zip(logits.iter().copied()).filter(|&(_, l)| l > f32::NEG_INFINITY).collect();
        sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        let mut expected: Vec<u32> = sorted.iter().take(k).map(|c| c.0).collect();
        expected.sort_unstable();
        prop_assert_eq!(top_k(k, &logits), expected);
    }

    #[test]
    fn top_p_keeps_the_shortest_prefix_of_the_sorted(logits in some_logits(), p in 0.001_f32..1.0) {
        prop_assert_eq!(filtered(&TopP(p), &logits), naive_top_p(&logits, p));
    }

    #[test]
    fn min_p_keeps_what_is_likely_enough(logits in some_logits(), p in 0.0_f32..0.999) {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let kept = filtered(&MinP(p), &logits);
        for (id, &logit) in (0..).zip(&logits) {
            let share = f64::from(logit - max).exp();
            // On the boundary itself rounding decides.
            if (share - f64::from(p)).abs() > 1e-6 && logit > f32::NEG_INFINITY {
                prop_assert_eq!(kept.contains(&id), share > f64::from(p), "{} {}", id, share);
            }
        }
    }

    #[test]
    fn what_is_impossible_is_never_sampled(
        logits in some_logits(),
        draw in 0_u64..=LAST_DRAW,
        (temperature, top_k, top_p, min_p) in (0.01_f32..3.0, 0_usize..50, 0.01_f32..=1.0, 0.0_f32..0.99),
    ) {
        let params = SamplingParams { temperature, top_k, top_p, min_p, ..plain() };
        let mut chain = Chain::new(&params).unwrap();
        for draw in [0, draw, LAST_DRAW] {
            let token = chain.sample(&mut logits.clone(), &[], &mut Fixed(draw)).unwrap();
            prop_assert!(logits[token as usize] > f32::NEG_INFINITY);
        }
    }

    #[test]
    fn the_largest_few_are_all_that_top_k_needs(
        logits in some_logits(),
        draw in 0_u64..=LAST_DRAW,
        (temperature, top_k, top_p, min_p) in (0.01_f32..3.0, 2_usize..50, 0.01_f32..=1.0, 0.0_f32..0.99),
    ) {
        let params = SamplingParams { temperature, top_k, top_p, min_p, ..plain() };
        let mut chain = Chain::new(&params).unwrap();
        prop_assert_eq!(chain.need(), Need::Top(top_k));
        // The definition, without the short cut: all that are below the k-th are out of the question.
        let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        let mut few = vec![f32::NEG_INFINITY; logits.len()];
        sorted.iter().take(top_k).for_each(|&(id, logit)| few[id as usize] = logit);
        let mut whole = Chain::new(&SamplingParams { top_k: 0, ..params }).unwrap();
        let expected = whole.sample(&mut few, &[], &mut Fixed(draw));
        let mut top = Top::default();
        let backward: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        top.select(backward.into_iter().rev(), top_k);
        prop_assert_eq!(chain.sample_top(&top, logits.len(), &mut Fixed(draw)), expected);
        prop_assert_eq!(chain.sample(&mut logits.clone(), &[], &mut Fixed(draw)), expected);
    }

    #[test]
    fn the_order_of_candidates_does_not_matter(
        logits in some_logits(),
        draw in 0_u64..=LAST_DRAW,
        rotation in 0_usize..400,
        (p, m) in (0.01_f32..1.0, 0.0_f32..0.5),
    ) {
        let run = |mut candidates: Candidates| {
            let filters: [&dyn LogitsFilter; 3] = [&Temperature(0.7), &TopP(p), &MinP(m)];
            for filter in filters {
                filter.apply(&mut candidates);
            }
            (ids(&candidates), Categorical.sample(&mut candidates, &mut Fixed(draw)))
        };
        let mut turned = candidates(&logits);
        let items = turned.items_mut();
        let rotation = rotation % items.len();
        items.rotate_left(rotation);
        items.reverse();
        prop_assert_eq!(run(turned), run(candidates(&logits)));
    }
}

#[test]
fn top_p_of_a_large_vocabulary_is_that_of_the_definition() {
    let logits = large_logits();
    for p in [0.1, 0.5, 0.9, 0.999] {
        assert_eq!(filtered(&TopP(p), &logits), naive_top_p(&logits, p));
    }
    let flat = vec![1.0; 5000];
    assert_eq!(filtered(&TopP(0.5), &flat), (0..2500).collect::<Vec<_>>());
}

#[test]
fn a_bias_is_added_before_all_else() {
    let logits = [1.0, 2.0, 0.5, 0.0];
    let chosen = |bias: &[(u32, f32)], params: SamplingParams, history: &[u32]| {
        let mut chain = Chain::new(&params).unwrap().biased(bias);
        assert_eq!(chain.need() == Need::All, !bias.is_empty() || params.repetition_penalty != 1.0);
        chain.sample(&mut logits.to_vec(), history, &mut Fixed(0)).unwrap()
    };
    let greedy = SamplingParams::greedy();
    assert_eq!(chosen(&[], greedy, &[]), 1);
    assert_eq!(chosen(&[(1, -100.0)], greedy, &[]), 0);
    assert_eq!(chosen(&[(1, f32::NEG_INFINITY), (2, 0.75)], greedy, &[]), 2);
    assert_eq!(chosen(&[(9, 100.0), (3, 3.0)], greedy, &[]), 3);
    // 0 + 3 is divided by the penalty and not 0: 3 / 2 < 2.
    let penalized = SamplingParams { repetition_penalty: 2.0, ..greedy };
    assert_eq!(chosen(&[(3, 3.0)], penalized, &[3]), 1);
    assert_eq!(
        chosen(&[(0, f32::NEG_INFINITY), (1, f32::NEG_INFINITY), (2, f32::NEG_INFINITY)], plain(), &[]),
        3
    );
}
