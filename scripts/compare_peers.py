#!/usr/bin/env python3
"""Measure llm_rs2 beside llama.cpp and ik_llama.cpp, the same files on all sides, and write a comparison (results/SCHEMA.md).

Whole processes take turns; each gives one sample of each test. Tests are `p512` (a prompt of 512 tokens), `n32` (32 tokens
made) and `n32@4096` (the same with 4,096 tokens in the cache beforehand). llama.cpp runs without and with flash attention, of
which the faster is its row; ik_llama.cpp with `-rtr 1 -fa 1`, its best.

usage: compare_peers.py FILE.gguf... --ours bench_model --llama-cpp llama-bench --ik-llama-cpp llama-bench
                        --machine TEXT [--tests p512,n32] [--turns 3] [--threads 2] -o OUT.json
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import re
import statistics
import subprocess
import sys


@dataclasses.dataclass(frozen=True)
class Test:
    """Tokens of the prompt, tokens made, tokens in the cache beforehand."""

    n_prompt: int
    n_gen: int
    n_depth: int

    @classmethod
    def parse(cls, text: str) -> "Test":
        """`p512`, `n32` or `n32@4096`."""
        match = re.fullmatch(r"([pn])(\d+)(?:@(\d+))?", text)
        if not match:
            raise argparse.ArgumentTypeError(f"'{text}' is no test: give p512, n32 or n32@4096")
        count, depth = int(match[2]), int(match[3] or 0)
        return cls(count if match[1] == "p" else 0, count if match[1] == "n" else 0, depth)

    def flags(self) -> list[str]:
        """What llama-bench takes, and `bench_model` too."""
        depth = ["-d", str(self.n_depth)] if self.n_depth else []
        return ["-p", str(self.n_prompt), "-n", str(self.n_gen), *depth]


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that measures, and its flags."""

    name: str
    path: pathlib.Path
    flags: tuple[str, ...]
    # Whether depths are prompts before (`-gp`), in place of `-d`.
    depth_by_gp: bool = False

    def run(self, file: pathlib.Path, test: Test, threads: int) -> float:
        """Tokens a second of one process."""
        asked = test.flags()
        if test.n_depth and self.depth_by_gp:
            asked = ["-p", "0", "-n", "0", "-gp", f"{test.n_depth},{test.n_gen}"]
        command = [self.path, "-m", file, *asked, "-t", str(threads), "-r", "1", "-o", "json", *self.flags]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        try:
            # ik_llama.cpp has been seen to write notes before its array.
            rows = json.loads(done.stdout[done.stdout.index("[\n") :])
            return float(rows[-1]["avg_ts"])
        except (ValueError, KeyError, IndexError):
            sys.exit(f"{self.name} gives no result for {file.name}: {done.stderr.strip()[-300:]}")


def programs(arguments: argparse.Namespace) -> list[Program]:
    """Those that were given."""
    found = [Program("llm_rs2", arguments.ours, ())]
    if arguments.llama_cpp:
        found += [Program(f"llama.cpp -fa {fa}", arguments.llama_cpp, ("-fa", str(fa))) for fa in (0, 1)]
    if arguments.ik_llama_cpp:
        flags = ("-rtr", "1", "-fa", "1")
        found.append(Program("ik_llama.cpp -rtr 1 -fa 1", arguments.ik_llama_cpp, flags, depth_by_gp=True))
    return found


def main() -> None:
    """Measures and writes after each test, so that what was measured is kept whatever happens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE.gguf")
    parser.add_argument("--ours", type=pathlib.Path, required=True)
    parser.add_argument("--llama-cpp", type=pathlib.Path)
    parser.add_argument("--ik-llama-cpp", type=pathlib.Path)
    parser.add_argument("--machine", required=True, help="what is measured on, in words")
    parser.add_argument("--tests", type=lambda text: [Test.parse(t) for t in text.split(",")], default="p512,n32")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    results = []
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": arguments.machine,
        "model": ", ".join(file.stem for file in arguments.files),
        "n_threads": arguments.threads,
        "programs": {p.name.split(" -")[0]: {"flags": " ".join(p.flags)} for p in programs(arguments)},
        "method": "whole processes in turns; one sample a process",
        "results": results,
    }
    for file in arguments.files:
        for test in arguments.tests:
            samples: dict[str, list[float]] = {p.name: [] for p in programs(arguments)}
            for turn in range(arguments.turns):
                for program in programs(arguments):
                    print(f"{file.stem} {test}, turn {turn + 1}: {program.name}", file=sys.stderr)
                    samples[program.name].append(round(program.run(file, test, arguments.threads), 2))
            for name, values in samples.items():
                model, _, type_w = file.stem.rpartition(".")
                row = {"model": model, "type_w": type_w.lower(), **dataclasses.asdict(test), "program": name}
                results.append({**row, "samples_ts": values, "median_ts": statistics.median(values)})
                print(f"{file.stem} {test}: {name}: {statistics.median(values)}", file=sys.stderr)
            arguments.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
