"""Fine-tune with quantization simulated, so that weights settle where int8 can represent them.

Jacob et al., CVPR 2018, through TensorFlow's model optimization toolkit; after pruning or
clustering through its variants that keep zeros and clusters. Nothing trains after it, so it leaves
a graph.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._rewriting import with_fused_relu
from autotiny.components.keras._tuning import BATCH, fine_tune
from autotiny.errors import BrokenPromise, NotApplicable
from autotiny.graph import Array
from autotiny.model import (
    KerasLayer,
    KerasModel,
    Level,
    Model,
    concrete_function,
    copy_network,
    fed,
    freeze,
    freeze_function,
    keras,
    successor,
    tensorflow,
)

SLACK = 0.02
"""Sparsity that may get lost before a model no longer counts as sparse."""


@dataclass(frozen=True)
class QuantizeAware(Component):
    """Inserts fake quantization of weights and activations, and fine-tunes.

    Attributes:
        learning_rate: of the fine-tune; small, because the weights are good already.
    """

    name = "quantize_aware"
    level = Level.KERAS
    leaves = Level.GRAPH
    trains = True

    learning_rate: Annotated[float, Within(gt=0, le=1)] = 1e-4

    def apply(self, model: Model, work: Work) -> Model:
        """The frozen graph of the model with trained ranges."""
        _refuse_unsupported(model.keras)
        if work.rehearse:
            # The same shapes without ranges: a lowering calibrates those itself.
            return freeze(model)
        wrapped = _wrapped(model)
        before = _kernels(wrapped)
        _set_ranges(wrapped, work)
        fine_tune(wrapped, work, learning_rate=self.learning_rate)
        _share_ranges(wrapped)
        frozen = freeze_function(concrete_function(wrapped))
        sparsity = _post_condition(model, before, _kernels(wrapped))
        traits = replace(model.traits, sparsity=sparsity, quantization_aware=True)
        return replace(successor(model, frozen), traits=traits)


def _set_ranges(wrapped: KerasModel, work: Work) -> None:
    """Gives activations the ranges that training samples have there, for training to go on from.

    The toolkit begins at −6 to 6 and moves by a thousandth of the way each step: a short fine-tune
    would end with half of the numbers behind a ReLU for values that never occur.
    """
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    keras().utils.set_random_seed(work.seed)  # units may be dropped
    statistics = [(one, one.numpy()) for one in wrapped.weights if "/moving_" in one.name]
    moving = quant_ops.MovingAvgQuantize

    def at_once(*arguments: object, **options: object) -> object:
        return moving(*arguments, **(options | {"ema_decay": 0.0}))

    quant_ops.MovingAvgQuantize = at_once
    try:
        wrapped(fed(wrapped, work.data.calibration(BATCH, work.seed)), training=True)
    finally:
        quant_ops.MovingAvgQuantize = moving
    for variable, value in statistics:
        variable.assign(value)


def _share_ranges(wrapped: KerasModel) -> None:
    """Lets averages keep the range of what they are made of.

    Their kernel has one scale for both; a range of their own takes one more pass over them.
    """
    layers = keras().layers
    averages = (layers.AveragePooling1D, layers.AveragePooling2D)
    for layer in wrapped.layers:
        if isinstance(getattr(layer, "layer", None), averages):
            for mine, theirs in zip(_range(layer), _range_before(layer), strict=False):
                mine.assign(theirs)


def _range(layer: KerasLayer) -> list[Any]:
    """The variables least and greatest value of what a layer gives; none if it has none."""
    names = (weight.name.rsplit("/", 1)[-1].split(":")[0] for weight in layer.weights)
    # Keras numbers the layers of a name within a process, and their variables with them.
    plain = (re.sub(r"^quantize_layer_\d+", "quantize_layer", name) for name in names)
    named = dict(zip(plain, layer.weights, strict=True))
    for what in ("output", "post_activation", "quantize_layer"):
        if f"{what}_min" in named:
            return [named[f"{what}_min"], named[f"{what}_max"]]
    return []


def _range_before(layer: KerasLayer) -> list[Any]:
    """That of the tensor that a layer reads, which reshapes hand on; none if it is not known."""
    while True:
        read: Any = getattr(layer, "input", None)
        if not hasattr(read, "_keras_history"):  # several, or none
            return []
        before = read._keras_history.layer
        found = _range(before)
        if found or before is layer or isinstance(before, keras().layers.InputLayer):
            return found
        layer = before


def _kernels(wrapped: KerasModel) -> list[Array]:
    """What the model computes with: each kernel as its wrapper masks or clusters it."""
    found = []
    for layer in wrapped.layers:
        for weight, _, facts in getattr(layer, "_weight_vars", []):
            mask = facts.get("sparsity_mask")
            found.append(weight.numpy() if mask is None else weight.numpy() * mask.numpy())
    return found


def _post_condition(model: Model, before: Sequence[Array], after: Sequence[Array]) -> float | None:
    """Sparsity as it is now; a model that was sparse and no longer is, is a bug."""
    if model.traits.sparsity is None or not after:
        return model.traits.sparsity
    zeros = [sum(int((k == 0).sum()) for k in side) for side in (before, after)]
    total = sum(kernel.size for kernel in after)
    if zeros[1] < zeros[0] - SLACK * total:
        raise BrokenPromise(f"quantize_aware lost zeros: {zeros[0]} before, {zeros[1]} after")
    return round(zeros[1] / total, 4)


def _refuse_unsupported(network: KerasModel) -> None:
    """Names the first layer that the toolkit cannot quantize, in less time than wrapping takes."""
    tensorflow()
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as registry,
    )

    known, layers = registry.Default8BitQuantizeRegistry(), keras().layers
    # Normalization is folded into the layer before; the toolkit says so only when it wraps.
    passed = (layers.InputLayer, layers.BatchNormalization)
    for layer in network.layers:
        if not isinstance(layer, passed) and not known.supports(layer):
            raise NotApplicable(
                f"quantize_aware: layer {layer.name!r} is a {type(layer).__name__}, "
                "for which the toolkit has no quantization"
            )


def _wrapped(model: Model) -> KerasModel:
    """The Keras model with fake quantization around its layers."""
    import tensorflow_model_optimization as tfmot

    quantization = tfmot.quantization.keras
    # Without zeros and clusters the toolkit takes a separate ReLU in by itself.
    keeps = model.traits.sparsity is not None or model.traits.clusters is not None
    network = with_fused_relu(model.keras) if keeps else copy_network(model.keras)
    try:
        with quantization.quantize_scope():
            annotated = quantization.quantize_annotate_model(network)
            wrapped: KerasModel = quantization.quantize_apply(annotated, _scheme(model))
    except (RuntimeError, ValueError) as refusal:
        reason = str(refusal).splitlines()[0][:200]
        raise NotApplicable(f"quantize_aware: {reason}") from refusal
    return wrapped


def _scheme(model: Model) -> object:
    """The way of quantizing that keeps the zeros and clusters there are."""
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts import (
        cluster_preserve,
        prune_preserve,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as plain,
    )

    sparse, clustered = model.traits.sparsity is not None, model.traits.clusters is not None
    if clustered:
        scheme = cluster_preserve.default_8bit_cluster_preserve_quantize_scheme
        return scheme.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=sparse)
    if sparse:
        scheme = prune_preserve.default_8bit_prune_preserve_quantize_scheme
        return scheme.Default8BitPrunePreserveQuantizeScheme()
    return plain.Default8BitQuantizeScheme()
