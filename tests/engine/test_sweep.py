"""Sizes from 1 to 33 through every variant of the int8 kernels, bit for bit.

Tails are where packer and kernel may disagree: a size that fills its blocks says nothing of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grid import Case, Library, build, difference, expected
from test_coded import DECODES
from test_variants import CONV, DENSE, DEPTHWISE, Layer, on_core, samples

from autotiny.engine import generate, plain_schedule
from autotiny.engine.entropy import CODINGS
from autotiny.engine.variants.blocks import Blocks
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
from autotiny.errors import UnsupportedOp
from autotiny.firmware import build_host
from autotiny.graph import Graph
from autotiny.schedule import Code, Schedule, Weights

SIZES = range(1, 34)
ACTIVATIONS = ("RELU", "NONE", "RELU6")

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "blocks 4x2": {"kernel": Blocks(4, 2)},  # of one row of a dense layer: 1x8
    "blocks 2x4": {"kernel": Blocks(2, 4)},
    "pairs": {"kernel": Pairs()},
    "planes": {"kernel": Planes()},
    "lines": {"kernel": Lines()},
    "expanded": {"kernel": Blocks(2, 4, expanded=True)},
    "row pairs": {"kernel": RowPairs()},
    "winograd": {"kernel": Winograd()},
    "winograd 4": {"kernel": Winograd(4)},
    "strips of 2": {"kernel": Strip(2)},
    "strips of 32": {"kernel": Strip(32)},
    "slide": {"kernel": Slide()},
    "trios": {"kernel": Trios()},
    "strips of trios": {"kernel": Trios(24)},
    "strassen 8": {"kernel": Strassen(8)},
    "strassen 32": {"kernel": Strassen(32)},
    "in place": {"in_place": True},
    "in SRAM": {"kernel": Blocks(4, 2), "weights": Weights(memory="sram")},
    "strips in SRAM": {"kernel": Strip(4), "weights": Weights(memory="sram")},
    "lines in SRAM": {"kernel": Lines(), "weights": Weights(memory="sram")},
    "planes in SRAM": {"kernel": Planes(), "weights": Weights(memory="sram")},
    "sparse": {"kernel": Sparse()},
    **{
        f"{coding} by {decode}": {"weights": Weights(coding, decode)}
        for coding in CODINGS
        for decode in DECODES
    },
}
"""Every way in which a step can be computed, as what it changes of a plain one."""

CODES: Sequence[Code] = ("shared", "own", "fixed")

LEAST_CASES = 5
"""Of each variant, so that none is left out by a refusal that nobody sees."""


def layers() -> Iterator[Layer]:
    """Each size runs from 1 to 33 beside a few values of the others."""
    for n in SIZES:
        activation = ACTIVATIONS[n % 3]
        for depth in (4, 20, 36):
            yield Layer(DENSE, (1, 1, depth), n, activation=activation)
        yield Layer(DENSE, (4, 4, 36), n, activation="NONE", spread=120.0)  # cut in parts
        yield Layer(DENSE, (1, 1, n), 7, activation=activation)
        yield Layer(DENSE, (1, 1, 16), 7, activation=activation, rows=n)
        yield Layer(DENSE, (1, 1, 16), 4 * (n % 4 + 1), activation=activation, rows=n)
        yield Layer(CONV, (3, 3, 8), n, activation=activation)
        yield Layer(CONV, (2, 3, n), 6, activation=activation)
        yield Layer(CONV, (1, n, 16), 8, activation=activation)
        yield Layer(CONV, (n, 1, 12), 3, activation=activation)
        # Strassen's products: pixels fill eights, or all but one do.
        pixels, depth, outputs = 8 * (1 + n % 4) - n % 2, 16 * (1 + n % 3), 4 * (1 + n % 5)
        yield Layer(CONV, (1, pixels, depth), outputs, activation=activation)
        yield Layer(DENSE, (1, 1, depth), outputs, activation=activation, rows=pixels)
        yield Layer(CONV, (4, 5, 4), n, (3, 3), activation=activation)
        yield Layer(CONV, (4, 4, n), 4, (3, 3), activation=activation)
        yield Layer(CONV, (n, 5, 8), 4, (3, 3), activation=activation)
        yield Layer(CONV, (5, n, 16), 8, (3, 3), activation=activation)
        yield Layer(CONV, (5, 6, 1), n, (3, 3), activation=activation)
        yield Layer(CONV, (n, 4, 1), 3, (3, 3), 2, activation=activation)
        yield Layer(DEPTHWISE, (5, 4, n), n, (3, 3), activation=activation)
        yield Layer(DEPTHWISE, (n, 6, 4), 4, (3, 3), 2, activation=activation)
        yield Layer(DEPTHWISE, (4, n, 3), 3, (3, 3), activation=activation)
        yield Layer(DEPTHWISE, (n, 5, 3), 3, (5, 5), 1 + n % 2, activation=activation)
        yield Layer(DEPTHWISE, (33, 2, 3), 3, (n, 1), 1 + n // 2 % 2, activation=activation)


@dataclass(frozen=True)
class Computed:
    """A layer in one variant."""

    layer: Layer
    variant: str
    graph: Graph
    schedule: Schedule


def computed(layer: Layer) -> Iterator[Computed]:
    """A layer in every variant that can compute it, each text once, and in one of `CODES`."""
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    step = replace(step, code=CODES[(sum(layer.shape) + layer.channels) % len(CODES)])
    seen = set()
    for name, change in VARIANTS.items():
        schedule = Schedule((replace(step, **change),))
        try:
            text = tuple(generate(graph, schedule).files.values())
        except UnsupportedOp:
            continue
        if text not in seen:
            seen.add(text)
            yield Computed(layer, name, graph, schedule)


def drawn(number: int, of: int) -> list[Computed]:
    """Every `of`-th layer in all its variants; the shares together are all layers."""
    return [one for layer in list(layers())[number::of] for one in computed(layer)]


def check(found: list[Computed], folder: Path) -> None:
    cases = []
    for one in found:
        rows = samples(one.graph)
        cases += [
            Case(f"{one.variant}: {one.layer} rows {one.layer.rows}", one.graph, (row,),
                 schedule=one.schedule)
            for row in rows[2:4]
        ]  # fmt: skip
    library = build(cases[::2], folder)
    wrong = [error for k, case in enumerate(cases) if (error := compare(library, k // 2, case))]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:20])


def compare(library: Library, k: int, case: Case) -> str:
    return difference(case, library.run(k, case.samples), expected(case))


SHARES = 17  # has no factor in common with the layers of a size: each share holds all kinds


@pytest.fixture(scope="module")
def share() -> list[Computed]:
    return drawn(0, SHARES)


def test_sizes_through_every_variant(share: list[Computed], tmp_path: Path) -> None:
    check(share, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, SHARES))
def test_all_sizes_through_every_variant(number: int, tmp_path: Path) -> None:
    check(drawn(number, SHARES), tmp_path)


CORES = ("stm32h7a3", "rp2040")
"""A core with the DSP extension, and one without."""

PER_VARIANT = 12


def emulated(core: str, found: list[Computed]) -> None:
    """What a core computes is what this machine computes."""
    wrong = []
    for one in found:
        rows = samples(one.graph)[2:4]
        sources = generate(one.graph, one.schedule)
        host = build_host(sources, optimize="-O1").predict(rows)
        if not np.array_equal(on_core(sources, core, rows), host.reshape(len(rows), -1)):
            wrong.append(f"{one.variant}: {one.layer} rows {one.layer.rows}")
    assert not wrong, f"{len(wrong)} of {len(found)}:\n" + "\n".join(wrong)


def some(seed: int, count: int, names: Sequence[str]) -> list[Computed]:
    """So many layers of each variant, drawn from all."""
    dice = np.random.default_rng(seed)
    every = list(layers())
    found: list[Computed] = []
    for name in names:
        mine: list[Computed] = []
        while len(mine) < count:
            layer = every[int(dice.integers(len(every)))]
            mine += [one for one in computed(layer) if one.variant == name]
        found += mine
    return found


@pytest.mark.parametrize("core", CORES)
def test_some_sizes_are_the_same_on_a_core(core: str) -> None:
    names = ("blocks 4x2", "pairs", "winograd", "sparse", "huffman by row")
    emulated(core, some(0, 1, names))


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_many_sizes_are_the_same_on_a_core(variant: str, core: str) -> None:
    emulated(core, some(1, PER_VARIANT, [variant]))


def test_every_variant_has_cases(share: list[Computed]) -> None:
    counts = Counter(one.variant for one in share)
    assert {name: counts[name] for name in VARIANTS if counts[name] < LEAST_CASES} == {}
