"""Large data stays in files: the same samples, order and results as in memory, in little of it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from autotiny import mapped, scratch
from autotiny.dataset import Dataset, Reading, load_dataset
from autotiny.errors import InvalidData, MachineFault
from autotiny.mapped import blocks, is_mapped, joined, let_go, made, place_of, source_of
from autotiny.model import Model, keras, keras_model, train
from autotiny.model.crossing import arrived_parts, crossed_samples

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(300, 6, 5)).astype(np.float32)
Y = (X.mean(axis=(1, 2)) > 0).astype(np.int64)
PARTS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays are large from 4 kB on."""
    monkeypatch.setattr(mapped, "LARGE", 4096)
    monkeypatch.setattr(mapped, "BLOCK", 1024)


def alike(one: Dataset, other: Dataset) -> None:
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert one.fingerprint == other.fingerprint
    assert one.inputs == other.inputs
    assert one.step == other.step


def stored_as(folder: Path, kind: str, x: np.ndarray) -> str:
    """Samples in a source of some kind."""
    path = folder / f"{kind}.npz"
    splits = {"x_train": x[:200], "y_train": Y[:200], "x_test": x[200:], "y_test": Y[200:]}
    if kind == "stored":
        np.savez(path, x=x, y=Y)
    elif kind == "packed":
        np.savez_compressed(path, x=x, y=Y)
    elif kind == "split":
        np.savez(path, **splits)
    elif kind == "fortran":
        np.savez(path, x=np.asfortranarray(x), y=Y)
    else:
        inner = folder / kind
        inner.mkdir()
        for name, values in ({"x": x, "y": Y} if kind == "npy" else splits).items():
            np.save(inner / f"{name}.npy", values)
        return str(inner)
    return str(path)


@pytest.mark.parametrize("dtype", ["float32", "uint8", ">f4"])
@pytest.mark.parametrize("kind", ["stored", "packed", "split", "fortran", "npy", "npy_split"])
def test_a_large_source_gives_the_same_samples(kind: str, dtype: str, tmp_path: Path) -> None:
    x = (np.abs(X) * 50).astype(dtype)
    source = stored_as(tmp_path, kind, x)
    plain = load_dataset(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "LARGE", 4096)
        patch.setattr(mapped, "BLOCK", 1024)
        large = load_dataset(source)
        assert all(is_mapped(getattr(large, part)) for part in ("x_train", "x_test"))
        assert not is_mapped(plain.x_train)
        alike(large, plain)
        np.testing.assert_array_equal(large.calibration(20, 3), plain.calibration(20, 3))


def test_what_is_stored_and_split_is_used_where_it_lies(small: None, tmp_path: Path) -> None:
    found = load_dataset(stored_as(tmp_path, "split", X))
    place = place_of(found.x_test)
    assert place is not None
    assert place.file == str(tmp_path / "split.npz")
    np.testing.assert_array_equal(place.map(), X[200:])


def test_sounds_of_a_large_folder_are_the_same(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(12):
            samples = DRAW.integers(-9000, 9000, 1600).astype(np.int16)
            wavfile.write(tmp_path / label / f"{number}.wav", 16000, samples)
    plain = load_dataset(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "LARGE", 4096)
        large = load_dataset(tmp_path)
        assert is_mapped(large.x_train)
        alike(large, plain)


def test_a_damaged_stored_array_is_refused(small: None, tmp_path: Path) -> None:
    path = Path(stored_as(tmp_path, "stored", X))
    data = bytearray(path.read_bytes())
    data[20_000] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(InvalidData, match=r"not an [.]npz file of plain arrays"):
        load_dataset(path)


def test_nan_in_a_later_block_is_found(small: None, tmp_path: Path) -> None:
    x = X.copy()
    x[-1, -1, -1] = np.nan
    with pytest.raises(InvalidData, match="NaN"):
        load_dataset(stored_as(tmp_path, "stored", x))


def test_a_full_disk_is_told_before_anything_is_written(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "LEFT_FREE", 1 << 60)
    with pytest.raises(MachineFault, match=r"which has room for 0; free some.*XDG_CACHE_HOME"):
        load_dataset(stored_as(tmp_path, "packed", X))


def network() -> Model:
    k = keras()
    k.utils.set_random_seed(1)
    return keras_model(
        k.Sequential([k.layers.Input((6, 5)), k.layers.Flatten(), k.layers.Dense(2)])
    )


@pytest.mark.slow
def test_training_sees_the_same_batches_in_the_same_order(tmp_path: Path) -> None:
    source = stored_as(tmp_path, "stored", X)
    plain = train(network(), load_dataset(source), epochs=3, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "LARGE", 4096)
        data = load_dataset(source)
        assert is_mapped(data.x_train)
        large = train(network(), data, epochs=3, seed=5, teacher=None)
    for one, other in zip(plain.keras.get_weights(), large.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_large_samples_cross_by_their_place(small: None, tmp_path: Path) -> None:
    data = load_dataset(stored_as(tmp_path, "stored", X))
    folder = Path(crossed_samples(data, data.fingerprint))
    assert {file.stem for file in folder.glob("*.npy")} == {
        part for part in PARTS if not is_mapped(getattr(data, part))
    }
    arrays, _ = arrived_parts(str(folder))
    for part in PARTS:
        np.testing.assert_array_equal(arrays[part], getattr(data, part))


def test_a_view_crosses_as_what_it_shows(small: None, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    place = place_of(np.asarray(whole)[40:].reshape(-1, 30))
    assert place is not None
    np.testing.assert_array_equal(place.map(), X[40:].reshape(-1, 30))
    assert place_of(whole[:, :3]) is None
    assert place_of(X) is None


def test_changes_to_a_copy_on_write_map_are_kept(small: None, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    own = np.load(tmp_path / "x.npy", mmap_mode="c")
    own[0] = 7
    let_go(own)
    assert (own[0] == 7).all()
    assert place_of(own) is None


def test_blocks_are_all_rows_once(small: None) -> None:
    x = made(X, None, lambda some: some * 2, "x")
    assert source_of(x) is not None
    np.testing.assert_array_equal(np.concatenate(list(blocks(x))), X * 2)
    assert len(list(blocks(x))) > 10
    rows = np.array([5, 5, 299, 0] * 60)
    np.testing.assert_array_equal(made(x, rows, np.negative, "x"), -2 * X[rows])
    np.testing.assert_array_equal(joined([x, x[:7]], "x"), np.concatenate([x, x[:7]]))


def test_scratch_files_go_with_their_process_and_stale_ones_at_the_next_start(
    tmp_path: Path,
) -> None:
    program = (
        "import os, sys, signal; from autotiny.scratch import new_file; "
        "print(new_file(100, 'x')); sys.stdout.flush(); "
        "sys.argv[1:] and os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}

    def run(*arguments: str) -> Path:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return Path(done.stdout.strip())

    assert not run().parent.exists()
    killed = run("killed")
    assert killed.exists()
    run()
    assert not killed.parent.exists()


def test_the_folder_of_a_living_process_stays() -> None:
    file = scratch.new_file(10, "x")
    scratch.remove_left(scratch.scratch_place())
    assert file.exists()


def test_members_stay_what_they_are_in_any_archive(small: None, tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    with path.open("wb") as file:
        file.write(b"#!/bin/sh\n")  # an archive may have something before it
        with zipfile.ZipFile(file, "w") as archive:
            archive.write(tmp_path / "x.npy", "x.npy")
            archive.write(tmp_path / "y.npy", "y.npy")
    found = load_dataset(path, reading=Reading(scale="none"))
    assert sorted(found.x_train[:, 0, 0].tolist() + found.x_validation[:, 0, 0].tolist()
                  + found.x_test[:, 0, 0].tolist()) == sorted(X[:, 0, 0].tolist())  # fmt: skip
