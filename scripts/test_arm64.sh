#!/usr/bin/env bash
# Builds the tests for 64-bit Arm Linux and runs them under qemu, as processors without dot products (Cortex-A53,
# A72), with them (A76), and with matrix products (max). On each: the kernels against the scalar truth, the hashes
# of logits that x86-64 has too, the whole models, and one text.
#
# usage: scripts/test_arm64.sh [QEMU_CPU...]
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=aarch64-unknown-linux-gnu
PACKAGES=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)

skip() {
    printf 'skipped: the arm64 tests: %s\n' "$1" >&2
    exit 0
}

has_std() {
    test -d "$("$1" --print target-libdir --target "$TARGET" 2>/dev/null || echo /nonexistent)"
}

# The compiler in use, if it has the target's library; or else Debian's, with Debian's library.
compiler=rustc
if ! has_std rustc; then
    compiler=/usr/bin/rustc
    PACKAGES+=(rustc-web libstd-rust-web-dev:arm64)
fi
if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64-static >/dev/null \
    || ! has_std "$compiler"; then
    command -v apt-get >/dev/null || skip "no apt-get here to install ${PACKAGES[*]}"
    test "$(id -u)" = 0 || skip "not root, so that ${PACKAGES[*]} cannot be installed"
    dpkg --add-architecture arm64
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y "${PACKAGES[@]}"; } >&2; then
        skip "apt-get cannot install ${PACKAGES[*]}"
    fi
fi

export RUSTC="$compiler"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_DIR=target/arm64
export PROPTEST_CASES="${PROPTEST_CASES:-8}"

# Runs cargo's subcommand $2 with the rest, its programs on processor $1. No `-L`: with it, threads hang.
on() {
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -cpu $1" \
        cargo "$2" --locked --quiet --target "$TARGET" "${@:3}"
}

cargo test --locked --no-run --target "$TARGET" --lib --test parity --test packed_bytes
cargo build --locked --target "$TARGET" --bin generate

cpus=("$@")
test $# -gt 0 || cpus=(cortex-a53 cortex-a72 cortex-a76 max)
first=
for cpu in "${cpus[@]}"; do
    printf '\n-- %s\n' "$cpu"
    text="$(on "$cpu" run --bin generate -- --prompt "Once upon a time" --temperature 0 -n 24 --weight-dtype q4_0)"
    printf '%s\n' "$text"
    test "${first:=$text}" = "$text" || { echo "error: $cpu tells another story than ${cpus[0]}" >&2; exit 1; }
    if test "$cpu" = "${cpus[-1]}"; then
        # What does not depend on the processor runs once.
        on "$cpu" test --lib --test parity --test packed_bytes
    else
        on "$cpu" test --lib -- backend::cpu
        on "$cpu" test --test parity -- bits
    fi
done
