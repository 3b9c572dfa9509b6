//! Longer terminals for grammars with recursion, where they mean the same.
//!
//! A lexer that takes the longest match may only have terminals of which none is a beginning of another or of itself: then no
//! match can be taken too far. So parts of sequences become one terminal where that holds for all terminals together. A text of
//! JSON, say, ends with the quote that nothing within it is; a number has no such end.

use std::collections::{BTreeSet, HashMap, HashSet};

use llguidance::derivre::{ExprRef, RegexAst, RegexBuilder};

use super::{Gbnf, Item, What};

/// The longest regular expression that a part may become, in bytes.
const MOST_BYTES: usize = 4000;
/// Steps that a question about languages may take.
const FUEL: u64 = 20_000;
/// How many such questions are asked about a grammar.
const MOST_QUESTIONS: usize = 2000;
/// How often terminals are given up, before all are.
const MOST_ROUNDS: usize = 32;

impl Gbnf {
    /// The same texts from longer terminals; `None` where there are none.
    pub fn folded(&self) -> Option<Self> {
        let regular: HashSet<usize> = self.regular().into_iter().collect();
        let mut folder = Folder {
            grammar: self,
            regular,
            questions: MOST_QUESTIONS,
            given_up: HashSet::new(),
            ends: HashMap::new(),
        };
        for _ in 0..MOST_ROUNDS {
            let folded = folder.fold();
            let patterns: BTreeSet<&String> = folded.reachable().filter_map(pattern).collect();
            if patterns.is_empty() {
                return None;
            }
            let conflicts = folder.conflicts(&folded, &patterns.into_iter().cloned().collect::<Vec<_>>())?;
            if conflicts.is_empty() {
                return Some(folded);
            }
            folder.given_up.extend(conflicts);
        }
        None
    }

    /// The items of all rules that a text may need.
    fn reachable(&self) -> impl Iterator<Item = &Item> {
        let mut found = vec![self.root];
        let mut known: HashSet<usize> = found.iter().copied().collect();
        let mut at = 0;
        while let Some(&id) = found.get(at) {
            at += 1;
            found.extend(self.rules[id].used().filter(|&used| known.insert(used)));
        }
        found.into_iter().flat_map(|id| self.rules[id].items())
    }
}

fn pattern(item: &Item) -> Option<&String> {
    match &item.what {
        What::Pattern(pattern) => Some(pattern),
        _ => None,
    }
}

struct Folder<'a> {
    grammar: &'a Gbnf,
    regular: HashSet<usize>,
    questions: usize,
    /// Patterns that are in the way of others.
    given_up: HashSet<String>,
    /// Whether none of a pattern's texts is a beginning of another one.
    ends: HashMap<String, bool>,
}

impl Folder<'_> {
    fn fold(&mut self) -> Gbnf {
        let mut folded = self.grammar.clone();
        for rule in &mut folded.rules {
            for sequence in rule.alternatives.iter_mut().flatten() {
                *sequence = self.sequence(sequence);
            }
        }
        folded
    }

    /// With the longest parts as patterns.
    fn sequence(&mut self, items: &[Item]) -> Vec<Item> {
        let mut all = Vec::new();
        let mut at = 0;
        while at < items.len() {
            let found = (at + 1..=items.len()).rev().find_map(|end| Some((end, self.part(&items[at..end])?)));
            match found {
                Some((end, pattern)) => {
                    all.push(Item { what: What::Pattern(pattern), least: 1, most: Some(1) });
                    at = end;
                }
                None => {
                    all.push(items[at].clone());
                    at += 1;
                }
            }
        }
        all
    }

    /// A part as a pattern, if none of its texts is a beginning of another one.
    fn part(&mut self, items: &[Item]) -> Option<String> {
        // One character is a terminal already.
        match items {
            [Item { what: What::Chars { .. }, least: 1, most: Some(1) }] => return None,
            [Item { what: What::Text(text), least: 1, most: Some(1) }] if text.chars().nth(1).is_none() => {
                return None;
            }
            _ => {}
        }
        let mut pattern = String::new();
        items.iter().try_for_each(|item| self.write(item, &mut pattern))?;
        if self.given_up.contains(&pattern) {
            return None;
        }
        let known = self.ends.get(&pattern).copied();
        let has_end = known.unwrap_or_else(|| {
            let alone = std::slice::from_ref(&pattern);
            let has_end = self.begins(alone, alone) == Some(false);
            // The empty text has one too, and is no terminal.
            has_end && self.begins(&[String::new()], alone) == Some(true)
        });
        self.ends.insert(pattern.clone(), has_end);
        has_end.then_some(pattern)
    }

    fn write(&self, item: &Item, out: &mut String) -> Option<()> {
        out.push_str("(?:");
        match &item.what {
            What::Chars { not, ranges } => out.push_str(&super::lark::class(*not, ranges)),
            What::Text(text) => text.chars().for_each(|c| out.push_str(&super::lark::code(c))),
            What::Pattern(pattern) => out.push_str(pattern),
            What::Rule(id) if self.regular.contains(id) => {
                for (i, sequence) in self.grammar.rules[*id].alternatives.iter().flatten().enumerate() {
                    out.push_str(if i == 0 { "" } else { "|" });
                    sequence.iter().try_for_each(|item| self.write(item, out))?;
                }
            }
            What::Rule(_) => return None,
        }
        out.push(')');
        match (item.least, item.most) {
            (1, Some(1)) => {}
            (least, None) => out.push_str(&format!("{{{least},}}")),
            (least, Some(most)) => out.push_str(&format!("{{{least},{most}}}")),
        }
        (out.len() <= MOST_BYTES).then_some(())
    }

    /// Whether a text of one of `longer` begins with a text of one of `shorter` and goes on; `None` where that cannot be found
    /// out.
    fn begins(&mut self, shorter: &[String], longer: &[String]) -> Option<bool> {
        self.questions = self.questions.checked_sub(1)?;
        let mut builder = RegexBuilder::new();
        let any = |builder: &mut RegexBuilder, of: &[String]| -> Option<ExprRef> {
            let one = |one: &String| Some(RegexAst::ExprRef(builder.mk_regex(one).ok()?));
            let of = of.iter().map(one).collect::<Option<Vec<_>>>()?;
            builder.mk(&RegexAst::Or(of)).ok()
        };
        let (shorter, longer) = (any(&mut builder, shorter)?, any(&mut builder, longer)?);
        let more = builder.mk_regex("(?s:.+)").ok()?;
        let gone_on = RegexAst::Concat(vec![RegexAst::ExprRef(shorter), RegexAst::ExprRef(more)]);
        let both = builder.mk(&RegexAst::And(vec![RegexAst::ExprRef(longer), gone_on])).ok()?;
        builder.to_regex_limited(both, FUEL).ok().map(|mut both| !both.always_empty())
    }

    /// Patterns that some other terminal is a beginning of. `None` where that cannot be
    /// found out.
    fn conflicts(&mut self, folded: &Gbnf, patterns: &[String]) -> Option<Vec<String>> {
        let mut singles: BTreeSet<String> = BTreeSet::new();
        for item in folded.reachable() {
            match &item.what {
                What::Chars { not, ranges } => drop(singles.insert(super::lark::class(*not, ranges))),
                What::Text(text) => singles.extend(text.chars().map(super::lark::code)),
                What::Pattern(_) | What::Rule(_) => {}
            }
        }
        let singles: Vec<String> = singles.into_iter().collect();
        let all = [patterns, &singles].concat();
        if !self.begins(&all, patterns)? {
            return Some(Vec::new());
        }
        let mut conflicts: BTreeSet<&String> = BTreeSet::new();
        for pattern in patterns {
            if !singles.is_empty() && self.begins(&singles, std::slice::from_ref(pattern))? {
                conflicts.insert(pattern);
            }
        }
        if conflicts.is_empty() {
            for a in patterns {
                for b in patterns {
                    if self.begins(std::slice::from_ref(a), std::slice::from_ref(b))? {
                        conflicts.insert(b);
                    }
                }
            }
        }
        Some(conflicts.into_iter().cloned().collect())
    }
}
