"""Writes stories: a plot, its cast, and the sentences that tell it."""

from __future__ import annotations

import random
import re

from .phrases import (
    DETAIL,
    END_DAY,
    OPEN_DAY,
    OPEN_DAY_UNNAMED,
    OPEN_FRIENDS,
    OPEN_GENERIC,
    OPEN_PET,
    OPEN_UNNAMED,
    WOKE,
    WOKE_ANIMAL,
)
from .plots import PLOTS
from .state import Being, Thing, cap
from .words import (
    BABIES,
    BOYS,
    COLORS,
    GIRLS,
    GUIDES,
    HOBBIES,
    HOMES,
    KINDS,
    OBJ_ADJ,
    OLD_ADJ,
    PETS_F,
    PETS_M,
    ROAD,
    SYLL_A,
    SYLL_F,
    SYLL_M,
    TOYS,
    WX,
    WX_LINE,
    YOUNG_ADJ,
)

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_FIELD = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_SENT = re.compile(r'(^|\n|[.!?] |\." )([a-z])')
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_VARIANTS = {
    "generic": OPEN_GENERIC, "unnamed": OPEN_UNNAMED, "pet": OPEN_PET, "friends": OPEN_FRIENDS, "day": OPEN_DAY,
    "day_unnamed": OPEN_DAY_UNNAMED, "end": END_DAY, "detail": DETAIL,
}
LINES = {k: [x for x in v.strip().splitlines() if x.strip()] for k, v in _VARIANTS.items()}


class Teller:
    """Fills templates in. A pronoun always stands for the one who was mentioned last; otherwise the name is used."""

    def __init__(self, r: random.Random, ns: dict):
        self.r, self.ns, self.last = r, ns, None

    def choose(self, text: str) -> str:
        """Resolve the inline choices and the fields that are text themselves, until only characters and objects remain."""
        while True:
            done = _CHOICE.sub(lambda m: self.r.choice(m.group(1).split("|")), text)
            done = _FIELD.sub(self.text, done)
            if done == text:
                return done
            text = done

    def text(self, m: re.Match) -> str:
        value = self.ns[m.group(1)]
        if m.group(2) == "intro":
            return value.intro
        return value if isinstance(value, str) else m.group(0)

    def field(self, m: re.Match) -> str:
        of, what = self.ns[m.group(1)], m.group(2)
        if isinstance(of, Thing) or what == "adj":
            return str(getattr(of, what)) if what else str(of)
        same, self.last = self.last is of, of
        low = (what or "").lower()
        if low == "self" or (low in ("he", "him", "his") and same):
            word = getattr(of, low)
            return word if what == low else cap(word)
        if low in ("he", "him", "his"):
            return of.name + ("'s" if low == "his" else "")
        return str(getattr(of, what)) if what else of.name

    def sentence(self, template: str) -> str:
        text = _FIELD.sub(self.field, self.choose(template))
        return _SENT.sub(lambda m: m.group(1) + m.group(2).upper(), text)

    def paragraph(self, templates: list[str]) -> str:
        self.last, out = None, []
        for t in templates:
            if self.r.random() < 0.25:
                self.last = None  # say the name again
            out.append(self.sentence(t))
        return " ".join(out)


class Writer:
    """Writes stories from one seeded stream."""

    def __init__(self, seed: str):
        self.r = random.Random(seed)

    # -- small helpers ------------------------------------------------------
    def name_for(self, gender: str, group: str) -> str:
        r = self.r
        if r.random() < 0.03:
            return r.choice(SYLL_A) + r.choice(SYLL_F if gender == "f" else SYLL_M)
        if group in ("child", "worker"):
            return r.choice(GIRLS if gender == "f" else BOYS)
        return r.choice(PETS_F if gender == "f" else PETS_M)

    def opening(self, style: str, a: Being) -> str:
        """Pick an opening that tells what an animal hero is and does not say "Tom the boy"."""
        while True:
            line = self.r.choice(LINES[style])
            if a.group == "child":
                return line.replace("{a} the {a.kind}", "{a}")
            if not a.named or "{a.kind}" in line or "{a.full}" in line:
                return line

    def hero(self, group: str, elder: bool) -> Being:
        r = self.r
        gender = r.choice("mf")
        kind = r.choice(KINDS[group][gender])
        while elder and kind in BABIES:
            kind = r.choice(KINDS[group][gender])
        if elder:
            adj = r.choice(OLD_ADJ) if r.random() < 0.7 else r.choice(["kind", "quiet", "cheerful", "clever", "gentle", "friendly"])
        else:
            adj = r.choice(YOUNG_ADJ)
        if group == "wild" and adj == "tiny":
            adj = "small"
        if group == "child" or r.random() > 0.22:
            return Being(self.name_for(gender, group), kind, gender, adj, group)
        if r.random() < 0.6:
            adj = "old" if elder else "little"
        return Being(f"the {adj} {kind}", kind, gender, adj, group, False)

    def friend(self, a: Being, new: bool) -> Being:
        """The friend's sentence of introduction says "her friend"; the teller turns it into "Mia's friend" where that is clearer."""
        r = self.r
        group = {"worker": "child", "fancy": "child"}.get(a.group, a.group)
        if (a.group == "child" and new and r.random() < 0.12) or (a.group == "fancy" and r.random() < 0.4):
            group = "forest"
        gender = r.choice("mf")
        name, kind = a.name, a.kind
        while name == a.name:
            name = self.name_for(gender, group)
        while kind == a.kind and group != "child":
            kind = r.choice(KINDS[group][gender])
        if group == "child":
            kind = KINDS[group][gender][0]
        b = Being(name, kind, gender, r.choice(YOUNG_ADJ), group)
        ways = ["{a.his} friend {b}", "{a.his} best friend {b}"]
        if group != "child":
            ways += ["{b} the {b.kind}", "{a.his} friend {b} the {b.kind}"]
        elif a.group == "child":
            ways.append("{a.his} " + ("sister" if gender == "f" else "brother") + " {b}")
        b.intro = r.choice(ways)
        return b

    # -- one story ----------------------------------------------------------
    def story(self) -> str:
        r = self.r
        while True:
            plot = r.choice(PLOTS)
            young_only = plot.opt.get("young") == "1"
            group = r.choices(["child", "forest", "farm", "wild", "fancy", "worker"], [46, 22, 9, 6, 9, 8])[0]
            if not (young_only and group == "worker"):
                break
        elder = group == "worker" or (not young_only and group in ("forest", "farm", "fancy") and r.random() < 0.2)
        a = self.hero(group, elder)
        b = self.friend(a, plot.opt["b"] == "new")

        circle = "child" if group == "child" else "elder" if elder else "fancy" if group == "fancy" else "animal"
        guide, guide_gender = r.choice([x for x in GUIDES[circle].items() if x[0].split()[-1] not in (a.kind, b.kind)])
        g = Being(guide, "guide", guide_gender, named=False)
        first, then, gender = r.choice([x for x in ROAD if x[1].split()[-1] != a.kind])
        c = Being(then, "stranger", gender, named=False)
        c.new = first
        o = Thing(r.choice(COLORS if r.random() < 0.8 else OBJ_ADJ), r.choice(TOYS))

        # time, weather, home
        wxset = plot.opt["wx"]
        wx = r.choice(WX[wxset])
        night = plot.opt.get("night") == "1"
        tod = r.choice(["evening", "night"]) if night else r.choice(["morning", "morning", "afternoon", "day", "day"])
        season = "winter" if wxset == "snow" else r.choice(["spring", "summer", "autumn"] + (["winter"] if wx in ("cold", "chilly") else []))
        home = r.choice(HOMES[group])
        while a.kind == "robot" and "cave" in home:
            home = r.choice(HOMES[group])
        hobby, hobby2 = r.sample(HOBBIES, 2)
        if group in ("child", "fancy", "worker"):
            home2 = r.choice(["in the village", "in town", "in the whole town"])
        else:
            home2 = r.choice({"forest": ["in the forest", "in the valley", "in the meadow"], "farm": ["on the farm", "in the meadow"]}.get(group, ["in the land"]))

        ns: dict = {
            "a": a, "b": b, "g": g, "c": c, "o": o, "home": home, "home2": home2, "hobby": hobby, "hobby2": hobby2,
            "wx": wx, "tod": tod, "season": season, "color": r.choice(COLORS), "coins": r.choice(["five", "seven", "nine", "ten", "twelve"]),
        }
        teller = Teller(r, ns)
        ns["wxline"] = teller.choose(r.choice(WX_LINE[wx]))
        ns["home2v"] = home2.replace("in ", "to ", 1).replace("on ", "to ", 1).replace("the whole town", "town")
        ns["dozed"] = r.choice(["watched the stars", "thought about the world", "listened to the wind"] + ([] if night else ["watched the clouds", "hummed a song", "dreamed a little"]))
        if night:
            ns["woke"] = r.choice(["looked up at the sky", "sat by the window", "was still awake", "listened to the wind", "lay in bed and listened"])
        else:
            ns["woke"] = teller.choose(r.choice(WOKE if group in ("child", "worker") else WOKE_ANIMAL))

        # opening
        x = r.random()
        specific = False
        if a.named and plot.opt["b"] == "friend" and x < 0.12 and plot.name != "letter":
            opening = r.choice(LINES["friends"])
            b.intro = "{b}"
        elif group == "child" and x < 0.16:
            opening = r.choice(LINES["pet"])
        elif x < 0.58:
            opening = self.opening("generic" if a.named else "unnamed", a)
        else:
            opening = self.opening("day" if a.named else "day_unnamed", a)
            specific = True

        for keys, rows in plot.slots:
            for k, v in zip(keys, r.choice(rows)):
                ns[k] = teller.choose(v)
        for k in ("thing", "cause"):
            if k in ns:
                ns["N_" + k] = cap(ns[k])
        if plot.name == "build":
            ns["thing2"] = "the " + ns["thing"].split(" ", 1)[1]
        if plot.name == "treasure":
            ns["chest2"] = ns["chest"] if ns["chest"].startswith("full") else "a chest " + ns["chest"]
        if specific:
            oneday = r.choice(["", "", "That day, ", "On that day, "] if not night else ["", "", "That night, "])
            if plot.name == "snow":
                oneday = ""
        elif night:
            oneday = r.choice([f"One {wx} night, ", "One night, ", "One evening, "])
        else:
            oneday = r.choice(["One day, ", "One day, ", f"One {wx} {tod}, ", f"One {wx} {tod}, ", f"On a {wx} {tod}, ", "One morning, " if tod == "morning" else "One day, ", f"One day in {season}, "])
        ns["oneday"] = oneday
        ns["season2"] = r.choice(["spring", "summer", "autumn", "winter"])
        ns["taste"] = r.choice(["honey", "apples", "warm bread", "berries", "soup", "pears", "cheese", "plums"])

        paras: list[list[str]] = [[opening]]
        if not specific and "They" not in opening and r.random() < 0.4:
            paras[0].append(r.choice(LINES["detail"]))
        for beat in plot.beats:
            if beat is None:
                paras.append([])
                continue
            prob, variants = beat
            if prob < 1.0 and r.random() > prob:
                continue
            paras[-1].append(r.choice(variants))
        if night:
            if r.random() < 0.2:
                paras[-1].append("It was a [quiet|beautiful|peaceful] night.")
        elif r.random() < 0.45:
            paras[-1].append(r.choice(LINES["end"]))
        # short first paragraphs are joined with the next one in half of the stories
        if len(paras) > 2 and r.random() < 0.5:
            paras[0:2] = [paras[0] + paras[1]]
        text = "\n".join(teller.paragraph(p) for p in paras if p)
        text = _ARTICLE.sub(r"\1n ", text)
        if r.random() < 0.08:
            text += "\nThe end."
        return text
