#!/usr/bin/env python3
"""Draw what scripts/kv_evidence.py has measured: perplexity by length, or memory and decode speed by length.

needs: matplotlib (PyPI).   usage: plot_kv.py FILE.json -o OUT.png
"""

import argparse
import json
import pathlib
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("plot_kv.py: matplotlib is needed to draw; pip install matplotlib")

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STYLES = {"none": ("black", "-"), "sliding": ("tab:orange", "--"), "streaming": ("tab:blue", "-"), "h2o": ("tab:green", "-.")}
MARKERS = "osD^vP*X"


def style(policy: str, index: int) -> dict:
    """Color and line by policy, marker by variant."""
    color, line = STYLES.get(policy.split(",")[0], ("gray", ":"))
    return {"color": color, "linestyle": line, "marker": MARKERS[index % len(MARKERS)], "markersize": 4}


def draw_perplexity(rows: list[dict]) -> plt.Figure:
    """A panel a model, a line a policy; `none` is drawn as far as it goes, and thinly beyond."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, panels = plt.subplots(1, len(models), figsize=(7 * len(models), 6), squeeze=False)
    for axes, model in zip(panels[0], models):
        mine = [row for row in rows if row["model"] == model]
        for index, row in enumerate(mine):
            values = row["perplexity_by_length"]
            lengths = range(1, len(values) + 1)
            if row["policy"] == "none":
                axes.plot(lengths, values, color="black", alpha=0.35, linestyle=":", label="full attention, beyond its training")
                axes.plot(lengths[:1], values[:1], color="black", marker="*", markersize=11, linestyle="", label="none (stops here)")
            else:
                # Others lie upon it where sinks make no difference.
                under = {"linewidth": 6, "zorder": 0} if row["policy"] == "sliding, 0 sinks" else {}
                axes.plot(lengths, values, label=row["policy"], alpha=0.7, **style(row["policy"], index), **under)
        window = next(row["window"] for row in mine if row["window"])
        axes.set_yscale("log")
        axes.set_title(f"{model}: trained for {mine[0]['trained']} tokens, {window} held, {mine[0]['texts']} texts")
        axes.set_xlabel("tokens, as multiples of the trained length")
        axes.set_ylabel("perplexity of these tokens")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def draw_decode(rows: list[dict]) -> plt.Figure:
    """Bytes of the cache and decode speed against tokens, a line a policy and type."""
    figure, (memory, speed) = plt.subplots(1, 2, figsize=(14, 5))
    series: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        series.setdefault((row["policy"], row["kv_type"]), []).append(row)
    kinds = list(dict.fromkeys(kind for _, kind in series))
    for (policy, kind), points in series.items():
        points.sort(key=lambda row: row["tokens"])
        tokens = [row["tokens"] for row in points]
        look = style(policy, kinds.index(kind))
        memory.plot(tokens, [row["kv_cache_bytes"] / 2**20 for row in points], label=f"{policy}, {kind}", alpha=0.8, **look)
        speed.plot(tokens, [row["decode_ts"] for row in points], label=f"{policy}, {kind}", alpha=0.8, **look)
    memory.set_ylabel("keys and values, MiB")
    speed.set_ylabel("decode, tokens a second")
    for axes in (memory, speed):
        axes.set_xlabel("tokens of the text")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def main() -> int:
    """Reads, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    try:
        content = json.loads(options.file.read_text(encoding="utf-8"))
        draw = {"kv_perplexity": draw_perplexity, "kv_decode": draw_decode}[content["kind"]]
        figure = draw(content["results"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError, StopIteration) as error:
        print(f"plot_kv.py: '{options.file}' holds nothing that can be drawn: {error!r}", file=sys.stderr)
        return 1
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
