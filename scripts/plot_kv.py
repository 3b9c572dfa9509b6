#!/usr/bin/env python3
"""Draw what scripts/kv_evidence.py has measured: perplexity by length, or memory and decode speed by length.

needs: matplotlib (PyPI).   usage: plot_kv.py FILE.json -o OUT.png [--table]
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
                # Others coincide with it where sinks make no difference.
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


def by_kind_and_policy(rows: list[dict]) -> dict[str, dict[str, list[dict]]]:
    """Rows in ascending length, by type and then by policy."""
    sorted_rows: dict[str, dict[str, list[dict]]] = {}
    for row in sorted(rows, key=lambda row: row["tokens"]):
        sorted_rows.setdefault(row["kv_type"], {}).setdefault(row["policy"], []).append(row)
    return sorted_rows


def draw_decode(rows: list[dict]) -> plt.Figure:
    """Bytes of the cache above, decode speed below, against tokens: a column a type, a line a policy."""
    kinds = by_kind_and_policy(rows)
    figure, panels = plt.subplots(2, len(kinds), figsize=(4.5 * len(kinds), 8), squeeze=False, sharex=True, sharey="row")
    for (memory, speed), (kind, policies) in zip(panels.T, kinds.items()):
        memory.set_title(kind)
        for index, (policy, points) in enumerate(policies.items()):
            tokens = [row["tokens"] for row in points]
            look = {"label": policy, "alpha": 0.8, **style(policy, index)}
            memory.plot(tokens, [row["kv_cache_bytes"] / 2**20 for row in points], **look)
            medians = [row["decode_ts"] for row in points]
            samples = [row.get("samples_ts", [row["decode_ts"]]) for row in points]
            below = [median - min(values) for median, values in zip(medians, samples)]
            above = [max(values) - median for median, values in zip(medians, samples)]
            speed.errorbar(tokens, medians, yerr=[below, above], capsize=3, **look)
        speed.set_xlabel("tokens of the text")
        speed.legend(fontsize=8)
    for axes in panels.flat:
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("keys and values, MiB")
    panels[1][0].set_ylabel("decode, tokens a second (range of the runs)")
    return figure


def table_decode(rows: list[dict]) -> str:
    """The same as a table in Markdown: of each column the values in ascending length."""
    lengths = " / ".join(str(length) for length in sorted({row.get("length", row["tokens"]) for row in rows}))
    head = ["policy", "type", "cache, MiB", "peak memory, MiB", "decode, tok/s", "prefill, tok/s"]
    lines = [f"Behind {lengths} tokens:", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for kind, policies in by_kind_and_policy(rows).items():
        for policy, points in policies.items():
            columns = [("kv_cache_bytes", 2**20), ("peak_resident_bytes", 2**20), ("decode_ts", 1), ("prefill_ts", 1)]
            cells = [" / ".join(f"{row[name] / unit:.{1 if name == 'kv_cache_bytes' else 0}f}" for row in points) for name, unit in columns]
            lines.append(f"| {' | '.join([f'`{policy}`', f'`{kind}`', *cells])} |")
    return "\n".join(lines)


def main() -> int:
    """Reads, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--table", action="store_true", help="print memory and decode speed as a table in Markdown, too")
    options = parser.parse_args()
    try:
        content = json.loads(options.file.read_text(encoding="utf-8"))
        draw = {"kv_perplexity": draw_perplexity, "kv_decode": draw_decode}[content["kind"]]
        figure = draw(content["results"])
        table = table_decode(content["results"]) if options.table and draw is draw_decode else None
    except (OSError, json.JSONDecodeError, KeyError, TypeError, StopIteration) as error:
        print(f"plot_kv.py: '{options.file}' holds nothing that can be drawn: {error!r}", file=sys.stderr)
        return 1
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)
    print(options.output)
    if table:
        print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
