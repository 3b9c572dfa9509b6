#!/usr/bin/env bash
# Tries larger clients of the server, which the tests leave out since they take long to install: LiteLLM's router over two
# servers, LangChain, the Vercel AI SDK, and schemathesis on the OpenAPI page. They go to target/clients (about 700 MB).
#
# usage: cargo build --features server && scripts/test_clients.sh [target/debug/serve]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="larger clients of the server"
source scripts/skip.source

serve=${1:-${CARGO_TARGET_DIR:-target}/debug/serve}
test -x "$serve" || { echo "error: there is no '$serve'; build it with cargo build --features server" >&2 && exit 1; }
home=${CLIENTS:-target/clients}
mkdir -p "$home"
home=$(realpath "$home")

if ! "$home/python/bin/python" -c "import langchain_openai, litellm, openapi_spec_validator, schemathesis" 2>/dev/null; then
    {
        python3 -m venv "$home/python" &&
            "$home/python/bin/pip" -q install langchain-openai litellm openapi-spec-validator schemathesis
    } >&2 || skip "pip cannot install them"
fi
if command -v npm >/dev/null; then
    test -d "$home/node_modules/ai" ||
        npm install --prefix "$home" --silent --no-fund --no-audit ai @ai-sdk/openai-compatible >&2 || skip "npm cannot install them"
fi

# Two servers, which end with this script.
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT
echo '{% for m in messages %}{{ m.content }}{% endfor %}' >"$home/story.jinja"
urls=()
for name in first second; do
    "$serve" --port 0 --alias demo --chat-template "$home/story.jinja" --api-key secret -t 1 2>"$home/$name.log" &
    pids+=($!)
done
for name in first second; do
    for _ in $(seq 600); do
        url=$(sed -n 's/^listening on //p' "$home/$name.log")
        test -z "$url" || break
        sleep 0.1
    done
    test -n "$url" || { cat "$home/$name.log" >&2 && exit 1; }
    urls+=("$url")
done

"$home/python/bin/python" scripts/clients/router.py secret "${pids[1]}" "${urls[@]}"
"$home/python/bin/python" scripts/clients/langchain.py secret "${urls[0]}"
if test -d "$home/node_modules/ai"; then
    cp scripts/clients/ai_sdk.mjs "$home"
    node "$home/ai_sdk.mjs" secret "${urls[0]}"
else
    echo "the Vercel AI SDK: left out, there is no npm"
fi
curl -sf -H "x-api-key: secret" "${urls[0]}/openapi.json" >"$home/openapi.json"
"$home/python/bin/openapi-spec-validator" "$home/openapi.json"
# Texts are short, so that many fit into the time.
"$home/python/bin/schemathesis" run "$home/openapi.json" --url "${urls[0]}" -H "x-api-key: secret" \
    --checks not_a_server_error --max-examples "${EXAMPLES:-20}" --phases examples,coverage,fuzzing --request-timeout 60 --seed 1
if grep -h panicked "$home"/*.log; then
    exit 1
fi
