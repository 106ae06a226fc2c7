"""ONNX networks for tests, made by onnx's own helpers, and what onnxruntime computes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save

from autotiny.graph import Array
from autotiny.model.onnx import Built

Step = tuple[Any, ...]
"""An operator, and the constants that it reads behind the tensor before it; attributes last."""


def constant(*shape: int, seed: int = 0) -> Array:
    """Weights."""
    return (np.random.default_rng(seed).normal(size=shape) * 0.3).astype(np.float32)


def chain(shape: Sequence[int | str | None], *steps: Step, opset: int = 17) -> Any:
    """A model of operators one behind the other."""
    nodes, constants, last = [], [], "x"
    for place, (kind, *rest) in enumerate(steps):
        attributes = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        names = []
        for at, value in enumerate(rest):
            names.append(f"c{place}_{at}" if value is not None else "")
            if value is not None:
                constants.append(numpy_helper.from_array(np.asarray(value), names[-1]))
        outputs = [f"y{place}"]
        nodes.append(
            helper.make_node(kind, [last, *names], outputs, name=f"n{place}", **attributes)
        )
        last = outputs[0]
    return model_of(nodes, constants, shape, last, opset)


def model_of(
    nodes: Sequence[Any], constants: Sequence[Any], shape: Sequence[int | str | None], last: str,
    opset: int = 17,
) -> Any:  # fmt: skip
    """A model of nodes from "x" to one output."""
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], constants,
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=min(10, opset // 2 + 1)
    )


def stored(model: Any, folder: Path, name: str = "net.onnx") -> Path:
    """The file of a model."""
    save(model, folder / name)
    return folder / name


def small_cnn(batch: int | str = 1) -> Any:
    """A network for images of 8×8: two convolutions with padding, pooling, and two dense layers."""
    bn = (
        constant(6) + 1,
        constant(6, seed=1),
        constant(6, seed=2),
        np.abs(constant(6, seed=3)) + 1,
    )
    return chain(
        (batch, 3, 8, 8),
        ("Conv", constant(6, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("BatchNormalization", *bn),
        ("Relu",),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Conv", constant(6, 1, 3, 3), constant(6), {"pads": [1, 1, 1, 1], "group": 6}),
        ("Flatten",),
        ("Gemm", constant(5, 24), constant(5), {"transB": 1}),
        ("Relu",),
        ("MatMul", constant(5, 3)),
        ("Softmax", {"axis": 1}),
    )


def expected(path: Path, built: Built, samples: Array) -> Array:
    """What onnxruntime gives for samples, both with their axes as the imported network has them."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    axes = built.inputs[0]
    back = [axes.index(axis) for axis in range(len(axes))]
    rows = []
    for sample in samples:
        found = session.run(None, {"x": sample[None].transpose(back)})[0]
        rows.append(np.transpose(found, built.outputs[0]))
    return np.concatenate(rows)
