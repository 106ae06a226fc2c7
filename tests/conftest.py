import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import platformdirs
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset, digits
from autotiny.graph import Array, Graph
from autotiny.model import Model, keras, keras_model, load_model, train
from autotiny.tflite import write_tflite

# a shell that runs the tests in the background ignores Ctrl-C, and so would the commands they start
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before what is slow is left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests marked `everyday(n)`, n cases run every day, always the same; others are slow."""
    cases: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("everyday")
        if mark is not None:
            cases[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    for (name, count), of_one in cases.items():
        usual = Random(name).sample(of_one, min(count, len(of_one)))
        for item in of_one:
            if item not in usual:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def own_cache(pytestconfig: pytest.Config) -> Iterator[None]:
    """A cache beside that of pytest: of the user's it takes what compilers share, and no more."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("autotiny")
    shared = platformdirs.user_cache_path("autotiny") / "zig"
    with suppress(OSError):  # another process was faster, or the user's cannot be written
        shared.mkdir(parents=True, exist_ok=True)
        (folder / "autotiny").mkdir(exist_ok=True)
        (folder / "autotiny" / "zig").symlink_to(shared, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


@pytest.fixture(scope="session")
def data() -> Dataset:
    return digits().shrunk(320, 100, 100)


@pytest.fixture(scope="session")
def cnn1(data: Dataset) -> Model:
    return train(load_model("cnn1"), data, epochs=3, seed=0)


@pytest.fixture(scope="session")
def residual(data: Dataset) -> Model:
    """A small network with a residual, a depthwise convolution, BatchNorm and a ReLU of its own."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    image = k.Input((28, 28), name="image")
    x = layers.Reshape((28, 28, 1), name="reshape")(image)
    x = layers.Conv2D(8, 3, 2, "same", name="stem")(x)
    x = y = layers.ReLU(name="stem_relu")(x)
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="left")(y)
    y = layers.BatchNormalization(momentum=0.8, name="left_norm")(y)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    x = layers.DepthwiseConv2D(3, 2, "same", name="deep")(x)
    x = layers.BatchNormalization(momentum=0.8, name="deep_norm")(x)
    x = layers.ReLU(name="deep_relu")(x)
    x = layers.Conv2D(12, 1, activation="relu", name="point")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(10, activation="softmax", name="dense")(x)
    return train(
        keras_model(k.Model(image, x, name="residual")), data, epochs=12, seed=0, learning_rate=5e-3
    )


@pytest.fixture(scope="session")
def wide() -> Model:
    """Convolutions of every kind that a schedule treats, and dense layers, not trained."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    image = k.Input((28, 28), name="image")
    x = layers.Reshape((14, 14, 4))(image)
    for filters, window in ((16, 3), (16, 3), (192, 1), (32, 1)):
        x = layers.Conv2D(filters, window, padding="same", activation="relu")(x)
    x = layers.Flatten()(layers.MaxPooling2D(4)(x))
    x = layers.Dense(10)(layers.Dense(64, activation="relu")(x))
    return keras_model(k.Model(image, x, name="wide"))


@pytest.fixture(scope="session")
def compressed(wide: Model, work: Work) -> Model:
    """The same with zeros and few different weights."""
    rehearsal = replace(work, rehearse=True)
    pruned = COMPONENTS["prune_magnitude"](sparsity=0.8).apply(wide, rehearsal)  # type: ignore[call-arg]
    return COMPONENTS["cluster_weights"](clusters=8).apply(pruned, rehearsal)  # type: ignore[call-arg]


@pytest.fixture(scope="session")
def work(data: Dataset, cnn1: Model) -> Work:
    return Work(data, seed=0, epochs=2, original=cnn1)


@pytest.fixture(scope="session")
def accuracy(data: Dataset) -> Callable[[Model], float]:
    from autotiny.model import predict

    def of(model: Any) -> float:
        found = predict(model, data.x_validation).argmax(axis=1)
        return float((found == data.y_validation).mean())

    return of


@pytest.fixture(scope="session")
def executed() -> Callable[[Graph, Array], Array]:
    """What LiteRT computes of a graph for samples x, in real numbers."""

    def run(graph: Graph, x: np.ndarray) -> np.ndarray:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=write_tflite(graph))
        interpreter.allocate_tensors()
        port, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        rows = []
        for sample in x:
            sample = sample[np.newaxis]
            if port["dtype"] != np.float32:
                scale, zero = port["quantization"]
                limits = np.iinfo(port["dtype"])
                sample = np.clip(np.round(sample / scale) + zero, limits.min, limits.max)
            interpreter.set_tensor(port["index"], sample.astype(port["dtype"]))
            # What an LSTM remembers of one sample is nothing to the next.
            interpreter.reset_all_variables()
            interpreter.invoke()
            result = interpreter.get_tensor(out["index"]).astype(np.float32)
            if out["dtype"] != np.float32:
                scale, zero = out["quantization"]
                result = (result - zero) * scale
            rows.append(result[0])
        return np.stack(rows)

    return run
