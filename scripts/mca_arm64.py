#!/usr/bin/env python3
"""What llvm-mca expects of the arm64 kernels' inner loops, as a table.

usage: mca_arm64.py ASSEMBLY [--mca llvm-mca-19]

The assembly is that of the library, optimized as in a release:

    cargo rustc --lib --target aarch64-unknown-linux-gnu -- --emit asm \
        -C opt-level=3 -C codegen-units=1 -C debug-assertions=off -C overflow-checks=off
    scripts/mca_arm64.py target/aarch64-unknown-linux-gnu/debug/deps/llm_rs2-*.s

A line of the table is a kernel with a number of activation rows. For each processor: cycles for a block of 32
columns of a tile of 16 weight rows, for one activation row; then what its multiplications alone would take
(products, scales, multiply-adds); then these with the conversion of the integer sums. The loop counts as a whole,
with all loads, unpacking and bounds checks; caches and memory do not.
"""

import argparse
import re
import subprocess
from collections import Counter
from pathlib import Path

# LLVM has no model of its own for Cortex-A76 (it takes that of A57); Neoverse N1 is the same core for servers.
PROCESSORS = {"A55": "cortex-a55", "A76 (as N1)": "neoverse-n1", "X2": "cortex-x2"}
# Products of 16 weight rows' blocks with one activation row's block, by instruction.
PRODUCTS = {"sdot": 32, "smmla": 16}
MULTIPLICATIONS = {"sdot", "smmla", "fmul", "fmla", "fmls"}
CONVERSIONS = {"fadd", "fsub", "scvtf"}
BRANCH = re.compile(r"\s+(b|b\.\w+|cbn?z|tbn?z)\s+.*?(\.L\w+)$")
ROUNDS = 50


def kernels(text: str) -> dict[tuple[str, str], list[str]]:
    """Lines of the tile kernels, by instruction set and format."""
    found = {}
    for body in re.split(r"\n(?=[A-Za-z_][\w$.]*:)", text):
        name, lines = body.split(":", 1)[0], body.split(".Lfunc_end")[0].splitlines()
        isa = re.search(r"(dotprod|i8mm)_table", name)
        code = "\n".join(lines)
        if not isa or not re.search(r"\s(sdot|smmla)\s", code):
            continue
        nibbles = re.search(r"\sushr\s+v\d+\.16b", code)
        dtype = "q4_0" if re.search(r"\seor\s+v\d+\.16b", code) else "q4_1" if nibbles else "q8_0"
        found[isa.group(1), dtype] = lines
    return found


def loops(lines: list[str], product: str) -> list[list[str]]:
    """Instructions of the innermost loops with that product: a block of a group of rows each."""
    labels = {m.group(1): i for i, line in enumerate(lines) if (m := re.match(r"(\.L\w+):", line))}
    spans = {
        (labels[m.group(2)], i)
        for i, line in enumerate(lines)
        if (m := BRANCH.match(line)) and labels.get(m.group(2), i + 1) <= i
    }
    spans = {s for s in spans if any(re.match(rf"\s+{product}\s", x) for x in lines[s[0] : s[1]])}
    inner = [s for s in spans if not any(t != s and s[0] <= t[0] and t[1] <= s[1] for t in spans)]
    bodies = (lines[a : b + 1] for a, b in sorted(inner))
    return [[x for x in body if re.match(r"\s+[a-z]\w*(\.\w+)?(\s|$)", x)] for body in bodies]


def cycles(mca: str, cpu: str, code: list[str]) -> float:
    """Cycles of a round of `code`, branches taken as predicted."""
    code = [x for x in code if not BRANCH.match(x)]
    command = [mca, "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm", f"-iterations={ROUNDS}"]
    report = subprocess.run(command, input="\n".join(code), capture_output=True, text=True, check=True).stdout
    return int(re.search(r"Total Cycles:\s+(\d+)", report).group(1)) / ROUNDS


def alone(mca: str, cpu: str, code: list[str], kinds: set[str]) -> float:
    """Cycles of the instructions of some kinds with nothing to wait for."""
    free = []
    for line in code:
        name, *rest = line.split(None, 1)
        if name in kinds and re.match(r"v\d+\.", rest[0]):
            first, *others = rest[0].split(",")
            first = re.sub(r"v\d+", f"v{len(free) % 24}", first)
            others = [re.sub(r"v\d+", f"v{24 + i}", o) for i, o in enumerate(others)]
            free.append(f"\t{name}\t{','.join([first, *others])}")
    return cycles(mca, cpu, free)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("assembly", type=Path)
    arguments.add_argument("--mca", default="llvm-mca-19")
    options = arguments.parse_args()
    print("| kernel | rows | " + " | ".join(PROCESSORS) + " |")
    print("|---|---|" + "---|" * len(PROCESSORS))
    for (isa, dtype), lines in sorted(kernels(options.assembly.read_text()).items()):
        for product, each in PRODUCTS.items():
            for code in loops(lines, product):
                count = Counter(x.split()[0] for x in code)[product]
                # A loop has a quarter of a tile, or with one or two rows all of it.
                blocks = count / each
                rows = round(blocks if blocks <= 2 and product == "sdot" and few(code) else 4 * blocks)
                if rows not in (1, 12) or (isa == "i8mm" and product == "sdot"):
                    continue
                cells = []
                for cpu in PROCESSORS.values():
                    if product == "smmla" and cpu != "cortex-x2":
                        cells.append("")
                        continue
                    real = cycles(options.mca, cpu, code) / blocks
                    least = alone(options.mca, cpu, code, MULTIPLICATIONS) / blocks
                    arithmetic = alone(options.mca, cpu, code, MULTIPLICATIONS | CONVERSIONS) / blocks
                    cells.append(f"{real:.1f} / {least:.1f} / {arithmetic:.1f}")
                print(f"| {isa} {dtype} | {rows} | " + " | ".join(cells) + " |")


def few(code: list[str]) -> bool:
    """Whether the loop takes all four quarters of a tile, with their conversions of scales or minima."""
    return sum(x.split()[0] == "fcvtl" for x in code) >= 4


if __name__ == "__main__":
    main()
