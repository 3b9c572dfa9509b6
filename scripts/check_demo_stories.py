#!/usr/bin/env python3
"""Count the stories of the demo model in which names, pronouns and objects agree.

The rules come from the tables of the grammar (folder demo_corpus), which keeps all of them:

  gender    a boy has a boy's name, a girl a girl's; a name and a kind of animal have one gender each
  pronoun   he, she, him, her, his, himself and herself fit the one who was mentioned last
  cast      there is one hero and at most one friend, one guide (Mother, the mayor ...) and one stranger on the road;
            a friend is introduced ("his friend Ben", "a shy girl named Mia") and differs from the hero;
            "the old fox" does not become "the little fox" or another animal
  object    the red ball stays the red ball, and what belongs together in a plot stays together: a broken vase is
            glued, a torn drum gets a new skin

Stories are separated by blank lines.  Only the Python standard library is used.

Usage:
  check_demo_stories.py STORIES.txt
  check_demo_stories.py --generate target/release/generate --stories 100
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from demo_corpus import phrases, words
from demo_corpus.plots import PLOTS

PRONOUNS = {"he": "m", "him": "m", "his": "m", "himself": "m", "she": "f", "her": "f", "hers": "f", "herself": "f"}
KINDS = {kind: gender for group in words.KINDS.values() for gender, kinds in group.items() for kind in kinds}
NAMES = {n: "f" for n in words.GIRLS + words.PETS_F} | {n: "m" for n in words.BOYS + words.PETS_M}
NAMES |= {a + b: "f" for a in words.SYLL_A for b in words.SYLL_F} | {a + b: "m" for a in words.SYLL_A for b in words.SYLL_M}
GUIDES = {name: gender for guides in words.GUIDES.values() for name, gender in guides.items()}
STRANGERS = {name: gender for _, name, gender in words.ROAD}
RELATIVES = {"mother": "f", "father": "m", "grandmother": "f", "grandfather": "m", "aunt": "f", "uncle": "m"}
NOT_NAMES = {"I", "Sunday"} | {n for n in GUIDES if n[0].isupper()}
# Every word of the grammar; what else has a capital letter is a name.
WORDS = set(re.findall("[a-z]+", " ".join(str(v) for m in (phrases, words) for k, v in vars(m).items() if k.isupper() and k not in ("GIRLS", "BOYS", "PETS_F", "PETS_M")).lower()))
WORDS |= set(re.findall("[a-z]+", " ".join(str(p.slots) + str(p.beats) for p in PLOTS).lower())) | set(RELATIVES) | set(PRONOUNS)

ADJECTIVES = sorted({*words.YOUNG_ADJ, *words.OLD_ADJ, "old", "quiet", "cheerful"}, key=len, reverse=True)
_ADJ = "(?:" + "|".join(ADJECTIVES) + ")"
_KIND = "(?:" + "|".join(sorted(KINDS, key=len, reverse=True)) + ")"
_NAME = r"[A-Z][a-z]+"
_LABELS = "|".join(sorted([*GUIDES, *STRANGERS, *(f"an {n[4:]}" for n in STRANGERS)], key=len, reverse=True))
TOKEN = re.compile(
    rf"(?P<label>\b(?:{_LABELS})\b)"
    rf"|(?P<hero>\b(?:an?|the) (?:{_ADJ} )+(?P<kind>[a-z]+)\b)"
    r"|(?P<relative>\b(?:his|her) (?P<relation>mother|father|grandmother|grandfather|aunt|uncle)\b)"
    rf"|(?P<pronoun>\b(?:{'|'.join(PRONOUNS)})\b)"
    rf"|(?P<name>\b{_NAME}\b)",
    re.IGNORECASE,
)
INTRODUCED = re.compile(rf"(?:[a-z] named|[a-z] called|name was|friend|sister|brother) (?P<after>{_NAME})\b|\b(?P<before>{_NAME}) the {_KIND}\b")
_NAMED = r"(?: named| called| in the \w+ who was called|(?: lived [^.!?]*)?[.,] (?:and )?\w+ name was)"
PAIRS = [  # a kind and the name that belongs to it
    re.compile(rf"\b(?:[Aa]n?|[Tt]he) (?:{_ADJ} )+(?P<kind>[a-z]+){_NAMED} (?P<name>{_NAME})\b"),
    re.compile(rf"\b(?P<name>{_NAME}),? (?:was )?(?:the|an?) (?:{_ADJ} )*(?P<kind>{_KIND})\b"),
    re.compile(rf"\b(?P<kind>sister|brother) (?P<name>{_NAME})\b"),
]
SEXES = {"girl": "f", "boy": "m", "sister": "f", "brother": "m"}
_DET = r"(?:the|The|my|My|your|his|her|His|Her|\w+'s)"
OBJECT = re.compile(rf"\b{_DET} (?P<adj>{'|'.join(words.COLORS + words.OBJ_ADJ)}) (?P<noun>{'|'.join(words.TOYS)})\b")
BARE = re.compile(rf"(?:Where is my|There was no) (?P<noun>{'|'.join(words.TOYS)})\b")


# -- what belongs together in a plot ------------------------------------------


_SOMEONE = r"(?:the (?:[a-z]+ ){1,3})?[\w']+"


def as_pattern(text: str, slots: dict[str, str] | None = None) -> str:
    """A text of the grammar as a regular expression: choices and fields stand for what they may become, `slots` become groups."""
    out, seen = [], set()
    for part in re.split(r"(\[[^\[\]]*\]|\{[^{}]*\})", text):
        field = re.fullmatch(r"\{(?:N_)?(\w+?)2?(?:\.(\w+))?\}", part)
        if part.startswith("["):
            out.append("(?:" + "|".join(as_pattern(x) for x in part[1:-1].split("|")) + ")")
        elif field and slots and field.group(1) in slots and field.group(2) in (None, "a"):
            name = field.group(1)
            out.append(f"(?P={name})" if name in seen else f"(?:an? )?(?P<{name}>{slots[name]})")
            seen.add(name)
        elif part == "{color}":
            out.append("(?:" + "|".join(words.COLORS) + ")")
        elif field and field.group(2) in ("intro", "new"):
            out.append(r"[^.!?\"\n]{1,60}?")
        elif field:
            out.append(_SOMEONE)
        else:
            out.append(re.escape(part))
    return "".join(out)


def slot_groups() -> list[tuple[str, list[list[re.Pattern]]]]:
    """For every group of slots its rows as patterns; texts that other parts of the grammar can write too are left out."""
    static = [v if isinstance(v, str) else "\n".join(v) for k, v in vars(phrases).items() if k.isupper()]
    static += [x for k in ("HOBBIES", "TOYS") for x in getattr(words, k)]
    static += [x for homes in words.HOMES.values() for x in homes] + list(KINDS)
    lines = {p.name: [v for beat in p.beats if beat for v in beat[1]] for p in PLOTS}
    cells = [(p.name, g, i, c) for p in PLOTS for g, (_, rows) in enumerate(p.slots) for i, row in enumerate(rows) for c in row]
    everything = "\n".join(static + [v for vs in lines.values() for v in vs])
    groups = []
    for p in PLOTS:
        for g, (_, rows) in enumerate(p.slots):
            found: list[list[re.Pattern]] = []
            for i, row in enumerate(rows):
                mine = []
                for cell in row:
                    if len(cell) < 5 or cell.startswith("{"):
                        continue
                    pattern = re.compile(rf"\b{as_pattern(cell)}\b", re.IGNORECASE)
                    others = "\n".join(c for *where, c in cells if where != [p.name, g, i])
                    if not pattern.search(everything) and not pattern.search(others):
                        mine.append(pattern)
                found.append(mine)
            groups.append((p.name, found))
    return groups


SLOTS = slot_groups()


def slot_sentences() -> list[tuple[str, re.Pattern]]:
    """The sentences of each plot that name something by a slot, with a group for each of its slots."""
    out = []
    thing = f"(?:{'|'.join(words.COLORS + words.OBJ_ADJ)}) (?:{'|'.join(words.TOYS)})"
    for p in PLOTS:
        slots = {k: "|".join(as_pattern(re.sub("^an? ", "", row[i])) for row in rows) for keys, rows in p.slots for i, k in enumerate(keys)}
        slots["o"] = thing
        variants = [v for beat in p.beats if beat for v in beat[1]]
        for keys, rows in p.slots:  # a slot may name another one
            for i, k in enumerate(keys):
                if any(f"{{{other}}}" in row[i] for row in rows for other in slots):
                    variants = [v.replace(f"{{{k}}}", row[i]) for v in variants for row in (rows if f"{{{k}}}" in v else rows[:1])]
        for variant in variants:
            held = ""
            for sentence in re.split(r'(?<=[.!?]) |(?<=[.!?]") ', variant.replace("{oneday}", "")):
                held = f"{held} {sentence}".strip()
                fields = set(re.findall(r"\{(?:N_)?(\w+?)2?(?:\.a)?\}", held)) & set(slots)
                letters = len(re.findall("[a-z]", re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]", "", held)))
                if fields and letters >= 12:
                    out.append((p.name, re.compile(rf"(?<!\w){as_pattern(held, slots)}(?!\w)", re.IGNORECASE)))
                if not fields or letters >= 12:
                    held = ""
    return out


SENTENCES = slot_sentences()


# -- one story ----------------------------------------------------------------


class Person:
    """A character as far as the story has told."""

    def __init__(self, label: str, gender: str | None):
        self.label, self.gender = label, gender


class Check:
    """The faults of one story, in the order of the text."""

    def __init__(self, story: str, infer: bool = False):
        self.story, self.infer, self.faults = story, infer, []
        self.people: dict[str, Person] = {}
        self.names: list[str] = []
        self.hero_label: str | None = None
        self.find_names()
        self.pairs()
        self.walk()
        self.cast()
        self.objects()

    def fault(self, rule: str, text: str) -> None:
        self.faults.append((rule, text))

    def gender(self, name: str) -> str | None:
        """What the tables say of a name; None = the story itself has to tell."""
        return None if self.infer else NAMES.get(name)

    def find_names(self) -> None:
        """Known names, and other words with a capital letter that the grammar does not know or that stand inside of a sentence."""
        inside = {m.group(1) for m in re.finditer(rf"[a-z,] ({_NAME})\b", self.story)}
        for m in re.finditer(rf"\b{_NAME}\b", self.story):
            name = m.group()
            is_name = name in NAMES or ((name in inside or name.lower() not in WORDS) and name not in NOT_NAMES)
            if is_name and name not in self.names:
                self.names.append(name)
                self.people[name] = Person(name, self.gender(name))

    def pairs(self) -> None:
        """A kind and a name that are told together must have one gender."""
        kinds: dict[str, str] = {}
        for pattern in PAIRS:
            for m in pattern.finditer(self.story):
                name, kind = m["name"], m["kind"]
                if name not in self.people:
                    continue
                gender = SEXES.get(kind) or (None if self.infer else KINDS.get(kind))
                person = self.people[name]
                if gender and person.gender is None:
                    person.gender = gender
                elif gender and person.gender != gender:
                    self.fault("gender", m.group())
                if kind in ("sister", "brother"):
                    continue
                if kinds.setdefault(name, kind) != kind:
                    self.fault("cast", f"{name} is a {kinds[name]} and a {kind}")

    def walk(self) -> None:
        """Pronouns against the one who was mentioned last."""
        last: Person | None = None
        first_name = min((self.story.index(n) for n in self.names), default=len(self.story))
        for m in TOKEN.finditer(self.story):
            text = m.group()
            if m["pronoun"]:
                gender = PRONOUNS[text.lower()]
                if last is None:
                    self.fault("pronoun", f"{self.around(m)}: nobody was mentioned")
                elif last.gender is None:
                    last.gender = gender
                elif last.gender != gender:
                    self.fault("pronoun", f"{self.around(m)}: {last.label}")
            elif m["relative"]:
                self.pronoun_in(m, last)
                last = self.person("guide " + m["relation"].lower(), RELATIVES[m["relation"].lower()])
            elif m["name"]:
                last = self.people.get(text, last)
            elif m["hero"]:
                last = self.hero(m, first_name) or last
            else:
                label = text[0].lower() + text[1:] if text.startswith(("The ", "An ")) else text
                label = "the " + label[3:] if label.startswith("an ") else label
                named = re.match(rf"{_NAMED} ({_NAME})\b", self.story[m.end() :])
                if named and named.group(1) in self.people:
                    last = self.people[named.group(1)]
                    continue
                if label in STRANGERS and last is None and m.start() < first_name:
                    self.hero_label = label
                if label == self.hero_label:
                    last = self.person(label, STRANGERS.get(label))
                elif label in STRANGERS:
                    last = self.person("stranger " + label, STRANGERS[label])
                elif label in GUIDES:  # not "mother" inside of a sentence
                    last = self.person("guide " + label, GUIDES[label])

    def pronoun_in(self, m: re.Match, last: Person | None) -> None:
        gender = PRONOUNS[m.group().split()[0].lower()]
        if last and last.gender is None:
            last.gender = gender
        elif not last or last.gender != gender:
            self.fault("pronoun", f"{self.around(m)}: {last.label if last else 'nobody was mentioned'}")

    def person(self, label: str, gender: str | None) -> Person:
        return self.people.setdefault(label, Person(label.split(" ", 1)[-1], gender))

    def hero(self, m: re.Match, first_name: int) -> Person | None:
        """"The old fox", or "an old fox" of an opening."""
        text, kind = m.group().lower(), m["kind"].lower()
        label = re.sub(r"^an? ", "the ", text)
        if label == self.hero_label:
            return self.people[label]
        known = kind in KINDS or (kind not in WORDS and self.story.lower().count(label) > 2)
        if not known:
            return None
        named = re.match(rf"{_NAMED} ({_NAME})\b", self.story[m.end() :])
        if named and named.group(1) in self.people:
            return self.people[named.group(1)]
        if self.hero_label is None and m.start() < first_name:
            self.hero_label = label
            return self.person(label, None if self.infer else KINDS.get(kind))
        before = self.story[: m.start()]
        if text.startswith("the ") and not re.search(rf"\b{_NAME}, $", before):
            self.fault("cast", f"{text} was never introduced")
        return None

    def around(self, m: re.Match) -> str:
        return " ".join(self.story[max(0, m.start() - 40) : m.end() + 12].split())

    def cast(self) -> None:
        """Who is in the story, and whether the story said so."""
        if len(self.names) > (1 if self.hero_label else 2):
            self.fault("cast", "too many names: " + ", ".join(self.names))
        sentences = re.split(r'(?<=[.!?]) |(?<=[.!?]") |\n', self.story)
        opening = next((s for s in sentences if any(re.search(rf"\b{n}\b", s) for n in self.names)), "")
        hero = None if self.hero_label else next(iter(self.names), None)
        introduced = [m["after"] or m["before"] for m in INTRODUCED.finditer(self.story)]
        for name in self.names:
            if name not in introduced and (self.hero_label or not re.search(rf"\b{name}\b", opening)):
                self.fault("cast", f"{name} was never introduced")
        for m in re.finditer(rf"(?:friend|sister|brother) ({_NAME})\b", self.story):
            if m.group(1) == hero:
                self.fault("cast", f"{hero} is the hero and the {m.group()}")
        named = Counter(m.group(1) for m in re.finditer(rf"[a-z] (?:named|called) ({_NAME})\b", self.story))
        for name, count in named.items():
            if count > 1:
                self.fault("cast", f"{name} is introduced {count} times")
        for role in ("guide", "stranger"):
            roles = [p.label for k, p in self.people.items() if k.startswith(role + " ")]
            if len(roles) > 1:
                self.fault("cast", f"more than one {role}: " + ", ".join(roles))

    def objects(self) -> None:
        """One object, and the parts of a plot that belong together."""
        things = {f"{m['adj']} {m['noun']}" for m in OBJECT.finditer(self.story)}
        if len(things) > 1:
            self.fault("object", "more than one object: " + ", ".join(sorted(things)))
        for m in BARE.finditer(self.story):
            if things and all(not t.endswith(" " + m["noun"]) for t in things):
                self.fault("object", f"{m.group()}, but it is the {min(things)}")
        values: dict[tuple[str, str], set[str]] = {}
        for plot, pattern in SENTENCES:
            for m in pattern.finditer(self.story):
                for slot, text in m.groupdict().items():
                    values.setdefault((plot, slot), set()).add(re.sub("^(?:an?|the) ", "", text.lower()))
        for (plot, _), texts in values.items():
            if len(texts) > 1:
                self.fault("object", f"{plot}: " + " / ".join(sorted(texts)))
        for plot, rows in SLOTS:
            told = [[m.group() for p in row if (m := p.search(self.story))] for row in rows]
            told = [t[0] for t in told if t]
            if len(told) > 1:
                self.fault("object", f"{plot}: " + " / ".join(told))


# -- command line -------------------------------------------------------------


def split(text: str) -> list[str]:
    """Stories are separated by blank lines."""
    return [s.strip() for s in re.split(r"\n\s*\n", text) if s.strip()]


def generate(program: Path, model: Path | None, prompt: str, first: int, count: int) -> list[str]:
    """One story for each seed, with the program's own sampling."""
    out = []
    for seed in range(first, first + count):
        command = [str(program), "-p", prompt, "--seed", str(seed), "-q", "--echo"] + (["-m", str(model)] if model else [])
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
        out.append(re.sub(r"\n\s*\n", "\n", done.stdout.strip()))
    return out


def main() -> int:
    """Command line entry point."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("file", type=Path, nargs="?", help="stories to read")
    ap.add_argument("--generate", type=Path, metavar="PROGRAM", help="let this program (generate) write the stories")
    ap.add_argument("-m", "--model", type=Path, help="model of the program; without it the demo model inside")
    ap.add_argument("--stories", type=int, default=100, help="number of stories to write (default 100)")
    ap.add_argument("--first-seed", type=int, default=1, help="seed of the first story (default 1)")
    ap.add_argument("--prompt", default="Once upon a time", help='opening (default "Once upon a time")')
    ap.add_argument("--save", type=Path, help="keep the written stories here")
    ap.add_argument("--infer", action="store_true", help="learn the gender of names and animals from each story, not from the tables")
    ap.add_argument("--show", action="store_true", help="print every fault")
    ap.add_argument("--at-least", type=float, metavar="PERCENT", help="exit with 1 if fewer stories agree")
    a = ap.parse_args()
    if (a.file is None) == (a.generate is None):
        ap.error("name either a file of stories or --generate PROGRAM")
    if a.file:
        stories = split(a.file.read_text(encoding="utf-8"))
    else:
        stories = generate(a.generate, a.model, a.prompt, a.first_seed, a.stories)
        if a.save:
            a.save.write_text("\n\n".join(stories) + "\n", encoding="utf-8")
    if not stories:
        ap.error("there are no stories")
    checks = [Check(s, a.infer) for s in stories]
    if a.show:
        for i, c in enumerate(checks):
            for rule, text in c.faults:
                print(f"story {i + 1}: {rule}: {text}")
    good = sum(not c.faults for c in checks)
    rules = Counter(rule for c in checks for rule in {r for r, _ in c.faults})
    print(f"{good} of {len(checks)} stories agree ({100 * good / len(checks):.2f}%)")
    for rule, count in rules.most_common():
        print(f"  {rule}: {count} stories with a fault")
    return int(a.at_least is not None and 100 * good / len(checks) < a.at_least)


if __name__ == "__main__":
    sys.exit(main())
