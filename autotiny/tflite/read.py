"""Reads a TFLite FlatBuffer into a `Graph`, and trusts nothing in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

import numpy as np

from autotiny.errors import UnsupportedOp
from autotiny.graph import (
    ITEM_BYTES,
    Array,
    DType,
    Graph,
    Op,
    Option,
    Quantization,
    Tensor,
    compact,
    named,
    renumbered,
)
from autotiny.tflite.cursor import File, Table
from autotiny.tflite.flat import called, flattened
from autotiny.tflite.schema import (
    BY_CODE,
    CUSTOM,
    ENUMS,
    FILE_IDENTIFIER,
    REFUSED,
    SCHEMA_VERSION,
    TENSOR_TYPES,
    Field,
    OpFacts,
)

NUMPY: Final[dict[DType, str]] = {
    "float32": "<f4", "float16": "<f2", "int4": "<i1", "int8": "<i1", "uint8": "<u1",
    "int16": "<i2", "int32": "<i4", "int64": "<i8", "bool": "|b1",
}  # fmt: skip

INTEGER_RANGE: Final[dict[str, tuple[int, int]]] = {
    "int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1),
}  # fmt: skip

MOST_BYTES: Final = 2**31 - 1
MOST_DIMENSIONS: Final = 8


def read_tflite(data: bytes, name: str = "model") -> Graph:
    """The network in a TFLite FlatBuffer, its tensors in the order of the file.

    Tensors that nothing refers to are dropped, a leading dynamic dimension is read as batch 1,
    int4 constants are unpacked to one element a byte, and options that the file leaves out have
    the schema's defaults. A tensor without data that no op computes and that is no input is
    state: it keeps its value from one inference to the next. Control flow that follows from
    constants is written out (see `flat`). Internal scales of an op (LSTM)
    stand in its option `intermediates` as indices of tensors.

    Args:
        data: the bytes of the file; constants of the graph are views into them.
        name: what errors and the graph call the model.

    Raises:
        InvalidModel: the file is truncated, damaged, hostile, dynamic, or no TFLite file.
        UnsupportedOp: an op, a tensor type or a feature that autotiny does not know by design.
    """
    file = File(bytes(data), name)
    if len(data) < 8 or data[4:8] != FILE_IDENTIFIER:
        found = f"bytes 4 to 8 are {bytes(data[4:8])!r}, not {FILE_IDENTIFIER!r}"
        raise file.invalid(f"not a TFLite file of {len(data)} bytes: {found}")
    model = file.table(file.integer("I", 0, "root"), "root")
    version = model.integer(0, "I", 0)
    if version != SCHEMA_VERSION:
        raise file.invalid(f"schema version {version}; only version {SCHEMA_VERSION} is known")
    subgraphs = model.offsets(2)
    if not subgraphs:
        raise file.invalid("no subgraph")
    parts: dict[int, Graph] = {}
    waiting = [0]
    while waiting:
        number = waiting.pop()
        if not 0 <= number < len(subgraphs):
            raise file.invalid(f"subgraph {number}, but there are {len(subgraphs)}")
        if number not in parts:
            parts[number] = _Reader(file, model, subgraphs[number], number).graph()
            waiting += [other for op in parts[number].ops for other in called(op)]
    return flattened(parts) if any(called(op) for op in parts[0].ops) else parts[0]


class _Reader:
    """The vectors of one file that its ops and tensors refer to."""

    def __init__(self, file: File, model: Table, position: int, number: int) -> None:
        self.file = file
        self.number = number
        self.subgraph = subgraph = file.table(position, f"subgraph {number}")
        self.codes = model.offsets(1)
        self.buffers = model.offsets(4)
        self.tensors = subgraph.offsets(0)

    def graph(self) -> Graph:
        inputs = self.indices(self.subgraph, 1, "subgraph inputs")
        outputs = self.indices(self.subgraph, 2, "subgraph outputs")
        if not outputs:
            raise self.file.invalid(f"subgraph {self.number} has no outputs")
        if len(set(inputs)) != len(inputs):
            raise self.file.invalid(f"a tensor is two inputs of subgraph {self.number}")
        ops = [self.op(i, at) for i, at in enumerate(self.subgraph.offsets(3))]

        used = {*inputs, *outputs}
        producer: dict[int, str] = {}
        for i, op in enumerate(ops):
            used.update(named(op))
            for index in op.outputs:
                if index in producer or index in inputs:
                    first = producer.get(index, "the caller")
                    raise self.file.invalid(
                        f"op {i} ({op.kind}) writes tensor {index}, which {first} wrote before"
                    )
                producer[index] = f"op {i} ({op.kind})"
        order = sorted(used)
        renumber = {old: new for new, old in enumerate(order)}
        tensors, state = [], set()
        for index in order:
            computed = index in producer or index in inputs
            tensor, variable = self.tensor(index, computed)
            tensors.append(tensor)
            if variable:
                state.add(index)
        for index in inputs if self.number == 0 else ():
            self.check_input(index, tensors[renumber[index]])

        written = {*inputs, *state}
        written.update(i for i in order if tensors[renumber[i]].data is not None)
        for i, op in enumerate(ops):
            self.check_written(f"op {i} ({op.kind}) reads", op.inputs, written, producer)
            written.update(op.outputs)
        self.check_written("the result is", outputs, written, producer)

        def new(old: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(renumber[index] for index in old)

        ops = [renumbered(op, renumber) for op in ops]
        _shape_quantized(tensors, ops)
        return _without_empty_parts(
            Graph(tuple(tensors), tuple(ops), new(inputs), new(outputs), self.file.name)
        )

    def check_written(
        self, who: str, indices: tuple[int, ...], written: set[int], producer: dict[int, str]
    ) -> None:
        """Every tensor has its value before it is read: the ops form no cycle."""
        for index in indices:
            if index >= 0 and index not in written:
                by = producer.get(index)
                why = f"which {by} writes only later" if by else "which nothing computes"
                raise self.file.invalid(f"{who} tensor {index}, {why}")

    def indices(
        self, table: Table, slot: int, what: str, optional: bool = False
    ) -> tuple[int, ...]:
        """A vector of tensor indices, each inside the list of tensors."""
        found = tuple(int(i) for i in table.vector(slot, "i4"))
        lowest = -1 if optional else 0
        for index in found:
            if not lowest <= index < len(self.tensors):
                raise self.file.invalid(
                    f"{what}: tensor {index}, but there are {len(self.tensors)} tensors"
                )
        return found

    def op(self, number: int, position: int) -> Op:
        """One op, its options complete."""
        table = self.file.table(position, f"op {number}")
        facts = self.facts(table, number)
        place = f"op {number} ({facts.kind})"
        inputs = self.indices(table, 1, place, optional=True)
        outputs = self.indices(table, 2, place)
        for what, count, (low, high) in (
            ("inputs", len(inputs), facts.inputs),
            ("outputs", len(outputs), facts.outputs),
        ):
            if not low <= count <= high:
                raise self.file.invalid(
                    f"{place}: {count} {what}; {facts.kind} has {low} to {high}"
                )
        options = self.options(table, facts, place)
        intermediates = self.indices(table, 8, place)
        if intermediates:
            options["intermediates"] = intermediates
        return Op(facts.kind, inputs, outputs, options)

    def facts(self, table: Table, number: int) -> OpFacts:
        """What the schema says of an op's builtin code, if its version is known."""
        place = f"op {number}"
        index = table.integer(0, "I", 0)
        if index >= len(self.codes):
            raise self.file.invalid(f"{place}: operator code {index} of {len(self.codes)}")
        entry = self.file.table(self.codes[index], f"operator code {index}")
        code = max(entry.integer(0, "b", 0), entry.integer(3, "i", 0))
        version = entry.integer(2, "i", 1)
        if code == CUSTOM:
            raise UnsupportedOp(
                f"{self.file.name}: {place} is the custom op {entry.text(1)!r}; convert the model "
                "with builtin ops only"
            )
        facts = BY_CODE.get(code)
        if facts is None:
            kind = REFUSED.get(code, f"builtin code {code}")
            raise UnsupportedOp(f"{self.file.name}: {place} is {kind}, which autotiny cannot run")
        if not 1 <= version <= facts.version:
            raise UnsupportedOp(
                f"{self.file.name}: {place} is {facts.kind} version {version}; versions 1 to "
                f"{facts.version} are known"
            )
        return facts

    def options(self, table: Table, facts: OpFacts, place: str) -> dict[str, Option]:
        """The fields of an op's options table, with the schema's defaults."""
        found = table.integer(3, "B", 0)
        known = facts.options
        if not known.fields:
            return {}
        if found not in (0, known.number):
            raise self.file.invalid(
                f"{place}: options of type {found}; {facts.kind} has type {known.number}"
            )
        options = table.table(4, place) if found else None
        return {field.name: self.option(options, field, place) for field in known.fields}

    def option(self, table: Table | None, field: Field, place: str) -> Option:
        """One field of an options table."""
        value: Option = field.default
        if field.type in ENUMS:
            names = ENUMS[field.type]
            number = names.index(str(value))
            number = table.integer(field.slot, "b", number) if table else number
            if not 0 <= number < len(names):
                raise self.file.invalid(f"{place}: {field.name} = {number} is no {field.type}")
            return names[number]
        if table is None:
            pass
        elif field.type == "bool":
            value = bool(table.integer(field.slot, "B", int(value is True)))
        elif field.type == "f32":
            value = table.real(field.slot, cast(float, value))
            if not math.isfinite(value):
                raise self.file.invalid(f"{place}: {field.name} = {value}")
        elif field.type == "i32s":
            value = tuple(int(i) for i in table.vector(field.slot, "i4"))
        else:
            value = table.integer(field.slot, "i", cast(int, value))
        if field.type == "size" and cast(int, value) < 1:
            raise self.file.invalid(f"{place}: {field.name} = {value}; it must be at least 1")
        return value

    def tensor(self, index: int, computed: bool) -> tuple[Tensor, bool]:
        """One tensor, and whether it is state that lives from one inference to the next."""
        place = f"tensor {index}"
        table = self.file.table(self.tensors[index], place)
        name = table.text(3)
        place = f"tensor {index} ({name[:80]!r})"
        kind = table.integer(1, "b", 0)
        type_name = TENSOR_TYPES[kind] if 0 <= kind < len(TENSOR_TYPES) else f"number {kind}"
        if type_name not in ITEM_BYTES:
            raise UnsupportedOp(f"{self.file.name}: {place} has the type {type_name}")
        dtype = cast(DType, type_name)
        shape = self.shape(table, dtype, place)
        if table.integer(10, "I", 0):
            raise UnsupportedOp(f"{self.file.name}: {place} is stored in another file")
        if table.table(6, place) is not None:
            raise UnsupportedOp(
                f"{self.file.name}: {place} is stored sparse; convert the model without sparsity, "
                "autotiny codes sparse weights itself"
            )
        raw = self.bytes_of(table, place)
        variable = table.integer(5, "B", 0) != 0 and not computed and raw is None
        data = None
        if raw is not None and computed:
            raise self.file.invalid(f"{place} is computed, and yet a constant")
        if raw is not None:
            data = self.constant(raw, dtype, shape, place)
        elif math.prod(shape) == 0 and not (computed or variable):
            data = np.zeros(shape, NUMPY[dtype])
        quantization = self.quantization(table, dtype, shape, data, place)
        return Tensor(name, shape, dtype, quantization, data), variable

    def shape(self, table: Table, dtype: DType, place: str) -> tuple[int, ...]:
        """The static shape of a tensor."""
        span = table.span(0, 4)
        if span is not None and span[1] > MOST_DIMENSIONS:
            raise self.file.invalid(f"{place}: {span[1]} dimensions, more than {MOST_DIMENSIONS}")
        shape = [int(n) for n in table.vector(0, "i4")]
        if shape and shape[0] == -1:
            shape[0] = 1
        if any(n < 0 for n in shape):
            raise self.file.invalid(
                f"{place}: shape {shape} is dynamic; convert the model with a fixed shape"
            )
        if math.prod(shape) * ITEM_BYTES[dtype] > MOST_BYTES:
            raise self.file.invalid(f"{place}: shape {shape} takes more than {MOST_BYTES} bytes")
        return tuple(shape)

    def check_input(self, index: int, tensor: Tensor) -> None:
        """An input is one sample of a fixed shape."""
        table = self.file.table(self.tensors[index], f"tensor {index}")
        signature = [int(n) for n in table.vector(7, "i4")]
        place = f"input {tensor.name!r}"
        if any(n < 0 for n in signature[1:]):
            raise self.file.invalid(
                f"{place}: shape {signature} is dynamic; convert the model with a fixed shape"
            )
        batched = len(tensor.shape) == 4 or (tensor.shape and signature[:1] == [-1])
        if batched and tensor.shape[0] != 1:
            raise self.file.invalid(
                f"{place}: batch {tensor.shape[0]}; a microcontroller takes one sample at a time: "
                "convert the model with batch 1"
            )

    def quantization(
        self, table: Table, dtype: DType, shape: tuple[int, ...], data: Array | None, place: str
    ) -> Quantization | None:
        """The affine quantization of an integer tensor, None if it has none.

        The converter gives a channel of zeros the scale 0; the smallest one says the same.
        """
        found = table.table(4, place)
        if found is None or dtype not in INTEGER_RANGE:
            return None
        if found.integer(4, "B", 0):
            raise UnsupportedOp(f"{self.file.name}: {place} has a custom or blockwise quantization")
        scales = found.vector(2, "f4")
        zero_points = found.vector(3, "i8")
        if not len(scales):
            return None
        # Some converters give a bias the axis of its weights; with one dimension it cannot differ.
        axis = 0 if len(shape) == 1 else found.integer(6, "i", 0)
        if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
            raise self.file.invalid(
                f"{place}: {len(scales)} scales along dimension {axis} of shape {list(shape)}"
            )
        if len(zero_points) not in (0, 1, len(scales)):
            raise self.file.invalid(
                f"{place}: {len(zero_points)} zero-points for {len(scales)} scales"
            )
        if data is not None and (scales == 0).any():
            channels = np.moveaxis(data, axis, 0) if len(scales) > 1 else data[None]
            empty = ~channels.reshape(len(scales), -1).any(axis=1)
            scales = np.where(empty & (scales == 0), np.finfo(np.float32).tiny, scales)
        if not (np.isfinite(scales) & (scales > 0)).all():
            bad = int(np.argmin(np.isfinite(scales) & (scales > 0)))
            raise self.file.invalid(f"{place}: scale {bad} is {scales[bad]}; it must be positive")
        low, high = INTEGER_RANGE[dtype]
        points = [int(z) for z in zero_points] or [0]
        if min(points) < low or max(points) > high:
            raise self.file.invalid(f"{place}: a zero-point outside {low} to {high} of {dtype}")
        if len(points) == 1:
            points *= len(scales)
        return Quantization(
            tuple(float(s) for s in scales), tuple(points), axis if len(scales) > 1 else 0
        )

    def bytes_of(self, table: Table, place: str) -> tuple[int, int] | None:
        """Position and length of a tensor's constant, None if it has none."""
        index = table.integer(2, "I", 0)
        if index >= len(self.buffers):
            raise self.file.invalid(f"{place}: buffer {index}, but there are {len(self.buffers)}")
        if index == 0:  # by convention the empty buffer
            return None
        buffer = self.file.table(self.buffers[index], f"buffer {index}")
        # Models of more than 2 GB, and some smaller ones, keep constants behind the FlatBuffer;
        # the offsets 0 and 1 say that a buffer does not.
        offset, size = buffer.integer(1, "Q", 0), buffer.integer(2, "Q", 0)
        if offset > 1:
            return self.file.check(offset, size, f"buffer {index} of {place}"), size
        span = buffer.span(0, 1)
        return span if span is not None and span[1] else None

    def constant(
        self, raw: tuple[int, int], dtype: DType, shape: tuple[int, ...], place: str
    ) -> Array:
        """The elements of a constant, a view into the file where its type allows."""
        position, count = raw
        size = math.prod(shape)
        needed = (size + 1) // 2 if dtype == "int4" else size * ITEM_BYTES[dtype]
        if count != needed:
            raise self.file.invalid(
                f"{place}: {count} bytes of data, but shape {list(shape)} of {dtype} takes {needed}"
            )
        if dtype == "int4":
            self.file.spend(size, place)  # unpacked, so no view
            pairs = np.frombuffer(self.file.data, np.uint8, count, position)
            nibbles = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1)[:size]
            signed: Array = (nibbles.astype(np.int8) ^ 8) - np.int8(8)
            return signed.reshape(shape)
        if dtype == "bool":
            flags: Array = np.frombuffer(self.file.data, np.uint8, count, position) != 0
            return flags.reshape(shape)
        elements: Array = np.frombuffer(self.file.data, NUMPY[dtype], size, position)
        return elements.reshape(shape)


def _shape_quantized(tensors: list[Tensor], ops: Sequence[Op]) -> None:
    """Gives a quantized or dequantized tensor the shape of its source, where the file has none.

    TensorFlow's converter writes such tensors for constants behind fake quantization.
    """
    for op in ops:
        if op.kind in ("QUANTIZE", "DEQUANTIZE") and tensors[op.outputs[0]].shape == ():
            source = tensors[op.inputs[0]]
            tensors[op.outputs[0]] = replace(tensors[op.outputs[0]], shape=source.shape)


def _without_empty_parts(graph: Graph) -> Graph:
    """The graph without last parts of a SPLIT_V that have no elements and that nothing reads.

    TensorFlow's converter writes such parts for the gates of a GRU.
    """
    read = {*graph.outputs, *(index for op in graph.ops for index in op.inputs)}
    tensors, ops = list(graph.tensors), []
    for op in graph.ops:
        if op.kind == "SPLIT_V" and len(op.outputs) > 1 and min(op.inputs) >= 0:
            sizes, last = tensors[op.inputs[1]], op.outputs[-1]
            known = sizes.data is not None and len(sizes.shape) == 1 and sizes.size > 1
            if known and last not in read and tensors[last].size == 0:
                fewer = cast(Array, sizes.data)[:-1]
                tensors.append(replace(sizes, shape=fewer.shape, data=fewer))
                inputs = (op.inputs[0], len(tensors) - 1, op.inputs[2])
                op = replace(op, inputs=inputs, outputs=op.outputs[:-1])
        ops.append(op)
    if tuple(ops) == graph.ops:
        return graph
    return compact(replace(graph, tensors=tuple(tensors), ops=tuple(ops)))
