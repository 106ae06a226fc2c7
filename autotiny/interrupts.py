"""Signals that end what is done, heard wherever they arrive."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MOMENT_SECONDS = 0.01
"""After so long the place that cannot raise has been left, most likely."""


@contextmanager
def ended_by(number: signal.Signals) -> Iterator[None]:
    """Let another signal end what is done here as Ctrl-C does: nothing is lost."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def none_lost() -> Iterator[None]:
    """Hear Ctrl-C also where Python cannot raise.

    When it arrives in a weak reference's callback or a finalizer, which Optuna and SQLAlchemy run
    all the time, Python prints a traceback and goes on as if nothing had been asked. Here it is
    raised again a moment later.
    """
    before = sys.unraisablehook

    def raised(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(_MOMENT_SECONDS, _interrupt).start()
        else:
            before(unraisable)

    sys.unraisablehook = raised
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    """Interrupt the main thread by whichever signal does that here."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.default_int_handler:
            if sys.platform == "win32":
                _thread.interrupt_main(number)
            else:  # so that it is woken where it waits
                signal.pthread_kill(threading.main_thread().ident or 0, number)
            return
