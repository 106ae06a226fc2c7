"""Loading a model by name, file, folder, or the function that builds it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autotiny import worker
from autotiny.cache import Cache, key_of
from autotiny.checked import arguments
from autotiny.codeversion import code_version
from autotiny.doors import keras, tensorflow
from autotiny.errors import InvalidModel, UserError, unknown
from autotiny.model.crossing import TRAINING, Arrived, arrived_model, crossed_model, crossed_samples
from autotiny.model.crossing import WAY_OUT as TRAINING_WAY_OUT
from autotiny.model.endings import ONNX, READ, check_ending
from autotiny.model.freezing import concrete_function, freeze_function, graph_model, keras_model
from autotiny.model.graphtypes import ConcreteFunction, GraphTensor
from autotiny.model.keras3 import convert_keras3, is_keras3, traced
from autotiny.model.kerastypes import KerasModel
from autotiny.model.levels import Level, Model, Traits
from autotiny.model.networks import BUILTIN
from autotiny.model.onnx import Built, constants_of, read_onnx, shapes_from
from autotiny.model.reading import building, read_h5, read_keras3, read_saved_model
from autotiny.model.received import received
from autotiny.model.storing import restore, save
from autotiny.model.training import Samples, copy_network, train
from autotiny.model.wrappers import holds_quantizers, holds_training_wrappers, stripped
from autotiny.worker import Limits

EPOCHS = 10
"""Epochs of a first training, as in the tutorial."""

LOADING_SECONDS = 120.0
"""A file may take so long, and a second more for each megabyte."""

MOST_CONSTANTS = 1 << 16
"""Values beside weights that a network of Keras may hold: a file has them as text."""

WAY_OUT = "save the model again, or give the function that builds it as package.module:function"


def load_model(
    source: object,
    data: Samples | None = None,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    cache: Cache | None = None,
    input_shape: str | None = None,
) -> Model:
    """A model by built-in name, path or `package.module:function`, or a Keras object.

    Networks that come untrained (built-in ones and functions) are trained on `data`, or keep their
    seeded initial weights without it. A Keras object enters with the weights it has: it is copied,
    not trained. A model that was loaded is given back.

    Args:
        source: e.g. "cnn1", "net.keras", "net.h5", "net.onnx", "net.tflite", "saved_model/",
            "package.module:build"; or a tf_keras or Keras 3 model.
        data: what an untrained network is trained on.
        epochs: upper limit of that training.
        seed: of initial weights and training.
        cache: keeps the trained network for the next time.
        input_shape: sizes that an `.onnx` file leaves open, as `Reading` has them.

    Raises:
        UserError: there is no such model, or its file is not what its ending says.
    """
    if isinstance(source, Model):
        return source
    asked = arguments(epochs=epochs, seed=seed)
    epochs, seed = asked["epochs"], asked["seed"]
    if not isinstance(source, (str, Path)):
        return _as_model(_twin(source), "the object")
    name = str(source)
    if not name:  # the path "" would be the current folder
        raise unknown("model", name, BUILTIN, "autotiny measure --help")
    check_ending(name)
    if not name.lower().endswith(".tflite"):
        worker.start(warm_up)
    if input_shape is not None:
        if Path(name).suffix.lower() != ONNX:
            raise UserError(
                f"{name} has its input's sizes itself; --input-shape is for {ONNX} files"
            )
        return replace(_read(Path(name), input_shape), source=name)
    return replace(_found(name, data, epochs, seed, cache), source=name)


def _found(name: str, data: Samples | None, epochs: int, seed: int, cache: Cache | None) -> Model:
    path = Path(name)
    if name in BUILTIN:
        return _trained(_built(BUILTIN[name], seed), data, epochs, seed, cache)
    if path.is_dir() or path.is_file():
        return _read(path)
    if ":" in name and path.suffix not in READ:
        return _trained(_built(_function(name), seed), data, epochs, seed, cache)
    if path.suffix or "/" in name:
        raise UserError(
            f"model {name!r} is neither a file nor a folder; "
            f"give a path, package.module:function, or one of {', '.join(BUILTIN)}"
        )
    raise unknown("model", name, BUILTIN, "autotiny measure --help")


def _built(builder: Callable[[], object], seed: int) -> Model:
    """An untrained network with seeded weights."""
    k = keras()
    k.utils.set_random_seed(seed)
    k.backend.clear_session()
    return _as_model(builder(), getattr(builder, "__name__", "the function"))


def _twin(network: Any) -> object:
    """A Keras object that its owner may go on changing: copied where its layers can be listed."""
    ours = isinstance(network, keras().Model)
    if not ours and not is_keras3(network):
        raise InvalidModel(
            f"the model is of type {type(network).__name__}; give a name, a path, or a tf_keras or "
            "Keras 3 model"
        )
    wrapped = ours and (holds_quantizers(network) or holds_training_wrappers(network))
    plain = ours and network.inputs and _listable(network) and not wrapped
    return copy_network(network) if plain else network


def _as_model(network: Any, origin: str) -> Model:
    """A Keras object as a `Model`: trainable where its layers can be listed, else frozen."""
    k = keras()
    if is_keras3(network):
        network = convert_keras3(network)
    if not isinstance(network, k.Model):
        raise InvalidModel(
            f"{origin} gives a {type(network).__name__}, not a Keras model; return a tf_keras or "
            "Keras 3 model"
        )
    if not network.inputs:
        network = traced(network, k, network._build_input_shape)
    if any(dimension is None for tensor in network.inputs for dimension in tensor.shape[1:]):
        shapes = ", ".join(str(tuple(tensor.shape[1:])) for tensor in network.inputs)
        raise InvalidModel(
            f"{origin} has an input of unknown size {shapes}; firmware needs fixed shapes"
        )
    if holds_training_wrappers(network):
        return keras_model(*stripped(network))
    if not _listable(network):
        return graph_model(freeze_function(concrete_function(network)))
    if holds_quantizers(network):
        # What TFMOT has quantized trains no further: it enters as an inference graph.
        frozen = freeze_function(concrete_function(network))
        return graph_model(frozen, Traits(quantization_aware=True))
    return keras_model(network)


def _listable(network: KerasModel) -> bool:
    """Whether a model is sequential or functional, and so are the models in it."""
    k = keras()
    if not isinstance(network, (k.Sequential, k.models.Model)) or not network._is_graph_network:
        return False
    return all(_listable(layer) if isinstance(layer, k.Model) else True for layer in network.layers)


def _trained(
    model: Model, data: Samples | None, epochs: int, seed: int, cache: Cache | None
) -> Model:
    """The model after its first training; from the cache if that was done before."""
    if data is None or model.level is not Level.KERAS:
        return model

    fingerprint = getattr(data, "fingerprint", "")
    key = trained_key(model, f"{fingerprint} {data.task.asked}", epochs, seed)
    found = cache.get(key) if cache and fingerprint else None
    if found:
        return restore(found)
    result = _trained_apart(model, data, fingerprint, epochs, seed)
    if cache and fingerprint:
        cache.put(key, lambda folder: save(result, folder))
    return result


def _trained_apart(model: Model, data: Samples, fingerprint: str, epochs: int, seed: int) -> Model:
    """A first training in the worker; here if its layers or its samples cannot cross."""
    with TemporaryDirectory(prefix="autotiny-") as folder:
        try:
            source = crossed_model(model)
        except Exception:  # of whatever layers it has that no file can hold
            return _first_training(model, data, epochs, seed)
        if fingerprint and worker.ask(
            train_into, source, crossed_samples(data, fingerprint), folder, epochs, seed,
            what="the first training", limits=TRAINING, way_out=TRAINING_WAY_OUT,
        ):  # fmt: skip
            return restore(Path(folder))
    return _first_training(model, data, epochs, seed)


def train_into(source: str, samples: str, folder: str, epochs: int, seed: int) -> bool:
    """In the worker: stores a network after its first training; False if its code is not here."""
    model = arrived_model(source)
    if model is None:
        return False
    save(_first_training(model, Arrived.read(samples), epochs, seed), Path(folder))
    return True


def _first_training(model: Model, data: Samples, epochs: int, seed: int) -> Model:
    # It runs to its end: on few samples validation stands still early.
    return train(model, data, epochs=epochs, seed=seed, patience=epochs)


def trained_key(model: Model, data: str, epochs: int, seed: int) -> str:
    """A digest of all that a first training depends on, the code that trains and stores too."""
    code = code_version(train.__module__, save.__module__)
    return key_of("original", model.fingerprint, data, epochs, seed, code)


def _function(name: str) -> Callable[[], object]:
    """The function that `package.module:function` names, from the current folder too."""
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        keras()  # before the user's module imports TensorFlow
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        raise UserError(
            f"model {name!r}: there is no module {missing.name!r}; "
            "start autotiny where Python finds it, or install it"
        ) from missing
    finally:
        sys.path.remove(here)
    function: Callable[[], object] | None = getattr(module, function_name, None)
    if not callable(function):
        names = [n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_")]
        raise unknown("function", function_name, names, f"python -c 'help(\"{module_name}\")'")
    return function


def _read(path: Path, input_shape: str | None = None) -> Model:
    """The model of a file or folder; what frameworks read is read in the worker."""
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise InvalidModel(
                f"{path} is not a SavedModel: it has no saved_model.pb; model.export('folder') "
                "writes one"
            )
    elif path.stat().st_size == 0:
        raise InvalidModel(f"{path} is empty; save the model again")
    elif path.suffix.lower() == ".tflite":
        from autotiny.tflite import read_tflite

        graph = read_tflite(path.read_bytes(), path.stem)
        return Model(Level.TFLITE, graph, graph.fingerprint())
    keras()  # while the worker imports it too
    files = path.rglob("*") if path.is_dir() else [path]
    megabytes = sum(file.stat().st_size for file in files if file.is_file()) >> 20
    limits = Limits(seconds=LOADING_SECONDS + megabytes)
    with TemporaryDirectory(prefix="autotiny-") as folder:
        worker.ask(
            read_into, str(path), folder, input_shape,
            what=f"loading {path}", limits=limits, way_out=WAY_OUT,
        )  # fmt: skip
        return received(Path(folder), str(path))


def read_into(source: str, folder: str, input_shape: str | None) -> None:
    """In the worker: stores the model of an ONNX or Keras file or a SavedModel."""
    path = Path(source)
    what = "a model that computes"
    if path.is_dir():
        loaded = read_saved_model(path)
        with building(path, what):
            ours = isinstance(loaded, keras().Model)
            model = _as_model(loaded, source) if ours else _serving(loaded, path)
    elif path.suffix.lower() == ONNX:
        model = _of_onnx(read_onnx(path, shapes_from(input_shape)))
    else:
        network = read_keras3(path) if path.suffix.lower() == ".keras" else read_h5(path)
        with building(path, what):
            model = _as_model(network, source)
    save(model, Path(folder))


def _of_onnx(found: Built) -> Model:
    """An imported network: trainable where its batch is free and a file can hold its layers."""
    if found.free and constants_of(found.network) <= MOST_CONSTANTS:
        return keras_model(found.network)
    return graph_model(freeze_function(concrete_function(found.network)))


def warm_up() -> None:
    """In the worker: imports TensorFlow, so that the first request need not wait for it."""
    keras()


def _serving(loaded: Any, folder: Path) -> Model:
    """The serving function of a SavedModel, frozen."""
    signatures = loaded.signatures
    if "serving_default" not in signatures:
        raise InvalidModel(
            f"{folder} has no 'serving_default' signature; model.export('folder') adds it"
        )
    return graph_model(freeze_function(_batch_of_one(signatures["serving_default"], str(folder))))


def _batch_of_one(signature: ConcreteFunction, origin: str) -> ConcreteFunction:
    """A serving signature as a concrete function with batch 1."""
    tf = tensorflow()
    keywords = signature.structured_input_signature[1]
    specs = []
    for name, spec in sorted(keywords.items()):
        if spec.shape.rank is None or any(d is None for d in spec.shape[1:]):
            raise InvalidModel(f"{origin}: input {name!r} has no fixed shape; firmware needs one")
        specs.append(tf.TensorSpec((1, *spec.shape[1:]), spec.dtype, name=name))
    names = sorted(keywords)

    def infer(*inputs: GraphTensor) -> list[GraphTensor]:
        outputs = signature(**dict(zip(names, inputs, strict=True)))
        return [tf.identity(outputs[key]) for key in sorted(outputs)]

    function: ConcreteFunction = tf.function(infer).get_concrete_function(*specs)
    return function
