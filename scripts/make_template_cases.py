#!/usr/bin/env python3
"""Writes the results of src/chat/jinja/tests/cases.json anew: what Python's Jinja, set up as in transformers, makes of
each source there. Needs transformers and jinja2; a new case is a line with its source alone.

    python scripts/make_template_cases.py
"""

import argparse
import datetime
import json
import pathlib

CASES = pathlib.Path(__file__).resolve().parent.parent / "src/chat/jinja/tests/cases.json"
DAY = (2026, 1, 31)


def outcome(compile_template, errors, source, variables):
    try:
        return {"text": compile_template(source).render(**variables)}
    except errors.TemplateError as e:
        return {"raised": str(e)} if type(e) is errors.TemplateError else {"refused": type(e).__name__}
    except Exception as e:  # noqa: BLE001  whatever an operation of a template raises
        return {"refused": type(e).__name__}


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from jinja2 import exceptions
    from transformers.utils import chat_template_utils

    class Day(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(*DAY)

    chat_template_utils.datetime = Day
    file = json.loads(CASES.read_text(encoding="utf-8"))
    compile_template = chat_template_utils._compile_jinja_template
    cases = [{"source": c["source"], **outcome(compile_template, exceptions, c["source"], file["variables"])}
             for c in file["cases"]]
    lines = ",\n".join("    " + json.dumps(case, ensure_ascii=False) for case in cases)
    variables = json.dumps(file["variables"], ensure_ascii=False)
    CASES.write_text(f'{{\n  "variables": {variables},\n  "cases": [\n{lines}\n  ]\n}}\n', encoding="utf-8")
    print(f"{len(cases)} cases in {CASES.name}")


if __name__ == "__main__":
    main()
