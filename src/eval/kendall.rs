//! Rank correlation.

/// Kendall's tau-b of two lists of the same length (Kendall 1945, Biometrika 33): 1 where they order their elements
/// alike, -1 where one is the other's reverse. Pairs that are tied in one list count for neither side, and the
/// normalization takes account of them. `None` where there is nothing to order: fewer than two elements, or all of
/// a list the same.
pub fn tau_b(x: &[f32], y: &[f32]) -> Option<f64> {
    let (mut agree, mut tied_x, mut tied_y, mut pairs) = (0i64, 0i64, 0i64, 0i64);
    for (i, (xi, yi)) in x.iter().zip(y).enumerate() {
        for (xj, yj) in x.iter().zip(y).take(i) {
            let (a, b) = (order(*xi, *xj), order(*yi, *yj));
            agree += a * b;
            tied_x += i64::from(a == 0);
            tied_y += i64::from(b == 0);
            pairs += 1;
        }
    }
    let scale = (pairs - tied_x) as f64 * (pairs - tied_y) as f64;
    (scale > 0.0).then(|| agree as f64 / scale.sqrt())
}

fn order(a: f32, b: f32) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        assert_eq!(tau_b(&[4.0, 3.0, 2.0, 1.0], &[9.0, 8.0, 7.0, 6.0]), Some(1.0));
        assert_eq!(tau_b(&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0]), Some(-1.0));
        // One of six pairs is exchanged: (5 - 1) / 6.
        assert_eq!(tau_b(&[4.0, 3.0, 2.0, 1.0], &[4.0, 3.0, 1.0, 2.0]), Some(4.0 / 6.0));
        // Pairs of 1 2 2 3 and 1 3 2 3: (1,2) up up, (1,2) up up, (1,3) up up, (2,2) tied, (2,3) up tied,
        // (2,3) up up. Four agree, each list has a tie of its own: 4 / sqrt(5 * 5).
        assert_eq!(tau_b(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 3.0]), Some(0.8));
    }

    #[test]
    fn there_may_be_nothing_to_order() {
        assert_eq!(tau_b(&[], &[]), None);
        assert_eq!(tau_b(&[1.0], &[2.0]), None);
        assert_eq!(tau_b(&[1.0, 1.0], &[2.0, 3.0]), None);
    }
}
