"""The same C, compiled for the machine autotiny runs on: accuracy over thousands of samples.

It runs in a process of its own. A crash of the generated code ends that process and one trial.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np

from autotiny.engine.sources import Port, Sources
from autotiny.errors import FirmwareFault, LinkError
from autotiny.firmware.instance import calls_of
from autotiny.firmware.layout import C_FILES
from autotiny.firmware.ports import port_bytes, port_rows, sample_shape
from autotiny.firmware.zig import check_killed, zig_cc
from autotiny.graph import Array

_FLAGS = ("-std=gnu11", "-g0", "-fno-math-errno", "-fno-sanitize=undefined")

_SHORT_READ, _SHORT_WRITE = 1, 2
"""Exit codes of `host.c`."""


class HostModel:
    """A model compiled for this machine; its program stays on disk as long as this lives."""

    def __init__(self, sources: Sources, folder: TemporaryDirectory[str], program: Path) -> None:
        self.inputs = sources.inputs
        self.outputs = sources.outputs
        self._name = sources.name
        self._program = program
        weakref.finalize(self, folder.cleanup)

    def predict(self, inputs: Array | Sequence[Array], *, keep_state: bool = False) -> Array:
        """The first output of every row: (N, *output shape) in its stored type.

        Args:
            inputs: (N, *input shape) in the stored type; one array a port, if there are several.
            keep_state: whether a row finds the state that the row before left behind, as the steps
                of a sequence do; otherwise every row starts afresh.

        Raises:
            InvalidData: an array does not fit its port.
            FirmwareFault: the program crashed.
        """
        return self.predict_all(inputs, keep_state=keep_state)[0]

    def predict_all(
        self, inputs: Array | Sequence[Array], *, keep_state: bool = False
    ) -> tuple[Array, ...]:
        """Every output port's (N, *output shape)."""
        arrays = port_rows(self.inputs, inputs)
        count = len(arrays[0]) if arrays else 1
        samples = [array.reshape(count, -1).view(np.uint8) for array in arrays if count]
        # files rather than pipes: they take a whole data set at the speed of memory
        with (
            TemporaryFile(prefix="autotiny-") as stdin,
            TemporaryFile(prefix="autotiny-") as stdout,
        ):
            if samples:
                (samples[0] if len(samples) == 1 else np.hstack(samples)).tofile(stdin)
            stdin.seek(0)
            command = [str(self._program), str(count), str(int(keep_state))]
            code = subprocess.run(command, stdin=stdin, stdout=stdout, check=False).returncode
            stdout.seek(0)
            written = np.fromfile(stdout, np.uint8)
        each = [port_bytes(port) for port in self.outputs]
        if code:
            self._complain(code, len(written) // max(sum(each), 1), count)
        parts = np.split(written.reshape(count, sum(each)), np.cumsum(each)[:-1], axis=1)
        return tuple(
            np.ascontiguousarray(part).view(port.dtype).reshape(count, *sample_shape(port))
            for part, port in zip(parts, self.outputs, strict=True)
        )

    def _complain(self, code: int, done: int, count: int) -> None:
        """Raise what the end of the program means."""
        if code == -signal.SIGINT:
            raise KeyboardInterrupt
        check_killed(f"the program of {self._name!r} on this machine", code)
        if code == _SHORT_WRITE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise FirmwareFault(
            f"the C of {self._name!r} crashed on this machine ({how}) after at least {done} of "
            f"{count} samples: a bug of autotiny; report the sequence, and leave it out"
        )


def build_host(sources: Sources, *, optimize: str = "-O2") -> HostModel:
    """Compile a model for this machine; nothing stays on disk when the result is gone.

    Args:
        sources: the model as C.
        optimize: the level of the compiler; a lower one is sooner done with a model that runs once.

    Raises:
        LinkError: the compiler refused the sources.
    """
    loop = (C_FILES / "host.c").read_text(encoding="utf-8")
    words = {
        "HEADER": f'"{sources.name}.h"', "INPUTS": _port_list(sources.inputs),
        "OUTPUTS": _port_list(sources.outputs), **asdict(calls_of(sources)),
    }  # fmt: skip
    for word, text in words.items():
        loop = loop.replace(f"AUTOTINY_{word.upper()}", text)
    files = {**sources.files, "host.c": loop}
    # Windows cannot delete a program that still ends
    folder = TemporaryDirectory(prefix="autotiny-", ignore_cleanup_errors=os.name == "nt")
    try:
        for name, text in files.items():
            (Path(folder.name) / name).write_text(text, encoding="utf-8", newline="\n")
        units = sorted(name for name in files if name.endswith(".c"))
        program = "host.exe" if os.name == "nt" else "host"
        complaint = zig_cc([*_FLAGS, optimize, *units, "-o", program], Path(folder.name))
        if complaint:
            raise LinkError(f"the compiler refused the sources of {sources.name}:\n{complaint}")
    except BaseException:
        folder.cleanup()
        raise
    return HostModel(sources, folder, Path(folder.name) / program)


def _port_list(ports: Sequence[Port]) -> str:
    """Offset and bytes a sample of each port, in C; ports of no bytes have nothing to copy."""
    sizes = [(port.offset, port_bytes(port)) for port in ports]
    return "".join(f"{{{offset}, {size}}}, " for offset, size in sizes if size)
