#!/usr/bin/env bash
# Builds the tests for 64-bit Arm Linux, static as scripts/arm64.source makes them, and runs them under qemu, as
# a processor without dot products (Cortex-A53), with them (A76), and with matrix products (max). On each: the
# kernels against the scalar reference, the hashes of logits that x86-64 has too, and one text, which has to equal the text
# of this machine; on the last also the other numeric layers, and quantized models. With --all, on the last also what depends
# on the processor by those alone, or on the system: whole runs of the engine, memory, and programs as processes (half an
# hour more). What reads text and files is the same on every processor, and is tested on this machine's.
#
# usage: scripts/test_arm64.sh [--all] [QEMU_CPU...]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="the arm64 tests"
source scripts/skip.source

PACKAGES=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static rustc-web libstd-rust-web-dev:arm64)

# Where this system starts arm64 programs like its own, for the tests that start some.
NAMESPACES=(unshare --user --map-root-user --pid --mount --fork --kill-child --mount-proc)

# Within them, with processor $2: the rest of the arguments are the command.
if test "${1:-}" = --inside; then
    source scripts/binfmt_arm64.source
    start_arm64_programs || exit 1
    exec env QEMU_CPU="$2" PROPTEST_CASES=8 "${@:3}"
fi

all=0
if test "${1:-}" = --all; then all=1 && shift; fi

story=(--prompt "Once upon a time" --temperature 0 -n 24 --weight-dtype q4_0 --pure)
# The program as the tests have it, with the server: by itself it would be compiled again, since what only tests need changes
# features of what both need.
cargo test --locked --quiet --no-run --features server --test it
here="$("${CARGO_TARGET_DIR:-target}/debug/generate" "${story[@]}")"

# The compiler in use, if it has the target's library; or else Debian's, with Debian's library.
if ! command -v qemu-aarch64-static >/dev/null || ! source scripts/arm64.source; then
    command -v apt-get >/dev/null || skip "no apt-get here to install ${PACKAGES[*]}"
    test "$(id -u)" = 0 || skip "not root, so that ${PACKAGES[*]} cannot be installed"
    dpkg --add-architecture arm64
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y "${PACKAGES[@]}"; } >&2; then
        skip "apt-get cannot install ${PACKAGES[*]}"
    fi
    source scripts/arm64.source
fi
TARGET="$ARM64_TARGET"

export CARGO_TARGET_DIR=target/arm64
export PROPTEST_CASES="${PROPTEST_CASES:-8}"
# Programs under qemu find no OpenCL driver, browser or compiler; this machine's own tests need them all.
required="${LLM_RS2_REQUIRE:-0}"
export LLM_RS2_REQUIRE=0

# Runs cargo's subcommand $2 with the rest, its programs on processor $1. No `-L`: with it, threads hang.
on() {
    local runner="CARGO_TARGET_${TARGET//-/_}_RUNNER"
    env "${runner^^}=qemu-aarch64-static -cpu $1" cargo "$2" --locked --quiet --target "$TARGET" "${@:3}"
}

# Of the library, and of its tests from outside.
LIBRARY=(backend:: core:: quant::)
OUTSIDE=(packed_bytes:: parity::bits parity::quantized)
# With --all, and of these those that start programs.
MORE=(kv:: models::llama:: sampling::)
MORE_OUTSIDE=(engine:: hybrid:: sessions::)
STARTERS=(capi:: cli::session:: cli::text:: run_android::)

tests=(--lib --test it)
test "$all" = 0 || tests+=(--test memory)
cargo test --locked --no-run --target "$TARGET" "${tests[@]}"

cpus=("$@")
test $# -gt 0 || cpus=(cortex-a53 cortex-a76 max)
for cpu in "${cpus[@]}"; do
    printf '\n-- %s\n' "$cpu"
    text="$(qemu-aarch64-static -cpu "$cpu" "$CARGO_TARGET_DIR/$TARGET/debug/generate" "${story[@]}")"
    printf '%s\n' "$text"
    if test "$text" != "$here"; then
        printf 'error: the text of this machine differs from that of %s:\n%s\n' "$cpu" "$here" >&2
        exit 1
    fi
    if test "$cpu" != "${cpus[-1]}"; then
        # What depends on the processor.
        on "$cpu" test --lib -- backend::cpu
        on "$cpu" test --test it -- parity::bits
        continue
    fi
    on "$cpu" test --lib -- "${LIBRARY[@]}"
    on "$cpu" test --test it -- "${OUTSIDE[@]}"
    test "$all" = 1 || continue
    on "$cpu" test --lib -- "${MORE[@]}"
    if "${NAMESPACES[@]}" scripts/test_arm64.sh --inside "$cpu" true 2>/dev/null; then
        inside() { "${NAMESPACES[@]}" scripts/test_arm64.sh --inside "$cpu" cargo test --locked --quiet --target "$TARGET" "$@"; }
        # One at a time: a child that forks off a program with several threads can hang in qemu.
        inside --test it -- "${STARTERS[@]}" --test-threads 1
        inside --test it -- "${MORE_OUTSIDE[@]}"
        inside --test memory
    else
        LLM_RS2_REQUIRE="$required" skip "tests that start programs: this system has no namespaces with binfmt_misc"
    fi
done
