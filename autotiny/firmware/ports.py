"""Arrays at a model's ports: their shapes, types and bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autotiny.engine.sources import Port
from autotiny.errors import InvalidData
from autotiny.graph import ITEM_BYTES, Array


def sample_shape(port: Port) -> tuple[int, ...]:
    """The shape of one sample, without the batch of 1."""
    return port.shape[1:] if port.shape[:1] == (1,) else port.shape


def port_rows(ports: Sequence[Port], inputs: Array | Sequence[Array]) -> list[Array]:
    """The inputs as one array (rows, *sample shape) a port, in the port's type.

    Raises:
        InvalidData: number, shape or type of the arrays is not that of the ports.
    """
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(arrays) != len(ports):
        raise InvalidData(f"{len(arrays)} input arrays for a model with {len(ports)} inputs")
    shaped = []
    for array, port in zip(arrays, ports, strict=True):
        shape = sample_shape(port)
        if array.dtype != np.dtype(port.dtype) or array.size % max(int(np.prod(shape)), 1):
            raise InvalidData(
                f"input {port.name!r} takes {port.dtype} rows of shape {shape}; "
                f"got {array.dtype} of shape {array.shape}"
            )
        shaped.append(np.ascontiguousarray(array).reshape(-1, *shape))
    if len({len(array) for array in shaped}) != 1:
        raise InvalidData(
            f"inputs differ in their number of rows: {[len(array) for array in shaped]}"
        )
    return shaped


def some_rows(ports: Sequence[Port], count: int = 1) -> list[Array]:
    """Seeded rows for each port, where there is no data."""
    generator = np.random.default_rng(0)
    rows: list[Array] = []
    for port in ports:
        shape = (count, *sample_shape(port))
        if port.dtype.startswith("float"):
            rows.append(generator.standard_normal(shape).astype(port.dtype))
        elif port.dtype == "bool":
            rows.append(generator.integers(0, 2, shape).astype(bool))
        else:
            limits = np.iinfo(port.dtype)
            rows.append(
                generator.integers(limits.min, limits.max, shape, port.dtype, endpoint=True)
            )
    return rows


def port_bytes(port: Port) -> int:
    """Bytes of one sample."""
    return int(np.prod(port.shape, dtype=np.int64)) * ITEM_BYTES[port.dtype]
