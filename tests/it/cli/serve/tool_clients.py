"""Offers a function through the clients that OpenAI, Ollama and Anthropic publish, gives its result, and prints what each got
as JSON.

usage: tool_clients.py URL MODEL WORD
"""

import json
import sys

import anthropic
import ollama
import openai

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "function": {"name": "t10", "description": "t13", "parameters": SCHEMA}}


def got(text, name, arguments):
    return {"text": text, "name": name, "arguments": arguments}


def of_openai(url, model, word):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": word}]
    asked = {"model": model, "messages": messages, "tools": [FUNCTION], "max_tokens": 30}
    whole = client.chat.completions.create(**asked).choices[0].message
    call = whole.tool_calls[0]
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion().choices[0].message
    streamed = final.tool_calls[0].function
    # The message goes back as it came.
    result = {"role": "tool", "tool_call_id": call.id, "content": "t21"}
    client.chat.completions.create(**{**asked, "messages": [*messages, whole.model_dump(), result], "max_tokens": 1})
    return {
        "whole": got(whole.content, call.function.name, json.loads(call.function.arguments)),
        "stream": got(final.content, streamed.name, json.loads(streamed.arguments)),
    }


def of_responses(url, model, word):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    tool = {"type": "function", **FUNCTION["function"], "strict": False}
    asked = {"model": model, "input": [{"role": "user", "content": word}], "tools": [tool], "max_output_tokens": 30}
    whole = client.responses.create(**asked)
    call = next(item for item in whole.output if item.type == "function_call")
    with client.responses.stream(**asked) as stream:
        final = stream.get_final_response()
    streamed = next(item for item in final.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "t21"}
    items = [*asked["input"], *(item.model_dump(exclude_none=True) for item in whole.output), result]
    again = client.responses.create(**{**asked, "input": items, "max_output_tokens": 1})
    assert again.usage.output_tokens == 1, again
    return {
        "whole": got(whole.output_text, call.name, json.loads(call.arguments)),
        "stream": got(final.output_text, streamed.name, json.loads(streamed.arguments)),
    }


def of_ollama(url, model, word):
    client = ollama.Client(host=url)
    messages = [{"role": "user", "content": word}]
    whole = client.chat(model=model, messages=messages, tools=[FUNCTION]).message
    call = whole.tool_calls[0].function
    parts = list(client.chat(model=model, messages=messages, tools=[FUNCTION], stream=True))
    streamed = next(part for part in parts if part.message.tool_calls).message.tool_calls[0].function
    result = {"role": "tool", "tool_name": call.name, "content": "t21"}
    client.chat(model=model, messages=[*messages, whole, result], tools=[FUNCTION], options={"num_predict": 1})
    text = "".join(part.message.content or "" for part in parts)
    return {
        "whole": got(whole.content, call.name, dict(call.arguments)),
        "stream": got(text, streamed.name, dict(streamed.arguments)),
    }


def of_anthropic(url, model, word):
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    messages = [{"role": "user", "content": word}]
    tool = {"name": "t10", "description": "t13", "input_schema": SCHEMA}
    asked = {"model": model, "messages": messages, "tools": [tool], "max_tokens": 30}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert (whole.stop_reason, final.stop_reason) == ("tool_use", "tool_use")
    result = {"type": "tool_result", "tool_use_id": whole.content[1].id, "content": "t21"}
    turns = [*messages, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}]
    client.messages.create(**{**asked, "messages": turns, "max_tokens": 1})

    def parts(message):
        return got(message.content[0].text, message.content[1].name, message.content[1].input)
    return {"whole": parts(whole), "stream": parts(final)}


def main():
    url, model, word = sys.argv[1:]
    clients = {"openai": of_openai, "responses": of_responses, "ollama": of_ollama, "anthropic": of_anthropic}
    print(json.dumps({name: ask(url, model, word) for name, ask in clients.items()}))


if __name__ == "__main__":
    main()
