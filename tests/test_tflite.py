"""Reading and writing TFLite files: round trips on converted models, bad files, mutated files."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from build import litert, single, tensor, tflm

from autotiny.errors import InvalidModel, UnsupportedOp
from autotiny.graph import Array, Graph, Op, Tensor
from autotiny.tflite import OPS, cursor, read_tflite, write, write_tflite
from autotiny.tflite.schema import BY_CODE, BY_KIND, ENUMS, OPTIONS, REFUSED, TENSOR_TYPES

LOWERINGS = ("float32", "float16", "dynamic", "int8", "int16x8")


@cache
def converted(lowering: str) -> bytes:
    """A small network with branches, as TensorFlow's converter writes it."""
    from autotiny.model import keras, tensorflow

    tf, layers = tensorflow(), keras().layers
    keras().utils.set_random_seed(1)
    image = layers.Input((12, 12, 1))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.MaxPooling2D(2)(layers.ReLU(6.0)(layers.Add()([x, y])))
    network = keras().Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if lowering != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if lowering == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if lowering.startswith("int"):
        rng = np.random.default_rng(0)
        converter.representative_dataset = lambda: (
            [rng.random((1, 12, 12, 1), np.float32)] for _ in range(8)
        )
        ops = tf.lite.OpsSet
        int8, int16 = (
            ops.TFLITE_BUILTINS_INT8,
            (ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8),
        )
        converter.target_spec.supported_ops = [int8 if lowering == "int8" else int16]
        kind = tf.int8 if lowering == "int8" else tf.int16
        converter.inference_input_type = converter.inference_output_type = kind
    return bytes(converter.convert())


def sample(graph: Graph, seed: int = 0) -> Array:
    one = graph.tensors[graph.inputs[0]]
    rng = np.random.default_rng(seed)
    if one.dtype == "float32":
        return rng.random(one.shape, np.float32)
    info = np.iinfo(one.dtype)
    return rng.integers(info.min, info.max, one.shape, one.dtype, endpoint=True)


def same(a: Graph, b: Graph) -> bool:
    """Whether two graphs are equal, names and data included."""

    def data(t: Tensor) -> bytes | None:
        return None if t.data is None else t.data.tobytes()

    def key(t: Tensor) -> tuple[Any, ...]:
        return t.name, t.shape, t.dtype, t.quantization, data(t)

    return (a.ops, a.inputs, a.outputs) == (b.ops, b.inputs, b.outputs) and (
        [key(t) for t in a.tensors] == [key(t) for t in b.tensors]
    )


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.everyday(2)
def test_a_converted_model_survives_the_round_trip(lowering: str) -> None:
    original = converted(lowering)
    graph = read_tflite(original)
    written = write_tflite(graph)
    again = read_tflite(written)
    assert same(graph, again)
    assert write_tflite(again) == written
    x = sample(graph)
    np.testing.assert_array_equal(litert(original, x)[0], litert(written, x)[0])
    if lowering in ("float32", "int8", "int16x8"):
        np.testing.assert_array_equal(tflm(original, x)[0], tflm(written, x)[0])


def test_what_the_lowerings_store() -> None:
    weights = {}
    for lowering in LOWERINGS:
        graph = read_tflite(converted(lowering))
        kinds = [op.kind for op in graph.ops]
        dense = graph.ops[kinds.index("FULLY_CONNECTED")]
        one = graph.tensors[dense.inputs[1]]
        weights[lowering] = (one.dtype, one.data is not None)
        conv = graph.ops[kinds.index("CONV_2D")] if "CONV_2D" in kinds else None
        if lowering == "int8" and conv is not None:
            scales = graph.tensors[conv.inputs[1]].quantization
            assert scales is not None and len(scales.scales) == 8
    assert weights == {
        "float32": ("float32", True),
        "float16": ("float32", False),  # computed by DEQUANTIZE from float16
        "dynamic": ("int8", True),
        "int8": ("int8", True),
        "int16x8": ("int8", True),
    }


def test_int4_constants_are_packed_two_a_byte() -> None:
    weights = tensor((3, 3), "int4", 0.5, data=[-8, 7, -1, 0, 1, 2, 3, -4, 5])
    graph = single(
        "FULLY_CONNECTED",
        [tensor((1, 3), "int8", 1.0), weights, None],
        tensor((1, 3), "int8", 1.0),
    )
    data = write_tflite(graph)
    again = read_tflite(data)
    assert same(graph, Graph(again.tensors, graph.ops, again.inputs, again.outputs))
    x = np.array([[1, 2, 3]], np.int8)
    assert weights.data is not None
    exact = (weights.data @ x[0]) * 0.5
    np.testing.assert_allclose(tflm(data, x)[0][0], exact, atol=0.51)


def test_state_is_written_as_a_variable() -> None:
    graph = single(
        "SVDF",
        [
            tensor((1, 2), "float32"),
            tensor((3, 2), "float32", data=np.ones((3, 2))),
            tensor((3, 4), "float32", data=np.ones((3, 4))),
            None,
            tensor((1, 12), "float32"),
        ],
        tensor((1, 3), "float32"),
        state=[4],
        rank=1,
    )
    again = read_tflite(write_tflite(graph))
    assert again.inputs == (0,) and len(again.ops[0].inputs) == 5


def test_the_facts_equal_the_generated_schema() -> None:
    from autotiny.model import tensorflow

    tensorflow()
    from tensorflow.lite.python import schema_py_generated as generated

    builtin = generated.BuiltinOperator
    for facts in OPS:
        assert getattr(builtin, facts.kind) == facts.code
    for code, kind in REFUSED.items():
        assert getattr(builtin, kind) == code
    assert not set(BY_CODE) & set(REFUSED)
    for number, name in enumerate(TENSOR_TYPES):
        assert getattr(generated.TensorType, name.upper()) == number
    enums = {
        "Activation": generated.ActivationFunctionType,
        "LstmKernel": generated.LSTMKernelType,
        "MirrorPad": generated.MirrorPadMode,
        "Padding": generated.Padding,
        "WeightsFormat": generated.FullyConnectedOptionsWeightsFormat,
    }
    for name, class_ in enums.items():
        assert [getattr(class_, value) for value in ENUMS[name]] == list(range(len(ENUMS[name])))


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_option_fields_equal_the_generated_schema(name: str) -> None:
    """The generated class reads back what is written with values other than the defaults."""
    from autotiny.model import tensorflow

    tensorflow()
    from tensorflow.lite.python import schema_py_generated as generated

    facts = next(facts for facts in OPS if facts.options is OPTIONS[name])
    assert getattr(generated.BuiltinOptions, f"{name}Options") == facts.options.number
    adders = {
        adder.removeprefix(f"{name}OptionsAdd"): function
        for adder, function in vars(generated).items()
        if adder.startswith(f"{name}OptionsAdd")
    }

    found = {}
    for adder, function in adders.items():
        words = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", adder).lower().replace("_wf", "_w_f")
        kind, slot, default = recorded(function)
        found[words.replace("_hf", "_h_f")] = (kind, slot, default)
    expected = {}
    prepend = {"bool": "Bool", "f32": "Float32", "i32s": "UOffsetTRelative"}
    for field in facts.options.fields:
        kind = "Int8" if field.type in ENUMS else prepend.get(field.type, "Int32")
        usual: Any = field.default
        if field.type in ENUMS:
            usual = ENUMS[field.type].index(usual)
        if field.type == "i32s":
            usual = 0
        expected[field.name] = (f"Prepend{kind}Slot", field.slot, usual)
    assert found == expected


def recorded(function: Any) -> Any:
    """What a generated `…Add…` function passes to the builder."""
    calls: list[Any] = []

    class Builder:
        def __getattr__(self, kind: str) -> Any:
            return lambda *arguments: calls.append((kind, arguments[0], arguments[2]))

    function(Builder(), 0)
    return calls[0]


def damaged(text: str) -> Any:
    return pytest.raises(InvalidModel, match=text)


def test_a_file_that_is_no_flatbuffer() -> None:
    for data in (b"", b"TFL3", b"version https://git-lfs.github.com/spec/v1", bytes(64)):
        with damaged("not a TFLite file"):
            read_tflite(data)


def test_a_truncated_file_names_the_place() -> None:
    data = write_tflite(plain())
    for end in range(8, len(data) - 8, 7):  # the last bytes are padding
        with pytest.raises((InvalidModel, UnsupportedOp), match="model: "):
            read_tflite(data[:end])


def plain() -> Graph:
    return single(
        "ADD",
        [tensor((1, 4), "int8", 0.5), tensor((1, 4), "int8", 0.5, data=[1, 2, 3, 4])],
        tensor((1, 4), "int8", 0.5),
    )


def changed(graph: Graph, index: int, **fields: Any) -> Graph:
    from dataclasses import replace

    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **fields)
    return replace(graph, tensors=tuple(tensors))


def test_impossible_shapes_are_refused() -> None:
    with damaged("takes more than"):
        read_tflite(write_tflite(changed(plain(), 0, shape=(1, 2**30, 2**30))))
    with damaged("dynamic"):
        read_tflite(write_tflite(changed(plain(), 0, shape=(1, -1))))
    with damaged("9 dimensions"):
        read_tflite(write_tflite(changed(plain(), 0, shape=(1,) * 9)))
    with damaged("4 bytes of data"):
        read_tflite(write_tflite(changed(plain(), 1, shape=(1, 5))))
    with damaged("batch 2"):
        read_tflite(write_tflite(changed(plain(), 0, shape=(2, 1, 1, 4))))
    assert read_tflite(write_tflite(changed(plain(), 0, shape=(-1, 4)))).tensors[0].shape == (1, 4)


def test_impossible_quantization_is_refused() -> None:
    from autotiny.graph import Quantization

    for scales, points, text in (
        ((0.0,), (0,), "scale 0 is 0.0"),
        ((float("nan"),), (0,), "scale 0 is nan"),
        ((0.5, 0.5), (0, 0), "2 scales along dimension 1"),
        ((0.5,), (200,), "a zero-point outside -128 to 127"),
        ((0.5,), (0, 0), "2 zero-points for 1 scales"),
    ):
        broken = changed(plain(), 0, quantization=Quantization(scales, points, 1))
        with damaged(text):
            read_tflite(write_tflite(broken))


def test_a_cycle_is_refused() -> None:
    graph = plain()
    ops = (Op("ADD", (0, 3), (2,)), Op("RELU", (2,), (3,)))
    with damaged("reads tensor 3, which op 1 .RELU. writes only later"):
        read_tflite(write_tflite(Graph((*graph.tensors, graph.tensors[0]), ops, (0,), (3,))))
    with damaged("writes tensor 2, which op 0"):
        twice = (Op("RELU", (0,), (2,)), Op("RELU", (0,), (2,)))
        read_tflite(write_tflite(Graph(graph.tensors, twice, (0,), (2,))))
    with damaged("which nothing computes"):
        read_tflite(write_tflite(Graph(graph.tensors, (), (0,), (2,))))


def test_counts_and_indices_are_checked() -> None:
    graph = plain()
    with damaged("1 inputs; ADD has 2 to 2"):
        read_tflite(write_tflite(graph.with_ops((Op("ADD", (0,), (2,)),))))
    with damaged("tensor 7, but there are 3"):
        read_tflite(write_tflite(graph.with_ops((Op("ADD", (0, 7), (2,)),))))
    with damaged("stride_w = 0; it must be at least 1"):
        read_tflite(write_tflite(graph.with_ops((Op("MAX_POOL_2D", (0,), (2,)),))))


@pytest.mark.parametrize("case", ["empty", "read", "given", "full"])
def test_parts_without_elements_are_dropped_where_nothing_reads_them(case: str) -> None:
    rest = 1 if case == "full" else 0
    tensors = (
        tensor((1, 4 + rest), "float32"), tensor((3,), "int32", data=[2, 2, rest]),
        tensor((), "int32", data=1), *(tensor((1, n), "float32") for n in (2, 2, rest, 4 + rest)),
    )  # fmt: skip
    joined = (3, 4, 5) if case == "read" else (3, 4)
    size = sum(tensors[index].shape[1] for index in joined)
    ops = (
        Op("SPLIT_V", (0, 1, 2), (3, 4, 5), {"num_splits": 3}),
        Op("CONCATENATION", joined, (6,), {"axis": 1}),
    )
    tensors = (*tensors[:6], tensor((1, size), "float32"))
    graph = Graph(tensors, ops, (0,), (6, 5) if case == "given" else (6,))
    split = read_tflite(write_tflite(graph)).ops[0]
    assert len(split.outputs) == (2 if case == "empty" else 3)
    read = read_tflite(write_tflite(graph))
    sizes = read.tensors[split.inputs[1]].data
    assert sizes is not None
    assert sizes.tolist() == ([2, 2] if case == "empty" else [2, 2, rest])


def test_foreign_ops_are_named() -> None:
    from unittest.mock import patch

    fake = {"ADD": BY_KIND["ADD"].__class__(109, "WHERE", 1, (2, 2), (1, 1), OPTIONS["Add"])}
    with patch.object(write, "BY_KIND", fake):
        data = write_tflite(plain())
    with pytest.raises(UnsupportedOp, match="op 0 is WHERE"):
        read_tflite(data)
    with patch.object(write, "VERSION", 99):
        data = write_tflite(plain())
    with pytest.raises(UnsupportedOp, match="ADD version 99; versions 1 to 6 are known"):
        read_tflite(data)


def mutants(models: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Models with bytes flipped, numbers planted, blocks moved, ends cut."""
    rng = np.random.default_rng(seed)
    planted = np.array([0, 1, -1, 2, 127, -128, 2**31 - 1, -(2**31), 1 << 16, 1 << 24, 12], "<i4")
    for n in range(count):
        data = np.frombuffer(models[n % len(models)], np.uint8).copy()
        for _ in range(int(rng.integers(1, 6))):
            # Structure lies at both ends of a converted file, constants between them.
            low, high = [(0, 2048), (len(data) - 6000, len(data)), (0, len(data))][rng.integers(3)]
            at = int(rng.integers(max(low, 0), min(high, len(data)) - 4))
            match int(rng.integers(4)):
                case 0:
                    data[at] ^= 1 << rng.integers(8)
                case 1:
                    data[at] = rng.integers(256)
                case 2:
                    data[at : at + 4] = rng.choice(planted)[None].view(np.uint8)
                case _:
                    source = int(rng.integers(len(data) - 32))
                    block = data[source : source + int(rng.integers(1, 32))]
                    data[at : at + len(block)] = block[: len(data) - at]
        end = len(data) if rng.integers(8) else int(rng.integers(16, len(data)))
        yield data[:end].tobytes()


def survive(count: int, seed: int) -> dict[str, int]:
    models = [converted(lowering) for lowering in LOWERINGS]
    models += [write_tflite(read_tflite(model)) for model in models]
    ends = {"read": 0, "InvalidModel": 0, "UnsupportedOp": 0}
    for data in mutants(models, count, seed):
        ends[end(data)] += 1
    return ends


def end(data: bytes) -> str:
    """What becomes of a file."""
    try:
        graph = read_tflite(data)
    except (InvalidModel, UnsupportedOp) as error:
        assert str(error).startswith("model: ")
        return type(error).__name__
    read_tflite(write_tflite(graph))
    return "read"


def test_mutated_models_are_read_or_refused() -> None:
    ends = survive(2_000, seed=0)
    assert min(ends.values()) > 5, ends


def test_mutated_models_take_little_memory() -> None:
    survive(10, seed=2)
    tracemalloc.start()
    survive(200, seed=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.slow
def test_many_mutated_models_are_read_or_refused() -> None:
    ends = survive(100_000, seed=1)
    assert min(ends.values()) > 300, ends


@pytest.mark.parametrize(
    ("op", "times", "limit"),
    [
        (Op("CONCATENATION", (0,) * 10_000, (2,)), 1000, cursor.STRUCTURE_BYTES),
        (Op("RELU", (0,), (2,)), 200_000 // 16, cursor.STRUCTURE_BYTES // 16),
    ],
    ids=["of many inputs", "small"],
)
def test_shared_tables_do_not_multiply(
    op: Op, times: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reference to a table counts as a table of its own, and too many of them are refused."""
    write_op, written = write._op, list[int]()

    def shared(builder: Any, op: Op, code: int) -> int:
        if not written:
            written.append(write_op(builder, op, code))
        return written[0]

    monkeypatch.setattr(write, "_op", shared)
    data = write_tflite(Graph(plain().tensors, (op,) * times, (0,), (2,)))
    assert len(data) < 100_000
    monkeypatch.setattr(cursor, "STRUCTURE_BYTES", limit)
    with damaged("more than .* bytes of structure"):
        read_tflite(data)
