#!/usr/bin/env bash
# Type-checks and lints every line for arm64 Android, OpenCL included. Needs no NDK: the standard library is that of
# the compiler, if it has one for the target, or is checked from its source.
#
# usage: scripts/check_android.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="the check for Android"
source scripts/skip.source

# What newer clippys find is printed, and is no error.
LINTED=1.96

source scripts/android_std.source || skip "$ANDROID_STD_WHY"

strict=()
version="$("$RUSTC" --version | cut -d' ' -f2)"
newest="$(printf '%s\n' "$version" "$LINTED.999" | sort -V | tail -n 1)"
if test "$newest" = "$LINTED.999"; then strict=(-- -D warnings); fi
"${CLIPPY[@]}" --locked ${BUILD_STD[@]+"${BUILD_STD[@]}"} --target "$ANDROID_TARGET" --lib --bins ${strict[@]+"${strict[@]}"}
printf '%s: checked with rustc %s\n' "$ANDROID_TARGET" "$version"
