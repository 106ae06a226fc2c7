"""Images in one folder a class, sizes looked at before anything is decoded."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from autotiny.dataset.reading import AS_STORED, Inputs, Labels, Reading, check_room
from autotiny.dataset.samples import Dataset, by, dataset_of, split_all, split_train
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.model import tensorflow

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
VALIDATION_NAMES = ("validation", "val", "valid")
MOST_PIXELS = 1 << 24
_HEAD_BYTES = 1 << 16


def class_folders(folder: Path, seed: int, reading: Reading = AS_STORED) -> Dataset:
    """Images in one folder a class; or such folders under train/ and test/ (and val/)."""
    parts = _parts(folder)
    if not parts:
        files, labels = _listed(folder, None)
        images = _read(files, reading)
        x, inputs = _values(images, reading)
        return split_all(folder.name, x, Labels(_numbers(files), labels), seed, inputs=inputs)
    files, labels = _listed(parts["train"], None)
    found = {"train": files}
    for part, place in parts.items():
        if part != "train":
            found[part] = _listed(place, labels)[0]
    every = [file for files in found.values() for file in files]
    images = _read(every, reading)
    x, inputs = _values(images, reading)
    xs, ys, begin = {}, {}, 0
    for part, files in found.items():
        xs[part], begin = x[begin : begin + len(files)], begin + len(files)
        ys[part] = _numbers(files)
    if "validation" in xs:
        order = ("train", "validation", "test")
        return dataset_of(
            folder.name, tuple(xs[part] for part in order), tuple(ys[part] for part in order),
            labels, inputs=inputs,
        )  # fmt: skip
    y, y_test = Labels(ys["train"], labels), Labels(ys["test"], labels)
    return split_train(folder.name, xs["train"], y, xs["test"], y_test, seed, inputs)


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of the splits, where there are some."""
    names = {"train": ("train",), "validation": VALIDATION_NAMES, "test": ("test",)}
    found = {
        part: folder / name
        for part, given in names.items()
        for name in given
        if (folder / name).is_dir()
    }
    if "train" in found and "test" not in found:
        raise InvalidData(
            f"{folder} has train/ and no test/; put images of each class, which training never "
            "sees, into test/, or all class folders directly into one folder"
        )
    return found if "train" in found else {}


File = tuple[Path, int]
"""An image and its class."""


def _listed(folder: Path, labels: tuple[str, ...] | None) -> tuple[list[File], tuple[str, ...]]:
    """All images of the class folders, in the order of their names; hidden ones are none."""
    names = tuple(sorted(one.name for one in folder.iterdir() if one.is_dir() and _visible(one)))
    if labels is not None and names != labels:
        odd = ", ".join(sorted(set(names) ^ set(labels)))
        raise InvalidData(f"{folder}: its class folders are not those of train/: {odd}")
    files = [
        (path, index)
        for index, name in enumerate(names)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in IMAGE_ENDINGS and _visible(path)
    ]
    if len(names) < 2 or not files:
        raise InvalidData(
            f"{folder} holds neither IDX files nor at least two class folders with images "
            f"({', '.join(IMAGE_ENDINGS)})"
        )
    empty = sorted(set(range(len(names))) - {index for _, index in files})
    if empty:
        raise InvalidData(
            f"{folder / names[empty[0]]} holds no image ({', '.join(IMAGE_ENDINGS)}); remove it if "
            "it is no class"
        )
    return files, names


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__"))


def _numbers(files: list[File]) -> Array:
    return np.array([index for _, index in files], np.int32)


def _read(files: list[File], reading: Reading) -> Array:
    """Images as (N, height, width, channels) of bytes, grey where all are."""
    sizes = [image_size(path) for path, _ in files]
    size = reading.resize or sizes[0]
    for (path, _), found in zip(files, sizes, strict=True):
        if found != size and reading.resize is None:
            raise InvalidData(
                f"{path} has {by(found)} pixels, {files[0][0].name} has {by(size)}; all need one "
                f"size: --resize {size[0]}x{size[1]} brings them to one"
            )
    check_room(4 * 3 * len(files) * size[0] * size[1], str(files[0][0].parent.parent))
    tf = tensorflow()
    images: list[Array] = []
    for path, _ in files:
        try:
            image = tf.io.decode_image(path.read_bytes(), expand_animations=False).numpy()
        except (tf.errors.InvalidArgumentError, OSError) as damage:
            raise InvalidData(
                f"{path} is damaged or no image; remove it or save it again"
            ) from damage
        image = _opaque(image, path)
        if reading.resize is not None and image.shape[:2] != size:
            small = tf.image.resize(image, size, antialias=True).numpy()
            image = np.clip(np.round(small), 0, 255).astype(np.uint8)
        images.append(image)
    channels = max(image.shape[-1] for image in images)
    return np.stack([np.broadcast_to(one, (*one.shape[:2], channels)) for one in images])


def _values(images: Array, reading: Reading) -> tuple[Array, Inputs]:
    """Pixels as float32, in [0, 1] unless something else was asked."""
    factor = reading.factor or 1 / 255
    low, high = float(images.min()), float(images.max())
    x: Array = images.astype(np.float32)
    x /= np.float32(1 / factor)
    return x, Inputs("uint8", low, high, factor, reading.factor is not None)


def _opaque(image: Array, path: Path) -> Array:
    """An image without its transparency, which a network would not see."""
    if image.shape[-1] in (1, 3):
        return image
    if (image[..., -1] != 255).any():
        raise InvalidData(f"{path} has transparent pixels; save it without an alpha channel")
    return image[..., :-1]


def image_size(path: Path) -> tuple[int, int]:
    """Height and width, read from an image's header; nothing is decoded.

    Raises:
        InvalidData: it is no image, too large, or of a kind that would lose information.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    size = None
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) > 25:
        size = struct.unpack(">II", head[16:24])[::-1]
        if head[24] == 16:
            raise InvalidData(f"{path} has 16 bits a colour; save it with 8, or give arrays (.npz)")
    elif head[:6] in (b"GIF87a", b"GIF89a") and len(head) > 10:
        size = struct.unpack("<HH", head[6:10])[::-1]
    elif head[:2] == b"BM" and len(head) > 26:
        width, height = struct.unpack("<ii", head[18:26])
        size = abs(height), abs(width)
    elif head[:2] == b"\xff\xd8":
        size = _jpeg_size(path)
    if size is None or min(size) < 1:
        raise InvalidData(f"{path} is damaged or no image; remove it or save it again")
    if size[0] * size[1] > MOST_PIXELS:
        raise InvalidData(
            f"{path} has {size[0]}×{size[1]} pixels; {MOST_PIXELS:,} are the most: save it smaller"
        )
    return int(size[0]), int(size[1])


def _jpeg_size(path: Path) -> tuple[int, int] | None:
    """The size that the frame header of a JPEG says."""
    data, at = path.read_bytes(), 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack(">HHB", data[at + 5 : at + 10])
            if components == 4:
                raise InvalidData(f"{path} is a CMYK image; save it as RGB")
            return height, width
        length = 0 if marker == 0xFF else int.from_bytes(data[at + 2 : at + 4], "big")
        at += 1 if marker == 0xFF else 2 + length
        if marker != 0xFF and length < 2:
            return None
    return None
