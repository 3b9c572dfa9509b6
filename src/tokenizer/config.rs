//! `tokenizer_config.json` and `chat_template.jinja`: what a model's directory says about its text beside the
//! tokenizer itself.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::declared::{Declared, DeclaredToken};
use super::error::{Result, TokenizerError, read};
use super::templates::{ChatTemplates, RawTemplates, more_templates};
use crate::format::{parse_json, unmarked};

/// The parts of a model's `tokenizer_config.json` that generation needs. All of them are optional, as is the
/// file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// The Jinja sources of the chat templates.
    pub chat_templates: ChatTemplates,
    /// Text of the token that begins a sequence.
    pub bos_token: Option<String>,
    /// Text of the token that ends one.
    pub eos_token: Option<String>,
    /// The files say that no token begins a sequence.
    pub without_bos: bool,
    /// Whether a prompt has to begin with [`Self::bos_token`], where the file says so.
    pub add_bos_token: Option<bool>,
    /// The token before a chat whose template writes none, by id. Not in the files: whoever knows the model sets it.
    pub begins_chats: Option<u32>,
    /// Tokens that the files name, and that `tokenizer.json` may lack.
    pub declared: Vec<DeclaredToken>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    chat_template: Option<RawTemplates>,
    #[serde(default)]
    add_bos_token: Option<bool>,
}

impl TokenizerConfig {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `chat_template.jinja` of a model's directory; each
    /// may be absent. A template in the `.jinja` file wins over the one in the JSON, as in Hugging Face's `transformers`.
    ///
    /// # Errors
    /// A file that exists but cannot be read, is not UTF-8, or is not of that form.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let json = read_optional(&dir.join("tokenizer_config.json"))?;
        let map = read_optional(&dir.join("special_tokens_map.json"))?;
        let jinja = read_optional(&dir.join("chat_template.jinja"))?;
        let origin = |name: &str| dir.join(name).display().to_string();
        let mut config = Self::from_parts(json.as_deref(), map.as_deref(), jinja.as_deref(), &origin)?;
        let legacy = read_optional(&dir.join("chat_template.json"))?;
        config.add_templates(legacy.as_deref(), more_templates(dir)?.as_deref(), &origin)?;
        Ok(config)
    }

    /// As [`Self::from_dir`], from the bytes of the files; `origin` gives the name of a file in messages.
    ///
    /// # Errors
    /// As [`Self::from_dir`].
    pub fn from_parts(
        json: Option<&[u8]>,
        map: Option<&[u8]>,
        jinja: Option<&[u8]>,
        origin: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let mut config = match json {
            Some(bytes) => Self::from_bytes(bytes, &origin("tokenizer_config.json"))?,
            None => Self::default(),
        };
        let object = |bytes: Option<&[u8]>, file: &str| -> Result<Map<String, Value>> {
            let bad = |reason| TokenizerError::BadConfig { origin: origin(file), reason };
            bytes.map_or(Ok(Map::new()), |bytes| parse_json(bytes).map_err(|e| bad(e.to_string())))
        };
        let (says, map) = (object(json, "tokenizer_config.json")?, object(map, "special_tokens_map.json")?);
        let Declared { bos, eos, without_bos, tokens } = Declared::read(&says, &map);
        (config.bos_token, config.eos_token) = (bos, eos);
        (config.without_bos, config.declared) = (without_bos, tokens);
        if let Some(bytes) = jinja {
            let template = str::from_utf8(unmarked(bytes)).map_err(|e| TokenizerError::Read {
                path: origin("chat_template.jinja").into(),
                source: std::io::Error::new(std::io::ErrorKind::InvalidData, e),
            })?;
            config.chat_templates.put("default", template.to_owned());
        }
        Ok(config)
    }

    /// Adds the templates of further files: `legacy` is the bytes of chat_template.json, `more` those of
    /// [`more_templates`].
    ///
    /// # Errors
    /// A file that is not of that form.
    pub fn add_templates(
        &mut self,
        legacy: Option<&[u8]>,
        more: Option<&[u8]>,
        origin: &dyn Fn(&str) -> String,
    ) -> Result<()> {
        self.chat_templates.add(legacy, more, &|file| origin(file).into())
    }

    /// Reads the JSON of a `tokenizer_config.json`. `origin` names the source in messages.
    ///
    /// # Errors
    /// [`TokenizerError::BadConfig`] if it is not JSON or a field has another type.
    fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        let bad = |reason: String| TokenizerError::BadConfig { origin: origin.to_owned(), reason };
        let raw: RawConfig = parse_json(bytes).map_err(|e| bad(e.to_string()))?;
        let chat_templates =
            raw.chat_template.map(ChatTemplates::from_raw).transpose().map_err(bad)?.unwrap_or_default();
        Ok(Self { chat_templates, add_bos_token: raw.add_bos_token, ..Self::default() })
    }
}

/// The file's bytes, or `None` if there is no such file.
fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TokenizerError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> TokenizerConfig {
        TokenizerConfig::from_parts(Some(json.as_bytes()), None, None, &str::to_owned).unwrap()
    }

    #[test]
    fn tokens_are_strings_or_objects() {
        let config = parse(
            r#"{"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": false},
                "add_bos_token": true, "model_max_length": 1e30, "chat_template": "hi"}"#,
        );
        assert_eq!((config.chat_templates.default(), config.add_bos_token), (Some("hi"), Some(true)));
        assert_eq!((config.bos_token.as_deref(), config.eos_token.as_deref()), (Some("<s>"), Some("</s>")));
        assert_eq!(config.declared.len(), 2);
        let none = parse(r#"{"bos_token": null, "chat_template": null}"#);
        assert_eq!(none, TokenizerConfig { without_bos: true, ..TokenizerConfig::default() });
    }

    #[test]
    fn of_several_templates_the_default_is_taken() {
        let tool = r#"{"name": "tool_use", "template": "T"}"#;
        let default = r#"{"name": "default", "template": "D"}"#;
        let templates = |value: &str| parse(&format!(r#"{{"chat_template": {value}}}"#)).chat_templates;
        assert_eq!(templates(&format!("[{tool},{default}]")).default(), Some("D"));
        assert_eq!(templates(&format!("[{tool},{default}]")).get("tool_use"), Some("T"));
        assert_eq!(templates(&format!("[{tool}]")).default(), Some("T"));
        assert_eq!(templates("[]").default(), None);
        assert_eq!(templates(r#"{"default": "D", "rag": "R"}"#).default(), Some("D"));
        let none = templates(r#"{"tool_use": "T", "rag": "R"}"#);
        assert_eq!((none.default(), none.names()), (None, vec!["tool_use".to_owned(), "rag".to_owned()]));
    }

    #[test]
    fn templates_lie_in_further_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("chat_template.json", r#"{"chat_template": "legacy"}"#);
        let templates = || TokenizerConfig::from_dir(dir.path()).unwrap().chat_templates;
        assert_eq!(templates().default(), Some("legacy"));
        put("tokenizer_config.json", r#"{"chat_template": "new"}"#);
        assert_eq!(templates().default(), Some("new"));
        std::fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
        put("additional_chat_templates/rag.jinja", "R");
        put("additional_chat_templates/notes.txt", "no template");
        assert_eq!((templates().default(), templates().get("rag")), (Some("new"), Some("R")));
    }

    #[test]
    fn a_directory_may_lack_all_files_and_the_jinja_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(TokenizerConfig::from_dir(dir.path()).unwrap(), TokenizerConfig::default());
        let json = br#"{"chat_template": "old", "bos_token": "<s>"}"#;
        std::fs::write(dir.path().join("tokenizer_config.json"), json).unwrap();
        assert_eq!(TokenizerConfig::from_dir(dir.path()).unwrap().chat_templates.default(), Some("old"));
        std::fs::write(dir.path().join("chat_template.jinja"), "new").unwrap();
        let config = TokenizerConfig::from_dir(dir.path()).unwrap();
        assert_eq!(config.chat_templates.default(), Some("new"));
        assert_eq!((config.bos_token.as_deref(), config.eos_token), (Some("<s>"), None));
        std::fs::write(dir.path().join("special_tokens_map.json"), "\u{feff}{\"eos_token\": \"</s>\"}")
            .unwrap();
        assert_eq!(TokenizerConfig::from_dir(dir.path()).unwrap().eos_token.as_deref(), Some("</s>"));
    }

    #[test]
    fn a_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer_config.json");
        for bad in ["", "[1]x", "{\"add_bos_token\": 7}", "{\"chat_template\": [{}]}", "\"text\""] {
            std::fs::write(&path, bad).unwrap();
            let message = TokenizerConfig::from_dir(dir.path()).unwrap_err().to_string();
            assert!(message.contains(&path.display().to_string()), "{bad}: {message}");
            assert!(!message.contains('\n'));
        }
        std::fs::write(&path, "{}").unwrap();
        std::fs::write(dir.path().join("chat_template.jinja"), [0xff, 0xfe]).unwrap();
        let message = TokenizerConfig::from_dir(dir.path()).unwrap_err().to_string();
        assert!(message.contains("chat_template.jinja"), "{message}");
    }
}
