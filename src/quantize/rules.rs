//! Which type a matrix gets in a mix: the rules of llama.cpp's `llama-quant.cpp`, for the types that this program has.

use super::facts::ModelFacts;
use super::mix::Mix;
use super::tensors::Role;
use crate::core::DType;
use crate::models::for_columns;

/// What has been counted so far, in the order of layers.
#[derive(Clone, Debug)]
pub(super) struct Rules<'a> {
    mix: Mix,
    facts: &'a ModelFacts,
    /// Whether the columns' importance is known.
    weighted: bool,
    /// Whether the embedding is the output matrix too.
    tied: bool,
    /// Matrices that values come out of: all, and those seen.
    values: (usize, usize),
    /// Down projections seen.
    downs: usize,
}

/// Whether a layer is among the first and the last eighth or every third between: those that get more bits.
fn more_bits(layer: usize, layers: usize) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

impl<'a> Rules<'a> {
    /// For a model of which all tensors' names are given.
    pub(super) fn new<'n>(
        mix: Mix,
        facts: &'a ModelFacts,
        weighted: bool,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let (mut tied, mut values) = (true, 0);
        for name in names {
            let role = Role::of(name);
            tied &= role != Role::Output;
            values += usize::from(role.gives_values());
        }
        Self { mix, facts, weighted, tied, values: (values, 0), downs: 0 }
    }

    /// Whether the embedding is the output matrix too.
    pub(super) fn tied(&self) -> bool {
        self.tied
    }

    /// The type of the next matrix, in the order of layers.
    pub(super) fn next(&mut self, name: &str, dims: &[usize], output: Option<DType>) -> DType {
        let role = Role::of(name);
        let main = self.mix.main();
        let mixture = self.mix.name();
        let falcon = self.facts.architecture == "falcon";
        let eight = self.facts.experts == 8;
        let cols = dims.last().copied().unwrap_or(0);
        if role == Role::Output || (self.tied && role == Role::Embedding) {
            return output.unwrap_or({
                if main == DType::Mxfp4 || falcon || cols % main.block_len() != 0 || main == DType::Q8_0 {
                    DType::Q8_0
                } else {
                    DType::Q6K
                }
            });
        }
        if main == DType::Mxfp4 {
            return if dims.len() > 2 && dims[0] > 1 { DType::Mxfp4 } else { DType::Q8_0 };
        }
        match role {
            Role::Embedding if matches!(main, DType::Tq1_0 | DType::Tq2_0) => DType::Q4K,
            Role::Value | Role::Fused | Role::KeyValue => {
                let seen = self.values.1;
                self.values.1 += 1;
                self.values_type(seen, eight)
            }
            Role::Key if eight => DType::Q8_0,
            Role::Down => {
                let seen = self.downs;
                self.downs += 1;
                self.down_type(name, seen, falcon)
            }
            Role::AttentionOutput if falcon => {
                if mixture == "Q3_K_L" {
                    DType::Q4K
                } else {
                    main
                }
            }
            Role::AttentionOutput if eight => match mixture {
                "Q2_K" | "Q3_K_S" | "Q3_K_M" | "IQ4_NL" | "Q4_K_S" | "Q4_K_M" | "IQ4_XS" => DType::Q5K,
                _ => main,
            },
            Role::AttentionOutput => match mixture {
                "Q2_K" => DType::Q3K,
                "Q3_K_M" => DType::Q4K,
                "Q3_K_L" => DType::Q5K,
                _ => main,
            },
            _ => main,
        }
    }

    fn values_type(&self, seen: usize, eight: bool) -> DType {
        let main = self.mix.main();
        let grouped = self.facts.group >= 4;
        let mut dtype = match self.mix.name() {
            "Q2_K" => {
                if grouped {
                    DType::Q4K
                } else {
                    DType::Q3K
                }
            }
            "Q2_K_S" if grouped => DType::Q4K,
            "Q3_K_M" => {
                if seen < 2 {
                    DType::Q5K
                } else {
                    DType::Q4K
                }
            }
            "Q3_K_L" => DType::Q5K,
            "IQ4_NL" | "IQ4_XS" if grouped => DType::Q5K,
            "Q4_K_M" | "Q5_K_M" if more_bits(seen, self.values.0) => DType::Q6K,
            "Q4_K_S" if seen < 4 => DType::Q5K,
            _ => main,
        };
        // Llama 2 and 3 of 70 B and models like them: eight heads share their values, which are small therefore.
        let large = match self.facts.architecture.as_str() {
            "llama" => self.facts.layers == 80 && self.facts.group > 1,
            "qwen2" | "deci" | "olmo" => self.facts.layers == 80,
            _ => false,
        };
        if large && matches!(dtype, DType::Q3K | DType::Q4K) {
            dtype = DType::Q5K;
        }
        if eight { DType::Q8_0 } else { dtype }
    }

    fn down_type(&self, name: &str, seen: usize, falcon: bool) -> DType {
        let main = self.mix.main();
        let layers = self.facts.layers;
        // Experts are tensors of their own in some older files: the name has the layer.
        let layer = if self.facts.experts > 1 { super::tensors::order(name).0.unwrap_or(seen) } else { seen };
        let early = layer < layers / 8;
        match self.mix.name() {
            "Q2_K" => DType::Q3K,
            "Q2_K_S" if early => DType::Q4K,
            "Q3_K_M" if layer < layers / 16 => DType::Q5K,
            "Q3_K_M" if !falcon || more_bits(layer, layers) => DType::Q4K,
            "Q3_K_L" => {
                if falcon {
                    DType::Q4K
                } else {
                    DType::Q5K
                }
            }
            "Q4_K_M" if falcon && layer < layers / 16 => DType::Q6K,
            "Q4_K_M" if more_bits(layer, layers) => {
                if falcon {
                    DType::Q5K
                } else {
                    DType::Q6K
                }
            }
            "IQ4_NL" | "IQ4_XS" if early && !self.weighted => DType::Q5K,
            "Q5_K_M" if more_bits(layer, layers) => DType::Q6K,
            "Q4_K_S" if early && !falcon => DType::Q5K,
            "Q4_0" if early && self.weighted => DType::Q4_1,
            "Q5_0" if early && self.weighted => DType::Q5_1,
            _ => main,
        }
    }
}

/// The type in place of one whose blocks do not fit in rows of `cols` elements. Files have whole blocks alone.
pub(super) fn fitting(dtype: DType, cols: usize) -> DType {
    let nearest = for_columns(dtype, cols);
    if cols.is_multiple_of(nearest.block_len()) { nearest } else { DType::F16 }
}
