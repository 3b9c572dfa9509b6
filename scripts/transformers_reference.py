#!/usr/bin/env python3
"""What transformers computes for a GGUF file with its weights as float32, as JSON on standard output: for each text its
tokens, the logits after the last of them (every STRIDE-th), the mean negative log-likelihood of the tokens, and the greedy
continuation. The tests with real models (tests/it/real_models.rs) compare these figures with ours. A text in a file that ends
with .ids is a list of token ids; making a tokenizer of a large vocabulary out of a GGUF file takes transformers very long.

needs: torch, transformers, accelerate, gguf (PyPI).   usage: transformers_reference.py MODEL.gguf GREEDY_TOKENS TEXT...
"""

import argparse
import json
import pathlib

import needed

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as missing:
    torch = AutoModelForCausalLM = AutoTokenizer = needed.for_work(missing, "pip install torch transformers accelerate gguf")

STRIDE = 97


def case(model: torch.nn.Module, ids: list[int], name: str, greedy: int) -> dict:
    """The outputs for one text."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item()
        text = model.generate(
            torch.tensor([ids]), max_new_tokens=greedy, min_new_tokens=greedy, do_sample=False, pad_token_id=0
        )
    return {
        "file": name,
        "ids": ids,
        "mean_nll": nll,
        "stride": STRIDE,
        "last_logits": [round(float(x), 5) for x in logits[-1][::STRIDE]],
        "greedy": text[0, len(ids) :].tolist(),
    }


def main() -> None:
    """Print the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("greedy", type=int)
    parser.add_argument("text", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    where = {"pretrained_model_name_or_path": args.model.parent, "gguf_file": args.model.name}
    tokenizer = None
    texts = []
    for path in args.text:
        if path.suffix == ".ids":
            texts.append((path.stem, [int(word) for word in path.read_text().split()]))
            continue
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(**where)
        texts.append((path.name, tokenizer(path.read_text())["input_ids"]))
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval()
    cases = [case(model, ids, name, args.greedy) for name, ids in texts]
    print(json.dumps({"model": args.model.name, "made_with": "transformers, float32, eager attention", "cases": cases}))


if __name__ == "__main__":
    main()
