"""Data sets: where they come from, what was understood of them, and their fixed splits."""

from autotiny.dataset.arrays import read_arrays
from autotiny.dataset.builtin import DATASETS, DEBIAN, digits, fashion_mnist, mnist
from autotiny.dataset.idx import read_idx
from autotiny.dataset.loading import (
    IN_MEMORY,
    DataSource,
    channels_last,
    check_fits,
    load_dataset,
    synthetic,
)
from autotiny.dataset.reading import AS_STORED, Inputs, Reading
from autotiny.dataset.samples import Dataset
from autotiny.dataset.several import in_order

__all__ = [
    "AS_STORED",
    "DATASETS",
    "DEBIAN",
    "IN_MEMORY",
    "DataSource",
    "Dataset",
    "Inputs",
    "Reading",
    "channels_last",
    "check_fits",
    "digits",
    "fashion_mnist",
    "in_order",
    "load_dataset",
    "mnist",
    "read_arrays",
    "read_idx",
    "synthetic",
]
