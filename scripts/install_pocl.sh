#!/usr/bin/env bash
# Installs PoCL, an OpenCL driver for the CPU, where no OpenCL device is known: so that the tests of the OpenCL backend
# have one. Where it cannot be installed the tests skip, and say so.
#
# usage: scripts/install_pocl.sh
set -euo pipefail

skip() {
    printf 'skipped: an OpenCL device for the tests: %s\n' "$1" >&2
    exit 0
}

# The loader looks for drivers in this directory.
if compgen -G "/etc/OpenCL/vendors/*.icd" >/dev/null && ldconfig -p | grep -q 'libOpenCL\.so\.1'; then
    exit 0
fi
command -v apt-get >/dev/null || skip "no apt-get here to install pocl-opencl-icd"
test "$(id -u)" = 0 || skip "not root, so that pocl-opencl-icd cannot be installed"
if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y pocl-opencl-icd; } >&2; then
    skip "apt-get cannot install pocl-opencl-icd"
fi
