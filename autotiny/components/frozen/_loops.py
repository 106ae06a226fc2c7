"""Loops of a frozen graph: how often they run, and their bodies written out once a pass.

A `While` of TensorFlow 2 holds its condition and its body as functions. It would need an
interpreter on the microcontroller; where the number of passes follows from constants, the body can
stand there as often as it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from autotiny.components.frozen._grappler import run_passes
from autotiny.graph import Array
from autotiny.model import (
    FrozenGraph,
    FunctionDef,
    FunctionGraph,
    GraphDef,
    GraphTensor,
    NodeDef,
    Operation,
    graph_def,
    tensorflow,
)

LOOPS = ("While", "StatelessWhile")
MOST_PASSES = 1000
"""Longer loops stay, and the engine refuses them: their firmware would fit nothing."""


def unrolled_loops(frozen: FrozenGraph) -> FrozenGraph:
    """The graph with every loop of a known number of passes as plain ops, inner loops too."""
    while True:
        definition = graph_def(frozen)
        counted = [(node, passes(definition, node)) for node in loops(definition)]
        known = [(node, count) for node, count in counted if count is not None]
        if not known:
            return frozen
        for node, count in known:
            _write_out(definition, node, count)
        written = replace(frozen, graph_def=definition.SerializeToString(deterministic=True))
        # The calls are inlined; counters, which an inner loop may hang on, become constants.
        frozen = run_passes(written, ("function", "constfold", "pruning"))


def loops(definition: GraphDef) -> list[NodeDef]:
    """The loops of a GraphDef."""
    return [node for node in definition.node if node.op in LOOPS]


def function_named(definition: GraphDef, name: str) -> FunctionDef:
    """A function of the graph's library."""
    return next(one for one in definition.library.function if one.signature.name == name)


def function_graph(definition: GraphDef, name: str) -> FunctionGraph:
    """A function of the library as a TensorFlow graph with inputs and outputs."""
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    graph: FunctionGraph = function_def_to_graph(function_named(definition, name))
    return graph


def passes(definition: GraphDef, loop: NodeDef) -> int | None:
    """How often the body of a loop runs, or None where that depends on the input."""
    tf = tensorflow()
    condition = function_graph(definition, loop.attr["cond"].func.name)
    body = function_graph(definition, loop.attr["body"].func.name)
    deciding = _sources(condition, condition.outputs)
    while True:
        more = deciding | _sources(body, [body.outputs[place] for place in deciding])
        if more == deciding:
            break
        deciding = more
    constants = {node.name: node for node in definition.node if node.op == "Const"}
    names = {place: loop.input[place].removesuffix(":0") for place in deciding}
    if not all(name in constants for name in names.values()):
        return None
    values: dict[int, Array] = {
        place: tf.make_ndarray(constants[name].attr["value"].tensor)
        for place, name in names.items()
    }
    session = tf.compat.v1.Session
    with session(graph=condition) as check, session(graph=body) as run:
        for count in range(MOST_PASSES + 1):
            if not check.run(condition.outputs[0], _fed(condition, values)):
                return count
            values = run.run({place: body.outputs[place] for place in values}, _fed(body, values))
    return None


def _fed(graph: FunctionGraph, values: Mapping[int, Array]) -> dict[str, Array]:
    return {graph.inputs[place].name: value for place, value in values.items()}


def _sources(graph: FunctionGraph, tensors: Iterable[GraphTensor]) -> set[int]:
    """Which inputs of a function some of its tensors are computed from."""
    needed = ancestors(tensors)
    return {place for place, tensor in enumerate(graph.inputs) if tensor.op in needed}


def ancestors(tensors: Iterable[GraphTensor]) -> set[Operation]:
    """All ops of a TensorFlow graph that some tensors are computed by."""
    pending, seen = [tensor.op for tensor in tensors], set[Operation]()
    while pending:
        op = pending.pop()
        if op not in seen:
            seen.add(op)
            pending += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return seen


def _write_out(definition: GraphDef, loop: NodeDef, count: int) -> None:
    """Puts calls of the body, one after the other, in the place of a loop."""
    kind, name = type(loop), loop.name
    data = [source for source in loop.input if not source.startswith("^")]
    order = loop.input[len(data) :]
    calls = []
    for turn in range(count):
        call = kind(name=f"{name}/pass_{turn}", op="PartitionedCall", input=[*data, *order])
        for attribute, origin in (("Tin", "T"), ("Tout", "T"), ("f", "body")):
            call.attr[attribute].CopyFrom(loop.attr[origin])
        data = [f"{call.name}:{place}" for place in range(len(data))]
        calls.append(call)
    # Who reads the loop reads what its last pass leaves.
    result = kind(name=name, op="IdentityN", input=[*data, *order])
    result.attr["T"].CopyFrom(loop.attr["T"])
    definition.node.remove(loop)
    definition.node.extend([*calls, result])
