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
    OPEN_UNNAMED,
    WOKE,
    WOKE_ANIMAL,
)
from .plots import PLOTS
from .state import Being, Thing, an, cap
from .words import (
    BOYS,
    COLORS,
    FANCY,
    FARM,
    FEMALE,
    FOREST,
    GIRLS,
    HOBBIES,
    HOMES,
    MALE,
    OBJ_ADJ,
    OLD_ADJ,
    PET_NAMES,
    SOFT,
    SYLL_A,
    SYLL_B,
    SYLL_C,
    TOYS,
    WILD,
    WORKERS,
    WX,
    WX_LINE,
    YOUNG_ADJ,
)

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SENT = re.compile(r'(^|\n|[.!?] |\." )([a-z])')
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_VARIANTS = {
    "generic": OPEN_GENERIC, "unnamed": OPEN_UNNAMED, "friends": OPEN_FRIENDS, "day": OPEN_DAY, "day_unnamed": OPEN_DAY_UNNAMED, "end": END_DAY, "detail": DETAIL,
}
LINES = {k: [x for x in v.strip().splitlines() if x.strip()] for k, v in _VARIANTS.items()}


class Writer:
    """Writes stories from one seeded stream."""

    def __init__(self, seed: str):
        self.r = random.Random(seed)

    # -- small helpers ------------------------------------------------------
    def choose(self, text: str) -> str:
        """Resolve the inline choices of a template."""
        return _CHOICE.sub(lambda m: self.r.choice(m.group(1).split("|")), text)

    def name_for(self, gender: str, group: str) -> str:
        r = self.r
        x = r.random()
        if x < 0.10:  # an invented name, so that the model learns to copy names
            return r.choice(SYLL_A) + (r.choice(SYLL_B) if r.random() < 0.6 else "") + r.choice(SYLL_C)
        if group in ("forest", "farm", "wild", "fancy") and x < 0.75:
            return r.choice(PET_NAMES)
        return r.choice(GIRLS if gender == "f" else BOYS)

    def kind_for(self, group: str, gender: str) -> str:
        if group == "child":
            return "girl" if gender == "f" else "boy"
        pool = {"forest": FOREST, "farm": FARM, "wild": WILD, "fancy": FANCY, "worker": WORKERS}[group]
        while True:
            kind = self.r.choice(pool)
            if gender == "f" and kind in MALE:
                continue
            if gender == "m" and kind in FEMALE:
                continue
            return kind

    def opening(self, style: str, a: Being) -> str:
        """Pick an opening that tells what an animal hero is and does not say "Tom the boy"."""
        while True:
            line = self.r.choice(LINES[style])
            if a.group == "child" or a.kind in ("man", "woman"):
                return line.replace("{a} the {a.kind}", "{a}") if self.r.random() < 0.9 else line
            if not a.named or "{a.kind}" in line or "{a.full}" in line:
                return line

    # -- one story ----------------------------------------------------------
    def story(self) -> str:
        r = self.r
        while True:
            plot = r.choice(PLOTS)
            young_only = plot.opt.get("young") == "1"
            group = r.choices(["child", "forest", "farm", "wild", "fancy", "worker"], [46, 22, 9, 6, 9, 8])[0]
            if not (young_only and group == "worker"):
                break
        gender = r.choice("mf")
        kind = self.kind_for(group, gender)
        elder = group == "worker" or (not young_only and group in ("forest", "farm", "fancy") and r.random() < 0.2)
        adj = r.choice(OLD_ADJ if elder and r.random() < 0.7 else YOUNG_ADJ if not elder else ["kind", "quiet", "cheerful", "clever", "gentle", "friendly"])
        if elder and kind in ("puppy", "kitten", "lamb", "bunny", "calf", "foal", "piglet", "duckling"):
            kind = "fox" if group == "forest" else "dog"
        if group == "wild" and adj in ("tiny",):
            adj = "small"
        named = not (group != "child" and r.random() < 0.22)
        name = self.name_for(gender, group) if named else f"the {adj} {kind}"
        if not named and "little" not in name and "old" not in name and r.random() < 0.5:
            adj = "old" if elder else "little"
            name = f"the {adj} {kind}"
        a = Being(name, kind, gender, adj, group, named)
        a.hand1 = "hand" if a.hands == "hands" else a.hands[:-1].replace("hoove", "hoof")

        # the friend
        bgroup = {"worker": "child", "fancy": "child"}.get(group, group)
        if group == "child" and r.random() < 0.12 and plot.opt["b"] == "new":
            bgroup = "forest"
        if group == "fancy" and r.random() < 0.4:
            bgroup = "forest"
        bgender = gender if r.random() < 0.25 else ("m" if gender == "f" else "f")
        bname = self.name_for(bgender, bgroup)
        while bname == name:
            bname = self.name_for(bgender, bgroup)
        bkind = self.kind_for(bgroup, bgender)
        while bkind == kind and bgroup != "child":
            bkind = self.kind_for(bgroup, bgender)
        b = Being(bname, bkind, bgender, r.choice(YOUNG_ADJ), bgroup)
        friendly = ["{a.his} friend {b}", "{a.his} best friend {b}", "{a.his} good friend {b}"]
        if bgroup == "child":
            if group == "child":
                friendly += ["{a.his} " + ("sister" if bgender == "f" else "brother") + " {b}", "{a.his} cousin {b}", "{a.his} neighbor {b}"]
        else:
            friendly += ["{b} the {b.kind}", "{a.his} friend {b} the {b.kind}"]
        b.new = f"{an(b.adj + ' ' + b.kind)} named {b}"
        b.newn = an(b.adj + " " + b.kind)
        b.intro = r.choice(friendly).format(a=a, b=b)

        # the grown-up
        if group == "child":
            pool = [("f", f"{a.his} mother"), ("m", f"{a.his} father"), ("f", f"{a.his} grandmother"), ("m", f"{a.his} grandfather"), ("f", f"{a.his} aunt"), ("m", f"{a.his} uncle"), ("f", "the teacher")]
        elif elder:
            pool = [("f", f"{a.his} neighbor"), ("f", f"{a.his} sister"), ("m", f"{a.his} brother"), ("m", "the mayor")]
        elif group == "fancy":
            pool = [("m", "the old inventor"), ("f", "the kind old clockmaker"), ("f", f"{a.his} neighbor"), ("m", "the old teacher")]
        else:
            pool = [("f", f"{a.his} mother"), ("m", f"{a.his} father"), ("f", f"{a.his} grandmother"), ("m", f"{a.his} grandfather"), ("m", "the wise old owl" if kind != "owl" else "the wise old bear")]
        ggender, gname = r.choice(pool)
        g = Being(gname, "grown-up", ggender, "old", group, False)

        # the object
        noun = r.choice(TOYS)
        adjs = COLORS + [x for x in OBJ_ADJ if not (noun in SOFT and x in ("wooden", "round", "tiny"))]
        o = Thing(r.choice(adjs), noun)

        # time, weather, home
        wxset = plot.opt["wx"]
        wx = r.choice(WX[wxset])
        night = plot.opt.get("night") == "1"
        tod = r.choice(["evening", "night"]) if night else r.choice(["morning", "morning", "afternoon", "day", "day"])
        season = "winter" if wxset == "snow" else r.choice(["spring", "summer", "autumn"] + (["winter"] if wx in ("cold", "chilly") else []))
        home = r.choice(HOMES[group])
        while kind in ("robot",) and "cave" in home:
            home = r.choice(HOMES[group])
        hobby, hobby2 = r.sample(HOBBIES, 2)
        if group in ("child", "fancy", "worker"):
            home2 = r.choice(["in the village", "in town", "in the whole town"])
        else:
            home2 = r.choice(["in the forest", "in the valley", "in the meadow"]) if group == "forest" else r.choice(["on the farm", "in the meadow"]) if group == "farm" else "in the land"

        ns: dict = {
            "a": a, "b": b, "g": g, "o": o, "home": home, "home2": home2, "hobby": hobby, "hobby2": hobby2,
            "wx": wx, "tod": tod, "season": season, "color": r.choice(COLORS), "coins": r.choice(["five", "seven", "nine", "ten", "twelve"]),
        }
        ns["wxline"] = self.choose(r.choice(WX_LINE[wx]))
        ns["home2v"] = home2.replace("in ", "to ", 1).replace("on ", "to ", 1).replace("the whole town", "town")
        ns["dozed"] = r.choice(["watched the clouds", "thought about the world", "listened to the wind", "hummed a song", "dreamed a little"])
        if night:
            ns["dozed"] = r.choice(["watched the stars", "thought about the world", "listened to the wind"])
        human = group in ("child", "worker")
        ns["woke"] = self.choose(r.choice(WOKE if human else WOKE_ANIMAL)).format_map(ns) if not night else self.choose(r.choice(["looked up at the sky", "sat by the window", "was still awake", "listened to the wind", "lay in bed and listened"]))

        # opening
        x = r.random()
        bmode = plot.opt["b"]
        specific = False
        if named and bmode == "friend" and x < 0.12 and plot.name not in ("letter",):
            opening = r.choice(LINES["friends"])
            b.intro = b.name
        elif x < 0.58:
            opening = self.opening("generic" if named else "unnamed", a)
        else:
            opening = self.opening("day" if named else "day_unnamed", a)
            specific = True
        b.intro2 = b.intro

        for keys, rows in plot.slots:
            row = r.choice(rows)
            for k, v in zip(keys, row):
                ns[k] = self.choose(v).format_map(ns)
        if "his" in ns:
            ns["His"] = cap(ns["his"])
        for k in ("thing", "cause", "bad2"):
            if k in ns:
                ns["N_" + k] = cap(ns[k])
        if plot.name == "build":
            ns["thing2"] = "the " + ns["thing"].split(" ", 1)[1]
        if plot.name == "treasure":
            ns["chest2"] = ns["chest"] if ns["chest"].startswith("full") else "a chest " + ns["chest"]
        if plot.name == "promise":
            ns["task2"] = _promise(ns["task"], ns["b"])
            ns["need2"] = ns["need"]
            ns["task2"] = ns["task2"].replace(f"{b}'s", "your").replace(f"bring {b}", "bring you").replace(f"help {b}", "help you").replace(f"for {b}", "for you")
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
        out = []
        # short first paragraphs are joined with the next one in half of the stories
        if len(paras) > 2 and r.random() < 0.5:
            paras[0:2] = [paras[0] + paras[1]]
        for para in paras:
            if not para:
                continue
            text = " ".join(_SENT.sub(lambda m: m.group(1) + m.group(2).upper(), self.choose(s).format_map(ns)) for s in para)
            out.append(text)
        text = "\n".join(out)
        text = _ARTICLE.sub(r"\1n ", text)
        if r.random() < 0.08:
            text += "\nThe end."
        return text


def _promise(task: str, friend: Being) -> str:
    return task.replace(f"look after {friend}'s", "look after your")
