//! Where the prompt comes from.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::args::Args;
use crate::format::unmarked;

/// A longer text than this is a mistake (some other file).
const LIMIT: u64 = 64 << 20;

/// The prompt: `--prompt`, else `--prompt-file`, else standard input if it is not a terminal.
pub fn read(args: &Args) -> Result<String> {
    let text = match (&args.prompt, args.prompt_file.as_deref()) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => file(path)?.0,
        (None, None) if !stdin().is_terminal() => from_reader(stdin(), "standard input")?,
        (None, None) => String::new(),
    };
    // With a session an empty prompt means to go on.
    if text.is_empty() && args.session.is_none() {
        bail!("the prompt is empty; give some text with --prompt, --prompt-file or standard input");
    }
    Ok(text)
}

/// The text of a file, or of standard input for `-`, and its name in messages.
pub fn file(path: &Path) -> Result<(String, String)> {
    if path == Path::new("-") {
        let name = "standard input";
        return Ok((from_reader(stdin(), name)?, name.to_owned()));
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open the prompt file {name}"))?;
    Ok((from_reader(file, &name)?, name))
}

/// A chat template.
pub fn template(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open the chat template {name}"))?;
    let mut text = from_reader(file, &name)?;
    // Jinja drops one final newline by itself.
    text.push('\n');
    Ok(text)
}

/// All of a text, but for one final newline and a byte order mark.
pub(super) fn from_reader(reader: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > LIMIT {
        bail!("{name} is larger than {} MB, the most that is taken in", LIMIT >> 20);
    }
    let text = str::from_utf8(unmarked(&bytes)).map_err(|e| match bytes.first_chunk() {
        Some([0xff, 0xfe] | [0xfe, 0xff]) => anyhow::anyhow!("{name} is UTF-16 text; convert it to UTF-8"),
        _ => {
            let at = e.valid_up_to() + bytes.len() - unmarked(&bytes).len();
            anyhow::anyhow!("{name} is not UTF-8 text (byte {at}); convert it to UTF-8")
        }
    })?;
    let mut text = text.to_owned();
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Whether a plain prompt is shown before its text.
pub fn is_shown(args: &Args) -> bool {
    !args.quiet && !args.chat && args.messages.is_none() && !args.json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_newline_is_dropped_and_bad_text_named() {
        assert_eq!(from_reader(&b"a\n\n"[..], "x").unwrap(), "a\n");
        assert_eq!(from_reader(&b"a\r\n"[..], "x").unwrap(), "a");
        let e = from_reader(&b"ab\xff"[..], "x.txt").unwrap_err();
        assert_eq!(e.to_string(), "x.txt is not UTF-8 text (byte 2); convert it to UTF-8");
        assert_eq!(from_reader("\u{feff}a\u{feff}\n".as_bytes(), "x").unwrap(), "a\u{feff}");
        let e = from_reader(&b"\xef\xbb\xbfa\xff"[..], "x.txt").unwrap_err();
        assert_eq!(e.to_string(), "x.txt is not UTF-8 text (byte 4); convert it to UTF-8");
        let e = from_reader(&b"\xff\xfea\0"[..], "x.txt").unwrap_err();
        assert_eq!(e.to_string(), "x.txt is UTF-16 text; convert it to UTF-8");
    }
}
