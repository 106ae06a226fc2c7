"""What the tests of loading let the worker do in the place of reading a file."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import worker_requests

from autotiny.model import FrozenGraph, Level, Model, keras, keras_model, save, tensorflow


def crash(source: str, folder: str, input_shape: str | None) -> None:
    worker_requests.crash()


def hang(source: str, folder: str, input_shape: str | None) -> None:
    time.sleep(600)


def store_lambda(source: str, folder: str, input_shape: str | None) -> None:
    """A network whose code writes a file when it is built."""
    layers = keras().layers
    path = str(Path(folder).parent / "taken_over")

    def take_over(x: object, path: str) -> object:
        open(path, "w").close()  # noqa: PTH123 - nothing imported is known when it is built
        return x

    own = layers.Lambda(take_over, arguments={"path": path})
    save(keras_model(keras().Sequential([layers.InputLayer((3,)), own])), Path(folder))
    Path(path).unlink()


def store_operation(source: str, folder: str, input_shape: str | None) -> None:
    """A network with a layer of ours that names a function which is no operator."""
    _store_layer(folder, {
        "class_name": "autotiny>Operation",
        "config": {
            "name": "taken", "kind": "VectorizedMap", "module": "keras.src.ops.core",
            "operation": "{}", "arguments": '[{"tuple": [{"tensor": 0}]}, {"dict": {}}]',
        },
    })  # fmt: skip


def store_whole_layer(source: str, folder: str, input_shape: str | None) -> None:
    """A network with a layer of ours that holds another, which holds code."""
    lambda_ = '{"dict": {"class_name": "Lambda", "config": {"dict": {"function": "taken"}}}}'
    _store_layer(folder, {
        "class_name": "autotiny>WholeLayer",
        "config": {
            "name": "taken", "kind": "Pipeline",
            "arguments": '{"dict": {"layers": [' + lambda_ + "]}}",
        },
    })  # fmt: skip


def store_disguise(source: str, folder: str, input_shape: str | None) -> None:
    """A network with a layer that holds code, under the registered name of one of ours."""
    _store_layer(folder, {
        "class_name": "Lambda",
        "registered_name": "autotiny>Operation",
        "config": {
            "name": "taken", "kind": "Relu", "module": "keras.src.ops.nn",
            "operation": "{}", "arguments": '[{"tuple": [{"tensor": 0}]}, {"dict": {}}]',
        },
    })  # fmt: skip


def _store_layer(folder: str, layer: dict[str, Any]) -> None:
    import json

    import h5py  # type: ignore[import-untyped]

    layers = keras().layers
    network = keras().Sequential([layers.InputLayer((3,)), layers.Activation("relu")])
    save(keras_model(network), Path(folder))
    with h5py.File(Path(folder, "model.h5"), "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1] = layer
        file.attrs["model_config"] = json.dumps(config)


def store_file_writer(source: str, folder: str, input_shape: str | None) -> None:
    """A graph that writes a file."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (1, 3), name="x")
        tf.io.write_file("taken_over", "content")
        tf.identity(x, name="y")
    definition = graph.as_graph_def().SerializeToString()
    save(Model(Level.GRAPH, FrozenGraph(definition, ("x:0",), ("y:0",)), "0"), Path(folder))


def weights(path: Path) -> None:
    """A small file of a Keras model."""
    k = keras()
    k.utils.set_random_seed(0)
    network = k.Sequential([k.layers.InputLayer((3,)), k.layers.Dense(2)])
    network.layers[0].set_weights([np.ones((3, 2), np.float32), np.zeros(2, np.float32)])
    network.save(path)
