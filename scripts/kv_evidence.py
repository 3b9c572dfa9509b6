#!/usr/bin/env python3
"""Measure what eviction and the types of the key/value cache cost, by running the programs.

perplexity  eval_model over texts of 16 times the length that a model was trained for, for each policy: per length
decode      generate after prompts of several lengths: decode speed, bytes of the cache, peak memory, per policy and type;
            in turns, as often as --rounds says
formats     eval_model and bench_model for each type of keys and values: perplexity, bytes a token, decode speed

Each writes one JSON object (results/SCHEMA.md); scripts/plot_kv.py plots them. Only the Python standard library is used.

usage: kv_evidence.py perplexity -m demo -m DIR [--texts 4] -o OUT.json
       kv_evidence.py decode -m MODEL [--name NAME] [--rounds 3] -o OUT.json     (continues OUT.json if it exists)
       kv_evidence.py formats -m demo -m DIR [--shape llama3.2-1b] -o OUT.json
"""

import argparse
import datetime
import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = 16
TYPES = ["f32", "f16", "q8_0", "q4_0"]


def run(options: argparse.Namespace, program: str, arguments: list[str]) -> str:
    """Standard output of one of our programs; ends the script where it fails."""
    command = [str(options.bin / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shown = " ".join(part if len(part) <= 60 else part[:57] + "..." for part in [program, *arguments])
    if done.returncode != 0:
        sys.exit(f"kv_evidence.py: {shown}: {done.stderr.strip()}")
    print(shown, file=sys.stderr)
    return done.stdout


def model_flags(model: str) -> list[str]:
    """The arguments that name the model."""
    return [] if model == "demo" else ["-m", model]


def about(options: argparse.Namespace, kind: str) -> dict:
    """What every result begins with."""
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    cpu = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False)
    return {"kind": kind, "date": date, "machine": cpu, "cores": os.cpu_count(), "commit": commit.stdout.strip()}


def trained(model: str) -> int:
    """Tokens that a model was trained for."""
    folder = ROOT / "assets/demo" if model == "demo" else pathlib.Path(model)
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"]


def stories_of_demo(folder: pathlib.Path, texts: int, tokens: int) -> list[str]:
    """Texts of stories that the demo model was not trained on, concatenated."""
    out, held = folder / "train.txt", folder / "heldout.txt"
    command = [sys.executable, str(ROOT / "scripts/make_demo_corpus.py"), "--stories", "1", "--out", str(out), "--heldout", str(held)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    stories = held.read_text(encoding="utf-8").split("\n\n")
    return concatenated(stories, texts, 5 * tokens)


def stories_made_up(options: argparse.Namespace, model: str, texts: int, tokens: int) -> list[str]:
    """Texts of stories that a model generates itself, at temperature 1 and from its whole distribution."""
    stories: list[str] = []
    while len(out := concatenated(stories, texts, 5 * tokens)) < texts:
        flags = ["--temperature", "1", "--top-k", "0", "--top-p", "1", "--seed", str(len(stories)), "-q", "--echo"]
        stories.append(run(options, "generate", [*model_flags(model), "-p", "Once upon a time", *flags]).strip())
    return out


def concatenated(stories: list[str], texts: int, characters: int) -> list[str]:
    """Concatenated stories: texts of at least so many characters, none of them twice."""
    out, rest = [], iter(stories)
    for _ in range(texts):
        text = ""
        while len(text) < characters:
            story = next(rest, None)
            if story is None:
                return out
            text += story + "\n\n"
        out.append(text)
    return out


def first_tokens(options: argparse.Namespace, model: str, text: str, tokens: int, path: pathlib.Path) -> None:
    """Writes so much of a text that it has about `tokens` tokens."""
    path.write_text(text, encoding="utf-8")
    flags = ["-f", str(path), "--json", "-q", "--eviction-policy", "sliding", "--eviction-window", "64"]
    have = json.loads(run(options, "eval_model", [*model_flags(model), *flags]))["tokens"]
    if have < tokens:
        sys.exit(f"kv_evidence.py: a text has {have} tokens only, not {tokens}")
    while have > tokens:
        text = text[: max(1, len(text) * tokens // have - 1)]
        path.write_text(text, encoding="utf-8")
        have = json.loads(run(options, "eval_model", [*model_flags(model), *flags]))["tokens"]


def policies(window: int) -> list[tuple[str, list[str]]]:
    """Names and flags of what is compared."""
    out = []
    for policy, sinks in [("sliding", [0, 4]), ("streaming", [0, 1, 2, 4, 8]), ("h2o", [4])]:
        for count in sinks:
            name = f"{policy}, {count} sink{'' if count == 1 else 's'}"
            flags = ["--eviction-policy", policy, "--eviction-window", str(window), "--protected-prefix", str(count)]
            out.append((name, flags))
    return out


def perplexity(options: argparse.Namespace) -> dict:
    """Perplexity by length for each policy and model, over several texts."""
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for model in options.model:
            length = trained(model)
            tokens, window = LENGTHS * length, length // 2
            if model == "demo":
                texts = stories_of_demo(folder, options.texts, tokens)
            else:
                texts = stories_made_up(options, model, options.texts, tokens)
            files = [folder / f"{len(results)}-{i}.txt" for i in range(len(texts))]
            for text, path in zip(texts, files):
                first_tokens(options, model, text, tokens, path)
            # One window over all is full attention without an end: `none` stops after the first length.
            cases = [("none", ["--window", str(tokens + 1), "--stride", str(tokens)]), *policies(window)]
            for name, flags in cases:
                segments: list[list[float]] = [[] for _ in range(LENGTHS)]
                for path in files:
                    arguments = [*model_flags(model), "-f", str(path), "--json", "-q", "--segment", str(length), *flags]
                    report = json.loads(run(options, "eval_model", arguments))
                    for values, segment in zip(segments, report["segments"]):
                        values.append(segment["mean_nll"])
                means = [sum(values) / len(values) for values in segments]
                results.append(
                    {
                        "model": pathlib.Path(model).name,
                        "policy": name,
                        "trained": length,
                        "window": None if name == "none" else window,
                        "texts": len(files),
                        "mean_nll_by_length": means,
                        "spread_by_length": [deviation(values) for values in segments],
                        "perplexity_by_length": [math.exp(mean) for mean in means],
                        "perplexity_first": math.exp(means[0]),
                        "perplexity_rest": math.exp(sum(means[1:]) / (LENGTHS - 1)),
                    }
                )
    return {**about(options, "kv_perplexity"), "results": results}


def deviation(values: list[float]) -> float | None:
    """Standard error of a mean over texts."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def words_a_token(options: argparse.Namespace, model: str) -> float:
    """How many of our words a token of a prompt has."""
    report = json.loads(run(options, "generate", [*model_flags(model), *options.flag, "--json", "-q", "-n", "1", "-p", words(100)]))
    return 100 / report["prompt_tokens"]


def words(count: int) -> str:
    """A prompt."""
    return " ".join(f"{i * 7919 % 1000}" for i in range(count))


def taken_up(options: argparse.Namespace, kind: str) -> dict:
    """What a run before has measured, or nothing yet."""
    if not options.output.exists():
        return {**about(options, kind), "results": []}
    try:
        content = json.loads(options.output.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or content.get("kind") != kind:
        sys.exit(f"kv_evidence.py: '{options.output}' is no file of {kind} to go on with; name another one")
    return content


def write(options: argparse.Namespace, result: dict) -> None:
    """Writes what there is, whole or not at all."""
    options.output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = options.output.with_name(f".{options.output.name}.unfinished")
    unfinished.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(options.output)


def decode(options: argparse.Namespace) -> dict:
    """Decode speed and memory after prompts of several lengths, in turns."""
    result = taken_up(options, "kv_decode")
    rows = result["results"]
    cases = list(itertools.product(options.model, options.kv_type, options.policy, options.length))
    runs = [(turn, *case) for turn in range(options.rounds) for case in cases]
    scale = {model: words_a_token(options, model) for model in options.model}
    for count, (turn, model, kind, policy, length) in enumerate(runs, start=1):
        case = {
            "model": options.name or pathlib.Path(model).name,
            "policy": policy,
            "kv_type": kind,
            "window": None if policy == "none" else options.window,
            "length": length,
            "n_gen": options.tokens,
        }
        row = next((row for row in rows if case.items() <= row.items()), None)
        if row is None:
            row = {**case, "samples_ts": [], "prefill_samples_ts": []}
            rows.append(row)
        if len(row["samples_ts"]) > turn:
            continue
        print(f"{count} of {len(runs)}: {policy}, {kind}, {length} tokens", file=sys.stderr)
        most = max(options.window, max(options.length) * 5 // 4 + options.tokens)
        flags = ["--kv-type", kind, "--max-seq-len", str(most), "--ignore-eos", "--json", "-q"]
        flags += ["-n", str(options.tokens), "--temperature", "0", *options.flag]
        if policy != "none":
            flags += ["--eviction-policy", policy, "--eviction-window", str(options.window)]
        prompt = words(max(1, round(length * scale[model])))
        add_run(row, json.loads(run(options, "generate", [*model_flags(model), *flags, "-p", prompt])))
        write(options, result)
    return result


def add_run(row: dict, report: dict) -> None:
    """Counts what a run of generate has reported; of memory the most."""
    timings, memory = report["timings"], report["memory"]
    row["samples_ts"].append(round(timings["decode_tokens_per_s"], 2))
    row["prefill_samples_ts"].append(round(timings["prefill_tokens_per_s"], 1))
    row["decode_ts"] = statistics.median(row["samples_ts"])
    row["prefill_ts"] = statistics.median(row["prefill_samples_ts"])
    row["tokens"] = report["cache"]["positions"]
    row["held"] = report["cache"]["tokens_held"]
    for name in ("kv_cache_bytes", "peak_resident_bytes"):
        row[name] = max(row.get(name, 0), memory[name])


def formats(options: argparse.Namespace) -> dict:
    """Perplexity of each type of keys and values, and with a shape their decode speed."""
    results = []
    for kind in options.kv_type:
        for model in options.model:
            path = options.file or ROOT / "assets/demo/heldout.txt"
            report = json.loads(run(options, "eval_model", [*model_flags(model), "-f", str(path), "--json", "-q", "--kv-type", kind]))
            results.append(
                {
                    "model": pathlib.Path(model).name,
                    "kv_type": kind,
                    "mean_nll": report["mean_nll"],
                    "mean_nll_error": report["mean_nll_error"],
                    "perplexity": report["perplexity"],
                }
            )
        if options.shape:
            arguments = ["--shape", options.shape, "--kv-type", kind, "--weight-dtype", options.weight_dtype, "-p", "0"]
            arguments += ["-n", str(options.tokens), "-d", str(options.depth), "-r", "3", "-o", "json", "-q"]
            row = json.loads(run(options, "bench_model", arguments))[0]
            results.append(
                {
                    "model": options.shape,
                    "kv_type": kind,
                    "type_w": row["type_w"],
                    "n_depth": row["n_depth"],
                    "samples_ts": row["samples_ts"],
                    "median_ts": row["median_ts"],
                }
            )
    return {**about(options, "kv_formats"), "results": results}


def main() -> int:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (perplexity, decode, formats):
        sub = commands.add_parser(command.__name__, help=command.__doc__)
        sub.set_defaults(measure=command)
        sub.add_argument("-m", "--model", action="append", required=True, help="a model's directory, or demo; repeatable")
        sub.add_argument("-o", "--output", type=pathlib.Path, required=True)
        sub.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release", help="where the programs are")
        sub.add_argument("--kv-type", type=lambda text: text.split(","), default=TYPES, help="types, by comma")
        sub.add_argument("--tokens", type=int, default=64, help="tokens to decode")
        if command is perplexity:
            sub.add_argument("--texts", type=int, default=4)
        if command is decode:
            policies_of = ["none", "sliding", "streaming", "h2o"]
            sub.add_argument("--policy", type=lambda text: text.split(","), default=policies_of, help="policies, by comma")
            sub.add_argument("--window", type=int, default=1024)
            sub.add_argument("--length", type=int, action="append", help="tokens of a prompt, about; repeatable")
            sub.add_argument("--rounds", type=int, default=1, help="how often each is measured, in turns")
            sub.add_argument("--name", help="the model's name in the results (default: that of its file)")
            sub.add_argument("--flag", action="append", default=[], help="another flag of generate; repeatable")
        if command is formats:
            sub.add_argument("--file", type=pathlib.Path, help="a text (default: the demo model's)")
            sub.add_argument("--shape", help="a shape of bench_model, for decode speed")
            sub.add_argument("--weight-dtype", default="q4_0")
            sub.add_argument("--depth", type=int, default=4096)
    options = parser.parse_args()
    if options.command == "decode" and not options.length:
        options.length = [256, 1024, 2048, 4096]
    write(options, options.measure(options))
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
