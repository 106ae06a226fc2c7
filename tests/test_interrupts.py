"""Ctrl-C is heard wherever it arrives."""

import signal
import sys
import time
import weakref
from collections.abc import Iterator

import pytest

from autotiny.interrupts import ended_by, none_lost


class Thing:
    pass


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """A shell that runs the tests in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_in_a_callback(number: signal.Signals) -> None:
    """Wait for a signal that arrives while a weak reference is cleared."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
    assert reference() is thing
    del thing
    for _ in range(500):
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_callback_is_raised_behind_it(number: signal.Signals) -> None:
    began = time.monotonic()
    with ended_by(number), none_lost(), pytest.raises(KeyboardInterrupt):
        interrupted_in_a_callback(number)
    assert time.monotonic() - began < 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_errors_in_a_callback_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: told.append(str(found.exc_value)))
    with none_lost():
        thing = Thing()
        reference = weakref.ref(thing, lambda _: 1 / 0)
        assert reference() is thing
        del thing
    assert told == ["division by zero"]
    assert "none_lost" not in repr(sys.unraisablehook)
