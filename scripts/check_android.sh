#!/usr/bin/env bash
# Type-checks and lints every line for arm64 Android, OpenCL included. Needs no NDK: the standard library is that of
# the compiler, if it has one for the target, or is checked from its source.
#
# usage: scripts/check_android.sh
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=aarch64-linux-android
# Debian's compiler with its library's source and its clippy, for machines whose own compiler lacks the source.
DEBIAN=(rust-web rust-web-src rust-web-clippy)
# What newer clippys find is printed, and is no error.
LINTED=1.96

skip() {
    printf 'skipped: the check for Android: %s\n' "$1" >&2
    exit 0
}

has_std() { test -d "$("$1" --print target-libdir --target "$TARGET" 2>/dev/null || echo /nonexistent)"; }
has_source() { test -f "$("$1" --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml"; }

lint=(cargo clippy)
compiler=rustc
build_std=()
if ! has_std rustc; then
    build_std=("-Zbuild-std=std,panic_abort")
    if ! has_source rustc; then
        compiler=/usr/bin/rustc
        lint=(/usr/bin/cargo-clippy clippy)
        if ! test -x "$compiler" || ! has_source "$compiler" || ! test -x "${lint[0]}"; then
            command -v apt-get >/dev/null || skip "no apt-get here to install ${DEBIAN[*]}"
            test "$(id -u)" = 0 || skip "not root, so that ${DEBIAN[*]} cannot be installed"
            if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
                --no-install-recommends "${DEBIAN[@]}"; } >&2; then
                skip "apt-get cannot install ${DEBIAN[*]}"
            fi
        fi
    fi
    # Building the standard library is an option that stable compilers keep to themselves otherwise.
    export RUSTC_BOOTSTRAP=1
fi

export RUSTC="$compiler"
export CARGO_TARGET_DIR=target/android

strict=()
version="$("$compiler" --version | cut -d' ' -f2)"
newest="$(printf '%s\n' "$version" "$LINTED.999" | sort -V | tail -n 1)"
if test "$newest" = "$LINTED.999"; then strict=(-- -D warnings); fi
"${lint[@]}" --locked ${build_std[@]+"${build_std[@]}"} --target "$TARGET" --lib --bins ${strict[@]+"${strict[@]}"}
printf '%s: checked with rustc %s\n' "$TARGET" "$version"
