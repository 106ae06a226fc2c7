"""A pile of samples as a data set."""

from pathlib import Path

import numpy as np
import pytest

from autotiny.dataset import Reading, check_fits, load_dataset
from autotiny.dataset.pile import Pile
from autotiny.dataset.piling import from_pile
from autotiny.errors import InvalidData
from autotiny.model import keras, keras_model

X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.arange(60) % 3


def test_names_of_columns_are_labels_of_rows_alone() -> None:
    one = from_pile(Pile("one", X, Y, targets=("kind",)), 0)
    assert (one.labels, one.task.name) == ((), "classification")
    rows = from_pile(Pile("two", X, X[:, :2].astype(np.float32), targets=("a", "b")), 0)
    assert (rows.labels, rows.task.name) == (("a", "b"), "regression")
    assert any(line.startswith("value a: from ") for line in rows.described())


def test_what_folders_call_their_classes_is_kept() -> None:
    data = from_pile(Pile("folders", X, Y, labels=("no", "yes", "unknown", "never")), 0)
    assert data.task.outputs == 4
    assert "no sample in train of class 3 = never" in data.described()


def test_groups_stay_in_one_split_or_it_is_told() -> None:
    groups = np.arange(60) // 6
    data = from_pile(Pile("apart", X, Y, groups=groups), 0)
    rows = {x.tobytes(): group for x, group in zip(X.astype(np.float32), groups, strict=True)}
    held = [{rows[x.tobytes()] for x in xs} for xs, _ in data.parts.values()]
    assert not held[0] & held[1]
    assert not (held[0] | held[1]) & held[2]
    assert not any("groups" in line for line in data.notes)
    parts = (np.arange(60) % 3).astype(np.uint8)
    straddling = from_pile(Pile("straddling", X, Y, groups=groups, parts=parts), 0)
    assert any("10 groups are in several splits" in line for line in straddling.notes)


def test_sounds_are_fractions_of_full_scale_unless_said() -> None:
    x = np.full((60, 8), 16384, np.int16)
    usual = from_pile(Pile("sounds", x, Y, factor=1 / 32768), 0)
    assert usual.x_train.max() == 0.5
    asked = from_pile(Pile("sounds", x, Y, factor=1 / 32768), 0, Reading.of("none"))
    assert asked.x_train.max() == 16384


def test_a_flat_table_takes_the_shape_of_the_network(tmp_path: Path) -> None:
    lines = [
        ",".join([*(f"{value:.3f}" for value in row), str(y)]) for row, y in zip(X, Y, strict=True)
    ]
    (tmp_path / "flat.csv").write_text("\n".join(lines) + "\n")
    layers = keras().layers
    network = keras().Sequential([layers.InputLayer((2, 2)), layers.Flatten(), layers.Dense(3)])
    data = check_fits(keras_model(network), load_dataset(tmp_path / "flat.csv"))
    assert data.shape == (2, 2)
    assert "samples of 4, given to the model as 2×2" in data.described()[0]


def test_samples_without_targets_are_for_a_network_that_gives_them_back() -> None:
    data = load_dataset({"x": X})
    layers = keras().layers
    mirror = keras().Sequential([layers.InputLayer((4,)), layers.Dense(4)])
    assert check_fits(keras_model(mirror), data).task.name == "reconstruction"
    other = keras().Sequential([layers.InputLayer((4,)), layers.Dense(3)])
    with pytest.raises(
        InvalidData, match=r"has no targets .*, and the model gives 3 for inputs of 4"
    ):
        check_fits(keras_model(other), data)


def test_samples_that_train_holds_too_are_counted() -> None:
    x = X.copy()
    x[1::2] = x[::2]
    notes = load_dataset((x, Y)).notes
    assert any(line.endswith("scores on them say nothing of new ones") for line in notes)
    assert not load_dataset((X, Y)).notes
