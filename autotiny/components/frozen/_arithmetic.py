"""Sums and products of a frozen graph, in a cheaper form where there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import count

import numpy as np

from autotiny.components.frozen._grappler import run_passes
from autotiny.components.sums import Apply, Constant, Expression, Kind, Leaf, simplified
from autotiny.graph import Array
from autotiny.model import FrozenGraph, GraphDef, NodeDef, graph_def, tensorflow

KINDS: dict[str, Kind] = {
    "Add": "ADD", "AddV2": "ADD", "AddN": "ADD", "Sub": "SUB", "Mul": "MUL", "RealDiv": "DIV",
}  # fmt: skip
NODES: dict[Kind, str] = {"ADD": "AddV2", "SUB": "Sub", "MUL": "Mul", "DIV": "RealDiv"}
LAYERS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


def with_simple_sums(frozen: FrozenGraph) -> FrozenGraph:
    """The graph with each sum of products in the cheapest form that is known.

    What a convolution or dense layer takes up in its weights and its bias when the graph is lowered
    counts as free.
    """
    definition = graph_def(frozen)
    sums = _Sums(definition, (*frozen.inputs, *frozen.outputs))
    changed = [node for node in list(definition.node) if sums.simplify(node)]
    if not changed:
        return frozen
    data = definition.SerializeToString(deterministic=True)
    return run_passes(FrozenGraph(data, frozen.inputs, frozen.outputs), ("pruning",))


class _Sums:
    """The nodes of a graph as expressions."""

    def __init__(self, definition: GraphDef, ends: Sequence[str]) -> None:
        tf = tensorflow()
        self._definition = definition
        self._float = tf.compat.v1.AttrValue(type=tf.float32.as_datatype_enum)
        self._nodes = {node.name: node for node in definition.node}
        self._reads = Counter(_source(name) for node in definition.node for name in node.input)
        self._reads.update(_source(name) for name in ends)
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
        self._inner = {
            _source(name)
            for node in definition.node
            if self._is_sum(node)
            for name in node.input
            if self._reads[_source(name)] == 1
        }

    def simplify(self, node: NodeDef) -> bool:
        """Rewrites the sum that ends in a node; says whether it did."""
        if not self._is_sum(node) or node.name in self._inner:
            return False
        expression = self._expression(node.name, self._leaves(node))
        better = simplified(expression)
        if better is None and any(part.op == "AddN" for part in self._parts(node)):
            better = expression  # integers are added two by two
        if better is None:
            return False
        made: list[NodeDef] = []
        last = self._written(better, node, made)
        if not made:
            made.append(self._node(node, "", "Identity", [last]))
        final = made.pop()
        final.name = node.name
        node.CopyFrom(final)
        self._definition.node.extend(made)
        return True

    def _node(self, like: NodeDef, name: str, op: str, inputs: Sequence[str]) -> NodeDef:
        node = type(like)(name=name, op=op, input=inputs)
        node.attr["T"].CopyFrom(self._float)
        return node

    def _is_sum(self, node: NodeDef) -> bool:
        if node.op not in KINDS or node.attr["T"] != self._float:
            return False
        shapes = [self._shape(name) for name in (node.name, *map(_source, node.input))]
        return None not in shapes and not any(name.startswith("^") for name in node.input)

    def _shape(self, name: str) -> tuple[int, ...] | None:
        """Of the only result of a node; None if it is not known."""
        results = self._graph.get_operation_by_name(name).outputs
        if len(results) != 1 or not results[0].shape.is_fully_defined():
            return None
        return tuple(results[0].shape)

    def _leaves(self, root: NodeDef) -> dict[str, Leaf]:
        """What a sum does not look into, by the names of the nodes."""
        read = Counter(_source(name) for part in self._parts(root) for name in part.input)
        return {
            name: Leaf(name, self._shape(name) or (), self._is_layer(name, reads))
            for name, reads in read.items()
            if not self._is_inside(name) and self._constant(name) is None
        }

    def _parts(self, node: NodeDef) -> Iterator[NodeDef]:
        """The nodes of a sum, the last one first."""
        yield node
        for name in map(_source, node.input):
            if self._is_inside(name):
                yield from self._parts(self._nodes[name])

    def _is_inside(self, name: str) -> bool:
        """Whether a node is a part of one sum and nothing else."""
        return name in self._inner and self._is_sum(self._nodes[name])

    def _expression(self, name: str, leaves: Mapping[str, Leaf]) -> Expression:
        values = self._constant(name)
        if values is not None:
            return Constant(values)
        if name in leaves:
            return leaves[name]
        node = self._nodes[name]
        parts = [self._expression(_source(one), leaves) for one in node.input]
        return reduce(lambda a, b: Apply(KINDS[node.op], a, b), parts)

    def _constant(self, name: str) -> Array | None:
        node = self._nodes[name]
        while node.op == "Identity" and node.input:
            node = self._nodes[_source(node.input[0])]
        if node.op != "Const":
            return None
        values: Array = tensorflow().make_ndarray(node.attr["value"].tensor)
        return values

    def _is_layer(self, name: str, reads: int) -> bool:
        """Whether a node is a layer that is read so often and no more."""
        node = self._nodes[name]
        if self._reads[name] != reads:
            return False
        while node.op in ("BiasAdd", "Identity") and self._reads[_source(node.input[0])] == 1:
            node = self._nodes[_source(node.input[0])]
        return node.op in LAYERS and self._constant(_source(node.input[1])) is not None

    def _written(self, expression: Expression, root: NodeDef, made: list[NodeDef]) -> str:
        """Adds the nodes of an expression, the last one last; its name."""
        if isinstance(expression, Leaf):
            return str(expression.name)
        if isinstance(expression, Constant):
            node = type(root)(name=self._free(root), op="Const", input=[])
            node.attr["dtype"].CopyFrom(self._float)
            values = tensorflow().make_tensor_proto(expression.values.astype(np.float32))
            node.attr["value"].tensor.CopyFrom(values)
        else:
            sides = [self._written(one, root, made) for one in (expression.left, expression.right)]
            node = self._node(root, self._free(root), NODES[expression.kind], sides)
        self._nodes[node.name] = node
        made.append(node)
        return node.name

    def _free(self, root: NodeDef) -> str:
        """A name that no node has."""
        return next(n for i in count() if (n := f"{root.name}/sum_{i}") not in self._nodes)


def _source(name: str) -> str:
    """The node of an input or output name."""
    return name.lstrip("^").partition(":")[0]
