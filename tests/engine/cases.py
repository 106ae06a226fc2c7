"""Generated single-op models: one family an op and arithmetic, every case drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from build import single, tensor
from grid import Case

from autotiny.graph import Array, DType, Graph, Op, Tensor

Rng = np.random.Generator
ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")
RANGE = {"int8": (-128, 127), "int16": (-32768, 32767)}


def pick(rng: Rng, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def whole(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def scale(rng: Rng, low: float = 0.002, high: float = 0.1) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def zero(rng: Rng, dtype: str) -> int:
    return whole(rng, -128, 127) if dtype == "int8" else 0


def image(rng: Rng, dtype: DType, shape: Sequence[int], **fixed: Any) -> Tensor:
    """An activation with a drawn quantization."""
    if dtype == "float32":
        return tensor(shape, dtype)
    drawn = scale(rng), zero(rng, dtype)
    return tensor(shape, dtype, fixed.get("scale", drawn[0]), fixed.get("zero", drawn[1]))


def sample(rng: Rng, one: Tensor) -> Array:
    """Input values; integers use the whole range, and sometimes only its ends."""
    if one.dtype == "float32":
        real: Array = rng.normal(0, pick(rng, 0.5, 1, 4), one.shape).astype(np.float32)
        return real
    low, high = RANGE.get(one.dtype, (-100, 100))
    if rng.integers(4) == 0:
        ends: Array = rng.choice(np.array([low, high, 0]), one.shape).astype(one.dtype)
        return ends
    drawn: Array = rng.integers(low, high + 1, one.shape).astype(one.dtype)
    return drawn


def samples(rng: Rng, graph: Graph) -> tuple[Array, ...]:
    return tuple(sample(rng, graph.tensors[index]) for index in graph.inputs)


def case(rng: Rng, label: str, graph: Graph, **fields: Any) -> Case:
    return Case(label, graph, samples(rng, graph), **fields)


# Convolutions and dense layers


def sizes(size: int, window: int, stride: int, step: int, padding: str) -> int:
    reach = (window - 1) * step + 1
    return -(-size // stride) if padding == "SAME" else (size - reach) // stride + 1


def weights(
    rng: Rng, shape: Sequence[int], axis: int, arithmetic: str, per_channel: bool
) -> tuple[Tensor, Array]:
    """Weights and the scale of each channel."""
    channels = shape[axis]
    if arithmetic in ("float32", "float16"):
        real = rng.normal(0, 0.5, shape)
        return tensor(shape, cast(DType, arithmetic), data=real), np.ones(channels)
    scales = np.array([scale(rng, 0.002, 0.02) for _ in range(channels)], np.float32)
    if not per_channel:
        scales[:] = scales[0]
    values = rng.integers(-127, 128, shape)
    if rng.integers(5) == 0:
        values = rng.choice([-127, 127], shape)
    kept = scales if per_channel else scales[:1]
    return tensor(shape, "int8", kept, axis=axis, data=values), scales


def layer(
    rng: Rng,
    kind: str,
    arithmetic: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    y_shape: Sequence[int],
    axis: int,
    **options: Any,
) -> Case:
    """A layer with its weights, a bias or none, and an output scale that fits its sums."""
    real = arithmetic in ("float32", "float16", "hybrid")
    dtype = cast(DType, "float32" if real else arithmetic)
    x = image(rng, dtype, x_shape)
    dense = kind == "FULLY_CONNECTED"
    per_channel = bool(rng.integers(2)) or not dense
    if arithmetic == "hybrid" and dense:
        per_channel = False
    w, scales = weights(rng, w_shape, axis, arithmetic, per_channel)
    channels = w_shape[axis]
    terms = int(np.prod(w_shape)) // channels
    bias: Tensor | None = None
    spread = 1.0
    if not real:
        assert x.quantization is not None
        products = scales * x.quantization.scale
        one = np.sqrt(terms) * 60 * (60 if dtype == "int8" else 15000)
        spread = float(products.mean()) * one / (60 if dtype == "int8" else 15000)
    # The references run these layers without a bias; the others crash there, or refuse it.
    optional = kind != "DEPTHWISE_CONV_2D" and arithmetic in ("int8", "int16", "float32")
    if not optional or rng.integers(4):
        if real:
            bias = tensor((channels,), "float32", data=rng.normal(0, 1, channels))
        else:
            kind_: DType = "int32" if dtype == "int8" else "int64"
            values = rng.integers(-2000, 2000, channels)
            kept = products if per_channel else products[:1]
            bias = tensor((channels,), kind_, kept, data=values)
    y = image(rng, dtype, y_shape, scale=spread * pick(rng, 0.2, 1, 3))
    options["fused_activation_function"] = pick(rng, *ACTIVATIONS)
    label = f"{kind} {arithmetic} {list(x_shape)} by {list(w_shape)} {options}"
    if arithmetic == "float16":
        half = w
        wide = tensor(w_shape, "float32", name="wide")
        graph = single(kind, [x, wide, bias], y, **options)
        graph = behind_dequantize(graph, half)
        return case(rng, label, graph, reference="litert")
    graph = single(kind, [x, w, bias], y, **options)
    if arithmetic == "hybrid":
        return case(rng, label, graph, reference="litert", tolerance=1e-4)
    return case(rng, label, graph)


def behind_dequantize(graph: Graph, half: Tensor) -> Graph:
    """The graph with its second input computed from float16 weights."""
    index = len(graph.tensors)
    op = graph.ops[0]
    before = Op("DEQUANTIZE", (index,), (op.inputs[1],))
    inputs = tuple(i for i in graph.inputs if i != op.inputs[1])
    return Graph((*graph.tensors, half), (before, op), inputs, graph.outputs, graph.name)


def conv(rng: Rng, arithmetic: str) -> Case:
    in_c, out_c = whole(rng, 1, 9), whole(rng, 1, 9)
    groups = 1
    if arithmetic != "hybrid" and rng.integers(4) == 0:
        groups = whole(rng, 2, 3)
        in_c, out_c = groups * whole(rng, 1, 3), groups * whole(rng, 1, 3)
    k_h, k_w = whole(rng, 1, 4), whole(rng, 1, 4)
    step_h, step_w = pick(rng, 1, 1, 1, 2), pick(rng, 1, 1, 1, 2)
    stride_h, stride_w = whole(rng, 1, 3), whole(rng, 1, 3)
    if step_h + step_w > 2:
        stride_h = stride_w = 1
    padding = pick(rng, "SAME", "VALID")
    h, w = whole(rng, (k_h - 1) * step_h + 1, 10), whole(rng, (k_w - 1) * step_w + 1, 10)
    shape = (
        1,
        sizes(h, k_h, stride_h, step_h, padding),
        sizes(w, k_w, stride_w, step_w, padding),
        out_c,
    )
    return layer(
        rng, "CONV_2D", arithmetic, (1, h, w, in_c), (out_c, k_h, k_w, in_c // groups), shape, 0,
        stride_h=stride_h, stride_w=stride_w, dilation_h_factor=step_h, dilation_w_factor=step_w,
        padding=padding,
    )  # fmt: skip


def depthwise(rng: Rng, arithmetic: str) -> Case:
    in_c, multiple = whole(rng, 1, 9), pick(rng, 1, 1, 2, 3)
    k_h, k_w = whole(rng, 1, 4), whole(rng, 1, 4)
    step_h = pick(rng, 1, 1, 1, 2)
    stride = whole(rng, 1, 3) if step_h == 1 else 1
    padding = pick(rng, "SAME", "VALID")
    h, w = whole(rng, (k_h - 1) * step_h + 1, 10), whole(rng, (k_w - 1) * step_h + 1, 10)
    out = (
        1,
        sizes(h, k_h, stride, step_h, padding),
        sizes(w, k_w, stride, step_h, padding),
        in_c * multiple,
    )
    return layer(
        rng, "DEPTHWISE_CONV_2D", arithmetic, (1, h, w, in_c), (1, k_h, k_w, in_c * multiple), out,
        3, stride_h=stride, stride_w=stride, dilation_h_factor=step_h, dilation_w_factor=step_h,
        depth_multiplier=multiple, padding=padding,
    )  # fmt: skip


def dense(rng: Rng, arithmetic: str) -> Case:
    depth, out, rows = whole(rng, 1, 40), whole(rng, 1, 20), pick(rng, 1, 1, 3)
    extra = {}
    if arithmetic == "hybrid":
        extra["asymmetric_quantize_inputs"] = bool(rng.integers(2))
    return layer(
        rng, "FULLY_CONNECTED", arithmetic, (rows, depth), (out, depth), (rows, out), 0, **extra
    )


# Pooling, softmax, reductions


def pool(rng: Rng, kind: str, dtype: DType) -> Case:
    k_h, k_w, stride = whole(rng, 1, 4), whole(rng, 1, 4), whole(rng, 1, 3)
    h, w, c = whole(rng, k_h, 10), whole(rng, k_w, 10), whole(rng, 1, 9)
    padding = pick(rng, "SAME", "VALID")
    out = (1, sizes(h, k_h, stride, 1, padding), sizes(w, k_w, stride, 1, padding), c)
    x = image(rng, dtype, (1, h, w, c))
    y = tensor(out, dtype) if dtype == "float32" else tensor(out, dtype, *quantized(x))
    activation = pick(rng, *ACTIVATIONS)
    graph = single(
        kind, [x], y, filter_height=k_h, filter_width=k_w, stride_h=stride, stride_w=stride,
        padding=padding, fused_activation_function=activation,
    )  # fmt: skip
    return case(rng, f"{kind} {dtype} {x.shape} {k_h}×{k_w}/{stride} {padding} {activation}", graph)


def quantized(one: Tensor) -> tuple[float, int]:
    assert one.quantization is not None
    return one.quantization.scale, one.quantization.zero_point


def softmax(rng: Rng, dtype: DType) -> Case:
    shape = pick(rng, (1, whole(rng, 1, 20)), (1, whole(rng, 1, 5), whole(rng, 1, 20)))
    x = image(rng, dtype, shape, scale=scale(rng, 0.001, 0.5) / (128 if dtype == "int16" else 1))
    y = {
        "float32": lambda: tensor(shape, "float32"),
        "int8": lambda: tensor(shape, "int8", 1 / 256, -128),
        "int16": lambda: tensor(shape, "int16", 1 / 32768, 0),
    }[dtype]()
    beta = pick(rng, 1.0, 1.0, 0.5)
    return case(
        rng, f"SOFTMAX {dtype} {shape} {x.quantization}", single("SOFTMAX", [x], y, beta=beta)
    )


Family = Callable[[Rng], Case]


def family(function: Callable[..., Case], *arguments: Any) -> Family:
    return lambda rng: function(rng, *arguments)


FAMILIES: dict[str, Family] = {
    **{
        f"{function.__name__}_{arithmetic}": family(function, arithmetic)
        for function in (conv, depthwise, dense)
        for arithmetic in ("int8", "int16", "float32", "float16", "hybrid")
    },
    **{
        f"{kind.lower()}_{dtype}": family(pool, kind, dtype)
        for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D")
        for dtype in ("int8", "int16", "float32")
    },
    **{f"softmax_{dtype}": family(softmax, dtype) for dtype in ("int8", "int16", "float32")},
}
