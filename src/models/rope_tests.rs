use super::*;

fn spec(scaling: RopeScaling) -> RopeSpec {
    RopeSpec { theta: 10000.0, dims: 8, scaling, query_growth: None }
}

fn rope(scaling: RopeScaling) -> Rope {
    Rope::new(&spec(scaling), TextSpan::Original)
}

#[track_caller]
fn near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f / e - 1.0).abs() < 1e-6, "{found:?}, not {expected:?}");
    }
}

#[test]
fn plain_angles_are_position_times_theta_to_the_minus_2i_over_d() {
    let r = rope(RopeScaling::None);
    near(r.frequencies(), &[1.0, 0.1, 0.01, 0.001]);
    let mut out = [0.0; 16];
    r.fill(3..5, &mut out);
    assert_eq!(out[0], 3f64.cos() as f32);
    assert_eq!(out[8 + 1], 0.4f64.cos() as f32);
    assert_eq!(out[8 + 4], 4f64.sin() as f32);
}

#[test]
fn a_difference_of_positions_turns_alike_however_far_a_text_has_come() {
    let spec = RopeSpec { theta: 500_000.0, dims: 64, ..spec(RopeScaling::None) };
    let r = Rope::new(&spec, TextSpan::Original);
    let (mut key, mut query) = ([0.0; 64], [0.0; 64]);
    for (first, bound) in [(0, 1.5e-7), (1_000_000, 1.5e-7), (1_000_000_000, 4e-7)] {
        r.fill(first..first + 1, &mut key);
        r.fill(first + 300..first + 301, &mut query);
        for (i, f) in r.frequencies.iter().enumerate() {
            let at = |row: &[f32; 64]| (f64::from(row[i]), f64::from(row[32 + i]));
            let ((c0, s0), (c1, s1)) = (at(&key), at(&query));
            let apart = (c0 * c1 + s0 * s1 - (300.0 * f).cos()).abs();
            assert!(apart < bound, "pair {i} at {first}: {apart:e}");
        }
    }
}

#[test]
fn linear_scaling_divides() {
    near(rope(RopeScaling::Linear { factor: 4.0 }).frequencies(), &[0.25, 0.025, 0.0025, 0.00025]);
}

#[test]
fn llama3_keeps_short_stretches_long_and_blends_between() {
    // Trained on 1000 positions: wavelengths below 250 are kept, above 1000 divided by 8.
    let r = rope(RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original: 1000,
    });
    // Wavelengths 6.3, 63, 628 (keep = (1000 / 628.3185 - 1) / 3 = 0.1971831) and 6283.
    near(r.frequencies(), &[1.0, 0.1, 0.01 * (0.802_816_9 / 8.0 + 0.197_183_1), 0.001 / 8.0]);
}

#[test]
fn dynamic_scaling_raises_the_base_for_long_texts_alone() {
    let spec = spec(RopeScaling::Dynamic { factor: 2.0, original: 100 });
    near(Rope::new(&spec, TextSpan::Original).frequencies(), &[1.0, 0.1, 0.01, 0.001]);
    // 2 * 300 / 100 - 1 = 5, to the power of 8 / 6: the last frequency falls by 5.
    let long = Rope::new(&spec, TextSpan::Beyond(300));
    near(&[long.frequencies()[3]], &[0.001 / 5.0]);
}

#[test]
fn yarn_is_that_of_transformers() {
    let yarn = |truncate| RopeScaling::Yarn {
        factor: 16.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original: 4096,
        attention_factor: 1.5,
        truncate,
    };
    // transformers 5.24, _compute_yarn_parameters: theta 10000, 8 dimensions.
    let r = rope(yarn(true));
    near(r.frequencies(), &[1.0, 0.1, 0.005_312_5, 0.000_062_5]);
    let mut out = [0.0; 8];
    r.fill(2..3, &mut out);
    assert_eq!((out[0], out[4]), ((1.5 * 2f64.cos()) as f32, (1.5 * 2f64.sin()) as f32));
    // Pairs 1.309 and 2.814 in place of 1 and 3.
    let kept = 1.0 - (2.0 - 1.309_030) / (2.814_180 - 1.309_030);
    near(&rope(yarn(false)).frequencies()[2..3], &[0.01 * (kept + (1.0 - kept) / 16.0)]);
}

#[test]
fn longrope_has_divisors_for_short_and_for_long_texts() {
    let spec = spec(RopeScaling::LongRope {
        short: vec![1.0, 1.0, 2.0, 2.0],
        long: vec![1.0, 4.0, 4.0, 8.0],
        original: 64,
        attention_factor: 1.0,
    });
    near(Rope::new(&spec, TextSpan::Original).frequencies(), &[1.0, 0.1, 0.005, 0.0005]);
    near(Rope::new(&spec, TextSpan::Beyond(200)).frequencies(), &[1.0, 0.025, 0.0025, 0.000_125]);
    assert_eq!(spec.scaling.switch(), Some(64));
    assert_eq!(RopeScaling::None.switch(), None);
}

#[test]
fn queries_grow_with_their_position_and_keys_do_not() {
    let growth = Some(QueryGrowth { beta: 0.1, original: 32 });
    let r = Rope::new(&RopeSpec { query_growth: growth, ..spec(RopeScaling::None) }, TextSpan::Original);
    let (mut key, mut query) = ([0.0; 8], [0.0; 8]);
    for (position, factor) in [(31, 1.0), (32, 1.0 + 0.1 * 2f64.ln()), (100, 1.0 + 0.1 * 4f64.ln())] {
        r.fill(position..position + 1, &mut key);
        r.fill_queries(position..position + 1, &mut query);
        for (k, q) in key.iter().zip(&query) {
            assert!((f64::from(*q) - f64::from(*k) * factor).abs() < 1e-6, "{position}");
        }
    }
}
