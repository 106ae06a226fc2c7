"""An ONNX graph as a network of Keras: node after node, constants computed at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any

import numpy as np

from autotiny.doors import keras
from autotiny.errors import InvalidModel, shown
from autotiny.graph import Array
from autotiny.model.kerastypes import KerasModel
from autotiny.model.onnx.files import DOMAINS, array, opset_of, plain
from autotiny.model.onnx.node import Node
from autotiny.model.onnx.ordering import input_order
from autotiny.model.onnx.table import HANDLERS
from autotiny.model.onnx.values import NoBatch, Operand, Refused, Value, unfolded

MOST_VALUES = 1 << 28
"""Values of a constant that a node computes."""

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial")


@dataclass(frozen=True, eq=False)
class Built:
    """A network, and how its ports lie.

    Attributes:
        network: of Keras.
        free: whether its batch is free, so that it can be trained.
        inputs: which axis of ONNX each axis of its inputs is.
        outputs: the same of its outputs.
    """

    network: KerasModel
    free: bool
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]


def built(model: Any, where: str, shapes: Mapping[str, Sequence[int]]) -> Built:
    """The network of a parsed model.

    Args:
        model: as `read_proto` gives it.
        where: its file, for messages.
        shapes: of inputs, by name, where the file leaves them open.

    Raises:
        InvalidModel: a node cannot be computed; the message names it.
    """
    try:
        return _Walk(model, where, shapes, free=True).built()
    except NoBatch:
        return _Walk(model, where, shapes, free=False).built()


class _Walk:
    """One way through a graph."""

    def __init__(
        self, model: Any, where: str, shapes: Mapping[str, Sequence[int]], *, free: bool
    ) -> None:
        self.graph = model.graph
        self.where = where
        self.shapes = shapes
        self.free = free
        self.opset = opset_of(model)
        self.found: dict[str, Operand | None] = {"": None}
        self.labels: set[str] = set()
        self.readers = _readers(self.graph)

    def built(self) -> Built:
        k = keras()
        k.backend.clear_session()
        for tensor in self.graph.initializer:
            self.found[tensor.name] = array(tensor, self.where)
        ports = [
            port
            for port in self.graph.input
            if port.name not in self.found and self.readers[port.name]
        ]
        self._check_shapes([port.name for port in ports])
        inputs = [(port.name, self._input(port)) for port in ports]
        self.found.update(inputs)
        self._compute(self.graph)
        outputs = [self._output(port.name) for port in self.graph.output]
        name = re.sub(r"\W+", "_", self.graph.name).strip("_") or "network"
        network: KerasModel = k.Model(
            [value.tensor for _, value in inputs], [value.tensor for value in outputs], name=name
        )
        return Built(
            network, self.free, tuple(value.axes for _, value in inputs),
            tuple(value.axes for value in outputs),
        )  # fmt: skip

    def _check_shapes(self, names: Sequence[str]) -> None:
        """Refuse sizes of inputs that there are not."""
        for name in self.shapes:
            if name not in names and (name or len(names) != 1):
                said = f"names input {name!r}" if name else "does not say for which input it is"
                raise InvalidModel(
                    f"{self.where}: --input-shape {said}; its inputs are {', '.join(names)}"
                )

    def _input(self, port: Any) -> Value:
        kind = port.type.tensor_type
        if not port.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise InvalidModel(f"{self.where}: input {port.name!r} is no tensor of a known rank")
        sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
        asked = self.shapes.get(port.name, self.shapes.get(""))
        if asked is not None:
            if len(asked) != len(sizes):
                raise InvalidModel(
                    f"{self.where}: input {port.name!r} has {len(sizes)} axes, and --input-shape "
                    f"{'x'.join(map(str, asked))} has {len(asked)}"
                )
            sizes = list(asked)
        order = input_order(self.graph, port.name, sizes)
        batch = (sizes[order[0]] or 1) if sizes else 1
        if self.free and batch > 1:
            raise NoBatch
        if any(sizes[axis] is None for axis in order[1:]):
            names = [dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim]
            sizes[order[0]] = batch
            raise InvalidModel(
                f"{self.where}: input {port.name!r} has the open shape {'×'.join(names)}; firmware "
                f"needs sizes: --input-shape {'x'.join(str(size or 'N') for size in sizes)}"
            )
        tensor = keras().Input(
            [sizes[axis] for axis in order[1:]], batch_size=None if self.free else batch,
            dtype=_type(kind.elem_type, port.name, self.where), name=self._label(port.name),
        )  # fmt: skip
        return Value(tensor, order)

    def _output(self, name: str) -> Value:
        found = self.found.get(name)
        if not isinstance(found, Value):
            raise InvalidModel(
                f"{self.where}: output {name!r} is a constant, or nothing computes it"
            )
        return unfolded(found)

    def _label(self, name: str) -> str:
        """A name for a layer that no other has."""
        plain_name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:60] or "node"
        numbered = (plain_name if at == 0 else f"{plain_name}_{at}" for at in count())
        label = next(one for one in numbered if one not in self.labels)
        self.labels.add(label)
        return label

    def _compute(self, graph: Any) -> None:
        """All nodes of a graph, or of a branch of it."""
        nodes = list(graph.node)
        gone: set[int] = set()
        for place, node in enumerate(nodes):
            if place in gone or not any(self.readers[name] for name in node.output if name):
                continue
            inputs = [self._operand(name, node) for name in node.input]
            outputs = list(node.output)
            bias = self._bias_of(node, nodes[place + 1 :])
            if bias is not None:
                behind, constant = bias
                gone.add(place + 1 + behind)
                inputs += [None] * (2 - len(inputs)) + [constant]
                outputs = list(nodes[place + 1 + behind].output)
            for name, value in zip(outputs, self._outputs(node, tuple(inputs)), strict=False):
                self.found[name] = value

    def _operand(self, name: str, node: Any) -> Operand | None:
        if name not in self.found:
            raise InvalidModel(
                f"{self.where}: node {self._called(node)} reads {shown(name)}, which no node "
                "before it gives"
            )
        return self.found[name]

    def _bias_of(self, node: Any, behind: Sequence[Any]) -> tuple[int, Array] | None:
        """The Add of a constant that alone reads a product: where it stands, and the constant."""
        fits = {"MatMul": 2, "Conv": 2, "ConvTranspose": 2}.get(node.op_type)
        if len(node.input) != fits or self.readers[node.output[0]] != 1:
            return None
        kernel = self.found.get(node.input[1])
        readers = (at for at, one in enumerate(behind) if node.output[0] in one.input)
        place = next(readers, None)
        if place is None or not isinstance(kernel, np.ndarray):
            return None
        other = behind[place]
        if other.op_type != "Add":
            return None
        constant = self.found.get(next(n for n in other.input if n != node.output[0]))
        if not isinstance(constant, np.ndarray):
            return None
        units = kernel.shape[-1 if node.op_type == "MatMul" else int(node.op_type != "Conv")]
        dimensions = 0 if node.op_type == "MatMul" else kernel.ndim - 2
        shape = (units, *(1,) * dimensions)
        if constant.shape[-len(shape) :] != shape or constant.size != units or kernel.ndim < 2:
            return None
        if dimensions == 0 and kernel.ndim != 2:
            return None
        return place, constant.reshape(-1)

    def _outputs(self, node: Any, inputs: tuple[Operand | None, ...]) -> Sequence[Operand]:
        """What a node gives."""
        if node.domain not in DOMAINS:
            raise InvalidModel(
                f"{self.where}: node {self._called(node)} is an operator of domain "
                f"{node.domain!r}, which is not ONNX's own"
            )
        if node.op_type == "If":
            return self._branch(node, inputs[0])
        if node.op_type in RANDOM:
            raise InvalidModel(f"{self.where}: node {self._called(node)} gives random values")
        try:
            if not any(isinstance(one, Value) for one in inputs):
                return self._constants(node, inputs)
            handler = HANDLERS.get(node.op_type)
            if handler is None:
                raise Refused("no kernel computes it")
            found = handler(self._read(node, inputs))
        except Refused as why:
            raise InvalidModel(f"{self.where}: node {self._called(node)}: {why}") from why
        except (ValueError, TypeError, IndexError, KeyError, ArithmeticError) as why:
            given = [getattr(one, "shape", None) for one in inputs]
            reason = str(why).strip().partition("\n")[0]
            raise InvalidModel(
                f"{self.where}: node {self._called(node)} does not fit inputs of {given}: {reason}"
            ) from why
        return found if isinstance(found, Sequence) else [found]

    def _read(self, node: Any, inputs: tuple[Operand | None, ...]) -> Node:
        attributes = {one.name: self._attribute(one) for one in node.attribute}
        label = self._label(node.name or f"{node.op_type.lower()}_{len(self.labels)}")
        wanted = tuple(bool(name) and self.readers[name] > 0 for name in node.output)
        return Node(node.op_type, label, inputs, attributes, self.opset, wanted)

    def _attribute(self, attribute: Any) -> Any:
        from onnx import helper

        found = helper.get_attribute_value(attribute)
        return array(found, self.where) if attribute.HasField("t") else found

    def _branch(self, node: Any, condition: Operand | None) -> Sequence[Operand]:
        """The branch that is taken, which a constant must say."""
        if not isinstance(condition, np.ndarray):
            raise InvalidModel(
                f"{self.where}: node {self._called(node)} takes a branch that the input decides; "
                "firmware computes one sequence of layers"
            )
        name = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        branch = next(one.g for one in node.attribute if one.name == name)
        for tensor in branch.initializer:
            self.found[tensor.name] = array(tensor, self.where)
        self._compute(branch)
        return [found for port in branch.output if (found := self.found[port.name]) is not None]

    def _constants(self, node: Any, inputs: tuple[Operand | None, ...]) -> Sequence[Operand]:
        """What a node gives that reads constants alone."""
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        given = [one for one in inputs if isinstance(one, np.ndarray)]
        largest = _largest(node.op_type, given)
        if largest > MOST_VALUES:
            raise Refused(f"a constant of {largest:,} values; at most {MOST_VALUES:,}")
        names = [f"input{place}" if one is not None else "" for place, one in enumerate(inputs)]
        alone = helper.make_node(
            node.op_type, names, [f"output{place}" for place in range(len(node.output))]
        )
        alone.attribute.extend(node.attribute)
        feeds = {name: one for name, one in zip(names, inputs, strict=True) if name}
        try:
            found = ReferenceEvaluator(alone, opsets={"": self.opset}).run(None, feeds)
        except Exception as damage:  # of whatever kind the operator's own code raises
            raise Refused(f"its constants do not fit it: {damage}") from damage
        return [plain(one) for one in found]

    def _called(self, node: Any) -> str:
        name = f"{node.name!r} " if node.name else ""
        return f"{name}({node.op_type}, opset {self.opset})"


def _largest(kind: str, given: Sequence[Array]) -> int:
    """How many values a constant may come to have."""
    if kind == "ConstantOfShape":
        return prod(int(size) for size in given[0].reshape(-1))
    if kind in ("Expand", "Tile") and len(given) > 1:
        return given[0].size * prod(abs(int(size)) for size in given[1].reshape(-1))
    if kind == "Range" and given[2].reshape(-1)[0]:
        start, limit, step = (float(one.reshape(-1)[0]) for one in given)
        return int(abs((limit - start) / step)) + 1
    return 0


def _readers(graph: Any) -> Counter[str]:
    """How many nodes and outputs that are needed read each tensor."""
    readers: Counter[str] = Counter(port.name for port in graph.output)
    for node in reversed(graph.node):
        if any(readers[name] for name in node.output):
            readers.update(node.input)
            for attribute in node.attribute:
                for branch in [attribute.g] if attribute.HasField("g") else []:
                    readers.update(_readers(branch))
    return readers


def _type(code: int, name: str, where: str) -> str:
    from onnx import TensorProto

    found = TensorProto.DataType.Name(code)
    if found in ("FLOAT", "FLOAT16", "DOUBLE"):
        return "float32"
    if found in ("INT64", "INT32"):
        return "int32"
    raise InvalidModel(
        f"{where}: input {name!r} has values of type {found}; float and int32 are read"
    )
