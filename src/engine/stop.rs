//! Stop strings, found across the borders of tokens and never half printed.

use crate::core::overlap;

/// Passes text through until a stop string appears in it.
///
/// Text that could be the beginning of a stop string is held back until the next piece decides.
#[derive(Debug)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    matched: Option<usize>,
}

impl StopMatcher {
    /// Watches for `stops`; empty strings are ignored.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self { stops, held: String::new(), matched: None }
    }

    /// Takes the next piece and gives the text that is now certain to precede any stop string. After a match
    /// nothing more comes out.
    pub fn push(&mut self, piece: &str) -> String {
        if self.matched.is_some() {
            return String::new();
        }
        self.held.push_str(piece);
        let first = self
            .stops
            .iter()
            .enumerate()
            .filter_map(|(i, stop)| self.held.find(stop.as_str()).map(|at| (at, i)))
            .min();
        if let Some((at, index)) = first {
            self.matched = Some(index);
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// The stop string that was found.
    pub fn matched(&self) -> Option<&str> {
        self.matched.map(|i| self.stops[i].as_str())
    }

    /// What was held back, when no more text comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, Option<String>, String) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut m = StopMatcher::new(&stops);
        let out = pieces.iter().map(|p| m.push(p)).collect();
        let matched = m.matched().map(str::to_owned);
        (out, matched, m.finish())
    }

    #[test]
    fn a_stop_string_over_three_pieces_is_not_printed() {
        let (out, matched, rest) = run(&["END."], &["the E", "N", "D. more"]);
        assert_eq!(out, ["the ", "", ""]);
        assert_eq!(matched.as_deref(), Some("END."));
        assert_eq!(rest, "");
    }

    #[test]
    fn a_false_start_is_released() {
        let (out, matched, rest) = run(&["END."], &["EN", "Q", " E"]);
        assert_eq!(out, ["", "ENQ", " "]);
        assert_eq!(matched, None);
        assert_eq!(rest, "E");
    }

    #[test]
    fn the_earliest_match_wins_and_characters_stay_whole() {
        let (out, matched, _) = run(&["b", "ab"], &["xab"]);
        assert_eq!((out[0].as_str(), matched.as_deref()), ("x", Some("ab")));
        let (out, matched, rest) = run(&["é!"], &["caf", "é", "?"]);
        assert_eq!(out, ["caf", "", "é?"]);
        assert_eq!((matched, rest.as_str()), (None, ""));
    }

    proptest! {
        #[test]
        fn output_is_the_text_before_the_first_stop(
            text in "[ab€]{0,24}", stop in "[ab€]{1,4}", cuts in proptest::collection::vec(0usize..24, 0..6)
        ) {
            let mut cuts: Vec<usize> =
                cuts.into_iter().filter(|&c| c <= text.len() && text.is_char_boundary(c)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut m = StopMatcher::new(std::slice::from_ref(&stop));
            let mut out: String = cuts.windows(2).map(|w| m.push(&text[w[0]..w[1]])).collect();
            out += &m.finish();
            let expected = text.split(stop.as_str()).next().unwrap_or_default();
            prop_assert_eq!(out, expected);
        }
    }
}
