"""Every number of the schema, and every field of a file, against LiteRT and the classes it ships.

Files that autotiny never writes are made by changing what those classes read of one that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated
from build import single, tensor

from autotiny.errors import InvalidModel, UnsupportedOp
from autotiny.graph import ITEM_BYTES, DType, Graph, Op, Quantization, Tensor
from autotiny.tflite import OPS, read_tflite, write, write_tflite
from autotiny.tflite.cursor import File
from autotiny.tflite.flat import CALLS
from autotiny.tflite.schema import (
    BY_CODE,
    BY_KIND,
    CUSTOM,
    ENUMS,
    OPTIONS,
    REFUSED,
    TENSOR_TYPES,
    OpFacts,
)


def parsed(data: bytes) -> Any:
    """The file as LiteRT's classes read it."""
    return generated.ModelT.InitFromPackedBuf(data, 0)


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def edited(graph: Graph, change: Callable[[Any], object]) -> bytes:
    """The file of a graph, changed."""
    model = parsed(write_tflite(graph))
    change(model)
    return packed(model)


def relu(*shape: int, dtype: DType = "float32") -> Graph:
    return single("RELU", [tensor(shape, dtype)], tensor(shape, dtype))


def numbers(class_: type) -> dict[str, int]:
    return {name: n for name, n in vars(class_).items() if isinstance(n, int)}


def plain(name: str) -> str:
    """A name without what tells stride_w from strideW."""
    return name.replace("_", "").lower()


def test_every_operator_is_known_by_its_number() -> None:
    builtin = numbers(generated.BuiltinOperator)
    assert {facts.kind: builtin[facts.kind] for facts in OPS} == {f.kind: f.code for f in OPS}
    assert {kind: builtin[kind] for kind in REFUSED.values()} == {k: c for c, k in REFUSED.items()}
    assert builtin["CUSTOM"] == CUSTOM
    assert len(BY_CODE) == len(BY_KIND) == len(OPS)
    assert not set(BY_CODE) & set(REFUSED)


def test_every_type_and_enumeration_has_its_numbers() -> None:
    types = numbers(generated.TensorType)
    assert {one.upper(): k for k, one in enumerate(TENSOR_TYPES)}.items() <= types.items()
    classes = {
        "Activation": generated.ActivationFunctionType,
        "LstmKernel": generated.LSTMKernelType,
        "MirrorPad": generated.MirrorPadMode,
        "Padding": generated.Padding,
        "WeightsFormat": generated.FullyConnectedOptionsWeightsFormat,
    }
    for name, class_ in classes.items():
        assert dict(zip(ENUMS[name], range(9), strict=False)) == numbers(class_)
    assert ENUMS["DType"] == TENSOR_TYPES


def test_every_options_table_has_its_number_fields_and_defaults() -> None:
    unions = numbers(generated.BuiltinOptions)
    for name, table in OPTIONS.items():
        assert unions[f"{name}Options"] == table.number, name
        fresh = vars(getattr(generated, f"{name}OptionsT")())
        # what came into the schema since holds no number
        found = {plain(field): v for field, v in fresh.items() if field != "quantSpec"}
        expected: dict[str, Any] = {}
        for field in table.fields:
            default: Any = field.default
            if field.type in ENUMS:
                default = ENUMS[field.type].index(default)
            expected[plain(field.name)] = None if field.type == "i32s" else default
        assert found == expected, name


def test_every_op_names_its_options() -> None:
    """An op without a table of its own in the schema has none here."""
    shared = {
        "Pool2D": ("AVERAGE_POOL_2D", "L2_POOL_2D", "MAX_POOL_2D"),
        "MaximumMinimum": ("MAXIMUM", "MINIMUM"),
        "Reducer": ("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY",
                    "REDUCE_ALL"),
        "L2Norm": ("L2_NORMALIZATION",),
        "SequenceRNN": ("UNIDIRECTIONAL_SEQUENCE_RNN",),
    }  # fmt: skip
    table_of = {kind: name for name, kinds in shared.items() for kind in kinds}
    alike = {plain(name): name for name in OPTIONS}
    names = {id(table): name for name, table in OPTIONS.items()}
    for facts in OPS:
        wanted = table_of.get(facts.kind) or alike.get(plain(facts.kind))
        assert names.get(id(facts.options)) == wanted, facts.kind
        assert (facts.options.number == 0) == (wanted is None)


def test_every_option_is_written_and_read_where_litert_has_it() -> None:
    """Values other than the defaults, and other than each other."""
    for facts in OPS:
        options: dict[str, Any] = {}
        for k, field in enumerate(facts.options.fields):
            options[field.name] = {
                "bool": field.default is False,
                "f32": 0.5 + k,
                "i32s": (3, k),
            }.get(field.type, 7 + k)
            if field.type in ENUMS:
                options[field.name] = ENUMS[field.type][1]
        inputs = [tensor((1,), "float32")] * facts.inputs[0]
        graph = single(facts.kind, inputs, [tensor((1,), "float32")] * facts.outputs[0], **options)
        data = write_tflite(graph)
        if facts.kind not in CALLS:  # those are not read as ops
            assert read_tflite(data).ops[0].options == options, facts.kind
        op = parsed(data).subgraphs[0].operators[0]
        assert op.builtinOptionsType == facts.options.number
        stored = {plain(name): value for name, value in vars(op.builtinOptions or op).items()}
        for field in facts.options.fields:
            written = 1 if field.type in ENUMS else options[field.name]
            assert np.array_equal(stored[plain(field.name)], written), (facts.kind, field.name)
        bare = single(facts.kind, inputs, [tensor((1,), "float32")] * facts.outputs[0])
        sized = any(field.type == "size" for field in facts.options.fields)
        if not sized and facts.kind not in CALLS:
            usual = {field.name: field.default for field in facts.options.fields}
            assert read_tflite(write_tflite(bare)).ops[0].options == usual


def sizes_of(facts: OpFacts, value: int) -> dict[str, Any]:
    """The options that must be at least 1."""
    return {field.name: value for field in facts.options.fields if field.type == "size"}


def with_version(facts: OpFacts, version: int) -> bytes:
    inputs, outputs = ([tensor((1, 1), "float32")] * n[0] for n in (facts.inputs, facts.outputs))
    sizes: dict[str, Any] = {
        field.name: 1 for field in facts.options.fields if field.type == "size"
    }
    with patch.object(write, "VERSION", version):
        return write_tflite(single(facts.kind, inputs, outputs, **sizes))


def test_the_highest_versions_are_those_that_litert_resolves() -> None:
    from ai_edge_litert.interpreter import Interpreter

    for facts in OPS:
        highest, higher = (with_version(facts, facts.version + k) for k in (0, 1))
        Interpreter(model_content=highest)
        if facts.kind in CALLS:
            with pytest.raises(InvalidModel, match=r"subgraph 0 runs itself|must be one bool"):
                read_tflite(highest)
        else:
            read_tflite(highest)
        with pytest.raises(ValueError, match=f"'{facts.kind}' version '{facts.version + 1}'"):
            Interpreter(model_content=higher)
        with pytest.raises(UnsupportedOp, match=f"{facts.kind} version {facts.version + 1}; "):
            read_tflite(higher)
    with pytest.raises(UnsupportedOp, match="version 0; versions 1 to"):
        read_tflite(with_version(OPS[0], 0))


ARITY = {
    (1, 1): "AVERAGE_POOL_2D DEPTH_TO_SPACE DEQUANTIZE FLOOR L2_NORMALIZATION L2_POOL_2D LOGISTIC "
    "MAX_POOL_2D RELU RELU_N1_TO_1 RELU6 SOFTMAX SPACE_TO_DEPTH TANH SQUEEZE EXP LOG_SOFTMAX CAST "
    "NEG SIN LOG SQRT RSQRT SHAPE LOGICAL_NOT SQUARE ZEROS_LIKE LEAKY_RELU ABS CEIL COS RANK ELU "
    "QUANTIZE ROUND HARD_SWISH GELU RELU_0_TO_1 SIGN BITCAST",
    (2, 2): "ADD MUL RESIZE_BILINEAR PAD GATHER TRANSPOSE MEAN SUB DIV PRELU MAXIMUM ARG_MAX "
    "MINIMUM LESS GREATER GREATER_EQUAL LESS_EQUAL TILE EXPAND_DIMS EQUAL NOT_EQUAL SUM POW "
    "ARG_MIN REDUCE_PROD REDUCE_MAX LOGICAL_OR LOGICAL_AND REDUCE_MIN FLOOR_DIV REDUCE_ANY FILL "
    "FLOOR_MOD RESIZE_NEAREST_NEIGHBOR SQUARED_DIFFERENCE MIRROR_PAD REVERSE_V2 GATHER_ND "
    "REVERSE_SEQUENCE SEGMENT_SUM BATCH_MATMUL CUMSUM BROADCAST_TO REDUCE_ALL BROADCAST_ARGS "
    "ATAN2 BITWISE_XOR RIGHT_SHIFT TOPK_V2 SPLIT",
    (3, 3): "BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND PADV2 SELECT SLICE RANGE SCATTER_ND SELECT_V2 "
    "DYNAMIC_UPDATE_SLICE UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM "
    "UNSORTED_SEGMENT_MIN SPLIT_V",
    (4, 4): "STRIDED_SLICE ONE_HOT",
    (5, 5): "RNN SVDF UNIDIRECTIONAL_SEQUENCE_RNN",
    (1, 2): "RESHAPE",
    (2, 3): "CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED",
    (3, 4): "TRANSPOSE_CONV",
    (5, 24): "LSTM",
    (20, 24): "UNIDIRECTIONAL_SEQUENCE_LSTM",
    (1, 1 << 16): "CONCATENATION PACK ADD_N UNPACK IF WHILE",
}
"""Inputs, at least and at most → ops."""
RESULTS = {"LSTM": (1, 4), "TOPK_V2": (2, 2)}
MANY = ("SPLIT", "SPLIT_V", "UNPACK", "IF", "WHILE")


def test_ops_have_as_many_inputs_and_results_as_they_are_defined_with() -> None:
    inputs = {kind: arity for arity, kinds in ARITY.items() for kind in kinds.split()}
    inputs["UNPACK"] = (1, 1)
    for facts in OPS:
        assert facts.inputs == inputs[facts.kind], facts.kind
        usual = (1, 1 << 16) if facts.kind in MANY else (1, 1)
        assert facts.outputs == RESULTS.get(facts.kind, usual), facts.kind


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "text"),
    [
        ("FULLY_CONNECTED", 1, 1, "1 inputs; FULLY_CONNECTED has 2 to 3"),
        ("FULLY_CONNECTED", 2, 1, ""),
        ("FULLY_CONNECTED", 3, 1, ""),
        ("FULLY_CONNECTED", 4, 1, "4 inputs; FULLY_CONNECTED has 2 to 3"),
        ("RELU", 1, 0, "0 outputs; RELU has 1 to 1"),
        ("RELU", 1, 2, "2 outputs; RELU has 1 to 1"),
    ],
)
def test_other_counts_are_refused(kind: str, inputs: int, outputs: int, text: str) -> None:
    one = tensor((1,), "float32")
    graph = single(kind, [one] * inputs, [one] * max(outputs, 1))
    ops = (replace(graph.ops[0], outputs=graph.ops[0].outputs[:outputs]),)
    data = write_tflite(replace(graph, ops=ops))
    if text:
        with pytest.raises(InvalidModel, match=text):
            read_tflite(data)
    else:
        assert len(read_tflite(data).ops[0].inputs) == inputs


def test_litert_reads_every_field_that_is_written() -> None:
    weights = tensor((2, 3), "int8", [0.5, 0.25], [0, 0], data=[[1, 2, 3], [4, 5, 6]], name="w")
    graph = replace(
        single(
            "FULLY_CONNECTED",
            [tensor((1, 3), "int8", 2.0, -5, name="x"), weights, None],
            tensor((1, 2), "int8", 4.0, 7, name="y"),
            fused_activation_function="RELU",
        ),
        name="net",
    )
    model = parsed(write_tflite(graph))
    assert (model.version, model.description) == (3, b"autotiny")
    (code,) = model.operatorCodes
    assert (code.deprecatedBuiltinCode, code.builtinCode, code.version) == (9, 9, 1)
    (subgraph,) = model.subgraphs
    assert subgraph.name == b"net"
    assert (list(subgraph.inputs), list(subgraph.outputs)) == ([0], [2])
    (op,) = subgraph.operators
    assert (op.opcodeIndex, list(op.inputs), list(op.outputs)) == (0, [0, 1, -1], [2])
    x, w, y = subgraph.tensors
    assert [one.name for one in (x, w, y)] == [b"x", b"w", b"y"]
    assert [list(one.shape) for one in (x, w, y)] == [[1, 3], [2, 3], [1, 2]]
    assert [one.type for one in (x, w, y)] == [generated.TensorType.INT8] * 3
    assert [one.buffer for one in (x, w, y)] == [0, 1, 0]
    assert all(one.hasRank and not one.isVariable for one in (x, w, y))
    stored = w.quantization
    assert (list(stored.scale), list(stored.zeroPoint)) == ([0.5, 0.25], [0, 0])
    assert (list(x.quantization.scale), list(x.quantization.zeroPoint)) == ([2.0], [-5])
    empty, data = model.buffers
    assert empty.data is None
    assert list(data.data) == [1, 2, 3, 4, 5, 6]


def test_the_dimension_of_scales_is_written() -> None:
    weights = tensor((1, 1, 1, 2), "int8", [0.5, 0.25], axis=3, data=[1, 2])
    graph = single(
        "DEPTHWISE_CONV_2D",
        [tensor((1, 1, 1, 2), "int8", 1.0), weights],
        tensor((1, 1, 1, 2), "int8", 1.0),
        stride_h=1, stride_w=1,
    )  # fmt: skip
    data = write_tflite(graph)
    assert parsed(data).subgraphs[0].tensors[1].quantization.quantizedDimension == 3
    assert read_tflite(data).tensors[1].quantization == Quantization((0.5, 0.25), (0, 0), 3)


@pytest.mark.parametrize(("kind", "old"), [("RIGHT_SHIFT", 127), ("SIGN", 127), ("CUMSUM", 127)])
def test_codes_of_more_than_a_byte_stand_in_the_new_field(kind: str, old: int) -> None:
    one = tensor((1,), "float32")
    data = write_tflite(single(kind, [one] * BY_KIND[kind].inputs[0], one))
    (code,) = parsed(data).operatorCodes
    assert (code.deprecatedBuiltinCode, code.builtinCode) == (old, BY_KIND[kind].code)
    assert read_tflite(data).ops[0].kind == kind


def test_a_file_of_before_2020_has_the_old_field_only() -> None:
    def age(model: Any) -> None:
        model.operatorCodes[0].builtinCode = 0

    assert read_tflite(edited(relu(1), age)).ops[0].kind == "RELU"


def test_equal_constants_are_stored_once_and_aligned() -> None:
    rows = [np.full(5, 71), np.full(5, 71), np.full(5, 72), np.full(7, 73)]
    constants = [tensor((len(row),), "int8", data=row) for row in rows]
    graph = single("CONCATENATION", constants, tensor((22,), "int8"))
    data = write_tflite(graph)
    model = parsed(data)
    assert [one.buffer for one in model.subgraphs[0].tensors] == [1, 1, 2, 3, 0]
    for row in rows:
        assert data.find(row.astype(np.int8).tobytes()) % 16 == 0


VALUES: dict[DType, list[Any]] = {
    "float32": [1.5, -0.0, np.inf], "float16": [1.5, -2.0, 65504], "int4": [-8, 7, -1],
    "int8": [-128, 127, -1], "uint8": [0, 255, 128], "int16": [-32768, 32767, 1],
    "int32": [-(2**31), 2**31 - 1, 1], "int64": [-(2**63), 2**63 - 1, 1],
    "bool": [True, False, True],
}  # fmt: skip
RANGES = {
    "int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1),
}  # fmt: skip


def test_constants_of_every_type_return() -> None:
    assert set(VALUES) == set(ITEM_BYTES)
    for dtype, values in VALUES.items():
        graph = single("PACK", [tensor((3,), dtype, data=values)], tensor((1, 3), dtype))
        found = read_tflite(write_tflite(graph)).tensors[0]
        assert found.dtype == dtype
        assert found.data is not None
        assert found.data.dtype.itemsize == ITEM_BYTES[dtype]
        np.testing.assert_array_equal(found.data, np.array(values, found.data.dtype))


def test_bytes_other_than_one_are_true() -> None:
    graph = single("PACK", [tensor((3,), "bool", data=[True] * 3)], tensor((1, 3), "bool"))
    data = write_tflite(graph).replace(b"\1\1\1", b"\2\0\xff")
    found = read_tflite(data).tensors[0].data
    assert found is not None
    assert found.tolist() == [True, False, True]


def test_zero_points_reach_to_the_ends_of_their_type() -> None:
    for dtype, (low, high) in RANGES.items():
        for zero, fits in ((low, 1), (high, 1), (low - 1, 0), (high + 1, 0)):
            if not -(2**63) <= zero < 2**63:
                continue
            one = Tensor("x", (1,), dtype, Quantization((0.5,), (zero,)))  # type: ignore[arg-type]
            data = write_tflite(Graph((one, one), (Op("RELU", (0,), (1,)),), (0,), (1,)))
            if fits:
                assert read_tflite(data).tensors[0].quantization == one.quantization
            else:
                with pytest.raises(InvalidModel, match=f"outside {low} to {high} of {dtype}"):
                    read_tflite(data)


def quantized(shape: tuple[int, ...], **fields: Any) -> Graph:
    """A RELU6 of int8, its input's quantization as LiteRT's classes have it."""
    graph = single("RELU6", [tensor(shape, "int8", 0.5, 3)], tensor(shape, "int8", 0.5, 3))

    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0].tensors[0].quantization, name, value)

    return read_tflite(edited(graph, change))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Quantization((0.5,), (3,))),
        ({"zeroPoint": []}, Quantization((0.5,), (0,))),
        ({"scale": []}, None),
        ({"scale": [0.5, 1.0], "quantizedDimension": 1}, Quantization((0.5, 1.0), (3, 3), 1)),
        ({"quantizedDimension": 1}, Quantization((0.5,), (3,))),
        (
            {"scale": [0.5, 1.0], "zeroPoint": [4, 5], "quantizedDimension": 1},
            Quantization((0.5, 1.0), (4, 5), 1),
        ),
    ],
)
def test_what_a_quantization_leaves_out(
    fields: dict[str, Any], expected: Quantization | None
) -> None:
    assert quantized((1, 2), **fields).tensors[0].quantization == expected


@pytest.mark.parametrize("axis", [-1, 0, 2, 5])
def test_scales_along_no_dimension_of_their_number_are_refused(axis: int) -> None:
    with pytest.raises(InvalidModel, match=f"2 scales along dimension {axis} of shape"):
        quantized((1, 2), scale=[0.5, 1.0], quantizedDimension=axis)


def test_the_scales_of_a_bias_run_along_its_only_dimension() -> None:
    found = quantized((2,), scale=[0.5, 1.0], quantizedDimension=3).tensors[0].quantization
    assert found == Quantization((0.5, 1.0), (3, 3), 0)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
def test_the_scale_that_is_wrong_is_named(bad: float) -> None:
    with pytest.raises(InvalidModel, match=f"scale 1 is {bad}; it must be positive"):
        quantized((1, 2), scale=[1.0, bad], quantizedDimension=1)


@pytest.mark.parametrize(
    ("weights", "scales"), [([5, 0], [0.5, 0.0]), ([0, 0], [0.0]), ([0, 0], [0.0, 0.5])]
)
def test_zeros_may_have_the_scale_0(weights: list[int], scales: list[float]) -> None:
    """As the converter to int16x8 writes an empty channel of a dense layer."""
    found = scaled(weights, scales).tensors[1].quantization
    assert found is not None
    assert found.scales == tuple(s or float(np.finfo(np.float32).tiny) for s in scales)


@pytest.mark.parametrize(
    ("weights", "scales"), [([5, 1], [0.5, 0.0]), ([5, 0], [0.0]), ([5, 0], [0.5, -0.5])]
)
def test_nothing_else_may(weights: list[int], scales: list[float]) -> None:
    with pytest.raises(InvalidModel, match=r"scale \d is .*; it must be positive"):
        scaled(weights, scales)


def scaled(weights: list[int], scales: list[float]) -> Graph:
    """An addition of two constants with these scales, as LiteRT's classes write them."""
    x = tensor((1, 2), "int8", 0.5)
    w = tensor((1, 2), "int8", 0.5, data=[weights])

    def change(model: Any) -> None:
        quantization = model.subgraphs[0].tensors[1].quantization
        quantization.scale, quantization.zeroPoint = scales, [0] * len(scales)
        quantization.quantizedDimension = len(scales) - 1

    return read_tflite(edited(single("ADD", [x, w], x), change))


def test_scales_of_reals_do_not_count() -> None:
    one = Tensor("x", (1,), "float32", Quantization((0.5,), (0,)))
    data = write_tflite(Graph((one, one), (Op("RELU", (0,), (1,)),), (0,), (1,)))
    assert read_tflite(data).tensors[0].quantization is None


@pytest.mark.parametrize(
    ("place", "field", "value", "error", "text"),
    [
        ("model", "version", 2, InvalidModel, "schema version 2; only version 3"),
        ("model", "subgraphs", [], InvalidModel, "no subgraph"),
        ("subgraph", "outputs", [], InvalidModel, "has no outputs"),
        ("subgraph", "inputs", [0, 0], InvalidModel, "a tensor is two inputs of subgraph 0"),
        ("subgraph", "inputs", [-1], InvalidModel, "tensor -1, but there are 2"),
        ("subgraph", "inputs", [2], InvalidModel, "tensor 2, but there are 2"),
        ("op", "opcodeIndex", 1, InvalidModel, "operator code 1 of 1"),
        ("tensor", "buffer", 1, InvalidModel, "buffer 1, but there are 1"),
        ("tensor", "type", 5, UnsupportedOp, "has the type string"),
        ("tensor", "type", 21, UnsupportedOp, "has the type number 21"),
        ("tensor", "type", -1, UnsupportedOp, "has the type number -1"),
        ("tensor", "externalBuffer", 1, UnsupportedOp, "is stored in another file"),
        ("tensor", "sparsity", generated.SparsityParametersT(), UnsupportedOp, "stored sparse"),
        ("code", "builtinCode", 109, UnsupportedOp, "op 0 is WHERE, which autotiny cannot run"),
        ("code", "builtinCode", 206, UnsupportedOp, "op 0 is builtin code 206"),
    ],
)
def test_what_a_file_must_not_say(
    place: str, field: str, value: Any, error: type[Exception], text: str
) -> None:
    def change(model: Any) -> None:
        subgraph = model.subgraphs[0]
        places = {
            "model": model, "subgraph": subgraph, "op": subgraph.operators[0],
            "tensor": subgraph.tensors[0], "code": model.operatorCodes[0],
        }  # fmt: skip
        setattr(places[place], field, value)

    with pytest.raises(error, match=text):
        read_tflite(edited(relu(1, 4), change))


def test_a_custom_op_is_named() -> None:
    def change(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = "Mine"

    with pytest.raises(UnsupportedOp, match="op 0 is the custom op 'Mine'"):
        read_tflite(edited(relu(1, 4), change))


@pytest.mark.parametrize(
    ("kind", "name", "value", "text"),
    [
        ("ADD", "fusedActivationFunction", 6, "fused_activation_function = 6 is no Activation"),
        ("ADD", "fusedActivationFunction", -1, "fused_activation_function = -1 is no Activation"),
        ("ADD", "fusedActivationFunction", 5, ""),
        ("MAX_POOL_2D", "strideW", 0, "stride_w = 0; it must be at least 1"),
        ("MAX_POOL_2D", "strideW", 1, ""),
        ("SOFTMAX", "beta", float("inf"), "beta = inf"),
        ("SOFTMAX", "beta", 3e38, ""),
    ],
)
def test_options_stay_in_their_range(kind: str, name: str, value: Any, text: str) -> None:
    facts, one = BY_KIND[kind], tensor((1,), "float32")
    sizes: dict[str, Any] = {
        field.name: 2 for field in facts.options.fields if field.type == "size"
    }
    graph = single(kind, [one] * facts.inputs[0], one, **sizes)

    def change(model: Any) -> None:
        setattr(model.subgraphs[0].operators[0].builtinOptions, name, value)

    data = edited(graph, change)
    if text:
        with pytest.raises(InvalidModel, match=text):
            read_tflite(data)
    else:
        read_tflite(data)


def test_options_of_another_op_are_refused() -> None:
    def change(model: Any) -> None:
        op = model.subgraphs[0].operators[0]
        op.builtinOptionsType, op.builtinOptions = 9, generated.SoftmaxOptionsT()

    one = tensor((1,), "float32")
    with pytest.raises(InvalidModel, match="options of type 9; ADD has type 11"):
        read_tflite(edited(single("ADD", [one, one], one), change))
    read_tflite(edited(relu(1), change))  # RELU has no options that could be wrong


def test_an_op_without_options_has_the_defaults() -> None:
    def change(model: Any) -> None:
        op = model.subgraphs[0].operators[0]
        op.builtinOptionsType, op.builtinOptions = 0, None

    one = tensor((1,), "float32")
    graph = single("ADD", [one, one], one, fused_activation_function="RELU", pot_scale_int16=False)
    options = {"fused_activation_function": "NONE", "pot_scale_int16": True}
    assert read_tflite(edited(graph, change)).ops[0].options == options


def test_as_many_dimensions_and_bytes_as_arrays_have() -> None:
    most = 2**31 - 1
    assert read_tflite(write_tflite(relu(*(1,) * 8))).tensors[0].shape == (1,) * 8
    assert read_tflite(write_tflite(relu(1, most, dtype="int8"))).tensors[0].bytes == most
    for shape, dtype in (((1, 2, 2**30), "int8"), ((1, 2**29), "float32")):
        with pytest.raises(InvalidModel, match="takes more than 2147483647 bytes"):
            read_tflite(write_tflite(relu(*shape, dtype=dtype)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "signature", "text"),
    [
        ((1, 4), [-1, 4], ""),
        ((1, 4), [1, -1], "is dynamic"),
        ((2, 4), [-1, 4], "batch 2; a microcontroller"),
        ((2, 4), [2, 4], ""),
        ((2, 4), [], ""),
        ((2, 1, 1, 4), [], "batch 2; a microcontroller"),
        ((1, 2, 2, 4), [-1, 2, 2, 4], ""),
        ((), [], ""),
    ],
)
def test_an_input_is_one_sample(shape: tuple[int, ...], signature: list[int], text: str) -> None:
    def change(model: Any) -> None:
        model.subgraphs[0].tensors[0].shapeSignature = signature

    data = edited(relu(*shape), change)
    if text:
        with pytest.raises(InvalidModel, match=text):
            read_tflite(data)
    else:
        assert read_tflite(data).tensors[0].shape == shape


def test_only_the_first_dimension_may_be_open() -> None:
    assert read_tflite(write_tflite(relu(-1, 4))).tensors[0].shape == (1, 4)
    for shape in ((1, -1), (-2, 4)):
        with pytest.raises(InvalidModel, match="is dynamic; convert the model with a fixed shape"):
            read_tflite(write_tflite(relu(*shape)))


def constant(*shape: int, dtype: DType = "int8") -> Graph:
    count = int(np.prod(shape))
    one = tensor(shape, dtype, data=np.ones(count))
    return single("PACK", [one], tensor((1, *shape), dtype))


@pytest.mark.parametrize(
    ("dtype", "stored", "needed"), [("int8", 3, 5), ("int4", 2, 3), ("float32", 19, 20)]
)
def test_a_constant_has_the_bytes_of_its_shape(dtype: DType, stored: int, needed: int) -> None:
    def change(model: Any) -> None:
        model.buffers[1].data = [0] * stored

    with pytest.raises(InvalidModel, match=f"{stored} bytes of data, but .* takes {needed}"):
        read_tflite(edited(constant(5, dtype=dtype), change))


def test_constants_may_stand_behind_the_flatbuffer() -> None:
    def change(model: Any) -> None:
        model.buffers[1].data = None
        model.buffers[1].offset, model.buffers[1].size = 10_000, 3

    data = edited(constant(3), change)
    moved = data + bytes(10_000 - len(data)) + bytes([7, 8, 9])
    found = read_tflite(moved).tensors[0].data
    assert found is not None
    assert found.tolist() == [7, 8, 9]
    with pytest.raises(InvalidModel, match="3 bytes at 10000 lie outside the file of 10002 bytes"):
        read_tflite(moved[:-1])

    def change_nothing(model: Any) -> None:
        model.buffers[1].offset = 1  # says that the data stand inside

    assert read_tflite(edited(constant(3), change_nothing)).tensors[0].data is not None


def test_what_an_op_computes_is_no_constant() -> None:
    graph = relu(1, 4)
    x, y = graph.tensors
    for tensors in ((x, replace(y, data=np.zeros((1, 4), np.float32))),
                    (replace(x, data=np.zeros((1, 4), np.float32)), y)):  # fmt: skip
        with pytest.raises(InvalidModel, match="is computed, and yet a constant"):
            read_tflite(write_tflite(replace(graph, tensors=tensors)))


def test_a_constant_without_elements_has_no_bytes() -> None:
    graph = single("RESHAPE", [tensor((1,), "float32"), tensor((0,), "int32", data=[])],
                   tensor((), "float32"))  # fmt: skip
    found = read_tflite(write_tflite(graph))
    assert found.tensors[1].data is not None
    assert found.tensors[1].data.shape == (0,)
    assert found.inputs == (0,)


def test_a_tensor_that_is_neither_constant_nor_variable_has_no_value() -> None:
    one = tensor((1, 2), "float32")
    kept = single("ADD", [one, one], one, state=[1])

    def change(model: Any) -> None:
        model.subgraphs[0].tensors[1].isVariable = False

    with pytest.raises(InvalidModel, match="reads tensor 1, which nothing computes"):
        read_tflite(edited(kept, change))


def test_tensors_that_nothing_reads_are_dropped() -> None:
    graph = relu(1, 4)
    unused = tensor((3,), "int8", data=[1, 2, 3])
    spread = Graph(
        (unused, graph.tensors[0], unused, graph.tensors[1]), (Op("RELU", (1,), (3,)),), (1,), (3,)
    )
    found = read_tflite(write_tflite(spread))
    assert [one.name for one in found.tensors] == ["in0", "out0"]
    assert (found.inputs, found.outputs, found.ops[0].inputs) == ((0,), (1,), (0,))


def test_internal_scales_of_an_op_are_renumbered_with_its_tensors() -> None:
    graph = relu(1, 4)
    inner = tensor((0,), "int8", 0.25, 3, name="inner")
    unused = tensor((3,), "int8", data=[1, 2, 3])
    op = Op("RELU", (0,), (1,), {"intermediates": (3,)})
    found = read_tflite(write_tflite(Graph((*graph.tensors, unused, inner), (op,), (0,), (1,))))
    assert found.ops[0].options == {"intermediates": (2,)}
    assert found.tensors[2].name == "inner"


def test_a_tensor_that_keeps_its_value_is_a_variable_and_no_constant_is() -> None:
    def flags(data: bytes) -> list[bool]:
        return [bool(one.isVariable) for one in parsed(data).subgraphs[0].tensors]

    x, state = tensor((1, 2), "float32"), tensor((1, 2), "float32")
    fixed = tensor((1, 2), "float32", data=[1, 2])
    kept = single("ADD", [x, state], tensor((1, 2), "float32"), state=[1])
    assert flags(write_tflite(kept)) == [False, True, False]
    assert flags(write_tflite(single("ADD", [x, fixed], x))) == [False] * 3
    found = read_tflite(write_tflite(kept))
    assert found.inputs == (0,)
    assert found.tensors[1].data is None


def test_a_quantized_tensor_without_shape_has_that_of_its_source() -> None:
    for kind, a, b in (("QUANTIZE", "float32", "int8"), ("DEQUANTIZE", "int8", "float32"),
                       ("RELU", "float32", "float32")):  # fmt: skip
        graph = single(kind, [tensor((1, 4), a, 0.5)], tensor((), b, 0.5))  # type: ignore[arg-type]
        shape = () if kind == "RELU" else (1, 4)
        assert read_tflite(write_tflite(graph)).tensors[1].shape == shape


def test_an_unknown_kind_is_not_written() -> None:
    one = tensor((1,), "float32")
    with pytest.raises(UnsupportedOp, match="mine: op 0 is MINE, which TFLite does not know"):
        write_tflite(single("MINE", [one], one))


def test_the_cursor_stays_inside_its_bytes() -> None:
    file = File(bytes(range(8)), "it")
    assert file.integer("H", 6, "here") == 6 + 256 * 7
    assert file.check(8, 0, "here") == 8
    for position, count in ((7, 2), (9, 0), (-1, 1), (0, -1), (0, 9)):
        with pytest.raises(InvalidModel, match=f"it: here: {count} bytes at {position} lie"):
            file.check(position, count, "here")
    assert file.integer("b", 0, "here") == 0
    file.spend(8 << 20, "here")
    with pytest.raises(InvalidModel, match="more than 8388608 bytes of structure"):
        file.spend(1, "here")


def test_a_table_has_a_vtable_of_whole_entries() -> None:
    def file(size: int) -> File:
        return File(size.to_bytes(2, "little") + bytes(2) + (4).to_bytes(4, "little"), "it")

    assert file(4).table(4, "here").vtable_bytes == 4
    for size in (0, 2, 3, 5, 7):
        with pytest.raises(InvalidModel, match=f"here: a vtable of {size} bytes at 0"):
            file(size).table(4, "here")
    with pytest.raises(InvalidModel, match="10 bytes at 0 lie outside the file of 8 bytes"):
        file(10).table(4, "here")


@pytest.mark.parametrize("count", [7, 8])
def test_a_file_has_an_identifier(count: int) -> None:
    with pytest.raises(InvalidModel, match=f"not a TFLite file of {count} bytes"):
        read_tflite(b"\0\0\0\0TFL\2"[:count])


def test_a_name_that_is_no_utf8_is_read_all_the_same() -> None:
    graph = single("RELU", [tensor((1,), "float32", name="abc")], tensor((1,), "float32"))
    data = write_tflite(graph).replace(b"abc", b"a\xffc")
    assert read_tflite(data).tensors[0].name == "a�c"
