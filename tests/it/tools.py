"""Compares prompts with functions, calls and results with what transformers makes of the same conversation.

usage: tools.py DIRECTORY, with {"texts": {template: prompt}, "tools": [...]} on standard input
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import compare_templates

ARGUMENTS = {"city": "Paris", "days": 2}


def conversation(arguments):
    function = {"name": "get_weather", "arguments": arguments}
    return [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": "",
         "tool_calls": [{"id": "abc123def", "type": "function", "function": function}]},
        {"role": "tool", "content": "{\"t\": 21}", "tool_call_id": "abc123def", "name": "get_weather"},
    ]


def expected(template, tools):
    """As transformers' documentation has it, with arguments as an object; where a template cannot print one, as text."""
    problem = "the object is printed as Python prints it"
    for arguments in (ARGUMENTS, json.dumps(ARGUMENTS)):
        try:
            text = template.render(messages=conversation(arguments), tools=tools, documents=None, bos_token="<s>",
                                   eos_token="</s>", add_generation_prompt=True)
        except Exception as error:  # noqa: BLE001  whatever an operation of a template raises
            problem = repr(error)
            continue
        if "{'city': 'Paris'" not in text:
            return text
    return f"neither an object nor a text is taken: {problem}"


def main():
    directory = pathlib.Path(sys.argv[1])
    given = json.load(sys.stdin)
    compile_template = compare_templates.compiler()
    differ = 0
    for name, text in given["texts"].items():
        source = (directory / f"{name}.jinja").read_bytes().decode()
        wanted = expected(compile_template(source), given["tools"])
        if text != wanted:
            differ += 1
            print(f"{name}:\n{compare_templates.shown(('text', wanted), ('text', text))}")
    print(f"{len(given['texts'])} templates, {differ} differ")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
