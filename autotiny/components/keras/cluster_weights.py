"""Let the weights of each layer share a few values, so that a short index can stand for each.

Han et al., "Deep Compression", ICLR 2016, through TensorFlow's model optimization toolkit; on a
pruned model through its variant that keeps zeros. It pays where a later step codes the indices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._tuning import changed, fine_tune
from autotiny.components.keras._weights import kernels, most_clusters
from autotiny.errors import BrokenPromise, NotApplicable
from autotiny.model import KerasLayer, KerasModel, Level, Model, copy_network, keras

LEARNING_RATE = 5e-4
"""Lower than usual: centroids gather the gradients of all weights that share them."""


@dataclass(frozen=True)
class ClusterWeights(Component):
    """Replaces each kernel's weights by centroids, and fine-tunes those.

    Attributes:
        clusters: centroids a layer; zeros of a pruned model are one of them.
    """

    name = "cluster_weights"
    level = Level.KERAS
    trains = True

    clusters: Annotated[int, Within(ge=2, le=256)] = 16

    def apply(self, model: Model, work: Work) -> Model:
        """The model with shared weights."""
        if most_clusters(model.keras) <= self.clusters:
            raise NotApplicable(
                f"cluster_weights: no kernel has more than {self.clusters} different weights"
            )
        network = self._clustered(model, work)
        found = most_clusters(network)
        if found > self.clusters:
            raise BrokenPromise(f"cluster_weights left {found} values instead of {self.clusters}")
        shared = changed(network, model)
        return replace(shared, traits=replace(shared.traits, clusters=found))

    def _clustered(self, model: Model, work: Work) -> KerasModel:
        import tensorflow_model_optimization as tfmot
        from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
            cluster as experimental,
        )

        clustering = tfmot.clustering.keras
        chosen = {
            layer.name for layer, kernel in kernels(model.keras) if kernel.size > self.clusters
        }
        sparse = model.traits.sparsity is not None
        # Linear initialization draws nothing, and repeats whatever ran before.
        start = clustering.CentroidInitialization.LINEAR
        weights = {layer.name: layer.get_weights() for layer in model.keras.layers}

        def wrap(layer: KerasLayer) -> object:
            # A wrapper trains the layer it is given: it must not be the caller's.
            twin = layer.__class__.from_config(layer.get_config())
            if layer.name not in chosen:
                return twin
            # The centroids are chosen from the weights that the layer holds when it is wrapped.
            twin.build(layer.input_shape)
            twin.set_weights(weights[layer.name])
            if sparse:
                return experimental.cluster_weights(
                    twin, number_of_clusters=self.clusters, cluster_centroids_init=start,
                    preserve_sparsity=True,
                )  # fmt: skip
            return clustering.cluster_weights(
                twin, number_of_clusters=self.clusters, cluster_centroids_init=start
            )

        wrapped = keras().models.clone_model(model.keras, clone_function=wrap)
        for layer in wrapped.layers:
            if layer.name in weights and layer.weights:
                layer.set_weights(weights[layer.name])
        fine_tune(wrapped, work, learning_rate=LEARNING_RATE)
        return copy_network(clustering.strip_clustering(wrapped))
