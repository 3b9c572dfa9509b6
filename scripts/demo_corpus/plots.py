"""The plots in plots.txt and their mini language.

One plot after another, in lines:
  # name; key=value; ...       header (wx, b=friend|new|none, o=1, young=1, night=1, groups=...)
  $ x,y: v1 ; w1 || v2 ; w2    slots chosen together, once per story
  - text                       a variant; consecutive variants form a beat
  ?0.5                         before a beat: chance that it is told
  %                            paragraph break
  blank line                   ends a beat
"""

from __future__ import annotations

from pathlib import Path


class Plot:
    """One parsed plot family."""

    def __init__(self, head: str):
        name, *opts = [x.strip() for x in head.split(";")]
        self.name = name
        self.opt = dict(x.split("=", 1) for x in opts)
        self.slots: list[tuple[list[str], list[list[str]]]] = []
        self.beats: list[tuple[float, list[str]] | None] = []  # None = paragraph break


def parse_plots(text: str) -> list[Plot]:
    """Parse the plot mini language; complain about what cannot be used."""
    plots: list[Plot] = []
    prob, cur = 1.0, []

    def flush() -> None:
        nonlocal prob, cur
        if cur:
            plots[-1].beats.append((prob, cur))
        prob, cur = 1.0, []

    for line in text.splitlines():
        line = line.strip()
        if not line:
            flush()
        elif line.startswith("# "):
            flush()
            plots.append(Plot(line[2:]))
        elif line.startswith("$ "):
            names, values = line[2:].split(":", 1)
            keys = [k.strip() for k in names.split(",")]
            rows = [[c.strip() for c in row.split(" ; ")] for row in values.split("||")]
            if any(len(r) != len(keys) for r in rows):
                raise ValueError(f"plot {plots[-1].name}: slot row of the wrong length in {line!r}")
            plots[-1].slots.append((keys, rows))
        elif line.startswith("?"):
            prob = float(line[1:])
        elif line == "%":
            flush()
            plots[-1].beats.append(None)
        elif line.startswith("- "):
            cur.append(line[2:])
        else:
            raise ValueError(f"cannot parse plot line: {line!r}")
    flush()
    return plots


PLOTS = parse_plots((Path(__file__).parent / "plots.txt").read_text(encoding="utf-8"))
