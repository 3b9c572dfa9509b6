//! Where a text could be the beginning of another one.

/// Bytes at the end of `text` with which `other` begins, without all of `other`: what has to wait for more text before it is
/// certain that `other` does not come.
pub fn overlap(text: &str, other: &str) -> usize {
    let longest = text.len().min(other.len().saturating_sub(1));
    (1..=longest).rev().find(|&n| other.is_char_boundary(n) && text.ends_with(&other[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_counts_and_the_whole_does_not() {
        assert_eq!(overlap("a</th", "</think>"), 4);
        assert_eq!(overlap("aab", "aabaa"), 3);
        assert_eq!(overlap("abab", "abac"), 2);
        assert_eq!(overlap("END", "END"), 0);
        assert_eq!(overlap("caf\u{e9}", "\u{e9}!"), 2);
        assert_eq!(overlap("x", ""), 0);
    }
}
