"""Where things are, and documents to test with."""

import json
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPTS = ROOT / "scripts"


def program(name: str) -> pathlib.Path | None:
    """A program that cargo has built, if it has."""
    folder = pathlib.Path(os.environ.get("LLM_RS2_PROGRAMS", ROOT / "target" / "debug"))
    return folder / name if (folder / name).exists() else None


def profile(**changed: object) -> dict:
    """A small profile of a phone."""
    speed = {"n_prompt": 0, "n_gen": 8, "n_depth": 0, "start_s": 1.0, "end_s": 2.0, "tokens_per_s": 8.0}
    prefill = speed | {"n_prompt": 16, "n_gen": 0, "start_s": 0.5, "end_s": 1.0, "tokens_per_s": 32.0}
    device = {"name": "Phone", "soc": "SoC", "system": "Android 15", "local": False, "clusters": []}
    run = {"waited_s": 0, "cool": None, "start_s": 0.5, "end_s": 2.0, "speeds": [prefill, speed]}
    series = {"time_s": [0, 1, 2], "temperature_c": {"cpu": [30, 41.5, None]}, "rss_bytes": [None, 5_000_000, 6_000_000]}
    whole = {"kind": "profile", "version": 1, "date": "2026-11-21T10:00:00Z", "device": device, "program": "bench_model"}
    whole |= {"arguments": ["-n", "8"], "backend": "cpu", "type_w": "q4_0", "model": "llama 1 M", "n_prompt": 16, "n_gen": 8}
    whole |= {"interval_s": 1, "cooling": {"to_c": None, "at_most_s": 600}, "runs": [run], "series": series}
    return json.loads(json.dumps(whole | changed))


def comparison() -> dict:
    """A small comparison of two programs."""
    row = {"type_w": "q4_0", "n_prompt": 0, "n_gen": 32, "n_depth": 0, "program": "llm_rs2", "samples_ts": [9, 12], "median_ts": 10.5}
    rows = [row, row | {"program": "peer -a", "samples_ts": [7], "median_ts": 7}, row | {"program": "peer -b", "samples_ts": [8], "median_ts": 8}]
    rows += [row | {"type_w": "q8_0", "n_gen": 0, "n_prompt": 512, "samples_ts": [100], "median_ts": 100}]
    out = {"date": "2026-11-20", "machine": "Server (fast), 2 cores", "model": "1B", "n_threads": 2, "programs": {}}
    return out | {"method": "in turns", "results": rows}
