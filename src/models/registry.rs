//! Which models there are: what a checkpoint calls itself, to the code that runs it.

use std::fmt;

use crate::format::shown;

/// A family of models that share one implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Llama 1 to 3.2, text only (Touvron et al. 2023, arXiv 2302.13971), and what is built the same way.
    Llama,
}

/// One line a family: `model_type` and the entry of `architectures` in config.json.
const KNOWN: &[(&str, &str, Architecture)] = &[("llama", "LlamaForCausalLM", Architecture::Llama)];

/// A checkpoint of a model that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownArchitecture {
    /// `model_type` is not known.
    #[error("model_type '{}' is not supported; known are {}", shown(.0), known(|k| k.0))]
    ModelType(String),
    /// None of `architectures` is known.
    #[error("the architecture '{}' is not supported; known are {}", shown(.0), known(|k| k.1))]
    Class(String),
    /// The two keys contradict each other.
    #[error("model_type '{}' does not go with the architecture '{}'", shown(.0), shown(.1))]
    Disagree(String, String),
    /// Neither key is there.
    #[error("neither model_type nor architectures is given; known models are {}", known(|k| k.0))]
    Absent,
}

impl Architecture {
    /// The family that config.json names by its `model_type`, its `architectures`, or both, in any letter case: the
    /// first conversions of Llama say `LLaMAForCausalLM`.
    ///
    /// # Errors
    /// [`UnknownArchitecture`], which says what is supported.
    pub fn find(model_type: Option<&str>, classes: &[String]) -> Result<Self, UnknownArchitecture> {
        let by_type = match model_type {
            Some(t) => {
                let row = KNOWN.iter().find(|k| k.0.eq_ignore_ascii_case(t));
                Some(row.ok_or_else(|| UnknownArchitecture::ModelType(t.to_owned()))?.2)
            }
            None => None,
        };
        let by_class = match classes {
            [] => None,
            _ => {
                let row = KNOWN.iter().find(|k| classes.iter().any(|c| c.eq_ignore_ascii_case(k.1)));
                Some(row.ok_or_else(|| UnknownArchitecture::Class(classes.join(", ")))?.2)
            }
        };
        match (by_type, by_class) {
            (Some(a), Some(b)) if a != b => {
                Err(UnknownArchitecture::Disagree(model_type.unwrap_or_default().into(), classes.join(", ")))
            }
            (Some(a), _) | (None, Some(a)) => Ok(a),
            (None, None) => Err(UnknownArchitecture::Absent),
        }
    }

    /// The family's `model_type`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn known(column: impl Fn(&(&'static str, &'static str, Architecture)) -> &'static str) -> String {
    KNOWN.iter().map(column).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(model_type: Option<&str>, classes: &[&str]) -> Result<Architecture, String> {
        let classes: Vec<String> = classes.iter().map(|&c| c.into()).collect();
        Architecture::find(model_type, &classes).map_err(|e| e.to_string())
    }

    #[test]
    fn either_key_is_enough() {
        assert_eq!(find(Some("llama"), &["LlamaForCausalLM"]), Ok(Architecture::Llama));
        assert_eq!(find(Some("llama"), &[]), Ok(Architecture::Llama));
        assert_eq!(find(None, &["LlamaForCausalLM"]), Ok(Architecture::Llama));
        assert_eq!(find(Some("llama"), &["LLaMAForCausalLM"]), Ok(Architecture::Llama));
        assert_eq!(find(Some("LLaMA"), &[]), Ok(Architecture::Llama));
    }

    #[test]
    fn other_models_are_named() {
        assert_eq!(
            find(Some("mistral"), &["MistralForCausalLM"]).unwrap_err(),
            "model_type 'mistral' is not supported; known are llama"
        );
        assert_eq!(
            find(Some("llama"), &["LlamaForSequenceClassification"]).unwrap_err(),
            "the architecture 'LlamaForSequenceClassification' is not supported; known are LlamaForCausalLM"
        );
        assert_eq!(
            find(None, &[]).unwrap_err(),
            "neither model_type nor architectures is given; known models are llama"
        );
    }
}
