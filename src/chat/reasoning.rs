//! What a model says to itself before it answers, and the answer: one text, taken apart as it comes.

use crate::core::overlap;

/// How a family of models writes its reasoning.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    /// Before the reasoning. A template may write it already, at the end of the prompt.
    open: &'static str,
    /// After the reasoning.
    close: &'static str,
    /// Around the answer; the second one may be missing at its end.
    answer: Option<(&'static str, &'static str)>,
    /// What a template of this form has in its source.
    signs: &'static [&'static str],
}

/// The forms that published templates have. Of two with the same opening marker the first one is meant.
const FORMS: [Form; 13] = [
    // Granite 3
    Form {
        open: "<think>",
        close: "</think>",
        answer: Some(("<response>", "</response>")),
        signs: &["<think></think>", "<response></response>"],
    },
    // DeepSeek, Qwen, QwQ, SmolLM, GLM, Nemotron, MiniMax, LFM, ...: some write only the closing marker, to remove what is
    // before it.
    Form { open: "<think>", close: "</think>", answer: None, signs: &["</think>"] },
    // Command R and A
    Form {
        open: "<|START_THINKING|>",
        close: "<|END_THINKING|>",
        answer: Some(("<|START_RESPONSE|>", "<|END_RESPONSE|>")),
        signs: &["<|START_THINKING|>", "<|START_RESPONSE|>"],
    },
    Form {
        open: "<|START_THINKING|>",
        close: "<|END_THINKING|>",
        answer: Some(("<|START_TEXT|>", "<|END_TEXT|>")),
        signs: &["<|START_THINKING|>", "<|START_TEXT|>"],
    },
    // Mistral
    Form { open: "[THINK]", close: "[/THINK]", answer: None, signs: &["[THINK]", "[/THINK]"] },
    // Gemma 4
    Form {
        open: "<|channel>thought",
        close: "<channel|>",
        answer: None,
        signs: &["<|channel>thought", "<channel|>"],
    },
    // GPT-OSS
    Form {
        open: "<|channel|>analysis<|message|>",
        close: "<|end|><|start|>assistant",
        answer: Some(("<|channel|>final<|message|>", "<|end|>")),
        signs: &["<|channel|>analysis<|message|>", "<|channel|>final<|message|>"],
    },
    // Solar
    Form {
        open: "<|think|>",
        close: "<|end|><|begin|>assistant",
        answer: Some(("<|content|>", "<|end|>")),
        signs: &["<|think|>", "<|content|>", "<|begin|>assistant"],
    },
    // Seed-OSS
    Form { open: "<seed:think>", close: "</seed:think>", answer: None, signs: &["</seed:think>"] },
    // MiniMax M3
    Form { open: "<mm:think>", close: "</mm:think>", answer: None, signs: &["</mm:think>"] },
    // Hunyuan 3, whose template puts its markers together
    Form {
        open: "<think:opensource>",
        close: "</think:opensource>",
        answer: None,
        signs: &["</think{}>", "':opensource'"],
    },
    // Apertus
    Form {
        open: "<|inner_prefix|>",
        close: "<|inner_suffix|>",
        answer: None,
        signs: &["<|inner_prefix|>", "<|inner_suffix|>"],
    },
    // Apriel
    Form {
        open: "Here are my reasoning steps:",
        close: "[BEGIN FINAL RESPONSE]",
        answer: None,
        signs: &["Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"],
    },
];

/// The forms of reasoning that a chat template knows; none for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningForms {
    forms: Vec<&'static Form>,
}

impl ReasoningForms {
    /// By what the source of a template contains.
    pub fn of_template(source: &str) -> Self {
        let mut forms: Vec<&'static Form> = Vec::new();
        for form in &FORMS {
            let known = forms.iter().any(|f| f.open == form.open);
            if !known && form.signs.iter().all(|sign| source.contains(sign)) {
                forms.push(form);
            }
        }
        Self { forms }
    }

    /// The markers, each as a model writes it.
    pub fn markers(&self) -> impl Iterator<Item = &'static str> {
        let answer = |form: &&'static Form| form.answer.into_iter().flat_map(|(open, close)| [open, close]);
        self.forms.iter().flat_map(move |form| [form.open, form.close].into_iter().chain(answer(form)))
    }

    /// How the text that follows `prompt` may begin, other than with its answer.
    pub fn start(&self, prompt: &str) -> Option<ReasoningStart> {
        // Where an answer has a marker of its own, it begins there.
        let end = |form: &Form| form.answer.map_or(form.close, |(open, _)| open);
        let written = prompt.trim_end();
        if let Some(form) = self.forms.iter().find(|form| written.ends_with(form.open)) {
            return Some(ReasoningStart::Begun { end: end(form) });
        }
        if self.forms.is_empty() || self.forms.iter().any(|form| written.ends_with(form.close)) {
            return None;
        }
        let markers = self.forms.iter().map(|form| (form.open, end(form))).collect();
        Some(ReasoningStart::Possible { markers })
    }

    /// Takes apart the text that follows `prompt`, in which the reasoning may have begun already.
    pub fn splitter(&self, prompt: &str) -> ReasoningSplitter {
        let end = prompt.trim_end();
        let begun = self.forms.iter().copied().find(|form| end.ends_with(form.open));
        ReasoningSplitter {
            forms: self.forms.clone(),
            form: begun,
            place: if begun.is_some() { Place::ReasoningStart } else { Place::Start },
            held: String::new(),
        }
    }
}

/// How a text may begin before its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReasoningStart {
    /// The reasoning is going on, until this marker.
    Begun {
        /// What comes right before the answer.
        end: &'static str,
    },
    /// The model may begin with reasoning.
    Possible {
        /// What begins it, each with the marker right before the answer.
        markers: Vec<(&'static str, &'static str)>,
    },
}

/// A text taken apart, or a piece of one: the reasoning comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Without the markers, and without white space around it.
    pub reasoning: String,
    /// All else; after a marker without white space at its start.
    pub answer: String,
}

impl Split {
    fn add(&mut self, more: Self) {
        self.reasoning.push_str(&more.reasoning);
        self.answer.push_str(&more.answer);
    }
}

/// Takes a text apart as it comes, wherever it is cut.
///
/// What could be the beginning of a marker is held back until the next piece decides.
#[derive(Clone, Debug)]
pub struct ReasoningSplitter {
    forms: Vec<&'static Form>,
    /// Whose opening marker came.
    form: Option<&'static Form>,
    place: Place,
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing but white space came.
    Start,
    /// After the opening marker, and white space.
    ReasoningStart,
    /// In the reasoning.
    Reasoning,
    /// After the closing marker, and white space.
    Between,
    /// After a marker that begins the answer, and white space.
    AnswerStart,
    /// In an answer that a marker may end.
    Marked,
    /// In an answer.
    Answer,
}

impl ReasoningSplitter {
    /// Takes the next piece, and gives what is now certain.
    pub fn push(&mut self, piece: &str) -> Split {
        self.held.push_str(piece);
        let mut out = Split::default();
        while self.step(&mut out) {}
        out
    }

    /// What was held back, when no more text comes. The next text begins where this one ended.
    pub fn finish(&mut self) -> Split {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::ReasoningStart => Split { reasoning: held.trim().into(), ..Split::default() },
            Place::Reasoning => Split { reasoning: held.trim_end().into(), ..Split::default() },
            _ => Split { answer: held, ..Split::default() },
        }
    }

    /// A whole text.
    pub fn whole(mut self, text: &str) -> Split {
        let mut split = self.push(text);
        split.add(self.finish());
        split
    }

    /// Whether the text so far has ended its reasoning, or has none.
    pub fn answers(&self) -> bool {
        !matches!(self.place, Place::ReasoningStart | Place::Reasoning)
    }

    /// One step from place to place; false where it has to wait for more.
    fn step(&mut self, out: &mut Split) -> bool {
        match self.place {
            Place::Start => return self.begin(out),
            Place::ReasoningStart => {
                let open = self.form.map_or("", |form| form.open);
                self.trim_start();
                match self.after(open) {
                    // The prompt has it already.
                    After::Comes => {}
                    After::May => return false,
                    After::No => self.place = Place::Reasoning,
                }
            }
            Place::Reasoning => {
                let close = self.form.map_or("", |form| form.close);
                let Some(at) = self.held.find(close) else {
                    let keep = overlap(&self.held, close);
                    let certain = self.held[..self.held.len() - keep].trim_end().len();
                    out.reasoning.extend(self.held.drain(..certain));
                    return false;
                };
                out.reasoning.push_str(self.held[..at].trim_end());
                self.held.drain(..at + close.len());
                self.place = Place::Between;
            }
            Place::Between => {
                let marker = self.form.and_then(|form| form.answer).map_or("", |(open, _)| open);
                self.trim_start();
                match self.after(marker) {
                    After::Comes => self.place = Place::AnswerStart,
                    After::May => return false,
                    After::No => self.place = Place::Answer,
                }
            }
            Place::AnswerStart => {
                self.trim_start();
                if self.held.is_empty() {
                    return false;
                }
                self.place = Place::Marked;
            }
            Place::Marked => {
                let close = self.form.and_then(|form| form.answer).map_or("", |(_, close)| close);
                let Some(at) = self.held.find(close) else {
                    let certain = self.held.len() - overlap(&self.held, close);
                    out.answer.extend(self.held.drain(..certain));
                    return false;
                };
                out.answer.extend(self.held.drain(..at));
                self.held.drain(..close.len());
                self.place = Place::Answer;
            }
            Place::Answer => {
                out.answer.push_str(&self.held);
                self.held.clear();
                return false;
            }
        }
        true
    }

    /// A text begins with reasoning, with a marker of its answer, or with neither.
    fn begin(&mut self, out: &mut Split) -> bool {
        let text = self.held.trim_start();
        let space = self.held.len() - text.len();
        let mut may = false;
        for &form in &self.forms {
            let markers =
                [(Some(form.open), Place::ReasoningStart), (form.answer.map(|a| a.0), Place::AnswerStart)];
            for (marker, place) in markers.into_iter().filter_map(|(marker, place)| Some((marker?, place))) {
                if text.starts_with(marker) {
                    (self.form, self.place) = (Some(form), place);
                    self.held.drain(..space + marker.len());
                    return true;
                }
                may |= marker.starts_with(text);
            }
        }
        if may {
            return false;
        }
        self.place = Place::Answer;
        self.step(out)
    }

    fn trim_start(&mut self) {
        let space = self.held.len() - self.held.trim_start().len();
        self.held.drain(..space);
    }

    /// Whether `marker` comes next; if so, it is taken off. Nothing comes where nothing is left; an empty marker never does.
    fn after(&mut self, marker: &str) -> After {
        if self.held.is_empty() || self.held.len() < marker.len() && marker.starts_with(&self.held) {
            After::May
        } else if !marker.is_empty() && self.held.starts_with(marker) {
            self.held.drain(..marker.len());
            After::Comes
        } else {
            After::No
        }
    }
}

/// Whether a marker comes next.
enum After {
    Comes,
    /// Not enough is known yet.
    May,
    No,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A text after a prompt, by a template with this in it.
    fn split(source: &str, prompt: &str, text: &str) -> (String, String) {
        let Split { reasoning, answer } = ReasoningForms::of_template(source).splitter(prompt).whole(text);
        (reasoning, answer)
    }

    #[track_caller]
    fn check(source: &str, prompt: &str, text: &str, reasoning: &str, answer: &str) {
        assert_eq!(
            split(source, prompt, text),
            (reasoning.to_owned(), answer.to_owned()),
            "{prompt:?} {text:?}"
        );
    }

    #[test]
    fn a_block_at_the_start_is_reasoning() {
        let source = "{{ content.split('</think>')[-1] }}";
        check(source, "assistant\n", "<think>\nWhy?\n</think>\n\nSo.\n", "Why?", "So.\n");
        check(source, "assistant\n", "\n <think>a\n\n b</think>c", "a\n\n b", "c");
        // An empty block is none.
        check(source, "assistant\n", "<think>\n\n</think>\n\nSo.", "", "So.");
        // Cut off.
        check(source, "assistant\n", "<think>\nWhy? ", "Why?", "");
        check(source, "assistant\n", "<think>", "", "");
        check(source, "assistant\n", "<think>Why?</thin", "Why?</thin", "");
        // None, or not at the start.
        check(source, "assistant\n", "\n So <think>x</think>.", "", "\n So <think>x</think>.");
        check(source, "assistant\n", "<thin", "", "<thin");
        check(source, "assistant\n", "<think>a</think>b<think>c</think>", "a", "b<think>c</think>");
        // A template that knows of none.
        check("{{ content }}", "", "<think>a</think>b", "", "<think>a</think>b");
    }

    #[test]
    fn the_prompt_may_have_begun_or_ended_it() {
        let source = "{{ '<think>' }}{{ '</think>' }}";
        check(source, "assistant<think>\n", "Why?\n</think>\n\nSo.", "Why?", "So.");
        check(source, "assistant<think>\n", "\n<think>\nWhy?</think>So.", "Why?", "So.");
        check(source, "assistant<think>\n", "Why?", "Why?", "");
        check(source, "assistant<think>\n", "</think>So.", "", "So.");
        check(source, "assistant<think>\n\n</think>\n\n", "So.", "", "So.");
        let forms = ReasoningForms::of_template(source);
        let splitter = |prompt| forms.splitter(prompt);
        assert!(splitter("").answers() && !splitter("<think>").answers());
        assert_eq!(forms.start("a<think>\n"), Some(ReasoningStart::Begun { end: "</think>" }));
        let markers = vec![("<think>", "</think>")];
        assert_eq!(forms.start("assistant\n"), Some(ReasoningStart::Possible { markers }));
        assert_eq!(forms.start("a<think>\n\n</think>\n\n"), None, "there is none");
        assert_eq!(ReasoningForms::of_template("{{ content }}").start("a<think>"), None);
    }

    #[test]
    fn each_form_has_its_markers() {
        let granite = "between <think></think> and <response></response>";
        check(granite, "", "<think>a</think>\n<response>b</response>", "a", "b");
        check(granite, "", "<think>a</think> b", "a", "b");
        check(granite, "", "<response>b</response>", "", "b");
        let cohere = "<|START_THINKING|> <|END_THINKING|> <|START_RESPONSE|>";
        check(cohere, "<|START_THINKING|><|END_THINKING|>", "<|START_RESPONSE|>b<|END_RESPONSE|>", "", "b");
        check(cohere, "", "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "a", "b");
        check("[THINK] [/THINK]", "[/INST]", "[THINK]a[/THINK]b", "a", "b");
        let gemma = "'<|channel>thought\\n' '<channel|>'";
        check(gemma, "model\n", "<|channel>thought\na\n<channel|>b", "a", "b");
        check(gemma, "model\n<|channel>thought\n<channel|>", "b", "", "b");
        let oss = "<|channel|>analysis<|message|> <|channel|>final<|message|>";
        let said = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b";
        check(oss, "<|start|>assistant", said, "a", "b");
        check(oss, "<|start|>assistant", "<|channel|>final<|message|>b", "", "b");
        let solar = "<|begin|>assistant<|think|> <|content|>";
        check(solar, "", "<|think|>a<|end|><|begin|>assistant<|content|>b<|end|>", "a", "b");
        check("'</seed:think>'", "", "<seed:think>a</seed:think>b", "a", "b");
        check("'</mm:think>'", "<mm:think>", "a</mm:think>b", "a", "b");
        let hunyuan = "{% set kind = ':opensource' %}{{ '</think{}>'.format(kind) }}";
        check(hunyuan, "<think:opensource>", "a</think:opensource>b", "a", "b");
        check("<|inner_prefix|> <|inner_suffix|>", "", "<|inner_prefix|>a<|inner_suffix|>b", "a", "b");
        let apriel = "'Here are my reasoning steps:\\n' '[BEGIN FINAL RESPONSE]'";
        check(apriel, "Here are my reasoning steps:\n", "a\n[BEGIN FINAL RESPONSE]\nb", "a", "b");
    }

    #[test]
    fn what_is_certain_comes_at_once() {
        let mut splitter = ReasoningForms::of_template("</think>").splitter("");
        let mut push = |piece: &str| {
            let Split { reasoning, answer } = splitter.push(piece);
            (reasoning, answer)
        };
        let is = |reasoning: &str, answer: &str| (reasoning.to_owned(), answer.to_owned());
        assert_eq!(push("<th"), is("", ""));
        assert_eq!(push("ink>I"), is("I", ""));
        assert_eq!(push(" see \n"), is(" see", ""));
        assert_eq!(push("it <"), is(" \nit", ""));
        assert_eq!(push("/think"), is("", ""));
        assert_eq!(push(">\n"), is("", ""));
        assert_eq!(push("\nSo"), is("", "So"));
        assert_eq!(push(" <think>"), is("", " <think>"));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("<think>"), Just("</think>"), Just("<response>"), Just("</response>"), Just("<"), Just("</"),
                    Just(" "), Just("\n"), Just("a"), Just("\u{20ac}"), Just("think>"),
                ],
                0..12,
            ),
            cuts in proptest::collection::vec(0usize..80, 0..8),
            begun: bool,
        ) {
            let text = parts.concat();
            let forms = ReasoningForms::of_template("<think></think> <response></response>");
            let prompt = if begun { "<think>\n" } else { "" };
            let whole = forms.splitter(prompt).whole(&text);
            let mut cuts: Vec<usize> =
                cuts.into_iter().filter(|&c| c <= text.len() && text.is_char_boundary(c)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut splitter = forms.splitter(prompt);
            let mut pieces = Split::default();
            for cut in cuts.windows(2) {
                // Reasoning never follows an answer.
                let more = splitter.push(&text[cut[0]..cut[1]]);
                prop_assert!(pieces.answer.is_empty() || more.reasoning.is_empty());
                pieces.add(more);
            }
            pieces.add(splitter.finish());
            prop_assert_eq!(&pieces, &whole);
            // No letter is lost.
            let letters = |text: &str| text.matches(['a', '\u{20ac}']).count();
            prop_assert_eq!(letters(&whole.reasoning) + letters(&whole.answer), letters(&text));
        }
    }
}
