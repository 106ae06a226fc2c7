import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from autotiny.dataset import Reading, load_dataset
from autotiny.errors import InvalidData
from autotiny.model import tensorflow


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
    with pytest.raises(InvalidData, match=r"has train/ .*and no test/"):
        load_dataset(tmp_path)


def test_images_of_several_sizes_are_brought_to_one_as_asked(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d", large_png=png(8, 10))
    with pytest.raises(InvalidData, match="--resize 4x5 brings them to one"):
        load_dataset(folder)
    assert load_dataset(folder, 0, Reading.of(None, "6x7")).shape == (6, 7, 3)
    with pytest.raises(InvalidData, match="digits takes no such option"):
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


def block(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    plain = png(4, 5)
    return plain[:33] + block(kind, data) + plain[33:]


def gif(*frames: tuple[int, int], clear: bool = False) -> bytes:
    """A GIF of 5×4 with black pictures of such widths and heights."""
    written = b"GIF89a" + struct.pack("<HHBBB", 5, 4, 0x80, 0, 0) + bytes(6)
    written += b"!\xf9\x04" + bytes([clear, 0, 0, 0, 0])
    for width, height in frames:
        # Codes of three bits: clear, two pixels of colour 0, and so on, so that no code widens.
        codes = [code for _ in range(10) for code in (4, 0, 0)] + [5]
        bits = sum(code << 3 * place for place, code in enumerate(codes)).to_bytes(12, "little")
        picture = struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x0c" + bits + b"\0"
        written += b"," + picture
    return written + b";"


def bmp(bits: int, palette: bytes = b"", packed: int = 0) -> bytes:
    """A BMP of 4×4."""
    pixels = bytes(range(2 * bits))
    head = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, bits, packed, len(pixels), 0, 0, 0, 0)
    start = 14 + len(head) + len(palette)
    whole = struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + palette + pixels
    return b"BM" + whole


def jpeg(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is turned."""
    plain: bytes = tensorflow().io.encode_jpeg(np.zeros((4, 5, 3), np.uint8)).numpy()
    entry = struct.pack(">HHHIHH", 1, 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entry + bytes(4)
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + plain[2:]


GREY = bytes(value for level in range(256) for value in (level, level, level, 0))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (lambda: with_chunk(b"tRNS", bytes(6)), "transparent"),
        (lambda: with_chunk(b"acTL", bytes(8)), "several pictures"),
        (lambda: gif((5, 4), (5, 4)), "several pictures"),
        (lambda: gif((5, 4), (65535, 65535)), "several pictures"),
        (lambda: gif((65535, 65535)), "its picture is 65535×65535"),
        (lambda: gif((2, 2)), "its picture is 2×2"),
        (lambda: gif((5, 4), clear=True), "transparent"),
        (lambda: gif((5, 4))[:40], "damaged"),
        (lambda: bmp(8, GREY[::-1]), "BMP with a palette"),
        (lambda: bmp(8, GREY, packed=1), "or packed"),
        (lambda: bmp(16), "BMP of 16 bits"),
        (lambda: jpeg(6), "EXIF orientation 6"),
        (lambda: jpeg(1) + b"\xff\xda" * 65, "more than 64 scans"),
        (lambda: b"\xff\xd8\xff\xc0\0\x0b\x08\0\4\0\5\4" + bytes(9), "CMYK"),
        (lambda: b"\xff\xd8\xff\xc0\0\x0b\x0c\0\4\0\5\3" + bytes(9), "12-bit"),
    ],
)
def test_a_header_tells_what_decoding_would_lose(written: Any, text: str, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d", odd_png=written())
    with (
        mock.patch("autotiny.dataset.images.tensorflow", side_effect=AssertionError),
        pytest.raises(InvalidData, match=text),
    ):
        load_dataset(folder)


@pytest.mark.parametrize("content", [gif((5, 4)), bmp(8, GREY), bmp(24)])
def test_images_that_lose_nothing_are_taken(content: bytes, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for index in range(3):
            (tmp_path / label / f"{index}.gif").write_bytes(content)
    assert load_dataset(tmp_path).labels == ("cat", "dog")


def test_upright_photographs_are_taken(tmp_path: Path) -> None:
    assert load_dataset(image_folder(tmp_path / "d", odd_jpg=jpeg(1))).shape == (4, 5, 3)


def test_images_are_not_left_out_silently(tmp_path: Path) -> None:
    def refused(name: str, text: str) -> None:
        with pytest.raises(InvalidData, match=text):
            load_dataset(tmp_path / name)

    (image_folder(tmp_path / "webp") / "cat" / "7.WEBP").write_bytes(b"RIFF")
    refused("webp", r"7\.WEBP is of a kind that is not read")
    (image_folder(tmp_path / "deep") / "cat" / "more").mkdir()
    refused("deep", "more is a folder in a class folder")
    (image_folder(tmp_path / "link") / "cat" / "7.png").symlink_to("nowhere")
    refused("link", "7.png is no file")
    large = image_folder(tmp_path / "large") / "cat" / "7.png"
    large.touch()
    os.truncate(large, 1 << 40)
    refused("large", "has 1,099,511,627,776 bytes; 67,108,864 are the most")


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("Train", "TEST"), None),
        (("training", "dev", "testing"), None),
        (("train", "val"), "has train/ and val/ and no test/"),
        (("val", "test"), "has val/ and test/ and no train/"),
        (("train", "test", "val", "valid"), "val/ and valid/, which mean the same split"),
        (("train", "test", "more"), "has more/ beside train/ and test/"),
    ],
)
def test_folders_of_splits(parts: tuple[str, ...], text: str | None, tmp_path: Path) -> None:
    for part in parts:
        image_folder(tmp_path / part)
    if text is None:
        assert len(load_dataset(tmp_path).x_test) == 12
        return
    with pytest.raises(InvalidData, match=text):
        load_dataset(tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    image_folder(tmp_path)
    (tmp_path / "dog").rename(tmp_path / "train")
    assert load_dataset(tmp_path).labels == ("cat", "train")


def test_a_class_that_test_lacks_is_named_and_one_that_train_lacks_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        image_folder(tmp_path / part)
    shutil.rmtree(tmp_path / "test" / "cat")
    data = load_dataset(tmp_path)
    assert set(data.y_test) == {1}
    assert "no sample in test of class 0 = cat" in data.described()
    shutil.copytree(tmp_path / "test" / "dog", tmp_path / "test" / "cow")
    with pytest.raises(InvalidData, match="test has the class 'cow', which train/ lacks"):
        load_dataset(tmp_path)


def test_a_name_that_cannot_be_printed_is_quoted(tmp_path: Path) -> None:
    image_folder(tmp_path)
    (tmp_path / "dog").rename(tmp_path / "do\ng\x1b[2J")
    told = load_dataset(tmp_path).described()
    assert r"classes: 0 = cat (6), 1 = 'do\ng\x1b[2J' (6)" in told


def test_class_folders_with_images(tmp_path: Path) -> None:
    tf = tensorflow()
    for label, value in (("cat", 10), ("dog", 200)):
        (tmp_path / label).mkdir()
        for index in range(6):
            image = tf.fill((4, 5, 3), tf.constant(value + index, tf.uint8))
            (tmp_path / label / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())
    data = load_dataset(tmp_path)
    assert (data.x_train.min() >= 0, data.x_train.max() <= 1) == (True, True)
    assert (data.shape, data.task.outputs, data.labels) == ((4, 5, 3), 2, ("cat", "dog"))
    assert all((x.mean() > 0.5) == y for x, y in zip(data.x_train, data.y_train, strict=True))
    (tmp_path / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(InvalidData, match="damaged or no image"):
        load_dataset(tmp_path)
