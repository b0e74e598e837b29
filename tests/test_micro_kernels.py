"""The micro-kernels' machine code: their inner loops keep the accumulators in registers.

A compiler that runs out of registers stores some to the stack and loads them again for every k,
which costs a third of the speed and changes no result.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import ufuse as uf
from conftest import NATIVE
from contraction_cases import kernels

pytestmark = [
    pytest.mark.skipif(not NATIVE, reason="the reference executor has no machine code"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="no objdump here"),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc/self/maps here"),
]

_LONGEST = 16384  # bytes looked through for a kernel's end


@dataclass(frozen=True)
class Instruction:
    address: int
    name: str
    operands: str

    @property
    def target(self) -> int | None:
        """Where it jumps to."""
        found = re.match(r"([0-9a-f]+)\b", self.operands)
        return int(found[1], 16) if self.name.startswith("j") and found else None

    @property
    def moves_vectors_on_the_stack(self) -> bool:
        """Whether a vector register meets memory that the stack pointer or frame pointer names."""
        return bool(
            re.search(r"%[xyz]mm\d", self.operands) and re.search(r"\(%r[sb]p", self.operands)
        )


def mapping(address: int) -> tuple[Path, int]:
    """Return the file that is mapped at an address, and where in it the address lies."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, _, _, *name = line.split(maxsplit=5)
        first, last = (int(x, 16) for x in span.split("-"))
        if first <= address < last and name:
            return Path(name[0]), address - first + int(offset, 16)
    raise AssertionError(f"nothing is mapped at {address:#x}")


def segments(library: Path) -> list[tuple[int, int, int]]:
    """Return place in the file, address and length of what a library loads."""
    listing = subprocess.run(
        ["objdump", "-p", str(library)], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(
        r"LOAD off\s+0x([0-9a-f]+) vaddr 0x([0-9a-f]+).*\n\s+filesz 0x([0-9a-f]+)", listing
    )
    return [(int(a, 16), int(b, 16), int(c, 16)) for a, b, c in found]


def disassembled(address: int) -> list[Instruction]:
    """Return a function's instructions, up to its last return or jump back."""
    library, place = mapping(address)
    begin = next(
        place - offset + where
        for offset, where, length in segments(library)
        if offset <= place < offset + length
    )
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--start-address={begin:#x}",
         f"--stop-address={begin + _LONGEST:#x}", str(library)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    result: list[Instruction] = []
    furthest = begin
    for line in listing.splitlines():
        found = re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)", line)
        if not found:
            continue
        result.append(Instruction(int(found[1], 16), found[2], found[3]))
        furthest = max(furthest, result[-1].target or 0)
        if found[2].startswith(("ret", "jmp")) and furthest <= result[-1].address:
            return result  # no jump goes past it
    raise AssertionError(f"no return within {_LONGEST} bytes of {begin:#x} in {library}")


def inner_loops(code: list[Instruction]) -> list[list[Instruction]]:
    """Return what lies between each backward jump and its target, but for loops around others."""
    loops = [
        [x for x in code if jump.target <= x.address <= jump.address]
        for jump in code
        if jump.target is not None and code[0].address <= jump.target <= jump.address
    ]
    return [
        loop
        for loop in loops
        if not any(
            other is not loop
            and loop[0].address <= other[0].address
            and other[-1].address <= loop[-1].address
            for other in loops
        )
    ]


KINDS = ("packed", "A in place", "careful")
#: What spills, and on which tiers it may.
EXCEPTED = {
    # exp and log have more constants than there are registers beside 4 accumulators.
    "logaddexp_plus.f4": ("v2", "v3", "v4", "v4x", "v4a"),
    "logaddexp_plus.f8": ("v2", "v3", "v4", "v4x", "v4a"),
    # Without vpmullq a product of 64 bits takes 6 instructions and 3 registers: 2 of 80 spill.
    "max_times.i8": ("v2", "v3"),
}


def test_inner_loops_do_not_touch_the_stack(tier: str) -> None:
    """Of every element and semiring, with positions and without, packed, in place and careful."""
    seen, spilled = set(), []
    for code, row in kernels().items():
        for kind, address in zip(KINDS, row["micro_kernels"], strict=True):
            if address == 0 or address in seen or tier in EXCEPTED.get(code, ()):
                continue
            seen.add(address)
            loops = inner_loops(disassembled(address))
            products = [
                loop for loop in loops if any(re.search(r"%[txyz]mm", x.operands) for x in loop)
            ]
            assert products, f"{tier} {code} {kind}: no loop over k found"
            for loop in products:
                moves = [x for x in loop if x.moves_vectors_on_the_stack]
                if moves:
                    first = moves[0]
                    spilled.append(
                        f"{code}, {kind}: {len(moves)} of {len(loop)} instructions, such as "
                        f"{first.name} {first.operands}"
                    )
    assert len(seen) > 60
    assert not spilled, f"tier {tier}:\n" + "\n".join(spilled)


def test_the_loop_that_is_found_is_the_one_that_multiplies(tier: str) -> None:
    """As many multiply-adds of float32 as accumulators: the loop is not unrolled, nor another."""
    if tier == "v2":
        pytest.skip("it has no fused multiply-add to count")
    row = kernels()["f4"]
    (loop,) = [
        loop
        for loop in inner_loops(disassembled(row["micro_kernels"][0]))
        if any("fmadd" in x.name for x in loop)
    ]
    assert sum("fmadd" in x.name for x in loop) == row["mr"] * row["nr"] // row["lanes"]


def test_a_spill_is_seen() -> None:
    """What the tests look for, on lines as objdump writes them."""
    for operands, spill in (
        ("0x40(%rsp),%zmm3", True),
        ("%ymm1,-0x60(%rbp)", True),
        ("(%rsp,%rax,4),%xmm0,%xmm1", True),
        ("0x40(%rsi),%zmm3", False),
        ("%rax,0x8(%rsp)", False),
        ("%zmm0,%zmm1,%zmm2", False),
    ):
        assert Instruction(0, "vmovaps", operands).moves_vectors_on_the_stack == spill
    code = [
        Instruction(a, n, o)
        for a, n, o in (
            (0, "mov", ""), (4, "vaddps", "%xmm0"), (8, "jne", "4 <f>"), (12, "jne", "0 <f>"),
        )
    ]  # fmt: skip
    (loop,) = inner_loops(code)
    assert [x.address for x in loop] == [4, 8]


def test_block_sizes_are_whole_tiles(tier: str) -> None:
    """What the loops around the micro-kernels assume, and `block_sizes` of the tests with them."""
    for code, row in kernels().items():
        assert row["nr"] % row["lanes"] == 0, code
        assert row["kc"] % row["group"] == 0 and row["kc"] % 16 == 0, code
        assert row["mc"] >= row["mr"] and row["nc"] >= row["nr"], code
    x = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(uf.matmul(x, x), np.full((2, 2), 2))
