//! What a directory of sentence-transformers has beside the model: `modules.json`, and a directory for each module.

use serde_json::{Map, Value};

use super::{Dense, EmbeddingHead, Pooling};
use crate::core::HostBytes;
use crate::engine::EngineError;
use crate::format::{Checkpoint, FormatError, TensorSource, parse_json, shown};
use crate::quant::dequantize_row;

/// The list of modules.
const MODULES: &str = "modules.json";

/// The settings of pooling.
const POOLING: &str = "1_Pooling/config.json";

/// Dense layers: settings and weights of each.
const DENSE: [(&str, &str, &str); 2] = [
    ("2_Dense", "2_Dense/config.json", "2_Dense/model.safetensors"),
    ("3_Dense", "3_Dense/config.json", "3_Dense/model.safetensors"),
];

/// The most elements of a dense layer.
const MOST: usize = 1 << 28;

/// The files of modules that are read.
pub(in crate::engine) const NAMES: [&str; 6] =
    [MODULES, POOLING, DENSE[0].1, DENSE[0].2, DENSE[1].1, DENSE[1].2];

/// Bytes and names of files.
struct Files<'a> {
    file: &'a dyn Fn(&str) -> Option<HostBytes>,
    origin: &'a dyn Fn(&str) -> String,
}

impl Files<'_> {
    fn fault(&self, name: &str, reason: String) -> EngineError {
        EngineError::EmbeddingFiles { origin: (self.origin)(name), reason }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, EngineError> {
        let Some(bytes) = (self.file)(name) else { return Ok(None) };
        parse_json(bytes.as_ref()).map(Some).map_err(|why| self.fault(name, format!("is damaged: {why}")))
    }
}

impl EmbeddingHead {
    /// Reads the files of modules: `file` gives the bytes of one, `origin` its name in messages.
    ///
    /// # Errors
    /// Files that are damaged, or that name what is not supported.
    pub(in crate::engine) fn read(
        file: &dyn Fn(&str) -> Option<HostBytes>,
        origin: &dyn Fn(&str) -> String,
    ) -> Result<Self, EngineError> {
        let files = Files { file, origin };
        let listed: Option<Vec<Map<String, Value>>> = files.json(MODULES)?;
        let Some(listed) = listed else {
            // In files that say less, what is there counts.
            let there = DENSE.iter().filter(|(_, config, _)| file(config).is_some());
            let layers = there.map(|names| dense(&files, names)).collect::<Result<_, _>>()?;
            return Ok(Self { pooling: pooling(&files)?, layers });
        };
        let mut head = Self::default();
        for module in listed {
            let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let (kind, path) = (text("type"), text("path"));
            let refuse = |why: &str| {
                files.fault(MODULES, format!("has the module '{}' in '{}', {why}", shown(kind), shown(path)))
            };
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" if path.is_empty() => {}
                "Normalize" => {}
                "Pooling" if path == "1_Pooling" => head.pooling = pooling(&files)?,
                "Dense" => match DENSE.get(head.layers.len()).filter(|(name, ..)| *name == path) {
                    Some(names) => head.layers.push(dense(&files, names)?),
                    None => {
                        return Err(refuse("where dense layers are read in '2_Dense' and '3_Dense' alone"));
                    }
                },
                _ => {
                    return Err(refuse(
                        "which is not supported; known are Transformer, Pooling in '1_Pooling', Dense and Normalize",
                    ));
                }
            }
        }
        Ok(head)
    }
}

/// What `1_Pooling` says.
fn pooling(files: &Files<'_>) -> Result<Option<Pooling>, EngineError> {
    let Some(config) = files.json::<Map<String, Value>>(POOLING)? else { return Ok(None) };
    let wrong = |name: &str| {
        let reason = format!("asks for the pooling '{}'; known are mean, cls and lasttoken", shown(name));
        files.fault(POOLING, reason)
    };
    let known = |name: &str| match name {
        "mean" | "mean_tokens" => Ok(Pooling::Mean),
        "cls" | "cls_token" => Ok(Pooling::Cls),
        "lasttoken" => Ok(Pooling::Last),
        other => Err(wrong(other)),
    };
    if let Some(mode) = config.get("pooling_mode").and_then(Value::as_str) {
        return known(mode).map(Some);
    }
    let on = config.iter().filter(|(_, value)| **value == Value::Bool(true));
    let modes: Vec<&str> = on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect();
    match modes.as_slice() {
        [] => Ok(None),
        [one] => known(one).map(Some),
        several => Err(wrong(&several.join(" and "))),
    }
}

fn dense(files: &Files<'_>, (_, config, weights): &(&str, &str, &str)) -> Result<Dense, EngineError> {
    let settings: Option<Map<String, Value>> = files.json(config)?;
    let settings = settings.ok_or_else(|| files.fault(config, "is missing".into()))?;
    let tanh = match settings.get("activation_function").and_then(Value::as_str) {
        Some(name) if name.ends_with(".Identity") => false,
        // Without a word about it, sentence-transformers takes this one.
        None => true,
        Some(name) if name.ends_with(".Tanh") => true,
        Some(other) => {
            let why = format!("asks for the activation '{}'; known are Identity and Tanh", shown(other));
            return Err(files.fault(config, why));
        }
    };
    let bytes = (files.file)(weights).ok_or_else(|| {
        files.fault(weights, "is missing; download it, as safetensors, from where the model is from".into())
    })?;
    let stored = Checkpoint::from_bytes(&(files.origin)(weights), bytes)?;
    let matrix = tensor(files, weights, &stored, "linear.weight")?;
    let Some((weight, [outputs, inputs])) = matrix else {
        return Err(files.fault(weights, "lacks the matrix 'linear.weight'".into()));
    };
    let bias = match tensor(files, weights, &stored, "linear.bias")? {
        None if settings.get("bias") == Some(&Value::Bool(true)) => {
            return Err(files.fault(weights, "lacks the vector 'linear.bias'".into()));
        }
        None => None,
        Some((bias, [1, len])) if len == outputs => Some(bias),
        Some((_, [rows, cols])) => {
            let why = format!("has a 'linear.bias' of {rows} x {cols} values, where {outputs} are needed");
            return Err(files.fault(weights, why));
        }
    };
    Ok(Dense::new(weight, inputs, bias, tanh))
}

/// A tensor's values, its rows and columns.
type Matrix = (Vec<f32>, [usize; 2]);

/// The tensor of that name.
fn tensor(
    files: &Files<'_>,
    file: &str,
    stored: &Checkpoint,
    name: &str,
) -> Result<Option<Matrix>, EngineError> {
    let Some(tensor) = stored.get(name)? else { return Ok(None) };
    let (rows, cols) = tensor.matrix_dims();
    let elements = rows.checked_mul(cols).filter(|&n| n > 0 && n <= MOST && tensor.shape().dims().len() <= 2);
    let Some(elements) = elements else {
        let why = format!("has a '{name}' of the shape {}, which is none of a dense layer", tensor.shape());
        return Err(files.fault(file, why));
    };
    let mut values = vec![0.0; elements];
    let read = dequantize_row(tensor.dtype(), tensor.bytes(), &mut values);
    read.map_err(|why| FormatError::Tensor {
        path: (files.origin)(file).into(),
        name: name.to_owned(),
        reason: why.to_string(),
    })?;
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => {
            Err(files.fault(file, format!("has the value {value} in '{name}': download it again")))
        }
        None => Ok(Some((values, [rows, cols]))),
    }
}

#[cfg(test)]
mod tests;
