//! Tokens that tokenizer_config.json and special_tokens_map.json name: which begins a text and which ends one, and
//! those that tokenizer.json may lack.

use serde_json::{Map, Value};

/// Keys under which these files name one special token each.
const SINGLE: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Keys under which they name more: a list, or an object of names.
const SEVERAL: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// A token that a text is cut at before anything else, as these files describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredToken {
    /// Its text.
    pub content: String,
    /// Only where it stands as a word.
    pub single_word: bool,
    /// Takes the spaces before it along.
    pub lstrip: bool,
    /// Takes the spaces after it along.
    pub rstrip: bool,
    /// Found in normalized text.
    pub normalized: bool,
    /// Steers, and is no text.
    pub special: bool,
    /// Counts only if the vocabulary has it: it is named, and has no id here.
    pub named_only: bool,
}

impl DeclaredToken {
    /// From its object, or from its text alone.
    fn read(value: &Value, named_only: bool) -> Option<Self> {
        let flag = |key: &str, absent: bool| value.get(key).and_then(Value::as_bool).unwrap_or(absent);
        let special = named_only || flag("special", false);
        Some(Self {
            content: text_of(value)?.to_owned(),
            single_word: flag("single_word", false),
            lstrip: flag("lstrip", false),
            rstrip: flag("rstrip", false),
            normalized: flag("normalized", !special),
            special,
            named_only,
        })
    }
}

/// The text of a token that is given as a text or as an object; an empty one is none.
fn text_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str()).filter(|text| !text.is_empty())
}

/// What the two files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub bos: Option<String>,
    pub eos: Option<String>,
    /// A file says that there is no token to begin with.
    pub without_bos: bool,
    pub tokens: Vec<DeclaredToken>,
}

impl Declared {
    /// Reads both; the second file counts where the first names no token.
    pub fn read(config: &Map<String, Value>, map: &Map<String, Value>) -> Self {
        let of = |key: &str| [config, map].into_iter().find_map(|file| file.get(key).and_then(text_of));
        let is_null = |file: &Map<String, Value>| file.get("bos_token").is_some_and(Value::is_null);
        let bos = of("bos_token").map(str::to_owned);
        Self {
            without_bos: bos.is_none() && (is_null(config) || is_null(map)),
            bos,
            eos: of("eos_token").map(str::to_owned),
            tokens: added(config).into_iter().chain(named(config)).chain(named(map)).collect(),
        }
    }
}

/// `added_tokens_decoder`, in ascending order of ids.
fn added(config: &Map<String, Value>) -> Vec<DeclaredToken> {
    let Some(entries) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut entries: Vec<(u64, &Value)> =
        entries.iter().filter_map(|(id, token)| Some((id.parse().ok()?, token))).collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries.into_iter().filter_map(|(_, token)| DeclaredToken::read(token, false)).collect()
}

/// The special tokens that a file names.
fn named(file: &Map<String, Value>) -> impl Iterator<Item = DeclaredToken> {
    let single = SINGLE.iter().filter_map(|key| file.get(*key));
    let several = SEVERAL.iter().filter_map(|key| file.get(*key)).flat_map(|value| match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(names) => names.values().collect(),
        _ => Vec::new(),
    });
    single.chain(several).filter_map(|value| DeclaredToken::read(value, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(config: Value, map: Value) -> Declared {
        Declared::read(config.as_object().unwrap(), map.as_object().unwrap())
    }

    #[test]
    fn the_map_counts_where_the_configuration_names_none() {
        let map = json!({"bos_token": {"content": "<s>", "lstrip": true}, "eos_token": "</s>"});
        let both = read(json!({"bos_token": "<b>", "eos_token": null}), map.clone());
        assert_eq!((both.bos.as_deref(), both.eos.as_deref()), (Some("<b>"), Some("</s>")));
        let one = read(json!({}), map);
        assert_eq!((one.bos.as_deref(), one.without_bos), (Some("<s>"), false));
        assert!(one.tokens[0].lstrip && one.tokens[0].named_only && one.tokens[0].special);
        let none = read(json!({"bos_token": null}), json!({}));
        assert_eq!((none.bos, none.without_bos), (None, true));
        // Of another type: as if it was absent.
        assert_eq!(read(json!({"bos_token": false, "eos_token": ""}), json!({})), Declared::default());
    }

    #[test]
    fn added_tokens_come_in_the_order_of_their_ids() {
        let config = json!({
            "added_tokens_decoder": {
                "10": {"content": "b", "special": true}, "9": {"content": "a", "rstrip": true}, "x": {"content": "c"},
                "11": 3
            },
            "additional_special_tokens": ["d", {"content": "e"}], "extra_special_tokens": {"image_token": "f"}
        });
        let tokens = read(config, json!({"additional_special_tokens": "g"})).tokens;
        let contents: Vec<&str> = tokens.iter().map(|t| t.content.as_str()).collect();
        assert_eq!(contents, ["a", "b", "d", "e", "f"]);
        assert_eq!((tokens[0].special, tokens[0].normalized, tokens[0].rstrip), (false, true, true));
        assert_eq!((tokens[1].special, tokens[1].normalized, tokens[1].named_only), (true, false, false));
    }
}
