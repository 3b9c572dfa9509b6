"""LangChain's client of OpenAI: whole, as a stream, and with its usage.

usage: langchain.py KEY URL
"""

import sys

from langchain_openai import ChatOpenAI

key, url = sys.argv[1:]
chat = ChatOpenAI(base_url=f"{url}/v1", api_key=key, model="demo", max_tokens=12, temperature=0, seed=1, stream_usage=True)
whole = chat.invoke("Once upon a time")
assert whole.content and whole.usage_metadata["output_tokens"] == 12, whole
chunks = list(chat.stream("Once upon a time"))
assert "".join(chunk.content for chunk in chunks) == whole.content
assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 12
assert [answer.content for answer in chat.batch(["Once upon a time"] * 3)] == [whole.content] * 3
print(f"LangChain: {whole.content!r}, in {len(chunks)} chunks")
