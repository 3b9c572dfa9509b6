#!/usr/bin/env bash
# The thread pool's protocol under Loom: every order of its threads' steps, for small uses (tests/pool_model). Then the same
# uses under Miri, where that is installed (rustup +nightly component add miri). Takes some minutes: run it at night, and
# whenever src/backend/cpu/pool.rs changes.
#
# usage: scripts/check_pool.sh [PART OF A MODEL'S NAME]
set -euo pipefail
cd "$(dirname "$0")/../tests/pool_model"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/pool_model"

cargo run --quiet --locked -- "${1:-}"
if cargo +nightly miri --version >/dev/null 2>&1; then
    cargo +nightly miri run --quiet --locked --features plain -- "${1:-}"
else
    echo "skipped: Miri is not installed"
fi
