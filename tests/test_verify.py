"""What boards write, whole and damaged, from a file, a pipe and a serial port."""

import io
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import autotiny
from autotiny.api.verifying import _found
from autotiny.cli import app
from autotiny.errors import UserError
from autotiny.firmware.board_report import report_from

FACTS: dict[str, Any] = {
    "autotiny": "0.1.0", "model": "model", "target": "stm32f407", "clock_hz": 168_000_000,
    "predicted_cycles": 140_295, "predicted_first_cycles": 140_293, "predicted_stack_bytes": 80,
    "outputs_equal": True, "counter": "dwt", "samples": 4, "samples_right": 4, "cycles": 140_000,
    "first_cycles": 141_000, "stack_bytes": 192,
}  # fmt: skip


def line(**changes: object) -> str:
    return json.dumps({**FACTS, **changes}, separators=(",", ":")) + "\n"


def logged(folder: Path, content: bytes) -> Path:
    path = folder / "board.log"
    path.write_bytes(content)
    return path


def test_the_newest_whole_line_of_a_log_counts(tmp_path: Path) -> None:
    garbage = b"\x00\xffboot\r\n" + b"{" * 9000
    text = garbage + line(cycles=1).encode() + b"reset\r\n" + line().encode() + line()[:90].encode()
    found = autotiny.verify(logged(tmp_path, text))
    assert found == report_from(line())
    assert found.off_percent == pytest.approx(100 * 295 / 140_000)
    assert found.latency_us == pytest.approx(1e6 * 140_000 / 168e6)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_logs_of_other_shells_are_read(encoding: str, tmp_path: Path) -> None:
    """PowerShell's `>` writes UTF-16."""
    log = logged(tmp_path, f"boot\r\n{line()}".encode(encoding))
    assert autotiny.verify(log) == report_from(line())


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 16])
def test_pieces_of_any_size_are_put_together(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\xfe" * 70_000 + line().encode() + b"\xfe" * 70_000
    monkeypatch.setattr("autotiny.api.verifying._CHUNK_BYTES", size)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert autotiny.verify("-") == report_from(line())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no line of a selftest"),
        (b"Hello from the boot ROM\n" * 999, "no line of a selftest"),
        (os.urandom(300_000), "no line of a selftest"),
        (line()[:-2].encode(), "cut off"),
        (line().encode()[:40], "cut off"),
        (line(cycles=-1).encode(), "cycles = -1 .* a whole number from 0"),
        (line(cycles=0).encode(), "cycles = 0 .* nothing was measured"),
        (line(clock_hz=0).encode(), "clock_hz = 0"),
        (line(cycles=1 << 60).encode(), "a whole number from 0"),
        (line(cycles=1.5).encode(), "a whole number from 0"),
        (line(samples=True).encode(), "samples = True"),
        (line(model="\x1b[31m").encode(), "a short text"),
        (line(model=None).encode(), "a short text"),
        (line(outputs_equal=1).encode(), "true or false"),
        (line(samples_right=3).encode(), "3 of 4 samples right"),
        (line().replace('"cycles":140000,', "").encode(), "cycles = None"),
        (line().replace(":4,", ":4x,").encode(), "damaged"),
    ],
)
def test_what_is_no_report_is_refused_in_plain_words(
    content: bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        autotiny.verify(logged(tmp_path, content))


def test_a_line_without_end_is_not_kept() -> None:
    _, rest = _found("", b'{"autotiny":' + b"x" * 4000)
    assert len(rest) == 4012
    assert _found(rest, b"x" * 1000) == ([], "")


@given(st.binary(max_size=400))
def test_no_bytes_break_it(content: bytes) -> None:
    with mock.patch.object(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content))):
        try:
            autotiny.verify("-")
        except UserError as error:
            assert str(error).isprintable()


def test_a_path_that_is_no_log_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.log", tmp_path):
        with pytest.raises(UserError, match=r"give a log or a port"):
            autotiny.verify(path)


def test_a_port_is_read_until_a_line_is_whole() -> None:
    pytest.importorskip("serial")
    board, port = os.openpty()
    read = threading.Event()

    def write() -> None:
        text = b"\xff\x00boot\r\n" + line().encode()
        while not read.is_set():  # what a port receives before it is opened is lost
            for k in range(0, len(text), 50):
                os.write(board, text[k : k + 50])
                time.sleep(0.01)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert autotiny.verify(os.ttyname(port), wait_seconds=20) == report_from(line())
    finally:
        read.set()
        writing.join()


def test_a_port_that_says_nothing_is_waited_for_and_no_longer() -> None:
    pytest.importorskip("serial")
    _, port = os.openpty()
    with pytest.raises(UserError, match=r"no line of a selftest in .* in 0.3 s"):
        autotiny.verify(os.ttyname(port), wait_seconds=0.3)


def test_without_its_package_a_port_is_refused_with_a_way_out() -> None:
    _, port = os.openpty()
    with (
        mock.patch.dict(sys.modules, serial=None),
        pytest.raises(UserError, match=re.escape("pip install 'autotiny[flash]'")),
    ):
        autotiny.verify(os.ttyname(port))


def test_the_command_prints_both_figures_and_ends_with_3_where_outputs_differ(
    tmp_path: Path,
) -> None:
    path = logged(tmp_path, line().encode())
    done = CliRunner().invoke(app, ["verify", str(path)])
    assert done.exit_code == 0
    assert re.search(r"cycles +140,295 +140,000 +\+0\.2", done.output)
    assert "all 4 samples as on the host" in done.output
    facts = json.loads(CliRunner().invoke(app, ["verify", str(path), "--json"]).output)
    assert facts["off_percent"] == pytest.approx(0.2107, abs=1e-4)
    wrong = logged(tmp_path, line(outputs_equal=False, samples_right=3).encode())
    done = CliRunner().invoke(app, ["verify", str(wrong)])
    assert done.exit_code == 3
    assert "1 of 4 samples gave other outputs" in done.output
