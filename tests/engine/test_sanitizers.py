"""Whatever computes a layer, it stays in its arrays, and its C has a defined meaning."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grid import Case, difference, expected, run_program
from test_variants import (
    BLOCKED,
    FILTERED,
    LINED,
    MULTIPLIED,
    PAIRED,
    STRIPPED,
    Layer,
    samples,
)

from autotiny.engine import plain_schedule
from autotiny.engine.kernel import Site
from autotiny.engine.variants import VARIANTS
from autotiny.engine.variants.blocks import EXPANDED, Blocks
from autotiny.engine.variants.lines import Lines
from autotiny.engine.variants.pairs import Pairs
from autotiny.engine.variants.planes import Planes
from autotiny.engine.variants.row_pairs import RowPairs
from autotiny.engine.variants.slide import Slide
from autotiny.engine.variants.sparse import Sparse
from autotiny.engine.variants.strassen import Strassen
from autotiny.engine.variants.strip import Strip
from autotiny.engine.variants.trios import Trios
from autotiny.engine.variants.winograd import Winograd
from autotiny.schedule import Plain, Schedule, Way

LAYERS = dict.fromkeys((*BLOCKED, *FILTERED, *MULTIPLIED, *STRIPPED, *PAIRED, *LINED))
WAYS: tuple[Way, ...] = (
    Pairs(), Blocks(4, 2), Blocks(2, 4), EXPANDED, Planes(), Lines(), RowPairs(), Slide(), Slide(3),
    Sparse(), Strassen(8), Strip(2), Strip(6), Trios(3), Trios(6), Winograd(), Winograd(3),
)  # fmt: skip
GCC = ("gcc", "-std=c99", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def test_every_way_is_here() -> None:
    assert {type(way) for way in WAYS} | {Plain} == {variant.way for variant in VARIANTS}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])
def test_every_way_is_exact_and_the_sanitizers_silent(half: int, tmp_path: Path) -> None:
    cases = [case for layer in list(LAYERS)[half::2] for case in computed(layer)]
    assert {type(case.schedule.steps[0].kernel) for case in cases if case.schedule} == {
        type(way) for way in WAYS
    }
    found = run_program(cases, tmp_path, GCC)
    wrong = [difference(c, y, expected(c)) for c, y in zip(cases, found, strict=True)]
    assert not [text for text in wrong if text]


def computed(layer: Layer) -> Iterator[Case]:
    """A layer in every way that computes it."""
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    for way in WAYS:
        variant = next(variant for variant in VARIANTS if variant.way is type(way))
        site = Site(graph, step).by(way)
        if variant.why_not(site) is None:
            schedule = Schedule((replace(step, kernel=way),))
            yield Case(f"{layer} {way}", graph, (samples(graph)[2],), schedule=schedule)
