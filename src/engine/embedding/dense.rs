//! A linear layer after pooling (the module `Dense` of sentence-transformers).

/// `y = activation(weight . x + bias)`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Dense {
    /// `[outputs, inputs]`.
    weight: Vec<f32>,
    inputs: usize,
    bias: Option<Vec<f32>>,
    /// Each value goes through the hyperbolic tangent.
    tanh: bool,
}

impl Dense {
    /// A matrix of rows of `inputs` elements, at least one; a bias has as many elements as there are rows.
    pub fn new(weight: Vec<f32>, inputs: usize, bias: Option<Vec<f32>>, tanh: bool) -> Self {
        Self { weight, inputs, bias, tanh }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.weight.len() / self.inputs.max(1)
    }

    /// Sums are in f64, in order of the inputs.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let row = |(index, row): (usize, &[f32])| {
            let products = row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[index]));
            let sum = products.sum::<f64>() + bias;
            (if self.tanh { libm::tanh(sum) } else { sum }) as f32
        };
        self.weight.chunks_exact(self.inputs.max(1)).enumerate().map(row).collect()
    }
}
