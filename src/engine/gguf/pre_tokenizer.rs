//! How a byte-level vocabulary splits a text into words: what the values of `tokenizer.ggml.pre` mean.
//!
//! llama.cpp gives each published tokenizer such a name (`llama-vocab.cpp`). The patterns are those of the tokenizers' own
//! `tokenizer.json`, which llama.cpp partly rewrites for its regular expressions.

use serde_json::{Value as Json, json};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

use super::export::TEXTS;

/// One way to split, under all of its names.
pub(super) struct Rule {
    names: &'static [&'static str],
    /// Applied in turn: each splits the pieces that the one before has left, at its matches, which are pieces as well.
    patterns: &'static [&'static str],
    /// A word that is a token is not taken apart, whatever the merges say.
    pub whole_words: bool,
    /// Whether a text begins with the token for that where the file does not say.
    pub adds_bos: bool,
    /// Letters and their accents are put together first (Unicode's form C), as the tokenizers of these names do; llama.cpp does
    /// not.
    composes: bool,
}

/// GPT-2's words, without a leading space of their own.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// GPT-4's: up to three digits, contractions in capitals too.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with each digit by itself.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with accents and vowel signs as parts of words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words of capitals, and words that begin with at most some.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with contractions at their ends.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// DeepSeek V3's.
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// The letters that DeepSeek LLM makes words of.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
/// Han, kana and Hangul, and the blocks from one to the other.
const DEEPSEEK_CJK: &str = "[一-龥ࠀ-一가-퟿]+";
/// Han and kana.
const HAN_AND_KANA: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
/// BLOOM's words: whatever stands between spaces and full stops or commas.
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

const fn rule(names: &'static [&'static str], patterns: &'static [&'static str]) -> Rule {
    Rule { names, patterns, whole_words: false, adds_bos: false, composes: false }
}

const fn whole_words(rule: Rule) -> Rule {
    Rule { whole_words: true, ..rule }
}

const fn adds_bos(rule: Rule) -> Rule {
    Rule { adds_bos: true, ..rule }
}

const fn composes(rule: Rule) -> Rule {
    Rule { composes: true, ..rule }
}

/// Every rule that is known.
static RULES: [Rule; 28] = [
    adds_bos(whole_words(rule(
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        &[LLAMA3],
    ))),
    rule(&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], &[LLAMA3]),
    rule(
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "jais",
            "trillion",
            "granite-docling",
        ],
        &[GPT2],
    ),
    composes(rule(&["mpt", "olmo"], &[GPT2])),
    composes(rule(&["command-r"], &[r"\p{N}", GPT2])),
    rule(
        &["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", GPT2],
    ),
    rule(
        &["deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        &[QWEN2],
    ),
    composes(rule(&["qwen2"], &[QWEN2])),
    composes(rule(&["qwen35"], &[QWEN35])),
    adds_bos(whole_words(rule(&["tekken"], &[TEKKEN]))),
    rule(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[GPT4O]),
    rule(&["tiny_aya", "cohere2moe"], &[r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O]),
    rule(&["falcon"], &[r"[\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"]),
    rule(&["default"], &[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    rule(
        &["deepseek-llm"],
        &["[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", DEEPSEEK_CJK, r"\p{N}+"],
    ),
    rule(&["deepseek-coder"], &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"]),
    rule(&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &[r"\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK3]),
    rule(
        &["seed-coder"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    rule(&["laguna"], &[r"[^\n]+|[\n]+", QWEN2]),
    whole_words(rule(
        &["minicpm5"],
        &[
            r"\p{N}{1,3}",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    )),
    rule(
        &["exaone-moe"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    rule(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    rule(
        &["jais-2"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
        ],
    ),
    whole_words(rule(
        &["youtu"],
        &[
            "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    )),
    rule(&["superbpe"], &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
    rule(&["poro-chat", "bloom", "gpt3-finnish"], &[BLOOM]),
    rule(&["viking"], &[BLOOM, r"\p{N}"]),
    adds_bos(rule(
        &["chameleon"],
        &[
            "<sentinel:[0-9]+>",
            "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            "([\\t\\n]|    |  )",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            GPT2,
        ],
    )),
];

impl Rule {
    /// The rule of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.names.contains(&name))
    }

    /// A name of the rule that splits as a tokenizer.json with these parts does.
    pub fn like(pre_tokenizer: &Json, normalizer: &Json, whole_words: bool) -> Option<&'static str> {
        let composes = match normalizer["type"].as_str() {
            None => false,
            Some("NFC") => true,
            Some(_) => return None,
        };
        let theirs: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer.clone()).ok()?;
        let alike = |rule: &&Rule| {
            let ours = serde_json::from_value::<PreTokenizerWrapper>(rule.pre_tokenizer());
            let same = |ours: &PreTokenizerWrapper| {
                TEXTS.iter().all(|text| words(ours, text) == words(&theirs, text))
            };
            (rule.whole_words, rule.composes) == (whole_words, composes) && ours.is_ok_and(|ours| same(&ours))
        };
        RULES.iter().find(alike).and_then(|rule| rule.names.first().copied())
    }

    /// The names of all rules.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RULES.iter().flat_map(|rule| rule.names.iter().copied())
    }

    /// The `normalizer` of a tokenizer.json.
    pub fn normalizer(&self) -> Json {
        if self.composes { json!({"type": "NFC"}) } else { Json::Null }
    }

    /// The `pre_tokenizer` of a tokenizer.json: the patterns, and then GPT-2's alphabet for bytes.
    pub fn pre_tokenizer(&self) -> Json {
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let mut steps: Vec<Json> = self.patterns.iter().map(split).collect();
        let bytes =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        steps.push(bytes);
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

/// The words of a text, by the bytes that they are made of; none if the splitter fails.
fn words(splitter: &PreTokenizerWrapper, text: &str) -> Option<Vec<(usize, usize)>> {
    let mut pieces = PreTokenizedString::from(text);
    splitter.pre_tokenize(&mut pieces).ok()?;
    let pieces = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Some(pieces.into_iter().map(|(_, place, _)| place).collect())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// What `scripts/make_pre_tokenizer_cases.py` writes.
    #[derive(Deserialize)]
    struct Cases {
        texts: Vec<String>,
        rules: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        names: Vec<String>,
        whole_words: bool,
        adds_bos: bool,
        words: Vec<Vec<String>>,
    }

    fn words(splitter: &PreTokenizerWrapper, text: &str) -> Vec<String> {
        let places = super::words(splitter, text).unwrap();
        places.into_iter().map(|(from, to)| text[from..to].to_owned()).collect()
    }

    #[test]
    fn a_rule_is_found_by_what_it_does() {
        for rule in &RULES {
            let found = Rule::like(&rule.pre_tokenizer(), &rule.normalizer(), rule.whole_words);
            let found = found.and_then(Rule::of).unwrap_or_else(|| panic!("{} is not found", rule.names[0]));
            for text in TEXTS {
                let splitter = |rule: &Rule| serde_json::from_value(rule.pre_tokenizer()).unwrap();
                assert_eq!(words(&splitter(rule), text), words(&splitter(found), text), "{}", rule.names[0]);
            }
        }
        let usual = ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o"];
        for name in usual {
            let rule = Rule::of(name).unwrap();
            assert_eq!(Rule::like(&rule.pre_tokenizer(), &rule.normalizer(), rule.whole_words), Some(name));
        }
        // GPT-2's words in the words of its own tokenizer.json.
        let own =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        assert_eq!(Rule::like(&own, &Json::Null, false), Some("gpt-2"));
        let digits = json!({"type": "Digits", "individual_digits": true});
        let smollm = json!({"type": "Sequence", "pretokenizers": [digits, own]});
        assert_eq!(Rule::like(&smollm, &Json::Null, false), Some("smollm"));
        let words = json!({"type": "WhitespaceSplit"});
        assert_eq!(Rule::like(&words, &Json::Null, false), None);
    }

    #[test]
    fn each_name_splits_as_its_author_does() {
        let cases: Cases = serde_json::from_str(include_str!("pre_tokenizer_cases.json")).unwrap();
        let mut seen = Vec::new();
        for case in &cases.rules {
            for name in &case.names {
                let rule = Rule::of(name).unwrap_or_else(|| panic!("{name} is not known"));
                assert_eq!((rule.whole_words, rule.adds_bos), (case.whole_words, case.adds_bos), "{name}");
                let splitter: PreTokenizerWrapper = serde_json::from_value(rule.pre_tokenizer()).unwrap();
                for (text, expected) in cases.texts.iter().zip(&case.words) {
                    assert_eq!(words(&splitter, text), *expected, "{name}: {text:?}");
                }
                seen.push(name.as_str());
            }
        }
        let mut known: Vec<&str> = Rule::names().collect();
        known.sort_unstable();
        seen.sort_unstable();
        assert_eq!(known, seen, "the cases are those of all rules, and each has a rule once");
    }
}
