#!/usr/bin/env bash
# Installs what the tests of the OpenCL backend can use: PoCL, an OpenCL driver for the CPU, where no driver is known;
# and oclgrind, for scripts/oclgrind.sh. What cannot be installed is skipped, and so are the tests that need it.
#
# usage: scripts/install_pocl.sh
set -euo pipefail

PACKAGES=()
# The loader looks for drivers in this directory.
if ! compgen -G "/etc/OpenCL/vendors/*.icd" >/dev/null || ! ldconfig -p | grep -q 'libOpenCL\.so\.1'; then
    PACKAGES+=(pocl-opencl-icd)
fi
command -v oclgrind >/dev/null || PACKAGES+=(oclgrind)
test ${#PACKAGES[@]} -gt 0 || exit 0

skip() {
    printf 'skipped: %s: %s\n' "${PACKAGES[*]}" "$1" >&2
    exit 0
}

command -v apt-get >/dev/null || skip "no apt-get here"
test "$(id -u)" = 0 || skip "not root"
apt-get -q update >&2 || skip "apt-get update fails"
DEBIAN_FRONTEND=noninteractive apt-get -q install -y "${PACKAGES[@]}" >&2 || skip "apt-get cannot install them"
