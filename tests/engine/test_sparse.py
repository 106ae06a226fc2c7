"""Layers without their zero weights equal TensorFlow Lite Micro bit for bit, in every format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from grid import Case, difference, expected, run_program
from test_sparse_types import LAYERS as OTHERS
from test_sparse_types import computed, inputs, plain
from test_sparse_types import skipped as skipped_others
from test_variants import CONV, CORES, DENSE, DEPTHWISE, SIMPLE_CORES, Layer, check, samples

from autotiny.engine import fuse, generate, plain_schedule, with_blocks, with_skipped_zeros
from autotiny.engine.kernel import Site
from autotiny.engine.layers.matrix import matrix
from autotiny.engine.variants import sparse
from autotiny.engine.variants.blocks import EXPANDED
from autotiny.engine.variants.sparse import Sparse as Skipping
from autotiny.engine.variants.sparse.packing import FORMATS, Format, smallest
from autotiny.errors import NotApplicable, UnsupportedOp
from autotiny.graph import Graph, Quantization
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class Sparse:
    """A layer of which a share of the runs of weights is not zero.

    Attributes:
        form: the format in which it is smallest.
        kept: share of runs that are not zero.
        lowest: takes the place of the largest weights.
    """

    layer: Layer
    form: Format
    kept: float
    lowest: int = -128  # which no lane of two weights takes

    def __str__(self) -> str:
        return f"{self.layer}-{self.form}"

    def graph(self) -> Graph:
        dice = np.random.default_rng(crc32(repr(self).encode()))
        graph = self.layer.graph()
        x, w, *others = graph.tensors
        assert w.data is not None
        weights = w.data.reshape(len(w.data), -1).copy()
        runs = -(-weights.shape[1] // self.form.run)
        kept = np.repeat(dice.random((len(weights), runs)) < self.kept, self.form.run, axis=1)
        weights[~kept[:, : weights.shape[1]]] = 0
        weights[weights > 100] = self.lowest
        if self.layer.channels > 2:
            weights[1] = 0
        zeroed = replace(w, data=weights.reshape(w.shape))
        return replace(graph, tensors=(x, zeroed, *others))


ELEMENTS, FEW = Format(1, 4), Format(1, 2)
BLOCKS, FEW_BLOCKS = Format(4, 4), Format(4, 2)
LAYERS = (
    Sparse(Layer(DENSE, (1, 1, 203), 10, activation="NONE"), ELEMENTS, 0.15),
    Sparse(Layer(DENSE, (1, 1, 401), 3), ELEMENTS, 0.02),  # gaps of more than 4 bits
    Sparse(Layer(DENSE, (1, 1, 96), 5, activation="RELU6"), FEW, 0.45),
    Sparse(Layer(DENSE, (1, 1, 202), 6), BLOCKS, 0.15),
    Sparse(Layer(DENSE, (1, 1, 160), 4, activation="NONE"), FEW_BLOCKS, 0.6),
    Sparse(Layer(CONV, (5, 7, 8), 6, (3, 3)), ELEMENTS, 0.15),
    Sparse(Layer(CONV, (6, 6, 7), 5, (3, 3), stride=2, activation="NONE"), FEW, 0.45),
    Sparse(Layer(CONV, (3, 3, 90), 4, padding="VALID"), ELEMENTS, 0.15),
    Sparse(Layer(CONV, (4, 5, 16), 4, (3, 3), activation="RELU6"), BLOCKS, 0.15),
    Sparse(Layer(CONV, (9, 6, 5), 3, (5, 3), padding="VALID"), FEW_BLOCKS, 0.6),
)
POOLED = (
    Sparse(Layer(CONV, (9, 8, 12), 5, (3, 3), padding="VALID", pool=True), ELEMENTS, 0.15),
    Sparse(Layer(CONV, (6, 9, 8), 4, (3, 3), activation="NONE", pool=True), FEW, 0.45),
    Sparse(Layer(CONV, (8, 8, 12), 4, (3, 3), pool=True), BLOCKS, 0.15),
)


def skipped(graph: Graph) -> Schedule:
    schedule = plain_schedule(graph)
    if len(schedule.steps) > 1:
        schedule = fuse(graph, schedule)
    (step,) = schedule.steps
    return Schedule((replace(step, kernel=Skipping()),))


def test_every_format_is_chosen_where_it_is_smallest() -> None:
    for case in (*LAYERS, *POOLED):
        site = Site(case.graph(), plain_schedule(case.graph()).steps[0])
        assert smallest(matrix(site), 0)[0] == case.form
    assert {case.form for case in LAYERS} == set(FORMATS)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
def test_sparse_layers_are_exact_and_the_sanitizers_silent(tmp_path: Path) -> None:
    cases = []
    for layer in (*LAYERS, *POOLED):
        graph = layer.graph()
        ends = (samples(graph)[2],)  # of their range
        cases.append(Case(str(layer), graph, ends, schedule=skipped(graph)))
    for other in OTHERS:
        graph = other.graph()
        row = inputs(graph, 1)
        wanted = (computed(graph, plain(graph), row),)
        schedule = skipped_others(graph)
        cases.append(
            Case(str(other), graph, (row[0],), tolerance=0, schedule=schedule, wanted=wanted)
        )
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    found = run_program(cases, tmp_path, ("gcc", "-std=c99", "-O1", *sanitizers))
    for case, outputs in zip(cases, found, strict=True):
        assert not difference(case, outputs, expected(case))


@pytest.mark.parametrize("case", (LAYERS[0], LAYERS[8]), ids=str)
@pytest.mark.everyday(1)
def test_sparse_layers_are_exact_on_cores(case: Sparse) -> None:
    graph = case.graph()
    check(graph, skipped(graph), ("stm32l4r5", "stm32g0b1"))


@pytest.mark.parametrize("bias", [2_000_000_000, -2_000_000_000])
def test_a_channel_that_training_left_constant_stays_exact(bias: int) -> None:
    graph = Sparse(Layer(DENSE, (1, 1, 64), 4), ELEMENTS, 0.2).graph()
    x, w, b, y = graph.tensors
    assert w.quantization is not None
    assert b.data is not None
    scales = np.full(4, w.quantization.scale)
    scales[2] *= 1_300 / abs(bias)
    values = b.data.copy()
    values[2] = bias
    tiny = replace(w, quantization=Quantization(tuple(map(float, scales)), (0,) * 4))
    graph = replace(graph, tensors=(x, tiny, replace(b, data=values), y))
    assert matrix(Site(graph, plain_schedule(graph).steps[0])).multiplier[2] == 0
    check(graph, skipped(graph), CORES[:1])


@pytest.mark.slow
@pytest.mark.parametrize("case", [*LAYERS, *POOLED], ids=str)
def test_every_sparse_layer_is_exact_on_every_core(case: Sparse) -> None:
    graph = case.graph()
    check(graph, skipped(graph), (*CORES, *SIMPLE_CORES))


def test_without_zeros_nothing_changes() -> None:
    graph = Layer(DENSE, (1, 1, 64), 19).graph()
    with pytest.raises(NotApplicable, match="takes less flash; prune_magnitude makes zeros"):
        with_skipped_zeros(graph, plain_schedule(graph))


def test_few_zeros_do_not_pay_for_the_kernel() -> None:
    graph = LAYERS[2].graph()
    with pytest.raises(NotApplicable, match="bytes of FULLY_CONNECTED weights, less than the 400"):
        with_skipped_zeros(graph, plain_schedule(graph))


def test_what_cannot_be_computed_so_stays_plain() -> None:
    depthwise = Layer(DEPTHWISE, (6, 6, 8), 8, (3, 3)).graph()
    graph = LAYERS[0].graph()
    *others, y = graph.tensors
    finer = replace(graph, tensors=(*others, replace(y, quantization=Quantization((1e-6,), (0,)))))
    sites = [Site(layer, plain_schedule(layer).steps[0]) for layer in (depthwise, finer)]
    assert "only convolutions" in str(sparse.why_not(sites[0]))
    assert "scaled by more than 1" in str(sparse.why_not(sites[1]))
    with pytest.raises(UnsupportedOp, match="its zeros are not left out: a channel"):
        generate(finer, Schedule((sites[1].by(Skipping()).step,)))


def test_blocks_leave_sparse_layers_and_give_up_to_them() -> None:
    graph = Sparse(Layer(DENSE, (1, 1, 400), 8), ELEMENTS, 0.1, lowest=-127).graph()
    plain = plain_schedule(graph)
    blocks, sparse_ = with_blocks(graph, plain), with_skipped_zeros(graph, plain)
    assert with_skipped_zeros(graph, blocks) == sparse_
    with pytest.raises(NotApplicable):
        with_blocks(graph, sparse_)


def test_of_expanded_blocks_more_become_smaller() -> None:
    graph = Sparse(Layer(CONV, (2, 2, 1024), 4, spread=1000.0), FEW, 0.9).graph()
    plain = plain_schedule(graph)
    blocks = with_blocks(graph, plain)
    assert blocks.steps[0].kernel == EXPANDED
    with pytest.raises(NotApplicable):
        with_skipped_zeros(graph, plain)
    assert with_skipped_zeros(graph, blocks).steps[0].kernel == Skipping()
