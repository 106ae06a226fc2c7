import gzip
import io
import shutil
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.dataset import (
    DEBIAN,
    Dataset,
    Reading,
    check_fits,
    digits,
    load_dataset,
    read_idx,
    synthetic,
)
from autotiny.errors import InvalidData, UserError
from autotiny.model import BUILTIN, keras, load_model, tensorflow


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
        ({"x": np.zeros((9, 2)), "y": np.zeros(8, int)}, "9 inputs but 8 labels"),
        ({"x": np.full((9, 2), np.nan), "y": np.zeros(9, int)}, "NaN"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, -1)}, "counted from 0"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, 0.5)}, "fractions"),
        ({"x": np.array([object()] * 9), "y": np.zeros(9, int)}, "plain arrays"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2, int)}, "least to split"),
        ({"x": np.zeros((9, 2)), "y": np.arange(9.0)}, "class numbers or values to predict"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, 1 << 32)}, "label 4294967296; class numbers"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, (1 << 31) - 1)}, "label 2147483647"),
        ({"x": np.zeros((9, 2)), "y": np.eye(3)[np.arange(9) % 3] + np.eye(3)[0]}, "begins"),
        ({"x": np.zeros((9, 2)), "y": np.ones((9, 3), int)}, "row 0 has 3 ones; .*several classes"),
        ({"x": np.zeros((9, 2)), "y": np.full((9, 3), 0.3)}, "row 0 begins .*values to predict"),
        ({"x": np.zeros((9, 2)), "y": np.zeros((9, 3), int)}, "row 0 has 0 ones"),
        ({"x": np.zeros((9, 2)), "y": np.zeros((9, 3, 2), int)}, "one class a sample"),
        ({"x": np.arange(18).reshape(9, 2) * 99, "y": np.zeros(9, int)}, "none .*1/9223372036854"),
        ({"x": np.arange(18).reshape(9, 2), "y": np.zeros(9, int)}, "none .*1/255"),
        ({"x": np.zeros((9, 2), np.int16), "y": np.zeros(9, int)}, "two things"),
        ({"x": np.full((9, 2), 1e30), "y": np.zeros(9, int)}, "reach 1e\\+30"),
        ({"x": np.full((9, 2), 1e300), "y": np.zeros(9, int)}, "reach 1e\\+300"),
        ({"x": np.zeros((9, 2), complex), "y": np.zeros(9, int)}, "plain arrays"),
        ({"x": np.zeros((9, 2), "i4,f4"), "y": np.zeros(9, int)}, "plain arrays"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "empty"),
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


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_names_are_classes_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    names = np.array(["run", "sit", "jog"])[np.arange(60) % 3]
    data = load_dataset(saved(tmp_path / "moves.npz", x=np.zeros((60, 2)), y=names))
    assert (data.labels, data.classes) == (("jog", "run", "sit"), 3)
    counts = "classes: 0 = jog (20), 1 = run (20), 2 = sit (20)"
    assert data.described() == (
        "moves: samples of 2: 36 train, 12 validation, 12 test",
        "inputs: float64 from 0 to 0, as they are",
        counts,
    )
    x, y = np.zeros((9, 2)), np.array(list("abcabcabc"))
    parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": np.array(list("abcdabcab"))}
    with pytest.raises(InvalidData, match="'d' has no sample in train, which has 'a', 'b', 'c'"):
        load_dataset(saved(tmp_path / "parts.npz", **parts))


def test_what_a_split_lacks_is_named(tmp_path: Path) -> None:
    x, y = np.zeros((8, 2)), np.arange(8) % 4
    parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y % 2}
    data = load_dataset(saved(tmp_path / "d.npz", **parts, x_val=x, y_val=y))
    assert data.described()[-1] == "no sample in test of class 2, 3"


@pytest.mark.parametrize(
    ("scale", "expected", "said"),
    [
        (None, 1 / 255, "divided by 255, as is usual for uint8"),
        ("none", 1.0, "as they are"),
        ("1/128", 1 / 128, "times 0.0078125"),
        (0.5, 0.5, "times 0.5"),
    ],
)
def test_bytes_are_scaled_as_asked(scale: Any, expected: float, said: str) -> None:
    x = np.arange(60, dtype=np.uint8).reshape(30, 2)
    data = load_dataset((x, np.arange(30) % 2), 0, Reading.of(scale))
    assert data.x_train.max() <= 59 * expected + 1e-6
    parts = (data.x_train, data.x_validation, data.x_test)
    assert max(part.max() for part in parts) == pytest.approx(59 * expected)
    assert data.described()[1] == f"inputs: uint8 from 0 to 59, {said}"


def test_counts_of_a_converter_are_taken_as_asked() -> None:
    x = (np.arange(60).reshape(30, 2) * 68).astype(np.int64)
    data = load_dataset((x, np.arange(30) % 2), 0, Reading.of("1/4096"))
    assert max(part.max() for part in (data.x_train, data.x_test)) == pytest.approx(4012 / 4096)
    for bad in ("0", "-1", "nan", "1/0", "x", "1e400", ""):
        with pytest.raises(InvalidData, match="it must be 'none', a positive number"):
            Reading.of(bad)
    with pytest.raises(InvalidData, match="HEIGHTxWIDTH"):
        Reading.of(None, "96")


def archive(path: Path, header: bytes, data: bytes = b"", *, store: bool = True) -> Path:
    """An .npz whose x has a header of ours."""
    good = io.BytesIO()
    np.save(good, np.zeros(9, int))
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    kind = zipfile.ZIP_STORED if store else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("x.npy", head + data)
        file.writestr("y.npy", good.getvalue())
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "text"),
    [
        ("(1099511627776, 9)", "<f4", "but holds 64"),
        ("(-8, -2)", "<f4", "but holds|damaged|not an .npz"),
        ("(16,)", "<f4", "sample axis"),
        ("(True, 16)", "<f4", "but holds|not an .npz|9 labels|inputs"),
        ("(4, 4)", "|O", "plain arrays"),
        ("((((", "<f4", "not an .npz"),
        ("(4, 'a')", "<f4", "not an .npz"),
        ("(4, 4)", "<U4", "damaged|numbers are needed"),
    ],
)
def test_headers_are_believed_only_as_far_as_the_file_goes(
    shape: str, dtype: str, text: str, tmp_path: Path
) -> None:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with pytest.raises(InvalidData, match=text):
        load_dataset(archive(tmp_path / "x.npz", header, bytes(64)))


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3000, 10000), }\n"
    path = archive(tmp_path / "x.npz", header, bytes(30_000_000), store=False)
    assert path.stat().st_size < 100_000
    (tmp_path / "idx").mkdir()
    wide = struct.pack(">BBBB3I", 0, 0, 8, 3, 3000, 100, 100) + bytes(30_000_000)
    (tmp_path / "idx" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(wide))
    monkeypatch.setattr("autotiny.dataset.reading.memory_bytes", lambda: 100 << 20)
    for source in (path, tmp_path / "idx" / "train-images-idx3-ubyte.gz"):
        tracemalloc.start()
        with pytest.raises(InvalidData, match="a quarter of this machine's memory"):
            load_dataset(source) if source == path else read_idx(source)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 << 20


def png(height: int, width: int, channels: int = 3, value: int = 7) -> bytes:
    tf = tensorflow()
    pixels = np.full((height, width, channels), value, np.uint8)
    written: bytes = tf.io.encode_png(pixels).numpy()
    return written


def image_folder(folder: Path, **images: bytes) -> Path:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for index in range(6):
            (folder / label / f"{index}.png").write_bytes(png(4, 5))
    for name, content in images.items():
        (folder / "dog" / name.replace("_", ".")).write_bytes(content)
    return folder


def test_hidden_folders_and_files_are_no_classes(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d")
    for name in (".ipynb_checkpoints", "__MACOSX", ".git"):
        (folder / name).mkdir()
        (folder / name / "0.png").write_bytes(png(4, 5))
    (folder / "cat" / "._0.png").write_bytes(b"resource fork")
    data = load_dataset(folder)
    assert data.labels == ("cat", "dog")
    assert len(data.x_train) + len(data.x_validation) + len(data.x_test) == 12
    (folder / "notes").mkdir()
    with pytest.raises(InvalidData, match="notes holds no image"):
        load_dataset(folder)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_is_validation(name: str, tmp_path: Path) -> None:
    for part in ("train", "test", name):
        image_folder(tmp_path / part)
    (tmp_path / name / "cat" / "0.png").unlink()
    data = load_dataset(tmp_path)
    assert [len(y) for y in (data.y_train, data.y_validation, data.y_test)] == [12, 11, 12]
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(InvalidData, match="has train/ and no test/"):
        load_dataset(tmp_path)


def test_images_of_several_sizes_are_brought_to_one_as_asked(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d", large_png=png(8, 10))
    with pytest.raises(InvalidData, match="--resize 4x5 brings them to one"):
        load_dataset(folder)
    assert load_dataset(folder, 0, Reading.of(None, "6x7")).shape == (6, 7, 3)
    with pytest.raises(InvalidData, match="is none"):
        load_dataset("digits", 0, Reading.of(None, "6x7"))


def test_images_that_would_lose_something_are_refused(tmp_path: Path) -> None:
    tf = tensorflow()
    deep: bytes = tf.io.encode_png(np.zeros((4, 5, 1), np.uint16)).numpy()
    clear = png(4, 5, 4)
    huge = bytearray(png(4, 5))
    huge[16:24] = struct.pack(">II", 20_000, 20_000)
    for number, (content, text) in enumerate(
        [(deep, "16 bits a colour"), (clear, "transparent"), (bytes(huge), "are the most"),
         (b"GIF89a\xff\xff\xff\xff" + bytes(9), "are the most"), (b"\xff\xd8\xff", "damaged")]
    ):  # fmt: skip
        folder = image_folder(tmp_path / str(number), odd_png=content)
        with pytest.raises(InvalidData, match=text):
            load_dataset(folder)
    opaque = image_folder(tmp_path / "opaque", odd_png=png(4, 5, 4, 255))
    assert load_dataset(opaque).shape == (4, 5, 3)


def network_of(*layers: Any) -> Any:
    from autotiny.model import keras_model

    return keras_model(keras().Sequential(list(layers)))


def test_bytes_and_a_network_that_scales_them_itself_are_refused() -> None:
    layers = keras().layers
    x, y = np.arange(60, dtype=np.uint8).reshape(30, 2), np.arange(30) % 2
    model = network_of(layers.Rescaling(1 / 255, input_shape=(2,)), layers.Dense(2))
    with pytest.raises(InvalidData, match=r"begins with Rescaling; --scale none .*--scale 1/255"):
        check_fits(model, load_dataset((x, y)))
    for scale in ("none", "1/255"):
        check_fits(model, load_dataset((x, y), 0, Reading.of(scale)))
    check_fits(network_of(layers.Dense(2, input_shape=(2,))), load_dataset((x, y)))


def test_tasks_that_are_not_supported_are_refused_by_name() -> None:
    layers = keras().layers
    x = np.zeros((30, 2))
    one = network_of(layers.Dense(1, activation="sigmoid", input_shape=(2,)))
    with pytest.raises(InvalidData, match=r"gives one value .* not supported yet"):
        check_fits(one, load_dataset((x, np.arange(30) % 2)))
    three = network_of(layers.Dense(3, input_shape=(2,)))
    with pytest.raises(InvalidData, match=r"labels from 1 to 3, .* subtract 1"):
        check_fits(three, load_dataset((x, np.arange(30) % 3 + 1)))
    with pytest.raises(InvalidData, match="highest label is 1"):
        check_fits(three, load_dataset((x, np.arange(30) % 2)))
    from autotiny.model import keras_model

    start = keras().Input((2,))
    two = keras().Model(start, [layers.Dense(2)(start), layers.Dense(2)(start)])
    with pytest.raises(InvalidData, match="has 2 outputs"):
        check_fits(keras_model(two), load_dataset((x, np.arange(30) % 2)))


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
