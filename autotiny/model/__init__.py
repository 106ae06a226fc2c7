"""Models: their levels, loading, training, freezing, and storing."""

from autotiny.model.doors import keras, silent_stderr, tensorflow
from autotiny.model.freezing import (
    concrete_function,
    freeze,
    freeze_function,
    graph_def,
    graph_function,
    graph_model,
    keras_model,
    ports,
    predict,
    unrolled,
)
from autotiny.model.levels import FrozenGraph, Level, Model, Program
from autotiny.model.loading import EPOCHS, load_model
from autotiny.model.networks import BUILTIN
from autotiny.model.storing import restore, save
from autotiny.model.training import (
    batch_size,
    copy_network,
    fit,
    gives_probabilities,
    log_probabilities,
    steps_per_epoch,
    train,
)

__all__ = [
    "BUILTIN",
    "EPOCHS",
    "FrozenGraph",
    "Level",
    "Model",
    "Program",
    "batch_size",
    "concrete_function",
    "copy_network",
    "fit",
    "freeze",
    "freeze_function",
    "gives_probabilities",
    "graph_def",
    "graph_function",
    "graph_model",
    "keras",
    "keras_model",
    "load_model",
    "log_probabilities",
    "ports",
    "predict",
    "restore",
    "save",
    "silent_stderr",
    "steps_per_epoch",
    "tensorflow",
    "train",
    "unrolled",
]
