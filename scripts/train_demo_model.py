#!/usr/bin/env python3
"""Train and export the demo model: a tiny Llama on the stories of make_demo_corpus.py.

Sub-commands:
  train    train the tokenizer (once), then the model, within a time budget; exports as it goes
  export   write a Hugging Face directory from a checkpoint
  eval     held-out loss of a checkpoint, per token, word and byte, in f32 and bf16 weights
  sample   continue an opening with a checkpoint
  verify   load an export with transformers and compare its logits with this module's
  reference  write what transformers computes for an export, for the tests
  bench    measure training speed of a few settings

The architecture is exactly Hugging Face's LlamaForCausalLM: RMSNorm, half-split
rotary embedding, grouped-query attention, SwiGLU, tied embeddings, no biases.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import needed

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as missing:
    np = torch = F = nn = needed.for_work(missing, "pip install -r scripts/requirements-demo.txt")

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
BOS_ID, EOS_ID = 0, 1
OPENINGS, REFERENCE_GREEDY = ("Lily and her dog", "The little robot"), 64
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass
class Config:
    """Shape of the model."""

    vocab: int = 2048
    hidden: int = 128
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 384
    max_pos: int = 512
    rope_theta: float = 10000.0
    eps: float = 1e-5


SIZES = {"small": Config(), "wide": Config(hidden=192, layers=4, heads=6, kv_heads=2, ffn=512)}


# --------------------------------------------------------------------------
# Model
# --------------------------------------------------------------------------


class Norm(nn.Module):
    """RMSNorm, computed in f32."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Half-split rotary embedding (the rotate_half convention)."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    """Grouped-query causal attention."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden, c.heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden, c.kv_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden, c.kv_heads * c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.hidden, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        bsz, t, _ = x.shape
        c = self.c
        q = self.q_proj(x).view(bsz, t, c.heads, c.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(bsz, t, c.kv_heads, c.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(bsz, t, c.kv_heads, c.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        rep = c.heads // c.kv_heads
        k, v = k.repeat_interleave(rep, 1), v.repeat_interleave(rep, 1)
        if mask is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(v.dtype))
        return self.o_proj(y.transpose(1, 2).reshape(bsz, t, -1))


class Mlp(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, c: Config):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden, c.ffn, bias=False)
        self.up_proj = nn.Linear(c.hidden, c.ffn, bias=False)
        self.down_proj = nn.Linear(c.ffn, c.hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, c: Config):
        super().__init__()
        self.input_layernorm = Norm(c.hidden, c.eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c.hidden, c.eps)
        self.mlp = Mlp(c)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """The whole model; parameter names are Hugging Face's without the ``model.`` prefix."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c.vocab, c.hidden)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = Norm(c.hidden, c.eps)
        inv = c.rope_theta ** (-torch.arange(0, c.head_dim, 2).float() / c.head_dim)
        ang = torch.outer(torch.arange(c.max_pos).float(), inv)
        ang = torch.cat((ang, ang), -1)
        self.register_buffer("cos", ang.cos(), persistent=False)
        self.register_buffer("sin", ang.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "embed" in name else 1 / math.sqrt(p.shape[1])
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    std /= math.sqrt(2 * c.layers)
                nn.init.normal_(p, std=std)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        t = ids.shape[1]
        x = self.embed_tokens(ids)
        cos, sin = self.cos[:t], self.sin[:t]
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return F.linear(self.norm(x), self.embed_tokens.weight)

    def loss(self, ids: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """Mean cross entropy of packed stories; a position sees only its own story, as it does in use. `weight` is one per token of the vocabulary."""
        story = (ids == BOS_ID).cumsum(1)
        see = (story[:, :, None] == story[:, None, :]).tril()
        logits = self(ids, torch.zeros(see.shape).masked_fill_(~see, -1e4)[:, None])
        return F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), weight)


# --------------------------------------------------------------------------
# Data
# --------------------------------------------------------------------------


def read_stories(path: Path) -> list[str]:
    """Stories are separated by one blank line."""
    if not path.is_file():
        raise SystemExit(f"error: {path} is missing; make it with make_demo_corpus.py")
    return [s.strip() for s in path.read_text(encoding="utf-8").split("\n\n") if s.strip()]


def train_tokenizer(stories: list[str], path: Path, vocab: int) -> None:
    """Train the byte-level BPE tokenizer."""
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )

    tok = Tokenizer(models.BPE(ignore_merges=False))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[BOS, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tok.train_from_iterator(stories, trainer)
    tok.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, BOS_ID)]
    )
    if tok.get_vocab_size() != vocab:
        raise SystemExit(f"error: the corpus gives only {tok.get_vocab_size()} tokens; make it larger or lower the vocabulary")
    tok.save(str(path))


def encode(stories: list[str], tok_path: Path) -> np.ndarray:
    """One packed stream: BOS story EOS BOS story EOS ..."""
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(str(tok_path))
    parts: list[np.ndarray] = []
    for i in range(0, len(stories), 5000):
        flat: list[int] = []
        for e in tok.encode_batch_fast(stories[i : i + 5000]):
            flat += e.ids
            flat.append(EOS_ID)
        parts.append(np.array(flat, dtype=np.uint16))
    return np.concatenate(parts)


# Slots of the plots whose text is said more than once in a story.
SAID_AGAIN = {"own", "plant", "skill", "fear", "plan", "water", "want"}


def focus_weights(tok_path: Path, focus: float) -> torch.Tensor | None:
    """A weight for each token: `focus` for pronouns, half of it for what a story must keep (names, guides, objects), 1 for the rest."""
    from demo_corpus import words
    from demo_corpus.plots import PLOTS
    from tokenizers import Tokenizer

    if focus == 1:
        return None
    tok = Tokenizer.from_file(str(tok_path))
    weight = torch.ones(tok.get_vocab_size())
    kept = words.GIRLS + words.BOYS + words.PETS_F + words.PETS_M + [x for guides in words.GUIDES.values() for x in guides]
    kept += [row[i] for p in PLOTS for keys, rows in p.slots for i, k in enumerate(keys) if k in SAID_AGAIN for row in rows]
    plain = {"a", "an", "the", "old", "big", "toy"}
    for text in kept:
        for word in text.split():
            if word not in plain:
                weight[tok.encode(" " + word, add_special_tokens=False).ids] = max(1.0, focus / 2)
    for word in ("he", "him", "his", "himself", "she", "her", "herself"):
        for text in (word, " " + word, word.capitalize(), " " + word.capitalize()):
            ids = tok.encode(text, add_special_tokens=False).ids
            if len(ids) == 1:
                weight[ids[0]] = focus
    return weight


# --------------------------------------------------------------------------
# Checkpoints and export
# --------------------------------------------------------------------------


def atomic_torch_save(obj: dict, path: Path) -> None:
    """Save next to the target, then rename."""
    tmp = path.with_suffix(".tmp")
    torch.save(obj, tmp)
    os.replace(tmp, path)


def load_model(ckpt: Path, weights: str = "best") -> tuple[Llama, dict]:
    """Load a checkpoint; `weights` is best, raw or ema."""
    if not ckpt.is_file():
        raise SystemExit(f"error: checkpoint {ckpt} is missing")
    state = torch.load(ckpt, map_location="cpu", weights_only=True)
    model = Llama(Config(**state["config"])).eval()
    if weights == "best":
        weights = state.get("best", "ema")
    model.load_state_dict(state["model" if weights == "raw" else "ema"])
    return model, state


def load_export(model: Llama, folder: Path) -> None:
    """Take the weights of an export, which must have the same shape."""
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise SystemExit(f"error: {file} is missing")
    model.load_state_dict({k.removeprefix("model."): v.float() for k, v in load_file(file).items()})


def special(token: str) -> dict:
    """Entry of a special token in tokenizer_config.json."""
    return {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}


def export(model: Llama, tok_path: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a standard Hugging Face directory; every file is replaced atomically, the weights first."""
    from safetensors.torch import save_file

    c = model.c
    name = {torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float16: "float16"}[dtype]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as td:
        tmp = Path(td)
        tensors = {"model." + k: v.detach().to(dtype).contiguous() for k, v in model.state_dict().items()}
        save_file(tensors, str(tmp / "model.safetensors"), metadata={"format": "pt"})
        config = {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "head_dim": c.head_dim, "hidden_act": "silu", "hidden_size": c.hidden,
            "initializer_range": 0.02, "intermediate_size": c.ffn, "max_position_embeddings": c.max_pos, "mlp_bias": False,
            "num_attention_heads": c.heads, "num_hidden_layers": c.layers, "num_key_value_heads": c.kv_heads,
            "pretraining_tp": 1, "rms_norm_eps": c.eps, "rope_scaling": None, "rope_theta": c.rope_theta,
            "tie_word_embeddings": True, "torch_dtype": name, "use_cache": True, "vocab_size": c.vocab,
        }
        gen = {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "do_sample": True, "temperature": 0.5, "top_p": 0.9, "max_length": c.max_pos}
        tcfg = {
            "add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": {"0": special(BOS), "1": special(EOS)},
            "bos_token": BOS, "eos_token": EOS, "clean_up_tokenization_spaces": False,
            "model_max_length": c.max_pos, "tokenizer_class": "PreTrainedTokenizerFast",
        }
        for fname, obj in (("config.json", config), ("generation_config.json", gen), ("tokenizer_config.json", tcfg)):
            (tmp / fname).write_text(json.dumps(obj, indent=2) + "\n")
        shutil.copyfile(tok_path, tmp / "tokenizer.json")
        for f in sorted(tmp.iterdir()):
            os.chmod(f, 0o644)
            os.replace(f, out / f.name)


# --------------------------------------------------------------------------
# Evaluation and sampling
# --------------------------------------------------------------------------


@torch.no_grad()
def stream_loss(model: nn.Module, stream: np.ndarray, seq: int, limit: int) -> float:
    """Mean loss over the first `limit` windows of a packed stream (quick, for the log)."""
    n = min(limit, (len(stream) - 1) // seq)
    total = 0.0
    for i in range(0, n, 8):
        k = min(8, n - i)
        chunk = torch.from_numpy(stream[i * seq : (i + k) * seq + 1].astype(np.int64))
        total += model.loss(chunk[:-1].view(k, seq), chunk[1:].view(k, seq)).item() * k
    return total / n


@torch.no_grad()
def story_nll(model: Llama, stories: list[str], tok_path: Path) -> dict:
    """Loss of single stories (BOS story EOS), the way an engine would score them."""
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(str(tok_path))
    rows = sorted(([*tok.encode(s).ids, EOS_ID][: model.c.max_pos + 1] for s in stories), key=len)
    nll, n = 0.0, sum(len(r) - 1 for r in rows)
    for i in range(0, len(rows), 16):  # padding on the right changes nothing under causal attention
        part = rows[i : i + 16]
        width = max(map(len, part))
        x = torch.tensor([r + [EOS_ID] * (width - len(r)) for r in part])
        y = torch.tensor([r[1:] + [-100] * (width - len(r)) for r in part])
        nll += F.cross_entropy(model(x[:, :-1]).flatten(0, 1), y.flatten(), reduction="sum").item()
    words, nbytes = sum(len(s.split()) for s in stories), sum(len(s.encode()) for s in stories)
    return {
        "stories": len(stories), "tokens": n, "words": words, "bytes": nbytes, "nll_per_token": nll / n, "ppl_per_token": math.exp(nll / n),
        "ppl_per_word": math.exp(nll / words), "bits_per_byte": nll / nbytes / math.log(2),
    }


@torch.no_grad()
def generate(model: Llama, tok_path: Path, prompt: str, n: int, temperature: float, top_p: float, seed: int) -> str:
    """Plain nucleus sampling without a cache."""
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(str(tok_path))
    gen = torch.Generator().manual_seed(seed)
    ids = tok.encode(prompt).ids
    for _ in range(n):
        logits = model(torch.tensor([ids[-model.c.max_pos :]]))[0, -1].float()
        if temperature <= 0:
            nxt = int(logits.argmax())
        else:
            p, idx = torch.softmax(logits / temperature, -1).sort(descending=True)
            p[p.cumsum(0) - p > top_p] = 0
            nxt = int(idx[torch.multinomial(p, 1, generator=gen)])
        if nxt == EOS_ID:
            break
        ids.append(nxt)
    return tok.decode(ids)


# --------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------


class Ema:
    """Running average of the weights, kept as one list for fast updates."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.src = decay, list(model.parameters())
        self.avg = [p.detach().clone() for p in self.src]
        self.names = [n for n, _ in model.named_parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        d = min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.avg, [p.detach() for p in self.src], 1 - d)

    def state(self) -> dict:
        return dict(zip(self.names, self.avg))


class Order:
    """Windows in a shuffled order that depends only on the seed and the epoch, so that a resumed run goes on where it was."""

    def __init__(self, windows: int, seed: int):
        self.windows, self.seed, self.epoch, self.perm = windows, seed, -1, np.empty(0, np.int64)

    def take(self, first: int, count: int) -> list[int]:
        out = []
        for i in range(first, first + count):
            epoch, k = divmod(i, self.windows)
            if epoch != self.epoch:
                self.epoch, self.perm = epoch, np.random.default_rng(self.seed * 1000 + epoch).permutation(self.windows)
            out.append(int(self.perm[k]))
        return out


def make_optimizer(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW; norms are not decayed."""
    two = [p for p in model.parameters() if p.dim() == 2]
    one = [p for p in model.parameters() if p.dim() != 2]
    return torch.optim.AdamW([{"params": two, "weight_decay": 0.1}, {"params": one, "weight_decay": 0.0}], lr=lr, betas=(0.9, 0.95), fused=True)


def cmd_train(a: argparse.Namespace) -> None:
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    work = a.work
    work.mkdir(parents=True, exist_ok=True)
    tok_path, train_bin, held_bin, ckpt = work / "tokenizer.json", work / "train.bin", work / "heldout.bin", work / "ckpt.pt"
    if not train_bin.exists():
        stories = read_stories(a.corpus)
        if a.tokenizer:
            shutil.copyfile(a.tokenizer, tok_path)
        elif not tok_path.exists():
            train_tokenizer(stories[: a.tokenizer_stories], tok_path, a.vocab)
        encode(stories, tok_path).tofile(train_bin)
        encode(read_stories(a.heldout), tok_path).tofile(held_bin)
        del stories
    data, held = np.fromfile(train_bin, np.uint16), np.fromfile(held_bin, np.uint16)
    c = SIZES[a.size]
    c.vocab = a.vocab
    model = Llama(c)
    if a.init:
        load_export(model, a.init)
    opt = make_optimizer(model, a.lr)
    ema = Ema(model, a.ema)
    step, used, seen, history = 0, 0.0, 0, []
    if ckpt.exists() and not a.restart:
        s = torch.load(ckpt, map_location="cpu", weights_only=True)
        model.load_state_dict(s["model"])
        opt.load_state_dict(s["opt"])
        ema.avg = [s["ema"][n].clone() for n in ema.names]
        step, used, seen, history = s["step"], s["used"], s["seen"], s["history"]
        print(f"resumed at step {step}, {used / 60:.1f} minutes used", flush=True)
    n_par = sum(p.numel() for p in model.parameters())
    print(f"{n_par} parameters, {len(data)} training tokens, {len(held)} held-out tokens", flush=True)

    loss_fn = torch.compile(model.loss, dynamic=False) if a.compile else model.loss
    weight = focus_weights(tok_path, a.focus)
    budget = a.minutes * 60
    order = Order((len(data) - 1) // a.seq, a.seed)
    spare = Llama(c).eval()  # the weights that are evaluated and exported

    def evaluate(which: str, limit: int) -> float:
        spare.load_state_dict(model.state_dict() if which == "raw" else {**model.state_dict(), **ema.state()})
        return stream_loss(spare, held, a.seq, limit)

    def save(final: bool) -> None:
        limit = 200 if final else a.eval_windows
        raw, avg = evaluate("raw", limit), evaluate("ema", limit)
        best = "raw" if raw < avg else "ema"
        history.append([step, seen, round(used), raw, avg])
        atomic_torch_save(
            {"config": asdict(c), "model": model.state_dict(), "ema": ema.state(), "opt": opt.state_dict(), "best": best,
             "step": step, "used": used, "seen": seen, "history": history}, ckpt,
        )
        line = f"== step {step} {used / 60:.1f} min, {seen / 1e6:.2f} M tokens, held-out loss: raw {raw:.4f} average {avg:.4f}"
        if a.export:
            evaluate(best, 1)
            export(spare, tok_path, a.export)
            line += f", exported {best}"
        print(line, flush=True)
        (work / "history.json").write_text(json.dumps(history) + "\n")

    mark, last, acc, cnt, tok_mark = time.time(), time.time(), 0.0, 0, seen
    next_save = used + a.first_save * 60
    while used < budget:
        frac = used / budget
        lr = a.lr * min(1.0, (step + 1) / a.warmup)
        if frac > 1 - a.decay:
            lr *= max(0.0, (1 - frac) / a.decay)
        for gp in opt.param_groups:
            gp["lr"] = lr
        idx = order.take(step * a.batch, a.batch)
        chunk = torch.from_numpy(np.stack([data[j * a.seq : (j + 1) * a.seq + 1] for j in idx]).astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
            loss = loss_fn(chunk[:, :-1].contiguous(), chunk[:, 1:].contiguous(), weight)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        step += 1
        ema.update(step)
        seen += a.batch * a.seq
        acc, cnt = acc + loss.item(), cnt + 1
        now = time.time()
        used, last = used + now - last, now
        if step % a.log_every == 0:
            print(f"step {step} {used / 60:.1f} min loss {acc / cnt:.4f} lr {lr:.2e} {(seen - tok_mark) / (now - mark):.0f} tokens/s", flush=True)
            mark, acc, cnt, tok_mark = now, 0.0, 0, seen
        if used >= next_save and used < budget:
            save(False)
            next_save = used + a.save_every * 60
            mark, tok_mark = time.time(), seen
            used, last = used + mark - last, mark
    save(True)


def cmd_bench(a: argparse.Namespace) -> None:
    torch.set_num_threads(a.threads)
    for size in ("small", "wide"):
        for bf16 in (False, True):
            for comp in (False, True):
                if (size, bf16, comp) in {("wide", False, False), ("wide", True, False)}:
                    continue
                torch.manual_seed(0)
                torch._dynamo.reset()
                model = Llama(SIZES[size])
                opt = make_optimizer(model, 1e-3)
                fn = torch.compile(model.loss, dynamic=False) if comp else model.loss
                x = torch.randint(0, 2048, (a.batch, a.seq + 1))
                t0 = t1 = time.time()
                for i in range(a.steps + 2):
                    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                        loss = fn(x[:, :-1].contiguous(), x[:, 1:].contiguous())
                    loss.backward()
                    opt.step()
                    opt.zero_grad(set_to_none=True)
                    if i == 1:
                        t1 = time.time()
                dt = time.time() - t1
                print(f"{size} bf16={bf16} compile={comp}: {a.steps * a.batch * a.seq / dt:.0f} tokens/s (first steps {t1 - t0:.1f} s)", flush=True)


def cmd_export(a: argparse.Namespace) -> None:
    model, _ = load_model(a.ckpt, a.weights)
    export(model, a.ckpt.parent / "tokenizer.json", a.out, {"bf16": torch.bfloat16, "f32": torch.float32, "f16": torch.float16}[a.dtype])
    print(f"{a.out}: {(a.out / 'model.safetensors').stat().st_size} bytes of weights")


def cmd_eval(a: argparse.Namespace) -> None:
    model, _ = load_model(a.ckpt, a.weights)
    stories = read_stories(a.heldout)[: a.count]
    tok = a.ckpt.parent / "tokenizer.json"
    result = {"f32": story_nll(model, stories, tok)}
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    result["bf16"] = story_nll(model, stories, tok)
    print(json.dumps(result, indent=1))


def cmd_sample(a: argparse.Namespace) -> None:
    model, _ = load_model(a.ckpt, a.weights)
    torch.set_num_threads(a.threads)
    for prompt in a.prompt:
        for k in range(a.count):
            print(generate(model, a.ckpt.parent / "tokenizer.json", prompt, a.tokens, a.temperature, a.top_p, a.seed + k))
            print("-----", flush=True)


def cmd_reference(a: argparse.Namespace) -> None:
    """Write what transformers computes for an export: for two openings and a story."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hf = AutoModelForCausalLM.from_pretrained(a.export, dtype=torch.float32, attn_implementation="eager").eval()
    tok = AutoTokenizer.from_pretrained(a.export)
    cases = []
    for text in [*OPENINGS, read_stories(a.heldout)[0]]:
        ids = tok(text)["input_ids"]
        greedy, gaps = [], []
        with torch.no_grad():
            logits = hf(torch.tensor([ids])).logits[0]
            for _ in range(REFERENCE_GREEDY):
                top = hf(torch.tensor([ids + greedy])).logits[0, -1].topk(2)
                greedy.append(int(top.indices[0]))
                gaps.append(round(float(top.values[0] - top.values[1]), 5))
        nll = F.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item()
        last = [round(x, 6) for x in logits[-1].tolist()]
        top10 = logits.topk(10).indices.tolist()
        cases.append({"text": text, "input_ids": ids, "mean_nll": nll, "last_logits": last, "top10_ids": top10, "greedy_ids": greedy, "greedy_top1_minus_top2": gaps})
    (a.export / "reference.json").write_text(json.dumps({"made_with": "transformers, float32, eager attention", "model": "demo", "cases": cases}))


def cmd_verify(a: argparse.Namespace) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, _ = load_model(a.ckpt, a.weights)
    stories = read_stories(a.heldout)[: a.count]
    tok_path = a.ckpt.parent / "tokenizer.json"
    tok = Tokenizer.from_file(str(tok_path))
    worst = {}
    with tempfile.TemporaryDirectory() as td:
        f32 = Path(td) / "f32"
        export(model, tok_path, f32, torch.float32)
        for label, path in (("f32 export", f32), ("given export", a.export)):
            if path == a.export:  # compare with the weights as they are stored
                load_export(model, path)
            hf = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
            hf_tok = AutoTokenizer.from_pretrained(path)
            diff = 0.0
            for s in stories:
                ids = tok.encode(s).ids
                if hf_tok(s)["input_ids"] != ids or hf_tok.decode(ids, skip_special_tokens=True) != s:
                    raise SystemExit("error: transformers tokenizes differently")
                x = torch.tensor([ids])
                with torch.no_grad():
                    diff = max(diff, (hf(x).logits - model(x)).abs().max().item())
            worst[label] = diff
    print("largest logit difference against transformers: " + ", ".join(f"{k} {v:.2e}" for k, v in worst.items()))
    if max(worst.values()) > 1e-4:
        raise SystemExit("error: transformers does not reproduce the logits")


def main() -> int:
    """Command line entry point."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="cmd", required=True)

    p = sub.add_parser("train", help="train the tokenizer and the model", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--corpus", type=Path, required=True, help="training stories")
    p.add_argument("--heldout", type=Path, required=True, help="held-out stories")
    p.add_argument("--work", type=Path, required=True, help="folder for the tokenizer, token streams and checkpoint")
    p.add_argument("--export", type=Path, help="Hugging Face directory to keep up to date")
    p.add_argument("--init", type=Path, help="start from the weights of this export, not from random ones")
    p.add_argument("--tokenizer", type=Path, help="use this tokenizer.json; without it one is trained on the corpus")
    p.add_argument("--minutes", type=float, default=70, help="time budget, resumed runs included")
    p.add_argument("--size", choices=sorted(SIZES), default="small", help="model size")
    p.add_argument("--vocab", type=int, default=2048, help="vocabulary size")
    p.add_argument("--tokenizer-stories", type=int, default=60_000, help="stories that the tokenizer is trained on")
    p.add_argument("--batch", type=int, default=8, help="sequences per step")
    p.add_argument("--seq", type=int, default=512, help="tokens per sequence")
    p.add_argument("--lr", type=float, default=2.5e-3, help="peak learning rate")
    p.add_argument("--warmup", type=int, default=100, help="warmup steps")
    p.add_argument("--decay", type=float, default=0.55, help="last share of the budget in which the rate falls to zero")
    p.add_argument("--focus", type=float, default=1, help="weight of a pronoun in the loss (half of it: names, guides, objects; 1 = all alike)")
    p.add_argument("--ema", type=float, default=0.998, help="decay of the running average of the weights")
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bf16 autocast")
    p.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile")
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads")
    p.add_argument("--first-save", type=float, default=8, help="minutes until the first checkpoint and export")
    p.add_argument("--save-every", type=float, default=8, help="minutes between checkpoints and exports")
    p.add_argument("--eval-windows", type=int, default=24, help="held-out windows of a quick evaluation")
    p.add_argument("--log-every", type=int, default=50, help="steps between log lines")
    p.add_argument("--seed", type=int, default=1, help="random seed")
    p.add_argument("--restart", action="store_true", help="ignore an existing checkpoint")
    p.set_defaults(fn=cmd_train)

    p = sub.add_parser("bench", help="measure training speed")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--seq", type=int, default=512)
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    p.set_defaults(fn=cmd_bench)

    def common(name: str, text: str) -> argparse.ArgumentParser:
        q = sub.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        q.add_argument("--ckpt", type=Path, required=True, help="checkpoint (tokenizer.json lies beside it)")
        q.add_argument("--weights", choices=["best", "raw", "ema"], default="best", help="which weights of the checkpoint")
        return q

    p = common("export", "write a Hugging Face directory")
    p.add_argument("--out", type=Path, required=True, help="directory to write")
    p.add_argument("--dtype", choices=["bf16", "f16", "f32"], default="bf16", help="stored type")
    p.set_defaults(fn=cmd_export)
    p = common("eval", "held-out loss")
    p.add_argument("--heldout", type=Path, required=True, help="held-out stories")
    p.add_argument("--count", type=int, help="only the first stories")
    p.set_defaults(fn=cmd_eval)
    p = common("sample", "continue openings")
    p.add_argument("--prompt", action="append", required=True, help="opening (may be given several times)")
    p.add_argument("--count", type=int, default=1, help="samples per opening")
    p.add_argument("--tokens", type=int, default=250, help="most tokens to write")
    p.add_argument("--temperature", type=float, default=0.5, help="0 is greedy")
    p.add_argument("--top-p", type=float, default=0.9, help="nucleus")
    p.add_argument("--seed", type=int, default=1, help="random seed")
    p.add_argument("--threads", type=int, default=1, help="CPU threads")
    p.set_defaults(fn=cmd_sample)
    p = sub.add_parser("reference", help="write transformers' outputs beside an export")
    p.add_argument("--export", type=Path, required=True, help="directory with the export")
    p.add_argument("--heldout", type=Path, required=True, help="held-out stories")
    p.set_defaults(fn=cmd_reference)
    p = common("verify", "compare an export with transformers")
    p.add_argument("--export", type=Path, required=True, help="directory to check")
    p.add_argument("--heldout", type=Path, required=True, help="held-out stories")
    p.add_argument("--count", type=int, default=5, help="stories to compare")
    p.set_defaults(fn=cmd_verify)
    a = ap.parse_args()
    a.fn(a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
