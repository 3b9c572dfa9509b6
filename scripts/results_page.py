#!/usr/bin/env python3
"""Make one page of all files of results: a table of runs, programs next to each other, profiles over time.

The page is one file that loads nothing, for any browser, wide or narrow. results/SCHEMA.md describes the files;
kinds without a plot of their own are shown as tables.

usage: results_page.py [FILE...] [-o OUT.html]     (default: results/data, to results/results.html)
"""

import argparse
import json
import pathlib
import re
import sys

import check_results

PARTS = pathlib.Path(__file__).resolve().parent / "results_page"
OURS = "llm_rs2"
# The most zones of temperature and rows of a table that are drawn.
MOST_SERIES = 6
MOST_ROWS = 500


def test_name(row: dict) -> str:
    """As bench_model's table has it: pp512, tg128 @ d2048."""
    parts = [f"{letter}{row[key]}" for letter, key in (("pp", "n_prompt"), ("tg", "n_gen")) if row[key]]
    return ("+".join(parts) or "-") + (f" @ d{row['n_depth']}" if row["n_depth"] else "")


def test_kind(row: dict) -> str:
    """What a test measures, in a word."""
    return "both" if row["n_prompt"] and row["n_gen"] else "decode" if row["n_gen"] else "prefill"


def short(words: str) -> str:
    """A description up to its first comma or parenthesis, for a table."""
    return re.split(r"[,(;]", words)[0].strip() or words


def measurement(row: dict, device: str, model: str, backend: str, program: str, date: str) -> dict:
    """A row of the page's table, from one with n_prompt, n_gen, n_depth, type_w, samples_ts and median_ts."""
    return {
        "program": program,
        "ours": program.split(" ")[0] == OURS,
        "device": short(device),
        "model": short(model),
        "about": f"{device}; {model}",
        "backend": backend,
        "format": row["type_w"],
        "kind": test_kind(row),
        "test": test_name(row),
        "order": [test_kind(row), row["n_depth"], row["n_prompt"], row["n_gen"]],
        "speed": row["median_ts"],
        "low": min(row["samples_ts"]),
        "high": max(row["samples_ts"]),
        "date": date[:10],
    }


def bench_runs(rows: list[dict], program: str = OURS) -> list[dict]:
    """Of what bench_model prints."""
    return [
        measurement(row, row["cpu_info"], row["model_type"], row["backends"], program, row["test_time"])
        for row in rows
        if row["n_prompt"] or row["n_gen"]
    ]


def comparison_runs(document: dict) -> list[dict]:
    """Of a comparison; without rows that are of the machine and not of a program."""
    rows = [row for row in document["results"] if row["n_prompt"] or row["n_gen"]]
    return [measurement(row, document["machine"], document["model"], "cpu", row["program"], document["date"]) for row in rows]


def peers(runs: list[dict]) -> list[dict]:
    """The runs of one comparison by format and test: all of ours, and of each other program the flags that were fastest."""
    groups: dict[tuple, dict] = {}
    for run in runs:
        group = groups.setdefault((run["format"], run["test"]), {key: run[key] for key in run if key not in ("program", "ours")})
        program = run["program"] if run["ours"] else run["program"].split(" -")[0]
        bars = group.setdefault("bars", {})
        if program not in bars or bars[program]["speed"] < run["speed"]:
            bars[program] = {"program": run["program"], "ours": run["ours"], "speed": run["speed"]}
    several = [group for group in groups.values() if len({bar["ours"] for bar in group["bars"].values()}) > 1]
    for group in several:
        group["bars"] = sorted(group["bars"].values(), key=lambda bar: (not bar["ours"], -bar["speed"]))
    return sorted(several, key=lambda group: (group["format"], group["order"]))


def profile_runs(document: dict) -> list[dict]:
    """Table rows of a profile: all runs of a test as one."""
    tests: dict[tuple, list[float]] = {}
    for run in document["runs"]:
        for speed in run["speeds"]:
            tests.setdefault((speed["n_prompt"], speed["n_gen"], speed["n_depth"]), []).append(speed["tokens_per_s"])
    out = []
    for (n_prompt, n_gen, n_depth), rates in tests.items():
        ordered = sorted(rates)
        half = len(ordered) // 2
        median = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
        row = {"n_prompt": n_prompt, "n_gen": n_gen, "n_depth": n_depth, "type_w": document["type_w"]}
        row |= {"samples_ts": rates, "median_ts": median}
        out.append(measurement(row, document["device"]["name"], document["model"], document["backend"], OURS, document["date"]))
    return out


def profile_view(document: dict, file: str) -> dict:
    """A profile as panels of lines."""
    device, series = document["device"], document["series"]
    times = series["time_s"]

    def line(name: str, values: list, factor: float = 1) -> dict:
        points = [[t, None if v is None else round(v * factor, 3)] for t, v in zip(times, values)]
        return {"name": name, "points": points}

    def speeds(decode: bool) -> list[dict]:
        points = []
        for speed in (speed for run in document["runs"] for speed in run["speeds"] if (speed["n_gen"] > 0) == decode):
            points += [[speed["start_s"], speed["tokens_per_s"]], [speed["end_s"], speed["tokens_per_s"]], [speed["end_s"], None]]
        return [{"name": "decode" if decode else "prefill", "points": points}] if points else []

    zones = series.get("temperature_c", {})
    peak = {name: max((v for v in values if v is not None), default=-273) for name, values in zones.items()}
    hottest = sorted(zones, key=lambda name: -peak[name])[:MOST_SERIES]
    temperatures = [line(name, zones[name]) for name in hottest]
    if "battery_c" in series:
        temperatures = [*temperatures[: MOST_SERIES - 1], line("battery", series["battery_c"])]
    memory = {"resident": "rss_bytes", "proportional": "pss_bytes"}
    percent = {"battery": "battery_percent", "GPU load": "gpu_percent"}
    panels = [
        ("Decode, tokens a second", True, speeds(decode=True)),
        ("Prefill, tokens a second", True, speeds(decode=False)),
        ("Temperature, °C", False, temperatures),
        ("Clock, MHz", True, [line(name, values) for name, values in series.get("frequency_mhz", {}).items()]),
        ("Memory, MB", True, [line(name, series[key], 1e-6) for name, key in memory.items() if key in series]),
        ("Percent", True, [line(name, series[key]) for name, key in percent.items() if key in series]),
    ]
    name = document.get("name") or f"{device['name']}, {document['model']}"
    about = [device["name"], device.get("soc"), device["system"], document["program"], *document["arguments"]]
    return {
        "file": file,
        "title": f"{name}, {document['backend']}, {document['type_w']}",
        "about": " | ".join(part for part in (" ".join(about[3:]), *about[:3]) if part),
        "date": document["date"].replace("T", " ").removesuffix("Z"),
        "device": device["name"],
        "backend": document["backend"],
        "format": document["type_w"],
        "end": max(times[-1], *(run["end_s"] for run in document["runs"]), 1),
        "spans": [[run["start_s"], run["end_s"]] for run in document["runs"]],
        "panels": [{"title": title, "zero": zero, "series": lines} for title, zero, lines in panels if lines],
    }


def other_view(document: dict, file: str) -> dict:
    """A file of any other kind: its plain fields as words, its lists of objects as tables."""
    words = [f"{key}: {value}" for key, value in document.items() if isinstance(value, (str, int, float)) and key != "kind"]
    tables = []
    for title, rows in document.items():
        if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
            continue
        columns = list(dict.fromkeys(key for row in rows for key in row))
        cells = [["" if key not in row else cell(row[key]) for key in columns] for row in rows[:MOST_ROWS]]
        tables.append({"title": title, "columns": columns, "rows": cells})
    return {"title": f"{check_results.kind_of(document)}: {file}", "about": " | ".join(words), "tables": tables}


def cell(value: object) -> str:
    """A value in a table."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else check_results.shown(value)


def gather(documents: list[tuple[str, object]]) -> dict:
    """All that the page shows, from file names and what is in them."""
    out: dict = {"files": len(documents), "made_by": "scripts/results_page.py", "runs": [], "peers": [], "profiles": [], "others": []}
    for file, document in documents:
        kind = check_results.kind_of(document)
        if kind == "bench":
            out["runs"] += bench_runs(document)
        elif kind == "comparison":
            runs = comparison_runs(document)
            out["runs"] += runs
            out["peers"] += peers(runs)
        elif kind == "profile":
            out["runs"] += profile_runs(document)
            out["profiles"].append(profile_view(document, file))
        else:
            out["others"].append(other_view(document, file))
    out["profiles"].sort(key=lambda profile: profile["date"], reverse=True)
    return out


def page(data: dict) -> str:
    """The page. Within a script element `<` could end it, so that it is written as an escape of JSON."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    html = (PARTS / "page.html").read_text(encoding="utf-8")
    # The data last: what it holds is not looked into for places.
    for place, part in (("/*STYLE*/", "page.css"), ("/*SCRIPT*/", "page.js")):
        html = html.replace(place, (PARTS / part).read_text(encoding="utf-8").rstrip())
    before, after = html.split("/*DATA*/")
    return before + text + after


def load(paths: list[pathlib.Path]) -> list[tuple[str, object]]:
    """The files' names and contents; each has to be as its schema wants it."""
    documents = []
    for path in paths:
        try:
            document = check_results.strict(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if found := check_results.problems(document):
            raise ValueError(f"{path}: {found[0]}")
        documents.append((path.name, document))
    return documents


def main() -> int:
    """Reads, writes, prints the file's name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=check_results.ROOT / "results" / "results.html")
    options = parser.parse_args()
    try:
        documents = load(options.files or sorted(check_results.DATA.glob("*.json")))
        options.output.write_text(page(gather(documents)), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"results_page.py: {error}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
