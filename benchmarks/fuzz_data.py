"""Feeds spoiled data to what reads it: headers of `.npz` files, images, IDX files.

    python benchmarks/fuzz_data.py COUNT

Each file is a good one with seeded damage; it must be taken, or refused with an error on one line,
in time and memory that `fuzzing` bounds.
"""

from __future__ import annotations

import argparse
import gzip
import io
import random
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fuzzing import fuzz

from autotiny.dataset import load_dataset
from autotiny.model import tensorflow

SHAPES = (
    "(9, 4)", "(9,)", "()", "(0, 4)", "(-1, 4)", "(9, -4)", "(99999999999, 9999)", "(9, 4, 1)",
    "(True, 36)", "(9.0, 4)", "('9', 4)", "(9, 2)", "None", "[9, 4]", "(2 ** 70, 1)",
)  # fmt: skip
TYPES = (
    "<f4", "<f8", ">f4", "<f2", "|u1", "|i1", "<i2", "<i8", "<u8", "|b1", "|O", "<U1", "|S4", "<c8",
    "<M8[s]", "|V4", "x", "<f3", "[('a', '<f4')]",
)  # fmt: skip


def main() -> None:
    """Try all of them; the last line tells how they ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    count = parser.parse_args().count
    good = pictures()
    with tempfile.TemporaryDirectory() as folder:
        print(fuzz(lambda number: attempt(number, Path(folder), good), count))


def attempt(number: int, folder: Path, good: dict[str, bytes]) -> str:
    """Read one spoiled file."""
    dice = random.Random(number)
    kinds: tuple[Callable[[], Path], ...] = (
        lambda: archive(folder, dice),
        lambda: images(folder, dice, good),
        lambda: idx(folder, dice),
    )
    load_dataset(dice.choice(kinds)())
    return "taken"


def archive(folder: Path, dice: random.Random) -> Path:
    """An `.npz` file whose headers, members or bytes are spoiled."""
    path = folder / "data.npz"
    labels = io.BytesIO()
    values = (
        np.arange(9) % 3, np.arange(9.0), np.full(9, 2**40), np.arange(9) - 3,
        np.eye(3)[np.arange(9) % 3], np.array(list("abcabcabc")), np.zeros((9, 2)),
        np.zeros(3, int),
    )  # fmt: skip
    np.save(labels, dice.choice(values))
    header = (
        f"{{'descr': {dice.choice(TYPES)!r}, 'fortran_order': {dice.choice((True, False, 3))}, "
        f"'shape': {dice.choice(SHAPES)}, }}"
    ).encode()
    if dice.random() < 0.1:
        header = b"(" * 300 + header
    size = dice.choice((len(header), len(header) + 9, 65535))
    head = b"\x93NUMPY" + bytes((dice.choice((1, 2, 3, 9)), 0)) + struct.pack("<H", size) + header
    body = bytes(dice.choice((0, 35, 36, 72, 144, 288, 1 << 20)))
    with zipfile.ZipFile(path, "w", dice.choice((0, 8))) as file:
        file.writestr(dice.choice(("x.npy", "x", "x_train.npy", "../x.npy")), head + body)
        file.writestr(dice.choice(("y.npy", "y_train.npy")), labels.getvalue())
    spoil(path, dice)
    return path


def images(folder: Path, dice: random.Random, good: dict[str, bytes]) -> Path:
    """Class folders of which one image is spoiled."""
    place = folder / "images"
    shutil.rmtree(place, ignore_errors=True)
    for label in ("a", "b"):
        (place / label).mkdir(parents=True)
        for index in range(3):
            (place / label / f"{index}.png").write_bytes(good["png"])
    kind = dice.choice(list(good))
    path = place / "b" / f"9.{kind}"
    path.write_bytes(good[kind])
    spoil(path, dice, within=40)
    return place


def idx(folder: Path, dice: random.Random) -> Path:
    """A folder of IDX files of which one is spoiled."""
    place = folder / "idx"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for part in ("train", "t10k"):
        pixels = struct.pack(">BBBB3I", 0, 0, 8, 3, 9, 4, 4) + bytes(144)
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, 9) + bytes(k % 3 for k in range(9))
        (place / f"{part}-images-idx3-ubyte").write_bytes(pixels)
        (place / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    path = dice.choice(sorted(place.iterdir()))
    spoil(path, dice, within=16)
    if dice.random() < 0.3:
        data = gzip.compress(path.read_bytes())
        path.write_bytes(data)
        spoil(path, dice)
    return place


def spoil(path: Path, dice: random.Random, within: int = 1 << 30) -> None:
    """Change up to three bytes of a file among its first, or cut it."""
    data = bytearray(path.read_bytes())
    for _ in range(dice.randint(0, 3)):
        if data:
            data[dice.randrange(min(len(data), within))] = dice.choice(
                (0, 1, 127, 255, dice.randrange(256))
            )
    if dice.random() < 0.1:
        del data[dice.randrange(len(data) + 1) :]
    path.write_bytes(data)


def pictures() -> dict[str, bytes]:
    """Good images by ending; those that TensorFlow cannot write are written by hand."""
    tf = tensorflow()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    bmp = b"BM" + struct.pack("<IHHI", 54 + 192, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 24, 0, 192, 0, 0, 0, 0) + pixels.tobytes()
    gif = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\x02\x02\x4c\x01\x00;"
    return {
        "png": tf.io.encode_png(pixels).numpy(),
        "jpg": tf.io.encode_jpeg(pixels).numpy(),
        "bmp": bmp,
        "gif": gif,
    }


if __name__ == "__main__":
    main()
