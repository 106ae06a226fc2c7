"""The form that convolutions and dense layers share: a window over (height, width, channels)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotiny.engine.kernel import Site
from autotiny.engine.layers.window import window, window_struct


@dataclass(frozen=True)
class Layer:
    """A layer as the loops of `loops.h` see it.

    Attributes:
        function: which of the two loops; a dense layer is a convolution over one column.
        dense: whether the op is FULLY_CONNECTED.
        window: the C value of its `at_window`.
        groups: of a convolution, or the multiple of a depthwise one.
        channels: of the output.
    """

    function: Literal["conv", "depthwise"]
    dense: bool
    window: str
    groups: int
    channels: int


def layer_of(site: Site) -> Layer:
    """The layer that an op is; refused where its shapes do not fit together."""
    weights = site.input(1).shape
    if site.op.kind == "FULLY_CONNECTED":
        out, depth = weights
        size = site.input(0).size
        if size % depth or site.output.size != size // depth * out:
            site.refuse(f"{site.input(0).shape} times {weights} is not {site.output.shape}")
        rows = size // depth
        fields = {
            "in_h": rows, "in_w": 1, "in_c": depth, "out_h": rows, "out_w": 1, "out_c": out,
            "k_h": 1, "k_w": 1, "stride_h": 1, "stride_w": 1, "step_h": 1, "step_w": 1,
            "pad_top": 0, "pad_left": 0,
        }  # fmt: skip
        return Layer("conv", True, window_struct(fields), 1, out)
    depthwise = site.op.kind == "DEPTHWISE_CONV_2D"
    out = weights[3] if depthwise else weights[0]
    fields = window(site, weights[1], weights[2])
    in_c = fields["in_c"]
    if fields["out_c"] != out:
        site.refuse(f"weights {weights} do not give {fields['out_c']} channels")
    if depthwise:
        if out % in_c:
            site.refuse(f"{out} output channels are no multiple of {in_c} input channels")
        return Layer("depthwise", False, window_struct(fields), out // in_c, out)
    if in_c % weights[3] or out % (in_c // weights[3]):
        site.refuse(f"{in_c} input channels do not fall into groups of {weights[3]}")
    return Layer("conv", False, window_struct(fields), in_c // weights[3], out)
