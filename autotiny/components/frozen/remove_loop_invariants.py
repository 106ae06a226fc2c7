"""Compute before a loop what every pass would compute anew though the loop's state does not enter.

Aho, Sethi and Ullman, "Compilers", 1986, section 10.7, for values that are the same on every pass.
For the products of a recurrent layer with the inputs of its steps: Appleyard et al., "Optimizing
Performance of Recurrent Neural Networks on GPUs", 2016, who compute those of all steps as one.

A loop is written out on lowering, where the converter merges equal ops by itself: the first kind
alone changes the graph and not the firmware. The second changes both: one layer over all steps
instead of one layer a step, at the price of memory for what it gives. In integers flash falls, and
cycles do where layers are computed in blocks, which then span the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autotiny.components.base import Component, Work
from autotiny.components.frozen._loops import ancestors, function_graph, function_named, loops
from autotiny.errors import NotApplicable
from autotiny.model import (
    FrozenGraph,
    FunctionDef,
    FunctionGraph,
    GraphDef,
    GraphTensor,
    Level,
    Model,
    NodeDef,
    Operation,
    freeze,
    graph_def,
    successor,
    tensorflow,
)

LIFTED = ("MatMul", "BiasAdd")
"""What is done to each step's row alone, and so can be done to all rows at once."""


@dataclass(frozen=True)
class RemoveLoopInvariants(Component):
    """Moves what does not depend on a loop's state out of loops and out of unrolled steps."""

    name = "remove_loop_invariants"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)

    def apply(self, model: Model, work: Work) -> Model:
        """The model with less inside its loops."""
        before = freeze(model)
        network = _hoisted(before.frozen)
        while (better := _lifted(network)) is not None:
            network = better
        if network is before.frozen:
            raise NotApplicable(
                "remove_loop_invariants: no loop or unrolled step computes what its state does "
                "not enter"
            )
        return successor(before, network)


def _reached(definition: GraphDef, ports: FrozenGraph) -> FrozenGraph:
    """A GraphDef without the nodes that nothing reads any more, with the ports of a graph."""
    ends = [_node(name) for name in (*ports.outputs, *ports.inputs)]
    kept: GraphDef = tensorflow().compat.v1.graph_util.extract_sub_graph(definition, ends)
    return replace(ports, graph_def=kept.SerializeToString(deterministic=True))


def _node(tensor: str) -> str:
    """The node that gives a tensor or orders another."""
    return tensor.lstrip("^").partition(":")[0]


# Loops: the same on every pass


def _hoisted(frozen: FrozenGraph) -> FrozenGraph:
    """The graph with invariants computed before its loops; itself if there are none."""
    definition = graph_def(frozen)
    found = [_hoist(definition, loop) for loop in loops(definition)]
    return _reached(definition, frozen) if any(found) else frozen


def _hoist(definition: GraphDef, loop: NodeDef) -> bool:
    """Moves invariants out of a loop's body; says whether there were any."""
    body = function_graph(definition, loop.attr["body"].func.name)
    same = {
        tensor.op
        for tensor, result in zip(body.inputs, body.outputs, strict=True)
        if _through_identities(result) is tensor
    }
    inputs = {tensor.op for tensor in body.inputs}
    invariant = set(same)
    for op in body.get_operations():  # in an order in which they can be executed
        several = any(port.type_list_attr for port in op.op_def.output_arg)
        pure = not (op.op_def.is_stateful or op.control_inputs or several)
        if op not in inputs and pure and all(tensor.op in invariant for tensor in op.inputs):
            invariant.add(op)
    # Constants and arguments are there for every pass as they are.
    computed = {op for op in invariant if op.type not in ("Const", "Identity") and op not in same}
    read = [
        tensor
        for op in body.get_operations()
        if op in computed
        for tensor in op.outputs
        if any(reader not in invariant for reader in tensor.consumers())
        or any(tensor is result for result in body.outputs)
    ]
    if not read:
        return False
    moved = _copied(definition, loop, body, read)
    for role in ("cond", "body"):
        _with_arguments(definition, loop, role, read)
    for tensor in read:
        loop.attr["T"].list.type.append(tensor.dtype.as_datatype_enum)
        if loop.attr["output_shapes"].list.shape:
            loop.attr["output_shapes"].list.shape.add().CopyFrom(tensor.shape.as_proto())
    data = [source for source in loop.input if not source.startswith("^")]
    order = loop.input[len(data) :]
    del loop.input[:]
    loop.input.extend([*data, *moved, *order])
    return True


def _through_identities(tensor: GraphTensor) -> GraphTensor:
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _copied(
    definition: GraphDef, loop: NodeDef, body: FunctionGraph, read: list[GraphTensor]
) -> list[str]:
    """Copies the ops that some tensors of a body need to before the loop; names of the copies."""
    place = {tensor.name: index for index, tensor in enumerate(body.inputs)}
    done: set[str] = set()

    def outside(tensor: GraphTensor) -> str:
        if tensor.name in place:
            return str(loop.input[place[tensor.name]])
        name = f"{loop.name}/before/{tensor.op.name}"
        if name not in done:
            done.add(name)
            node = definition.node.add()
            node.CopyFrom(tensor.op.node_def)
            node.name = name
            del node.input[:]
            node.input.extend([outside(source) for source in tensor.op.inputs])
        return f"{name}:{tensor.value_index}"

    return [outside(tensor) for tensor in read]


def _with_arguments(
    definition: GraphDef, loop: NodeDef, role: str, read: list[GraphTensor]
) -> None:
    """Gives the condition or the body of a loop an argument for each tensor computed before it."""
    function = definition.library.function.add()
    function.CopyFrom(function_named(definition, loop.attr[role].func.name))
    function.signature.name += "_hoisted"
    loop.attr[role].func.name = function.signature.name
    instead = {_name_in_function(tensor): f"before_{n}" for n, tensor in enumerate(read)}
    for tensor, name in zip(read, instead.values(), strict=True):
        function.signature.input_arg.add(name=name, type=tensor.dtype.as_datatype_enum)
    if role == "cond":
        return
    for node in function.node_def:
        sources = [instead.get(source, source) for source in node.input]
        del node.input[:]
        node.input.extend(sources)
    for port, source in list(function.ret.items()):
        function.ret[port] = instead.get(source, source)
    for tensor, name in zip(read, instead.values(), strict=True):
        function.signature.output_arg.add(name=f"{name}_on", type=tensor.dtype.as_datatype_enum)
        function.ret[f"{name}_on"] = name
    _drop_unread(function)


def _drop_unread(function: FunctionDef) -> None:
    """Takes out of a function what its results no longer need."""
    nodes = {node.name: node for node in function.node_def}
    pending = [*function.ret.values(), *function.control_ret.values()]
    needed: set[str] = set()
    while pending:
        name = _node(pending.pop())
        if name in nodes and name not in needed:
            needed.add(name)
            pending += nodes[name].input
    kept = [node for node in function.node_def if node.name in needed]
    del function.node_def[:]
    function.node_def.extend(kept)


def _name_in_function(tensor: GraphTensor) -> str:
    """How the nodes of a function call a tensor: `node:port:index`."""
    first = 0
    for port in tensor.op.op_def.output_arg:
        count = tensor.op.get_attr(port.number_attr) if port.number_attr else 1
        if tensor.value_index < first + count:
            return f"{tensor.op.name}:{port.name}:{tensor.value_index - first}"
        first += count
    raise ValueError(f"{tensor.name} is no output of {tensor.op.type}")


# Unrolled steps: the same op with the same weights on each step's input


def _lifted(frozen: FrozenGraph) -> FrozenGraph | None:
    """The graph with one more op done for all steps at once; None if there is none."""
    tf = tensorflow()
    definition = graph_def(frozen)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    ordering = [source for node in definition.node for source in node.input if source[0] == "^"]
    named = {_node(name) for name in (*ordering, *frozen.outputs)}
    unpacks: list[Operation] = graph.get_operations()
    for unpack in unpacks:
        for op in unpack.outputs[0].consumers() if _gives_rows(unpack) else ():
            steps = _on_every_step(unpack, op)
            if steps and not named.intersection(step.name for step in steps):
                with graph.as_default():
                    results = _at_once(unpack, op)
                instead = {
                    step.name: result.name for step, result in zip(steps, results, strict=True)
                }
                return _reached(_redirected(graph.as_graph_def(), instead), frozen)
    return None


def _gives_rows(op: Operation) -> bool:
    """Whether an op takes several steps apart, each a row: (steps, 1, depth) along axis 0."""
    if op.type != "Unpack" or op.get_attr("axis") or len(op.outputs) < 2:
        return False
    shape = op.inputs[0].shape
    return bool(shape.rank == 3 and shape.is_fully_defined())


def _on_every_step(unpack: Operation, op: Operation) -> list[Operation]:
    """The ops that do on each step what one does on the first; none if a step lacks it."""
    work = _work(op, unpack.outputs[0])
    if work is None:
        return []
    alike = [[o for o in row.consumers() if _work(o, row) == work] for row in unpack.outputs]
    return [ops[0] for ops in alike] if all(alike) else []


def _work(op: Operation, row: GraphTensor) -> tuple[object, ...] | None:
    """What an op does to a row, if it does the same to each of many."""
    if op.type not in LIFTED or op.inputs[0] is not row or not _is_constant(op.inputs[1]):
        return None
    if op.type == "MatMul" and op.get_attr("transpose_a"):
        return None
    return op.type, _attributes(op), _meaning(op.inputs[1])


def _is_constant(tensor: GraphTensor) -> bool:
    return not any(op.type == "Placeholder" or op.op_def.is_stateful for op in ancestors([tensor]))


def _meaning(constant: GraphTensor) -> tuple[object, ...]:
    """How a constant comes about: the same for two that are equal."""
    constant = _through_identities(constant)
    sources = tuple(_meaning(source) for source in constant.op.inputs)
    return constant.op.type, _attributes(constant.op), constant.value_index, sources


def _attributes(op: Operation) -> tuple[tuple[str, bytes], ...]:
    attributes = sorted(op.node_def.attr.items())
    return tuple((key, value.SerializeToString()) for key, value in attributes if key[0] != "_")


def _at_once(unpack: Operation, op: Operation) -> list[GraphTensor]:
    """What an op gives on every step, computed of all rows together."""
    tf = tensorflow()
    steps, height, depth = unpack.inputs[0].shape
    with tf.name_scope(f"{op.name}/all_steps"):
        rows = tf.reshape(unpack.inputs[0], (steps * height, depth))
        if op.type == "MatMul":
            result = tf.matmul(rows, op.inputs[1], transpose_b=op.get_attr("transpose_b"))
        else:
            result = tf.nn.bias_add(rows, op.inputs[1])
        return list(tf.unstack(tf.reshape(result, (steps, height, result.shape[-1]))))


def _redirected(definition: GraphDef, instead: dict[str, str]) -> GraphDef:
    """A GraphDef whose nodes read other tensors instead of the first results of some nodes."""
    for node in definition.node:
        sources = [instead.get(source.removesuffix(":0"), source) for source in node.input]
        del node.input[:]
        node.input.extend(source.removesuffix(":0") for source in sources)
    return definition
