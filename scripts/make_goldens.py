#!/usr/bin/env python3
"""Make the tiny checkpoint with every optional feature of a Llama, and Hugging Face's outputs for it.

The checkpoint in tests/fixtures/tiny-options has random weights, biases in attention and feed-forward, its own
output matrix, as many key/value heads as heads, a head width derived from the hidden size, linear RoPE scaling in
the newer `rope_parameters` spelling, several end-of-text ids, f16 shards with an index, and dimensions that are not
multiples of a block. `reference.json` has, for each case, the input ids, all logits of the last position, the top
ten ids of every position, the mean negative log-likelihood, and the greedy continuation.

needs: torch, transformers, tokenizers (PyPI).   usage: make_goldens.py [OUT_DIR]
"""

import argparse
import json
import pathlib

import needed

try:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as missing:
    torch = Tokenizer = WordLevel = WhitespaceSplit = LlamaConfig = LlamaForCausalLM = needed.for_work(missing, "pip install torch transformers tokenizers")

VOCAB = 203
GREEDY = 24
FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/tiny-options"


def make_model() -> LlamaForCausalLM:
    """A model whose weights are large enough for its outputs to differ clearly from each other."""
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=72,
        intermediate_size=100,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=256,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "linear", "rope_theta": 20000.0, "factor": 4.0},
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=[2, 5],
    )
    torch.manual_seed(7)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_((1.0 if "norm" in name else 0.0) + torch.randn_like(p) * (0.1 if p.ndim > 1 else 0.2))
    return model.half()


def reference(model: LlamaForCausalLM, ids: list[int]) -> dict:
    """The outputs for one case, in float32."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item() if len(ids) > 1 else None
        sequence = list(ids)
        for _ in range(GREEDY):
            sequence.append(int(model(torch.tensor([sequence])).logits[0, -1].argmax()))
    return {
        "input_ids": ids,
        "mean_nll": nll,
        "last_logits": [round(float(x), 6) for x in logits[-1]],
        "top10_ids": torch.topk(logits, 10).indices.tolist(),
        "greedy_ids": sequence[len(ids) :],
    }


def main() -> None:
    """Write checkpoint and reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=FIXTURE)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    make_model().save_pretrained(out, max_shard_size="120KB")
    config = json.loads((out / "config.json").read_text())
    del config["head_dim"]  # to be derived from the hidden size, as in older checkpoints
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for shard in out.glob("*.safetensors"):
        shard.chmod(0o644)
    tokenizer = Tokenizer(WordLevel({f"t{i}": i for i in range(VOCAB)}, unk_token="t0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(out / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(11)
    cases = [[1], [1, 9, 8, 7], torch.randint(0, VOCAB, (150,), generator=generator).tolist()]
    made_with = "transformers, float32, eager attention"
    text = json.dumps({"made_with": made_with, "cases": [reference(model, ids) for ids in cases]})
    (out / "reference.json").write_text(text + "\n")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
