//! Texts that tokenizers take apart differently.

/// Words in several letter cases and scripts, contractions, numbers, spaces, lines, signs, code.
pub(in crate::engine::gguf) const TEXTS: [&str; 8] = [
    "The quick brown fox didn't jump; IT'LL jump over 12345 lazy dogs in 2026, at 3.14159 % of 1,000,000 m/s!",
    " leading and  double   spaces\tand\ttabs \n\n\nnew lines\r\n  indented\n\n end \u{a0} \u{3000}. ",
    "i'D 'RE 'm I'LLx ''' \"quoted\" $5+$6=11^2 a|b~c `x` _under_score_ #tag @name x1y2z3 http://a.b/c?d=1&e=2",
    "1 22 333 4444 55555 666666 7777777 88888888 ½ Ⅷ ² ٣٤٥٦ 12a34 3..3 -7 +8",
    "ÄPFEL und Straße, naïve café cafe\u{301} ǅ ʰ ﬁ œuvre Ελληνικά Кириллица עברית العربية، نص؟",
    "我想在apple工作1314151天～ 日本語のテキスト、カタカナ。 한국어 텍스트입니다 हिन्दी में ภาษาไทย កាន់តែ",
    "fn main() {\n    let x = a[0] / b_c->d; // path/to/file.rs:12\n}\n\n#[test]\n    if (x >= 10) { return; }\n",
    "HTTPServer getURL iPhone McDONALD camelCaseWord ABCdef 🚀 (ok) 😶\u{200d}🌫\u{fe0f} ✅ 🦙🦙 “quote”… — ! ?! ...",
];
