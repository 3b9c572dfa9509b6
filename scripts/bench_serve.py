#!/usr/bin/env python3
"""Measure `serve` beside llama-server with the same file, and write what was found (results/SCHEMA.md, `serve`).

Servers take turns, each started anew for each turn. What is measured, all through POST /completion with tokens as prompts:
  idle      processor time and memory of a server that has answered once and has nothing to do
  streams   128 tokens after a prompt of 128, for 1 and for 8 clients at once: tokens a second in all, from the first request to the
            last answer, and of one stream from its first token on
  generate  (llm_rs2 alone) the same stream by the program `generate`
  prefix    a prompt of 2,000 tokens, then one that shares them: seconds to the first token
  between   milliseconds between the tokens of a stream, alone and while a prompt of 2,000 tokens comes in

usage: bench_serve.py FILE.gguf --ours serve [--generate generate] [--llama-server llama-server] --machine TEXT
                      [--turns 3] [--threads 2] [--only streams,prefix,...] -o OUT.json
"""

import argparse
import contextlib
import datetime
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

TESTS = ("idle", "streams", "generate", "prefix", "between")
STREAMS = (1, 8)
PROMPT = ANSWER = 128
LONG = 2000
CONTEXT = 4096
# A token that is a whole word, or part of one.
SAID = 1000
# Words that are a token or two each in most vocabularies.
WORDS = ["time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state", "family"]


def tokens(count: int, seed: int) -> list[int]:
    """A prompt that no other seed shares."""
    numbers = random.Random(seed)
    return [numbers.randrange(1000, 30_000) for _ in range(count)]


def fail(why: str) -> NoReturn:
    """Ends the program, from any thread."""
    print(f"error: {why}", file=sys.stderr, flush=True)
    os._exit(1)


class Server:
    """A server as a process."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        threading.Thread(target=lambda: self.said.extend(self.process.stderr or []), daemon=True).start()
        for _ in range(1200):
            time.sleep(0.1)
            if self.process.poll() is not None:
                sys.exit(f"{command[0]} ended: {''.join(self.said[-5:])}")
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
        sys.exit(f"{command[0]} does not begin to answer")

    def stream(self, prompt: list[int] | str, answer: int) -> Iterator[float]:
        """Asks for an answer of so many tokens, and gives the time of each part that comes, and last that of the end."""
        body = {"prompt": prompt, "n_predict": answer, "temperature": 0, "ignore_eos": True, "stream": True}
        # One token again and again: with random weights texts are no UTF-8, on which llama-server ends them.
        body["logit_bias"] = [[SAID, 1000]]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", "/completion", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            fail(f"the server refuses: {response.read().decode()}")
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            yield time.perf_counter()
            part = json.loads(line[6:])
            if part.get("stop"):
                if part["tokens_predicted"] != answer:
                    fail(f"{part['tokens_predicted']} tokens in place of {answer}")
                return
        fail("the server ends a stream in the middle")

    def usage(self) -> tuple[float, int]:
        """Processor seconds, and bytes of memory that it has."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        resident = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), resident

    def end(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait()


def together(server: Server, clients: int, seed: int) -> list[list[float]]:
    """The times of `clients` streams at once; the first of each is that of its request."""
    times: list[list[float]] = [[] for _ in range(clients)]

    def ask(i: int) -> None:
        prompt = tokens(PROMPT, seed + i)
        times[i].append(time.perf_counter())
        times[i].extend(server.stream(prompt, ANSWER))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def streams(server: Server, turn: int) -> dict[str, float]:
    """Tokens a second."""
    found = {}
    for clients in STREAMS:
        times = together(server, clients, 1000 * turn + 10 * clients)
        took = max(t[-1] for t in times) - min(t[0] for t in times)
        found[f"{clients} streams, tokens/s"] = clients * ANSWER / took
        if clients == 1:
            found["1 stream after its first token, tokens/s"] = (ANSWER - 1) / (times[0][-1] - times[0][1])
    return found


def prefix(server: Server, turn: int) -> dict[str, float]:
    """Seconds to the first token, of a long prompt and of one that shares nearly all of it."""
    shared = tokens(LONG, 7 + turn)
    found = {}
    for name, seed in (("first prompt", 1), ("shared prefix", 2)):
        start = time.perf_counter()
        first, *_ = server.stream(shared + tokens(8, 100 * turn + seed), 2)
        found[f"{name}, s to first token"] = first - start
    return found


def gaps(times: list[float]) -> list[float]:
    """Milliseconds between one and the next."""
    return [1000 * (b - a) for a, b in itertools.pairwise(times)]


def percentile(values: list[float], part: int) -> float:
    """The value below which so many of a hundred are."""
    return statistics.quantiles(values, n=100)[part - 1]


def between(server: Server, turn: int) -> dict[str, float]:
    """Milliseconds between tokens."""
    times: list[float] = []
    begun = threading.Event()

    def read() -> None:
        for when in server.stream(tokens(PROMPT, 31 + turn), 1000):
            times.append(when)
            if len(times) >= 100:
                begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait()
    alone = gaps(times[2:])
    start = time.perf_counter()
    first, *_ = server.stream(tokens(LONG, 53 + turn), 1)
    reader.join()
    crowded = gaps([t for t in times if start <= t <= first])
    return {
        "between tokens alone, ms, median": statistics.median(alone),
        "between tokens alone, ms, p99": percentile(alone, 99),
        "between tokens beside a long prompt, ms, median": statistics.median(crowded),
        "between tokens beside a long prompt, ms, p99": percentile(crowded, 99),
        "long prompt beside a stream, s": first - start,
    }


def idle(server: Server, _turn: int) -> dict[str, float]:
    """What it costs to have it."""
    time.sleep(1)
    before, memory = server.usage()
    time.sleep(10)
    after, _ = server.usage()
    return {"idle, processor %": 10 * (after - before), "idle, resident MB": memory / 1e6}


def generate(program: pathlib.Path, arguments: argparse.Namespace, turn: int) -> dict[str, float]:
    """A stream without HTTP."""
    numbers = random.Random(turn)
    prompt = " ".join(numbers.choice(WORDS) for _ in range(PROMPT - 1))
    common = ["-m", arguments.file, "-t", arguments.threads, "--temperature", 0, "-n", ANSWER]
    command = [program, *common, "--max-seq-len", CONTEXT, "--ignore-eos", "--json", "--prompt", prompt]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"generate fails: {done.stderr[-300:]}")
    timings = json.loads(done.stdout)["timings"]
    return {"generate after its first token, tokens/s": timings["decode_tokens_per_s"]}


def commands(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """How each server is started, but for its port."""
    threads, file = str(arguments.threads), str(arguments.file)
    slots = max(STREAMS)
    found = {
        "llm_rs2": [str(arguments.ours), "-m", file, "-t", threads, "--parallel", str(slots)]
        + ["--max-seq-len", str(CONTEXT), "--log", "off"]
    }
    if arguments.llama_server:
        # Its best: one cache for all, as many slots as there are clients.
        found["llama.cpp"] = [str(arguments.llama_server), "-m", file, "-t", threads, "-np", str(slots), "-kvu"]
        found["llama.cpp"] += ["-c", str(2 * CONTEXT), "--no-webui", "-lv", "0", *arguments.llama_flags.split()]
    return found


def free_port() -> int:
    """A port that no other program has."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def turn_of(command: list[str], only: list[str], turn: int) -> dict[str, float]:
    """What one server shows, started for this."""
    port = free_port()
    server = Server([*command, "--port", str(port)], port)
    try:
        list(server.stream(tokens(PROMPT, 1), 16))
        found = {}
        for test in (idle, streams, prefix, between):
            if test.__name__ in only:
                found |= test(server, turn)
        return found
    finally:
        server.end()


def main() -> None:
    """Measures, and writes after each turn, so that what was measured is kept whatever happens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, metavar="FILE.gguf")
    parser.add_argument("--ours", type=pathlib.Path, required=True)
    parser.add_argument("--generate", type=pathlib.Path)
    parser.add_argument("--llama-server", type=pathlib.Path)
    parser.add_argument("--llama-flags", default="", help="more flags of llama-server")
    parser.add_argument("--machine", required=True, help="what is measured on, in words")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(TESTS))
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    samples: dict[tuple[str, str], list[float]] = {}
    about = {
        "kind": "serve",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": arguments.machine,
        "model": arguments.file.stem,
        "file_mb": round(arguments.file.stat().st_size / 1e6, 1),
        "n_threads": arguments.threads,
        "programs": {program: {"flags": " ".join(command[3:])} for program, command in commands(arguments).items()},
        "method": "servers in turns, each started anew",
    }
    for turn in range(arguments.turns):
        for program, command in commands(arguments).items():
            print(f"turn {turn + 1}: {program}", file=sys.stderr)
            found = turn_of(command, arguments.only, turn)
            if program == "llm_rs2" and arguments.generate and "generate" in arguments.only:
                found |= generate(arguments.generate, arguments, turn)
            for what, value in found.items():
                print(f"  {what}: {value:.3f}", file=sys.stderr)
                samples.setdefault((what, program), []).append(round(value, 4))
        results = [
            {"measure": what, "program": program, "median": round(statistics.median(values), 4), "samples": values}
            for (what, program), values in samples.items()
        ]
        arguments.out.write_text(json.dumps({**about, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
