"""Every op in every arithmetic, over generated shapes and scales, against the references."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import FAMILIES
from grid import ZIG, Case, build, difference, expected, run_program

CHUNKS = range(2)
SLOW_CHUNKS = (*range(2, 4), *range(1000, 1030))
PER_FAMILY = 4  # in each chunk


def drawn(chunk: int, per_family: int = PER_FAMILY) -> list[Case]:
    return [
        make(np.random.default_rng([chunk, k, *name.encode()]))
        for name, make in FAMILIES.items()
        for k in range(per_family)
    ]


def check(cases: list[Case], folder: Path) -> None:
    library = build(cases, folder)
    errors = [
        difference(case, library.run(k, case.samples, case.runs), expected(case))
        for k, case in enumerate(cases)
    ]
    wrong = [error for error in errors if error]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize(
    "chunk", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in CHUNKS[1:])]
)
def test_generated_models_equal_the_references(chunk: int, tmp_path: Path) -> None:
    check(drawn(chunk), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", SLOW_CHUNKS)
def test_many_generated_models_equal_the_references(chunk: int, tmp_path: Path) -> None:
    check(drawn(chunk), tmp_path)


def check_program(cases: list[Case], folder: Path, *compiler: str) -> None:
    results = run_program(cases, folder, compiler)
    errors = [
        difference(case, found, expected(case)) for case, found in zip(cases, results, strict=True)
    ]
    assert not any(errors), [error for error in errors if error][:20]


@pytest.mark.slow
def test_no_operation_is_undefined(tmp_path: Path) -> None:
    """Zig's sanitizer ends the program at the first overflow, wild shift or misaligned access."""
    check_program(drawn(7, 1), tmp_path, *ZIG, "-fsanitize=undefined", "-fsanitize-trap=undefined")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
@pytest.mark.slow
def test_the_sanitizers_are_silent(tmp_path: Path) -> None:
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    check_program(drawn(8, 1), tmp_path, "gcc", "-std=c99", "-O1", "-g", *sanitizers)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
@pytest.mark.parametrize("chunk", range(10))
def test_the_sanitizers_are_silent_for_long(chunk: int, tmp_path: Path) -> None:
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    check_program(drawn(2000 + chunk), tmp_path, "gcc", "-std=c99", "-O1", "-g", *sanitizers)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC")
@pytest.mark.parametrize(
    "level", ["-O1", *(pytest.param(n, marks=pytest.mark.slow) for n in ("-O2", "-O3", "-Os"))]
)
def test_gcc_leaves_no_step_out(level: str, tmp_path: Path) -> None:
    """Of numbers that become wider or narrower, GCC 12 would leave some out."""
    kinds = ("cast_", "quantize_", "softmax_")
    cases = [
        make(np.random.default_rng([9, 0, *name.encode()]))
        for name, make in FAMILIES.items()
        if name.startswith(kinds)
    ]
    check_program(cases, tmp_path, "gcc", "-std=c99", level)


def test_the_same_seed_draws_the_same_models() -> None:
    assert [c.label for c in drawn(0)] == [c.label for c in drawn(0)]
