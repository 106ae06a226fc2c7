"""Keras model → frozen inference graph, and what both compute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from autotiny.doors import keras, tensorflow
from autotiny.errors import InvalidModel
from autotiny.graph import Array, Graph
from autotiny.mapped import Samples
from autotiny.model.feeding import Shape, cut, joined
from autotiny.model.graphtypes import (
    ConcreteFunction,
    FunctionDef,
    GraphDef,
    GraphTensor,
    NodeDef,
)
from autotiny.model.kerastypes import KerasLayer, KerasModel, KerasTensor, KerasType
from autotiny.model.levels import FrozenGraph, Level, Model, Network, Program, Traits, level_of

PREDICT_BATCH = 256
NO_TRAITS = Traits()


def keras_model(network: KerasModel, traits: Traits = NO_TRAITS) -> Model:
    """A tf_keras model as a `Model` of level keras."""
    return Model(Level.KERAS, network, keras_fingerprint(network), traits=traits)


def graph_model(network: FrozenGraph, traits: Traits = NO_TRAITS) -> Model:
    """A frozen graph as a `Model` of level graph."""
    return Model(Level.GRAPH, network, graph_fingerprint(network), traits=traits)


def successor(origin: Model, network: Network) -> Model:
    """What a step made of a model: another network, with all else that is known of it."""
    return replace(
        origin, level=level_of(network), network=network, fingerprint=fingerprint(network)
    )


def fingerprint(network: Network) -> str:
    """A digest of architecture and weights, and of the schedule if there is one."""
    if isinstance(network, FrozenGraph):
        return graph_fingerprint(network)
    if isinstance(network, Graph):
        return network.fingerprint()
    if isinstance(network, Program):
        facts = (network.graph.fingerprint(), network.schedule)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return keras_fingerprint(network)


def keras_fingerprint(network: KerasModel) -> str:
    """A digest of layers and weights; the names that Keras counts up do not enter."""
    config = json.dumps(_unnamed(network.get_config(), {}), sort_keys=True, default=str)
    digest = hashlib.sha256(config.encode())
    for weight in network.get_weights():
        digest.update(repr((weight.shape, str(weight.dtype))).encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def _unnamed(value: object, names: dict[str, str], key: str = "") -> object:
    """A configuration with its layers numbered in the place of their names.

    Only names are replaced: a layer may be named as the activation that it has.

    Args:
        value: the configuration, or a part of it.
        names: the numbers given so far, by name.
        key: under which the part stands.
    """
    if isinstance(value, dict):
        # A type's name is no layer's.
        return value if key == "dtype" else {k: _unnamed(v, names, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_unnamed(item, names) for item in value]
        refers = len(value) > 1 and isinstance(value[0], str) and type(value[1]) is int
        return [_unnamed(value[0], names, "name"), *items[1:]] if refers else items
    if key == "name" and isinstance(value, str):
        return names.setdefault(value, f"#{len(names)}")
    return value


def graph_fingerprint(frozen: FrozenGraph) -> str:
    """A digest of the nodes reached from the outputs; names of nodes and functions do not enter."""
    definition = graph_def(frozen)
    functions = {function.signature.name: function for function in definition.library.function}
    ports = [_node_name(name) for name in (*frozen.outputs, *frozen.inputs)]
    return _digest(definition.node, [], ports, functions)[:16]


def _digest(
    definitions: Iterable[NodeDef],
    arguments: list[str],
    ends: list[str],
    functions: Mapping[str, FunctionDef],
) -> str:
    """A digest of the nodes that some of them are computed from, by their place instead of name."""
    nodes = {node.name: node for node in definitions}
    order = {name: place for place, name in enumerate(arguments)}
    pending = list(reversed(ends))
    while pending:
        name = pending.pop()
        if name in order or name not in nodes:
            continue
        order[name] = len(order)
        pending.extend(reversed([_node_name(source) for source in nodes[name].input]))
    digest = hashlib.sha256()
    for name in order:
        if name not in nodes:
            continue
        node = nodes[name]
        sources = [
            (order.get(_node_name(s), -1), s.partition(":")[2], s[0] == "^") for s in node.input
        ]
        digest.update(repr((node.op, sources)).encode())
        for key in sorted(node.attr):
            if key.startswith("_"):
                continue
            value = node.attr[key]
            names = [call.name for call in (value.func, *value.list.func) if call.name]
            # The name of a function holds a counter of the process.
            called = [_function_digest(functions[name], functions) for name in names]
            text = value.SerializeToString(deterministic=True)
            digest.update(key.encode() + ("".join(called).encode() if called else text))
    digest.update(repr([order[name] for name in ends]).encode())
    return digest.hexdigest()


def _function_digest(function: FunctionDef, functions: Mapping[str, FunctionDef]) -> str:
    """A digest of a branch or of a loop's body."""
    results = [_node_name(function.ret[port.name]) for port in function.signature.output_arg]
    ports = [function.ret[port.name].partition(":")[2] for port in function.signature.output_arg]
    arguments = [port.name for port in function.signature.input_arg]
    return repr(ports) + _digest(function.node_def, arguments, results, functions)


def _node_name(tensor: str) -> str:
    """The node that a tensor name or a control input belongs to."""
    return tensor.lstrip("^").partition(":")[0]


def graph_def(frozen: FrozenGraph) -> GraphDef:
    """The parsed GraphDef of a frozen graph."""
    definition: GraphDef = tensorflow().compat.v1.GraphDef()
    definition.ParseFromString(frozen.graph_def)
    return definition


def concrete_function(network: KerasModel) -> ConcreteFunction:
    """The inference function of a Keras model with every batch dimension set to 1.

    A free batch dimension would leave SHAPE → STRIDED_SLICE → PACK → RESHAPE chains in the lowered
    graph.
    """
    tf = tensorflow()
    specs = [
        tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype, name=input_name(index))
        for index, tensor in enumerate(network.inputs)
    ]
    single = len(specs) == 1

    def infer(*inputs: KerasTensor) -> list[GraphTensor]:
        outputs = network(inputs[0] if single else list(inputs), training=False)
        # Every output gets a node of its own: an output that is a bare reshape keeps its name that
        # way.
        return [tf.identity(tensor) for tensor in tf.nest.flatten(outputs)]

    function: ConcreteFunction = tf.function(infer).get_concrete_function(*specs)
    return function


def input_name(place: int) -> str:
    """What an input of a Keras model is called in its frozen graph."""
    return f"input_{place}"


def unrolled(network: KerasModel, *, keep_lstm: bool) -> KerasModel:
    """A Keras model with its recurrent layers as plain ops, one copy a time step.

    A loop would need an interpreter on the microcontroller. A model without recurrent layers comes
    back as it is.

    Args:
        network: a sequential or functional tf_keras model.
        keep_lstm: leave LSTM layers, for the converter makes one op of each.
    """
    layers = keras().layers
    for layer in network.layers:
        if type(layer).__name__.startswith("ConvLSTM"):
            raise InvalidModel(
                f"layer {layer.name!r} is a {type(layer).__name__}, whose loop cannot be written "
                "out step by step, and firmware has none; use Conv layers and an LSTM"
            )

    def loops(layer: KerasLayer) -> bool:
        recurrent = isinstance(layer, (layers.RNN, layers.Bidirectional))
        return recurrent and not (keep_lstm and _fusible(layer))

    if not any(loops(layer) for layer in network.layers):
        return network

    def copy(layer: KerasLayer) -> KerasLayer:
        config = layer.get_config()
        if loops(layer):
            inner = (config.get("layer"), config.get("backward_layer"))
            whole = {"class_name": type(layer).__name__, "config": config}
            for entry in filter(None, (whole, *inner)):
                entry["config"]["unroll"] = True
                if entry["class_name"] == "GRU":  # the other way to compute the same is not found
                    entry["config"]["implementation"] = 2
            if "layer" in config:
                del config["unroll"]
        return type(layer).from_config(config)

    twin: KerasModel = keras().models.clone_model(network, clone_function=copy)
    twin.set_weights(network.get_weights())
    return twin


def _fusible(layer: KerasLayer) -> bool:
    """Whether the converter makes one op of a recurrent layer: a forward LSTM as Keras has it."""
    if not isinstance(layer, keras().layers.LSTM):
        return False
    config = layer.get_config()
    usual = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    flags = ("go_backwards", "stateful", "unroll", "time_major", "return_state")
    return all(config[k] == v for k, v in usual.items()) and not any(config.get(f) for f in flags)


def freeze_function(function: ConcreteFunction) -> FrozenGraph:
    """A concrete function with its variables turned into constants."""
    tensorflow()
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    # Conditionals and loops stay functional: the converter takes no others.
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    definition = frozen.graph.as_graph_def()
    inputs = tuple(t.name for t in frozen.inputs if t.dtype.name != "resource")
    outputs = tuple(t.name for t in frozen.outputs)
    return FrozenGraph(definition.SerializeToString(deterministic=True), inputs, outputs)


def freeze(model: Model) -> Model:
    """A Keras model as a frozen inference graph of batch 1; a graph stays as it is."""
    if model.level is Level.GRAPH:
        return model
    if model.level is not Level.KERAS:
        raise ValueError(f"a model of level {model.level} cannot go back to {Level.GRAPH}")
    network = unrolled(model.keras, keep_lstm=False)
    return successor(model, freeze_function(concrete_function(network)))


def graph_function(frozen: FrozenGraph) -> ConcreteFunction:
    """A frozen graph as a concrete function."""
    tf = tensorflow()
    definition = _with_own_functions(graph_def(frozen))

    def load() -> None:
        tf.graph_util.import_graph_def(definition, name="")

    wrapped = tf.compat.v1.wrap_function(load, [])
    element = wrapped.graph.as_graph_element
    function: ConcreteFunction = wrapped.prune(
        [element(name) for name in frozen.inputs], [element(name) for name in frozen.outputs]
    )
    return function


def _with_own_functions(definition: GraphDef) -> GraphDef:
    """A graph whose functions have names that no other graph's have.

    TensorFlow keeps the functions of all graphs of a process under one name each, and refuses the
    branch that a rewrite has changed for the one that it was.
    """
    functions = definition.library.function
    mark = hashlib.sha256(definition.library.SerializeToString(deterministic=True)).hexdigest()[:16]
    renamed = {one.signature.name: f"{one.signature.name}_{mark}" for one in functions}
    for one in functions:
        one.signature.name = renamed[one.signature.name]
    for node in (*definition.node, *(node for one in functions for node in one.node_def)):
        node.op = renamed.get(node.op, node.op)
        for value in node.attr.values():
            for called in (value.func, *value.list.func):
                if called.name:  # to write even an empty name would make it the attribute's value
                    called.name = renamed.get(called.name, called.name)
    return definition


Port = tuple[tuple[int, ...], str]


def ports(model: Model) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Shape (batch 1 included) and type of every input and every output."""
    network = model.network
    if isinstance(network, Program):
        network = network.graph
    if isinstance(network, Graph):
        tensors = network.tensors
        return (
            tuple((tensors[i].shape, str(tensors[i].dtype)) for i in network.inputs),
            tuple((tensors[i].shape, str(tensors[i].dtype)) for i in network.outputs),
        )
    if isinstance(network, FrozenGraph):
        function = graph_function(network)
        read = [(tuple(t.shape), t.dtype.name) for t in (*function.inputs, *function.outputs)]
        count = len(network.inputs)
        return tuple(read[:count]), tuple(read[count:])
    return (
        tuple(((1, *t.shape[1:]), _type_name(t.dtype)) for t in network.inputs),
        tuple(((1, *t.shape[1:]), _type_name(t.dtype)) for t in network.outputs),
    )


def _type_name(dtype: KerasType | str) -> str:
    return dtype if isinstance(dtype, str) else str(dtype.name)


def port_names(model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the inputs and the outputs of a model are called, as far as its file tells."""
    network = model.network
    if isinstance(network, Program):
        network = network.graph
    if isinstance(network, Graph):
        tensors = network.tensors
        names = [[tensors[i].name for i in side] for side in (network.inputs, network.outputs)]
    elif isinstance(network, FrozenGraph):
        names = [list(network.inputs), list(network.outputs)]
    else:
        names = [list(network.input_names), list(network.output_names)]
    inputs, outputs = (tuple(bare_name(name) for name in side) for side in names)
    return inputs, outputs


def bare_name(tensor: str) -> str:
    """The name of a port without what TensorFlow puts around it."""
    return _node_name(tensor.removeprefix("serving_default_"))


def input_shapes(model: Model) -> list[Shape]:
    """The shape of one sample at each input."""
    return [shape[1:] for shape, _ in ports(model)[0]]


def fed(network: KerasModel, x: Samples) -> Samples | list[Array]:
    """Samples (N, …) as a Keras model takes them: a list of arrays where it has several inputs."""
    # One number for a whole batch, such as the share of a subnetwork, is no part of a sample.
    inputs = [tensor for tensor in network.inputs if tuple(tensor.shape) != (1,)]
    if len(inputs) == 1:
        return x
    parts = cut(x[slice(None)], [tuple(tensor.shape[1:]) for tensor in inputs])
    types = [_type_name(tensor.dtype) for tensor in inputs]
    return [part.astype(type_) for part, type_ in zip(parts, types, strict=True)]


def predict(model: Model, x: Samples) -> Array:
    """What a keras or graph model gives for samples x of shape (N, …), (N, …).

    Several outputs stand side by side, (N, values).
    """
    tf = tensorflow()
    if isinstance(model.network, FrozenGraph):
        function = graph_function(model.network)
        kinds, rows = ports(model)[0], []
        for i in range(len(x)):
            parts = [x[slice(i, i + 1)]]
            if len(kinds) > 1:
                cuts = cut(parts[0], [shape[1:] for shape, _ in kinds])
                parts = [part.astype(kind) for part, (_, kind) in zip(cuts, kinds, strict=True)]
            found = function(*(tf.constant(part) for part in parts))
            rows.append(joined([np.asarray(y) for y in found]))
        return np.concatenate(rows)
    if model.level is not Level.KERAS:
        raise ValueError(f"a model of level {model.level} is executed by the engine")
    network = model.keras
    run = tf.function(lambda batch: tf.nest.flatten(network(batch, training=False)))
    # Equal batches: each other batch size would trace the function once more.
    size = min(PREDICT_BATCH, max(len(x), 1))
    rows = []
    for begin in range(0, len(x), size):
        batch = x[slice(begin, begin + size)]
        padding = size - len(batch)
        if padding:
            batch = np.concatenate([batch, np.repeat(x[slice(0, 1)], padding, axis=0)])
        given = tf.nest.map_structure(tf.constant, fed(network, batch))
        rows.append(joined([np.asarray(output) for output in run(given)]))
    return np.concatenate(rows)[: len(x)]
