#!/usr/bin/env bash
# Runs the tests of the OpenCL kernels under oclgrind, which simulates a device and reports accesses beyond a buffer
# and races in local memory. Needs the package oclgrind.
#
# usage: scripts/oclgrind.sh [NAME OF A TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="the OpenCL kernels under oclgrind"
source scripts/skip.source

# Its `oclgrind-rt` has to be given as the OpenCL library: put in front of the system's loader it crashes.
LIBRARY=$(dpkg -L oclgrind 2>/dev/null | grep 'liboclgrind-rt\.so$' | head -n 1 || true)
if ! command -v oclgrind >/dev/null || test -z "$LIBRARY"; then
    skip "oclgrind is not installed (apt-get install oclgrind)"
fi

TESTS=("$@")
if test ${#TESTS[@]} -eq 0; then
    TESTS=(backend::opencl::tests::operations::small_shapes)
fi
cargo test --locked --features server --lib --no-run
PROGRAM=$(cargo test --locked --features server --lib --no-run --message-format=json 2>/dev/null \
    | sed -n 's/.*"executable":"\([^"]*\/llm_rs2-[^"]*\)".*/\1/p' | head -n 1)
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
OPENCL_DYLIB_PATH="$LIBRARY" oclgrind --data-races --log "$LOG" \
    "$PROGRAM" --test-threads=1 --nocapture "${TESTS[@]}"
if test -s "$LOG"; then
    head -n 60 "$LOG" >&2
    printf 'error: oclgrind has found faults in the kernels\n' >&2
    exit 1
fi
printf 'oclgrind has found no fault\n'
