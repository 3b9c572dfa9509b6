//! The rotary embedding's part of config.json, in the spellings of transformers 4 and 5.

use serde_json::Value;

use super::fields::Fields;
use super::{ConfigError, MAX_POSITIONS};
use crate::format::shown;
use crate::models::rope::RopeScaling;
use crate::models::spec::{QueryGrowth, RopeSpec};

/// Bounds far outside of any real value that keep every quotient and power finite.
const THETA: (f64, f64) = (1.0, 1e15);
const FACTOR: (f64, f64) = (1e-6, 1e9);

/// What a rotary embedding depends on beside its own keys.
#[derive(Clone, Copy)]
pub(in crate::models) struct RopeContext {
    /// The base where none is given.
    pub theta: f64,
    /// Width of a head.
    pub head_dim: usize,
    /// `max_position_embeddings`.
    pub max_positions: usize,
    /// A part of each head may be turned alone (`partial_rotary_factor`).
    pub partial: bool,
}

impl RopeContext {
    /// Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, or both if they say the same.
    pub fn read(self, fields: &Fields<'_>) -> Result<RopeSpec, ConfigError> {
        let old = fields.object("rope_scaling", "rope_scaling.")?;
        let new = fields.object("rope_parameters", "rope_parameters.")?;
        for f in [new, old].into_iter().flatten() {
            if let Some((key, _)) = f.values().find(|(_, v)| v.is_object()) {
                let key = f.full(&shown(key));
                return Err(fields.invalid(format!(
                    "'{key}' is an object, but all layers of this model are turned alike"
                )));
            }
        }
        let thetas = [Some(*fields), new, old].map(|f| match f {
            Some(f) => f.number("rope_theta", THETA.0, THETA.1),
            None => Ok(None),
        });
        let theta = the_one(fields, "rope_theta", thetas)?.unwrap_or(self.theta);
        let dims = self.dims(fields, [Some(*fields), new, old])?;
        let scalings = [new, old].map(|f| f.map(|f| self.scaling(fields, &f, dims)).transpose());
        let scaling = the_one(fields, "scaling", scalings)?.unwrap_or(RopeScaling::None);
        Ok(RopeSpec { theta, dims, scaling, query_growth: self.query_growth(new.or(old))? })
    }

    /// The rotary embedding of the layers of a kind (`full_attention`, `sliding_attention`): within `rope_parameters`
    /// under that name; else `theta_key`, and `rope_scaling` where `scaled` says that this kind has it.
    pub fn read_kind(
        self,
        fields: &Fields<'_>,
        kind: &'static str,
        theta_key: &str,
        scaled: bool,
    ) -> Result<RopeSpec, ConfigError> {
        let dims = self.dims(fields, [Some(*fields), None, None])?;
        let parameters = fields.object("rope_parameters", "rope_parameters.")?;
        let own = match &parameters {
            Some(parameters) => parameters.object(kind, "rope_parameters.*.")?,
            None => None,
        };
        let old = fields.object("rope_scaling", "rope_scaling.")?.filter(|_| scaled);
        let theta = match own.map(|f| f.number("rope_theta", THETA.0, THETA.1)).transpose()?.flatten() {
            Some(theta) => theta,
            None => fields.number(theta_key, THETA.0, THETA.1)?.unwrap_or(self.theta),
        };
        let scaling = match own.or(old) {
            Some(f) => self.scaling(fields, &f, dims)?,
            None => RopeScaling::None,
        };
        Ok(RopeSpec { theta, dims, scaling, query_growth: None })
    }

    /// Elements of a head that are turned.
    fn dims(&self, fields: &Fields<'_>, places: [Option<Fields<'_>>; 3]) -> Result<usize, ConfigError> {
        for f in places.into_iter().flatten() {
            let Some(part) = f.number("partial_rotary_factor", 0.0, 1.0)? else { continue };
            let key = f.full("partial_rotary_factor");
            if part != 1.0 && !self.partial {
                return Err(fields.invalid(format!("'{key}' is {part}, but this model turns whole heads")));
            }
            let dims = (self.head_dim as f64 * part) as usize;
            if dims == 0 || !dims.is_multiple_of(2) {
                return Err(fields.invalid(format!(
                    "'{key}' is {part}, which leaves {dims} of {} values of a head to be turned: an even number is needed",
                    self.head_dim
                )));
            }
            return Ok(dims);
        }
        Ok(self.head_dim)
    }

    fn query_growth(&self, parameters: Option<Fields<'_>>) -> Result<Option<QueryGrowth>, ConfigError> {
        let Some(f) = parameters else { return Ok(None) };
        let Some(beta) = f.number("llama_4_scaling_beta", 0.0, 1e3)? else { return Ok(None) };
        let original = f.required("original_max_position_embeddings", 1, MAX_POSITIONS)?;
        Ok((beta != 0.0).then_some(QueryGrowth { beta: single(beta), original }))
    }

    fn scaling(&self, fields: &Fields<'_>, f: &Fields<'_>, dims: usize) -> Result<RopeScaling, ConfigError> {
        // "rope_type" wins over the older "type".
        let kind = match f.string("rope_type")? {
            None => f.string("type")?,
            some => some,
        };
        let factor = |key: &str| match f.number(key, FACTOR.0, FACTOR.1)? {
            Some(x) => Ok(x),
            None => Err(f.missing(key)),
        };
        match kind {
            Some("default") => Ok(RopeScaling::None),
            None if f.value("factor").is_none() => Ok(RopeScaling::None),
            None => Err(f.missing("rope_type")),
            Some("linear") => Ok(RopeScaling::Linear { factor: factor("factor")? }),
            Some("dynamic") => {
                Ok(RopeScaling::Dynamic { factor: factor("factor")?, original: self.max_positions })
            }
            Some("llama3") => llama3(fields, f, &factor),
            // Phi's first files call it by either name.
            Some("longrope" | "su") => self.longrope(fields, f, dims),
            Some("yarn") if f.value("short_factor").is_some() => self.longrope(fields, f, dims),
            Some("yarn") => self.yarn(fields, f),
            Some(other) => Err(fields.invalid(format!(
                "the rotary embedding's scaling '{}' ('{}') is not supported; known are default, linear, dynamic, yarn, \
                 llama3 and longrope",
                shown(other),
                f.full("rope_type")
            ))),
        }
    }

    /// The length of the first training, and how many times longer texts may be.
    fn stretch(&self, fields: &Fields<'_>, f: &Fields<'_>) -> Result<(usize, f64), ConfigError> {
        let key = "original_max_position_embeddings";
        let original = match fields.integer(key, 1, MAX_POSITIONS)? {
            Some(n) => n,
            None => f.integer(key, 1, MAX_POSITIONS)?.unwrap_or(self.max_positions),
        };
        let factor = f.number("factor", FACTOR.0, FACTOR.1)?;
        Ok((original, factor.unwrap_or(self.max_positions as f64 / original as f64)))
    }

    fn yarn(&self, fields: &Fields<'_>, f: &Fields<'_>) -> Result<RopeScaling, ConfigError> {
        let (original, factor) = self.stretch(fields, f)?;
        let number = |key: &str, least: f64| f.number(key, least, FACTOR.1);
        // Zero stands for none.
        let beta = |key: &str, usual: f64| -> Result<f64, ConfigError> {
            Ok(number(key, 0.0)?.filter(|b| *b != 0.0).unwrap_or(usual))
        };
        let mscale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * libm::log(factor) + 1.0 };
        let scales = (number("mscale", 0.0)?, number("mscale_all_dim", 0.0)?);
        let attention_factor = match (number("attention_factor", FACTOR.0)?, scales) {
            (Some(given), _) => given,
            (None, (Some(m), Some(all))) if m != 0.0 && all != 0.0 => mscale(m) / mscale(all),
            _ => mscale(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            beta_fast: beta("beta_fast", 32.0)?,
            beta_slow: beta("beta_slow", 1.0)?,
            original,
            attention_factor: single(attention_factor),
            truncate: f.boolean("truncate")?.unwrap_or(true),
        })
    }

    fn longrope(&self, fields: &Fields<'_>, f: &Fields<'_>, dims: usize) -> Result<RopeScaling, ConfigError> {
        let (original, factor) = self.stretch(fields, f)?;
        let divisors = |key: &str| -> Result<Vec<f64>, ConfigError> {
            let value = f.value(key).ok_or_else(|| f.missing(key))?;
            let numbers: Option<Vec<f64>> =
                value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
            let numbers = numbers.map(|all| all.into_iter().map(single).collect::<Vec<_>>());
            numbers
                .filter(|all| all.len() == dims / 2 && all.iter().all(|x| (FACTOR.0..=FACTOR.1).contains(x)))
                .ok_or_else(|| f.wrong(key, value, format!("a list of {} positive numbers", dims / 2)))
        };
        let attention_factor = match f.number("attention_factor", FACTOR.0, FACTOR.1)? {
            Some(given) => given,
            None if factor <= 1.0 || original < 2 => 1.0,
            None => (1.0 + libm::log(factor) / libm::log(original as f64)).sqrt(),
        };
        let (short, long) = (divisors("short_factor")?, divisors("long_factor")?);
        Ok(RopeScaling::LongRope { short, long, original, attention_factor: single(attention_factor) })
    }
}

/// As an f32 has it: GGUF files store these numbers so, and transformers computes with them so.
fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

fn llama3(
    fields: &Fields<'_>,
    f: &Fields<'_>,
    factor: &dyn Fn(&str) -> Result<f64, ConfigError>,
) -> Result<RopeScaling, ConfigError> {
    let low = factor("low_freq_factor")?;
    let high = factor("high_freq_factor")?;
    if low >= high {
        return Err(fields.invalid(format!(
            "'{}' is {low}, which is not less than '{}', {high}",
            f.full("low_freq_factor"),
            f.full("high_freq_factor")
        )));
    }
    Ok(RopeScaling::Llama3 {
        factor: factor("factor")?,
        low_freq_factor: low,
        high_freq_factor: high,
        original: f.required("original_max_position_embeddings", 1, MAX_POSITIONS)?,
    })
}

/// The value that several places give, if they agree.
fn the_one<T: PartialEq, const N: usize>(
    fields: &Fields<'_>,
    what: &str,
    values: [Result<Option<T>, ConfigError>; N],
) -> Result<Option<T>, ConfigError> {
    let mut one = None;
    for value in values {
        match (&one, value?) {
            (Some(a), Some(b)) if *a != b => {
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
