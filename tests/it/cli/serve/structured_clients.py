"""Asks a server for values of a type, through published clients, and prints what each got as JSON.

usage: structured_clients.py URL MODEL
"""

import json
import sys
from typing import Literal

import anthropic
import instructor
import ollama
import openai
from pydantic import BaseModel, ConfigDict, Field

USER = [{"role": "user", "content": "Once upon a time"}]


class Animal(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["animal"]
    name: str = Field(max_length=6)
    legs: int = Field(ge=0, le=8)
    friend: Literal["fox", "owl"] | None


def main():
    url, model = sys.argv[1:]
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    asked = {"model": model, "messages": USER, "max_tokens": 300}
    parsed = client.chat.completions.parse(**asked, response_format=Animal).choices[0].message.parsed
    patched = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
    instructed = patched.chat.completions.create(**asked, response_model=Animal, max_retries=0)
    schema = Animal.model_json_schema()
    options = {"num_predict": 300}
    said = ollama.Client(host=url).chat(model=model, messages=USER, format=schema, options=options)
    other = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    config = {"format": {"type": "json_schema", "schema": schema}}
    message = other.messages.create(**asked, output_config=config)
    got = {
        "openai": parsed,
        "instructor": instructed,
        "ollama": Animal.model_validate_json(said.message.content),
        "anthropic": Animal.model_validate_json(message.content[0].text),
    }
    print(json.dumps({name: animal.model_dump() for name, animal in got.items()}))


if __name__ == "__main__":
    main()
