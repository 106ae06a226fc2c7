"""TensorFlow's graph optimizer, one pass at a time, on a frozen graph.

Larsen and Shpeisman, "TensorFlow Graph Optimizations", 2019.
"""

from __future__ import annotations

from autotiny.errors import NotApplicable
from autotiny.model import FrozenGraph, GraphDef, Model, freeze, graph_def, successor, tensorflow


def optimized(model: Model, passes: tuple[str, ...], name: str) -> Model:
    """The frozen graph of a model after Grappler passes.

    Args:
        model: of level keras or graph.
        passes: names of Grappler's optimizers, e.g. "constfold".
        name: the component that asks, for its message.

    Raises:
        NotApplicable: the passes change nothing.
    """
    before = freeze(model)
    after = successor(before, run_passes(before.frozen, passes))
    if after.fingerprint == before.fingerprint:
        raise NotApplicable(f"{name}: Grappler finds nothing to do on the graph")
    return after


def run_passes(frozen: FrozenGraph, passes: tuple[str, ...]) -> FrozenGraph:
    """A frozen graph after Grappler passes, each run once in the given order."""
    tf = tensorflow()
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    definition = graph_def(frozen)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=definition, graph=graph)
    ends = meta_graph_pb2.CollectionDef()
    ends.node_list.value.extend([*frozen.outputs, *frozen.inputs])
    meta_graph.collection_def["train_op"].CopyFrom(ends)
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.optimizers.extend(passes)
    options.min_graph_nodes = -1
    options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    result: GraphDef = tf_optimizer.OptimizeGraph(config, meta_graph)
    return FrozenGraph(result.SerializeToString(deterministic=True), frozen.inputs, frozen.outputs)
