"""Reading an ONNX file: parsed and checked, its constants as arrays; nothing in it is executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.errors import InvalidModel, shown
from autotiny.graph import Array

OLDEST = 6
"""The first version of the operators that is read."""

LARGEST = 2 << 30
"""Bytes of a file, and of all the data that lies beside it."""

DOMAINS = ("", "ai.onnx")


def read_proto(path: Path) -> Any:
    """The parsed model of a file, with the data that lies in files beside it.

    Raises:
        InvalidModel: it is none, its data lies elsewhere, or its operators are of another set.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    size = path.stat().st_size
    if size > LARGEST:
        raise InvalidModel(f"{path} has {size:,} bytes; an ONNX file has at most {LARGEST:,}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as damage:
        raise InvalidModel(f"{path} is no ONNX file, or is cut off: {damage}") from damage
    if not model.graph.node and not model.graph.output:
        raise InvalidModel(f"{path} holds no graph; export the network again")
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _load(tensor, path)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    _check_versions(model, path)
    return model


def opset_of(model: Any) -> int:
    """The version of the operators."""
    return max((one.version for one in model.opset_import if one.domain in DOMAINS), default=1)


def _check_versions(model: Any, path: Path) -> None:
    from onnx.defs import onnx_opset_version

    opset, newest = opset_of(model), onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise InvalidModel(
            f"{path} has operators of opset {opset}; {OLDEST} to {newest} are read. "
            "onnx.version_converter.convert_version(model, 17) changes that"
        )


def array(tensor: Any, where: str) -> Array:
    """A constant: floats as float32.

    Raises:
        InvalidModel: it has not as many values as its shape says, or of a type of its own.
    """
    from onnx import numpy_helper

    try:
        found = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as damage:
        raise InvalidModel(
            f"{where}: constant {shown(tensor.name)} is damaged: {damage}"
        ) from damage
    return plain(found)


def plain(x: Any) -> Array:
    """An array with floats as float32."""
    found: Array = np.asarray(x)
    return found.astype(np.float32) if found.dtype.kind not in "biuOSU" else found


def _tensors(graph: Any) -> Iterator[Any]:
    """All constants of a graph, those in its nodes and branches too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for branch in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(branch)


def _load(tensor: Any, path: Path) -> None:
    """Put the data of a constant that lies in a file beside the model into it."""
    import onnx

    facts = {entry.key: entry.value for entry in tensor.external_data}
    location, folder = facts.get("location", ""), path.parent.resolve()
    file = (folder / location).resolve()
    what = f"{path}: the data of constant {shown(tensor.name)}"
    if not location or folder not in file.parents:
        raise InvalidModel(f"{what} lies in {shown(location)}, outside of the model's folder")
    if not file.is_file():
        raise InvalidModel(f"{what} lies in {file.name}, which is missing; put it beside the model")
    try:
        offset = int(facts.get("offset", 0))
        length = int(facts.get("length", file.stat().st_size - offset))
    except ValueError as damage:
        raise InvalidModel(f"{what} has no place: {damage}") from damage
    if offset < 0 or length < 0 or offset + length > min(file.stat().st_size, LARGEST):
        raise InvalidModel(
            f"{what} lies at {offset}, {length} bytes, beyond the end of {file.name}"
        )
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
