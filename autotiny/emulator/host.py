"""The same C, compiled for the machine autotiny runs on: accuracy over thousands of samples."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from autotiny.emulator.layout import FIRMWARE
from autotiny.emulator.ports import port_bytes, port_rows, sample_shape
from autotiny.emulator.toolchain import zig_cc
from autotiny.engine.sources import Port, Sources
from autotiny.errors import LinkError
from autotiny.graph import Array

_FLAGS = ("-std=gnu11", "-O2", "-g0", "-fno-math-errno", "-fno-sanitize=undefined", "-fPIC")


class _Port(ctypes.Structure):
    _fields_ = (
        ("offset", ctypes.c_size_t),
        ("bytes", ctypes.c_size_t),
        ("samples", ctypes.c_void_p),
    )


class HostModel:
    """A model compiled for this machine; its arena is static, so threads take turns."""

    def __init__(
        self, library: ctypes.CDLL, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._predict = library.autotiny_predict
        self._predict.restype = None
        self._predict.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_size_t,
            ctypes.c_int,
        )
        self._turn = threading.Lock()
        weakref.finalize(self, _unload, library._handle)

    def predict(self, inputs: Array | Sequence[Array], *, keep_state: bool = False) -> Array:
        """The first output of every row: (N, *output shape) in its stored type.

        Args:
            inputs: (N, *input shape) in the stored type; one array a port, if there are several.
            keep_state: whether a row finds the state that the row before left behind, as the steps
                of a sequence do; otherwise every row starts afresh.

        Raises:
            InvalidData: an array does not fit its port.
        """
        return self.predict_all(inputs, keep_state=keep_state)[0]

    def predict_all(
        self, inputs: Array | Sequence[Array], *, keep_state: bool = False
    ) -> tuple[Array, ...]:
        """Every output port's (N, *output shape)."""
        arrays = port_rows(self.inputs, inputs)
        count = len(arrays[0]) if arrays else 1
        results = tuple(
            np.zeros((count, *sample_shape(port)), np.dtype(port.dtype)) for port in self.outputs
        )
        with self._turn:
            self._predict(
                _ports(self.inputs, arrays),
                len(arrays),
                _ports(self.outputs, results),
                len(results),
                count,
                keep_state,
            )
        return results


def build_host(sources: Sources) -> HostModel:
    """Compile a model for this machine and load it; nothing stays on disk.

    Raises:
        LinkError: the compiler refused the sources.
    """
    loop = (FIRMWARE / "host.c").read_text(encoding="utf-8")
    reset = f"void {sources.name}_reset(void);"
    if not any(reset in text for text in sources.files.values()):
        loop = loop.replace("AUTOTINY_RESET();", "")
    for word in ("arena", "run", "reset"):
        loop = loop.replace(f"AUTOTINY_{word.upper()}", f"{sources.name}_{word}")
    files = {**sources.files, "host.c": loop}
    # Windows cannot delete a library that is loaded
    with TemporaryDirectory(prefix="autotiny-", ignore_cleanup_errors=os.name == "nt") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
        units = sorted(name for name in files if name.endswith(".c"))
        complaint = zig_cc(["-shared", *_FLAGS, *units, "-o", "model.so"], Path(folder))
        if complaint:
            raise LinkError(f"the compiler refused the sources of {sources.name}:\n{complaint}")
        library = ctypes.CDLL(str(Path(folder) / "model.so"))
    return HostModel(library, sources.inputs, sources.outputs)


def _ports(ports: Sequence[Port], arrays: Sequence[Array]) -> ctypes.Array[_Port]:
    return (_Port * len(ports))(
        *(
            _Port(port.offset, port_bytes(port), array.ctypes.data)
            for port, array in zip(ports, arrays, strict=True)
        )
    )


def _unload(handle: int) -> None:
    """Give a library's memory back: a search builds hundreds."""
    if os.name == "nt":
        _ctypes.FreeLibrary(handle)  # type: ignore[attr-defined,unused-ignore]
    else:
        _ctypes.dlclose(handle)
