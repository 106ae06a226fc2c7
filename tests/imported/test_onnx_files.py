"""ONNX files that are refused, and what their messages say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_networks import chain, constant, model_of, small_cnn, stored

from autotiny.errors import InvalidModel, UserError
from autotiny.model.onnx import read_onnx, shapes_from


def beside(folder: Path, location: str, **facts: int) -> Path:
    """A model whose weights lie in another file."""
    tensor = numpy_helper.from_array(constant(4, 2), "w")
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **facts}.items():
        tensor.external_data.add(key=key, value=str(value))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = folder / "net.onnx"
    path.write_bytes(model_of(nodes, [tensor], (1, 4), "y").SerializeToString())
    return path


def test_weights_may_lie_beside_the_model(tmp_path: Path) -> None:
    network = read_onnx(beside(tmp_path, "weights.bin")).network
    np.testing.assert_array_equal(network.get_weights()[0], constant(4, 2))


@pytest.mark.parametrize(
    ("location", "facts", "text"),
    [
        ("gone.bin", {}, "lies in gone.bin, which is missing; put it beside the model"),
        ("../weights.bin", {}, "outside of the model's folder"),
        ("/etc/hostname", {}, "outside of the model's folder"),
        ("", {}, "outside of the model's folder"),
        (".", {}, "outside of the model's folder"),
        ("link.bin", {}, "outside of the model's folder"),
        ("weights.bin", {"offset": 8, "length": 32}, "beyond the end of weights.bin"),
        ("weights.bin", {"offset": -8}, "beyond the end"),
        ("weights.bin", {"length": 1 << 40}, "beyond the end"),
        ("weights.bin", {"length": 8}, "is damaged"),
    ],
)
def test_weights_elsewhere_are_refused(
    location: str, facts: dict[str, int], text: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(32))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(InvalidModel, match=text):
        read_onnx(beside(folder, location, **facts))


def custom(domain: str) -> Any:
    model = chain((1, 4), ("Relu",))
    model.graph.node[0].domain = domain
    model.graph.node[0].op_type = "FancyRelu"
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def looped() -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])], "body",
        [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("i", "c")],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )  # fmt: skip
    nodes = [helper.make_node("Loop", ["x", ""], ["y"], name="again", body=body)]
    return model_of(nodes, [], (1, 4), "y")


def decided() -> Any:
    branch = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["z"])], "b", [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"]),
        helper.make_node("Cast", ["most"], ["some"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["some"], ["y"], name="choice", then_branch=branch, else_branch=branch
        ),
    ]  # fmt: skip
    return model_of(nodes, [], (1, 4), "y")


def huge() -> Any:
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["many"], name="many"),
        helper.make_node("Add", ["x", "many"], ["y"]),
    ]
    return model_of(nodes, [numpy_helper.from_array(np.array([1 << 40]), "n")], (1, 4), "y")


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (custom("com.acme"), r"node 'n0' \(FancyRelu, opset 17\) is an operator of domain 'com"),
        (looped(), r"node 'again' \(Loop, opset 17\): no kernel computes it"),
        (decided(), r"node 'choice' \(If, opset 17\) takes a branch that the input decides"),
        (huge(), r"'many' \(ConstantOfShape, opset 17\): a constant of 1,099,511,627,776 values"),
        (chain((1, 4), ("RandomNormalLike",)), "gives random values"),
        (chain((1, 3, 8, 8), ("Conv", constant(4, 5, 3, 3))), r"\(4, 5, 3, 3\) in 1 groups"),
        (chain((1, 3, 2, 2), ("Conv", constant(4, 3, 3, 3))), "a window of 3 is larger than its"),
        (chain((1, 2, 4, 4, 4), ("Conv", constant(4, 2, 3, 3, 3))), "a convolution over 3 axes"),
        (chain((1, 6), ("Reshape", np.array([1, 4]))), r"\[1, 4\] does not hold the 6 values"),
        (chain((1, 6), ("Gemm", constant(5, 2))), r"weights \(5, 2\) do not fit rows of 6 values"),
        (chain((2, 6), ("Relu",)), "input 'x' has a batch of 2; .* or try --input-shape 1x6"),
        (chain((1, "H", "W", 3), ("Relu",)), "open shape 1×H×W×3; .*: --input-shape 1xNxNx3"),
        (chain((None, 6), ("Relu",), opset=5), "opset 5; 6 to .* are read. onnx.version_converter"),
        (chain((1, 6), ("Dropout", np.float32(0.5), np.array(True))), "in evaluation mode"),
    ],
)  # fmt: skip
def test_what_no_firmware_computes_is_refused(model: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=text):
        read_onnx(stored(model, tmp_path))


def test_open_sizes_are_those_that_are_given(tmp_path: Path) -> None:
    path = stored(chain(("N", "steps", 3), ("MatMul", constant(3, 2))), tmp_path)
    assert read_onnx(path, shapes_from("1x5x3")).network.inputs[0].shape[1:] == (5, 3)
    assert read_onnx(path, shapes_from("x=1x7x3")).network.inputs[0].shape[1:] == (7, 3)
    with pytest.raises(InvalidModel, match="names input 'y'; its inputs are x"):
        read_onnx(path, shapes_from("y=1x5x3"))
    with pytest.raises(InvalidModel, match="has 3 axes, and --input-shape 1x5 has 2"):
        read_onnx(path, shapes_from("1x5"))


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "1x0", "-1x3", "1x2,1x3", "a=", "1.5x2", "1x" * 99]
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="it must be sizes as 1x3x32x32"):
        shapes_from(text)


def test_shapes_of_several_inputs_have_names() -> None:
    assert shapes_from("image=1x3x32x32, mask=1×32") == {"image": [1, 3, 32, 32], "mask": [1, 32]}
    assert shapes_from(None) == {}


WHOLE = small_cnn().SerializeToString()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_files_end_with_one_error(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed, or cut off anywhere: a network or `InvalidModel`, never another error."""
    content = bytearray(WHOLE[: data.draw(st.integers(0, len(WHOLE)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            at = data.draw(st.integers(0, min(len(content), 400) - 1))
            content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "net.onnx"
    path.write_bytes(bytes(content))
    try:
        read_onnx(path)
    except InvalidModel as refusal:
        assert str(path) in str(refusal)


def test_functions_of_a_model_are_inlined(tmp_path: Path) -> None:
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    model = chain((1, 4), ("Twice", {"domain": "local"}))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    network = read_onnx(stored(model, tmp_path)).network
    found = network(np.ones((1, 4), np.float32))
    np.testing.assert_array_equal(np.asarray(found), np.full((1, 4), 2))
