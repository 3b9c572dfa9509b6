//! The rotary embedding's part of config.json, in the spellings of transformers 4 and 5.

use super::fields::Fields;
use super::{ConfigError, MAX_POSITIONS};
use crate::format::shown;

/// Base and scaling of the rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeConfig {
    /// The base of the frequencies: pair `i` turns by `theta^(-2i/head_dim)` a position.
    pub theta: f64,
    /// How frequencies are changed for contexts longer than the first training's.
    pub scaling: RopeScaling,
}

/// Changes of the frequencies, named as `rope_type` names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// `default`: as they are.
    None,
    /// `linear`: every frequency divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// At least 1 in practice.
        factor: f64,
    },
    /// `llama3`: low frequencies divided by `factor`, high ones kept, a ramp between them (Llama 3.1).
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Positions that the model was first trained for.
        original_max_position_embeddings: usize,
    },
}

const DEFAULT_THETA: f64 = 10_000.0;

/// Bounds far outside of any real value that keep every quotient and power finite.
const THETA: (f64, f64) = (1.0, 1e15);
const FACTOR: (f64, f64) = (1e-6, 1e9);

impl RopeConfig {
    /// Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, or both if they say the same.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let old = fields.object("rope_scaling", "rope_scaling.")?;
        let new = fields.object("rope_parameters", "rope_parameters.")?;
        let thetas = [Some(*fields), new, old].map(|f| match f {
            Some(f) => f.number("rope_theta", THETA.0, THETA.1),
            None => Ok(None),
        });
        let scalings = [new, old].map(|f| f.map(|f| RopeScaling::read(&f)).transpose());
        let theta = the_one(fields, "rope_theta", thetas)?.unwrap_or(DEFAULT_THETA);
        let scaling = the_one(fields, "scaling", scalings)?.unwrap_or(RopeScaling::None);
        // A rotation of a part of each head, which Llama does not have.
        for f in [Some(*fields), new].into_iter().flatten() {
            if let Some(part) = f.number("partial_rotary_factor", 0.0, 1.0)?
                && part != 1.0
            {
                let key = f.full("partial_rotary_factor");
                return Err(fields.invalid(format!("'{key}' is {part}, but only 1 is supported")));
            }
        }
        Ok(Self { theta, scaling })
    }
}

/// The value that several places give, if they agree.
fn the_one<T: PartialEq + Copy, const N: usize>(
    fields: &Fields<'_>,
    what: &str,
    values: [Result<Option<T>, ConfigError>; N],
) -> Result<Option<T>, ConfigError> {
    let mut one = None;
    for value in values {
        match (one, value?) {
            (Some(a), Some(b)) if a != b => {
                return Err(fields.invalid(format!(
                    "the {what} of the rotary embedding is given twice with different values \
                     ('rope_parameters', and 'rope_theta' or 'rope_scaling'): remove one"
                )));
            }
            (None, value) => one = value,
            _ => {}
        }
    }
    Ok(one)
}

impl RopeScaling {
    fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        if let Some((key, _)) = fields.values().find(|(_, v)| v.is_object()) {
            let key = fields.full(&shown(key));
            return Err(
                fields.invalid(format!("'{key}' is an object: one rotation per layer type is not supported"))
            );
        }
        // "rope_type" wins over the older "type".
        let kind = match fields.string("rope_type")? {
            None => fields.string("type")?,
            some => some,
        };
        let factor = |key: &str| match fields.number(key, FACTOR.0, FACTOR.1)? {
            Some(x) => Ok(x),
            None => Err(fields.missing(key)),
        };
        match kind {
            Some("default") => Ok(RopeScaling::None),
            None if fields.value("factor").is_none() => Ok(RopeScaling::None),
            None => Err(fields.missing("rope_type")),
            Some("linear") => Ok(RopeScaling::Linear { factor: factor("factor")? }),
            Some("llama3") => {
                let low = factor("low_freq_factor")?;
                let high = factor("high_freq_factor")?;
                if low >= high {
                    return Err(fields.invalid(format!(
                        "'{}' is {low}, which is not less than '{}', {high}",
                        fields.full("low_freq_factor"),
                        fields.full("high_freq_factor")
                    )));
                }
                Ok(RopeScaling::Llama3 {
                    factor: factor("factor")?,
                    low_freq_factor: low,
                    high_freq_factor: high,
                    original_max_position_embeddings: fields.required(
                        "original_max_position_embeddings",
                        1,
                        MAX_POSITIONS,
                    )?,
                })
            }
            Some(other) => Err(fields.invalid(format!(
                "the rotary embedding's scaling '{}' ('{}') is not supported; known are default, linear and llama3",
                shown(other),
                fields.full("rope_type")
            ))),
        }
    }
}
