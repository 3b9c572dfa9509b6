#!/usr/bin/env python3
"""Draw a profile of scripts/android_profile.py over time, or two next to each other on the same scales.

From above: decode and prefill speed, temperatures, clocks, memory, and battery and GPU load where they were read. Runs of
the program are shaded.

needs: matplotlib (PyPI).   usage: visualize_profile.py PROFILE.json [OTHER.json] [-o OUT.png]
"""

import argparse
import pathlib
import sys

import check_results
import needed

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError as missing:
    plt = needed.for_work(missing, "pip install matplotlib")

# Of the zones of a phone, those that were ever the hottest are drawn, and no more than so many.
MOST_ZONES = 6


def load(path: pathlib.Path) -> dict:
    """A profile that is as its schema wants it."""
    document = check_results.strict(path.read_text(encoding="utf-8"))
    kind = check_results.kind_of(document)
    if kind != "profile":
        raise ValueError(f"{path} is of kind {kind}; a profile is needed")
    if found := check_results.problems(document):
        raise ValueError(f"{path}: {found[0]}")
    return document


def speeds(profile: dict, decode: bool) -> tuple[list[float], list[float]]:
    """Steps of tokens a second over time: of decode, or of prefill. None ends a step."""
    times, rates = [], []
    for run in profile["runs"]:
        for speed in run["speeds"]:
            if (speed["n_gen"] > 0) == decode:
                times += [speed["start_s"], speed["end_s"], speed["end_s"]]
                rates += [speed["tokens_per_s"], speed["tokens_per_s"], None]
    return times, rates


def hottest(zones: dict[str, list]) -> list[str]:
    """Names of the zones to draw: the ones with the highest peaks."""
    peaks = {name: max((v for v in values if v is not None), default=-273) for name, values in zones.items()}
    return sorted(peaks, key=lambda name: -peaks[name])[:MOST_ZONES]


def lines(profile: dict, what: str) -> dict[str, tuple[list, list]]:
    """Label -> times and values of one of the panels."""
    series = profile["series"]
    times = series["time_s"]
    if what == "decode, tok/s" or what == "prefill, tok/s":
        drawn = speeds(profile, decode=what.startswith("decode"))
        return {"": drawn} if drawn[0] else {}
    if what == "temperature, °C":
        zones = series.get("temperature_c", {})
        out = {name: (times, zones[name]) for name in hottest(zones)}
        return out | ({"battery": (times, series["battery_c"])} if "battery_c" in series else {})
    if what == "clock, MHz":
        return {name: (times, values) for name, values in series.get("frequency_mhz", {}).items()}
    if what == "memory, MB":
        columns = {"resident": "rss_bytes", "proportional": "pss_bytes"}
        return {
            label: (times, [None if v is None else v / 1e6 for v in series[name]]) for label, name in columns.items() if name in series
        }
    columns = {"battery": "battery_percent", "GPU load": "gpu_percent"}
    return {label: (times, series[name]) for label, name in columns.items() if name in series}


PANELS = ["decode, tok/s", "prefill, tok/s", "temperature, °C", "clock, MHz", "memory, MB", "percent"]


def title(profile: dict) -> str:
    """Two lines about a profile."""
    name = profile.get("name", "")
    return f"{name or profile['device']['name']}\n{profile['model']}, {profile['backend']}, {profile['type_w']}, {profile['date'][:10]}"


def draw(profiles: list[dict]) -> plt.Figure:
    """A column a profile, a row a panel; rows without any data are left out."""
    panels = [what for what in PANELS if any(lines(profile, what) for profile in profiles)]
    shape = (len(panels), len(profiles))
    size = (7 * len(profiles), 0.8 + 2.1 * len(panels))
    figure, axes = plt.subplots(*shape, figsize=size, sharex="col", sharey="row", squeeze=False, layout="constrained")
    for column, profile in enumerate(profiles):
        for row, what in enumerate(panels):
            part = axes[row][column]
            for run in profile["runs"]:
                part.axvspan(run["start_s"], run["end_s"], color="tab:blue", alpha=0.08, linewidth=0)
            for label, (times, values) in lines(profile, what).items():
                values = [float("nan") if value is None else value for value in values]
                part.plot(times, values, label=label, linewidth=1.6, solid_capstyle="butt")
            if part.get_legend_handles_labels()[1]:
                part.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
            part.grid(alpha=0.3)
            part.set_ylabel(what if column == 0 else "")
        axes[0][column].set_title(title(profile), fontsize="medium")
        axes[-1][column].set_xlabel("seconds")
    for what, row in zip(panels, axes):
        if what != "temperature, °C":
            values = (v for profile in profiles for _, line in lines(profile, what).values() for v in line if v is not None)
            row[0].set_ylim(0, max(values, default=0) * 1.08 or 1)
    return figure


def main() -> int:
    """Reads, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", type=pathlib.Path)
    parser.add_argument("other", type=pathlib.Path, nargs="?")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("profile.png"))
    options = parser.parse_args()
    try:
        profiles = [load(path) for path in (options.profile, options.other) if path]
        draw(profiles).savefig(options.output, dpi=110)
    except (OSError, ValueError) as error:
        print(f"visualize_profile.py: {error}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
