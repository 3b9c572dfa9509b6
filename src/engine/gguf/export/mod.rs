//! The other way round: a checkpoint's directory as the keys and tensors of a GGUF file.
//!
//! What is made is read again by the rules of the other direction before it is given out: the model that the keys and tensors
//! describe has to be the same, and the tokenizer has to give the same ids.

mod hyper;
mod probe;
mod rope;
mod vocabulary;

use std::path::Path;

use serde_json::{Map, Value};

use self::hyper::{Pattern, Writer};
pub(super) use self::probe::TEXTS;
use super::super::EngineError;
use super::super::model_files::{described, warnings_about};
use super::super::small_files::{Described, SmallFiles};
use crate::core::{HostTensor, Order, Shape};
use crate::format::gguf::{
    GgufFile, NewMetadata, NewTensor, StoredTensor, header, name_in_file, name_of_file,
};
use crate::format::{Checkpoint, FormatError, TensorSource, parse_json};
use crate::models::{ModelConfig, ModelSpec};

/// A checkpoint as what a GGUF file holds.
pub struct Export {
    /// Keys and values, as a file without tensors that is in memory.
    pub file: GgufFile,
    /// The tensors: floats as the checkpoint has them, in the order of the forward pass.
    pub tensors: Vec<StoredTensor>,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl Export {
    /// Reads a directory with a checkpoint, its configuration and its tokenizer.
    ///
    /// # Errors
    /// A directory that is no model; a model or a tokenizer that GGUF files have no form for, by its family's name.
    pub fn of(path: &Path) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::NoGguf { path: path.into(), reason };
        let (config, stored) = described(Checkpoint::open(path)?)?;
        if let Some(file) = stored.checkpoint().gguf() {
            let name = file.path().display();
            return Err(refused(format!("holds a GGUF file: give that file, '{name}'")));
        }
        let mut notes: Vec<String> =
            warnings_about(&stored, &config)?.iter().map(|w| format!("warning: {w}")).collect();
        let (architecture, family) = config.family.in_gguf().ok_or_else(|| {
            refused(format!("is a model of the family {}, which GGUF files have no form for", config.family))
        })?;
        let small = SmallFiles::of(stored.checkpoint())?;
        let parts = Described::beside(stored.checkpoint(), Some(&small))?;
        let json = |name: &str| -> Map<String, Value> {
            small.get(name).and_then(|bytes| parse_json(bytes.as_ref()).ok()).unwrap_or_default()
        };
        let mut spec = config.spec.clone();
        if !family.gguf.windows
            && let Some(window) = spec.layers.iter().find_map(|layer| layer.attention.window)
        {
            spec.layers.iter_mut().for_each(|layer| layer.attention.window = None);
            notes.push(format!(
                "warning: layers of this model see a window of {window} tokens, which GGUF files of the architecture \
                 '{architecture}' cannot say: for longer texts the new file's answers are others"
            ));
        }
        let mut tensors = stored.for_gguf(family, &spec)?;
        tensors.extend(rope::tensors(&spec));
        let name = path.canonicalize().ok();
        let name = name
            .as_deref()
            .and_then(Path::file_name)
            .map_or_else(String::new, |n| n.to_string_lossy().into());
        let config_json = json("config.json");
        let writer = Writer { architecture, family, spec: &spec, config: &config_json, name: &name };
        let mut words = NewMetadata::default();
        let trained = vocabulary::keys(
            &mut words,
            &parts,
            (&config_json, &json("tokenizer_config.json")),
            spec.vocab_size,
        );
        notes.extend(trained.map_err(&refused)?);
        // Keys for which layers see a window only where they are needed: not every reader knows all of their forms.
        let mut fault = None;
        for pattern in Pattern::ALL {
            let Some(mut keys) = writer.keys(pattern) else { continue };
            keys.append(&words);
            let (bytes, _) = header(path, &keys, &[])?;
            let file = GgufFile::from_bytes(path, bytes.into())?;
            match same_model(&file, &tensors, &spec) {
                Ok(()) => {
                    same_tokens(&file, &tensors, &parts).map_err(&refused)?;
                    return Ok(Self { file, tensors, notes });
                }
                Err(reason) => fault = fault.or(Some(reason)),
            }
        }
        let reason = fault.unwrap_or_default();
        Err(refused(format!(
            "is a model of the family {} with settings that GGUF files cannot hold ({reason})",
            config.family
        )))
    }
}

/// Whether keys and tensors describe the model; else what is different.
fn same_model(file: &GgufFile, tensors: &[StoredTensor], spec: &ModelSpec) -> Result<(), String> {
    let source = Made::of(tensors);
    let json = super::config_json(file, &source).map_err(|e| e.to_string())?;
    let read =
        ModelConfig::from_slice(&json, "the keys").map_err(|e| e.to_string())?.settle(&source, false).spec;
    if read == *spec {
        return Ok(());
    }
    let different = |what: &str, same: bool| if same { None } else { Some(what.to_owned()) };
    let layer = read.layers.iter().zip(&spec.layers).position(|(a, b)| a != b);
    Err(layer
        .map(|layer| format!("layer {layer}"))
        .or(different("the rotary embedding", read.ropes == spec.ropes))
        .or(different("the number of layers", read.layers.len() == spec.layers.len()))
        .unwrap_or_else(|| "the dimensions or scales".to_owned()))
}

/// Whether the keys describe the tokenizer.
fn same_tokens(file: &GgufFile, tensors: &[StoredTensor], parts: &Described) -> Result<(), String> {
    let small = super::small_files(file, &Made::of(tensors)).map_err(|e| e.to_string())?;
    let read =
        Described::given(&small, &|name| format!("{name} of the new file")).map_err(|e| e.to_string())?;
    if read.special.bos != parts.special.bos {
        return Err("has a token before a text's first that the keys of a GGUF file cannot name".to_owned());
    }
    for text in TEXTS {
        let ids = |parts: &Described| {
            parts
                .tokenizer
                .encode_prompt(text, parts.special.bos, &parts.tokenizer_config)
                .map_err(|e| e.to_string())
        };
        if ids(&read)? != ids(parts)? {
            return Err(format!(
                "has a tokenizer that takes texts apart as no tokenizer of GGUF files does, such as {text:?}"
            ));
        }
    }
    Ok(())
}

/// Tensors that are in no file yet, as a source of them.
struct Made<'a> {
    tensors: &'a [StoredTensor],
    names: Vec<String>,
}

impl<'a> Made<'a> {
    fn of(tensors: &'a [StoredTensor]) -> Self {
        let names = tensors.iter().map(|t| name_of_file(&t.name).unwrap_or_else(|| t.name.clone())).collect();
        Self { tensors, names }
    }
}

impl TensorSource for Made<'_> {
    fn get(&self, name: &str) -> Result<Option<HostTensor>, FormatError> {
        let stored = name_in_file(name);
        let stored = stored.as_deref().unwrap_or(name);
        let Some(tensor) = self.tensors.iter().find(|t| t.name == stored) else { return Ok(None) };
        let (Some(dtype), Some(shape)) = (tensor.dtype, Shape::new(&tensor.dims)) else { return Ok(None) };
        let made = HostTensor::in_order(name, dtype, shape, Order::Rows, tensor.bytes.clone());
        made.map(Some).map_err(|e| FormatError::Tensor {
            path: stored.into(),
            name: name.to_owned(),
            reason: e.to_string(),
        })
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn location(&self, name: &str) -> String {
        name.to_owned()
    }

    fn total_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.bytes.as_ref().len() as u64).sum()
    }
}

/// A tensor of a file to be written, of numbers that are computed.
fn computed(name: &str, values: impl Iterator<Item = f64>) -> StoredTensor {
    let bytes: Vec<u8> = values.flat_map(|v| (v as f32).to_le_bytes()).collect();
    let tensor =
        NewTensor { name: name.to_owned(), dtype: crate::core::DType::F32, dims: vec![bytes.len() / 4] };
    StoredTensor {
        name: tensor.name,
        dtype: Some(tensor.dtype),
        type_name: "F32".to_owned(),
        dims: tensor.dims,
        bytes: bytes.into(),
        order: Order::Rows,
    }
}
