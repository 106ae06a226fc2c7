"""What is made of stored inputs and labels, and what is refused because it could mean two things.

Nothing is guessed: bytes become [0, 1] and that is said; what else a type leaves open is decided by
`Reading`, or refused with the readings there are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from autotiny.errors import InvalidData, shown
from autotiny.graph import Array
from autotiny.machine import memory_bytes
from autotiny.mapped import blocks, is_large, is_mapped, made

MOST_CLASSES = 1 << 16
LARGEST_INPUT = 1e18
"""Beyond it the square of a number is none in float32."""


@dataclass(frozen=True)
class Reading:
    """What a user asks of inputs.

    Attributes:
        scale: what stored numbers are multiplied by: "none", a number, or a fraction such as
            "1/255"; None leaves it to the type where that is plain.
        resize: height and width that images are brought to.
        label: the columns of a table that are to be predicted: names or numbers from 1, separated
            by commas.
        group: the column of a table whose rows of one value stay in one split; "folder" where
            folders in class folders do.
        window: how long a sample is: rows of a table or samples of a sound, "128", or a time,
            "1s" or "500ms".
        hop: from the beginning of one window to that of the next, likewise.
        rate: samples a second that sounds are brought to.
        ignore: columns of a table that are left out, as `label` names them.
        front: front ends before a network that takes features, as a recipe's text has them.
        input_shape: sizes of the model's input that its file leaves open, "1x3x32x32", or of
            several inputs, "image=1x3x32x32,mask=1x32".
    """

    scale: str | None = None
    resize: tuple[int, int] | None = None
    label: str | None = None
    group: str | None = None
    window: str | None = None
    hop: str | None = None
    rate: str | None = None
    ignore: str | None = None
    front: str | None = None
    input_shape: str | None = None

    def __post_init__(self) -> None:
        """Refuses what is no factor, size, column, length or rate."""
        _ = self.factor, self.hertz
        for name in ("window", "hop"):
            if getattr(self, name) is not None:
                _ = self._length(name)
        for name in ("label", "group", "ignore"):
            column = getattr(self, name)
            if column is not None and not column.strip(", "):
                raise InvalidData(
                    f"{name} = {shown(column)}; it must be the name of a column, or its number"
                )
        if self.resize is not None and not all(0 < size <= 4096 for size in self.resize):
            raise InvalidData(f"resize = {self.resize}; height and width must be from 1 to 4096")

    @property
    def factor(self) -> float | None:
        """What stored numbers are multiplied by; None if it was not said."""
        if self.scale is None:
            return None
        if self.scale == "none":
            return 1.0
        found = re.fullmatch(r"([0-9.eE+-]+)(?:/([0-9.eE+-]+))?", self.scale.strip())
        try:
            factor = float(found[1]) / float(found[2] or 1) if found else 0.0
        except (ValueError, ZeroDivisionError):
            factor = 0.0
        if not 0 < factor < LARGEST_INPUT:
            raise InvalidData(
                f"scale = {shown(self.scale)}; it must be 'none', a positive number, or a fraction "
                "such as 1/255"
            )
        return factor

    @property
    def hertz(self) -> int | None:
        """Samples a second that sounds are brought to; None if it was not said."""
        if self.rate is None:
            return None
        text = self.rate.strip()
        if not re.fullmatch("[0-9]{4,6}", text) or not 1000 <= int(text) <= 384_000:
            raise InvalidData(
                f"rate = {shown(self.rate)}; it must be a whole number of samples a second from "
                "1000 to 384000, e.g. 16000"
            )
        return int(text)

    def steps(self, name: str, rate: int | None = None) -> int | None:
        """`window` or `hop` in rows or samples; None if it was not said.

        Args:
            name: which of the two.
            rate: samples a second; None for a table, which has none.

        Raises:
            InvalidData: it is a time and there is no rate, or shorter than one sample.
        """
        if getattr(self, name) is None:
            return None
        length, is_time = self._length(name)
        if not is_time:
            return int(length)
        if rate is None:
            raise InvalidData(
                f"{name} = {shown(getattr(self, name))}; a table has no rate: give it in rows, "
                "e.g. 128"
            )
        steps = round(length * rate)
        if steps < 1:
            raise InvalidData(
                f"{name} = {shown(getattr(self, name))} is no sample at {rate:,} Hz; give a longer "
                "one"
            )
        return steps

    def _length(self, name: str) -> tuple[float, bool]:
        """Rows or samples; or seconds, and then True."""
        text = getattr(self, name)
        found = re.fullmatch(r"([0-9]{1,9})|([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s)", text.strip())
        length = float(found[1] or found[2]) if found else 0.0
        if not found or length == 0:
            raise InvalidData(
                f"{name} = {shown(text)}; it must be a number of rows or samples such as 128, or a "
                "time such as 1s or 500ms"
            )
        return length / (1000 if found[3] == "ms" else 1), found[3] is not None

    def check_only(self, taken: Collection[str], source: str) -> None:
        """Refuses what was asked and a source cannot do.

        Args:
            taken: fields that it takes beside `scale`.
            source: what it is, e.g. "a table".

        Raises:
            InvalidData: another field is given.
        """
        for name in self.to_dict():
            if name not in ("scale", "front", *taken):
                raise InvalidData(
                    f"--{name} {shown(getattr(self, name))} is given, but {source} takes "
                    f"{', '.join(f'--{one}' for one in taken) or 'no such option'}: leave it out"
                )

    @classmethod
    def of(
        cls,
        scale: str | float | None = None,
        resize: str | Sequence[int] | None = None,
        *,
        label: str | int | None = None,
        group: str | int | None = None,
        window: str | int | None = None,
        hop: str | int | None = None,
        rate: str | int | None = None,
        ignore: str | int | None = None,
        front: str | None = None,
        input_shape: str | None = None,
    ) -> Reading:
        """From what a user gives: a factor as text or number, a size as "32x32" or a pair.

        Columns, lengths and the rate may be numbers too.
        """
        text = "x".join(map(str, resize)) if isinstance(resize, (list, tuple)) else resize
        found = re.fullmatch(r"([0-9]{1,4})[x×]([0-9]{1,4})", str(text).strip())
        if resize is not None and not found:
            raise InvalidData(f"resize = {shown(resize)}; it must be HEIGHTxWIDTH, e.g. 96x96")
        size = (int(found[1]), int(found[2])) if found else None
        texts = (label, group, window, hop, rate, ignore, front, input_shape)
        asked = (None if text is None else str(text) for text in texts)
        return cls(None if scale is None else str(scale), size, *asked)

    def to_dict(self) -> dict[str, object]:
        """What was asked, as plain data; `of` takes it."""
        asked = vars(self) | {"resize": list(self.resize) if self.resize else None}
        return {name: value for name, value in asked.items() if value is not None}


AS_STORED = Reading()


@dataclass(frozen=True)
class Inputs:
    """How inputs were stored, and what was made of them.

    Attributes:
        type: as it was stored, e.g. "uint8".
        low: the least stored number.
        high: the greatest.
        factor: what they were multiplied by.
        asked: whether the user said so.
    """

    type: str
    low: float
    high: float
    factor: float
    asked: bool

    def __str__(self) -> str:
        made = "as they are" if self.factor == 1 else f"times {self.factor:.6g}"
        if not self.asked and self.factor != 1:
            made = f"divided by {1 / self.factor:.6g}, as is usual for {self.type}"
        return f"{self.type} from {self.low:.6g} to {self.high:.6g}, {made}"


def scaled(parts: dict[str, Array], name: str, reading: Reading) -> tuple[dict[str, Array], Inputs]:
    """Arrays of inputs, (N, …) each, as float32, and how they were understood.

    Raises:
        InvalidData: they are no numbers, or it is open what they mean.
    """
    inputs = understood(parts, name, reading)
    return {part: as_floats(x, None, inputs, name) for part, x in parts.items()}, inputs


def understood(parts: dict[str, Array], name: str, reading: Reading) -> Inputs:
    """How arrays of inputs, (N, …) each, are to be read.

    Raises:
        InvalidData: they are no numbers, or it is open what they mean.
    """
    for part, x in parts.items():
        if x.ndim < 2:
            raise InvalidData(
                f"{name}: {part} needs a sample axis and at least one more; it has shape {x.shape}"
            )
        if x.dtype.kind not in "iubf":
            raise InvalidData(f"{name}: inputs are of type {x.dtype}; numbers are needed")
        if x.size == 0:
            raise InvalidData(f"{name}: {part} is empty, its shape is {x.shape}")
        if x.dtype.kind == "f" and not all(np.isfinite(block).all() for block in blocks(x)):
            raise InvalidData(f"{name} holds NaN or infinity; remove those samples")
    types = {x.dtype.name for x in parts.values()}
    low = min(float(block.min()) for x in parts.values() for block in blocks(x))
    high = max(float(block.max()) for x in parts.values() for block in blocks(x))
    factor = reading.factor
    if len(types) > 1 and factor != 1:
        raise InvalidData(
            f"{name}: inputs are of several types, {', '.join(sorted(types))}; give all in one"
        )
    if factor is None:
        factor = _usual(next(iter(parts.values())).dtype, low, high, name)
    if max(abs(low), abs(high)) * factor > LARGEST_INPUT:
        raise InvalidData(
            f"{name}: inputs reach {max(abs(low), abs(high)):.3g}, which float32 cannot compute "
            f"with (at most {LARGEST_INPUT:g}); remove those samples, or give --scale"
        )
    return Inputs(", ".join(sorted(types)), low, high, factor, reading.factor is not None)


def as_floats(x: Array, rows: Array | None, inputs: Inputs, name: str) -> Array:
    """Rows of stored inputs as float32, (n, …); large ones in a file.

    Args:
        x: (N, …) as it is stored.
        rows: which of them; None for all.
        inputs: how they are read.
        name: what messages call them.
    """
    as_stored = inputs.factor == 1 and x.dtype == np.dtype(np.float32) and x.flags.c_contiguous
    if rows is None and as_stored and is_mapped(x):
        return x
    return made(x, rows, lambda some: _times(some, inputs.factor), name)


def _times(x: Array, factor: float) -> Array:
    """Stored numbers times a factor, in float32."""
    if factor == 1:
        return x.astype(np.float32)
    exact = x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
    made: Array = (exact / (1 / factor)).astype(np.float32)
    return made


def _usual(dtype: np.dtype[np.generic], low: float, high: float, name: str) -> float:
    """The factor that a type has everywhere."""
    if dtype.kind in "fb":
        return 1.0
    if dtype == np.uint8:
        return 1 / 255
    bits = 8 * dtype.itemsize
    wide = "1/255" if low >= 0 and high <= 255 else f"1/{1 << (bits - (dtype.kind == 'i'))}"
    raise InvalidData(
        f"{name}: inputs are {dtype.name} from {low:.0f} to {high:.0f}, which could mean two "
        f"things; give --scale none to take them as they are, or e.g. --scale {wide} to divide them"
    )


@dataclass(frozen=True, eq=False)
class Targets:
    """What samples are to be answered with, before a task reads it.

    Attributes:
        values: (N, …): whole numbers (int32, or int64 where they need it) or fractions (float32).
        names: of the classes that whole numbers stand for, where there are some.
        count: how many classes there are, where the targets say it: by names or width of rows.
    """

    values: Array
    names: tuple[str, ...] = ()
    count: int | None = None


def targets_of(y: Array, name: str, known: tuple[str, ...] | None = None) -> Targets:
    """Targets from numbers, names of classes, or rows; rows with a single 1 are class numbers.

    Args:
        y: (N, …).
        name: of the data, for messages.
        known: names of the classes, where another split has given them already.

    Raises:
        InvalidData: they are neither numbers nor text, or NaN.
    """
    if y.dtype.kind not in "iufbUS":
        raise InvalidData(f"{name}: labels are of type {y.dtype}; numbers or names are needed")
    if y.ndim == 0 or y.size == 0:
        raise InvalidData(f"{name}: labels have shape {y.shape}; one a sample is needed")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.reshape(-1)
    if y.dtype.kind in "US":
        if y.ndim > 1:
            raise InvalidData(f"{name}: labels have shape {y.shape}; one name a sample is needed")
        return _from_names(y, name, known)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y).reshape(len(y), -1).all(axis=1))[0])
        raise InvalidData(f"{name}: the label of sample {row} is NaN or infinite; remove it")
    if _is_one_hot(y):
        return Targets(np.argmax(y, axis=1).astype(np.int32), count=y.shape[1])
    return Targets(y.astype(np.float32) if y.dtype.kind == "f" else _compact(y))


def _is_one_hot(y: Array) -> bool:
    """Whether each row has one 1 and else 0."""
    return y.ndim == 2 and bool(((y == 0) | (y == 1)).all() and ((y == 1).sum(axis=1) == 1).all())


def _compact(y: Array) -> Array:
    """Whole numbers in 32 bits where they fit, so that equal ones have equal bytes."""
    limits = np.iinfo(np.int32)
    fits = int(y.min()) >= limits.min and int(y.max()) <= limits.max
    return y.astype(np.int32 if fits else np.int64)


def _from_names(y: Array, name: str, known: tuple[str, ...] | None) -> Targets:
    """Numbers of class names in the order of the alphabet."""
    texts = np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y
    names = known or tuple(str(text) for text in np.unique(texts))
    unknown = sorted(set(texts.tolist()) - set(names))
    if unknown:
        raise InvalidData(
            f"{name}: the class {shown(unknown[0])} has no sample in train, which has "
            f"{', '.join(map(shown, names[:8]))}"
        )
    if len(names) > MOST_CLASSES:
        raise InvalidData(f"{name} has {len(names):,} classes; {MOST_CLASSES:,} are the most")
    order = {text: number for number, text in enumerate(names)}
    return Targets(np.array([order[str(text)] for text in texts], np.int32), names, len(names))


def check_alike(given: Targets, train: Targets, part: str, name: str) -> None:
    """Refuses a split whose targets are of another kind than those that training sees.

    Raises:
        InvalidData: e.g. names in one and numbers in the other.
    """
    if given.count != train.count:
        kinds = [
            "names" if one.names else f"rows of {one.count}" if one.count else "numbers"
            for one in (train, given)
        ]
        raise InvalidData(
            f"{name}: labels of train are {kinds[0]}, those of {part} {kinds[1]}; give one kind"
        )


def check_room(bytes_: int, name: str, *, in_file: int = 0) -> None:
    """Refuses data that this machine should not try to hold.

    Args:
        bytes_: that it takes in memory.
        name: what messages call it.
        in_file: that it takes where it is kept in a file if it is large: no memory then.

    Raises:
        InvalidData: it takes more than a quarter of the memory.
    """
    most = memory_bytes() // 4
    if bytes_ > most and not is_large(in_file):
        raise InvalidData(
            f"{name} takes {bytes_:,} bytes as float32; at most {most:,}, a quarter of this "
            "machine's memory, are taken: use fewer samples, or --resize for images"
        )
