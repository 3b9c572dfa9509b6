"""Asks a server through the clients that OpenAI, Ollama and Anthropic publish, and prints what each got as JSON.

usage: clients.py URL KEY MODEL
"""

import json
import sys

import anthropic
import ollama
import openai

USER = [{"role": "user", "content": "t5 t6"}]


def of_openai(url, key, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    asked = {"model": model, "messages": USER, "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    completion = client.completions.create(model=model, prompt="t8 t5 t6 t7", max_tokens=8, temperature=0)
    try:
        client.chat.completions.create(**asked, tools=[{"type": "custom", "custom": {"name": "f"}}])
        refused = None
    except openai.BadRequestError as error:
        refused = error.param
    try:
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0).models.list()
        unknown = None
    except openai.AuthenticationError as error:
        unknown = error.code
    # Asked for as base64, and as numbers.
    vectors = [client.embeddings.create(model=model, input=text) for text in ("t5 t6", ["t5 t6"])]
    numbers = client.embeddings.create(model=model, input="t5 t6", encoding_format="float", dimensions=7)
    return {
        "vectors": [answer.data[0].embedding for answer in vectors],
        "cut": len(numbers.data[0].embedding),
        "models": [one.id for one in client.models.list()],
        "whole": whole.choices[0].message.content,
        "tokens": [token.token for token in whole.choices[0].logprobs.content],
        "finish": whole.choices[0].finish_reason,
        "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "usage": chunks[-1].usage.completion_tokens,
        "completion": completion.choices[0].text,
        "refused": refused,
        "unknown": unknown,
    }


def of_ollama(url, key, model):
    client = ollama.Client(host=url, headers={"Authorization": f"Bearer {key}"})
    options = {"temperature": 0, "num_predict": 8}
    whole = client.chat(model=model, messages=USER, options=options)
    stream = client.chat(model=model, messages=USER, options=options, stream=True)
    generated = client.generate(model=model, prompt="t5 t6", options=options)
    try:
        client.generate(model="other", prompt="x")
        refused = None
    except ollama.ResponseError as error:
        refused = error.status_code
    return {
        "models": [one.model for one in client.list().models],
        "shown": client.show(model).details.family,
        "vectors": [list(row) for row in client.embed(model=model, input=["t5 t6", "t5 t6"]).embeddings],
        "running": [one.model for one in client.ps().models],
        "whole": whole.message.content,
        "finish": whole.done_reason,
        "stream": "".join(part.message.content for part in stream),
        "generated": generated.response,
        "refused": refused,
    }


def of_anthropic(url, key, model):
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
    # Its newest versions have no argument for it.
    asked = {"model": model, "messages": USER, "max_tokens": 8, "extra_body": {"temperature": 0}}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    counted = client.messages.count_tokens(model=model, messages=USER)
    try:
        client.messages.create(**asked, tools=[{"type": "web_search_20250305", "name": "web_search"}])
        refused = None
    except anthropic.BadRequestError as error:
        refused = error.body["error"]["type"]
    return {
        "whole": whole.content[0].text,
        "finish": whole.stop_reason,
        "stream": text,
        "usage": final.usage.output_tokens,
        "counted": counted.input_tokens,
        "refused": refused,
    }


def main():
    url, key, model = sys.argv[1:]
    clients = {"openai": of_openai, "ollama": of_ollama, "anthropic": of_anthropic}
    print(json.dumps({name: ask(url, key, model) for name, ask in clients.items()}))


if __name__ == "__main__":
    main()
