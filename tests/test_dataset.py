import gzip
import io
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
from autotiny.graph import Graph, Op, Tensor
from autotiny.model import BUILTIN, Level, Model, keras, load_model, tensorflow


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
        assert y.max() < data.task.outputs


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
    assert data.task.outputs == 10
    assert data.y_test[:5].tolist() == [9, 2, 1, 1, 6]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_of_idx_files(zipped: bool, tmp_path: Path) -> None:
    idx_folder(tmp_path, zipped=zipped)
    data = load_dataset(tmp_path)
    check_parts(data)
    assert (len(data.x_train), len(data.x_validation), len(data.x_test)) == (37, 3, 20)
    assert (data.shape, data.task.outputs) == ((5, 4), 3)


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
    assert (one.task.outputs, one.shape) == (4, (6,))
    parts = {"x_train": x, "y_train": y, "x_val": x[:8], "y_val": y[:8], "x_test": x, "y_test": y}
    np.savez_compressed(tmp_path / "three.npz", **parts)  # type: ignore[arg-type]
    three = load_dataset(tmp_path / "three.npz")
    assert (len(three.x_train), len(three.x_validation), len(three.x_test)) == (50, 8, 50)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros(9)}, "needs x and y"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8, int)}, "9 inputs but 8 labels"),
        ({"x": np.full((9, 2), np.nan), "y": np.zeros(9, int)}, "NaN"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, np.nan)}, "label of sample 0 is NaN"),
        ({"x": np.zeros((9, 2)), "y": np.full((9, 2), "a")}, "one name a sample"),
        ({"x": np.array([object()] * 9), "y": np.zeros(9, int)}, "plain arrays"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2, int)}, "5 are the least for 3 parts"),
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
    assert (data.labels, data.task.outputs) == (("jog", "run", "sit"), 3)
    counts = "classes: 0 = jog (20), 1 = run (20), 2 = sit (20)"
    assert data.described() == (
        "moves: samples of 2: 36 train, 12 validation, 12 test",
        "inputs: float64 from 0 to 0, as they are",
        "task: classification, scored by accuracy",
        counts,
        "12 of 12 validation samples are in train too, byte for byte: scores on them say nothing "
        "of new ones",
        "12 of 12 test samples are in train too, byte for byte: scores on them say nothing of new "
        "ones",
    )
    x, y = np.zeros((9, 2)), np.array(list("abcabcabc"))
    parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": np.array(list("abcdabcab"))}
    with pytest.raises(InvalidData, match="'d' has no sample in train, which has 'a', 'b', 'c'"):
        load_dataset(saved(tmp_path / "parts.npz", **parts))


def test_what_a_split_lacks_is_named(tmp_path: Path) -> None:
    x, y = np.zeros((8, 2)), np.arange(8) % 4
    parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y % 2}
    data = load_dataset(saved(tmp_path / "d.npz", **parts, x_val=x, y_val=y))
    assert "no sample in test of class 2, 3" in data.described()


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


def layers_before(*first: Any) -> Any:
    """A small network of images of 8×8 with such layers before its first convolution."""
    layers = keras().layers
    rest = (layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3))
    return keras().Sequential([layers.InputLayer((8, 8, 3)), *first, *rest])


def functional(scale: Any) -> Any:
    """The same with operators on its input."""
    start = keras().Input((8, 8, 3))
    found = scale(start)
    for layer in layers_before().layers:
        found = layer(found)
    return keras().Model(start, found)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda layers, k: layers_before(k.Sequential([layers.RandomFlip()])), ""),
        (lambda layers, k: layers_before(layers.ZeroPadding2D()), ""),
        (lambda layers, k: layers_before(layers.RandomFlip(), layers.Rescaling(0.1)), "Rescaling"),
        (lambda layers, k: layers_before(layers.Resizing(6, 6), layers.Rescaling(1)), "Rescaling"),
        (
            lambda layers, k: layers_before(
                k.Sequential([layers.RandomFlip()]), k.Sequential([layers.Rescaling(1 / 127.5)])
            ),
            "Rescaling",
        ),
        (
            lambda layers, k: layers_before(layers.Reshape((8, 8, 3)), layers.Normalization()),
            "Normalization",
        ),
        (lambda layers, k: functional(lambda x: x / 255), "truediv"),
        (lambda layers, k: functional(lambda x: x - 128), "subtract"),
    ],
)
def test_a_scaling_is_seen_wherever_it_stands_before_the_weights(build: Any, text: str) -> None:
    from autotiny.model import freeze, keras_model

    network = build(keras().layers, keras())
    x = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    data = load_dataset((x, np.arange(30) % 3))
    model = keras_model(network)
    for found, said in ((model, text), (freeze(model), "begins with")):
        if not text:
            check_fits(found, data)
            continue
        with pytest.raises(InvalidData, match=rf"{said}.*--scale none .*--scale 1/255"):
            check_fits(found, data)


def test_a_scaling_is_seen_in_a_lowered_model(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    data = load_dataset((x, np.arange(30) % 3))
    converter = tensorflow().lite.TFLiteConverter
    layers = keras().layers
    # Padding behind it keeps the converter from folding it into the weights.
    network = layers_before(layers.Rescaling(1 / 127.5, -1), layers.ZeroPadding2D())
    (tmp_path / "net.tflite").write_bytes(converter.from_keras_model(network).convert())
    with pytest.raises(InvalidData, match=r"begins with (MUL|ADD|SUB); --scale none"):
        check_fits(load_model(tmp_path / "net.tflite"), data)
    (tmp_path / "plain.tflite").write_bytes(converter.from_keras_model(layers_before()).convert())
    check_fits(load_model(tmp_path / "plain.tflite"), data)


def test_sets_of_bytes_with_a_name_are_scaled_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion-mnist").mkdir()
    idx_folder(tmp_path / "fashion-mnist", zipped=True)
    monkeypatch.setattr("autotiny.dataset.builtin.DEBIAN", tmp_path)
    assert load_dataset("fashion_mnist").x_train.max() == 1
    assert load_dataset("fashion_mnist", 0, Reading.of("none")).x_train.max() == 255
    with pytest.raises(InvalidData, match="--scale is for stored numbers"):
        load_dataset("digits", 0, Reading.of("none"))


@pytest.mark.parametrize("kind", ["arrays", "npz", "idx"])
def test_validation_taken_out_of_train_holds_a_tenth_of_each_class(
    kind: str, tmp_path: Path
) -> None:
    y = np.repeat([0, 1, 2], [400, 80, 20])
    x = np.arange(1000).reshape(500, 2, 1) % 256
    arrays = {"x_train": x.astype(np.uint8), "y_train": y, "x_test": x[:9].astype(np.uint8),
              "y_test": y[:9]}  # fmt: skip
    source: Any = arrays
    if kind == "npz":
        source = tmp_path / "data.npz"
        np.savez(source, **arrays)  # type: ignore[arg-type]
    elif kind == "idx":
        source = tmp_path
        for name, part in (("train", "train"), ("t10k", "test")):
            for ending, values in (("images-idx3", arrays[f"x_{part}"]),
                                   ("labels-idx1", arrays[f"y_{part}"])):  # fmt: skip
                (tmp_path / f"{name}-{ending}-ubyte").write_bytes(idx(values))
    splits = []
    for seed in range(4):
        data = load_dataset(source, seed)
        assert np.bincount(data.y_validation).tolist() == [40, 8, 2]
        assert np.bincount(data.y_train).tolist() == [360, 72, 18]
        assert len(data.x_test) == 9
        splits.append(data.x_validation.tobytes())
    assert len(set(splits)) == 4


def test_sets_with_a_name_are_split_as_their_published_figures_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion-mnist").mkdir()
    idx_folder(tmp_path / "fashion-mnist", zipped=False)
    monkeypatch.setattr("autotiny.dataset.builtin.DEBIAN", tmp_path)
    order = np.random.default_rng(7).permutation(40)
    np.testing.assert_array_equal(load_dataset("fashion_mnist", 7).y_train, order[:36] % 3)


X, Y = np.linspace(0, 1, 60, dtype=np.float32).reshape(30, 2), np.arange(30) % 3
SPLIT: dict[str, Any] = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y}


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": X, "y": Y, "x_test": X, "y_test": Y}, "data holds x and x_test"),
        ({**SPLIT, "y": Y}, "data holds y and x_test"),
        (
            {**SPLIT, "x_val": X, "y_val": Y, "x_validation": X, "y_validation": Y},
            "x_val and x_validation, which mean the same",
        ),
        ({**SPLIT, "y_test": np.eye(4)[Y]}, "of train are numbers, those of test rows of 4"),
        ({**SPLIT, "y_train": np.array(list("abc"))[Y]}, "names, those of test numbers"),
        ({"x": np.ma.masked_less(X, 0.5), "y": Y}, "masked values"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(arrays: Any, text: str) -> None:
    with pytest.raises(InvalidData, match=text):
        load_dataset(arrays)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({**SPLIT, "y_train": Y + 1}, "test has the class 0, .* train counts its classes from 1"),
        ({**SPLIT, "y_test": Y * 2}, "test has the class 4, of which train has no sample"),
    ],
)
def test_a_split_with_other_classes_than_train_is_refused(arrays: Any, text: str) -> None:
    network = network_of(keras().layers.Dense(5, input_shape=(2,)))
    with pytest.raises(InvalidData, match=text):
        check_fits(network, load_dataset(arrays))


def test_one_factor_is_not_applied_to_two_types() -> None:
    mixed = {**SPLIT, "x_train": np.zeros((30, 2), np.uint8)}
    for scale in (None, "1/255"):
        with pytest.raises(InvalidData, match="several types, float32, uint8"):
            load_dataset(mixed, 0, Reading.of(scale))
    assert load_dataset(mixed, 0, Reading.of("none")).x_test.max() == 1


def test_rows_say_how_many_classes_there_are() -> None:
    data = load_dataset((X, np.eye(5)[Y]))
    assert data.task.outputs == 5
    assert "no sample in train of class 3, 4" in data.described()
    check_fits(network_of(keras().layers.Dense(5, input_shape=(2,))), data)


def test_a_classifier_is_not_taken_for_a_network_that_gives_its_input_back() -> None:
    layers = keras().layers
    x = np.zeros((30, 4))
    classifier = network_of(layers.Dense(4, activation="softmax", input_shape=(4,)))
    with pytest.raises(InvalidData, match="has 3 classes"):
        check_fits(classifier, load_dataset((x, Y)))
    mirror = network_of(layers.Dense(4, input_shape=(4,)))
    assert check_fits(mirror, load_dataset((x, Y))).task.outputs == 0
    with pytest.raises(InvalidData, match=r"labels from 1 to 4, .* subtract 1"):
        check_fits(mirror, load_dataset((x, np.arange(30) % 4 + 1)))
    grid = network_of(layers.Dense(6, input_shape=(4,)), layers.Reshape((2, 3)))
    with pytest.raises(InvalidData, match="output is 2×3, and data has one class a sample"):
        check_fits(grid, load_dataset((x, np.arange(30) % 6)))


def test_a_missing_axis_is_said() -> None:
    layers = keras().layers
    model = network_of(layers.Reshape((2,), input_shape=(2, 1)), layers.Dense(3))
    data = check_fits(model, load_dataset((X, Y)))
    assert data.described()[0].startswith("data: samples of 2, given to the model as 2×1: ")


def test_outputs_that_do_not_fit_the_classes_are_refused() -> None:
    layers = keras().layers
    x = np.zeros((30, 2))
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


def test_unknown_and_missing_data_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load_dataset("digist")
    with pytest.raises(InvalidData, match="neither a file nor a folder"):
        load_dataset("nowhere/data.npz")
    (tmp_path / "data.xml").write_text("1,2")
    with pytest.raises(InvalidData, match=r"'\.xml'; data is an \.npz"):
        load_dataset(tmp_path / "data.xml")
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


def test_synthetic_data_fits_a_model_that_gives_one_number_without_a_shape() -> None:
    tensors = (
        Tensor("in", (1, 4), "float32"),
        Tensor("axes", (2,), "int32", None, np.array([0, 1], np.int32)),
        Tensor("out", (), "float32"),
    )
    graph = Graph(tensors, (Op("REDUCE_MAX", (0, 1), (2,)),), (0,), (2,))
    model = Model(Level.TFLITE, graph, graph.fingerprint())
    assert synthetic(model).x_train.shape[1:] == (4,)


@pytest.mark.parametrize("name", list(BUILTIN))
@pytest.mark.everyday(2)
def test_synthetic_data_fits_every_builtin(name: str) -> None:
    model = load_model(name)
    data = synthetic(model)
    assert data.synthetic
    assert check_fits(model, data) is data
    assert (data.task.outputs == 0) == (name == "autoencoder")
    assert data.fingerprint == synthetic(model).fingerprint
