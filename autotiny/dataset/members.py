"""Arrays inside of an `.npz` file, which is a zip archive: large ones stay in a file."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from autotiny.dataset.reading import check_room
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array
from autotiny.mapped import BLOCK, is_large
from autotiny.scratch import new_file

LOCAL_HEADER = 30
"""Bytes before the name of a member; the lengths of name and extra field are its last four.

PKWARE, "APPNOTE.TXT: .ZIP File Format Specification", 4.3.7.
"""


def npy_header(
    file: IO[bytes], size: int, where: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What the header of an array says, which its size must agree with.

    Args:
        file: at its beginning; then behind the header.
        size: of it, in bytes.
        where: what messages call it.

    Raises:
        InvalidData: it is no plain array, or damaged; `DAMAGES` where its header cannot be read.
    """
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise InvalidData(f"{where} is of npy version {version}; 1 and 2 are read")
    shape, fortran, dtype = read(file)
    if dtype.hasobject or dtype.fields is not None or dtype.kind not in "iufbUS":
        raise InvalidData(
            f"{where} is of type {shown(dtype)}; plain arrays of numbers or text are read"
        )
    wanted, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if any(type(size) is not int or size < 0 for size in shape) or wanted != held:
        raise InvalidData(
            f"{where} has the shape {shown(shape)}, {wanted:,} bytes, but holds {held:,}; it is "
            "damaged"
        )
    return shape, fortran, dtype


def member_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, before: int
) -> tuple[Array, int]:
    """An array of an archive, and how many bytes it takes in memory as float32.

    A large one is mapped: in the archive if it is stored there as it is, else unpacked into a file
    of this process, in blocks. Either way all of it is read once, as zipfile checks its sum.

    Args:
        archive: that is open.
        member: the file in it.
        path: of the archive.
        before: bytes that its arrays before this one take.

    Raises:
        InvalidData: it is no plain array, or too large for this machine.
    """
    where = f"{path}: {member.filename}"
    with archive.open(member) as file:
        shape, fortran, dtype = npy_header(file, member.file_size, where)
        size, begin = math.prod(shape) * dtype.itemsize, file.tell()
        if is_large(size) and dtype.kind in "iufb":
            if member.compress_type == zipfile.ZIP_STORED:
                while file.read(BLOCK):
                    pass
                source, begin = path, begin + _data_offset(path, member)
            else:
                source, begin = _unpacked(file, size, where), 0
            return np.memmap(source, dtype, "r", begin, shape, "F" if fortran else "C"), 0
    bytes_ = 4 * math.prod(shape) * max(1, dtype.itemsize // 4)
    check_room(before + bytes_, str(path))
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False), bytes_


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin in its archive."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(LOCAL_HEADER)
    name, extra = header[26:28], header[28:30]
    lengths = int.from_bytes(name, "little") + int.from_bytes(extra, "little")
    return member.header_offset + LOCAL_HEADER + lengths


def _unpacked(file: IO[bytes], size: int, where: str) -> Path:
    """A file of this process with what a member still holds."""
    path = new_file(size, where)
    with path.open("r+b") as out:
        while block := file.read(BLOCK):
            out.write(block)
    return path
