"""Whether the shapes of an op fit together: a file may say anything, and the kernels believe it.

Each entry of `ops.EMITTERS` names its check. Ops that move, broadcast or reduce check their shapes
where they use them and name `no_check`; here stand those of which several kernels exist.
"""

from __future__ import annotations

from autotiny.engine.kernel import Site
from autotiny.graph import Tensor


def check_results(site: Site) -> None:
    """Refuse an op that has an empty result."""
    for index in site.op.outputs:
        if site.graph.tensors[index].size == 0:
            site.refuse(f"its result {site.graph.tensors[index].name!r} is empty")


def no_check(site: Site) -> None:
    """For ops whose emitters refuse shapes that do not fit, as those that move or broadcast."""


def _result(site: Site) -> Tensor:
    """The result of the op itself; a fused step leaves another tensor behind."""
    return site.graph.tensors[site.op.outputs[0]]


def _image(site: Site) -> tuple[int, int, int]:
    shape = site.input(0).shape
    if len(shape) != 4 or shape[0] != 1 or 0 in shape:
        site.refuse(f"its input is {shape}; only (1, height, width, channels) is computed")
    return shape[1], shape[2], shape[3]


def _windows(site: Site, k_h: int, k_w: int, channels: int) -> None:
    """The result has one element for each place of the window, and `channels` channels."""
    h, w, _ = _image(site)
    # A PAD that is fused into the op is part of its padding.
    h += site.option("pad_top", 0) + site.option("pad_bottom", 0)
    w += site.option("pad_left", 0) + site.option("pad_right", 0)
    sizes = [
        _places(site, size, window, site.option(f"stride_{a}", 1), site.option(step, 1))
        for size, window, a, step in (
            (h, k_h, "h", "dilation_h_factor"),
            (w, k_w, "w", "dilation_w_factor"),
        )
    ]
    wanted = (1, *sizes, channels)
    if _result(site).shape != wanted:
        site.refuse(f"its result is {_result(site).shape}, but its window gives {wanted}")


def _places(site: Site, size: int, window: int, stride: int, step: int) -> int:
    if min(window, stride, step) < 1:
        site.refuse(f"window {window}, stride {stride}, dilation {step}; all must be at least 1")
    if site.option("padding", "VALID") == "SAME":
        return -(-size // stride)
    return max((size - (window - 1) * step - 1) // stride + 1, 0)


def _channels(site: Site, count: int) -> None:
    """Scales of the weights and biases are as many as the result's channels."""
    weights = site.input(1).quantization
    if weights is not None and len(weights.scales) not in (1, count):
        site.refuse(f"its weights have {len(weights.scales)} scales for {count} channels")
    if site.has_input(2) and site.constant(2).size != count:
        site.refuse(f"it has {site.constant(2).size} biases for {count} channels")


def _weights(site: Site, rank: int) -> tuple[int, ...]:
    shape = site.input(1).shape
    if len(shape) != rank or 0 in shape:
        site.refuse(f"its weights are {shape}; {rank} dimensions are needed")
    return shape


def conv(site: Site) -> None:
    """A convolution: groups, window, and a scale and a bias a channel."""
    out, k_h, k_w, depth = _weights(site, 4)
    in_c = _image(site)[2]
    if in_c % depth or out % (in_c // depth):
        site.refuse(f"{in_c} input channels do not fall into groups of {depth}")
    _windows(site, k_h, k_w, out)
    _channels(site, out)


def depthwise(site: Site) -> None:
    """A depthwise convolution: whole multiples of the input's channels, window, scales, biases."""
    one, k_h, k_w, out = _weights(site, 4)
    if one != 1 or out % _image(site)[2]:
        site.refuse(f"its weights {site.input(1).shape} do not fit {site.input(0).shape}")
    _windows(site, k_h, k_w, out)
    _channels(site, out)


def dense(site: Site) -> None:
    """A product with a matrix of weights, a scale and a bias a row."""
    out, depth = _weights(site, 2)
    size = site.input(0).size
    if size % depth or _result(site).size != size // depth * out:
        site.refuse(f"{site.input(0).shape} by {(out, depth)} is not {_result(site).shape}")
    _channels(site, out)


def pool(site: Site) -> None:
    """A window without weights, channel by channel."""
    k_h, k_w = site.option("filter_height", 1), site.option("filter_width", 1)
    _windows(site, k_h, k_w, _image(site)[2])


def same_size(site: Site) -> None:
    """An op of as many results as inputs, element by element or renamed."""
    if _result(site).size != site.input(0).size:
        site.refuse(f"{site.input(0).shape} does not become {_result(site).shape}")


def rows(site: Site) -> None:
    """An op along the last dimension."""
    same_size(site)
    if not site.input(0).shape:
        site.refuse("its input has no dimension")
