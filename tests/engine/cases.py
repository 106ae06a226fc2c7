"""Generated single-op models: one family an op and arithmetic, every case drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from build import single, tensor
from grid import Case

from autotiny.graph import Array, DType, Graph, Op, Tensor
from autotiny.graph.gru import ROLES

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


def softmax(rng: Rng, dtype: DType, wider: bool = False) -> Case:
    shape = pick(rng, (1, whole(rng, 1, 20)), (1, whole(rng, 1, 5), whole(rng, 1, 20)))
    x = image(rng, dtype, shape, scale=scale(rng, 0.001, 0.5) / (128 if dtype == "int16" else 1))
    y = {
        "float32": lambda: tensor(shape, "float32"),
        "int8": lambda: tensor(shape, "int8", 1 / 256, -128),
        "int16": lambda: tensor(shape, "int16", 1 / 32768, 0),
    }[dtype]()
    if wider:
        y = tensor(shape, "int16", 1 / 65536, -32768)
    beta = pick(rng, 1.0, 1.0, 0.5)
    return case(
        rng, f"SOFTMAX {dtype} {shape} {x.quantization}", single("SOFTMAX", [x], y, beta=beta)
    )


# Elementwise


def unary(rng: Rng, kind: str, dtype: DType) -> Case:
    shape = pick(rng, (1, whole(rng, 1, 300)), (1, whole(rng, 1, 9), whole(rng, 1, 9), 3))
    if dtype == "int16" and rng.integers(2):
        shape = (1, 1 << 16)
    options: dict[str, Any] = {}
    if kind == "LEAKY_RELU":
        options["alpha"] = float(np.float32(pick(rng, 0.1, 0.3, 0.5, 1.5, -0.25)))
    x = image(rng, dtype, shape)
    y = image(rng, dtype, shape)
    reference = "litert" if kind == "RELU_N1_TO_1" else "tflm"
    if dtype != "float32":
        fixed = {
            ("LOGISTIC", "int8"): (1 / 256, -128),
            ("TANH", "int8"): (1 / 128, 0),
            ("LOGISTIC", "int16"): (1 / 32768, 0),
            ("TANH", "int16"): (1 / 32768, 0),
        }
        if (kind, dtype) in fixed:
            low, high = (0.005, 0.2) if dtype == "int8" else (0.00005, 0.0006)
            x = image(rng, dtype, shape, scale=pick(rng, scale(rng, low, high), 2.0**-12, 2.0**-11))
            y = tensor(shape, dtype, *fixed[kind, dtype])
        elif kind in ("RELU6", "RELU_N1_TO_1"):
            # The references agree where nothing is rescaled.
            smallest = 6 / 128 if dtype == "int8" else 6 / 32767
            x = image(rng, dtype, shape, scale=smallest * rng.uniform(1, 3), zero=0)
            y = tensor(shape, dtype, *quantized(x))
        elif kind == "HARD_SWISH":
            x = image(rng, dtype, shape, scale=scale(rng, 0.01, 0.2))
            y = image(rng, dtype, shape, scale=x.quantization.scale * rng.uniform(0.5, 2))  # type: ignore[union-attr]
        elif kind in ("RELU", "LEAKY_RELU"):
            y = image(rng, dtype, shape, scale=x.quantization.scale * rng.uniform(0.3, 2))  # type: ignore[union-attr]
    graph = single(kind, [x], y, **options)
    values = sample(rng, x)
    if x.size == 1 << 16:
        values = np.arange(-(1 << 15), 1 << 15, dtype=np.int16).reshape(shape)
    label = f"{kind} {dtype} {x.quantization} {y.quantization} {options}"
    return Case(label, graph, (values,), reference)


def positive(rng: Rng, kind: str) -> Case:
    shape = (1, whole(rng, 1, 300))
    graph = single(kind, [tensor(shape, "float32")], tensor(shape, "float32"))
    values = rng.uniform(1e-4, 100, shape).astype(np.float32)
    return Case(f"{kind} float32 {shape}", graph, (values,))


def broadcast_shapes(rng: Rng) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = [1, *(whole(rng, 1, 6) for _ in range(3))]
    if rng.integers(6) == 0:
        shape = [1, 64, 64, 8]  # rarely rounded halves are met only among many
    other = list(shape)
    way = int(rng.integers(6))
    if way == 1:
        other = [1, 1, 1, shape[3]]
    elif way == 2:
        other = [shape[3]]
    elif way == 3:
        other = [1]
    elif way == 4:
        other = [n if rng.integers(2) else 1 for n in shape]
    elif way == 5:
        mine = [n if rng.integers(2) else 1 for n in shape]
        other = [n if m != n or rng.integers(2) else 1 for m, n in zip(mine, shape, strict=True)]
        shape = mine
    return tuple(shape), tuple(other)


def binary(rng: Rng, kind: str, dtype: DType) -> Case:
    a_shape, b_shape = broadcast_shapes(rng)
    y_shape = np.broadcast_shapes(a_shape, b_shape)
    options: dict[str, Any] = {}
    a, b, y = image(rng, dtype, a_shape), image(rng, dtype, b_shape), image(rng, dtype, y_shape)
    if dtype == "int32":
        a, b, y = tensor(a_shape, dtype), tensor(b_shape, dtype), tensor(y_shape, dtype)
    elif kind in ("MAXIMUM", "MINIMUM") and dtype != "float32":
        b, y = (tensor(shape, dtype, *quantized(a)) for shape in (b_shape, y_shape))
    elif kind not in ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"):
        options["fused_activation_function"] = pick(rng, *ACTIVATIONS)
    if rng.integers(3) == 0:
        b = tensor(
            b_shape, dtype, *(() if b.quantization is None else quantized(b)), data=sample(rng, b)
        )
    if kind == "DIV":
        b = tensor(b_shape, dtype, data=rng.uniform(0.1, 3, b_shape))
    if rng.integers(2) and kind != "DIV":
        a, b = b, a
    reference = "litert" if dtype == "int32" and kind == "SUB" else "tflm"
    graph = single(kind, [a, b], y, **options)
    return case(rng, f"{kind} {dtype} {a.shape} {b.shape} {options}", graph, reference=reference)


def prelu(rng: Rng, dtype: DType) -> Case:
    shape = (1, whole(rng, 1, 6), whole(rng, 1, 6), whole(rng, 1, 9))
    slopes = pick(rng, (shape[3],), (1, 1, shape[3]), shape[1:])
    x, y = image(rng, dtype, shape), image(rng, dtype, shape)
    if dtype == "float32":
        alpha = tensor(slopes, "float32", data=rng.normal(0, 0.3, slopes))
    else:
        zero_ = 0 if dtype == "int16" else zero(rng, "int8")
        alpha = tensor(slopes, "int8", scale(rng), zero_, data=rng.integers(-127, 128, slopes))
    return case(rng, f"PRELU {dtype} {shape} {slopes}", single("PRELU", [x, alpha], y))


# Moving


def ints(*values: int) -> Tensor:
    return tensor((len(values),), "int32", data=values)


def like(one: Tensor, shape: Sequence[int]) -> Tensor:
    quantization = () if one.quantization is None else quantized(one)
    return tensor(shape, one.dtype, *quantization)


def anything(rng: Rng, dtype: DType, rank: int, most: int = 7) -> Tensor:
    shape = (1, *(whole(rng, 1, most) for _ in range(rank - 1)))
    if dtype in ("int8", "int16"):
        return image(rng, dtype, shape)
    return tensor(shape, dtype)


def slice_(rng: Rng, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 1, 4))
    begin = [whole(rng, 0, n - 1) for n in x.shape]
    size = [whole(rng, 1, n - b) for n, b in zip(x.shape, begin, strict=True)]
    graph = single("SLICE", [x, ints(*begin), ints(*size)], like(x, size))
    return case(rng, f"SLICE {dtype} {x.shape} {begin} {size}", graph)


def strided_slice(rng: Rng, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 2, 4))
    begin, end, stride, out = [], [], [], []
    masks: dict[str, Any] = {"begin_mask": 0, "end_mask": 0, "shrink_axis_mask": 0}
    for i, n in enumerate(x.shape):
        step = pick(rng, 1, 1, 2, 3, -1, -2)
        b, e = whole(rng, 0, n - 1), whole(rng, 0, n)
        if step > 0 and e <= b:
            e = n
        if step < 0:
            b, e = n - 1, pick(rng, -n - 1, -n - 1)
        if i and rng.integers(5) == 0:
            masks["shrink_axis_mask"] |= 1 << i
            step, e = 1, b + 1
        begin.append(b)
        stride.append(step)
        end.append(e)
        if rng.integers(4) == 0 and not masks["shrink_axis_mask"] >> i & 1:
            masks["begin_mask"] |= 1 << i
        if rng.integers(4) == 0 and not masks["shrink_axis_mask"] >> i & 1:
            masks["end_mask"] |= 1 << i
        index = slice(
            None if masks["begin_mask"] >> i & 1 else b,
            None if masks["end_mask"] >> i & 1 else e,
            step,
        )
        if not masks["shrink_axis_mask"] >> i & 1:
            out.append(len(range(n)[index]))
    graph = single(
        "STRIDED_SLICE", [x, ints(*begin), ints(*end), ints(*stride)], like(x, out), **masks
    )
    return case(rng, f"STRIDED_SLICE {dtype} {x.shape} {begin}:{end}:{stride} {masks}", graph)


def transpose(rng: Rng, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 2, 4))
    axes = [int(a) for a in rng.permutation(len(x.shape))]
    graph = single("TRANSPOSE", [x, ints(*axes)], like(x, [x.shape[a] for a in axes]))
    reference = "litert" if dtype == "int32" else "tflm"
    return case(rng, f"TRANSPOSE {dtype} {x.shape} {axes}", graph, reference=reference)


def concatenation(rng: Rng, dtype: DType) -> Case:
    first = anything(rng, dtype, whole(rng, 2, 4))
    axis = whole(rng, 0, len(first.shape) - 1)
    parts = [first]
    for _ in range(whole(rng, 0, 3)):
        shape = list(first.shape)
        shape[axis] = whole(rng, 1, 5)
        parts.append(like(first, shape))
    out = list(first.shape)
    out[axis] = sum(part.shape[axis] for part in parts)
    graph = single("CONCATENATION", parts, like(first, out), axis=pick(rng, axis, axis - len(out)))
    return case(rng, f"CONCATENATION {dtype} {[p.shape for p in parts]} {axis}", graph)


def split(rng: Rng, dtype: DType) -> Case:
    count, x = whole(rng, 1, 4), anything(rng, dtype, whole(rng, 2, 4))
    axis = whole(rng, 0, len(x.shape) - 1)
    shape = list(x.shape)
    shape[axis] *= count
    parts = [list(x.shape)] * count
    x = like(x, shape)
    if rng.integers(2):
        graph = single(
            "SPLIT", [tensor((), "int32", data=axis), x], [like(x, p) for p in parts],
            num_splits=count,
        )  # fmt: skip
        return case(rng, f"SPLIT {dtype} {shape} {axis}", graph)
    sizes_ = [whole(rng, 1, 4) for _ in range(count)]
    shape[axis] = sum(sizes_)
    x = like(x, shape)
    outs = []
    for n in sizes_:
        out = list(shape)
        out[axis] = n
        outs.append(like(x, out))
    graph = single(
        "SPLIT_V", [x, ints(*sizes_), tensor((), "int32", data=axis)], outs, num_splits=count
    )
    return case(rng, f"SPLIT_V {dtype} {shape} {axis} {sizes_}", graph)


def pack(rng: Rng, dtype: DType) -> Case:
    first, count = anything(rng, dtype, whole(rng, 1, 3)), whole(rng, 1, 4)
    axis = whole(rng, 0, len(first.shape))
    out = list(first.shape)
    out.insert(axis, count)
    if rng.integers(2):
        graph = single("PACK", [first] * count, like(first, out), axis=axis, values_count=count)
        return case(rng, f"PACK {dtype} {first.shape} {axis}", graph)
    graph = single("UNPACK", [like(first, out)], [first] * count, axis=axis, num=count)
    return case(rng, f"UNPACK {dtype} {out} {axis}", graph)


def pad(rng: Rng, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 1, 4), 5)
    paddings = [[whole(rng, 0, 3), whole(rng, 0, 3)] for _ in x.shape]
    out = [n + a + b for n, (a, b) in zip(x.shape, paddings, strict=True)]
    table = tensor((len(out), 2), "int32", data=paddings)
    if rng.integers(2):
        return case(
            rng, f"PAD {dtype} {x.shape} {paddings}", single("PAD", [x, table], like(x, out))
        )
    value = like(x, (1,))
    value = tensor(
        (1,), dtype, *(() if x.quantization is None else quantized(x)), data=sample(rng, value)
    )
    graph = single("PADV2", [x, table, value], like(x, out))
    return case(rng, f"PADV2 {dtype} {x.shape} {paddings}", graph)


def mirror_pad(rng: Rng, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 1, 4), 5)
    mode = pick(rng, "REFLECT", "SYMMETRIC")
    most = [n - (mode == "REFLECT") for n in x.shape]
    paddings = [[whole(rng, 0, m), whole(rng, 0, m)] for m in most]
    out = [n + a + b for n, (a, b) in zip(x.shape, paddings, strict=True)]
    table = tensor((len(out), 2), "int32", data=paddings)
    graph = single("MIRROR_PAD", [x, table], like(x, out), mode=mode)
    reference = "tflm" if dtype in ("int8", "float32") else "litert"
    label = f"MIRROR_PAD {dtype} {x.shape} {paddings} {mode}"
    return case(rng, label, graph, reference=reference)


def gather(rng: Rng, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 1, 4))
    axis = whole(rng, 0, len(x.shape) - 1)
    found = rng.integers(0, x.shape[axis], whole(rng, 1, 5)).tolist()
    out = [*x.shape[:axis], len(found), *x.shape[axis + 1 :]]
    graph = single("GATHER", [x, ints(*found)], like(x, out), axis=axis)
    reference = "litert" if dtype in ("int16", "int32") else "tflm"
    return case(rng, f"GATHER {dtype} {x.shape} {axis} {found}", graph, reference=reference)


def blocks(rng: Rng, kind: str, dtype: DType) -> Case:
    h, w, c, block = whole(rng, 1, 4), whole(rng, 1, 4), whole(rng, 1, 4), whole(rng, 1, 3)
    wide, deep = (1, h * block, w * block, c), (1, h, w, c * block * block)
    shapes = (wide, deep) if kind == "SPACE_TO_DEPTH" else (deep, wide)
    x = image(rng, dtype, shapes[0]) if dtype in RANGE else tensor(shapes[0], dtype)
    graph = single(kind, [x], like(x, shapes[1]), block_size=block)
    return case(rng, f"{kind} {dtype} {shapes[0]} {block}", graph)


def reshape(rng: Rng, kind: str, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 2, 4))
    if kind == "EXPAND_DIMS":
        axis = whole(rng, 0, len(x.shape))
        out = list(x.shape)
        out.insert(axis, 1)
        graph = single(kind, [x, ints(axis)], like(x, out))
    elif kind == "SQUEEZE":
        graph = single(kind, [x], like(x, x.shape[1:]), squeeze_dims=(0,))
    else:
        out = [1, x.size]
        graph = single(kind, [x, ints(*out)], like(x, out), new_shape=tuple(out))
    reference = "litert" if (kind, dtype) == ("EXPAND_DIMS", "int32") else "tflm"
    return case(rng, f"{kind} {dtype} {x.shape}", graph, reference=reference)


def quantize(rng: Rng, source: DType, target: DType) -> Case:
    shape = (1, whole(rng, 1, 100))
    x, y = image(rng, source, shape), image(rng, target, shape)
    kind = "DEQUANTIZE" if target == "float32" else "QUANTIZE"
    return case(
        rng, f"{kind} {source} {target} {x.quantization} {y.quantization}", single(kind, [x], y)
    )


# Reductions, matrices, images


def reduction(rng: Rng, kind: str, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 2, 4))
    rank = len(x.shape)
    axes = sorted(int(a) for a in rng.choice(rank, whole(rng, 1, rank), replace=False))
    keep = bool(rng.integers(2))
    out = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
    axes = [a - rank if rng.integers(2) else a for a in axes]
    y = image(rng, dtype, out)
    if kind == "SUM" and dtype != "float32":
        y = image(rng, dtype, out, scale=quantized(x)[0] * rng.uniform(1, 9))
    elif kind in ("REDUCE_MAX", "REDUCE_MIN") or (dtype == "int16" and rng.integers(2)):
        y = like(x, out)
    graph = single(kind, [x, ints(*axes)], y, keep_dims=keep)
    reference = "litert" if (kind, dtype) in LITERT_REDUCES else "tflm"
    return case(rng, f"{kind} {dtype} {x.shape} {axes} {keep}", graph, reference=reference)


LITERT_REDUCES = {("REDUCE_MAX", "int16"), ("REDUCE_MIN", "int16")}


def arg(rng: Rng, kind: str, dtype: DType) -> Case:
    x = anything(rng, dtype, whole(rng, 1, 4))
    axis = whole(rng, 0, len(x.shape) - 1)
    out = [n for i, n in enumerate(x.shape) if i != axis]
    target: DType = pick(rng, "int32", "int32", "int64")
    graph = single(
        kind, [x, tensor((), "int32", data=axis)], tensor(out, target), output_type=target
    )
    reference = "tflm" if target == "int32" else "litert"
    return case(rng, f"{kind} {dtype} {x.shape} {axis} {target}", graph, reference=reference)


def transpose_conv(rng: Rng, arithmetic: str) -> Case:
    real = arithmetic in ("float32", "float16", "hybrid")
    dtype = cast(DType, "float32" if real else arithmetic)
    in_c, out_c, k_h, k_w = (whole(rng, 1, n) for n in (6, 6, 4, 4))
    h, w, stride_h, stride_w = (whole(rng, 1, n) for n in (5, 5, 3, 3))
    padding = pick(rng, "SAME", "VALID")
    shape = (1, h * stride_h, w * stride_w, out_c)
    if padding == "VALID":
        shape = (1, (h - 1) * stride_h + k_h, (w - 1) * stride_w + k_w, out_c)
    x = image(rng, dtype, (1, h, w, in_c))
    w_shape = (out_c, k_h, k_w, in_c)
    per_channel = bool(rng.integers(2)) or arithmetic == "hybrid"
    weights_, scales = weights(rng, w_shape, 0, arithmetic, per_channel)
    bias: Tensor | None = None
    spread = 1.0
    if real:
        bias = tensor((out_c,), dtype, data=rng.normal(0, 1, out_c))
    else:
        products = scales * quantized(x)[0]
        spread = float(products.mean()) * np.sqrt(k_h * k_w * in_c) * 60
        assert weights_.quantization is not None
        kept = products if len(weights_.quantization.scales) > 1 else products[:1]
        kind: DType = "int32" if dtype == "int8" else "int64"
        bias = tensor((out_c,), kind, kept, data=rng.integers(-2000, 2000, out_c))
    y = image(rng, dtype, shape, scale=spread * pick(rng, 0.3, 1, 2))
    inputs = [ints(*shape), weights_, x, bias]
    if dtype != "float32" and rng.integers(3) == 0:
        inputs = inputs[:3]
    graph = single(
        "TRANSPOSE_CONV", inputs, y, padding=padding, stride_h=stride_h, stride_w=stride_w,
        fused_activation_function=pick(rng, "NONE", "RELU"),
    )  # fmt: skip
    label = f"TRANSPOSE_CONV {arithmetic} {x.shape} {w_shape} {stride_h}×{stride_w} {padding}"
    if arithmetic == "float16":
        return case(rng, label, behind_dequantize(graph, weights_), reference="litert")
    if arithmetic == "hybrid":
        return case(rng, label, graph, reference="litert", tolerance=1e-4)
    return case(rng, label, graph)


def resize(rng: Rng, kind: str, dtype: DType) -> Case:
    h, w, c, out_h, out_w = (whole(rng, 1, n) for n in (6, 6, 4, 9, 9))
    mode = whole(rng, 0, 2)
    x = image(rng, dtype, (1, h, w, c))
    graph = single(
        kind, [x, ints(out_h, out_w)], like(x, (1, out_h, out_w, c)), align_corners=mode == 1,
        half_pixel_centers=mode == 2,
    )  # fmt: skip
    tflm_has = {
        "RESIZE_NEAREST_NEIGHBOR": ("int8", "int16", "float32"),
        "RESIZE_BILINEAR": ("int8", "float32"),
    }
    reference = "tflm" if dtype in tflm_has[kind] else "litert"
    label = f"{kind} {dtype} {x.shape} to {out_h}×{out_w} mode {mode}"
    return case(rng, label, graph, reference=reference)


def batch_matmul(rng: Rng, dtype: DType) -> Case:
    m, k, n = (whole(rng, 1, 7) for _ in range(3))
    batches = [whole(rng, 1, 3) for _ in range(whole(rng, 0, 2))]
    other = [b if rng.integers(2) else 1 for b in batches]
    adj_x, adj_y = bool(rng.integers(2)), bool(rng.integers(2))
    a = image(rng, dtype, [*batches, *((k, m) if adj_x else (m, k))])
    b = image(rng, dtype, [*other, *((n, k) if adj_y else (k, n))])
    y = image(rng, dtype, [*batches, m, n])
    if dtype != "float32":
        spread = quantized(a)[0] * quantized(b)[0] * np.sqrt(k) * (60 if dtype == "int8" else 15000)
        y = image(rng, dtype, y.shape, scale=spread * pick(rng, 0.5, 1, 2))
    graph = single("BATCH_MATMUL", [a, b], y, adj_x=adj_x, adj_y=adj_y)
    return case(rng, f"BATCH_MATMUL {dtype} {a.shape} {b.shape} {adj_x} {adj_y}", graph)


def l2_normalization(rng: Rng, dtype: DType) -> Case:
    x = image(rng, dtype, (1, whole(rng, 1, 4), whole(rng, 1, 40)))
    y = tensor(x.shape, dtype) if dtype == "float32" else tensor(x.shape, dtype, 1 / 128, 0)
    return case(rng, f"L2_NORMALIZATION {dtype} {x.shape}", single("L2_NORMALIZATION", [x], y))


def log_softmax(rng: Rng) -> Case:
    x = tensor((1, whole(rng, 1, 4), whole(rng, 1, 12)), "float32")
    return case(rng, f"LOG_SOFTMAX float32 {x.shape}", single("LOG_SOFTMAX", [x], x))


def cast_(rng: Rng, source: DType, target: DType) -> Case:
    shape = (1, whole(rng, 1, 60))
    x, y = tensor(shape, source), tensor(shape, target)
    graph = single("CAST", [x], y, in_data_type=source, out_data_type=target)
    values = rng.integers(-120, 120, shape).astype(source)
    if source == "float32":
        values = rng.uniform(-120, 120, shape).astype(source)
    return Case(f"CAST {source} to {target} {shape}", graph, (values,), "litert")


# Layers that remember


def svdf(rng: Rng, arithmetic: str) -> Case:
    units, rank, depth, memory = (
        whole(rng, 1, 8),
        pick(rng, 1, 1, 2),
        whole(rng, 1, 9),
        whole(rng, 1, 9),
    )
    filters = units * rank
    runs = whole(rng, 1, 4)
    label = f"SVDF {arithmetic} {units} units of rank {rank}, {depth} by {memory}, {runs} runs"
    if arithmetic == "float32":
        inputs = [
            tensor((1, depth), "float32"),
            tensor((filters, depth), "float32", data=rng.normal(0, 1, (filters, depth))),
            tensor((filters, memory), "float32", data=rng.normal(0, 1, (filters, memory))),
            tensor((units,), "float32", data=rng.normal(0, 1, units)),
            tensor((1, filters * memory), "float32"),
        ]
        y = tensor((1, units), "float32")
        graph = single("SVDF", inputs, y, state=[4], rank=rank, fused_activation_function="RELU")
        return case(rng, label, graph, runs=runs, magnitude=1.0)
    state = cast(DType, arithmetic)
    high = RANGE[arithmetic][1]
    x = image(rng, "int8", (1, depth))
    feature, time = scale(rng, 0.005, 0.02), scale(rng, 0.005, 0.02) / (high // 127)
    spread = quantized(x)[0] * feature * np.sqrt(depth) * 60 * 60
    past = spread / high * pick(rng, 1, 2)
    total = past * time * np.sqrt(memory * rank) * (high / 2) * (high / 2)
    inputs = [
        x,
        tensor((filters, depth), "int8", feature, data=rng.integers(-127, 128, (filters, depth))),
        tensor((filters, memory), state, time, data=rng.integers(-high, high, (filters, memory))),
        tensor((units,), "int32", past * time, data=rng.integers(-1000, 1000, units)),
        tensor((1, filters * memory), state, past, zero(rng, state)),
    ]
    y = image(rng, "int8", (1, units), scale=total / 60)
    graph = single("SVDF", inputs, y, state=[4], rank=rank, fused_activation_function="RELU")
    return case(rng, label, graph, runs=runs)


def lstm(rng: Rng, dtype: DType) -> Case:
    steps, depth, units, runs = (whole(rng, 1, n) for n in (5, 8, 8, 2))
    real = dtype == "float32"
    x = image(rng, dtype, (1, steps, depth), scale=1 / 128 if dtype == "int8" else 1 / 32768)
    hidden_scale = (1 / 128 if dtype == "int8" else 1 / 32768) * pick(rng, 1, 1.1)

    def matrix(columns: int) -> Tensor:
        if real:
            return tensor((units, columns), dtype, data=rng.normal(0, 0.5, (units, columns)))
        values = rng.integers(-127, 128, (units, columns))
        return tensor((units, columns), "int8", scale(rng, 0.005, 0.05), data=values)

    def bias(weight: Tensor) -> Tensor:
        if real:
            return tensor((units,), dtype, data=rng.normal(0, 0.5, units))
        product = quantized(x)[0] * quantized(weight)[0]
        kind: DType = "int32" if dtype == "int8" else "int64"
        return tensor((units,), kind, product, data=rng.integers(-3000, 3000, units))

    w = [matrix(depth) for _ in range(4)]
    hidden = tensor((1, units), dtype)
    cell = tensor((1, units), "float32")
    y = tensor((1, steps, units), dtype)
    if not real:
        point = zero(rng, dtype)
        hidden = tensor((1, units), dtype, hidden_scale, point)
        y = tensor((1, steps, units), dtype, hidden_scale, point)
        cell = tensor((1, units), "int16", 2.0 ** -pick(rng, 11, 12, 13, 15))
    inputs: list[Tensor | None] = [
        x, *w, *(matrix(units) for _ in range(4)), None, None, None, *(bias(one) for one in w),
        None, None, hidden, cell, None, None, None, None,
    ]  # fmt: skip
    options: dict[str, Any] = {"fused_activation_function": "TANH"}
    if rng.integers(3) == 0:
        options["cell_clip"] = 0.5
    graph = single("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, y, state=[18, 19], **options)
    label = f"LSTM {dtype} {steps} steps, {depth} to {units}, {options}, {runs} runs"
    return case(rng, label, graph, runs=runs)


def gru(rng: Rng, arithmetic: str) -> Case:
    """Scales that fit the sums, or cut them a little."""
    steps, depth, units = (whole(rng, 1, n) for n in (5, 9, 9))
    flags = ("time_major", "reset_after", "backwards", "results_backwards")
    options: dict[str, Any] = {name: bool(rng.integers(2)) for name in flags}
    after, real = options["reset_after"], arithmetic in ("float32", "float16", "hybrid")
    dtype = cast(DType, "float32" if real else arithmetic)
    most, point = (1, 0) if real else (RANGE[dtype][1] + 1, zero(rng, dtype))
    x = image(rng, dtype, (steps, 1, depth) if options["time_major"] else (1, steps, depth))
    state = tensor((1, units), dtype, *(() if real else (pick(rng, 1, 1.1) / most, point)))
    per_channel = bool(rng.integers(2))

    def matrix(source: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        made, scales = weights(rng, shape, 0, arithmetic, per_channel)
        if rng.integers(3) == 0:
            return made, None
        if real:
            return made, tensor(shape[:1], "float32", data=rng.normal(0, 0.5, shape[0]))
        kept = (scales if per_channel else scales[:1]) * quantized(source)[0]
        kind: DType = "int32" if dtype == "int8" else "int64"
        return made, tensor(shape[:1], kind, kept, data=rng.integers(-3000, 3000, shape[0]))

    inputs: list[Tensor | None] = [x, *matrix(x, (3 * units, depth))]
    product = state if real else tensor((1, units), dtype, 1 / most, point)
    if after:
        inputs += [*matrix(state, (3 * units, units)), None, None]
    else:
        inputs += [*matrix(state, (2 * units, units)), *matrix(product, (units, units))]
    shape = (*x.shape[:2], units) if rng.integers(2) else (1, units)
    graph = single("GRU", inputs, replace(state, shape=shape), **options)
    label = f"GRU {arithmetic} {steps} steps, {depth} to {units}, {options}, gives {shape}"
    if real:
        if arithmetic == "hybrid" and rng.integers(2):
            graph = with_options(graph, asymmetric_quantize_inputs=True)
        tolerance = 1e-3 if arithmetic == "hybrid" else 1e-5
        return case(rng, label, graph, reference="litert", tolerance=tolerance)
    fixed = {"update": -most, "reset": -most, "candidate": 0, "one": -most}
    scales = {
        "update": 0.5 / most, "reset": 0.5 / most, "candidate": 1 / most, "one": 1 / (2 * most - 1),
    }  # fmt: skip
    if dtype == "int16":
        fixed = dict.fromkeys(fixed, 0)
        scales = {name: 1 / (most - (name == "one")) for name in scales}
    inner = [
        tensor(
            (0,), dtype, scales.get(role, pick(rng, 2, 4) / most),
            fixed.get(role, zero(rng, dtype)), name=role,
        )
        if role != "reset_product" else replace(product, shape=(0,), name=role)
        for role in ROLES
    ]  # fmt: skip
    places = tuple(range(len(graph.tensors), len(graph.tensors) + len(inner)))
    graph = replace(graph, tensors=(*graph.tensors, *inner))
    return case(rng, label, with_options(graph, intermediates=places))


def with_options(graph: Graph, **options: Any) -> Graph:
    (op,) = graph.ops
    return graph.with_ops((replace(op, options={**op.options, **options}),))


Family = Callable[[Rng], Case]


def family(function: Callable[..., Case], *arguments: Any) -> Family:
    return lambda rng: function(rng, *arguments)


def by_litert(make: Family) -> Family:
    """The same cases, compared with LiteRT: TensorFlow Lite Micro has no such kernel."""
    return lambda rng: replace(make(rng), reference="litert")


def moved(make: Family) -> Family:
    """The same cases of a type that no reference moves, compared by where elements go."""
    return lambda rng: replace(make(rng), reference="moved")


def clipped_int16(rng: Rng) -> Case:
    """RELU_N1_TO_1, which no reference computes in int16."""
    made = unary(rng, "RELU_N1_TO_1", "int16")
    end = round(1 / quantized(made.graph.tensors[0])[0])
    return replace(made, wanted=(np.clip(made.samples[0], -end, end),))


RARE: tuple[DType, ...] = ("uint8", "int64", "bool")
"""Types that are moved and never computed with."""

FAMILIES: dict[str, Family] = {
    **{
        f"{function.__name__.rstrip('_')}_{dtype}": by_litert(family(function, dtype))
        for function in (slice_, strided_slice, transpose, concatenation, pad, mirror_pad, gather)
        for dtype in RARE
    },
    **{
        f"{function.__name__}_{dtype}": moved(family(function, dtype))
        for function in (split, pack)
        for dtype in RARE
    },
    **{
        f"{kind.lower()}_{dtype}": moved(family(blocks, kind, dtype))
        for kind in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
        for dtype in (*RARE, "int16", "int32")
    },
    **{
        f"{kind.lower()}_{dtype}": by_litert(family(reshape, kind, dtype))
        for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
        for dtype in RARE
    },
    "cast_bool_float32": family(cast_, "bool", "float32"),
    "exp_int8": by_litert(family(unary, "EXP", "int8")),
    "relu_n1_to_1_int16": clipped_int16,
    "resize_nearest_neighbor_uint8": by_litert(family(resize, "RESIZE_NEAREST_NEIGHBOR", "uint8")),
    "quantize_uint8_int8": by_litert(family(quantize, "uint8", "int8")),
    "quantize_uint8_float32": by_litert(family(quantize, "uint8", "float32")),
    "quantize_int32_int8": by_litert(family(quantize, "int32", "int8")),
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
    "softmax_int8_int16": family(softmax, "int8", True),
    **{
        f"{kind.lower()}_{dtype}": family(unary, kind, dtype)
        for kind, dtypes in {
            "RELU": ("int8", "int16", "float32"),
            "RELU6": ("int8", "int16", "float32"),
            "RELU_N1_TO_1": ("int8", "float32"),
            "LEAKY_RELU": ("int8", "int16", "float32"),
            "LOGISTIC": ("int8", "int16", "float32"),
            "TANH": ("int8", "int16", "float32"),
            "HARD_SWISH": ("int8", "float32"),
            "ELU": ("int8", "float32"),
            "EXP": ("float32",),
            "ABS": ("float32",),
            "NEG": ("float32",),
            "SQUARE": ("float32",),
        }.items()
        for dtype in dtypes
    },
    **{f"{kind.lower()}_float32": family(positive, kind) for kind in ("SQRT", "RSQRT", "LOG")},
    "log_softmax_float32": log_softmax,
    **{
        f"cast_{source}_{target}": family(cast_, source, target)
        for source, target in (
            ("float32", "int8"),
            ("float32", "int32"),
            ("int8", "float32"),
            ("int8", "int32"),
            ("int16", "float32"),
            ("int32", "float32"),
            ("int32", "int8"),
        )
    },
    **{
        f"{kind.lower()}_{dtype}": family(binary, kind, dtype)
        for kind, dtypes in {
            "ADD": ("int8", "int16", "float32", "int32"),
            "SUB": ("int8", "int16", "float32", "int32"),
            "MUL": ("int8", "int16", "float32", "int32"),
            "MAXIMUM": ("int8", "int16", "float32", "int32"),
            "MINIMUM": ("int8", "int16", "float32", "int32"),
            "DIV": ("float32",),
            "SQUARED_DIFFERENCE": ("float32",),
        }.items()
        for dtype in dtypes
    },
    **{f"prelu_{dtype}": family(prelu, dtype) for dtype in ("int8", "int16", "float32")},
    **{
        f"{function.__name__.rstrip('_')}_{dtype}": family(function, dtype)
        for function in (
            slice_,
            strided_slice,
            transpose,
            concatenation,
            split,
            pack,
            pad,
            mirror_pad,
            gather,
        )
        for dtype in ("int8", "int16", "float32", "int32")
    },
    **{
        f"{kind.lower()}_{dtype}": family(blocks, kind, dtype)
        for kind in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
        for dtype in ("int8", "float32")
    },
    **{
        f"{kind.lower()}_{dtype}": family(reshape, kind, dtype)
        for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
        for dtype in ("int8", "int16", "float32", "int32")
    },
    **{
        f"quantize_{source}_{target}": family(quantize, source, target)
        for source, target in (
            ("float32", "int8"),
            ("float32", "int16"),
            ("int8", "int8"),
            ("int16", "int16"),
            ("int8", "int16"),
            ("int16", "int8"),
            ("int8", "float32"),
            ("int16", "float32"),
        )
    },
    **{
        f"{kind.lower()}_{dtype}": family(reduction, kind, dtype)
        for kind, dtypes in {
            "MEAN": ("int8", "int16", "float32"),
            "SUM": ("int8", "int16", "float32"),
            "REDUCE_MAX": ("int8", "int16", "float32"),
            "REDUCE_MIN": ("int8", "int16", "float32"),
        }.items()
        for dtype in dtypes
    },
    **{
        f"{kind.lower()}_{dtype}": family(arg, kind, dtype)
        for kind in ("ARG_MAX", "ARG_MIN")
        for dtype in ("int8", "float32")
    },
    **{
        f"{function.__name__}_{dtype}": family(function, dtype)
        for function in (transpose_conv, batch_matmul)
        for dtype in ("int8", "int16", "float32")
    },
    **{f"transpose_conv_{way}": family(transpose_conv, way) for way in ("float16", "hybrid")},
    **{
        f"{kind.lower()}_{dtype}": family(resize, kind, dtype)
        for kind in ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")
        for dtype in ("int8", "int16", "float32")
    },
    **{
        f"l2_normalization_{dtype}": family(l2_normalization, dtype)
        for dtype in ("int8", "float32")
    },
    **{
        f"svdf_{arithmetic}": family(svdf, arithmetic)
        for arithmetic in ("int8", "int16", "float32")
    },
    **{f"lstm_{dtype}": family(lstm, dtype) for dtype in ("int8", "int16", "float32")},
    **{
        f"gru_{arithmetic}": family(gru, arithmetic)
        for arithmetic in ("int8", "int16", "float32", "float16", "hybrid")
    },
}
