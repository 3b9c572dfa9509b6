"""Packages that a script needs for its work, and not for --help."""

import pathlib
import sys


class _AnyName(type):
    def __getattr__(cls, name: str) -> type:
        return cls


class Anything(metaclass=_AnyName):
    """Stands for a package, a class, a constant or a decorator of one, in a program that does no more than print its help."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, decorated: object = None) -> object:
        return decorated


def for_work(missing: ImportError, way: str) -> type[Anything]:
    """Ends the program where a package is missing, with `way` to get it; but if --help is all that is wanted, gives a stand-in."""
    if {"-h", "--help"}.isdisjoint(sys.argv[1:]):
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {missing.name} is needed; {way}")
    return Anything
