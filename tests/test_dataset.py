import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from autotiny.dataset import (
    DEBIAN,
    Dataset,
    check_fits,
    digits,
    load_dataset,
    read_idx,
    synthetic,
)
from autotiny.errors import InvalidData, UserError
from autotiny.model import BUILTIN, load_model, tensorflow


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx_folder(folder: Path, *, zipped: bool) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        images, labels = rng.integers(0, 256, (count, 5, 4)), np.arange(count) % 3
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx(array)
            name = f"{part}-{kind}-ubyte"
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)


def check_parts(data: Dataset) -> None:
    for x, y in (
        (data.x_train, data.y_train),
        (data.x_validation, data.y_validation),
        (data.x_test, data.y_test),
    ):
        assert x.dtype == np.float32
        assert y.dtype == np.int32
        assert len(x) == len(y) > 0
        assert x.min() >= 0
        assert x.max() <= 1
        assert y.max() < data.classes


def test_digits_are_28_by_28_and_split_by_seed() -> None:
    data, again, other = digits(0), digits(0), digits(1)
    check_parts(data)
    assert data.shape == (28, 28)
    assert len(data.x_train) + len(data.x_validation) + len(data.x_test) == 1797
    assert data.fingerprint == again.fingerprint != other.fingerprint
    assert set(data.y_test) == set(range(10))


@pytest.mark.skipif(not (DEBIAN / "fashion-mnist").is_dir(), reason="dataset-fashion-mnist missing")
def test_fashion_mnist_has_its_official_test_set() -> None:
    data = load_dataset("fashion_mnist")
    assert (len(data.x_train), len(data.x_validation), len(data.x_test)) == (54_000, 6_000, 10_000)
    assert data.classes == 10
    assert data.y_test[:5].tolist() == [9, 2, 1, 1, 6]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_of_idx_files(zipped: bool, tmp_path: Path) -> None:
    idx_folder(tmp_path, zipped=zipped)
    data = load_dataset(tmp_path)
    check_parts(data)
    assert (len(data.x_train), len(data.x_validation), len(data.x_test)) == (36, 4, 20)
    assert (data.shape, data.classes) == ((5, 4), 3)


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    idx_folder(tmp_path, zipped=True)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InvalidData, match="lacks t10k-labels-idx1-ubyte"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        idx(np.zeros((4, 3)))[:-1],
        idx(np.zeros((4, 3))) + b"x",
        struct.pack(">BBBB4I", 0, 0, 14, 4, *[2**32 - 1] * 4),
        gzip.compress(idx(np.zeros((400, 3))), mtime=0)[:-9],
        b"\x1f\x8b\x08 damaged",
    ],
)
def test_damaged_idx_files_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(content)
    with pytest.raises(InvalidData, match="train-images"):
        read_idx(file)


def test_npz_in_both_forms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (50, 6), np.uint8), np.arange(50) % 4
    np.savez(tmp_path / "one.npz", x=x, y=np.eye(4)[y])
    one = load_dataset(tmp_path / "one.npz")
    check_parts(one)
    assert (one.classes, one.shape) == (4, (6,))
    parts = {"x_train": x, "y_train": y, "x_val": x[:8], "y_val": y[:8], "x_test": x, "y_test": y}
    np.savez_compressed(tmp_path / "three.npz", **parts)  # type: ignore[arg-type]
    three = load_dataset(tmp_path / "three.npz")
    assert (len(three.x_train), len(three.x_validation), len(three.x_test)) == (50, 8, 50)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((9, 2))}, "needs x and y"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8)}, "9 inputs but 8 labels"),
        ({"x": np.full((9, 2), np.nan), "y": np.zeros(9)}, "NaN"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, -1)}, "counted from 0"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, 0.5)}, "fractions"),
        ({"x": np.zeros((9, 2)), "y": np.array(["a"] * 9)}, "class numbers"),
        ({"x": np.array([object()] * 9), "y": np.zeros(9)}, "plain arrays"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2)}, "least to split"),
    ],
)
def test_bad_npz_files_are_refused(
    arrays: dict[str, np.ndarray],
    message: str,
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InvalidData, match=message):
        load_dataset(tmp_path / "bad.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04cut"])
def test_damaged_npz_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InvalidData):
        load_dataset(tmp_path / "bad.npz")


def test_class_folders_with_images(tmp_path: Path) -> None:
    tf = tensorflow()
    for label, value in (("cat", 10), ("dog", 200)):
        (tmp_path / label).mkdir()
        for index in range(6):
            image = tf.fill((4, 5, 3), tf.constant(value + index, tf.uint8))
            (tmp_path / label / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())
    data = load_dataset(tmp_path)
    check_parts(data)
    assert (data.shape, data.classes, data.labels) == ((4, 5, 3), 2, ("cat", "dog"))
    assert all((x.mean() > 0.5) == y for x, y in zip(data.x_train, data.y_train, strict=True))
    (tmp_path / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(InvalidData, match="damaged or no image"):
        load_dataset(tmp_path)


def test_unknown_and_missing_data_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load_dataset("digist")
    with pytest.raises(InvalidData, match="neither a file nor a folder"):
        load_dataset("nowhere/data.npz")
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(InvalidData, match=r"\.npz"):
        load_dataset(tmp_path / "data.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidData, match="class folders"):
        load_dataset(tmp_path / "empty")


def test_calibration_comes_from_train_and_repeats() -> None:
    data = digits()
    drawn = data.calibration(16, seed=3)
    assert np.array_equal(drawn, data.calibration(16, seed=3))
    assert not np.array_equal(drawn, data.calibration(16, seed=4))
    train = {x.tobytes() for x in data.x_train}
    assert all(x.tobytes() in train for x in drawn)
    assert len(data.calibration(10**6, seed=0)) == len(data.x_train)


def test_check_fits_adds_a_channel_and_refuses_the_rest() -> None:
    data = digits()
    assert check_fits(load_model("cnn1"), data) is data
    with pytest.raises(InvalidData, match="28×28, the model takes 49×10×1"):
        check_fits(load_model("ds_cnn"), data)
    tensorflow()
    import tf_keras

    network = tf_keras.Sequential(
        [tf_keras.layers.Flatten(input_shape=(28, 28, 1)), tf_keras.layers.Dense(7)]
    )
    from autotiny.model import keras_model

    with pytest.raises(InvalidData, match="10 classes, the model's output has 7"):
        check_fits(keras_model(network), data)
    network = tf_keras.Sequential(
        [tf_keras.layers.Flatten(input_shape=(28, 28, 1)), tf_keras.layers.Dense(10)]
    )
    assert check_fits(keras_model(network), data).shape == (28, 28, 1)


@pytest.mark.parametrize("name", list(BUILTIN))
def test_synthetic_data_fits_every_builtin(name: str) -> None:
    model = load_model(name)
    data = synthetic(model)
    assert data.synthetic
    assert check_fits(model, data) is data
    assert (data.classes == 0) == (name == "autoencoder")
    assert data.fingerprint == synthetic(model).fingerprint
