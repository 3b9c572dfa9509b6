#!/usr/bin/env python3
"""Write blocks as ggml's own reference code quantizes them, to compare ours with byte for byte.

The values, the bytes of each format and the values read back from them go to tests/fixtures/ggml_blocks.json. Of the
formats that are only read, which `gguf` does not write, random bytes and their values.

needs: numpy, gguf (PyPI; its `gguf.quants` is checked against ggml by its authors).
usage: make_ggml_blocks.py [OUT.json]
"""

import argparse
import json
import pathlib

import needed

try:
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
except ImportError as missing:
    np = GGML_QUANT_SIZES = GGMLQuantizationType = quants = needed.for_work(missing, "pip install numpy gguf")

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/ggml_blocks.json"
FORMATS = {
    "q4_0": GGMLQuantizationType.Q4_0,
    "q4_1": GGMLQuantizationType.Q4_1,
    "q8_0": GGMLQuantizationType.Q8_0,
}
# Where the factors of a block are, from its start or its end.
FACTORS = {"q2_k": (-4, -2), "q3_k": (-2,), "q6_k": (-2,), "q5_0": (0,), "iq4_nl": (0,), "iq4_xs": (0,)}
READ = {
    "q5_0": GGMLQuantizationType.Q5_0,
    "q5_1": GGMLQuantizationType.Q5_1,
    "iq4_nl": GGMLQuantizationType.IQ4_NL,
    "q2_k": GGMLQuantizationType.Q2_K,
    "q3_k": GGMLQuantizationType.Q3_K,
    "iq4_xs": GGMLQuantizationType.IQ4_XS,
    "q4_k": GGMLQuantizationType.Q4_K,
    "q5_k": GGMLQuantizationType.Q5_K,
    "q6_k": GGMLQuantizationType.Q6_K,
}


def make_values() -> np.ndarray:
    """Blocks of 32: Gaussian, heavy-tailed, one-sided, constant, tiny, huge and zero ones."""
    rng = np.random.default_rng(5)
    rows = [rng.standard_normal(32) * scale for scale in (1, 0.02, 30)]
    rows += [rng.laplace(size=32), rng.uniform(2, 3, 32), -rng.uniform(0, 1, 32), np.full(32, 0.7)]
    rows += [rng.standard_normal(32) * 1e-6, rng.standard_normal(32) * 2e4, np.zeros(32)]
    return np.array(rows, dtype=np.float32)


def random_blocks(name: str, kind: GGMLQuantizationType) -> np.ndarray:
    """Two blocks of random bytes, with factors that are finite and not tiny."""
    _, size = GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(int(kind))
    blocks = rng.integers(0, 256, (2, size), dtype=np.uint8)
    # Exponents as of numbers from 2**-6 to 2**-3.
    for at in FACTORS.get(name, (0, 2)):
        at %= size
        blocks[:, at + 1] = (blocks[:, at + 1] & 0x83) | rng.integers(9, 12, 2, dtype=np.uint8) << 2
    return blocks


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=FIXTURE)
    out = parser.parse_args().out
    values = make_values()
    result = {"values": [[float(v) for v in row] for row in values]}
    for name, kind in FORMATS.items():
        blocks = quants.quantize(values, kind)
        back = quants.dequantize(blocks, kind)
        result[name] = {
            "bytes": [bytes(row).hex() for row in blocks],
            "values": [[float(v) for v in row] for row in back],
        }
    for name, kind in READ.items():
        blocks = random_blocks(name, kind)
        back = quants.dequantize(blocks, kind)
        result[name] = {
            "bytes": [bytes(row).hex() for row in blocks],
            "values": [[float(v) for v in row] for row in back],
        }
    out.write_text(json.dumps(result) + "\n")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
