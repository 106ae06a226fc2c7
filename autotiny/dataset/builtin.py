"""The data sets with a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from autotiny.dataset.idx import idx_arrays, is_idx
from autotiny.dataset.reading import AS_STORED, Reading, Targets, check_alike, scaled, targets_of
from autotiny.dataset.samples import Dataset, split_all, split_train
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.model import keras

DEBIAN = Path("/usr/share/datasets")


def digits(seed: int = 0, reading: Reading = AS_STORED) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8×8 enlarged to 28×28, 10 classes.

    Enlarged by linear interpolation between pixel centres, edges held: the usual "bilinear" with
    half-pixel
    centres. Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    from sklearn.datasets import load_digits

    if reading != AS_STORED:
        raise InvalidData("--scale is for stored numbers; digits is made of fractions in [0, 1]")
    found = load_digits()
    small = found.images.astype(np.float32) / 16
    weights = _interpolation(8, 28)
    x = np.clip(np.einsum("ij,njk,lk->nil", weights, small, weights), 0, 1)
    return split_all("digits", x, Targets(found.target.astype(np.int32), tuple("0123456789")), seed)


def _interpolation(source: int, target: int) -> Array:
    """The (target, source) matrix of linear interpolation between pixel centres."""
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(centres.astype(int), source - 2)
    share = (centres - left).astype(np.float32)
    weights = np.zeros((target, source), np.float32)
    weights[np.arange(target), left] = 1 - share
    weights[np.arange(target), left + 1] = share
    return weights


def fashion_mnist(seed: int = 0, reading: Reading = AS_STORED) -> Dataset:
    """Fashion-MNIST, 60,000 + 10,000 images of 28×28, 10 classes (Xiao et al., 2017)."""
    return _mnist_like("fashion_mnist", "fashion-mnist", "dataset-fashion-mnist", seed, reading)


def mnist(seed: int = 0, reading: Reading = AS_STORED) -> Dataset:
    """MNIST, 60,000 + 10,000 images of 28×28, 10 classes (LeCun et al., 1998)."""
    return _mnist_like("mnist", "mnist", None, seed, reading)


DATASETS: Mapping[str, Callable[[int, Reading], Dataset]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
}


def _mnist_like(
    name: str, folder: str, package: str | None, seed: int, reading: Reading
) -> Dataset:
    """A set from Debian's folder of data sets, else through tf.keras, which downloads it."""
    installed = DEBIAN / folder
    if is_idx(installed):
        return _split(idx_arrays(installed), name, seed, reading)
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras().datasets, name).load_data()
    except Exception as failure:  # urllib and the archive readers raise many kinds
        apt = f"'apt install {package}', " if package else ""
        raise InvalidData(
            f"{name} is not in {installed} and cannot be downloaded ({failure}); {apt}"
            "or give a folder with its four IDX files"
        ) from failure
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return _split(arrays, name, seed, reading)


def _split(arrays: dict[str, Array], name: str, seed: int, reading: Reading) -> Dataset:
    """Train and test as given, validation out of train."""
    parts, inputs = scaled({part: arrays[part] for part in ("x_train", "x_test")}, name, reading)
    y, y_test = (targets_of(arrays[part], name) for part in ("y_train", "y_test"))
    check_alike(y_test, y, "test", name)
    return split_train(name, parts["x_train"], y, parts["x_test"], y_test, seed, inputs)
