"""Characters and objects: what a story remembers of them."""

from .words import HOOVES, WINGS


class Being:
    """A character: every attribute is text that a template can use."""

    def __init__(self, name: str, kind: str, gender: str, adj: str, group: str, named: bool = True):
        self.name, self.kind, self.adj, self.group, self.named = name, kind, adj, group, named
        self.N = cap(name)
        self.he, self.him, self.his = ("he", "him", "his") if gender == "m" else ("she", "her", "her")
        self.He, self.His = cap(self.he), cap(self.his)
        self.self = "himself" if gender == "m" else "herself"
        self.v = name if named else name.removeprefix("the ")
        self.hands = "wings" if kind in WINGS else "hooves" if kind in HOOVES else "claws" if kind == "dragon" else "paws"
        if group in ("child", "worker", "fancy") and kind != "dragon":
            self.hands = "hands"
        self.full = an(f"{adj} {kind}")
        self.intro = name
        self.new = name

    def __str__(self) -> str:
        return self.name


class Thing:
    """An object with one fixed property."""

    def __init__(self, adj: str, noun: str):
        self.noun, self.adj = noun, adj
        self.a = an(f"{adj} {noun}")

    def __str__(self) -> str:
        return f"{self.adj} {self.noun}"


def cap(text: str) -> str:
    """Upper-case the first letter."""
    return text[:1].upper() + text[1:]


def an(phrase: str) -> str:
    """Put the right indefinite article before a phrase."""
    return ("an " if phrase[0] in "aeiouAEIO" or phrase.startswith("honest") else "a ") + phrase
