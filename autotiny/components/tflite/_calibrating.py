"""Ranges of activations from samples: which part of what was seen int8 should cover.

The converter takes the least and the greatest value. One outlier then costs every other value
resolution, so ranges can also be cut: at a percentile, or where the mean squared error is least (Wu
et al., "Integer Quantization for Deep Learning Inference", 2020).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from autotiny.graph import Array
from autotiny.model import silent_stderr, tensorflow

Method = Literal["min_max", "percentile", "mse"]
Kept = Literal["nothing", "first", "last", "both"]

PERCENTILE = 99.9
VALUES_A_SAMPLE = 4096
"""Of each tensor so many values are looked at, evenly spread: enough for a percentile."""

SHARES = np.linspace(0.3, 1.0, 36)
"""Parts of the full range that the search for the least error tries."""

SAME_RANGE = frozenset({
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD",
    "STRIDED_SLICE", "SLICE", "SPLIT", "GATHER", "RESIZE_NEAREST_NEIGHBOR",
})  # fmt: skip
"""Ops whose result must have the scale of their input."""


def quantized(
    calibrated: bytes, samples: Sequence[Array], method: Method, keep_float: Kept, ports: str
) -> bytes:
    """An int8 `.tflite` from a float one that holds the ranges the converter saw.

    Args:
        calibrated: the float model with the least and greatest value of each tensor.
        samples: (N, …) for each input.
        method: how ranges are cut.
        keep_float: which layers with weights stay float.
        ports: type of input and output, "int8" or "float32".
    """
    tf = tensorflow()
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.python.convert import mlir_quantize

    model = _unpacked(calibrated)
    graph = model.subgraphs[0]
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    kinds = [codes[model.operatorCodes[op.opcodeIndex].builtinCode] for op in graph.operators]
    if method != "min_max":
        _cut(graph, kinds, _seen(calibrated, graph, samples), method)
    names = {graph.tensors[index].name.decode() for index in _kept(graph, kinds, keep_float)}
    with silent_stderr():
        result: bytes = mlir_quantize(
            _packed(model),
            input_data_type=tf.dtypes.as_dtype(ports),
            output_data_type=tf.dtypes.as_dtype(ports),
            denylisted_nodes=names,
        )
    return in_order(bytes(result))


def in_order(flat: bytes) -> bytes:
    """A `.tflite` whose inputs and outputs stand in the order of their numbers.

    The converter brings several into another order where it keeps an LSTM; its signature says which
    one is "input_0", and which "output_0".
    """
    model = _unpacked(flat)
    graph = model.subgraphs[0]
    if not model.signatureDefs or max(len(graph.inputs), len(graph.outputs)) == 1:
        return flat
    (signature,) = model.signatureDefs
    for side, entries in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        numbered = {int(one.name.decode().rpartition("_")[2]): one.tensorIndex for one in entries}
        setattr(graph, side, [numbered[number] for number in sorted(numbered)])
    return _packed(model)


def _unpacked(flat: bytes) -> Any:
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(flat), 0))


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _kept(graph: Any, kinds: Sequence[str], keep_float: Kept) -> list[int]:
    """Results of the layers that stay float."""
    layers = [
        op.outputs[0]
        for op, kind in zip(graph.operators, kinds, strict=True)
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]
    first, last = layers[:1], layers[-1:]
    return {"nothing": [], "first": first, "last": last, "both": [*first, *last]}[keep_float]


def _seen(calibrated: bytes, graph: Any, samples: Sequence[Array]) -> dict[int, Array]:
    """Values of every tensor that has a range and memory, over all samples."""
    from ai_edge_litert.interpreter import Interpreter

    ranged = [
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.quantization is not None and tensor.quantization.min is not None
    ]
    found: dict[int, list[Array]] = {index: [] for index in ranged}
    with silent_stderr(), warnings.catch_warnings():
        # It warns of the memory that kept tensors take.
        warnings.simplefilter("ignore")
        interpreter = Interpreter(model_content=calibrated, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        for number in range(len(samples[0])):
            for index, rows in zip(graph.inputs, samples, strict=True):
                interpreter.set_tensor(index, rows[number : number + 1])
            interpreter.reset_all_variables()
            interpreter.invoke()
            for index in ranged:
                values = _values(interpreter, index)
                found[index].append(values[:: max(1, len(values) // VALUES_A_SAMPLE)].copy())
    seen = {index: np.concatenate(values) for index, values in found.items()}
    return {index: values for index, values in seen.items() if values.size}


def _values(interpreter: Any, index: int) -> Array:
    """What a tensor holds, flat; nothing of one without memory, e.g. inside of an LSTM op."""
    try:
        values: Array = interpreter.get_tensor(index).reshape(-1)
    except ValueError:  # "Tensor data is null"
        return np.zeros(0, np.float32)
    return values


def _cut(graph: Any, kinds: Sequence[str], seen: dict[int, Array], method: Method) -> None:
    """Narrows the ranges stored in the model."""
    for index, values in seen.items():
        stored = graph.tensors[index].quantization
        low, high = float(stored.min[0]), float(stored.max[0])
        cut = _percentile(values) if method == "percentile" else _least_error(values, low, high)
        _store(stored, max(low, cut[0]), min(high, cut[1]))
    for op, kind in zip(graph.operators, kinds, strict=True):
        source = op.inputs[0] if kind in SAME_RANGE else None
        if source in seen:
            before = graph.tensors[source].quantization
            for index in op.outputs:
                _store(graph.tensors[index].quantization, before.min[0], before.max[0])


def _store(quantization: Any, low: float, high: float) -> None:
    # Zero has to be representable exactly: padding and ReLU need it.
    quantization.min = [min(float(low), 0.0)]
    quantization.max = [max(float(high), 0.0)]


def _percentile(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [100 - PERCENTILE, PERCENTILE])
    return float(low), float(high)


def _least_error(values: Array, low: float, high: float) -> tuple[float, float]:
    """The part of a range whose 256 steps lose least, clipping counted in."""
    best, least = (low, high), np.inf
    for share in SHARES:
        bottom, top = min(share * low, 0.0), max(share * high, 0.0)
        scale = max(top - bottom, 1e-9) / 255
        stored = np.clip(np.round((values - bottom) / scale), 0, 255)
        error = float(np.mean((stored * scale + bottom - values) ** 2))
        if error < least:
            best, least = (bottom, top), error
    return best
