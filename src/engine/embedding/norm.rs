//! The length of a vector.

/// What a vector is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Norm {
    /// Nothing: it stays as it is.
    None,
    /// The root of the sum of squares.
    #[default]
    Euclidean,
    /// The sum of magnitudes to this power (at least 1), and the root of it.
    Power(f64),
    /// The largest magnitude, so that this becomes 32760.
    Largest,
}

impl Norm {
    /// The vector divided by its norm; one of zeros stays as it is. Sums are in f64, in order.
    pub fn apply(self, vector: &mut [f32]) {
        let magnitudes = || vector.iter().map(|&x| f64::from(x).abs());
        let length = match self {
            Norm::None => return,
            Norm::Euclidean => magnitudes().map(|x| x * x).sum::<f64>().sqrt(),
            Norm::Power(power) => libm::pow(magnitudes().map(|x| libm::pow(x, power)).sum(), 1.0 / power),
            Norm::Largest => magnitudes().fold(0.0, f64::max) / 32760.0,
        };
        if length > 0.0 {
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_by_hand() {
        let of = |norm: Norm, mut x: Vec<f32>| {
            norm.apply(&mut x);
            x
        };
        assert_eq!(of(Norm::None, vec![3.0, -4.0]), [3.0, -4.0]);
        assert_eq!(of(Norm::Euclidean, vec![3.0, -4.0]), [0.6, -0.8]);
        assert_eq!(of(Norm::Power(1.0), vec![3.0, -5.0]), [0.375, -0.625]);
        assert_eq!(of(Norm::Largest, vec![1.0, -4.0]), [8190.0, -32760.0]);
        // 3^3 + 4^3 + 5^3 = 6^3.
        let cubes = of(Norm::Power(3.0), vec![3.0, 4.0, 5.0]);
        assert!(cubes.iter().zip([0.5, 2.0 / 3.0, 5.0 / 6.0]).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(of(Norm::Euclidean, vec![0.0, 0.0]), [0.0, 0.0]);
    }
}
