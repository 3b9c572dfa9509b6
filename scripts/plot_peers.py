#!/usr/bin/env python3
"""Draw, for each model and test of a comparison, tokens a second of llm_rs2 against the better of its peers.

A bar ends at the ratio: beyond the line at 1 llm_rs2 is the faster one.

needs: matplotlib (PyPI).   usage: plot_peers.py FILE.json -o OUT.png
"""

import argparse
import json
import pathlib

import needed

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError as missing:
    plt = needed.for_work(missing, "pip install matplotlib")

OURS = "llm_rs2"


def name(row: dict) -> str:
    """What a row measures, in words."""
    what = f"prefill {row['n_prompt']}" if row["n_prompt"] else "decode"
    depth = f" after {row['n_depth']}" if row["n_depth"] else ""
    return f"{row.get('model', '')}\n{row['type_w'].upper()}, {what}{depth}".strip()


def ratios(results: list[dict]) -> list[tuple[str, float, str]]:
    """What was measured, our median by that of the better peer, and both in words."""
    tests: dict[str, dict[str, float]] = {}
    for row in results:
        tests.setdefault(name(row), {})[row["program"]] = row["median_ts"]
    found = []
    for test, medians in tests.items():
        peers = {program: median for program, median in medians.items() if program != OURS}
        if OURS not in medians or not peers:
            continue
        best = max(peers, key=lambda program: peers[program])
        words = f"{medians[OURS]:.0f} tok/s, {best.split(' -')[0]} {peers[best]:.0f}"
        found.append((test, medians[OURS] / peers[best], words))
    return found


def main() -> None:
    """Reads, draws, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, metavar="FILE.json")
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True, metavar="OUT.png")
    arguments = parser.parse_args()
    content = json.loads(arguments.file.read_text(encoding="utf-8"))
    bars = ratios(content["results"])[::-1]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.62 * len(bars)))
    drawn = axes.barh([test for test, _, _ in bars], [ratio for _, ratio, _ in bars], color="#2a78d6", height=0.6)
    labels = [f"{ratio:.2f}x   {words}" for _, ratio, words in bars]
    axes.bar_label(drawn, labels, padding=6, fontsize=9, color="#333333")
    axes.axvline(1, color="#333333", linewidth=1)
    axes.set_xlim(0, 1.7 * max(ratio for _, ratio, _ in bars))
    axes.set_xlabel("tokens a second by those of the faster peer, the same file")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9)
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
