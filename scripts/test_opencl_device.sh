#!/usr/bin/env bash
# Runs the tests of the OpenCL backend on a device of this machine: those of its kernels, whole models against Hugging
# Face's numbers and against the reference, the programs, and every operation by test_backend.
#
# usage: scripts/test_opencl_device.sh
#
# The device is the one that --backend opencl takes. The driver is chosen as usual: OPENCL_DYLIB_PATH names a library,
# OCL_ICD_VENDORS a directory with drivers for the usual loader.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run --quiet --locked --bin generate -- --list-devices
cargo test --locked --lib opencl
cargo test --locked --test it parity::opencl
cargo test --locked --test it cli::opencl
cargo run --quiet --locked --bin test_backend -- --backend cpu,opencl
