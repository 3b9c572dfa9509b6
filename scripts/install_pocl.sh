#!/usr/bin/env bash
# Installs what the tests of the OpenCL backend can use: PoCL, an OpenCL driver for the CPU, where no driver is known;
# and oclgrind, for scripts/oclgrind.sh. What cannot be installed is skipped, and so are the tests that need it.
#
# usage: scripts/install_pocl.sh
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="the OpenCL tests"
source scripts/skip.source

PACKAGES=()
# The loader looks for drivers in this directory.
if ! compgen -G "/etc/OpenCL/vendors/*.icd" >/dev/null || ! ldconfig -p | grep -q 'libOpenCL\.so\.1'; then
    PACKAGES+=(pocl-opencl-icd)
fi
command -v oclgrind >/dev/null || PACKAGES+=(oclgrind)
test ${#PACKAGES[@]} -gt 0 || exit 0

install_or_skip "${PACKAGES[@]}"
