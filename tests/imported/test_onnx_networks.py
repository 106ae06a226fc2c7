"""ONNX networks, held beside onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_networks import (
    chain,
    constant,
    expected,
    model_of,
    small_cnn,
    stored,
)

from autotiny.graph import Array
from autotiny.model.onnx import Built, read_onnx
from autotiny.model.onnx.node import bound

LSTM = (constant(1, 64, 6), constant(1, 64, 16), constant(1, 128))
GRU = (constant(2, 48, 6), constant(2, 48, 16), constant(2, 96))
IMAGE = (1, 4, 8, 8)
NETWORKS: dict[str, Any] = {
    "small_cnn": small_cnn(),
    "free batch": small_cnn("N"),
    "channels shuffled": chain(
        IMAGE,
        ("Conv", constant(8, 4, 1, 1)),
        ("Reshape", np.array([0, 2, 4, 8, 8])),
        ("Transpose", {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", np.array([-1, 8, 8, 8])),
        ("Conv", constant(8, 1, 3, 3), {"group": 8}),
    ),
    "channels last in the file": chain(
        (1, 8, 8, 4),
        ("Transpose", {"perm": [0, 3, 1, 2]}),
        ("Conv", constant(8, 4, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Transpose", {"perm": [0, 2, 3, 1]}),
        ("Reshape", np.array([1, -1])),
        ("MatMul", constant(128, 3)),
        ("Add", constant(3)),
    ),
    "convolutions in groups": chain(
        IMAGE, ("Conv", constant(8, 2, 3, 3), {"group": 2, "dilations": [2, 2]}), ("Elu",)
    ),
    "uneven depthwise strides": chain(
        IMAGE, ("Conv", constant(4, 1, 3, 3), {"group": 4, "strides": [2, 1], "pads": [1, 1, 1, 1]})
    ),
    "uneven pads": chain(IMAGE, ("Conv", constant(8, 4, 3, 2), {"pads": [2, 0, 1, 1]})),
    "transposed": chain(
        IMAGE,
        ("ConvTranspose", constant(4, 6, 3, 3), constant(6),
         {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ),
    "largest beside the edge": chain(
        IMAGE,
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ("MaxPool", {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}),
    ),
    "means beside the edge": chain(
        IMAGE,
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ),
    "a row before rows": chain(
        IMAGE,
        ("Flatten",),
        ("Mul", constant(256)),
        ("Relu",),
        ("BatchNormalization", constant(256) + 1, constant(256), constant(256),
         np.abs(constant(256)) + 1),
        ("Reshape", np.array([1, 4, 64])),
        ("MatMul", constant(64, 5)),
        ("ReduceMean", {"axes": [1], "keepdims": 0}),
    ),
    "a gate a channel": chain(
        IMAGE,
        ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
        ("PRelu", constant(4, 1, 1)),
        ("GlobalAveragePool",),
        ("Squeeze", np.array([2, 3])),
    ),
    "recurrent, time first": chain(
        (12, 1, 6),
        ("LSTM", *LSTM, {"hidden_size": 16}),
        ("Squeeze", np.array([1])),
        ("Gather", np.array(-1), {"axis": 0}),
        ("Gemm", constant(16, 3)),
    ),
    "recurrent, both ways": chain(
        (1, 12, 6),
        ("Transpose", {"perm": [1, 0, 2]}),
        ("GRU", *GRU, {"hidden_size": 16, "direction": "bidirectional", "linear_before_reset": 1}),
        ("Transpose", {"perm": [2, 0, 1, 3]}),
        ("Reshape", np.array([0, 12, 32])),
        ("ReduceMax", {"axes": [1], "keepdims": 0}),
    ),
    "rows with gaps": chain(
        (1, 6, 40),
        ("Conv", constant(8, 6, 3), {"dilations": [4]}),
        ("Pad", np.array([0, 0, 2, 0, 0, 1])),
        ("Slice", np.array([1]), np.array([30]), np.array([2]), np.array([3])),
    ),
    "larger": chain(
        IMAGE,
        ("Resize", np.array([], np.float32), np.array([1, 1, 2, 2], np.float32),
         {"mode": "linear"}),
        ("Resize", None, np.array([1, 1, 3, 2], np.float32),
         {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
          "nearest_mode": "floor"}),
    ),
    "pixels from channels": chain(
        IMAGE, ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}), ("Clip", np.float32(-0.5))
    ),
    "normalized": chain(
        IMAGE,
        ("InstanceNormalization", constant(4) + 1, constant(4)),
        ("Transpose", {"perm": [0, 2, 3, 1]}),
        ("LayerNormalization", constant(4) + 1, constant(4)),
        ("MatMul", constant(4, 7)),
        ("Transpose", {"perm": [0, 3, 1, 2]}),
        ("ReduceMean", {"axes": [2, 3]}),
    ),
    "without a batch": chain(
        (1, 6, 8),
        ("Squeeze", np.array([0])),
        ("MatMul", constant(8, 3)),
        ("Tanh",),
        ("Reshape", np.array([1, 18])),
    ),
    "before opset 13": chain(IMAGE, ("Flatten",), ("Softmax",), opset=11),
}  # fmt: skip

FIXED = {"without a batch"}
"""Networks that use the batch as an axis like others."""


@pytest.fixture(name="name", params=NETWORKS)
def _name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def computed(built: Built, samples: Array) -> Array:
    """What the imported network gives."""
    return np.asarray(built.network(samples, training=False))


def samples_for(built: Built) -> Any:
    shape = built.network.inputs[0].shape[1:]
    return np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)


def test_a_network_gives_what_onnxruntime_gives(name: str, tmp_path: Path) -> None:
    path = stored(NETWORKS[name], tmp_path)
    built = read_onnx(path)
    samples = samples_for(built)
    if not built.free:
        samples = samples[:1]
    found = computed(built, samples)
    wanted = expected(path, built, samples)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    assert built.free == (name not in FIXED)


@pytest.mark.parametrize("name", ["small_cnn", "channels last in the file", "a gate a channel"])
def test_nothing_is_moved_that_need_not_be(name: str, tmp_path: Path) -> None:
    network = read_onnx(stored(NETWORKS[name], tmp_path)).network
    kinds = [type(layer).__name__ for layer in network.layers]
    assert "Permute" not in kinds
    assert not [layer.name for layer in network.layers if "transpose" in layer.name]


def test_layers_are_called_as_their_nodes(tmp_path: Path) -> None:
    names = [layer.name for layer in read_onnx(stored(small_cnn(), tmp_path)).network.layers]
    assert names[0] == "x"
    assert {"n0", "n1", "n2", "n4", "n6", "n9"} <= set(names)


def test_an_addition_behind_a_product_is_its_bias(tmp_path: Path) -> None:
    file = stored(chain((1, 6), ("MatMul", constant(6, 3)), ("Add", constant(3))), tmp_path)
    layers = read_onnx(file).network.layers
    assert len(layers) == 2
    assert len(layers[1].get_weights()) == 2


def test_an_addition_that_others_read_too_stays_one(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
        helper.make_node("Mul", ["product", "sum"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(constant(6, 3), "w"), numpy_helper.from_array(constant(3), "b")
    ]  # fmt: skip
    path = stored(model_of(nodes, constants, (1, 6), "y"), tmp_path)
    built = read_onnx(path)
    samples = samples_for(built)
    np.testing.assert_allclose(computed(built, samples), expected(path, built, samples), atol=1e-5)


def test_the_branch_that_a_constant_takes_is_computed(tmp_path: Path) -> None:
    def branch(name: str, kind: str) -> Any:
        node = helper.make_node(kind, ["x"], [f"{name}_y"])
        port = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [port])

    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "last"], ["size"]),
        helper.make_node("Equal", ["size", "six"], ["is_six"]),
        helper.make_node(
            "If", ["is_six"], ["y"],
            then_branch=branch("then", "Relu"), else_branch=branch("else", "Tanh"),
        ),
    ]  # fmt: skip
    constants = [
        numpy_helper.from_array(np.array(1), "last"), numpy_helper.from_array(np.array(6), "six")
    ]  # fmt: skip
    path = stored(model_of(nodes, constants, (1, 6), "y"), tmp_path)
    built = read_onnx(path)
    samples = samples_for(built)
    np.testing.assert_allclose(computed(built, samples), expected(path, built, samples), atol=1e-6)


def test_limits_that_float32_does_not_hold_are_none() -> None:
    assert bound(np.array(3.4028235e38, np.float32), 0.0) == float("inf")
    assert bound(np.array(-3.4028235e38, np.float32), 0.0) == float("-inf")
    assert bound(None, 6.0) == 6.0
