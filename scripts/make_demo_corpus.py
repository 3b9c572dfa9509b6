#!/usr/bin/env python3
"""Generate the training corpus of the demo model: short children's stories.

Everything is written by a seeded grammar (folder demo_corpus): a cast
(children, animals, grown-ups, a few robots and dragons), homes, weather,
objects with colors, and about forty plot families.  A plot family is a list
of beats; a beat is a list of sentence variants; a variant may hold inline
choices (``[happy|glad]``) and fields (``{a}``, ``{a.his}``, ``{o}``) that are
filled from the state of the story, so that the red ball stays red and the
pronouns stay right.  Only the Python standard library is used.

Output format: one story after the other, separated by one blank line;
paragraphs inside a story are separated by a single newline.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from demo_corpus.writer import Writer


def generate(count: int, seed: str, avoid: set[bytes]) -> list[str]:
    """Write `count` distinct stories that are not in `avoid` (which is extended)."""
    writer, out, misses = Writer(seed), [], 0
    while len(out) < count:
        story = writer.story()
        key = hashlib.blake2b(story.encode(), digest_size=12).digest()
        if key in avoid:
            misses += 1
            if misses > 20 * count + 1000:
                raise RuntimeError("the grammar does not hold that many distinct stories")
            continue
        avoid.add(key)
        out.append(story)
    return out


def main() -> int:
    """Command line entry point."""
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--stories", type=int, default=330_000, help="number of training stories (default 330000)")
    ap.add_argument("--heldout-stories", type=int, default=2000, help="number of held-out stories (default 2000)")
    ap.add_argument("--seed", type=int, default=1, help="seed of the two story streams (default 1)")
    ap.add_argument("--out", type=Path, required=True, help="training corpus to write")
    ap.add_argument("--heldout", type=Path, required=True, help="held-out stories to write")
    ap.add_argument("--sample", type=Path, help="also write the first held-out stories here (about --sample-bytes)")
    ap.add_argument("--sample-bytes", type=int, default=30_000, help="size of the sample (default 30000)")
    a = ap.parse_args()
    if a.stories < 1 or a.heldout_stories < 1:
        ap.error("--stories and --heldout-stories must be at least 1")
    seen: set[bytes] = set()
    held = generate(a.heldout_stories, f"heldout-{a.seed}", seen)  # first, so that training avoids them
    train = generate(a.stories, f"train-{a.seed}", seen)
    for path, stories in ((a.out, train), (a.heldout, held)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(stories) + "\n", encoding="utf-8")
        words = sum(len(s.split()) for s in stories)
        print(f"{path}: {len(stories)} stories, {words} words ({words / len(stories):.0f} per story), {path.stat().st_size} bytes")
    if a.sample:
        part, size = [], 0
        for s in held:
            size += len(s.encode()) + 2
            if part and size > a.sample_bytes:
                break
            part.append(s)
        a.sample.parent.mkdir(parents=True, exist_ok=True)
        a.sample.write_text("\n\n".join(part) + "\n", encoding="utf-8")
        print(f"{a.sample}: {len(part)} stories")
    return 0


if __name__ == "__main__":
    sys.exit(main())
