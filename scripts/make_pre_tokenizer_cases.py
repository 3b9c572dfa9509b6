#!/usr/bin/env python3
"""Writes src/engine/gguf/pre_tokenizer_cases.json: how each rule of llama.cpp's splits some texts into words.

Names, flags and patterns are read out of llama.cpp's llama-vocab.cpp; where that has rewritten a pattern for its own
regular expressions, the original stands in a comment there, and counts. The Python package tokenizers splits, by another
engine for regular expressions than this program's.
"""

import argparse
import json
import pathlib
import re

TEXTS = [
    "Hello, world! It's 3:45 and WE'LL see 1234567 llamas; they're\tat the ZOO's gate...",
    " two  spaces   three\n\n new\r\nlines \n \n\n\t tabs\t\t \n   ",
    "i'D say 'RE 'm Don'T I'LLx ''' \"quoted\" ```code``` <html> $5+$6=11^2 a|b~c `x`",
    "3 33 333 3333 33333 333333 3333333 3.3 3..3 ½ Ⅷ ² ٣٤٥٦ 12a34",
    "нещо на Български, ÄPFEL und Straße; naïve café cafe\u0301 ǅ ʰ ﬁ ſ's",
    "我想在apple工作1314151天～ 日本語のテキスト、カタカナ。 한국어 텍스트입니다 ㄱㄴ ㄅㄆ “引用”…—！",
    "हिन्दी में लिखा កាន់តែពិសេសអាច ไทยภาษา العربية، نص؟ עברית 🚀 (normal) 😶‍🌫️ ✅ 🦙🦙",
    "fn main() { let x = a[0] / b_c->d; } // path/to/file.rs:12\n\n\n#[test]\nif (x >= 10) {\n    return;\n}\n",
    "HTTPServer getURL iPhone McDONALD camelCaseWord ABCdef ABC DEFghi x1y2 www.example.com/?a=1&b=2",
    "<sentinel:12> IMGIMGABCDZ    four   three\u00a0nbsp\u3000wide\u200bzero\u0085next\u2028line ",
    "!",
    " ",
    "a\n",
    "\n\n\n\n",
]

# Not byte-level, with a separator of their own after a text, or without their original patterns.
OTHER_KINDS = {"GEMMA4", "SARVAM_MOE", "WHITESPACE", "KIMI_K2", "AFMOE", "GRANITE_EMB_MULTI"}
WITH_SEPARATOR = {"jina-v1-en", "jina-v2-code", "roberta-bpe"}


def text_of(source: str) -> str:
    """What a C++ string literal without its quotes stands for."""
    return json.loads(f'"{source}"')


def patterns(source: str) -> dict[str, list[str]]:
    """Of each kind its patterns, the original ones where there are any."""
    body = source[source.index("llm_tokenizer_bpe(const llama_vocab & vocab)") :]
    body = body[: body.index("std::vector<std::string> regex_exprs;")]
    found: dict[str, list[str]] = {}
    kinds: list[str] = []
    begun, original = False, None
    for line in map(str.strip, body.splitlines()):
        if kind := re.fullmatch(r"case LLAMA_VOCAB_PRE_TYPE_(\w+):", line):
            kinds = [] if begun else kinds
            begun = False
            kinds.append(kind[1])
        elif line == "default:":
            kinds, begun = ["DEFAULT"], False
        elif comment := re.fullmatch(r'//[^"]*"(.*)",?', line):
            original = text_of(comment[1])
        elif literal := re.match(r'"((?:[^"\\]|\\.)*)"', line):
            begun = True
            for kind in kinds:
                found.setdefault(kind, []).append(original or text_of(literal[1]))
            original = None
        elif line == "break;":
            begun = True
    return found


def names(source: str) -> list[tuple[str, str, bool, bool]]:
    """Name, kind, whether merges are passed over for whole words, whether a text begins with a token for that."""
    body = source[source.index("GENERATION QUALITY WILL BE DEGRADED") :]
    body = body[: body.index("unknown pre-tokenizer type")]
    rows = []
    for block in re.split(r"\} else if \(", body)[1:]:
        kind = re.search(r"pre_type = LLAMA_VOCAB_PRE_TYPE_(\w+)", block)[1]
        flags = ["ignore_merges = true" in block, "add_bos = true" in block]
        rows.extend((name, kind, *flags) for name in re.findall(r'tokenizer_pre == "([^"]+)"', block))
    return rows


def words(pre_tokenizer, text: str) -> list[str]:
    # Offsets count characters.
    return [text[start:end] for _, (start, end) in pre_tokenizer.pre_tokenize_str(text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, metavar="LLAMA_VOCAB_CPP", help="llama.cpp's src/llama-vocab.cpp")
    source = parser.parse_args().source.read_text()
    from tokenizers import Regex, pre_tokenizers

    by_kind = patterns(source)
    cases: dict[tuple, dict] = {}
    for name, kind, whole_words, adds_bos in names(source):
        if kind in OTHER_KINDS or name in WITH_SEPARATOR:
            continue
        key = (*by_kind[kind], whole_words, adds_bos)
        case = cases.get(key)
        if case is None:
            splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in by_kind[kind]]
            splits.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
            pre_tokenizer = pre_tokenizers.Sequence(splits)
            case = {"names": [], "whole_words": whole_words, "adds_bos": adds_bos}
            case["words"] = [words(pre_tokenizer, text) for text in TEXTS]
            cases[key] = case
        case["names"].append(name)
    target = pathlib.Path(__file__).parent.parent / "src/engine/gguf/pre_tokenizer_cases.json"
    lines = [json.dumps(case, ensure_ascii=True) for case in cases.values()]
    target.write_text('{"texts": ' + json.dumps(TEXTS) + ', "rules": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
