"""Codebooks and entropy coding: what they save after pruning and clustering, what they leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras.cluster_weights import ClusterWeights
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.program._scheduling import as_program
from autotiny.components.program.huffman_code import HuffmanCode
from autotiny.components.program.share_weights import ShareWeights
from autotiny.engine import generate
from autotiny.engine.kernel import Site
from autotiny.engine.ops.coded import coded
from autotiny.errors import NotApplicable
from autotiny.metrics import Cost
from autotiny.model import Model
from autotiny.schedule import Step, Weights
from autotiny.simulator import measure
from autotiny.target import load_target


@pytest.fixture(scope="module")
def clustered(cnn1: Model, work: Work) -> Model:
    """cnn1 in int8 after pruning to 80 % zeros and clustering to 16 values, without fine-tuning."""
    quick = replace(work, rehearse=True)
    pruned = PruneMagnitude(0.8).apply(cnn1, quick)
    return COMPONENTS["int8"]().apply(ClusterWeights(16).apply(pruned, quick), work)


def steps(model: Model) -> dict[str, Step]:
    """The steps with weights, by kind."""
    program = model.program
    kinds = {program.graph.ops[step.ops[0]].kind: step for step in program.schedule.steps}
    return {kind: kinds[kind] for kind in ("CONV_2D", "FULLY_CONNECTED")}


def cost(model: Model) -> Cost:
    program = model.program
    return measure(generate(program.graph, program.schedule), load_target("stm32l4r5"))


def test_range_ans_comes_within_8_percent_of_the_entropy(clustered: Model, work: Work) -> None:
    program = HuffmanCode("ans").apply(clustered, work).program
    site = Site(program.graph, steps(as_program(clustered))["FULLY_CONNECTED"])
    _, counts = np.unique(site.constant(1), return_counts=True)
    entropy_bytes = -(counts * np.log2(counts / counts.sum())).sum() / 8
    assert site.input(1).shape == (10, 2028)
    assert coded(site, "ans").bytes < 1.08 * entropy_bytes


def test_deep_compression_makes_small_firmware(clustered: Model, work: Work) -> None:
    fused = COMPONENTS["fuse_operators"]().apply(clustered, work)
    costs = {
        name: cost(component.apply(fused, work))
        for name, component in (
            ("shared", ShareWeights()),
            ("huffman", HuffmanCode("huffman")),
            ("ans", HuffmanCode("ans")),
        )
    }
    assert costs["ans"].flash_bytes < 5_538
    assert costs["huffman"].flash_bytes < 6_200
    assert costs["shared"].flash_bytes < 12_000
    assert costs["ans"].sram_bytes < 3_000


def test_a_small_layer_stays_plain(clustered: Model, work: Work) -> None:
    found = steps(HuffmanCode().apply(clustered, work))
    assert found["CONV_2D"].weights.coding == "plain"
    assert found["FULLY_CONNECTED"].weights.coding == "ans"


def test_indices_are_coded_again_and_codes_are_not(clustered: Model, work: Work) -> None:
    shared = ShareWeights(decode="layer").apply(clustered, work)
    again = HuffmanCode("ans").apply(shared, work)
    alone = HuffmanCode("ans").apply(clustered, work)
    assert again.program.schedule == alone.program.schedule
    for component in (ShareWeights(), HuffmanCode("huffman")):
        with pytest.raises(NotApplicable, match="128 bytes less flash"):
            component.apply(again, work)


def test_many_values_are_no_indices(cnn1: Model, work: Work) -> None:
    lowered = COMPONENTS["int8"]().apply(cnn1, work)
    with pytest.raises(NotApplicable, match=r"share_weights: no layer takes .* prune_magnitude"):
        ShareWeights().apply(lowered, work)


@pytest.mark.parametrize("lowering", ["int16x8", "dynamic_range"])
def test_other_arithmetics_decode_a_layer_first(lowering: str, cnn1: Model, work: Work) -> None:
    quick = replace(work, rehearse=True)
    lowered = COMPONENTS[lowering]().apply(PruneMagnitude(0.8).apply(cnn1, quick), work)
    step = steps(HuffmanCode("ans").apply(lowered, work))["FULLY_CONNECTED"]
    assert step.weights == Weights("ans", "layer")


@pytest.mark.slow
def test_prune_cluster_quantize_and_code(cnn1: Model, work: Work) -> None:
    model = cnn1
    for component in (
        PruneMagnitude(0.8),
        ClusterWeights(16),
        COMPONENTS["quantize_aware"](),
        COMPONENTS["int8"](),
        COMPONENTS["fuse_operators"](),
        HuffmanCode("ans"),
    ):
        model = component.apply(model, work)
    assert (model.traits.sparsity or 0) >= 0.79
    assert cost(model).flash_bytes < 5_538
