"""Runs a function on many seeded inputs, in processes that may crash, and tells how they ended.

An input ends well if the function returns, or raises one of the errors that say what is wrong with
it. Any other exception, the end of the process, more than 30 s, or a process larger than 1.5 GB is
a finding.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import FrameType

from autotiny.errors import FirmwareFault, UserError

SECONDS = 30
MOST_BYTES = 1_500_000_000
BATCH = 500

Try = Callable[[int], str]
"""What becomes of the input of a number: how it ended well."""

# Processes are copies of this one, which has imported everything already.
PROCESSES = multiprocessing.get_context("fork")


@dataclass
class Tally:
    """What became of the inputs so far."""

    ends: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def __str__(self) -> str:
        ends = ", ".join(f"{count:,} {name}" for name, count in self.ends.most_common())
        return (
            f"{sum(self.ends.values()):,} inputs: {ends}; {len(self.findings)} findings; slowest "
            f"{self.slowest:.1f} s, largest process {self.largest / 1e6:.0f} MB"
        )


def fuzz(attempt: Try, count: int, first: int = 0) -> Tally:
    """Try the inputs `first` to `first + count`; findings are printed when they are met."""
    tally = Tally()
    number, shown = first, time.monotonic()
    while number < first + count:
        number = _batch(attempt, number, min(BATCH, first + count - number), tally)
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(tally, flush=True)
    return tally


def _batch(attempt: Try, first: int, count: int, tally: Tally) -> int:
    """Try some inputs in one process; the number of the next one that was not tried."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_attempts, args=(attempt, first, count, sender))
    process.start()
    sender.close()
    number = first
    try:
        while number < first + count:
            if not receiver.poll(2 * SECONDS):
                process.kill()
                _found(tally, number, f"takes more than {2 * SECONDS} s")
                return number + 1
            end, finding, seconds, largest = receiver.recv()
            tally.ends[end] += 1
            tally.slowest = max(tally.slowest, seconds)
            tally.largest = max(tally.largest, largest)
            if finding:
                _found(tally, number, finding, counted=True)
            number += 1
    except EOFError:
        process.join()
        _found(tally, number, f"ended its process with {process.exitcode}")
        return number + 1
    process.join()
    return number


def _found(tally: Tally, number: int, what: str, *, counted: bool = False) -> None:
    if not counted:
        tally.ends["broken"] += 1
    tally.findings.append(f"input {number}: {what}")
    print(tally.findings[-1], flush=True)


def _attempts(attempt: Try, first: int, count: int, sender: Connection) -> None:
    signal.signal(signal.SIGALRM, _too_slow)
    largest = _largest()
    for number in range(first, first + count):
        finding, began = "", time.monotonic()
        signal.alarm(SECONDS)
        try:
            end = attempt(number)
        except (UserError, FirmwareFault) as error:
            end = type(error).__name__
            if "\n" in str(error):
                finding = f"a message of several lines: {error}"
        except Exception as error:
            end = "broken"
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rpartition('autotiny/')[2]}:{place.lineno}"
            finding = f"{where} {type(error).__name__}: {error}"
        signal.alarm(0)
        now = _largest()
        if now > MOST_BYTES >= largest:
            finding = finding or f"takes {now / 1e6:.0f} MB"
        largest = max(now, largest)
        sender.send((end, finding, time.monotonic() - began, largest))


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"takes more than {SECONDS} s")
