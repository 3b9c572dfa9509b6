#!/usr/bin/env python3
"""Write the sets of vectors that the formats IQ1 to IQ3 of ggml choose from.

A set has a bit for each vector that there is, and vectors are in the order of the numbers that their elements are the digits
of, the first one the least. That is the order in which ggml's tables have them, which this script makes sure of.

needs: numpy, gguf (PyPI).
usage: make_iq_grids.py [OUT.bin]
"""

import argparse
import pathlib

import needed

try:
    import numpy as np
    from gguf import quants
except ImportError as missing:
    np = quants = needed.for_work(missing, "pip install numpy gguf")

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/quant/read_only/grids.bin"
# In the order in which src/quant/read_only/grids.rs has them.
FORMATS = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ3_XXS", "IQ3_S")


def bits(kind: type) -> bytes:
    """The set of a format."""
    kind.init_grid()
    digits = {float(value): digit for digit, value in enumerate(kind.grid_map)}
    base, length = len(digits), kind.grid_shape[1]
    vectors = kind.grid.reshape(kind.grid_shape)
    numbers = [sum(digits[float(v)] * base**i for i, v in enumerate(vector)) for vector in vectors]
    if numbers != sorted(set(numbers)):
        raise SystemExit(f"{kind.__name__}: the vectors are not in order")
    there = np.zeros(base**length, dtype=np.uint8)
    there[numbers] = 1
    return np.packbits(there, bitorder="little").tobytes()


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=OUT)
    out = parser.parse_args().out
    out.write_bytes(b"".join(bits(getattr(quants, name)) for name in FORMATS))
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
