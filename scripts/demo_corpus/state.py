"""Characters and objects: what a story remembers of them."""


class Being:
    """A character. `str()` is how a template names it; the writer chooses between the name and a pronoun."""

    def __init__(self, name: str, kind: str, gender: str, adj: str = "", group: str = "", named: bool = True):
        self.name, self.kind, self.gender, self.adj, self.group, self.named = name, kind, gender, adj, group, named
        self.N = cap(name)
        self.v = name if named else name.removeprefix("the ")
        self.full = an(f"{adj} {kind}".strip())
        self.new = f"{self.full} named {name}"
        self.he, self.him, self.his, self.self = PRONOUNS[gender]

    def __str__(self) -> str:
        return self.name


PRONOUNS = {"m": ("he", "him", "his", "himself"), "f": ("she", "her", "her", "herself")}


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
