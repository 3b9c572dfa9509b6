"""Two servers behind LiteLLM's router: both work, and one that dies is missed by nobody.

usage: router.py KEY PROCESS_OF_THE_SECOND URL URL
"""

import asyncio
import os
import signal
import sys
import time
import urllib.request

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False


def tokens(url: str, key: str) -> float:
    """How many tokens a server has generated."""
    request = urllib.request.Request(f"{url}/metrics", headers={"x-api-key": key})
    with urllib.request.urlopen(request) as reply:
        lines = reply.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("llm_rs2_generated_tokens_total "))


async def main() -> None:
    key, process, *urls = sys.argv[1:]
    servers = [
        {"model_name": "stories", "litellm_params": {"model": "openai/demo", "api_base": f"{url}/v1", "api_key": key}}
        for url in urls
    ]
    router = litellm.Router(servers, routing_strategy="least-busy", num_retries=3, allowed_fails=1, cooldown_time=60)

    async def ask(seed: int) -> str:
        messages = [{"role": "user", "content": "Once upon a time"}]
        answer = await router.acompletion("stories", messages, max_tokens=16, seed=seed)
        return answer.choices[0].message.content

    start = time.perf_counter()
    texts = await asyncio.gather(*(ask(seed) for seed in range(16)))
    took = time.perf_counter() - start
    shares = [tokens(url, key) for url in urls]
    assert sum(shares) == 16 * 16, shares
    assert min(shares) >= 4 * 16, f"one server did nearly everything: {shares}"
    # A text does not depend on which of them wrote it.
    assert await asyncio.gather(*(ask(seed) for seed in range(16))) == texts
    os.kill(int(process), signal.SIGKILL)
    assert await asyncio.gather(*(ask(seed) for seed in range(8))) == texts[:8]
    print(f"LiteLLM: 16 texts in {took:.1f} s, {shares[0]:.0f} and {shares[1]:.0f} tokens; 8 more after one was killed")


asyncio.run(main())
