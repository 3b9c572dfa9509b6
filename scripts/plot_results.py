#!/usr/bin/env python3
"""Draw decode speed against the tokens in the cache, for us and for peers, from files of results.

Reads comparisons (results/data/*.json: an object with "results") and what `bench_model -o json` or `llama-bench -o json`
print (an array). Of a peer that was run with several flags, the fastest at each depth is drawn.

needs: matplotlib (PyPI).   usage: plot_results.py FILE... [-o OUT.png] [--type q4_0]
"""

import argparse
import json
import pathlib
import sys

import needed

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError as missing:
    plt = needed.for_work(missing, "pip install matplotlib")


def rows(path: pathlib.Path) -> list[dict]:
    """The measurements in a file, each with `program`, `type_w`, `n_prompt`, `n_gen`, `n_depth` and `samples_ts`."""
    with path.open(encoding="utf-8") as file:
        content = json.load(file)
    if isinstance(content, dict):
        return content["results"]
    for row in content:
        # llama-bench names the format within the model's type only.
        row.setdefault("type_w", row.get("model_type", "?").split()[-1].lower())
        row.setdefault("program", "llm_rs2" if "version" in row else "llama.cpp")
    return content


def decode_series(measurements: list[dict], type_w: str) -> dict[str, dict[int, list[float]]]:
    """Program -> depth -> tokens a second of each run, sorted."""
    series: dict[str, dict[int, list[float]]] = {}
    for row in measurements:
        if row["type_w"] != type_w or row["n_gen"] == 0 or row["n_prompt"] > 0:
            continue
        program = row["program"].split(" -")[0]
        samples = sorted(row["samples_ts"])
        best = series.setdefault(program, {}).get(row["n_depth"])
        if best is None or middle(samples) > middle(best):
            series[program][row["n_depth"]] = samples
    # A program at one depth is a point without a line.
    return {program: depths for program, depths in series.items() if len(depths) > 1}


def middle(samples: list[float]) -> float:
    """The median of sorted samples."""
    half = len(samples) // 2
    return samples[half] if len(samples) % 2 else (samples[half - 1] + samples[half]) / 2


def draw(axes: plt.Axes, series: dict[str, dict[int, list[float]]], type_w: str) -> None:
    """One line a program: medians, with the range of its runs."""
    for program in sorted(series, key=lambda name: (name != "llm_rs2", name)):
        points = sorted(series[program].items())
        depths = [depth for depth, _ in points]
        medians = [middle(samples) for _, samples in points]
        low = [m - samples[0] for m, (_, samples) in zip(medians, points)]
        high = [samples[-1] - m for m, (_, samples) in zip(medians, points)]
        width = 2.5 if program == "llm_rs2" else 1.5
        axes.errorbar(depths, medians, yerr=[low, high], marker="o", capsize=3, linewidth=width, label=program)
    axes.set_title(type_w)
    axes.set_xlabel("tokens in the cache")
    axes.set_ylabel("decode, tokens a second")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> int:
    """Reads, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("decode_by_depth.png"))
    parser.add_argument("--type", action="append", metavar="FORMAT", help="format of the weights (default: all)")
    options = parser.parse_args()
    try:
        measurements = [row for path in options.files for row in rows(path)]
        types = options.type or sorted({row["type_w"] for row in measurements if row["n_gen"] > 0})
        series = {type_w: decode_series(measurements, type_w) for type_w in types}
        drawn = [(t, s) for t, s in series.items() if s]
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        print(f"plot_results.py: cannot read the results: {error!r}", file=sys.stderr)
        return 1
    if not drawn:
        print("plot_results.py: no format was measured at several depths; nothing to draw", file=sys.stderr)
        return 1
    figure, axes = plt.subplots(1, len(drawn), figsize=(6 * len(drawn), 4.2), squeeze=False)
    for part, (type_w, series) in zip(axes[0], drawn):
        draw(part, series, type_w)
    figure.tight_layout()
    figure.savefig(options.output, dpi=120)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
