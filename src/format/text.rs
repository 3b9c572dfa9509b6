//! Text and JSON as programs write them: with a byte order mark in front, and with numbers that JSON has no form for.

use serde::de::DeserializeOwned;

/// Windows programs put this in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What Python's `json` writes for numbers that are not finite; longer ones first.
const NOT_FINITE: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The bytes without a byte order mark.
pub(crate) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Reads JSON, with or without a byte order mark. `NaN` and `Infinity`, which Python writes, count as `null`.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let bytes = unmarked(bytes);
    serde_json::from_slice(bytes).or_else(|error| match finite(bytes) {
        Some(bytes) => serde_json::from_slice(&bytes),
        None => Err(error),
    })
}

/// The text with `null` for each number that is not finite, outside of strings; `None` if there is none.
fn finite(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    let (mut at, mut quoted, mut found) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        if quoted && byte == b'\\' {
            out.extend_from_slice(&rest[..rest.len().min(2)]);
            at += 2;
            continue;
        }
        quoted ^= byte == b'"';
        match NOT_FINITE.iter().find(|name| !quoted && rest.starts_with(name)) {
            Some(name) => {
                out.extend_from_slice(b"null");
                at += name.len();
                found = true;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_byte_order_mark_and_numbers_that_are_not_finite_are_no_errors() {
        let read = |text: &str| parse_json::<Value>(text.as_bytes());
        assert_eq!(read("\u{feff}{\"a\": 1}").unwrap(), json!({"a": 1}));
        let python = r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" Infinity\\"}"#;
        assert_eq!(read(python).unwrap(), json!({"a": null, "b": [null, null], "c": "NaN \" Infinity\\"}));
        for bad in ["", "{\"a\": Nan}", "\u{feff}", "{\"a\": NaN", "\"\\", "\u{feff}\u{feff}{}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
