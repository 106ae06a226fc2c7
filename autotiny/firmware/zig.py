"""The zig compiler from PyPI: called in a folder, its complaint handed back."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import platformdirs

from autotiny.errors import MachineFault
from autotiny.machine import KILLED, MORE_MEMORY, WHY_KILLED

LIBC = "zig-libc.txt"
LIBC_WAITS = (0.1, 0.5, 2.0, 5.0)
"""Seconds before the C library is looked for once more."""

MISFIT = "will not fit in region"
"""What the linker complains of where a memory is too small."""


def zig_cc(arguments: Sequence[str], folder: Path) -> str:
    """Run the compiler in a folder that is deleted afterwards; its complaint, "" if it has none.

    Objects stay in that folder; what every program needs (compiler-rt) is built once a user, in the
    user's cache, or each time anew where that cannot be written. zig locks it, so processes may
    compile at once.
    """
    shared, own = _shared_cache(), folder / "zig-shared"
    if _is_native(arguments) and (found := _libc()):
        (folder / LIBC).write_text(found, encoding="utf-8")
    complaint = _called(arguments, folder, shared or own)
    if complaint and shared and MISFIT not in complaint:
        # What another process removes of the user's cache meanwhile is no fault of the sources.
        complaint = _called(arguments, folder, own)
    return complaint


def _called(arguments: Sequence[str], folder: Path, shared: Path) -> str:
    """What the compiler complains of with that folder for what programs share."""
    environment = {
        **os.environ,
        "ZIG_GLOBAL_CACHE_DIR": str(shared),
        "ZIG_LOCAL_CACHE_DIR": str(folder / "zig-cache"),
    }
    if _is_native(arguments) and (folder / LIBC).is_file():
        environment["ZIG_LIBC"] = str(folder / LIBC)
    done = subprocess.run(
        [*_zig(), "cc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return ""
    if "NoSpaceLeft" in done.stderr or "No space left" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    check_killed("the compiler", done.returncode)
    if "OutOfMemory" in done.stderr or "SystemResources" in done.stderr:
        raise MachineFault(f"the compiler found no memory; {MORE_MEMORY}")
    return done.stderr or f"exit code {done.returncode}"


def _is_native(arguments: Sequence[str]) -> bool:
    """Whether a program is for this machine."""
    return "-target" not in arguments


@cache
def _libc() -> str:
    """Where this machine's C library lies, as zig finds it once; "" where it does not.

    Else zig asks the machine's own compiler before each program, and fails now and then where the
    machine is busy ("failed to find libc installation").
    """
    for wait in LIBC_WAITS if sys.platform == "linux" else ():
        done = subprocess.run([*_zig(), "libc"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        time.sleep(wait)
    return ""


def check_killed(what: str, code: int) -> None:
    """Refuses the end of a process that was not its own doing.

    Raises:
        MachineFault: it was killed.
    """
    if code < 0 and signal.Signals(-code).name in KILLED:
        name = signal.Signals(-code).name
        raise MachineFault(f"{what} was killed ({name}){WHY_KILLED}; {MORE_MEMORY}")


def _shared_cache() -> Path | None:
    """The folder of what all programs share; None where the user's cache cannot be written.

    Neither where zig cannot: it takes "%" in a path for a code, and a line break for its end.
    """
    shared = Path(platformdirs.user_cache_dir("autotiny")) / "zig"
    if "%" in str(shared) or not str(shared).isprintable():
        return None
    try:
        shared.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return shared if os.access(shared, os.W_OK | os.X_OK) else None


@cache
def _zig() -> tuple[str, ...]:
    """The compiler's own executable, which starts faster than `python -m ziglang`."""
    import ziglang  # type: ignore[import-untyped]

    executable = Path(ziglang.__file__).parent / ("zig.exe" if os.name == "nt" else "zig")
    return (str(executable),) if executable.is_file() else (sys.executable, "-m", "ziglang")
