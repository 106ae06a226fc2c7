"""A component whose result is not what it promises says so, and does not pass it on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras import _tuning, quantize_aware
from autotiny.components.keras.cluster_weights import ClusterWeights
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.errors import BrokenPromise
from autotiny.model import Model
from autotiny.model.training import copy_network


def test_pruning_that_leaves_no_zeros(
    cnn1: Model, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        PruneMagnitude, "_trained", lambda self, network, *rest: copy_network(network)
    )
    with pytest.raises(BrokenPromise, match=r"^prune_magnitude reached 0\.00 instead of 0\.5$"):
        PruneMagnitude(0.5).apply(cnn1, work)


def test_clustering_that_leaves_all_weights_different(
    cnn1: Model, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ClusterWeights, "_clustered", lambda self, model, work: copy_network(model.keras)
    )
    with pytest.raises(BrokenPromise, match=r"^cluster_weights left \d{3,} values instead of 4$"):
        ClusterWeights(clusters=4).apply(cnn1, work)


@pytest.mark.parametrize(("lost", "broken"), [(0, False), (1, False), (40, True)])
def test_training_for_int8_that_loses_zeros(cnn1: Model, lost: int, broken: bool) -> None:
    before = np.ones((100, 10), np.float32)
    before[:50] = 0
    after = before.copy()
    after.reshape(-1)[:lost] = 1
    sparse = replace(cnn1, traits=replace(cnn1.traits, sparsity=0.5))
    check = quantize_aware._post_condition
    if broken:
        with pytest.raises(BrokenPromise, match="lost zeros: 500 before, 460 after"):
            check(sparse, [before], [after])
    else:
        assert check(sparse, [before], [after]) == round((500 - lost) / 1000, 4)
    assert check(cnn1, [before], [after]) is None


@pytest.mark.parametrize("name", ["prune_magnitude", "cluster_weights", "quantize_aware"])
def test_a_fine_tune_that_cannot_run(
    name: str, cnn1: Model, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise ValueError("in user code:\n\n    ValueError: labels.shape must equal logits.shape")

    monkeypatch.setattr(_tuning, "fit", refuse)
    with pytest.raises(BrokenPromise, match=r"^the fine-tune cannot run: .*labels\.shape"):
        COMPONENTS[name]().apply(cnn1, work)
