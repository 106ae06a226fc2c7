"""Loading a data set by name, path, or as arrays; and whether it fits a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from autotiny.checked import arguments
from autotiny.dataset.arrays import from_arrays, named_arrays, npz
from autotiny.dataset.builtin import DATASETS
from autotiny.dataset.folders import holds
from autotiny.dataset.idx import idx_arrays, is_idx
from autotiny.dataset.images import IMAGES, images
from autotiny.dataset.npy import is_npy, npy_pile, npy_ports
from autotiny.dataset.piling import from_pile, repeated
from autotiny.dataset.reading import AS_STORED, Reading, Targets
from autotiny.dataset.recordings import is_recordings, recordings
from autotiny.dataset.samples import Dataset, split_all
from autotiny.dataset.scaling import check_scaling
from autotiny.dataset.several import answers_of, in_order
from autotiny.dataset.sounds import is_sounds, sounds
from autotiny.dataset.table import TABLE_ENDINGS, table
from autotiny.errors import InvalidData, unknown
from autotiny.graph import Array
from autotiny.mapped import made
from autotiny.model import Model, ends_in, port_names, ports
from autotiny.tasks import (
    Classification,
    Facts,
    Reconstruction,
    Regression,
    Several,
    chosen,
    chosen_each,
    shape_text,
)

IN_MEMORY = "data"
"""Name of samples that came as arrays."""

Shape: TypeAlias = tuple[int, ...]

DataSource: TypeAlias = str | Path | Dataset | tuple[ArrayLike, ArrayLike] | Mapping[str, ArrayLike]
"""What a data set is loaded from."""


def load_dataset(source: DataSource, seed: int = 0, reading: Reading = AS_STORED) -> Dataset:
    """A data set by name, path, or as arrays.

    Args:
        source: one of `DATASETS`; the path of an `.npz`, `.csv`, `.tsv` or `.parquet` file; a pair
            "x.npy,y.npy"; a folder of `.npy` or IDX files, or of class folders with images, sounds
            or recordings; a pair (x, y) of arrays, or a mapping of the arrays that an `.npz` file
            would hold. A data set that was loaded is given back.
        seed: decides which samples are train and which validation (and test, if the source has
            none).
        reading: how it is read: the scale of its inputs, the size of images, columns, windows.

    Raises:
        UserError: there is no such data set.
        InvalidData: a file is missing, truncated or not what it should be.
    """
    if isinstance(source, Dataset):
        return source
    seed = arguments(seed=seed)["seed"]
    if isinstance(source, (str, Path)):
        found = replace(_found(str(source), seed, reading), source=str(source))
    else:
        reading.check_only((), "a source of arrays")
        found = from_arrays(named_arrays(source), IN_MEMORY, "data", seed, reading)
    odd = () if str(source) in DATASETS else repeated(found)
    return replace(found, reading=reading, notes=(*found.notes, *odd))


def _found(name: str, seed: int, reading: Reading) -> Dataset:
    if not name:  # the path "" would be the current folder
        raise unknown("data set", name, DATASETS, "autotiny search --help")
    if name in DATASETS:
        reading.check_only((), name)
        return DATASETS[name](seed, reading)
    path = Path(name)
    several = npy_ports(name)
    if several:
        reading.check_only((), "a source of .npy files")
        return from_arrays(several, path.name, name, seed, reading)
    if is_npy(name):
        return from_pile(npy_pile(name, reading), seed, reading)
    if path.is_dir():
        return _of_folder(path, seed, reading)
    if path.is_file():
        return _of_file(path, seed, reading)
    if path.suffix or "/" in name:
        raise InvalidData(
            f"data {name!r} is neither a file nor a folder; give a path or one of "
            f"{', '.join(DATASETS)}"
        )
    raise unknown("data set", name, DATASETS, "autotiny search --help")


def _of_folder(path: Path, seed: int, reading: Reading) -> Dataset:
    if is_idx(path):
        reading.check_only((), "a folder of IDX files")
        return from_arrays(idx_arrays(path), path.name, str(path), seed, reading)
    if is_sounds(path):
        return from_pile(sounds(path, reading), seed, reading)
    if not holds(path, IMAGES) and is_recordings(path):  # images may come with a table
        return from_pile(recordings(path, reading), seed, reading)
    return from_pile(images(path, reading), seed, reading)


def _of_file(path: Path, seed: int, reading: Reading) -> Dataset:
    if path.suffix.lower() in TABLE_ENDINGS:
        return from_pile(table(path, reading), seed, reading)
    if path.suffix.lower() != ".npz":
        raise InvalidData(
            f"{path} ends in {path.suffix or 'nothing'!r}; data is an .npz, .csv, .tsv or "
            '.parquet file, a pair "x.npy,y.npy", or a folder of .npy files, of IDX files, or of '
            "class folders with images, sounds (.wav) or recordings (.csv)"
        )
    reading.check_only((), "an .npz file")
    return npz(path, seed, reading)


def synthetic(model: Model, seed: int = 0, samples: int = 256) -> Dataset:
    """Seeded noise in the shape a model takes: to measure it without data, not its accuracy.

    Uniform in [0, 1]; a quarter of the samples each for validation and test.
    """
    inputs, outputs = ports(model)
    if len(inputs) > 1 or len(outputs) > 1:
        return _noise([one for one, _ in inputs], [one for one, _ in outputs], seed, samples)
    shape = inputs[0][0][1:]
    width = outputs[0][0][-1] if outputs[0][0] else 1
    gives_back = outputs[0][0][1:] == shape
    draw = np.random.default_rng(seed)
    x = draw.random((samples, *shape), dtype=np.float32)
    y = (
        np.zeros(samples, np.int32)
        if gives_back
        else draw.integers(0, width, samples).astype(np.int32)
    )
    data = split_all("synthetic", x, Targets(y, count=width), seed)
    task = Reconstruction() if gives_back else Classification(outputs=width)
    return replace(data.asked(task), synthetic=True)


def _noise(inputs: Sequence[Shape], outputs: Sequence[Shape], seed: int, samples: int) -> Dataset:
    """Noise for a model of several inputs or outputs."""
    sizes, widths = ([math.prod(shape) for shape in side] for side in (inputs, outputs))
    draw = np.random.default_rng(seed)
    x = draw.random((samples, sum(sizes)), dtype=np.float32)
    y = np.zeros((samples, sum(widths)), np.float32)
    data = split_all("synthetic", x, Targets(y), seed)
    tasks = [Regression(outputs=width) for width in widths]
    names = [str(place) for place in range(1, len(widths) + 1)]
    task = (
        Several.of(tasks, names, [()] * len(widths), widths, [1.0] * len(widths))
        if len(widths) > 1
        else tasks[0]
    )
    return replace(data.asked(task), synthetic=True)


def check_fits(
    model: Model, data: Dataset, task: str | None = None, metric: str | None = None
) -> Dataset:
    """The data in the shape a model takes, for the task that both tell.

    A last axis of one channel is added or dropped; channels that stand first, as PyTorch has them,
    are put last.

    Args:
        model: the network.
        data: the samples.
        task: one of `TASKS`; by default what network and targets tell.
        metric: what it is scored by, one of the task's, or `package.module:function`.

    Raises:
        InvalidData: shape, number of classes or scaling differ, or it is open which task is meant.
    """
    inputs, outputs = ports(model)
    if len(inputs) > 1 or len(outputs) > 1 or data.ports or data.answers:
        return _fitted(model, data, task, metric)
    data = _shaped(data, model.front.takes if model.front else inputs[0][0][1:])
    check_scaling(model, data)
    if data.synthetic:
        return data
    facts = data.facts(outputs[0][0][1:], ends_in(model))
    if model.front and model.front.ends:
        facts = replace(facts, sample=model.front.gives)
    return data.asked(chosen(facts, task, metric))


def _fitted(model: Model, data: Dataset, task: str | None, metric: str | None) -> Dataset:
    """The data in the order and shapes that a model of several inputs or outputs has."""
    inputs, outputs = ([shape[1:] for shape, _ in side] for side in ports(model))
    known = port_names(model)
    if data.synthetic:
        return data
    _check_counts(data, inputs, outputs, known)
    data = in_order(
        data,
        _wanted([port.name for port in data.ports], known[0]),
        _wanted([answer.name for answer in data.answers], known[1]),
    )
    if len(inputs) > 1:
        for port, name, shape in zip(data.ports, known[0], inputs, strict=True):
            flat = len(port.shape) == 1 and port.shape[0] == np.prod(shape)
            if not flat and _bare(port.shape) != _bare(shape):
                raise InvalidData(
                    f"{data.name} has samples of {shape_text(port.shape)} for input {port.name}, "
                    f"the model's input {name} takes {shape_text(shape)}; give data of that shape"
                )
    else:
        data = _shaped(data, inputs[0])
    notes = [
        *_numbered("x", "input", [port.name for port in data.ports], known[0]),
        *_numbered("y", "output", [answer.name for answer in data.answers], known[1]),
    ]
    data = replace(data, notes=(*data.notes, *notes))
    check_scaling(model, data)
    ends = ends_in(model)
    if len(outputs) == 1:
        return data.asked(chosen(data.facts(outputs[0], ends), task, metric))
    each = [
        Facts(f"{data.name}, output {answer.name}", parts, answer.labels, answer.count, data.shape,
              shape, end, data.given)
        for answer, parts, shape, end in zip(
            data.answers, answers_of(data), outputs, ends.split(","), strict=True
        )
    ]  # fmt: skip
    return data.asked(chosen_each(each, [one.name for one in data.answers], task, metric))


def _wanted(given: list[str], known: tuple[str, ...]) -> list[str]:
    """The names of the data in the order of the model's: by name, or where they are numbers."""
    return given if all(name.isdigit() for name in given) else list(known)


def _numbered(side: str, what: str, given: list[str], known: tuple[str, ...]) -> list[str]:
    """What is said of arrays that are numbered: which of them the model takes for which."""
    if not given or not all(name.isdigit() for name in given):
        return []
    first, *others = (f"{side}{number}" for number in given)
    pairs = zip(others, known[1:], strict=True)
    rest = "".join(f", {array} {name}" for array, name in pairs)
    return [f"arrays are numbered: {first} is the model's {what} {known[0]}{rest}"]


def _check_counts(
    data: Dataset, inputs: Sequence[Shape], outputs: Sequence[Shape],
    known: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:  # fmt: skip
    """Refuse data of more or fewer inputs or targets than the model has."""
    for side, what, has, shapes, names in (
        ("x", "input", data.ports, inputs, known[0]),
        ("y", "output", data.answers, outputs, known[1]),
    ):
        count = max(1, len(has))
        if count == len(shapes):
            continue
        listed = ", ".join(
            f"{name} ({shape_text(shape)})" for name, shape in zip(names, shapes, strict=True)
        )
        raise InvalidData(
            f"the model has {len(shapes)} {what}{'s' * (len(shapes) > 1)}, {listed}, and "
            f"{data.name} has {side} for {count}; give an .npz file with "
            + (f"{side}1 to {side}{len(shapes)}, or {side}_{names[0]} and so on"
               if len(shapes) > 1 else side)
        )  # fmt: skip


def _shaped(data: Dataset, wanted: tuple[int, ...]) -> Dataset:
    """The data in the shape that a model takes."""
    if data.shape == wanted:
        return data
    turned = channels_last(data, wanted)
    if turned is not data:
        return turned
    flat = len(data.shape) == 1 and np.prod(data.shape) == np.prod(wanted)
    if not flat and _bare(data.shape) != _bare(wanted):
        series = len(data.shape) > 1 or (data.inputs is not None and data.inputs.type == "int16")
        cut = series and wanted and data.shape[1:] == wanted[1:]
        raise InvalidData(
            f"{data.name} has samples of {shape_text(data.shape)}, the model takes "
            f"{shape_text(wanted)}; give data of that shape"
            + (f" (sounds and time series: --window {wanted[0]})" if cut else "")
            + ", or put a Resizing or Reshape layer first in the model"
        )
    return replace(
        data,
        stored_shape=data.shape,
        x_train=data.x_train.reshape(-1, *wanted),
        x_validation=data.x_validation.reshape(-1, *wanted),
        x_test=data.x_test.reshape(-1, *wanted),
    )


def channels_last(data: Dataset, wanted: tuple[int, ...]) -> Dataset:
    """The data with the first axis of each sample as its last, if that gives the wanted shape."""
    if data.shape == wanted or len(wanted) < 2 or data.shape != (wanted[-1], *wanted[:-1]):
        return data

    def moved(x: Array) -> Array:
        return made(x, None, lambda rows: np.ascontiguousarray(np.moveaxis(rows, 1, -1)), data.name)

    return replace(
        data,
        stored_shape=data.shape,
        x_train=moved(data.x_train),
        x_validation=moved(data.x_validation),
        x_test=moved(data.x_test),
        notes=(*data.notes, "the first axis of its samples is taken for channels and put last"),
    )


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if shape and shape[-1] == 1 else shape
