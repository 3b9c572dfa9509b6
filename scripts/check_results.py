#!/usr/bin/env python3
"""Check files of results against their schemas in results/schema.

The schema is that of the file's kind: of the field "kind", "bench" for an array, "comparison" where there is none. A kind
without a schema needs what results/schema/any.json says. The schemas are JSON Schema, of which this program knows the words
that they use, and refuses others.

usage: check_results.py [FILE...]     (default: all of results/data)
"""

import json
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "results" / "schema"
DATA = ROOT / "results" / "data"

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int}
WORDS = {"title", "type", "required", "properties", "additionalProperties", "items", "minItems", "minLength", "minimum"}
WORDS |= {"pattern", "const", "enum", "$ref", "$defs"}


def kind_of(document: object) -> str:
    """What a file of results holds."""
    if isinstance(document, list):
        return "bench"
    if isinstance(document, dict):
        return str(document.get("kind", "comparison"))
    return "unknown"


def problems(document: object) -> list[str]:
    """What is wrong with a file of results, a sentence each."""
    path = SCHEMAS / f"{kind_of(document)}.json"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", path.stem) or not path.exists():
        path = SCHEMAS / "any.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    found = list(mismatches(document, schema, schema, "it"))
    if not found and path.stem == "profile":
        found = list(uneven(document["series"]))
    return found


def mismatches(value: object, schema: object, whole: dict, where: str) -> Iterator[str]:
    """Where `value` is not as `schema` wants it; `whole` is the schema that references are sought in."""
    if schema is True:
        return
    if schema is False:
        yield f"{where} is not a field that there is"
        return
    if unknown := schema.keys() - WORDS:
        raise ValueError(f"the schema uses {sorted(unknown)}, which check_results.py does not know")
    if "$ref" in schema:
        yield from mismatches(value, whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], whole, where)
    if "const" in schema and value != schema["const"]:
        yield f"{where} is {shown(value)}, not {shown(schema['const'])}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {shown(value)}, not one of {shown(schema['enum'])}"
    if "type" in schema:
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_a(value, name) for name in wanted):
            yield f"{where} is {shown(value)}, not {' or '.join(wanted)}"
            return
    if isinstance(value, dict):
        yield from in_object(value, schema, whole, where)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where} has {len(value)} items, fewer than {schema['minItems']}"
        for index, item in enumerate(value):
            yield from mismatches(item, schema.get("items", True), whole, f"{where}[{index}]")
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield f"{where} is too short"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where} is {shown(value)}, which does not fit {schema['pattern']}"
    elif is_a(value, "number") and value < schema.get("minimum", value):
        yield f"{where} is {value}, less than {schema['minimum']}"


def in_object(value: dict, schema: dict, whole: dict, where: str) -> Iterator[str]:
    """The fields of an object."""
    for name in schema.get("required", []):
        if name not in value:
            yield f"{where} lacks {name}"
    properties = schema.get("properties", {})
    for name, item in value.items():
        inner = properties.get(name, schema.get("additionalProperties", True))
        yield from mismatches(item, inner, whole, f"{where}.{name}")


def is_a(value: object, name: str) -> bool:
    """Whether `value` is of JSON Schema's type `name`; a truth value is no number."""
    if name == "null":
        return value is None
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def uneven(series: dict) -> Iterator[str]:
    """Columns of a profile that are not as long as its times."""
    count = len(series["time_s"])
    for name, column in series.items():
        for part, values in column.items() if isinstance(column, dict) else [("", column)]:
            if len(values) != count:
                yield f"series.{name} {part} has {len(values)} values for {count} times"


def shown(value: object) -> str:
    """A value as JSON, shortened."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def strict(text: str) -> object:
    """JSON without the NaN and Infinity that Python would take."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def main() -> int:
    """Checks the files; exit code 1 if one is not as it should be."""
    if any(argument.startswith("-") for argument in sys.argv[1:]):
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    paths = [pathlib.Path(argument) for argument in sys.argv[1:]] or sorted(DATA.glob("*.json"))
    bad = 0
    for path in paths:
        try:
            document = strict(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            found = [f"cannot be read: {error}"]
        else:
            found = problems(document)
        for problem in found[:10]:
            print(f"{path}: {problem}", file=sys.stderr)
        bad += bool(found)
    print(f"{len(paths) - bad} of {len(paths)} files of results are as their schemas want them")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
