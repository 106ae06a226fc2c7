from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras._weights import kernels, sparsity
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.errors import NotApplicable
from autotiny.model import Model


@pytest.mark.parametrize(("epochs", "share"), [(0, 0.3), (0, 0.8), (1, 0.3), (3, 0.8)])
@pytest.mark.everyday(2)
def test_every_kernel_reaches_its_sparsity(
    epochs: int, share: float, residual: Model, work: Work
) -> None:
    pruned = PruneMagnitude(share).apply(residual, replace(work, epochs=epochs))
    for layer, kernel in kernels(pruned.keras):
        assert (kernel == 0).mean() == pytest.approx(share, abs=0.03), layer.name
    assert pruned.traits.sparsity == pytest.approx(share, abs=0.02)
    assert {type(layer).__name__ for layer in pruned.keras.layers} == {
        type(layer).__name__ for layer in residual.keras.layers
    }, "wrappers are stripped"


def test_accuracy_survives_a_moderate_sparsity(
    cnn1: Model, work: Work, accuracy: Callable[[Model], float]
) -> None:
    assert accuracy(PruneMagnitude(0.5).apply(cnn1, work)) >= accuracy(cnn1) - 0.03


@pytest.mark.parametrize("rehearse", [True, False])
def test_blocks_of_four_inputs_are_zero_together(rehearse: bool, cnn1: Model, data: object) -> None:
    work = Work(data, epochs=1, rehearse=rehearse)  # type: ignore[arg-type]
    pruned = PruneMagnitude(0.75, "block").apply(cnn1, work)
    dense = pruned.keras.get_layer("dense").weights[0].numpy()
    groups = (dense.reshape(-1, 4, 10) == 0).sum(axis=1)
    assert set(np.unique(groups)) == {0, 4}


@pytest.mark.parametrize("rehearse", [True, False])
def test_two_of_every_four_are_zero(rehearse: bool, cnn1: Model, data: object) -> None:
    component = PruneMagnitude(0.9, "2:4")
    assert component == PruneMagnitude(0.2, "2:4"), "the pattern decides the sparsity"
    pruned = component.apply(cnn1, Work(data, epochs=1, rehearse=rehearse))  # type: ignore[arg-type]
    dense = pruned.keras.get_layer("dense").weights[0].numpy()
    assert ((dense.reshape(-1, 4, 10) == 0).sum(axis=1) >= 2).all()


def test_a_sparse_model_is_not_pruned_again(cnn1: Model, work: Work) -> None:
    pruned = PruneMagnitude(0.5).apply(cnn1, work)
    with pytest.raises(NotApplicable, match="already 50% zeros"):
        PruneMagnitude(0.4).apply(pruned, work)


def test_zeros_stay_zeros_in_int8(cnn1: Model, work: Work) -> None:
    pruned = PruneMagnitude(0.8).apply(cnn1, work)
    graph = COMPONENTS["int8"]().apply(pruned, work).graph
    zeros = {
        op.kind: float(np.mean(graph.tensors[op.inputs[1]].data == 0))
        for op in graph.ops
        if op.kind in ("CONV_2D", "FULLY_CONNECTED")
    }
    assert zeros["FULLY_CONNECTED"] >= 0.79
    assert zeros["CONV_2D"] < 0.1, "half a percent of the weights is not worth its accuracy"
    assert sparsity(cnn1.keras) < 0.01
