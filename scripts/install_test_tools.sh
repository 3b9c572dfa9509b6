#!/usr/bin/env bash
# Installs what the tests can use and may lack: a browser for the page of results, a JDK for the bridge to Kotlin, and, in
# target/python, a Python with matplotlib, jinja2, jsonschema and the clients of OpenAI, Ollama and Anthropic; in
# target/json-schema-test-suite the JSON Schema Test Suite. PoCL, qemu, adb and the like have scripts of their own.
#
# usage: scripts/install_test_tools.sh; export PATH="$PWD/target/python/bin:$PATH"
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="tests of the page of results, of the bridge to Kotlin, of the server, and of the scripts"
source scripts/skip.source

PACKAGES=()
command -v chromium >/dev/null || PACKAGES+=(chromium)
compgen -G "/usr/lib/jvm/*/include/jni.h" >/dev/null || PACKAGES+=(default-jdk-headless)
test ${#PACKAGES[@]} -eq 0 || (install_or_skip "${PACKAGES[@]}")

if ! target/python/bin/python -c "import anthropic, instructor, jinja2, jsonschema, matplotlib, ollama, openai" 2>/dev/null; then
    mkdir -p target
    {
        python3 -m venv target/python &&
            target/python/bin/pip -q install anthropic instructor jinja2 jsonschema matplotlib ollama openai
    } >&2 || skip "pip cannot install what they use"
fi

# The source of the package jsonschema has the JSON Schema Test Suite in it.
SUITE=target/json-schema-test-suite
if ! test -d "$SUITE/json/tests"; then
    mkdir -p "$SUITE"
    {
        target/python/bin/pip -q download --no-deps --no-binary jsonschema --dest "$SUITE" jsonschema==4.26.0 &&
            tar -xzf "$SUITE/jsonschema-4.26.0.tar.gz" -C "$SUITE" --strip-components=1 jsonschema-4.26.0/json &&
            rm "$SUITE/jsonschema-4.26.0.tar.gz"
    } >&2 || skip "pip cannot download the JSON Schema Test Suite"
fi
