//! SentencePiece's table of characters that are replaced by others. The `tokenizers` crate looks things up in it without
//! looking at its length, so that it has to be whole.
//!
//! A length in bytes, a trie of that length over the bytes of what is replaced, and the replacements, each with a zero at its
//! end. Of a unit of the trie (Darts' double array, 32 bits) the lowest byte is a label; bit 8 says that it ends an entry; the
//! rest leads to where its children are.

use serde_json::Value;

/// Checks that no look into a table leads out of it.
///
/// # Errors
/// What is wrong, as a part of a sentence.
pub(super) fn check(table: &[u8]) -> Result<(), String> {
    if table.is_empty() {
        return Ok(());
    }
    whole(table).ok_or_else(|| "its table of replaced characters is damaged".to_owned())
}

fn whole(table: &[u8]) -> Option<()> {
    let (len, rest) = table.split_first_chunk::<4>()?;
    let (trie, texts) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let (units, []) = trie.as_chunks::<4>() else { return None };
    let texts = str::from_utf8(texts).ok()?;
    let unit = |at: usize| units.get(at).map(|unit| u32::from_le_bytes(*unit));
    let children = |at: usize, unit: u32| at ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
    let mut seen = vec![false; units.len()];
    let mut open = vec![children(0, unit(0)?)];
    while let Some(node) = open.pop() {
        if std::mem::replace(seen.get_mut(node)?, true) {
            continue;
        }
        for label in 1..=255 {
            let at = node ^ label;
            let unit_here = unit(at)?;
            if (unit_here & ((1 << 31) | 0xff)) as usize != label {
                continue;
            }
            let next = children(at, unit_here);
            if unit_here >> 8 & 1 == 1 && !texts.is_char_boundary((unit(next)? & !(1 << 31)) as usize) {
                return None;
            }
            open.push(next);
        }
    }
    Some(())
}

/// Checks the tables in the `normalizer` of a `tokenizer.json`.
///
/// # Errors
/// As [`check`].
pub(super) fn check_normalizer(normalizer: &Value) -> Result<(), String> {
    if let Some(table) = normalizer["precompiled_charsmap"].as_str() {
        let table = decode(table).ok_or("its table of replaced characters is not in base 64")?;
        // The crate looks into an empty one as well.
        if table.is_empty() {
            return Err("its table of replaced characters is empty".to_owned());
        }
        check(&table)?;
    }
    let inner = normalizer["normalizers"].as_array();
    inner.into_iter().flatten().try_for_each(check_normalizer)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// In base 64.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let place = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= three.len() { char::from(DIGITS[place]) } else { '=' });
        }
    }
    text
}

/// Out of base 64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut place = [None; 256];
    (0..).zip(DIGITS).for_each(|(value, &digit)| place[digit as usize] = Some(value));
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().try_fold(0u32, |bits, &digit| Some(bits << 6 | place[digit as usize]?))?;
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_the_published_one() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode("Zg!="), None);
    }

    #[test]
    fn what_the_crate_would_panic_on_is_refused() {
        let table = |units: &[u32], texts: &[u8]| {
            let trie: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            [&(trie.len() as u32).to_le_bytes()[..], &trie, texts].concat()
        };
        check(&[]).unwrap();
        check(&table(&[0; 256], b"")).unwrap();
        for bad in [
            vec![1],
            table(&[], b""),
            // Labels without units.
            table(&[0; 255], b""),
            // More bytes than there are.
            u32::MAX.to_le_bytes().to_vec(),
            table(&[0; 256], b"\xff"),
        ] {
            assert!(check(&bad).unwrap_err().contains("table"), "{bad:?}");
        }
        // An entry for 'a', whose children are at 0x80: there stands where its text is.
        let entry = |text: u32| {
            let mut units = [0u32; 256];
            units[0x61] = 0x61 | 1 << 8 | (0x61 ^ 0x80) << 10;
            units[0x80] = text | 1 << 31;
            table(&units, "\u{e9}\0".as_bytes())
        };
        let json = |table: &[u8]| {
            let inner = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": encode(table)});
            serde_json::json!({"type": "Sequence", "normalizers": [inner]})
        };
        check_normalizer(&json(&entry(0))).unwrap();
        let normalizer: tokenizers::NormalizerWrapper = serde_json::from_value(json(&entry(0))).unwrap();
        let mut text = tokenizers::NormalizedString::from("bab");
        tokenizers::Normalizer::normalize(&normalizer, &mut text).unwrap();
        assert_eq!(text.get(), "b\u{e9}b");
        // Within a character, and after the end.
        for bad in [json(&entry(1)), json(&entry(4)), json(&[])] {
            assert!(check_normalizer(&bad).is_err());
        }
    }
}
