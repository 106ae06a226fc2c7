"""Data sets: where they come from, their fixed splits, and the samples for calibration.

Inputs are float32 in [0, 1] where they are images. The search sees train and validation; test is
for the report.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from autotiny.errors import InvalidData, unknown
from autotiny.graph import Array
from autotiny.model import Level, Model, keras, ports, tensorflow

VALIDATION_SHARE = 0.1
"""Of the training samples, where a source has a test set of its own."""

SPLIT_SHARES = (0.6, 0.2, 0.2)
"""Train, validation and test, where a source has one pile only."""

DEBIAN = Path("/usr/share/datasets")
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte",
}  # fmt: skip

SHORT_NAMES = {"x_val": "x_validation", "y_val": "y_validation"}

IN_MEMORY = "data"
"""Name of samples that came as arrays."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in three fixed parts.

    Attributes:
        name: what messages call it.
        x_train: inputs, (N, …) float32; likewise validation and test.
        y_train: classes, (N,) int32; all zero where `classes` is 0.
        classes: how many there are; 0 for a network that gives its input back.
        synthetic: seeded noise in place of data: good for measuring a network, never for its
            accuracy.
        labels: names of the classes, where the source has them.
        source: how it was asked for: a name or a path; else the name.
    """

    name: str
    x_train: Array = field(repr=False)
    y_train: Array = field(repr=False)
    x_validation: Array = field(repr=False)
    y_validation: Array = field(repr=False)
    x_test: Array = field(repr=False)
    y_test: Array = field(repr=False)
    classes: int
    synthetic: bool = False
    labels: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        """Samples that came as arrays were asked for by their name."""
        object.__setattr__(self, "source", self.source or self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every sample and where it stands."""
        digest = hashlib.sha256(repr((self.classes, self.shape)).encode())
        for part in (
            self.x_train, self.y_train, self.x_validation,
            self.y_validation, self.x_test, self.y_test,
        ):  # fmt: skip
            digest.update(repr(part.shape).encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()[:16]

    def calibration(self, n: int, seed: int) -> Array:
        """`n` inputs (n, …) drawn from train without replacement; all if there are fewer."""
        count = min(n, len(self.x_train))
        chosen = np.random.default_rng(seed).choice(len(self.x_train), count, replace=False)
        drawn: Array = self.x_train[chosen]
        return drawn

    def shrunk(self, train: int, validation: int, test: int) -> Dataset:
        """The same data with at most so many samples in each part."""
        return replace(
            self,
            x_train=self.x_train[:train], y_train=self.y_train[:train],
            x_validation=self.x_validation[:validation],
            y_validation=self.y_validation[:validation],
            x_test=self.x_test[:test], y_test=self.y_test[:test],
        )  # fmt: skip


DataSource: TypeAlias = str | Path | Dataset | tuple[ArrayLike, ArrayLike] | Mapping[str, ArrayLike]
"""What a data set is loaded from."""


def load_dataset(source: DataSource, seed: int = 0) -> Dataset:
    """A data set by name, path, or as arrays.

    Args:
        source: one of `DATASETS`; the path of an `.npz` file, of a folder of IDX files or of a
            folder of class folders; a pair (x, y) of arrays, or a mapping of the arrays that an
            `.npz` file would hold. A data set that was loaded is given back.
        seed: decides which samples are train and which validation (and test, if the source has
            none).

    Raises:
        UserError: there is no such data set.
        InvalidData: a file is missing, truncated or not what it should be.
    """
    if isinstance(source, Dataset):
        return source
    if isinstance(source, (str, Path)):
        return replace(_found(str(source), seed), source=str(source))
    return _from_arrays(_named_arrays(source), IN_MEMORY, "data", seed)


def _found(name: str, seed: int) -> Dataset:
    if name in DATASETS:
        return DATASETS[name](seed)
    path = Path(name)
    if path.is_dir():
        return _idx_folder(path, path.name, seed) if _is_idx(path) else _class_folders(path, seed)
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise InvalidData(
                f"{path} ends in {path.suffix or 'nothing'!r}; data is an .npz file, "
                "a folder of IDX files or a folder of class folders with images"
            )
        return _npz(path, seed)
    if path.suffix or "/" in name:
        raise InvalidData(
            f"data {name!r} is neither a file nor a folder; give a path or one of "
            f"{', '.join(DATASETS)}"
        )
    raise unknown("data set", name, DATASETS, "autotiny search --help")


def digits(seed: int = 0) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8×8 enlarged to 28×28, 10 classes.

    Enlarged by linear interpolation between pixel centres, edges held: the usual "bilinear" with
    half-pixel
    centres. Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    small = found.images.astype(np.float32) / 16
    weights = _interpolation(8, 28)
    x = np.clip(np.einsum("ij,njk,lk->nil", weights, small, weights), 0, 1)
    return _split_all("digits", x, found.target, seed, tuple("0123456789"))


def _interpolation(source: int, target: int) -> Array:
    """The (target, source) matrix of linear interpolation between pixel centres."""
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(centres.astype(int), source - 2)
    share = (centres - left).astype(np.float32)
    weights = np.zeros((target, source), np.float32)
    weights[np.arange(target), left] = 1 - share
    weights[np.arange(target), left + 1] = share
    return weights


def fashion_mnist(seed: int = 0) -> Dataset:
    """Fashion-MNIST, 60,000 + 10,000 images of 28×28, 10 classes (Xiao et al., 2017)."""
    return _mnist_like("fashion_mnist", "fashion-mnist", "dataset-fashion-mnist", seed)


def mnist(seed: int = 0) -> Dataset:
    """MNIST, 60,000 + 10,000 images of 28×28, 10 classes (LeCun et al., 1998)."""
    return _mnist_like("mnist", "mnist", None, seed)


DATASETS: Mapping[str, Callable[[int], Dataset]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
}


def _mnist_like(name: str, folder: str, package: str | None, seed: int) -> Dataset:
    """A set from Debian's folder of data sets, else through tf.keras, which downloads it."""
    installed = DEBIAN / folder
    if _is_idx(installed):
        return _idx_folder(installed, name, seed)
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras().datasets, name).load_data()
    except Exception as failure:  # urllib and the archive readers raise many kinds
        apt = f"'apt install {package}', " if package else ""
        raise InvalidData(
            f"{name} is not in {installed} and cannot be downloaded ({failure}); {apt}"
            "or give a folder with its four IDX files"
        ) from failure
    return _split_train(
        name,
        x_train.astype(np.float32) / 255,
        y_train,
        x_test.astype(np.float32) / 255,
        y_test,
        seed,
    )


def synthetic(model: Model, seed: int = 0, samples: int = 256) -> Dataset:
    """Seeded noise in the shape a model takes: to measure it without data, not its accuracy.

    Uniform in [0, 1]; a quarter of the samples each for validation and test.
    """
    inputs, outputs = ports(model)
    if len(inputs) != 1:
        raise InvalidData(f"synthetic data needs a model of one input; this one has {len(inputs)}")
    shape = inputs[0][0][1:]
    width = outputs[0][0][-1]
    gives_back = outputs[0][0][1:] == shape
    draw = np.random.default_rng(seed)
    x = draw.random((samples, *shape), dtype=np.float32)
    y = np.zeros(samples) if gives_back else draw.integers(0, width, samples)
    data = _split_all("synthetic", x, y, seed, (), classes=0 if gives_back else width)
    return replace(data, synthetic=True)


def check_fits(model: Model, data: Dataset) -> Dataset:
    """The data in the shape a model takes; a last axis of one channel is added or dropped.

    Raises:
        InvalidData: shape or number of classes differ.
    """
    inputs, outputs = ports(model)
    if len(inputs) != 1:
        raise InvalidData(
            f"the model has {len(inputs)} inputs; data sets feed one. Join them inside the model"
        )
    wanted = inputs[0][0][1:]
    if data.shape != wanted:
        if _bare(data.shape) != _bare(wanted):
            raise InvalidData(
                f"{data.name} has samples of {_by(data.shape)}, the model takes {_by(wanted)}; "
                "give data of that shape, or put a Resizing or Reshape layer first in the model"
            )
        data = replace(
            data,
            x_train=data.x_train.reshape(-1, *wanted),
            x_validation=data.x_validation.reshape(-1, *wanted),
            x_test=data.x_test.reshape(-1, *wanted),
        )
    shape = outputs[0][0][1:]
    if data.classes == 0 or (shape == wanted and len(wanted) == 1 and data.synthetic):
        return data
    if model.level is Level.KERAS and shape == wanted and shape[-1] != data.classes:
        # An autoencoder learns its input; the classes of the data play no part.
        return replace(data, classes=0)
    if int(np.prod(shape)) != data.classes:
        raise InvalidData(
            f"{data.name} has {data.classes} classes, the model's output has {_by(shape)}; "
            "the last layer needs one value a class"
        )
    return data


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if shape and shape[-1] == 1 else shape


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape) or "one value"


def _split_train(
    name: str, x: Array, y: Array, x_test: Array, y_test: Array, seed: int,
    labels: tuple[str, ...] = (),
) -> Dataset:  # fmt: skip
    """Takes validation out of train by seed; test is given."""
    _same_length(name, x, y)
    order = np.random.default_rng(seed).permutation(len(x))
    cut = len(x) - max(1, round(VALIDATION_SHARE * len(x)))
    train, validation = order[:cut], order[cut:]
    return _dataset(
        name, (x[train], x[validation], x_test), (y[train], y[validation], y_test), labels
    )


def _split_all(
    name: str, x: Array, y: Array, seed: int, labels: tuple[str, ...], classes: int | None = None
) -> Dataset:
    """Splits one pile by seed into train, validation and test."""
    _same_length(name, x, y)
    if len(x) < 5:
        raise InvalidData(f"{name} has {len(x)} samples; 5 are the least to split in three parts")
    order = np.random.default_rng(seed).permutation(len(x))
    first = max(1, round(SPLIT_SHARES[0] * len(x)))
    second = first + max(1, round(SPLIT_SHARES[1] * len(x)))
    parts = (order[:first], order[first:second], order[second:])
    return _dataset(
        name, tuple(x[part] for part in parts), tuple(y[part] for part in parts), labels, classes
    )


def _same_length(name: str, x: Array, y: Array) -> None:
    if len(x) != len(y):
        raise InvalidData(f"{name} has {len(x)} inputs but {len(y)} labels; each input needs one")


def _dataset(
    name: str, xs: tuple[Array, ...], ys: tuple[Array, ...], labels: tuple[str, ...],
    classes: int | None = None,
) -> Dataset:  # fmt: skip
    for x, y in zip(xs, ys, strict=True):
        _same_length(name, x, y)
        if len(x) == 0:
            raise InvalidData(f"{name} has an empty part; each needs at least one sample")
        if x.shape[1:] != xs[0].shape[1:]:
            raise InvalidData(
                f"{name} has samples of {_by(xs[0].shape[1:])} and of {_by(x.shape[1:])}; all need "
                "one shape"
            )
        if not np.isfinite(x).all():
            raise InvalidData(f"{name} holds NaN or infinity; remove those samples")
        if y.min() < 0:
            raise InvalidData(f"{name} has the label {int(y.min())}; classes are counted from 0")
    parts = [np.ascontiguousarray(x, dtype=np.float32) for x in xs]
    truths = [np.ascontiguousarray(y, dtype=np.int32) for y in ys]
    if classes is None:
        classes = max(len(labels), 1 + max(int(y.max()) for y in truths))
    return Dataset(
        name, parts[0], truths[0], parts[1], truths[1], parts[2], truths[2], classes, labels=labels
    )


# IDX files


def _is_idx(folder: Path) -> bool:
    return any(_idx_path(folder, file) for file in IDX_FILES.values())


def _idx_path(folder: Path, file: str) -> Path | None:
    """The file of a set, plain or gzipped, with `-` or (on some mirrors) `.` before "idx"."""
    for name in (file, file.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def _idx_folder(folder: Path, name: str, seed: int) -> Dataset:
    arrays = {}
    for part, file in IDX_FILES.items():
        path = _idx_path(folder, file)
        if path is None:
            raise InvalidData(
                f"{folder} lacks {file} (or {file}.gz); all four IDX files are needed"
            )
        arrays[part] = read_idx(path)
    for part in ("x_train", "x_test"):
        arrays[part] = _unit(arrays[part])
    return _split_train(
        name, arrays["x_train"], _whole(arrays["y_train"], name),
        arrays["x_test"], _whole(arrays["y_test"], name), seed,
    )  # fmt: skip


def read_idx(path: Path) -> Array:
    """The array in an IDX file, gzipped or plain.

    Format: two zero bytes, type, number of dimensions, each dimension as big-endian int32, then
        the data.
    """
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as damage:
            raise InvalidData(
                f"{path} is a damaged or truncated gzip file; fetch it again"
            ) from damage
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES or not 1 <= raw[3] <= 4:
        raise InvalidData(f"{path} is not an IDX file: it begins with {raw[:4].hex() or 'nothing'}")
    dtype, rank = np.dtype(IDX_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * rank
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    # Python's integers: a hostile header cannot overflow the product.
    wanted = dtype.itemsize
    for size in shape:
        wanted *= size
    if len(shape) != rank or len(raw) - start != wanted:
        raise InvalidData(
            f"{path} is truncated or damaged: its header asks for {wanted} bytes, it holds "
            f"{len(raw) - start}"
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)


# .npz


def _npz(path: Path, seed: int) -> Dataset:
    """An archive with x and y, or with x_train, y_train, x_test, y_test (and …_validation)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in sorted(archive.files)}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError, zlib.error) as damage:
        raise InvalidData(
            f"{path} is not an .npz file of plain arrays ({damage}); numpy.savez(path, x=…, y=…) "
            "writes one"
        ) from damage
    except AttributeError as damage:  # np.load gave a single array: an .npy under another name
        raise InvalidData(
            f"{path} holds one array; numpy.savez(path, x=…, y=…) is needed"
        ) from damage
    return _from_arrays(arrays, path.stem, str(path), seed)


def _named_arrays(given: object) -> dict[str, Array]:
    """Arrays by the names that they have in an `.npz` file."""
    if isinstance(given, tuple) and len(given) == 2:
        given = {"x": given[0], "y": given[1]}
    if not isinstance(given, Mapping):
        raise InvalidData(
            f"data is of type {type(given).__name__}; give a name, a path, a pair of arrays "
            "(x, y), or a mapping of arrays named x and y, or x_train, y_train, x_test and y_test"
        )
    return {str(name): _array(name, values) for name, values in given.items()}


def _array(name: object, values: ArrayLike) -> Array:
    try:
        return np.asarray(values)
    except ValueError as ragged:
        raise InvalidData(f"{name} of the data is no array: {ragged}") from ragged


def _from_arrays(arrays: dict[str, Array], name: str, where: str, seed: int) -> Dataset:
    """The data set of arrays named as in an `.npz` file, split by seed where they are not split."""
    names = sorted(arrays)
    arrays = {SHORT_NAMES.get(short, short): values for short, values in arrays.items()}
    if {"x", "y"} <= set(arrays):
        return _split_all(name, _unit(arrays["x"]), _whole(arrays["y"], name), seed, ())
    wanted = ("x_train", "y_train", "x_test", "y_test")
    if not set(wanted) <= set(arrays):
        raise InvalidData(
            f"{where} holds {', '.join(names) or 'nothing'}; it needs x and y, or "
            f"{', '.join(wanted)}"
        )
    x, x_test = _unit(arrays["x_train"]), _unit(arrays["x_test"])
    y, y_test = _whole(arrays["y_train"], name), _whole(arrays["y_test"], name)
    if {"x_validation", "y_validation"} <= set(arrays):
        xs = (x, _unit(arrays["x_validation"]), x_test)
        return _dataset(name, xs, (y, _whole(arrays["y_validation"], name), y_test), ())
    return _split_train(name, x, y, x_test, y_test, seed)


def _unit(x: Array) -> Array:
    """Inputs as float32: integers divided by the largest of their type, floats as they are."""
    if x.ndim < 2:
        raise InvalidData(
            f"inputs need a sample axis and at least one more; these have shape {x.shape}"
        )
    if x.dtype.kind in "iub":
        largest = 1 if x.dtype.kind == "b" else np.iinfo(x.dtype).max
        # Wider integers are usually bytes in disguise.
        if x.dtype.itemsize > 1 and x.size and int(x.max()) <= 255:
            largest = 255
        scaled: Array = x.astype(np.float32) / np.float32(largest)
        return scaled
    if x.dtype.kind != "f":
        raise InvalidData(f"inputs are of type {x.dtype}; numbers are needed")
    floats: Array = x.astype(np.float32)
    return floats


def _whole(y: Array, name: str) -> Array:
    """Classes as (N,) int32, from class numbers or from one-hot rows."""
    if y.dtype.kind not in "iufb":
        raise InvalidData(f"{name}: labels are of type {y.dtype}; class numbers from 0 are needed")
    if y.ndim == 2 and y.shape[1] > 1:
        y = np.argmax(y, axis=1)
    y = np.reshape(y, -1)
    if not np.array_equal(y, np.round(y)):
        raise InvalidData(f"{name}: labels are fractions; class numbers from 0 are needed")
    whole: Array = y.astype(np.int32)
    return whole


# Class folders


def _class_folders(folder: Path, seed: int) -> Dataset:
    """Images in one folder a class; or such folders under train/ and test/."""
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        x, y, labels = _images(folder / "train", None)
        x_test, y_test, tested = _images(folder / "test", x.shape[1:])
        if tested != labels:
            raise InvalidData(f"{folder}: train and test have different class folders")
        return _split_train(folder.name, x, y, x_test, y_test, seed, labels)
    x, y, labels = _images(folder, None)
    return _split_all(folder.name, x, y, seed, labels)


def _images(folder: Path, shape: tuple[int, ...] | None) -> tuple[Array, Array, tuple[str, ...]]:
    """All images of the class folders, in the order of their names; grey where all are."""
    labels = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))
    files = [
        (path, index)
        for index, label in enumerate(labels)
        for path in sorted((folder / label).iterdir())
        if path.suffix.lower() in IMAGE_ENDINGS
    ]
    if len(labels) < 2 or not files:
        raise InvalidData(
            f"{folder} holds neither IDX files nor at least two class folders with images "
            f"({', '.join(IMAGE_ENDINGS)})"
        )
    tf = tensorflow()
    images: list[Array] = []
    for path, _ in files:
        try:
            image = tf.io.decode_image(path.read_bytes(), expand_animations=False).numpy()
        except tf.errors.InvalidArgumentError as damage:
            raise InvalidData(
                f"{path} is damaged or no image; remove it or save it again"
            ) from damage
        wanted = shape[:2] if shape else images[0].shape[:2] if images else image.shape[:2]
        if image.shape[:2] != tuple(wanted):
            raise InvalidData(
                f"{path} has {_by(image.shape[:2])} pixels, others have {_by(tuple(wanted))}; all "
                "need one size"
            )
        images.append(image[..., :3] if image.shape[-1] != 2 else image[..., :1])
    channels = shape[2] if shape else max(image.shape[-1] for image in images)
    stacked = np.stack([np.broadcast_to(i, (*i.shape[:2], channels)) for i in images])
    return stacked.astype(np.float32) / 255, np.array([index for _, index in files]), labels
