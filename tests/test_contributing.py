"""CONTRIBUTING's walk, followed on a copy of the sources: a row, a functor, nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMPILER = shutil.which("c++") or shutil.which("g++")

CHECK = """
#include "program/kernels.hpp"
#include "ops/all.hpp"
namespace ops = ufuse::UFUSE_TIER::ops;
int main() { return ops::cube::apply(3.0f) == 27.0f ? 0 : 1; }
"""


def blocks(language: str) -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler on this machine")
def test_adding_an_operation_takes_two_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copytree(ROOT / "src/ufuse/catalogue", tmp_path / "catalogue")
    (row,), (functor,) = blocks("python"), blocks("cpp")
    operations = tmp_path / "catalogue/operations.py"
    head, tail = operations.read_text().split("\n)\n", 1)
    operations.write_text(f"{head}\n{row}\n)\n{tail}")
    header = tmp_path / "csrc/ops/arithmetic.hpp"
    header.write_text(
        header.read_text().replace("}  // namespace ops", functor + "}  // namespace ops")
    )

    generated = tmp_path / "generated"
    codegen = tmp_path / "catalogue/codegen.py"
    subprocess.run([sys.executable, str(codegen), str(generated)], check=True)
    table = (generated / "operations_basic.inc").read_text()
    assert "UFUSE_KERNEL(cube, F64, F64)" in table
    (tmp_path / "check.cpp").write_text(CHECK)
    flags = ["-std=c++20", "-O1", "-ffp-contract=off", f"-I{tmp_path / 'csrc'}", f"-I{generated}"]
    kernels = [COMPILER, *flags, "-fsyntax-only", str(tmp_path / "csrc/program/kernels.cpp")]
    subprocess.run(kernels, check=True)
    program = str(tmp_path / "check")
    subprocess.run([COMPILER, *flags, str(tmp_path / "check.cpp"), "-o", program], check=True)
    assert subprocess.run([program], check=False).returncode == 0
