"""What every entry of `EMITTERS` declares, and that nothing passes that it did not declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from c_structs import misordered
from cases import FAMILIES

from autotiny.engine import check_supported, generate, plain_schedule, schedule_for
from autotiny.engine.declared import Declared, Emitter, OneOf, Values
from autotiny.engine.kernel import Site
from autotiny.engine.ops import EMITTERS
from autotiny.engine.ops.shape import DTYPES
from autotiny.errors import InvalidModel, UnsupportedOp
from autotiny.graph import Graph, Option, Quantization, fold
from autotiny.graph.gru import GRU
from autotiny.signal import (
    FRONT_ENDS,
    SHIFT_IN,
    BandFilter,
    Decimate,
    LogMel,
    Mfcc,
    Spectrogram,
    Statistics,
)
from autotiny.signal.front import options_of
from autotiny.tflite.schema import BY_KIND

Key = tuple[str, str]
Rng = np.random.Generator

SIGNALS = (
    (LogMel(64, 32, 4, 8000, 100, 3900), (300,)),
    (Mfcc(64, 32, 8, 8000, 100, 3900, 5), (300,)),
    (Spectrogram(64, 32), (300,)),
    (Decimate(3, 7), (50, 2)),
    (BandFilter(100, 1.0, 20.0), (50, 2)),
    (Statistics(10, 5), (50, 2)),
)  # fmt: skip


def reached(graph: Graph) -> set[Key]:
    folded = fold(graph)
    sites = [Site(folded, step) for step in plain_schedule(folded).steps]
    return {(site.op.kind, site.arithmetic) for site in sites}


def graphs() -> dict[Key, list[Graph]]:
    """Of each entry a few generated graphs of one op."""
    found: dict[Key, list[Graph]] = {key: [] for key in EMITTERS}
    for name, make in FAMILIES.items():
        for k in range(8):
            graph = make(np.random.default_rng([0, k, *name.encode()])).graph
            for key in reached(graph) & set(EMITTERS):
                found[key].append(graph)
    for end, samples in SIGNALS:
        kind = next(kind for kind, known in FRONT_ENDS.items() if known is type(end))
        x = tensor((1, *samples), "int16", 1.0)
        y = tensor((1, *end.output_shape(samples)), end.dtype, 1.0)
        found[kind, "int16"].append(single(kind, [x], y, **options_of(end)))
    for dtype in DTYPES:
        window, new = tensor((1, 10, 3), dtype, 0.5), tensor((1, 2, 3), dtype, 0.5)
        found[SHIFT_IN, dtype].append(single(SHIFT_IN, [window, new], window, state=(0,)))
    return found


GRAPHS = graphs()


def test_every_entry_has_cases() -> None:
    """What no generated case reaches, nobody compares with anything."""
    assert [key for key, found in GRAPHS.items() if not found] == []


@pytest.mark.parametrize("key", EMITTERS)
def test_every_entry_declares_what_the_schema_allows(key: Key) -> None:
    emitter = EMITTERS[key]
    assert isinstance(emitter, Emitter)
    declared = emitter.declared
    assert isinstance(declared, Declared)
    if key[0] in (GRU, SHIFT_IN, *FRONT_ENDS):  # autotiny's own
        return
    facts = BY_KIND[key[0]]
    known = {field.name for field in facts.options.fields}
    if key[0] == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        known.add("intermediates")
    assert set(declared.options) == known
    for takes, (low, high) in ((declared.inputs, facts.inputs), (declared.outputs, facts.outputs)):
        assert takes
        needed = [one for one in takes if one.dtypes and not one.optional]
        assert len(needed) <= low
        assert takes[-1].many or high <= len(takes)
        assert not any(one.many for one in takes[:-1])


@pytest.mark.parametrize("key", EMITTERS)
def test_a_result_of_another_size_is_refused(key: Key) -> None:
    """An op that an emitter takes with a result of any size would write past its buffer."""
    for graph in GRAPHS[key]:
        check_supported(graph)
        index = graph.ops[-1].outputs[0]
        shape = graph.tensors[index].shape
        for at in range(len(shape)):
            wrong = with_tensor(graph, index, shape=(*shape[:at], shape[at] + 1, *shape[at + 1 :]))
            with pytest.raises(UnsupportedOp):
                check_supported(wrong)


@pytest.mark.parametrize("key", EMITTERS)
@pytest.mark.everyday(52)
def test_mutated_ops_are_refused_or_compiled(key: Key) -> None:
    first = GRAPHS[key][0]
    check_mutants(key, [first], share=max(3, len(first.tensors) // 2))


@pytest.mark.slow
@pytest.mark.parametrize("key", EMITTERS)
def test_many_mutated_ops_are_refused_or_compiled(key: Key) -> None:
    check_mutants(key, GRAPHS[key][1:] or GRAPHS[key])


def check_mutants(key: Key, whole: list[Graph], share: int = 1) -> None:
    rng = np.random.default_rng([*"".join(key).encode()])
    taken = [
        compiles(wrong)
        for graph in whole
        for wrong in mutants(rng, graph, EMITTERS[key].declared)
        if rng.integers(share) == 0
    ]
    assert taken.count(False) > 10 * len(whole)


def compiles(graph: Graph) -> bool:
    """Whether a graph becomes C; any other error than a refusal is a failure."""
    try:
        check_supported(graph)
        generate(graph, plain_schedule(graph))
        for dsp in (True, False):
            assert not misordered(generate(graph, schedule_for(graph, "fastest", dsp=dsp)).files)
    except (InvalidModel, UnsupportedOp) as error:
        assert "\n" not in str(error)
        return False
    return True


def with_tensor(graph: Graph, index: int, **fields: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **fields)
    return replace(graph, tensors=tuple(tensors))


def with_op(graph: Graph, **fields: Any) -> Graph:
    return graph.with_ops((*graph.ops[:-1], replace(graph.ops[-1], **fields)))


def mutants(rng: Rng, graph: Graph, declared: Declared) -> Iterator[Graph]:
    """A graph with one thing of its last op changed, each in turn."""
    op = graph.ops[-1]
    for i in range(len(op.inputs)):
        yield with_op(graph, inputs=(*op.inputs[:i], -1, *op.inputs[i + 1 :]))
        yield with_op(graph, inputs=op.inputs[:i])
        yield with_op(graph, inputs=(*op.inputs[:i], op.inputs[0], *op.inputs[i + 1 :]))
    yield with_op(graph, inputs=op.inputs * 2)
    for name, values in declared.options.items():
        for value in beside(values):
            yield with_op(graph, options={**op.options, name: value})
    yield with_op(graph, options={**op.options, "new": 1})
    for index in {*op.inputs, *op.outputs} - {-1}:
        yield from changed(rng, graph, index)


def beside(values: Values) -> Iterator[Option]:
    """Values in the range of an option and outside of it."""
    yield from ("nonsense", -(1 << 31), -1, 0, 1, 2, (1 << 31) - 1, 0.5, -2.5, 1e30, True, (1, 2))
    if isinstance(values, OneOf):
        yield from values.values


def changed(rng: Rng, graph: Graph, index: int) -> Iterator[Graph]:
    """A graph with one thing of a tensor changed, each in turn."""
    one = graph.tensors[index]
    shape = one.shape
    for dtype in ("int8", "uint8", "int16", "int32", "int64", "float32", "float16", "bool", "int4"):
        data = None if one.data is None else one.data.astype("int8" if dtype == "int4" else dtype)
        yield with_tensor(graph, index, dtype=dtype, data=data)
    shapes = [(), (0,), (1, *shape), (*shape, 1), shape[1:], shape[:-1], (1,) * 8, shape[::-1]]
    for at in range(len(shape)):
        shapes += [(*shape[:at], n, *shape[at + 1 :]) for n in (0, 1, 2, 7, -1, 30_000, 1 << 40)]
    for other in shapes:
        yield with_tensor(graph, index, shape=other)
        if one.data is not None and min(other, default=1) >= 0 and np.prod(other) < 1 << 20:
            yield with_tensor(graph, index, shape=other, data=np.resize(one.data, other))
    if one.data is None:
        zeros = np.zeros(shape, one.dtype)
        yield with_tensor(graph, index, data=zeros)
    else:
        yield with_tensor(graph, index, data=None)
        yield with_tensor(graph, index, data=np.zeros_like(one.data))
        ends = one.data.copy().reshape(-1)
        for value in (-(1 << 31), -1, 1 << 31, 127):
            ends[int(rng.integers(ends.size))] = np.array(value).astype(ends.dtype)
            yield with_tensor(graph, index, data=ends.reshape(shape).copy())
    yield with_tensor(graph, index, quantization=None)
    axis = next((at for at, n in enumerate(shape) if n > 1), 0)
    counts = [1, shape[axis]] if shape else [1]
    for scale in (1e-45, 1e-30, 1.0, 1e30, 3e38):
        for count in counts:
            for zero in (0, 3):
                found = Quantization((scale,) * count, (zero,) * count, axis if count > 1 else 0)
                yield with_tensor(graph, index, quantization=found)


def layer(**fields: Any) -> Graph:
    return single(
        "FULLY_CONNECTED",
        [
            tensor((1, 8), "int8", 0.1, 3),
            tensor((5, 8), "int8", 0.01, data=np.ones((5, 8)), **fields),
            tensor((5,), "int32", 0.001, data=np.ones(5)),
        ],
        tensor((1, 5), "int8", 0.1, 3),
        fused_activation_function="NONE",
    )


def test_messages_name_op_and_operand() -> None:
    graph = layer()
    check_supported(graph)
    for wrong, text in (
        (with_tensor(graph, 3, dtype="int16"), "the type of its result is int16; int8 is computed"),
        (with_tensor(graph, 1, shape=(40,)), r"the shape of its weights is \(40,\); 2 dimensions"),
        (with_tensor(graph, 2, data=None), "its bias must be constant"),
        (with_op(graph, inputs=(0,)), "it has no weights"),
        (with_op(graph, inputs=(0, 1, 2, 2)), "it has 4 inputs; 3 are computed"),
        (layer(zero_point=2), "the zero-point of its weights is not 0"),
        (with_op(graph, options={"weights_format": "SHUFFLED4x16INT8"}), "it must be 'DEFAULT'"),
        (with_op(graph, options={"fused_activation_function": "TANH"}), "is 'TANH'; it must be"),
        (with_tensor(graph, 3, quantization=Quantization((1e-30,), (0,))), "between stored"),
    ):
        with pytest.raises(UnsupportedOp, match="op 0 FULLY_CONNECTED \\('out0'\\): .*" + text):
            check_supported(wrong)


def test_a_tensor_that_no_memory_holds_is_refused() -> None:
    for shape in ((1, 1 << 40), (1, -8)):
        with pytest.raises(UnsupportedOp, match="tensor 'in0' of fully_connected has the shape"):
            check_supported(with_tensor(layer(), 0, shape=shape))
