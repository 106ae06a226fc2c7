"""Writes a `Graph` as a TFLite FlatBuffer that LiteRT and TensorFlow Lite Micro load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import flatbuffers
import numpy as np

from autotiny.errors import UnsupportedOp
from autotiny.graph import Graph, Op, Option, Quantization, Tensor, variables, written_out
from autotiny.signal import without_front
from autotiny.tflite.read import NUMPY
from autotiny.tflite.schema import (
    BY_KIND,
    ENUMS,
    FILE_IDENTIFIER,
    SCHEMA_VERSION,
    TENSOR_TYPES,
    OpFacts,
)

DESCRIPTION: Final = "autotiny"

# LiteRT picks a kernel by the types of its tensors; the version only says which runtimes are too
# old for an op. Version 1 loads in all of them, and TensorFlow Lite Micro does not look.
VERSION: Final = 1


def write_tflite(graph: Graph) -> bytes:
    """The FlatBuffer of a graph; the same graph gives the same bytes.

    Constants are aligned to 16 bytes, equal ones are stored once, and int4 ones are packed two a
    byte. A GRU, for which the schema has no op, is written out step by step. Front ends, for which
    it has none either, are left out: the input is their features.

    Raises:
        UnsupportedOp: an op whose kind the schema does not know.
    """
    graph = written_out(without_front(graph))
    builder = flatbuffers.Builder(1024)
    kinds = sorted({op.kind for op in graph.ops})
    for i, op in enumerate(graph.ops):
        if op.kind not in BY_KIND:
            raise UnsupportedOp(f"{graph.name}: op {i} is {op.kind}, which TFLite does not know")
    kept = variables(graph)

    payloads: dict[bytes, int] = {b"": 0}  # buffer 0 is empty by convention
    tensors = []
    for index, tensor in enumerate(graph.tensors):
        buffer = payloads.setdefault(_payload(tensor), len(payloads))
        tensors.append(_tensor(builder, tensor, buffer, index in kept))
    ops = [_op(builder, op, kinds.index(op.kind)) for op in graph.ops]
    codes = [_code(builder, BY_KIND[kind]) for kind in kinds]
    buffers = [_buffer(builder, payload) for payload in payloads]

    name = builder.CreateString(graph.name)
    fields = [
        _offsets(builder, tensors),
        _numbers(builder, graph.inputs, "i4"),
        _numbers(builder, graph.outputs, "i4"),
        _offsets(builder, ops),
        name,
    ]
    subgraphs = _offsets(builder, [_table(builder, fields)])
    description = builder.CreateString(DESCRIPTION)
    code_vector, buffer_vector = _offsets(builder, codes), _offsets(builder, buffers)
    builder.StartObject(5)
    builder.PrependUint32Slot(0, SCHEMA_VERSION, 0)
    for slot, offset in enumerate((code_vector, subgraphs, description, buffer_vector), 1):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject(), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _payload(tensor: Tensor) -> bytes:
    """The bytes of a constant as they stand in the file, none for other tensors."""
    if tensor.data is None:
        return b""
    data = np.ascontiguousarray(tensor.data).astype(NUMPY[tensor.dtype], copy=False)
    if tensor.dtype == "int4":
        nibbles = np.zeros(tensor.size + tensor.size % 2, np.uint8)
        nibbles[: tensor.size] = data.reshape(-1).view(np.uint8) & 15
        return bytes((nibbles[0::2] | (nibbles[1::2] << 4)).tobytes())
    return bytes(data.tobytes())


def _numbers(builder: flatbuffers.Builder, values: object, dtype: str) -> int:
    """A vector of numbers."""
    return cast(int, builder.CreateNumpyVector(np.array(values, "<" + dtype)))


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    """A vector of tables; the builder grows downwards, so the last comes first."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return cast(int, builder.EndVector())


def _table(builder: flatbuffers.Builder, fields: list[int]) -> int:
    """A table of offsets."""
    builder.StartObject(len(fields))
    for slot, offset in enumerate(fields):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return cast(int, builder.EndObject())


def _buffer(builder: flatbuffers.Builder, payload: bytes) -> int:
    if not payload:
        builder.StartObject(1)
        return cast(int, builder.EndObject())
    builder.StartVector(1, len(payload), 16)
    builder.head -= len(payload)
    builder.Bytes[builder.head : builder.head + len(payload)] = payload
    return _table(builder, [builder.EndVector()])


def _code(builder: flatbuffers.Builder, facts: OpFacts) -> int:
    builder.StartObject(4)
    builder.PrependInt8Slot(0, min(facts.code, 127), 0)  # the field of readers before 2020
    builder.PrependInt32Slot(2, VERSION, 1)
    builder.PrependInt32Slot(3, facts.code, 0)
    return cast(int, builder.EndObject())


def _quantization(builder: flatbuffers.Builder, quantization: Quantization) -> int:
    scales = _numbers(builder, quantization.scales, "f4")
    zero_points = _numbers(builder, quantization.zero_points, "i8")
    builder.StartObject(7)
    builder.PrependUOffsetTRelativeSlot(2, scales, 0)
    builder.PrependUOffsetTRelativeSlot(3, zero_points, 0)
    builder.PrependInt32Slot(6, quantization.axis, 0)
    return cast(int, builder.EndObject())


def _tensor(builder: flatbuffers.Builder, tensor: Tensor, buffer: int, variable: bool) -> int:
    name = builder.CreateString(tensor.name)
    shape = _numbers(builder, tensor.shape, "i4")
    quantization = 0
    if tensor.quantization is not None:
        quantization = _quantization(builder, tensor.quantization)
    builder.StartObject(9)
    builder.PrependUOffsetTRelativeSlot(0, shape, 0)
    builder.PrependInt8Slot(1, TENSOR_TYPES.index(tensor.dtype), 0)
    builder.PrependUint32Slot(2, buffer, 0)
    builder.PrependUOffsetTRelativeSlot(3, name, 0)
    builder.PrependUOffsetTRelativeSlot(4, quantization, 0)
    builder.PrependBoolSlot(5, variable, False)
    builder.PrependBoolSlot(8, True, False)  # a scalar has rank 0, not an unknown rank
    return cast(int, builder.EndObject())


def _options(builder: flatbuffers.Builder, facts: OpFacts, options: Mapping[str, Option]) -> int:
    """The options table of an op; a field that the op leaves out keeps the schema's default."""
    vectors = {
        field.slot: _numbers(builder, options.get(field.name, field.default), "i4")
        for field in facts.options.fields
        if field.type == "i32s"
    }
    slots = max((field.slot + 1 for field in facts.options.fields), default=0)
    builder.StartObject(slots)
    for field in facts.options.fields:
        value: Any = options.get(field.name, field.default)
        default: Any = field.default
        if field.type in ENUMS:
            names = ENUMS[field.type]
            builder.PrependInt8Slot(field.slot, names.index(value), names.index(default))
        elif field.type == "bool":
            builder.PrependBoolSlot(field.slot, bool(value), default)
        elif field.type == "f32":
            builder.PrependFloat32Slot(field.slot, float(value), default)
        elif field.type == "i32s":
            builder.PrependUOffsetTRelativeSlot(field.slot, vectors[field.slot], 0)
        else:
            builder.PrependInt32Slot(field.slot, int(value), default)
    return cast(int, builder.EndObject())


def _op(builder: flatbuffers.Builder, op: Op, code_index: int) -> int:
    facts = BY_KIND[op.kind]
    inputs = _numbers(builder, op.inputs, "i4")
    outputs = _numbers(builder, op.outputs, "i4")
    options = _options(builder, facts, op.options) if facts.options.number else 0
    intermediates = _numbers(builder, op.intermediates, "i4") if op.intermediates else 0
    builder.StartObject(9)
    builder.PrependUint32Slot(0, code_index, 0)
    builder.PrependUOffsetTRelativeSlot(1, inputs, 0)
    builder.PrependUOffsetTRelativeSlot(2, outputs, 0)
    builder.PrependUint8Slot(3, facts.options.number, 0)
    builder.PrependUOffsetTRelativeSlot(4, options, 0)
    builder.PrependUOffsetTRelativeSlot(8, intermediates, 0)
    return cast(int, builder.EndObject())
