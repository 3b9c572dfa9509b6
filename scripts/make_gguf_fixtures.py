#!/usr/bin/env python3
"""Write a Llama checkpoint as a GGUF file by the gguf package, for tests that read files which others wrote.

The fixtures in tests/fixtures/gguf are made from tests/fixtures/tiny-llama32:

    scripts/make_gguf_fixtures.py tests/fixtures/tiny-llama32 tiny.gguf
    reference --quantize 15 tiny.gguf tests/fixtures/gguf/tiny-q4_k_m.gguf
    reference --quantize 0 tests/fixtures/gguf/tiny-q4_k_m.gguf f32.gguf
    reference f32.gguf 16 FILE.ids >tests/fixtures/gguf/tiny-q4_k_m.json

and so on for types 17 and 3; `reference` is scripts/llama_cpp_reference.cpp, and FILE.ids holds the tokens of the longest
case of tiny-llama32/reference.json. The rows of these matrices are too short for K blocks, so that llama.cpp chooses Q5_0,
Q5_1 and Q8_0 for some, as it does for other narrow models. Needs numpy and gguf.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
from pathlib import Path

LAYER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tensors(path: Path) -> dict:
    """All tensors of a safetensors file as float32 arrays, by name."""
    import numpy as np

    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        data = np.frombuffer(raw[8 + length + start : 8 + length + end], np.uint8)
        if entry["dtype"] == "BF16":
            values = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = data.view({"F32": np.float32, "F16": np.float16}[entry["dtype"]]).astype(np.float32)
        found[name] = values.reshape(entry["shape"])
    return found


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor of a checkpoint."""
    stem, kind = name.rsplit(".", 1)
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{LAYER[part]}.{kind}"


def in_pairs(values, heads: int):
    """The rows of a query or key matrix in the order of llama.cpp, where the two halves of a rotary pair are neighbors."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def llama3_factors(config: dict, head_dim: int) -> list[float]:
    """By what each rotary frequency is divided (rope_type llama3)."""
    rope, factors = config["rope_scaling"], []
    context = rope["original_max_position_embeddings"]
    for pair in range(head_dim // 2):
        wavelength = 2 * math.pi * config["rope_theta"] ** (2 * pair / head_dim)
        low, high = context / rope["low_freq_factor"], context / rope["high_freq_factor"]
        share = (context / wavelength - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        between = 1 / ((1 - share) / rope["factor"] + share)
        factors.append(1.0 if wavelength < high else rope["factor"] if wavelength > low else between)
    return factors


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="directory with config.json, tokenizer.json and model.safetensors")
    parser.add_argument("out", type=Path, help="the file to write, in float32")
    args = parser.parse_args()

    import gguf
    import numpy as np

    config = json.loads((args.checkpoint / "config.json").read_text())
    tokenizer = json.loads((args.checkpoint / "tokenizer.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    out = gguf.GGUFWriter(args.out, "llama")
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_key_length(head_dim)
    out.add_value_length(head_dim)
    out.add_rope_dimension_count(head_dim)
    out.add_rope_freq_base(config["rope_theta"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_vocab_size(config["vocab_size"])

    vocab = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    texts = sorted(vocab, key=vocab.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"].get("merges", [])]
    if not merges:  # An empty list is not written.
        texts[-2:], merges = ["t", "1"], ["t 1"]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("llama-bpe")
    out.add_token_list(texts)
    out.add_token_types([gguf.TokenType.CONTROL if text in special else gguf.TokenType.NORMAL for text in texts])
    out.add_token_merges(merges)
    out.add_bos_token_id(config["bos_token_id"])
    out.add_eos_token_id(config["eos_token_id"])
    out.add_add_bos_token(True)

    if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
        out.add_tensor("rope_freqs.weight", np.array(llama3_factors(config, head_dim), np.float32))
    for name, values in tensors(args.checkpoint / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            values = in_pairs(values, heads if "q_proj" in name else kv_heads)
        out.add_tensor(gguf_name(name), np.ascontiguousarray(values))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()
