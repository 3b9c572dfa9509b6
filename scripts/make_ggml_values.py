#!/usr/bin/env python3
"""Write blocks of every quantized type of ggml with the values that ggml gives them, to compare ours with, bit by bit.

For each type seven blocks, then their values: random bytes, and bytes that are extreme (all zeros, all ones, alternating bits)
under factors that are: 0, the largest and the least f16, negative ones, subnormal ones. None of the values is NaN or infinite.

needs: numpy, gguf (PyPI; its `gguf.quants` is checked against ggml by its authors. Types that it does not read are computed
here as ggml-quants.c has them).
usage: make_ggml_values.py [OUT.bin]
"""

import argparse
import pathlib

import needed

try:
    import numpy as np
    from gguf import GGMLQuantizationType, quants
except ImportError as missing:
    np = GGMLQuantizationType = quants = needed.for_work(missing, "pip install numpy gguf")

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/ggml_values.bin"
BLOCKS = 7
# Elements and bytes of a block, and where its f16 factors are.
TYPES = {
    "Q4_0": (32, 18, (0,)),
    "Q4_1": (32, 20, (0, 2)),
    "Q5_0": (32, 22, (0,)),
    "Q5_1": (32, 24, (0, 2)),
    "Q8_0": (32, 34, (0,)),
    "IQ4_NL": (32, 18, (0,)),
    "MXFP4": (32, 17, ()),
    "Q2_K": (256, 84, (80, 82)),
    "Q3_K": (256, 110, (108,)),
    "Q4_K": (256, 144, (0, 2)),
    "Q5_K": (256, 176, (0, 2)),
    "Q6_K": (256, 210, (208,)),
    "IQ4_XS": (256, 136, (0,)),
    "TQ1_0": (256, 54, (52,)),
    "TQ2_0": (256, 66, (64,)),
    "IQ1_S": (256, 50, (0,)),
    "IQ1_M": (256, 56, ()),
    "IQ2_XXS": (256, 66, (0,)),
    "IQ2_XS": (256, 74, (0,)),
    "IQ2_S": (256, 82, (0,)),
    "IQ3_XXS": (256, 98, (0,)),
    "IQ3_S": (256, 110, (0,)),
    "NVFP4": (64, 36, ()),
    "Q1_0": (128, 18, (0,)),
    "Q2_0": (64, 18, (0,)),
    "Q8_K": (256, 292, ()),
}
# Bits of the factors of each block: usual ones, the largest, the least, the largest negative one, subnormal ones, 0.
FACTORS = (0x2A37, 0x1D55, 0x7BFF, 0x0001, 0xFBFF, 0x83FF, 0x0000)


def codes(size: int, rng: "np.random.Generator") -> "np.ndarray":
    """The blocks without their factors."""
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    blocks[2], blocks[3], blocks[4], blocks[6] = 0xFF, 0xFF, 0x55, 0
    return blocks


def put_factors(name: str, blocks: "np.ndarray", places: tuple[int, ...]) -> None:
    """Gives each block its factors."""
    for block, bits in zip(blocks, FACTORS, strict=True):
        value = np.uint16(bits)
        for place in places:
            block[place : place + 2] = np.frombuffer(value.tobytes(), dtype=np.uint8)
        if name == "IQ1_M":
            for word in range(4):
                at = 48 + 2 * word + 1
                block[at] = block[at] & 0x0F | (bits >> (4 * word) & 15) << 4
        if name == "Q8_K":
            factor = np.frombuffer(value.tobytes(), dtype=np.float16).astype(np.float32) * np.float32(1.1e30)
            block[:4] = np.frombuffer(factor.tobytes(), dtype=np.uint8)
    if name == "MXFP4":
        blocks[:, 0] = (120, 127, 252, 0, 1, 2, 0)
    if name == "NVFP4":
        blocks[:, :4] = rng_scales()


def rng_scales() -> "np.ndarray":
    """Scales of NVFP4: usual ones, the largest, what is 0, subnormal ones, and some with a sign."""
    rows = [(56, 57, 63, 48), (8, 7, 1, 0), (0x7E, 0x7E, 0x7E, 0x7E), (1, 1, 1, 1), (0x7F, 0x7F, 0, 0), (0x80, 0xFF, 0xFE, 0x81)]
    return np.array([*rows, (0, 0, 0, 0)], dtype=np.uint8)


def halves(blocks: "np.ndarray") -> "np.ndarray":
    """The factors of blocks that begin with one."""
    return blocks[:, :2].copy().view(np.float16).astype(np.float32)


def values(name: str, blocks: "np.ndarray") -> "np.ndarray":
    """What ggml reads in the blocks."""
    if name == "Q1_0":
        bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little")
        return np.where(bits == 1, halves(blocks), -halves(blocks))
    if name == "Q2_0":
        pairs = (blocks[:, 2:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
        return (pairs.reshape(len(blocks), 64).astype(np.float32) - 1) * halves(blocks)
    if name == "Q8_K":
        return blocks[:, :4].copy().view(np.float32) * blocks[:, 4:260].view(np.int8).astype(np.float32)
    return quants.dequantize(blocks, getattr(GGMLQuantizationType, name))


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=FIXTURE)
    out = parser.parse_args().out
    parts = []
    for number, (name, (length, size, places)) in enumerate(TYPES.items()):
        blocks = codes(size, np.random.default_rng(number))
        put_factors(name, blocks, places)
        read = values(name, blocks).astype("<f4")
        if read.shape != (BLOCKS, length) or not np.isfinite(read).all():
            raise SystemExit(f"{name}: {read.shape}, {np.isfinite(read).sum()} finite values")
        parts += [blocks.tobytes(), read.tobytes()]
    out.write_bytes(b"".join(parts))
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
