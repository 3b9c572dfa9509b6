//! Which files of a repository make up one model.

use serde_json::Value;

use super::checkpoint;
use super::name::is_plain;
use super::{HubError, Name};

/// A file of a repository, as a hub lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its path in the repository: plain names between slashes.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Of its contents, in hexadecimal: Git's, or the sha256.
    pub id: String,
    /// In hexadecimal; small files have none.
    pub sha256: Option<String>,
}

fn hexadecimal(value: &Value, digits: usize) -> Option<String> {
    let text = value.as_str()?;
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

impl Listed {
    /// A file of a listing; a directory is none, nor is what has a name that could lead elsewhere.
    pub fn read(value: &Value) -> Option<Self> {
        if value["type"] != "file" {
            return None;
        }
        let path = value["path"].as_str()?.to_owned();
        if !path.split('/').all(is_plain) {
            return None;
        }
        let sha256 = hexadecimal(&value["lfs"]["oid"], 64);
        let id = sha256.clone().or_else(|| hexadecimal(&value["oid"], 40))?;
        let size = value["lfs"]["size"].as_u64().or_else(|| value["size"].as_u64())?;
        Some(Self { path, size, id, sha256 })
    }

    /// Where it goes in the model's directory: a GGUF file is directly in it, whatever directory it has in the repository.
    pub fn target(&self) -> &str {
        if self.path.ends_with(".gguf") { base(&self.path) } else { &self.path }
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a GGUF file without its end and without the number of its part: `x` of `x-00001-of-00003.gguf`; with that
/// number, or 1, and how many parts there are.
pub(super) fn stem(file: &str) -> Option<(&str, u32, u32)> {
    let whole = file.strip_suffix(".gguf")?;
    let part = || {
        let (rest, count) = whole.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        (digits(count) && digits(number)).then_some(())?;
        Some((stem, number.parse().ok()?, count.parse().ok()?))
    };
    Some(part().unwrap_or((whole, 1, 1)))
}

/// How a model says in its name that it is quantized: `Q4_K_M`, `UD-Q4_K_XL`, `BF16`.
pub(super) fn quant(stem: &str) -> Option<&str> {
    let at = stem.rfind(['-', '.']).map_or(0, |at| at + 1);
    let last = &stem[at..];
    let upper = last.to_ascii_uppercase();
    let digit = |prefix: &str| {
        upper.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is_one = ["Q", "IQ", "TQ", "F", "BF", "MXFP", "NVFP"].iter().any(|prefix| digit(prefix));
    let before = stem.get(..at)?;
    let dynamic = before.ends_with("-UD-") || before == "UD-";
    is_one.then(|| if dynamic { &stem[at - 3..] } else { last })
}

/// Whether a model's name ends with `tag`, or is it.
fn ends_with(stem: &str, tag: &str) -> bool {
    let Some(at) = stem.len().checked_sub(tag.len()) else { return false };
    let is_end = stem.is_char_boundary(at) && stem[at..].eq_ignore_ascii_case(tag);
    is_end && (at == 0 || stem[..at].ends_with(['-', '.', '_']))
}

/// What is taken where nothing is said, the best first.
const USUAL: [&str; 8] = ["Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "Q5_K_M", "Q6_K", "Q8_0", "BF16"];

/// The one of several models in one place that is meant without a tag, by their names without parts.
pub(super) fn usual<'a>(stems: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let with =
        |tag: &&str| stems.clone().find(|stem| quant(stem).is_some_and(|q| q.eq_ignore_ascii_case(tag)));
    USUAL.iter().find_map(with).or_else(|| stems.clone().next())
}

/// The files of a model, in the order in which they are to be fetched: it counts as there when the last one is.
///
/// # Errors
/// Nothing that fits, or several models that do.
pub(super) fn choose(name: &Name, listed: &[Listed]) -> Result<Vec<Listed>, HubError> {
    let missing =
        |what: String, there: String| HubError::NoFile { repository: name.repository(), what, there };
    // What belongs to images, and what quantizing was made with, are no models.
    let is_model = |file: &&Listed| {
        let file = base(&file.path).to_ascii_lowercase();
        file.ends_with(".gguf") && !file.contains("mmproj") && !file.contains("imatrix")
    };
    let models: Vec<&Listed> = listed.iter().filter(is_model).collect();
    let stems = models.iter().filter_map(|file| stem(base(&file.path))).map(|(stem, ..)| stem);
    if models.is_empty() {
        if let Some(tag) = &name.tag {
            return Err(missing(
                format!("GGUF file '{tag}'"),
                "it has no GGUF files; leave the part after ':' out".into(),
            ));
        }
        return checkpoint(listed).ok_or_else(|| {
            missing(
                "model that can be fetched".into(),
                "a GGUF file, or config.json and model.safetensors, are needed".into(),
            )
        });
    }
    let chosen = match &name.tag {
        None => usual(stems.clone()),
        Some(tag) => {
            let bare = tag.strip_suffix(".gguf").unwrap_or(tag);
            let bare = stem(tag).map_or(bare, |(stem, ..)| stem);
            let exact = stems.clone().find(|stem| stem.eq_ignore_ascii_case(bare));
            let quantized =
                || stems.clone().find(|stem| quant(stem).is_some_and(|q| q.eq_ignore_ascii_case(bare)));
            exact.or_else(quantized).or_else(|| stems.clone().find(|stem| ends_with(stem, bare)))
        }
    };
    let Some(chosen) = chosen else {
        let mut there: Vec<&str> = stems.map(|stem| quant(stem).unwrap_or(stem)).collect();
        there.dedup();
        let tag = name.tag.as_deref().unwrap_or_default();
        return Err(missing(format!("GGUF file '{tag}'"), format!("it has {}", there.join(", "))));
    };
    let of_model = |file: &&&Listed| stem(base(&file.path)).is_some_and(|(stem, ..)| stem == chosen);
    let mut files: Vec<Listed> = models.iter().filter(of_model).map(|file| (*file).clone()).collect();
    let number = |file: &Listed| stem(base(&file.path)).map_or(0, |(_, number, _)| number);
    files.sort_by(|a, b| number(b).cmp(&number(a)).then_with(|| a.path.len().cmp(&b.path.len())));
    files.dedup_by_key(|file| number(file));
    let count = files.first().and_then(|file| stem(base(&file.path))).map_or(1, |(.., count)| count);
    if files.len() != count as usize {
        return Err(missing(
            format!("whole model '{chosen}'"),
            format!("it has {} of its {count} parts", files.len()),
        ));
    }
    Ok(files)
}

/// The files of a checkpoint.
fn checkpoint(listed: &[Listed]) -> Option<Vec<Listed>> {
    let mut files: Vec<Listed> =
        listed.iter().filter(|file| checkpoint::is_part(&file.path)).cloned().collect();
    let whole = files.iter().any(|file| file.path == "model.safetensors");
    // Some repositories have the weights in parts too.
    files.retain(|file| {
        !whole
            || file.path == "model.safetensors"
            || !checkpoint::is_weights(&file.path) && !file.path.ends_with(".index.json")
    });
    let has = |test: &dyn Fn(&str) -> bool| files.iter().any(|file| test(&file.path));
    (has(&checkpoint::is_weights) && has(&|path| path == "config.json")).then_some(())?;
    files.sort_by_key(|file| (file.path == "config.json", checkpoint::is_weights(&file.path)));
    Some(files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(paths: &[&str]) -> Vec<Listed> {
        let one = |path: &&str| Listed { path: (*path).into(), size: 1, id: String::new(), sha256: None };
        paths.iter().map(one).collect()
    }

    fn chosen(name: &str, paths: &[&str]) -> Vec<String> {
        let files = choose(&Name::parse(name).unwrap(), &listed(paths)).unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn a_listing_is_read_and_what_leads_elsewhere_left_out() {
        let sha = "ab".repeat(32);
        let git = "cd".repeat(20);
        let file = Listed::read(&json!({"type": "file", "path": "a.gguf", "size": 3, "oid": git,
            "lfs": {"oid": sha, "size": 7}}));
        assert_eq!(file, Some(Listed { path: "a.gguf".into(), size: 7, id: sha.clone(), sha256: Some(sha) }));
        for bad in ["../a", "a/../b", "/etc/passwd", "a//b", ".hidden", "", "a\\b", "a\nb"] {
            let value = json!({"type": "file", "path": bad, "size": 3, "oid": git});
            assert_eq!(Listed::read(&value), None, "{bad}");
        }
        for bad in [
            json!({"type": "directory", "path": "a"}),
            json!({"type": "file", "path": "a", "size": 1, "oid": "../x"}),
            json!(1),
        ] {
            assert_eq!(Listed::read(&bad), None);
        }
    }

    #[test]
    fn quants_are_read_from_names() {
        for (stem, expected) in [
            ("Llama-3.2-1B-Instruct-Q4_K_M", Some("Q4_K_M")),
            ("SmolLM2-135M-Instruct.Q4_1", Some("Q4_1")),
            ("Qwen3-4B-UD-Q4_K_XL", Some("UD-Q4_K_XL")),
            ("x-bf16", Some("bf16")),
            ("gpt-oss-20b-MXFP4", Some("MXFP4")),
            ("Llama-3.2-1B-Instruct", None),
            ("Qwen3", None),
            ("", None),
        ] {
            assert_eq!(quant(stem), expected, "{stem}");
        }
        assert_eq!(stem("x-00002-of-00003.gguf"), Some(("x", 2, 3)));
        assert_eq!((stem("x-2-of-3.gguf"), stem("x.bin")), (Some(("x-2-of-3", 1, 1)), None));
    }

    #[test]
    fn a_tag_chooses_and_so_does_its_absence() {
        let paths = [
            "M-IQ2_M.gguf",
            "M-Q4_K_M.gguf",
            "M-UD-Q4_K_XL.gguf",
            "M-Q8_0.gguf",
            "mmproj-M-f16.gguf",
            "config.json",
        ];
        assert_eq!(chosen("a/b", &paths), ["M-Q4_K_M.gguf"]);
        assert_eq!(chosen("a/b:latest", &paths), ["M-Q4_K_M.gguf"]);
        assert_eq!(chosen("a/b:q8_0", &paths), ["M-Q8_0.gguf"]);
        assert_eq!(chosen("a/b:Q4_K_XL", &paths), ["M-UD-Q4_K_XL.gguf"]);
        assert_eq!(chosen("a/b:UD-Q4_K_XL", &paths), ["M-UD-Q4_K_XL.gguf"]);
        assert_eq!(chosen("a/b:M-Q8_0.gguf", &paths), ["M-Q8_0.gguf"]);
        let why = choose(&Name::parse("a/b:Q3_K").unwrap(), &listed(&paths)).unwrap_err().to_string();
        assert!(why.contains("'Q3_K'") && why.contains("IQ2_M, Q4_K_M, UD-Q4_K_XL, Q8_0"), "{why}");
    }

    #[test]
    fn the_first_part_comes_last_and_all_have_to_be_there() {
        let paths = ["Q8_0/M-Q8_0-00001-of-00002.gguf", "Q8_0/M-Q8_0-00002-of-00002.gguf", "M-Q4_0.gguf"];
        let files = chosen("a/b:Q8_0", &paths);
        assert_eq!(files, ["Q8_0/M-Q8_0-00002-of-00002.gguf", "Q8_0/M-Q8_0-00001-of-00002.gguf"]);
        assert_eq!(listed(&paths)[0].target(), "M-Q8_0-00001-of-00002.gguf");
        assert!(choose(&Name::parse("a/b:Q8_0").unwrap(), &listed(&paths[..1])).is_err());
    }

    #[test]
    fn a_checkpoint_is_its_files_and_config_comes_last() {
        let paths = [
            "config.json",
            "README.md",
            "model.safetensors",
            "consolidated.safetensors",
            "tokenizer.json",
            "onnx/model.onnx",
            "1_Pooling/config.json",
            "additional_chat_templates/rag.jinja",
            "pytorch_model.bin",
        ];
        let files = chosen("a/b", &paths);
        assert_eq!(
            files,
            [
                "tokenizer.json",
                "1_Pooling/config.json",
                "additional_chat_templates/rag.jinja",
                "model.safetensors",
                "config.json"
            ]
        );
        assert!(choose(&Name::parse("a/b:Q4_0").unwrap(), &listed(&paths)).is_err());
        assert!(choose(&Name::parse("a/b").unwrap(), &listed(&["README.md"])).is_err());
    }
}
