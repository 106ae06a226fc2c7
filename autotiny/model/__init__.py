"""Models: their levels, loading, training, freezing, and storing."""

from autotiny.doors import keras, silent_stderr, tensorflow
from autotiny.model.endings import check_ending
from autotiny.model.ends import ends_in
from autotiny.model.foreign import foreign_model, save_readable, weights_digest
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
    successor,
    unrolled,
)
from autotiny.model.graphtypes import (
    AttrValue,
    ConcreteFunction,
    FunctionDef,
    FunctionGraph,
    GraphDef,
    GraphTensor,
    NodeDef,
    Operation,
)
from autotiny.model.kerastypes import (
    Config,
    KerasLayer,
    KerasModel,
    KerasNode,
    KerasTensor,
    KerasVariable,
    KernelLayer,
    NormalizingLayer,
    Sizes,
)
from autotiny.model.levels import IN_MEMORY, FrozenGraph, Level, Model, Network, Program, Traits
from autotiny.model.loading import EPOCHS, load_model
from autotiny.model.networks import BUILTIN
from autotiny.model.storing import restore, save
from autotiny.model.training import (
    batch_size,
    copy_network,
    fit,
    steps_per_epoch,
    train,
)

__all__ = [
    "BUILTIN",
    "EPOCHS",
    "IN_MEMORY",
    "AttrValue",
    "ConcreteFunction",
    "Config",
    "FrozenGraph",
    "FunctionDef",
    "FunctionGraph",
    "GraphDef",
    "GraphTensor",
    "KerasLayer",
    "KerasModel",
    "KerasNode",
    "KerasTensor",
    "KerasVariable",
    "KernelLayer",
    "Level",
    "Model",
    "Network",
    "NodeDef",
    "NormalizingLayer",
    "Operation",
    "Program",
    "Sizes",
    "Traits",
    "batch_size",
    "check_ending",
    "concrete_function",
    "copy_network",
    "ends_in",
    "fit",
    "foreign_model",
    "freeze",
    "freeze_function",
    "graph_def",
    "graph_function",
    "graph_model",
    "keras",
    "keras_model",
    "load_model",
    "ports",
    "predict",
    "restore",
    "save",
    "save_readable",
    "silent_stderr",
    "steps_per_epoch",
    "successor",
    "tensorflow",
    "train",
    "unrolled",
    "weights_digest",
]
