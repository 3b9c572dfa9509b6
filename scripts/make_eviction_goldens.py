#!/usr/bin/env python3
"""Make Hugging Face's logits for a text whose old tokens are evicted, by a 4-D mask and position ids.

`tests/fixtures/tiny-llama32/eviction.json` has the ids of a text, the numbers of an eviction (`window`, `protected`,
`target`), and for each policy the logits after some of its tokens.

`sliding` is one pass with a mask. `streaming` too, by a trick: the sinks stand in the sequence once for each eviction,
their positions from then on. A copy sees its own sinks alone, at unchanged distances, so its keys are the
same but for their rotation; and each token sees the copy of its time.

needs: torch, transformers (PyPI).   usage: make_eviction_goldens.py [OUT.json]
"""

import argparse
import json
import pathlib
import sys

import needed

try:
    import torch
    from transformers import LlamaForCausalLM
except ImportError as missing:
    torch = LlamaForCausalLM = needed.for_work(missing, "pip install torch transformers")

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/tiny-llama32"
TOKENS, WINDOW, PROTECTED, TARGET = 120, 32, 4, 24
STEPS = [31, 32, 33, 40, 71, 72, 119]


def visible() -> list[tuple[int, list[int]]]:
    """For each position: how many evictions there were, and the positions that it sees, itself the last."""
    held, evictions, out = [], 0, []
    for position in range(TOKENS):
        if len(held) == WINDOW:
            held = held[:PROTECTED] + held[PROTECTED + WINDOW - TARGET :]
            evictions += 1
        held.append(position)
        out.append((evictions, list(held)))
    return out


def logits(model: LlamaForCausalLM, ids: list[int], moving: bool) -> list[list[float]]:
    """The logits after `STEPS`; with `moving` sinks each eviction has a copy of them."""
    seen = visible()
    copies = seen[-1][0] if moving else 0
    # Behind the text, the copies: eviction e's sink i is at TOKENS + (e - 1) * PROTECTED + i.
    sequence = ids + ids[:PROTECTED] * copies
    positions = list(range(TOKENS))
    allowed = torch.zeros(len(sequence), len(sequence), dtype=torch.bool)
    for position, (evictions, held) in enumerate(seen):
        copy = moving and evictions > 0 and position >= PROTECTED
        at = [TOKENS + (evictions - 1) * PROTECTED + p if copy and p < PROTECTED else p for p in held]
        allowed[position, at] = True
    for eviction in range(1, copies + 1):
        oldest = next(held[PROTECTED] for evictions, held in seen if evictions == eviction)
        start = len(positions)
        positions += range(oldest - PROTECTED, oldest)
        for i in range(PROTECTED):
            allowed[start + i, start : start + i + 1] = True
    mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    with torch.no_grad():
        out = model(torch.tensor([sequence]), attention_mask=mask[None, None], position_ids=torch.tensor([positions]))
    return [[float(f"{value:.7g}") for value in out.logits[0, step].tolist()] for step in STEPS]


def main() -> int:
    """Loads, computes, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=FIXTURE / "eviction.json")
    target = parser.parse_args().out
    model = LlamaForCausalLM.from_pretrained(FIXTURE, dtype=torch.float32, attn_implementation="eager").eval()
    ids = [1] + [3 + (i * i * 7 + i * 13) % 500 for i in range(1, TOKENS)]
    golden = {
        "ids": ids,
        "window": WINDOW,
        "protected": PROTECTED,
        "target": TARGET,
        "steps": STEPS,
        "sliding": logits(model, ids, moving=False),
        "streaming": logits(model, ids, moving=True),
    }
    target.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")
    print(target, target.stat().st_size, "bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
