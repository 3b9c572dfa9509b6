#!/usr/bin/env python3
"""Make the tiny checkpoints of the tests, with Hugging Face's outputs for them, and the same models as GGUF files.

tests/fixtures/tiny-options is a Llama with every optional feature: biases in attention and feed-forward, its own output
matrix, as many key/value heads as heads, a head width derived from the hidden size, linear RoPE scaling in the newer
`rope_parameters` spelling, several end-of-text ids, f16 shards with an index, and dimensions that are not multiples of a
block. tests/fixtures/families has a smaller model of each other family, in bfloat16; windows and the lengths at which rotary
embeddings change lie within the texts. `model.gguf` beside each is the same model as llama.cpp's converter has it.

`reference.json` has, for each case, the input ids, all logits of the last position, the top ten ids of every position, the
mean negative log-likelihood, and the greedy continuation.

needs: torch, transformers, tokenizers, gguf (PyPI).   usage: make_goldens.py [NAME...]
"""

import argparse
import json
import pathlib

import needed

try:
    import gguf
    import torch
    import transformers
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as missing:
    names = "gguf torch transformers"
    gguf = torch = transformers = needed.for_work(missing, f"pip install {names} tokenizers")
    Tokenizer = WordLevel = WhitespaceSplit = LlamaConfig = LlamaForCausalLM = torch

GREEDY = 24
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures"

# Beside these: what a family has of its own.
SMALL = {
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75}
LONGROPE |= {"short_factor": [1.0, 1.25, 1.5], "long_factor": [1.5, 2.0, 3.0], "original_max_position_embeddings": 24}
FAMILIES = {
    "mistral": {"sliding_window": 8},
    "ministral3": {"rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.125}},
    "qwen2": {"tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {},
    "gemma2": {"sliding_window": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 4.0},
    "gemma3_text": {"num_hidden_layers": 3, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "query_pre_attn_scalar": 8},
    "smollm3": {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]},
    "phi3": {"num_key_value_heads": 2, "hidden_size": 32, "original_max_position_embeddings": 24, "rope_parameters": LONGROPE, "head_dim": None},
    "granite": {"attention_multiplier": 0.25, "embedding_multiplier": 4.0, "residual_multiplier": 0.5, "logits_scaling": 2.0},
    "olmo2": {},
    "olmo3": {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
}
# Their GGUF files: the architecture, whether rows of heads are those of neighbouring pairs, and keys of their own.
GGUF = {
    "ministral3": ("mistral3", True),
    "qwen3": ("qwen3", False),
    "gemma2": ("gemma2", False),
    "gemma3_text": ("gemma3", False),
    "smollm3": ("smollm3", True),
    "phi3": ("phi3", False),
    "granite": ("granite", True),
    "olmo2": ("olmo2", False),
    "olmo3": ("olmo2", False),
}


def tiny_options() -> torch.nn.Module:
    """A Llama with every option."""
    config = LlamaConfig(
        vocab_size=203,
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
    return randomized(LlamaForCausalLM(config).eval()).half()


def family(name: str) -> torch.nn.Module:
    """A small model of a family."""
    values = SMALL | FAMILIES[name]
    config = transformers.AutoConfig.for_model(name, **{k: v for k, v in values.items() if v is not None})
    return randomized(transformers.AutoModelForCausalLM.from_config(config).eval()).bfloat16()


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    """The model with weights that are large enough for its outputs to differ clearly from each other."""
    torch.manual_seed(7)
    less_one = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, p in model.named_parameters():
            gain = "norm" in name and not less_one
            wide = 0.1 if model.config.hidden_size > 64 else 0.4
            p.copy_((1.0 if gain else 0.0) + torch.randn_like(p) * (wide if p.ndim > 1 else 0.2))
    return model


def reference(model: torch.nn.Module, ids: list[int]) -> dict:
    """The outputs for one case, in float32."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item() if len(ids) > 1 else None
        sequence = list(ids)
        for _ in range(GREEDY):
            sequence.append(int(model(torch.tensor([sequence]), use_cache=False).logits[0, -1].argmax()))
    return {
        "input_ids": ids,
        "mean_nll": nll,
        "last_logits": [round(float(x), 6) for x in logits[-1]],
        "top10_ids": torch.topk(logits, 10).indices.tolist(),
        "greedy_ids": sequence[len(ids) :],
    }


def interleaved(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Rows of heads as llama.cpp stores them for some architectures: those of the two halves take turns."""
    heads = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


def write_gguf(out: pathlib.Path, name: str) -> None:
    """The checkpoint in `out` as a GGUF file, in the names, keys and row orders of llama.cpp's converter."""
    architecture, neighbours = GGUF[name]
    model = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16)
    c = model.config
    writer = gguf.GGUFWriter(out / "model.gguf", architecture)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    if name != "phi3":
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    rope = c.rope_parameters
    full = rope.get("full_attention", rope)
    writer.add_rope_freq_base(full["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * full.get("partial_rotary_factor", 1.0)))
    if "sliding_attention" in rope:
        writer.add_float32(f"{architecture}.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
    if full["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(full["factor"])
        writer.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_log_mul(full["mscale_all_dim"])
        writer.add_float32(f"{architecture}.attention.temperature_scale", full["llama_4_scaling_beta"])
    if full["rope_type"] == "longrope":
        original = full["original_max_position_embeddings"]
        stretch = torch.tensor(c.max_position_embeddings / original, dtype=torch.float64).log()
        factor = (1 + stretch / torch.tensor(original, dtype=torch.float64).log()).sqrt()
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(float(factor))
        for kind in ("long", "short"):
            values = torch.tensor(full[f"{kind}_factor"], dtype=torch.float32)
            writer.add_tensor(f"rope_factors_{kind}.weight", values.numpy())
    if name in ("gemma2", "gemma3_text", "olmo3"):
        writer.add_sliding_window(c.sliding_window)
    if name in ("gemma3_text", "olmo3"):
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.layer_types])
    if name == "gemma2":
        writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
    if getattr(c, "final_logit_softcapping", None):
        writer.add_final_logit_softcapping(c.final_logit_softcapping)
    if name == "granite":
        writer.add_attention_scale(c.attention_multiplier)
        writer.add_embedding_scale(c.embedding_multiplier)
        writer.add_residual_scale(c.residual_multiplier)
        writer.add_logit_scale(c.logits_scaling)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["t", "0", "t0", *(f"t{i}" for i in range(3, c.vocab_size))])
    writer.add_token_types([1] * c.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    arch = next(a for a, text in gguf.MODEL_ARCH_NAMES.items() if text == architecture)
    mapped = gguf.get_tensor_name_map(arch, c.num_hidden_layers)
    for theirs, p in model.state_dict().items():
        if theirs == "lm_head.weight" and c.tie_word_embeddings:
            continue
        if name.startswith("gemma") and theirs.endswith("norm.weight"):
            p = p.float() + 1
        if neighbours and ("q_proj" in theirs or "k_proj" in theirs):
            p = interleaved(p, head_dim)
        ours = mapped.get_name(theirs, try_suffixes=(".weight", ".bias"))
        if p.ndim == 1:
            writer.add_tensor(ours, p.float().numpy())
        else:
            data = p.contiguous().view(torch.int16).numpy()
            writer.add_tensor(ours, data, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write(out: pathlib.Path, model: torch.nn.Module, shard: str, lengths: list[int]) -> None:
    """Writes checkpoint and reference."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out, max_shard_size=shard)
    (out / "generation_config.json").unlink(missing_ok=True)
    for weights in out.glob("*.safetensors"):
        weights.chmod(0o644)
    vocab = model.config.vocab_size
    tokenizer = Tokenizer(WordLevel({f"t{i}": i for i in range(vocab)}, unk_token="t0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(out / "tokenizer.json"))
    again = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(11)
    cases = [[1], [1, 9, 8, 7]] + [torch.randint(0, vocab, (n,), generator=generator).tolist() for n in lengths]
    made_with = "transformers, float32, eager attention"
    text = json.dumps({"made_with": made_with, "cases": [reference(again, ids) for ids in cases]})
    (out / "reference.json").write_text(text + "\n")
    print(f"wrote {out}")


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", default=["tiny-options", *FAMILIES])
    for name in parser.parse_args().name:
        if name == "tiny-options":
            out = FIXTURES / name
            write(out, tiny_options(), "120KB", [150])
            config = json.loads((out / "config.json").read_text())
            del config["head_dim"]  # to be derived from the hidden size, as in older checkpoints
            (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        else:
            out = FIXTURES / "families" / name
            write(out, family(name), "1GB", [20, 44])
            if name in GGUF:
                write_gguf(out, name)


if __name__ == "__main__":
    main()
