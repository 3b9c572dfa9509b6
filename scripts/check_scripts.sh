#!/usr/bin/env bash
# All scripts under shellcheck and ruff, and those of the pages under node. What is not installed is installed, ruff within target/, or skipped with a line.
#
# usage: scripts/check_scripts.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="a check of the scripts"
source scripts/skip.source

RUFF=0.17.6
HOME_OF_RUFF=target/ruff

command -v shellcheck >/dev/null || (install_or_skip shellcheck)
if command -v shellcheck >/dev/null; then
    shellcheck --shell=bash android.source scripts/*.source
    shellcheck --external-sources .ci/run scripts/*.sh tests/fixtures/adb/*
    echo "shellcheck: no finding"
fi

if command -v node >/dev/null; then
    node --check scripts/results_page/page.js
    # The parts of one script.
    cat src/server/page/*.js | node --input-type=module --check -
else
    (skip "there is no node to parse the scripts of the pages")
fi

# A ruff of another version may find other things.
ruff=ruff
if test "$(ruff --version 2>/dev/null)" != "ruff $RUFF"; then
    ruff="$HOME_OF_RUFF/bin/ruff"
    if test "$("$ruff" --version 2>/dev/null)" != "ruff $RUFF"; then
        { python3 -m venv "$HOME_OF_RUFF" && "$HOME_OF_RUFF/bin/pip" -q install "ruff==$RUFF"; } >&2 || ruff=
    fi
fi
if test -n "$ruff"; then
    "$ruff" check --no-cache .
else
    (skip "ruff $RUFF is not installed, and pip cannot install it")
fi
