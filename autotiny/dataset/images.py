"""Images in one folder a class, sizes looked at before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autotiny.dataset.folders import File, Kind, class_files, class_numbers, split_folders
from autotiny.dataset.headers import image_size
from autotiny.dataset.reading import AS_STORED, Inputs, Labels, Reading, check_room
from autotiny.dataset.samples import Dataset, by, dataset_of, split_all, split_train
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.model import tensorflow

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
OTHER_ENDINGS = (
    ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".jxl", ".tga",
    ".ppm", ".pgm", ".pbm", ".pnm", ".svg", ".ico",
)  # fmt: skip
IMAGES = Kind("image", "images", IMAGE_ENDINGS, OTHER_ENDINGS, "save it as PNG or JPEG")


def class_folders(folder: Path, seed: int, reading: Reading = AS_STORED) -> Dataset:
    """Images in one folder a class; or such folders under train/ and test/ (and val/)."""
    parts = split_folders(folder, IMAGES)
    if not parts:
        files, labels = class_files(folder, None, IMAGES)
        images = _read(files, reading)
        x, inputs = _values(images, reading)
        return split_all(folder.name, x, Labels(class_numbers(files), labels), seed, inputs=inputs)
    files, labels = class_files(parts["train"], None, IMAGES)
    found = {"train": files}
    for part, place in parts.items():
        if part != "train":
            found[part] = class_files(place, labels, IMAGES)[0]
    every = [file for files in found.values() for file in files]
    images = _read(every, reading)
    x, inputs = _values(images, reading)
    xs, ys, begin = {}, {}, 0
    for part, files in found.items():
        xs[part], begin = x[begin : begin + len(files)], begin + len(files)
        ys[part] = class_numbers(files)
    if "validation" in xs:
        order = ("train", "validation", "test")
        return dataset_of(
            folder.name, tuple(xs[part] for part in order), tuple(ys[part] for part in order),
            labels, inputs=inputs,
        )  # fmt: skip
    y, y_test = Labels(ys["train"], labels), Labels(ys["test"], labels)
    return split_train(folder.name, xs["train"], y, xs["test"], y_test, seed, inputs)


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
