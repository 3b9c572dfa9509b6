//! Which family a file is of.

use super::{ALL, Family};
use crate::format::shown;

/// A checkpoint of a model of no known family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFamily {
    /// `model_type` is not known.
    #[error("model_type '{}' is not supported; known are {}", shown(.0), names())]
    ModelType(String),
    /// None of `architectures` is known.
    #[error("the architecture '{}' is not supported; known are {}", shown(.0), classes())]
    Class(String),
    /// The two keys contradict each other.
    #[error("model_type '{}' does not go with the architecture '{}'", shown(.0), shown(.1))]
    Disagree(String, String),
    /// Neither key is there.
    #[error("neither model_type nor architectures is given; known models are {}", names())]
    Absent,
    /// `general.architecture` of a GGUF file is not known.
    #[error("the architecture '{}' is not supported; known are {}", shown(.0), Family::gguf_architectures())]
    Gguf(String),
}

impl Family {
    /// The family that config.json names by its `model_type`, its `architectures`, or both, in any letter case: the
    /// first conversions of Llama say `LLaMAForCausalLM`.
    ///
    /// # Errors
    /// [`UnknownFamily`], which says what is supported.
    pub fn find(model_type: Option<&str>, classes: &[String]) -> Result<&'static Self, UnknownFamily> {
        let by_type = match model_type {
            Some(t) => {
                let named = |f: &&&Family| {
                    std::iter::once(&f.name).chain(f.aliases).any(|name| name.eq_ignore_ascii_case(t))
                };
                let family = ALL.iter().find(named);
                Some(*family.ok_or_else(|| UnknownFamily::ModelType(t.to_owned()))?)
            }
            None => None,
        };
        let by_class = match classes {
            [] => None,
            _ => {
                let has = |f: &&&Family| {
                    f.classes.iter().any(|own| classes.iter().any(|c| c.eq_ignore_ascii_case(own)))
                };
                Some(*ALL.iter().find(has).ok_or_else(|| UnknownFamily::Class(classes.join(", ")))?)
            }
        };
        match (by_type, by_class) {
            (Some(a), Some(b)) if a != b => {
                Err(UnknownFamily::Disagree(model_type.unwrap_or_default().into(), classes.join(", ")))
            }
            (Some(a), _) | (None, Some(a)) => Ok(a),
            (None, None) => Err(UnknownFamily::Absent),
        }
    }

    /// The family of GGUF files of an architecture.
    ///
    /// # Errors
    /// [`UnknownFamily::Gguf`], which says what is supported.
    pub fn of_gguf(architecture: &str) -> Result<&'static Self, UnknownFamily> {
        let family = ALL.iter().find(|f| f.gguf.architectures.contains(&architecture));
        family.copied().ok_or_else(|| UnknownFamily::Gguf(architecture.to_owned()))
    }

    /// The architectures of GGUF files that are known, for messages.
    pub fn gguf_architectures() -> String {
        ALL.iter().flat_map(|f| f.gguf.architectures).copied().collect::<Vec<_>>().join(", ")
    }
}

fn names() -> String {
    ALL.iter().map(|f| f.name).collect::<Vec<_>>().join(", ")
}

fn classes() -> String {
    ALL.iter().flat_map(|f| f.classes).copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(model_type: Option<&str>, classes: &[&str]) -> Result<&'static str, String> {
        let classes: Vec<String> = classes.iter().map(|&c| c.into()).collect();
        Family::find(model_type, &classes).map(|f| f.name).map_err(|e| e.to_string())
    }

    #[test]
    fn either_key_is_enough() {
        assert_eq!(find(Some("llama"), &["LlamaForCausalLM"]), Ok("llama"));
        assert_eq!(find(Some("llama"), &[]), Ok("llama"));
        assert_eq!(find(None, &["LlamaForCausalLM"]), Ok("llama"));
        assert_eq!(find(Some("llama"), &["LLaMAForCausalLM"]), Ok("llama"));
        assert_eq!(find(Some("LLaMA"), &[]), Ok("llama"));
        assert_eq!(Family::of_gguf("llama").unwrap().name, "llama");
    }

    #[test]
    fn other_models_are_named() {
        let message = find(Some("mamba"), &["MambaForCausalLM"]).unwrap_err();
        assert!(
            message.starts_with("model_type 'mamba' is not supported; known are llama, mistral, "),
            "{message}"
        );
        let message = find(Some("llama"), &["LlamaForSequenceClassification"]).unwrap_err();
        assert!(
            message.starts_with(
                "the architecture 'LlamaForSequenceClassification' is not supported; known are LlamaForCausalLM, "
            ),
            "{message}"
        );
        assert!(find(None, &[]).unwrap_err().starts_with("neither model_type nor architectures is given; "));
        let message = find(Some("qwen2"), &["LlamaForCausalLM"]).unwrap_err();
        assert_eq!(message, "model_type 'qwen2' does not go with the architecture 'LlamaForCausalLM'");
        assert!(Family::of_gguf("mamba").unwrap_err().to_string().contains("known are llama"));
    }

    #[test]
    fn no_two_families_have_a_name_in_common() {
        for of in [
            |f: &'static Family| [&[f.name][..], f.aliases].concat(),
            |f: &'static Family| f.classes.to_vec(),
            |f: &'static Family| f.gguf.architectures.to_vec(),
        ] {
            let mut all: Vec<&str> = ALL.iter().flat_map(|f| of(f)).collect();
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
        }
    }
}
