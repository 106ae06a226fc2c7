"""What a model file may hold, and how large it may be: checked before a framework reads it."""

from autotiny.model.allowed.config import checked_config
from autotiny.model.allowed.files import CleanCopy, clean_h5, clean_keras, clean_stored
from autotiny.model.allowed.graphs import checked_graph, clean_saved_model, metadata_config
from autotiny.model.allowed.sizes import LARGEST_WEIGHTS, as_many_weights_as, check_activations

__all__ = [
    "LARGEST_WEIGHTS",
    "CleanCopy",
    "as_many_weights_as",
    "check_activations",
    "checked_config",
    "checked_graph",
    "clean_h5",
    "clean_keras",
    "clean_saved_model",
    "clean_stored",
    "metadata_config",
]
