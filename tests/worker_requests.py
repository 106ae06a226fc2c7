"""What the tests of the worker ask of it."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

from autotiny.errors import NotApplicable

held: list[object] = []


def process() -> int:
    return os.getpid()


def prepare() -> None:
    held.append("prepared")


def prepared() -> bool:
    return "prepared" in held


def hang_then_prepare() -> None:
    time.sleep(1)
    prepare()


def double(value: list[int]) -> list[int]:
    return value * 2


def slowly(value: int) -> int:
    time.sleep(0.1)
    return value


def session() -> int:
    return os.getsid(0)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang_then_crash() -> None:
    time.sleep(1)
    crash()


def die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def find_no_memory() -> None:
    raise MemoryError("Unable to allocate 1. TiB")


def leave() -> None:
    sys.stderr.write("something\nno more ink\n")
    sys.stderr.flush()
    os._exit(3)


def chatter() -> str:
    os.write(1, b"a library says hello\n")
    return "answer"


def hang() -> None:
    time.sleep(600)


def say_and_hang(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    hang()


def eat(megabytes: int) -> None:
    for _ in range(megabytes // 16):
        held.append(np.ones(16 << 20, np.uint8))
        time.sleep(0.01)
    hang()


def keep(megabytes: int) -> None:
    held.append(np.ones(megabytes << 20, np.uint8))


def fill(path: str, megabytes: int) -> None:
    with Path(path).open("wb") as file:
        for _ in range(megabytes):
            file.write(bytes(1 << 20))


def connect(port: int) -> str:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError as refusal:
        return str(refusal)
    return "connected"


def read(path: str) -> str:
    return Path(path).read_text()


def refuse(kind: str) -> None:
    if kind == "not_applicable":
        raise NotApplicable("there is nothing to do")
    if kind == "bug":
        raise ZeroDivisionError("by nought")
    if kind == "missing":
        Path("not/there").read_text()
    if kind == "unicode":
        b"\xff".decode()
    raise SystemExit(7)


def identity() -> list[int]:
    return [os.getuid(), os.getgid()]


def say_and_let_no_thread_run(path: str) -> None:
    """As native code does that keeps Python's lock: no thread sees that the parent is gone."""
    sys.setswitchinterval(1000)
    Path(path).write_text(str(os.getpid()))
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pass


def crash_on_anything(*_: object) -> None:
    crash()
