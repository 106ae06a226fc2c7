"""Images in one folder a class, sizes looked at before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autotiny.dataset.headers import image_size
from autotiny.dataset.reading import AS_STORED, Inputs, Reading, Targets, check_room
from autotiny.dataset.samples import Dataset, dataset_of, split_all, split_train
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array
from autotiny.model import tensorflow
from autotiny.tasks import shape_text

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
OTHER_ENDINGS = (
    ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".jxl", ".tga",
    ".ppm", ".pgm", ".pbm", ".pnm", ".svg", ".ico",
)  # fmt: skip
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


def class_folders(folder: Path, seed: int, reading: Reading = AS_STORED) -> Dataset:
    """Images in one folder a class; or such folders under train/ and test/ (and val/)."""
    parts = _parts(folder)
    if not parts:
        files, labels = _listed(folder, None)
        images = _read(files, reading)
        x, inputs = _values(images, reading)
        return split_all(folder.name, x, Targets(_numbers(files), labels), seed, inputs=inputs)
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
            labels, len(labels), inputs, given=True,
        )  # fmt: skip
    y, y_test = Targets(ys["train"], labels), Targets(ys["test"], labels)
    return split_train(folder.name, xs["train"], y, xs["test"], y_test, seed, inputs)


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of the splits, where there are some; a class may have the name of one."""
    inside = _folders(folder)
    parts = {
        part: [one for one in inside if one.name.lower() in SPLIT_NAMES[part]]
        for part in SPLIT_NAMES
    }
    if not any(_folders(one) for found in parts.values() for one in found):
        return {}
    for found in parts.values():
        if len(found) > 1:
            raise InvalidData(
                f"{folder} has {found[0].name}/ and {found[1].name}/, which mean the same split; "
                "join or remove one"
            )
    lacking = [part for part in ("train", "test") if not parts[part]]
    if lacking:
        present = " and ".join(f"{found[0].name}/" for found in parts.values() if found)
        raise InvalidData(
            f"{folder} has {present} and no {lacking[0]}/; put class folders with images there, or "
            "all class folders directly into one folder"
        )
    others = [one.name for one in inside if [one] not in parts.values()]
    if others:
        raise InvalidData(
            f"{folder} has {others[0]}/ beside train/ and test/; splits are called train, "
            "validation and test: rename or move it"
        )
    return {part: found[0] for part, found in parts.items() if found}


File = tuple[Path, int]
"""An image and its class."""


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and _visible(one))


def _listed(folder: Path, labels: tuple[str, ...] | None) -> tuple[list[File], tuple[str, ...]]:
    """All images of the class folders, in the order of their names; hidden ones are none.

    Args:
        folder: that the class folders lie in.
        labels: the classes, where train has given them already; this split may lack some.
    """
    inside = _folders(folder)
    names = labels or tuple(one.name for one in inside)
    odd = [one.name for one in inside if one.name not in names]
    if odd:
        raise InvalidData(f"{folder} has the class {shown(odd[0])}, which train/ lacks")
    files = [(path, names.index(one.name)) for one in inside for path in _images(one)]
    if len(names) < 2 or not files:
        raise InvalidData(
            f"{folder} holds neither IDX files nor at least two class folders with images "
            f"({', '.join(IMAGE_ENDINGS)})"
        )
    empty = sorted(set(range(len(names))) - {index for _, index in files})
    if empty and labels is None:
        raise InvalidData(
            f"{folder / names[empty[0]]} holds no image ({', '.join(IMAGE_ENDINGS)}); remove it if "
            "it is no class"
        )
    return files, names


def _images(folder: Path) -> list[Path]:
    """The images of a class; what may be one and cannot be read is not left out silently."""
    visible = [path for path in sorted(folder.iterdir()) if _visible(path)]
    for path in visible:
        if path.suffix.lower() in OTHER_ENDINGS:
            raise InvalidData(
                f"{path} is of a kind that is not read; save it as PNG or JPEG, or remove it"
            )
        if path.is_dir():
            raise InvalidData(
                f"{path} is a folder in a class folder; move its images up, or remove it"
            )
    return [path for path in visible if path.suffix.lower() in IMAGE_ENDINGS]


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
                f"{path} has {shape_text(found)} pixels, {files[0][0].name} has "
                f"{shape_text(size)}; all need one size: --resize {size[0]}x{size[1]} brings them "
                "to one"
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
