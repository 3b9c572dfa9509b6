//! Keys of the command line, of a file and of the environment.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::args::key;

/// Names a key in the environment.
pub const VARIABLE: &str = "LLM_RS2_API_KEY";

/// The longest file of keys.
const MOST: u64 = 1 << 20;

/// All keys that are given.
///
/// # Errors
/// A file that cannot be read or holds none, a key that cannot stand in a header.
pub fn all(given: &[String], file: Option<&Path>, variable: Option<&str>) -> Result<Vec<String>> {
    let mut keys = given.to_vec();
    if let Some(file) = file {
        let shown = file.display();
        let length =
            std::fs::metadata(file).with_context(|| format!("cannot read the keys in '{shown}'"))?.len();
        if length > MOST {
            bail!("'{shown}' has {length} bytes, which is no file of keys; give one with a key a line");
        }
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read the keys in '{shown}'"))?;
        let before = keys.len();
        for (at, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
            keys.push(key(line).map_err(|why| anyhow!("line {} of '{shown}' is no key: {why}", at + 1))?);
        }
        // An empty file must not open the server to everybody.
        if keys.len() == before {
            bail!("'{shown}' holds no key; write one into it, or leave out --api-key-file");
        }
    }
    if let Some(value) = variable.filter(|value| !value.is_empty()) {
        keys.push(key(value).map_err(|why| anyhow!("{VARIABLE} is no key: {why}"))?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn keys_come_from_three_places() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\n\n  two \n").unwrap();
        let all = |file: Option<&Path>, variable| all(&["zero".to_owned()], file, variable);
        assert_eq!(all(Some(file.path()), Some("three")).unwrap(), ["zero", "one", "two", "three"]);
        assert_eq!(all(None, Some("")).unwrap(), ["zero"]);
        assert!(all(None, Some("a b")).unwrap_err().to_string().contains(VARIABLE));
        assert!(all(Some(Path::new("/nowhere/keys")), None).is_err());
        file.write_all(b"a b\n").unwrap();
        assert!(all(Some(file.path()), None).unwrap_err().to_string().contains("line 4"));
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(all(Some(empty.path()), None).unwrap_err().to_string().contains("holds no key"));
    }
}
