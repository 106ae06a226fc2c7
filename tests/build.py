"""Single-op graphs for tests, and the two interpreters that computed results are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autotiny.graph import Array, DType, Graph, Op, Quantization, Tensor


def tensor(
    shape: Sequence[int],
    dtype: DType = "int8",
    scale: Any = None,
    zero_point: int | Sequence[int] = 0,
    *,
    axis: int = 0,
    data: Any = None,
    name: str = "",
) -> Tensor:
    """A tensor; a constant if `data` is given."""
    quantization = None
    if scale is not None:
        scales = tuple(float(s) for s in np.atleast_1d(np.asarray(scale, np.float32)))
        points = tuple(int(z) for z in np.broadcast_to(np.atleast_1d(zero_point), (len(scales),)))
        quantization = Quantization(scales, points, axis)
    if data is not None:
        kept = "int8" if dtype == "int4" else dtype
        data = np.ascontiguousarray(np.asarray(data, kept)).reshape(tuple(shape))
    return Tensor(name, tuple(int(n) for n in shape), dtype, quantization, data)


def single(
    kind: str,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor] | Tensor,
    *,
    state: Sequence[int] = (),
    **options: Any,
) -> Graph:
    """A graph of one op.

    Args:
        kind: the op.
        inputs: its inputs; those without data are inputs of the graph, None is an absent one.
        outputs: its outputs, also those of the graph.
        state: positions of inputs that are state and so no inputs of the graph.
        options: options that differ from the schema's defaults.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    tensors: list[Tensor] = []
    indices: list[int] = []
    for i, one in enumerate(inputs):
        indices.append(-1 if one is None else len(tensors))
        if one is not None:
            tensors.append(_named(one, f"in{i}"))
    feeds = [
        index
        for i, index in enumerate(indices)
        if index >= 0 and tensors[index].data is None and i not in state
    ]
    first = len(tensors)
    tensors += [_named(one, f"out{i}") for i, one in enumerate(outputs)]
    results = tuple(range(first, first + len(outputs)))
    op = Op(kind, tuple(indices), results, dict(options))
    return Graph(tuple(tensors), (op,), tuple(feeds), results, kind.lower())


def _named(one: Tensor, name: str) -> Tensor:
    return Tensor(one.name or name, one.shape, one.dtype, one.quantization, one.data)


def litert(model: bytes, *samples: Array, runs: int = 1) -> list[Array]:
    """The outputs of LiteRT's reference kernels, in the order of the graph, after the last run."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for details, sample in zip(interpreter.get_input_details(), samples, strict=True):
        interpreter.set_tensor(details["index"], sample.reshape(details["shape"]))
    for _ in range(runs):
        interpreter.invoke()
    return [interpreter.get_tensor(d["index"]).copy() for d in interpreter.get_output_details()]


def tflm(
    model: bytes, *samples: Array, outputs: int = 1, runs: int = 1, arena_bytes: int = 1 << 20
) -> list[Array]:
    """The first outputs of TensorFlow Lite Micro, in the order of the graph, after the last run."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
    for _ in range(runs):
        for i, sample in enumerate(samples):
            shape = interpreter.get_input_details(i)["shape"]
            interpreter.set_input(sample.reshape(shape), i)
        interpreter.invoke()
    return [interpreter.get_output(i).copy() for i in range(outputs)]
