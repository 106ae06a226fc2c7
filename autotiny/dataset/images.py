"""Images in one folder a class, sizes looked at before anything is decoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autotiny.dataset.folders import Kind, listed
from autotiny.dataset.headers import image_size
from autotiny.dataset.pile import Pile
from autotiny.dataset.reading import AS_STORED, Reading, check_room
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import empty, let_go
from autotiny.model import tensorflow
from autotiny.tasks import shape_text

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
OTHER_ENDINGS = (
    ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".jxl", ".tga",
    ".ppm", ".pgm", ".pbm", ".pnm", ".svg", ".ico",
)  # fmt: skip
IMAGES = Kind("image", "images", IMAGE_ENDINGS, OTHER_ENDINGS, "save it as PNG or JPEG")


def images(folder: Path, reading: Reading = AS_STORED) -> Pile:
    """Images in one folder a class; or such folders under train/ and test/ (and val/).

    x is (N, height, width, channels) of bytes.

    Args:
        folder: of class folders.
        reading: the size that images are brought to, by default all need one; and whether folders
            in class folders are groups.

    Raises:
        InvalidData: a file is damaged, of another size, or of a kind that is not read.
    """
    reading.check_only(("resize", "group"), "a folder of images")
    found = listed(folder, IMAGES, reading.group)
    return Pile(
        folder.name, _read(found.files, reading), found.classes, found.labels, found.groups,
        found.parts, notes=(*found.group_notes, *found.split_notes),
    )  # fmt: skip


def _read(files: Sequence[Path], reading: Reading) -> Array:
    """Images as (N, height, width, channels) of bytes, grey where all are."""
    sizes = [image_size(path) for path in files]
    size = reading.resize or sizes[0]
    for path, found in zip(files, sizes, strict=True):
        if found != size and reading.resize is None:
            raise InvalidData(
                f"{path} has {shape_text(found)} pixels, {files[0].name} has "
                f"{shape_text(size)}; all need one size: --resize {size[0]}x{size[1]} brings them "
                "to one"
            )
    where = str(files[0].parent.parent)
    shape = (len(files), *size, 3)
    check_room(4 * math.prod(shape), where, in_file=math.prod(shape))
    tf = tensorflow()
    x, channels = empty(shape, np.uint8, where), 1
    for row, path in enumerate(files):
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
        x[row], channels = image, max(channels, image.shape[-1])
        let_go(x)
    return x[..., :channels]


def _opaque(image: Array, path: Path) -> Array:
    """An image without its transparency, which a network would not see."""
    if image.shape[-1] in (1, 3):
        return image
    if (image[..., -1] != 255).any():
        raise InvalidData(f"{path} has transparent pixels; save it without an alpha channel")
    return image[..., :-1]
