"""A process of its own for what may crash, hang, or eat the machine.

A request names a function and gives it plain data; the answer is plain data too, and models cross
as files. Nothing is pickled, so what takes the process over runs nothing here. It has limits on
memory, time and the size of files, and on Linux no network where the system lends an empty
namespace. It leads a session of its own: Ctrl-C reaches its parent alone, which ends it.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import os
import platform
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from autotiny import errors
from autotiny.errors import AutotinyError, MachineFault, WorkerEnded
from autotiny.machine import KILLED, MORE_MEMORY, WHY_KILLED, memory_bytes

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]

POLL_SECONDS = 0.05

MEMORY = max(2 << 30, memory_bytes() // 2)
"""Bytes that the process may hold for itself."""

FILE_BYTES = 4 << 30
"""Bytes of the largest file that it may write."""

LONGEST_ANSWER = 1 << 20
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        seconds: until its answer; None where the user alone decides.
        memory: bytes that the process holds for itself, what it maps of files not counted.
    """

    seconds: float | None
    memory: int = MEMORY


@dataclass(frozen=True, eq=False)
class _Process:
    """The process as its parent sees it."""

    popen: subprocess.Popen[bytes]
    stderr: IO[bytes]
    answers: queue.SimpleQueue[bytes]
    owner: int


_running: list[_Process] = []
"""The process of this one, if there is one."""
_lock = threading.RLock()


def start(warm_up: Callable[[], object]) -> None:
    """Start the process if it is not there, and let it call a function, without waiting for it."""
    with _lock:
        if not _alive():
            _send(_started(), warm_up, (), awaited=False)


def ask(
    function: Callable[..., Any], *arguments: Any, what: str, limits: Limits, way_out: str
) -> Any:
    """What a function of a module gives for arguments, computed in the process.

    After a crash, or when a limit was passed, the next request finds a new process; one that ended
    before it took the request is replaced for this one.

    Args:
        function: it, its arguments and what it gives must be such that JSON can hold them.
        arguments: what it is given.
        what: how errors call the request, e.g. "loading net.h5".
        limits: what it may take.
        way_out: what errors advise if it ends without an answer.

    Raises:
        WorkerEnded: the process crashed, or took too long.
        MachineFault: it was killed, or took too much memory.
        AutotinyError: as the function raised it.
    """
    with _lock:
        try:
            answer = _asked(_running[0], function, arguments, limits) if _alive() else None
            if answer is None:
                answer = _asked(_started(), function, arguments, limits)
            if answer is None:
                raise _end_of(_running[0])
        except (WorkerEnded, MachineFault) as end:
            stop()
            raise type(end)(f"{what} {end}; {way_out}") from None
        except BaseException:
            stop()  # Ctrl-C too: what it works on is of no use any more
            raise
        if _memory(_running[0]) > limits.memory // 2:
            stop()  # TensorFlow does not give back all that it took
    if "error" in answer:
        raise _error(answer)
    return answer["value"]


def stop() -> None:
    """End the process at once; the next request starts another."""
    with _lock:
        while _running:
            running = _running.pop()
            if running.owner != os.getpid():  # a fork leaves its parent's alone
                continue
            running.popen.kill()
            running.popen.wait()
            running.stderr.close()
            with suppress(OSError):
                if running.popen.stdin:
                    running.popen.stdin.close()


atexit.register(stop)


def _alive() -> bool:
    return any(one.owner == os.getpid() and one.popen.poll() is None for one in _running)


def _started() -> _Process:
    stop()
    # The modules come from where this process has them: with -c Python would look into the
    # current folder first, in which anything may lie.
    program = "import sys; sys.path[:] = sys.argv[2:]; import autotiny.worker as w; w.serve()"
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
    popen = subprocess.Popen(
        [sys.executable, "-c", program, str(FILE_BYTES), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        assert popen.stdout is not None
        with popen.stdout as stream:
            while line := stream.readline(LONGEST_ANSWER):
                answers.put(line)
        answers.put(b"")

    threading.Thread(target=read, daemon=True).start()
    _running.append(_Process(popen, stderr, answers, os.getpid()))
    return _running[0]


def _send(
    running: _Process, function: Callable[..., Any], arguments: tuple[Any, ...], *, awaited: bool
) -> None:
    request = {
        "function": [function.__module__, function.__name__],
        "arguments": arguments,
        "folder": str(Path.cwd()),
        "awaited": awaited,
    }
    line = json.dumps(request).encode()
    assert running.popen.stdin is not None
    with suppress(BrokenPipeError):  # how it ended is told where the answer should come
        running.popen.stdin.write(line + b"\n")
        running.popen.stdin.flush()


def _asked(
    running: _Process, function: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits
) -> dict[str, Any] | None:
    """The answer to a request; None from a process that ended before it took it.

    Raises what became of the process if it ended later.
    """
    _send(running, function, arguments, awaited=True)
    began, taken = time.monotonic(), False
    while True:
        try:
            line = running.answers.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if limits.seconds is not None and time.monotonic() - began > limits.seconds:
                raise WorkerEnded(f"took longer than {limits.seconds:.0f} s") from None
            if _memory(running) > limits.memory:
                held = limits.memory / (1 << 30)
                raise MachineFault(f"took more than {held:.1f} GB of memory") from None
            continue
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            if taken:
                raise _end_of(running) from None
            return None
        if not isinstance(answer, dict):
            raise WorkerEnded("gave an answer that is none")
        if answer.get("network"):
            logging.getLogger(__name__).warning("%s", answer["network"])
        if "taken" in answer:
            taken = True
        elif answer.get("awaited"):
            return answer


def _memory(running: _Process) -> int:
    """Bytes that the process holds for itself; 0 where the system does not tell."""
    held = 0
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{running.popen.pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                held += int(line.split()[1]) << 10
    return held


def _end_of(running: _Process) -> WorkerEnded | MachineFault:
    """How it ended, when it gave no answer."""
    with suppress(subprocess.TimeoutExpired):
        running.popen.wait(5)
    code = running.popen.returncode
    if code is None or code >= 0:
        running.stderr.seek(0)
        said = running.stderr.read(LONGEST_ANSWER).decode(errors="replace").strip().splitlines()
        return WorkerEnded(f"ended with code {code}" + (f" ({said[-1][:200]})" if said else ""))
    if signal.Signals(-code).name in KILLED:
        return MachineFault(f"was killed ({signal.Signals(-code).name}){WHY_KILLED}")
    return WorkerEnded(f"crashed ({signal.Signals(-code).name})")


def _error(answer: dict[str, Any]) -> Exception:
    """The error that an answer tells of; what is none of ours has the other traceback as cause."""
    name, message, number = (answer.get(part) for part in ("error", "message", "number"))
    if name in ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError"):
        return MachineFault(f"memory ran out ({str(message)[:200]}); {MORE_MEMORY}")
    kind = getattr(errors, str(name), None)
    if isinstance(kind, type) and issubclass(kind, AutotinyError):
        return kind(message)
    error: Exception = RuntimeError(f"{name}: {message}")
    if isinstance(number, int):
        error = OSError(number, message)
    error.__cause__ = RuntimeError(f"in the worker:\n{answer.get('traceback')}")
    return error


def serve() -> None:
    """What the process does: requests, one after the other, until its parent is gone."""
    network = confine(int(sys.argv[1]))
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print is no answer

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    for line in requests:
        request = json.loads(line)
        if request["awaited"]:
            tell({"taken": True})
            _end_with_parent(requests.fileno(), watching=True)
        answer = {**_computed(request), "awaited": request["awaited"], "network": network}
        network = ""
        _end_with_parent(requests.fileno(), watching=False)
        tell(answer)


def _end_with_parent(pipe: int, *, watching: bool) -> None:
    """While watching, the system ends this process when the other end of a pipe is closed.

    Between requests it reads the end itself. Within one it may stand in native code that lets no
    thread of Python run; what else comes through the pipe would end it as well, so the parent sends
    nothing before it has the answer.
    """
    if fcntl is None or not hasattr(os, "O_ASYNC"):
        return
    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    if not watching:
        fcntl.fcntl(pipe, fcntl.F_SETFL, flags & ~os.O_ASYNC)
        return
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it was closed before
        os._exit(1)


def _computed(request: dict[str, Any]) -> dict[str, Any]:
    try:
        os.chdir(request["folder"])
        module, name = request["function"]
        return {"value": getattr(import_module(module), name)(*request["arguments"])}
    except BaseException as error:  # whatever it is, the parent raises it
        number = error.errno if isinstance(error, OSError) else None
        return {
            "error": type(error).__name__,
            "message": str(error if number is None else os.strerror(number))[:10_000],
            "number": number,
            "traceback": traceback.format_exc()[-100_000:],
        }


def confine(file_bytes: int) -> str:
    """Limits this process for good; says why the network stays in reach, "" if it does not.

    It comes before any thread is started. Address space is not limited: TensorFlow reserves more of
    it than any machine has.
    """
    if resource is not None:
        for kind, most in ((resource.RLIMIT_FSIZE, file_bytes), (resource.RLIMIT_CORE, 0)):
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
    if sys.platform != "linux":
        return f"{platform.system()} has no empty network: model files are read with it in reach"
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) == 0:  # root keeps its rights on files that way
        return ""
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        return f"no empty network ({reason}): model files are read with it in reach"
    with suppress(OSError):  # without it the process has no name, and the same rights
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return ""
