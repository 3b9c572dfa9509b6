//! How a model on a hub is called: `OWNER/REPO`, `OWNER/REPO:QUANT`, with or without `hf.co/` before it.

use std::fmt;

use super::HubError;

/// A model of a hub. All parts are plain names that can be a file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Whose it is.
    pub owner: String,
    /// The repository.
    pub repo: String,
    /// Which of its GGUF files: how it is quantized, or the file's whole name.
    pub tag: Option<String>,
}

/// What may stand before a name.
const HOSTS: [&str; 2] = ["hf.co/", "huggingface.co/"];

/// The longest part of a name.
const LONGEST: usize = 128;

/// A name without the host before it.
pub(super) fn without_host(text: &str) -> &str {
    let bare = text.strip_prefix("https://").unwrap_or(text);
    HOSTS.iter().find_map(|host| bare.strip_prefix(host)).unwrap_or(text)
}

/// Whether a text can be the name of a file, and is no hidden one.
pub(super) fn is_plain(part: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=LONGEST).contains(&part.len())
        && part.bytes().all(fits)
        && !part.starts_with('.')
        && !part.contains("..")
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// Anything but two plain parts and a tag.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let wrong = |why| HubError::Name { given: text.chars().take(200).collect(), why };
        let bare = without_host(text);
        let (path, tag) = match bare.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (bare, None),
        };
        let tag = tag.filter(|tag| *tag != "latest");
        let Some((owner, repo)) = path.split_once('/') else {
            return Err(match is_plain(path) && tag.is_none_or(is_plain) {
                true => HubError::OllamaLibrary(text.to_owned()),
                false => wrong("give OWNER/REPO or OWNER/REPO:QUANT"),
            });
        };
        if repo.contains('/') {
            return Err(wrong("give OWNER/REPO or OWNER/REPO:QUANT, with nothing before it but hf.co/"));
        }
        if ![Some(owner), Some(repo), tag].into_iter().flatten().all(is_plain) {
            return Err(wrong(
                "its parts are made of letters, digits, '-', '_' and '.', and do not begin with '.' or have '..' in them",
            ));
        }
        Ok(Self { owner: owner.to_owned(), repo: repo.to_owned(), tag: tag.map(str::to_owned) })
    }

    /// `OWNER/REPO`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.repo)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.repo)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_their_host() {
        for (text, shown) in [
            ("a/b", "a/b"),
            ("hf.co/a/b:Q4_K_M", "a/b:Q4_K_M"),
            ("huggingface.co/a/b", "a/b"),
            ("https://huggingface.co/a/b:q8_0", "a/b:q8_0"),
            ("a-1/b_2.3-GGUF:latest", "a-1/b_2.3-GGUF"),
        ] {
            assert_eq!(Name::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for text in [
            "../b",
            "a/..",
            "a/b/c",
            "/a/b",
            "a/",
            "/b",
            "",
            ".a/b",
            "a/b:..",
            "a/b:x/../y",
            "a/b:",
            "a\\b/c",
            "a/b\n",
            "hf.co/../../b",
            "a/%2e%2e",
            "example.com/a/b",
            "a/b:c:d",
            "é/b",
            "a/b?x",
            "a/b#x",
            "a@b/c",
            "a:b",
        ] {
            let refused = Name::parse(text);
            assert!(refused.is_err() || text == "a:b", "{text}: {refused:?}");
        }
        for text in ["llama3.2:1b", "llama3.2", "qwen3:latest"] {
            let why = Name::parse(text).unwrap_err().to_string();
            assert!(why.contains("Ollama's own library") && why.contains("OWNER/REPO:QUANT"), "{why}");
        }
        assert!(Name::parse(&format!("a/{}", "x".repeat(129))).is_err());
    }
}
