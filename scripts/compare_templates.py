#!/usr/bin/env python3
"""Compares chat templates as generate renders them with transformers' renderings, conversation by conversation.

    python scripts/compare_templates.py GENERATE DIRECTORY...

GENERATE is the program. Each *.jinja file in the directories is rendered for conversations with and without a system
message, of several turns, with tools, tool calls and reasoning, with and without the prompt for an answer. A rendering
agrees if the text is the same, or both refuse (an exception of the template with the same words). Exit code 1 if any
differs. Needs jinja2; where transformers is installed too, its own set-up of jinja2 is used.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import subprocess
import sys

DAY = datetime.date(2026, 1, 31)

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather <now> & \"here\"",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "A city, e.g. Zürich"},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
            "days": {"type": ["integer", "null"], "minimum": 1}}}}},
    {"type": "function", "function": {
        "name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
]


def conversations():
    """Pairs of a name and messages."""
    def say(role, content, **more):
        return {"role": role, "content": content, **more}

    def call(arguments):
        function = {"name": "get_weather", "arguments": arguments}
        return say("assistant", "", tool_calls=[{"id": "abc123def", "type": "function", "function": function}])

    system, user = say("system", "Be brief.\nAlways."), say("user", " Hello there!\n")
    answer, again = say("assistant", "Hi. 1 < 2 & 'x'"), say("user", "And now? é 日本 \"quoted\"")
    result = say("tool", "{\"t\": 21}", tool_call_id="abc123def", name="get_weather")
    by_object = call({"city": "Paris", "days": 2, "x": 1.5, "y": True, "z": None})
    by_text = call("{\"city\": \"Paris\"}")
    reasoned = say("assistant", "It is warm.", reasoning_content="The user asks.\nI think.")
    thought = say("assistant", "<think>\nabc\n</think>\n\nIt is warm.")
    for name, before in (("", []), ("system, ", [system])):
        yield name + "one turn", before + [user]
        yield name + "two turns", before + [user, answer, again]
        yield name + "ends with an answer", before + [user, answer]
        yield name + "tool call", before + [user, by_object, result]
        yield name + "tool call as text", before + [user, by_text, result]
        yield name + "after a tool call", before + [user, by_object, result, reasoned, again]
        yield name + "reasoning", before + [user, reasoned, again]
        yield name + "thinking in the text", before + [user, thought, again]
    yield "wrong order", [answer, user]
    yield "two users", [user, again]
    yield "system alone", [system]
    yield "nothing", []
    yield "parts", [say("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])]
    yield "an image", [say("user", [{"type": "image"}, {"type": "text", "text": "two"}])]
    yield "developer", [say("developer", "Dev."), user]


def inputs(quick):
    """Pairs of a name and what a template is given; `quick`: some of them."""
    for number, (name, messages) in enumerate(conversations()):
        if quick and number % 4 != 1:
            continue
        for tools in (None, TOOLS):
            for prompt in (True, False)[:1 if quick else 2]:
                label = name + (", tools" if tools else "") + (", prompt" if prompt else "")
                yield label, {"messages": messages, "tools": tools, "documents": None,
                              "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>"}
    turn = [{"role": "user", "content": "Hello"}]
    for value in (True, False):
        yield f"enable_thinking={value}", {"messages": turn, "tools": None, "documents": None, "bos_token": "<s>",
                                           "eos_token": "</s>", "add_generation_prompt": True, "enable_thinking": value}


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(DAY.year, DAY.month, DAY.day)


def compiler():
    """What makes a template of a source, as transformers sets it up."""
    try:
        from transformers.utils import chat_template_utils as utils
        utils.datetime = Day
        return utils._compile_jinja_template
    except ImportError:
        return plain_compiler()


def plain_compiler():
    from jinja2 import exceptions, ext, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        tags = frozenset({"generation"})

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller):
            return caller()

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise exceptions.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[Generation, ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals.update(raise_exception=raise_exception, strftime_now=lambda format: Day.now().strftime(format))
    return environment.from_string


def transformers_renders(compile_template, source, given):
    """A kind ("text", "raised" or "refused") and its text."""
    from jinja2 import exceptions
    given = json.loads(json.dumps(given))
    for message in given["messages"]:
        if "reasoning_content" in message:
            message["thinking"] = message["reasoning_content"]
    try:
        return "text", compile_template(source).render(**given)
    except exceptions.TemplateError as e:
        return ("raised", " ".join(str(e).split())) if type(e) is exceptions.TemplateError else ("refused", repr(e))
    except Exception as e:  # noqa: BLE001  whatever an operation of a template raises
        return "refused", repr(e)


def generate_renders(program, template, given):
    command = [program, "--print-prompt", "--json", "-q", "--messages", "-", "--chat-template", template,
               "--date", str(DAY)]
    ran = subprocess.run(command, check=False, input=json.dumps(given), capture_output=True, text=True, timeout=60)
    if ran.returncode == 0:
        return "text", json.loads(ran.stdout)["text"]
    line = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else ""
    if ran.returncode != 1 or not line.startswith("error: "):
        return "crash", f"exit code {ran.returncode}: {line}"
    raised = "error: the model's chat template refuses these messages: "
    return ("raised", line[len(raised):]) if line.startswith(raised) else ("refused", line)


def agree(wanted, got):
    if wanted[0] == "refused":
        return got[0] == "refused"
    # A long refusal is cut.
    return wanted == got or wanted[0] == got[0] == "raised" and got[1][:-3] and wanted[1].startswith(got[1][:-3])


def shown(wanted, got):
    if wanted[0] == got[0] == "text":
        pairs = zip(wanted[1], got[1])
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(wanted[1]), len(got[1])))
        wanted, got = [("text", "..." + text[max(0, at - 40):at + 60]) for _, text in (wanted, got)]
    return f"    transformers: {wanted}\n    generate:     {got}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generate", type=pathlib.Path)
    parser.add_argument("directory", nargs="+", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="a sixth of the conversations")
    args = parser.parse_args()
    compile_template = compiler()
    program = str(args.generate.resolve())
    templates = [path for directory in args.directory for path in sorted(directory.glob("*.jinja"))]
    if not templates:
        sys.exit("compare_templates.py: there is no *.jinja file")
    jobs, counts = [], {"text": 0, "raised": 0, "refused": 0}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in templates:
            for label, given in inputs(args.quick):
                jobs.append((path, label, given, pool.submit(generate_renders, program, str(path.resolve()), given)))
        differ = 0
        for path, label, given, job in jobs:
            wanted, got = transformers_renders(compile_template, path.read_bytes().decode(), given), job.result()
            if agree(wanted, got):
                counts[wanted[0]] += 1
            else:
                differ += 1
                print(f"{path.name}, {label}:\n{shown(wanted, got)}", flush=True)
    same = sum(counts.values())
    print(f"{len(templates)} templates, {len(jobs)} renderings: {same} agree ({counts['text']} texts, "
          f"{counts['raised']} exceptions, {counts['refused']} errors), {differ} differ")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
