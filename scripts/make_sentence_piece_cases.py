#!/usr/bin/env python3
"""Writes src/tokenizer/sentence_piece/cases.json: small models that SentencePiece trains on this project's README, as files,
with the ids and texts that the library itself gives. Needs the Python package sentencepiece.
"""

import argparse
import base64
import io
import json
import os
import pathlib
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

TEXTS = [
    "",
    "Hello world",
    " two  spaces   three ",
    "The model runs on the device, in one binary.",
    "日本 🦙 naïve ﬁne ½ ＡＢＣ e\u0301",
    "a<user>b  <user> c",
    "tokens per second: 12.5 tokens/s",
    "aaaaaaa bbbbbb ababab",
]

# A few of the characters that NFKC replaces, since the whole table is large: code points, and what they become.
RULES = {"FB01": "66 69", "BD": "31 2044 32", "FF21": "41", "FF22": "42", "FF23": "43", "65 301": "E9", "9": "20", "A": "20"}
NORMALIZED = {"normalization_rule_tsv": ""}

MODELS = {
    "bpe, as Llama 2": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe, as Gemma": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "user_defined_symbols": ["<user>"],
    },
    "bpe, without bytes": {"model_type": "bpe", **NORMALIZED},
    "unigram": {"model_type": "unigram", **NORMALIZED},
    "unigram, with bytes": {"model_type": "unigram", "byte_fallback": True, "add_dummy_prefix": False, **NORMALIZED},
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import sentencepiece

    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.strip()]
    # The file stores the path, which is to be the same everywhere.
    os.chdir(tempfile.mkdtemp())
    rules = pathlib.Path("rules.tsv")
    rules.write_text("".join(f"{source}\t{target}\n" for source, target in RULES.items()))
    models = []
    for name, options in MODELS.items():
        file = io.BytesIO()
        if "normalization_rule_tsv" in options:
            options["normalization_rule_tsv"] = str(rules)
        size = 512 if options.get("byte_fallback") else 300
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=file, vocab_size=size, hard_vocab_limit=False, character_coverage=0.99, minloglevel=2, num_threads=1, **options
        )
        model = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
        ids = [model.encode(text) for text in TEXTS]
        models.append({"name": name, "file": base64.b64encode(file.getvalue()).decode(), "ids": ids, "decoded": [model.decode(i) for i in ids]})
    target = ROOT / "src/tokenizer/sentence_piece/cases.json"
    lines = [json.dumps(model, ensure_ascii=True) for model in models]
    target.write_text('{"texts": ' + json.dumps(TEXTS) + ', "models": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
