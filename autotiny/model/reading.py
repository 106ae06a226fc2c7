"""Reading model files of Keras and TensorFlow: checked, copied clean, built from the copy.

Nothing that a file brings is executed: see `allowed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autotiny.doors import keras, silent_stderr, tensorflow
from autotiny.errors import AutotinyError, InvalidModel
from autotiny.model.allowed import (
    CleanCopy,
    as_many_weights_as,
    check_activations,
    checked_config,
    clean_h5,
    clean_keras,
    clean_saved_model,
    metadata_config,
)
from autotiny.model.allowed.names import MODELS
from autotiny.model.keras3 import convert_keras3, first_line
from autotiny.model.kerastypes import Config, KerasModel


def read_keras3(path: Path) -> KerasModel:
    """A tf_keras model with the layers and weights of a `.keras` file."""
    keras()
    import h5py  # type: ignore[import-untyped]

    if h5py.is_hdf5(path):
        # Before it had a format of its own, Keras wrote HDF5 under this ending.
        return read_h5(path)
    with _folder() as folder:
        return _built(clean_keras(path, folder), path)


def read_h5(path: Path) -> KerasModel:
    """A tf_keras model from an HDF5 file that Keras 2 or Keras 3 wrote."""
    keras()
    with _folder() as folder:
        return _built(clean_h5(path, folder), path)


def read_saved_model(folder: Path) -> Any:
    """What is in a SavedModel folder: a tf_keras model if tf_keras saved one, else its functions.

    Raises:
        InvalidModel: it does not load, or a function of it does more than compute.
    """
    tf = tensorflow()
    with _folder() as clean:
        values = clean_saved_model(folder, clean)
        config = metadata_config(folder)
        with building(folder, "a SavedModel"), as_many_weights_as(values, str(folder)):
            network = _of_checkpoint(config, clean, folder)
            if network is not None:
                return network
            return tf.saved_model.load(str(clean))


def _of_checkpoint(config: Any, clean: Path, folder: Path) -> Any:
    """The tf_keras model that a SavedModel was made of; None if it is no list of layers."""
    if not isinstance(config, dict) or str(config.get("class_name")) not in MODELS:
        return None
    checked = checked_config(json.dumps(config), str(folder), keras3=False)
    network = _tf_keras_model(checked, public=False)
    if not network.built:
        return None
    check_activations(network, str(folder))
    found = network.load_weights(str(clean / "variables" / "variables"))
    found.assert_existing_objects_matched().expect_partial()
    return network


def _built(copy: CleanCopy, path: Path) -> KerasModel:
    """The tf_keras model of a clean copy."""
    what = "a Keras 3 model" if copy.keras3 else "a Keras model"
    with building(path, what), as_many_weights_as(copy.values, str(path)):
        if copy.keras3:
            network = _keras3_model(copy.file)
        else:
            network = _tf_keras_model(copy.config, public=copy.weights != copy.file)
            network.load_weights(copy.weights)
    check_activations(network, str(path))
    if copy.keras3:
        with building(path, "a model that Keras 2 has layers for"):
            network = convert_keras3(network)
    built: KerasModel = network
    return built


def _keras3_model(file: Path) -> Any:
    with silent_stderr():
        import keras as keras3
    return keras3.saving.load_model(file, compile=False, safe_mode=True)


def _tf_keras_model(config: Config, public: bool) -> Any:
    """The model of a checked configuration, without the weights of its file.

    Args:
        config: as `checked_config` gives it.
        public: whether its classes are named with their modules, as in `.keras` files.
    """
    import tensorflow_model_optimization as tfmot

    patient = _patient(config)
    with (
        tfmot.quantization.keras.quantize_scope(),
        tfmot.sparsity.keras.prune_scope(),
        tfmot.clustering.keras.cluster_scope(),
    ):
        if public:
            return keras().saving.deserialize_keras_object(patient, safe_mode=True)
        return keras().models.model_from_config(patient)


class _Waiting(Exception):
    """Layers wait for each other."""


class _Layers(list[Any]):
    """The layers of a model, which tf_keras goes through until each has its inputs.

    If one never gets them it would go on for ever: each time at least one call must be done.
    """

    def __iter__(self) -> Iterator[Any]:
        self.passes = getattr(self, "passes", 0) + 1
        calls = sum(1 + len(one.get("inbound_nodes", ())) for one in super().__iter__())
        if self.passes > calls + 2:
            raise _Waiting
        return super().__iter__()


def _patient(config: Any) -> Any:
    """A configuration whose lists of layers are `_Layers`."""
    if isinstance(config, list):
        return [_patient(one) for one in config]
    if not isinstance(config, dict):
        return config
    found = {key: _patient(value) for key, value in config.items()}
    if isinstance(found.get("layers"), list):
        found["layers"] = _Layers(found["layers"])
    return found


@contextmanager
def building(path: Path, what: str) -> Iterator[None]:
    """Names the file if a framework cannot build what is in it, whatever it raises over that.

    Args:
        path: the file.
        what: what it should be, e.g. "a Keras model".
    """
    try:
        yield
    except _Waiting as damage:
        raise InvalidModel(f"{path}: its layers wait for each other; save it again") from damage
    except Exception as damage:
        # Keras writes paragraphs around a refusal that comes from inside a layer.
        if isinstance(damage, AutotinyError) and "\n" not in str(damage):
            raise
        raise InvalidModel(f"{path} does not load as {what}: {_reason(damage)}") from damage


def _reason(damage: Exception) -> str:
    """One line of what was raised: the innermost error, if others are written around it."""
    inner = re.findall(r"^ *\w*(?:Error|InvalidModel): (.+)$", str(damage), re.MULTILINE)
    return inner[-1][:200] if inner else first_line(damage)


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="autotiny-") as folder:
        yield Path(folder)
