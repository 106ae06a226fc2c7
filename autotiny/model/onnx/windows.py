"""Where the windows of convolutions and poolings lie: ONNX's pads as Keras' padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autotiny.doors import tensorflow
from autotiny.model.onnx.node import Node
from autotiny.model.onnx.values import Refused, Value


@dataclass(frozen=True)
class Windows:
    """The windows along each axis of an image or a row.

    Attributes:
        kernel: their size.
        strides: from one to the next.
        dilations: from one value in it to the next.
        before: values that the first one reads before the input.
        behind: values that the last one reads behind it.
        outputs: how many there are.
        same: whether Keras' padding "same" puts them there.
        pads: what the node asks for, before and behind.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    behind: tuple[int, ...]
    outputs: tuple[int, ...]
    same: bool
    pads: tuple[tuple[int, int], ...]

    @property
    def padding(self) -> str:
        """Of the layer, once the input has its pads."""
        return "same" if self.same else "valid"

    @property
    def padded(self) -> bool:
        """Whether something is read beside the input that the layer does not see to."""
        return not self.same and any((*self.before, *self.behind))


def windows(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Windows:
    """The windows of a node on an input of such sizes (without batch and channels)."""
    count = len(sizes)
    strides = _each(node, "strides", count)
    dilations = _each(node, "dilations", count)
    asked = [int(one) for one in node.attributes.get("pads", [0] * (2 * count))]
    automatic = node.word("auto_pad", "NOTSET")
    found = []
    for axis, (size, width, stride, dilation) in enumerate(
        zip(sizes, kernel, strides, dilations, strict=True)
    ):
        extent = (width - 1) * dilation + 1
        most = -(-size // stride)
        total = max((most - 1) * stride + extent - size, 0)
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            before = total // 2 if automatic == "SAME_UPPER" else total - total // 2
            pads = (before, total - before)
        elif automatic == "VALID":
            pads = (0, 0)
        else:
            pads = (asked[axis], asked[count + axis])
        if min(pads) < 0:
            raise Refused(f"pads of {pads} are below zero; crop the input by a Slice before it")
        free = size + sum(pads) - extent
        outputs = free // stride + 1
        if node.count("ceil_mode", 0):
            outputs = -(-free // stride) + 1
            outputs -= (outputs - 1) * stride >= size + pads[0]  # none begins behind the input
        if outputs < 1:
            raise Refused(f"a window of {extent} is larger than its input of {size}, pads {pads}")
        behind = max((outputs - 1) * stride + extent - size - pads[0], 0)
        same = outputs == most and pads[0] == total // 2
        found.append((pads[0], behind, outputs, same, pads))
    before_, behind_, outputs_, same_, pads_ = zip(*found, strict=True)
    return Windows(
        tuple(kernel), strides, dilations, before_, behind_, outputs_,
        any((*before_, *behind_)) and all(same_), pads_,
    )  # fmt: skip


def _each(node: Node, name: str, count: int) -> tuple[int, ...]:
    found = tuple(int(one) for one in node.attributes.get(name, [1] * count))
    if len(found) != count or min(found) < 1:
        raise Refused(f"{name} {list(found)} do not fit {count} axes")
    return found


def with_zeros(node: Node, x: Value, w: Windows) -> Any:
    """The tensor of an image (batch, …, channels), with zeros where windows read beside it."""
    if not w.padded:
        return x.tensor
    pads = tuple(zip(w.before, w.behind, strict=True))
    kind = f"ZeroPadding{len(pads)}D"
    padding = pads if len(pads) > 1 else pads[0]
    return node.layer(kind, x.tensor, padding=padding, part="pad")


def mirrored(x: Value, w: Windows) -> Any:
    """The tensor with its own values where windows read beside it: no window's largest changes.

    A window that holds a value from beyond the edge holds the value it mirrors, too, as long as no
    more than half of it lies outside; and it holds the value at the edge in any case.
    """
    extents = [(k - 1) * d + 1 for k, d in zip(w.kernel, w.dilations, strict=True)]
    pads = tuple(zip(w.before, w.behind, strict=True))
    fits = zip(pads, extents, x.sizes[1:-1], strict=True)
    if all(2 * max(outside) <= extent and max(outside) <= size for outside, extent, size in fits):
        return tensorflow().pad(x.tensor, [(0, 0), *pads, (0, 0)], mode="SYMMETRIC")
    tensor = x.tensor  # else the value at the edge, again and again
    while any(map(max, pads)):
        each = [(min(before, 1), min(behind, 1)) for before, behind in pads]
        tensor = tensorflow().pad(tensor, [(0, 0), *each, (0, 0)], mode="SYMMETRIC")
        pads = tuple((a - b, c - d) for (a, c), (b, d) in zip(pads, each, strict=True))
    return tensor
