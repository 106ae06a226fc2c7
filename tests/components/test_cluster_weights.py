from collections.abc import Callable

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras._weights import kernels, sparsity
from autotiny.components.keras.cluster_weights import ClusterWeights
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.errors import NotApplicable
from autotiny.model import Model


@pytest.mark.parametrize("network", ["cnn1", pytest.param("residual", marks=pytest.mark.slow)])
def test_every_kernel_has_few_values(
    network: str,
    work: Work,
    accuracy: Callable[[Model], float],
    request: pytest.FixtureRequest,
) -> None:
    model: Model = request.getfixturevalue(network)
    shared = ClusterWeights(16).apply(model, work)
    for layer, kernel in kernels(shared.keras):
        assert len(np.unique(kernel)) <= 16, layer.name
    assert 0 < (shared.traits.clusters or 0) <= 16
    assert accuracy(shared) >= accuracy(model) - 0.1


@pytest.mark.slow
def test_zeros_survive_it(cnn1: Model, work: Work) -> None:
    pruned = PruneMagnitude(0.7).apply(cnn1, work)
    shared = ClusterWeights(16).apply(pruned, work)
    for layer, kernel in kernels(shared.keras):
        assert len(np.unique(kernel)) <= 16, layer.name
    assert sparsity(shared.keras) >= 0.68


@pytest.mark.parametrize("sparse", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.slow
def test_clusters_and_zeros_survive_quantization_aware_training(
    sparse: bool, cnn1: Model, work: Work
) -> None:
    model = PruneMagnitude(0.7).apply(cnn1, work) if sparse else cnn1
    shared = ClusterWeights(16).apply(model, work)
    trained = COMPONENTS["quantize_aware"]().apply(shared, work)
    graph = COMPONENTS["int8"]().apply(trained, work).graph
    dense = next(op for op in graph.ops if op.kind == "FULLY_CONNECTED")
    weights = graph.tensors[dense.inputs[1]].data
    assert weights is not None
    assert len(np.unique(weights)) <= 17
    if sparse:
        assert (weights == 0).mean() >= 0.65


def test_a_clustered_model_is_not_clustered_again(cnn1: Model, work: Work) -> None:
    shared = ClusterWeights(8).apply(cnn1, work)
    with pytest.raises(NotApplicable, match="no kernel has more than 16"):
        ClusterWeights(16).apply(shared, work)
