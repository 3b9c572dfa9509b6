"""What Ollama's client for Python gets: a model fetched, listed, named, asked and removed.

usage: pull.py URL KEY NAME
"""

import json
import sys

import ollama


def main():
    url, key, name = sys.argv[1:]
    client = ollama.Client(host=url, headers={"Authorization": f"Bearer {key}"})
    steps = list(client.pull(name, stream=True))
    whole = client.pull(name)
    client.copy(name, "mine")
    listed = [one.model for one in client.list().models]
    generated = client.generate("mine", "t5 t6", options={"temperature": 0, "num_predict": 8})
    client.delete("mine")
    deleted = client.delete(name)
    try:
        client.pull("llama3.2:1b")
        refused = None
    except ollama.ResponseError as error:
        refused = error.status_code
    print(
        json.dumps(
            {
                "first": steps[0].status,
                "last": steps[-1].status,
                "completed": max(step.completed or 0 for step in steps),
                "whole": whole.status,
                "listed": listed,
                "text": generated.response,
                "deleted": deleted.status,
                "left": [one.model for one in client.list().models],
                "refused": refused,
            }
        )
    )


if __name__ == "__main__":
    main()
