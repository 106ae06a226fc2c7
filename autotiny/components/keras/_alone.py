"""What layers of a Keras model take on a target, alone, and others in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from autotiny.cache import Cache
from autotiny.components.alone import Layer, Shape, cycles, graph_of
from autotiny.components.keras._rewriting import NewLayer, readers
from autotiny.model import KerasLayer, KerasModel, KernelLayer, keras
from autotiny.target import Target


def faster(
    layer: KernelLayer, instead: Sequence[NewLayer], network: KerasModel, target: Target,
    cache: Cache | None,
) -> bool:  # fmt: skip
    """Whether layers take fewer cycles of a target than the one of a network that they replace.

    A max-pooling behind them is measured with both: one may have it for nothing.
    """
    reads = (1, *layer.get_input_shape_at(0)[1:])
    before = [_layer(layer, layer.kernel.shape, reads)]
    after, shape = [], reads
    for new in instead:
        assert new.weights is not None
        after.append(_layer(new.layer, new.weights[0].shape, shape))
        shape = new.layer.compute_output_shape(shape)
    pooling = _pooling_behind(layer, network)
    old, made = (graph_of(_rows(layer, reads), [*some, *pooling]) for some in (before, after))
    return cycles(made, None, target, cache) < cycles(old, None, target, cache)


def _layer(layer: KerasLayer, kernel: Shape, reads: Shape) -> Layer:
    """A Keras layer as the engine computes it; `kernel` is the shape of its kernel."""
    one = cast(KernelLayer, layer)
    gives = one.compute_output_shape(reads)
    options: dict[str, int | str] = {"fused_activation_function": "NONE"}
    if isinstance(one, keras().layers.Dense):
        return Layer("FULLY_CONNECTED", kernel[::-1], _rows(one, gives), options)
    (down, right), (far_down, far_right) = one.strides, one.dilation_rate
    options |= {
        "padding": one.padding.upper(), "stride_h": down, "stride_w": right,
        "dilation_h_factor": far_down, "dilation_w_factor": far_right,
    }  # fmt: skip
    height, width, channels, filters = kernel
    if isinstance(one, keras().layers.DepthwiseConv2D):
        options["depth_multiplier"] = filters
        return Layer("DEPTHWISE_CONV_2D", (1, height, width, channels * filters), gives, options)
    return Layer("CONV_2D", (filters, height, width, channels), gives, options)


def _rows(layer: KerasLayer, shape: Shape) -> Shape:
    """The shape as the engine sees it: a dense layer works on rows."""
    rows = math.prod(shape[:-1])
    return (rows, shape[-1]) if isinstance(layer, keras().layers.Dense) else shape


def _pooling_behind(layer: KerasLayer, network: KerasModel) -> list[Layer]:
    """The max-pooling that alone reads a layer, behind its normalization and ReLU; or none."""
    layers, follows = keras().layers, readers(network)
    between = (layers.BatchNormalization, layers.ReLU, layers.Activation, layers.Dropout)
    last: KerasLayer = layer
    while True:
        after = follows[last.name]
        if len(after) != 1 or after[0] is None:
            return []
        last = after[0]
        if type(last) is layers.MaxPooling2D:
            config = last.get_config()
            (height, width), (down, right) = config["pool_size"], config["strides"]
            options: dict[str, int | str] = {
                "padding": config["padding"].upper(), "stride_h": down, "stride_w": right,
                "filter_height": height, "filter_width": width,
                "fused_activation_function": "NONE",
            }  # fmt: skip
            return [Layer("MAX_POOL_2D", (), (1, *last.output_shape[1:]), options)]
        if not isinstance(last, between):
            return []
