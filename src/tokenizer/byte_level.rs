//! GPT-2's spelling of bytes as printable characters, undone.

/// The largest character of the alphabet: U+0143.
const ALPHABET_END: usize = 0x144;

/// Character -> byte, or -1 outside of the alphabet.
static CHAR_TO_BYTE: [i16; ALPHABET_END] = char_to_byte();

/// Printable Latin-1 characters stand for themselves; the other 68 bytes are, in ascending order, U+0100 on.
const fn char_to_byte() -> [i16; ALPHABET_END] {
    let mut table = [-1; ALPHABET_END];
    let mut next = 0x100;
    let mut byte = 0;
    while byte < 0x100 {
        if matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) {
            table[byte] = byte as i16;
        } else {
            table[next] = byte as i16;
            next += 1;
        }
        byte += 1;
    }
    table
}

/// Appends the bytes that `piece` stands for. A piece with any character outside of the alphabet (an added
/// token, whose text is not spelled in it) stands for its own UTF-8.
pub(super) fn push_bytes(piece: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for c in piece.chars() {
        match CHAR_TO_BYTE.get(c as usize).map(|&b| u8::try_from(b)) {
            Some(Ok(byte)) => bytes.push(byte),
            _ => {
                bytes.truncate(start);
                bytes.extend_from_slice(piece.as_bytes());
                return;
            }
        }
    }
}

/// Takes the text that is certain out of `bytes`, broken sequences as U+FFFD just as
/// [`String::from_utf8_lossy`] writes them; at most three bytes of an unfinished character stay.
pub(super) fn take_text(bytes: &mut Vec<u8>) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut used = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        used += chunk.valid().len();
        let broken = chunk.invalid();
        if broken.is_empty() || (used + broken.len() == bytes.len() && is_unfinished(broken)) {
            break;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        used += broken.len();
    }
    bytes.drain(..used);
    text
}

/// Whether `bytes` is the beginning of some character.
fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        // From the published vocabularies: a space is Ġ, a newline Ċ, a soft hyphen (the last one) U+0143.
        for (c, byte) in [('Ġ', b' '), ('Ċ', b'\n'), ('Ā', 0), ('\u{143}', 0xad), ('ÿ', 0xff), ('A', b'A')]
        {
            let mut bytes = Vec::new();
            push_bytes(&c.to_string(), &mut bytes);
            assert_eq!(bytes, [byte], "{c}");
        }
        let mut seen: Vec<i16> = CHAR_TO_BYTE.iter().copied().filter(|&b| b >= 0).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..256).collect::<Vec<i16>>());
    }

    #[test]
    fn other_characters_make_a_piece_literal() {
        let mut bytes = Vec::new();
        push_bytes("Ġ日 x", &mut bytes);
        assert_eq!(bytes, "Ġ日 x".as_bytes());
    }

    #[test]
    fn text_in_any_cut_equals_the_lossy_text_of_the_whole() {
        let whole: &[u8] =
            b"a\xe6\x97\xa5\xff\xf0\x9f\x98\x80\xf0\x9f\x98x\xe6\xe6\x97\xed\xa0\x80\xc0\xaf\xf4\x90\x80\x80";
        for width in 1..=whole.len() {
            let (mut pending, mut text) = (Vec::new(), String::new());
            for cut in whole.chunks(width) {
                pending.extend_from_slice(cut);
                text += &take_text(&mut pending);
                assert!(pending.len() <= 3);
            }
            text += &String::from_utf8_lossy(&pending);
            assert_eq!(text, String::from_utf8_lossy(whole), "width {width}");
        }
    }
}
