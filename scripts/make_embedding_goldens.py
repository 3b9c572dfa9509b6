#!/usr/bin/env python3
"""Make tiny models for embeddings as directories of sentence-transformers, with what transformers makes of texts, and the same
models as GGUF files.

tests/fixtures/embeddings/qwen3 has the pooling of the last token, and a tokenizer that ends each text with a special one, as
Qwen3-Embedding; gemma3_text reads in both directions, within windows that lie within the texts, and has the mean of all tokens
and two dense layers after it, as EmbeddingGemma.

`reference.json` has, for each case, the input ids, the hidden states of all tokens after the final norm, and the vector that
comes of them.

needs: torch, transformers, tokenizers, gguf (PyPI).   usage: make_embedding_goldens.py
"""

import argparse
import json
import pathlib

import make_goldens
from make_goldens import SMALL, Tokenizer, WhitespaceSplit, WordLevel, gguf, torch, transformers

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/embeddings"
MODULE = "sentence_transformers.models."
WINDOW = 8
MODELS = {
    "qwen3": {},
    "gemma3_text": {
        "num_hidden_layers": 3,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "query_pre_attn_scalar": 8,
        "use_bidirectional_attention": True,
    },
}
# The special tokens before a text and after it.
AROUND = {"qwen3": (None, 2), "gemma3_text": (1, 2)}
POOLING = {"qwen3": "lasttoken", "gemma3_text": "mean_tokens"}
# Rows and columns of layers after pooling.
DENSE = {"qwen3": [], "gemma3_text": [(24, 16), (12, 24)]}


def write_json(path: pathlib.Path, value: object) -> None:
    """A file that people can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_modules(out: pathlib.Path, name: str) -> list[torch.Tensor]:
    """The files of sentence-transformers. Gives the matrices of dense layers."""
    modules = ["Transformer", "Pooling", *["Dense" for _ in DENSE[name]], "Normalize"]
    listed = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": MODULE + kind}
        for i, kind in enumerate(modules)
    ]
    write_json(out / "modules.json", listed)
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    pooling = {f"pooling_mode_{mode}": mode == POOLING[name] for mode in modes}
    write_json(out / "1_Pooling/config.json", {"word_embedding_dimension": 16} | pooling | {"include_prompt": True})
    generator = torch.Generator().manual_seed(5)
    matrices = []
    for i, (rows, cols) in enumerate(DENSE[name], 2):
        identity = "torch.nn.modules.linear.Identity"
        config = {"in_features": cols, "out_features": rows, "bias": False, "activation_function": identity}
        write_json(out / f"{i}_Dense/config.json", config)
        weight = torch.randn((rows, cols), generator=generator) * 0.3
        data = weight.numpy().tobytes()
        entry = {"dtype": "F32", "shape": [rows, cols], "data_offsets": [0, len(data)]}
        header = json.dumps({"linear.weight": entry}).encode()
        (out / f"{i}_Dense/model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
        matrices.append(weight)
    return matrices


def write_tokenizer(out: pathlib.Path, name: str) -> None:
    """A tokenizer of words with the special tokens around a text."""
    from tokenizers.processors import TemplateProcessing

    vocab = SMALL["vocab_size"]
    tokenizer = Tokenizer(WordLevel({f"t{i}": i for i in range(vocab)}, unk_token="t0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    first, last = AROUND[name]
    around = [id for id in (first, last) if id is not None]
    tokenizer.add_special_tokens([f"t{id}" for id in around])
    single = [*([f"t{first}"] if first is not None else []), "$A", f"t{last}"]
    special = [(f"t{id}", id) for id in around]
    tokenizer.post_processor = TemplateProcessing(single=single, pair=[*single, "$B"], special_tokens=special)
    tokenizer.save(str(out / "tokenizer.json"))


def write_gguf(out: pathlib.Path, name: str, model: torch.nn.Module, dense: list[torch.Tensor]) -> None:
    """The same model in the names and keys of llama.cpp's converter."""
    architecture = {"qwen3": "qwen3", "gemma3_text": "gemma-embedding"}[name]
    c = model.config
    writer = gguf.GGUFWriter(out / "model.gguf", architecture)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    rope = c.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if name == "gemma3_text":
        writer.add_float32(f"{architecture}.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
        writer.add_sliding_window(WINDOW)
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.layer_types])
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    else:
        writer.add_pooling_type(gguf.PoolingType.LAST)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["t", "0", "t0", *(f"t{i}" for i in range(3, c.vocab_size))])
    writer.add_token_types([1] * c.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(AROUND[name][0] is not None)
    writer.add_add_eos_token(True)
    arch = next(a for a, text in gguf.MODEL_ARCH_NAMES.items() if text == architecture)
    mapped = gguf.get_tensor_name_map(arch, c.num_hidden_layers)
    for theirs, p in model.state_dict().items():
        if name == "gemma3_text" and theirs.endswith("norm.weight"):
            p = p.float() + 1
        ours = mapped.get_name(f"model.{theirs}", try_suffixes=(".weight", ".bias"))
        if p.ndim == 1:
            writer.add_tensor(ours, p.float().numpy())
        else:
            writer.add_tensor(ours, p.contiguous().view(torch.int16).numpy(), raw_dtype=gguf.GGMLQuantizationType.BF16)
    for i, weight in enumerate(dense, 2):
        writer.add_tensor(f"dense_{i}.weight", weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def reference(model: torch.nn.Module, name: str, dense: list[torch.Tensor], ids: list[int]) -> dict:
    """The outputs for one case, in float32."""
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0]
        vector = hidden[-1] if POOLING[name] == "lasttoken" else hidden.mean(0)
        for weight in dense:
            vector = weight @ vector
        vector = torch.nn.functional.normalize(vector, dim=0)
    return {"input_ids": ids, "hidden": [rounded(row) for row in hidden], "embedding": rounded(vector)}


def rounded(row: torch.Tensor) -> list[float]:
    """Numbers to be stored."""
    return [round(float(x), 6) for x in row]


def main() -> None:
    """Write both."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, values in MODELS.items():
        out = OUT / name
        out.mkdir(parents=True, exist_ok=True)
        config = transformers.AutoConfig.for_model(name, **(SMALL | values))
        model = make_goldens.randomized(transformers.AutoModel.from_config(config).eval()).bfloat16()
        model.save_pretrained(out)
        (out / "model.safetensors").chmod(0o644)
        if "sliding_window" in values:
            # Some versions of transformers write half of it, and would halve it again.
            written = json.loads((out / "config.json").read_text())
            write_json(out / "config.json", written | {"sliding_window": WINDOW})
        write_tokenizer(out, name)
        dense = write_modules(out, name)
        write_gguf(out, name, model, dense)
        again = transformers.AutoModel.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
        generator = torch.Generator().manual_seed(11)
        texts = [torch.randint(0, SMALL["vocab_size"], (n,), generator=generator).tolist() for n in (3, 12, 40)]
        cases = [reference(again, name, dense, ids) for ids in [[1], *texts]]
        made_with = "transformers, float32, eager attention"
        (out / "reference.json").write_text(json.dumps({"made_with": made_with, "cases": cases}) + "\n")
        print(f"wrote {out}")


if __name__ == "__main__":
    main()
