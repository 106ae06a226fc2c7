import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import worker_requests as requests

from autotiny import worker
from autotiny.errors import MachineFault, NotApplicable, WorkerEnded
from autotiny.worker import Limits, confine

MEGABYTE = 1 << 20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process holds")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    worker.stop()
    yield
    worker.stop()


def ask(
    function: Callable[..., object],
    *arguments: object,
    seconds: float | None = 60,
    memory: int = 1 << 30,
) -> object:
    limits = Limits(seconds, memory)
    return worker.ask(function, *arguments, what="the request", limits=limits, way_out="do less")


def gone(process: int) -> bool:
    """Whether a process has ended within a few seconds."""
    stat = Path(f"/proc/{process}/stat")
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        if stat.exists() and " Z " in stat.read_text():
            return True
        time.sleep(0.1)
    return False


def test_requests_are_answered_by_one_other_process() -> None:
    assert ask(requests.double, [1, 2]) == [1, 2, 1, 2]
    process = ask(requests.process)
    assert process != os.getpid()
    assert ask(requests.process) == process


def test_it_warms_up_while_nobody_waits() -> None:
    began = time.monotonic()
    worker.start(requests.hang_then_prepare)
    worker.start(requests.crash)  # it is there: nothing is asked of it
    assert time.monotonic() - began < 0.9
    assert ask(requests.prepared) is True
    assert "prepared" not in requests.held


def test_what_libraries_print_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert ask(requests.chatter) == "answer"
    assert capfd.readouterr() == ("", "")


def test_files_are_found_where_the_parent_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert ask(requests.read, "file") == name


def test_a_module_in_the_current_folder_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    assert ask(requests.double, [1]) == [1, 1]


def test_an_error_of_ours_crosses_by_class_and_message() -> None:
    with pytest.raises(NotApplicable, match=r"^there is nothing to do$"):
        ask(requests.refuse, "not_applicable")
    assert ask(requests.double, [1]) == [1, 1]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("bug", RuntimeError, "^ZeroDivisionError: by nought$"),
        ("missing", FileNotFoundError, os.strerror(errno.ENOENT)),
        ("exit", RuntimeError, "^SystemExit: 7$"),
    ],
)
def test_a_bug_keeps_its_traceback(kind: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        ask(requests.refuse, kind)
    assert "in refuse" in str(raised.value.__cause__)
    assert ask(requests.double, [1]) == [1, 1]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (requests.crash, r"^the request crashed \(SIGSEGV\); do less$"),
        (requests.leave, r"^the request ended with code 3 \(no more ink\); do less$"),
    ],
)
def test_a_crash_is_an_error_and_the_next_request_finds_another(
    function: Callable[[], None], message: str
) -> None:
    first = ask(requests.process)
    with pytest.raises(WorkerEnded, match=message):
        ask(function)
    assert ask(requests.process) != first


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_one_that_others_killed_is_no_fault_of_the_request(name: str) -> None:
    killed = rf"^the request was killed \({name}\), as systems do when memory runs out; do less$"
    with pytest.raises(MachineFault, match=killed):
        ask(requests.die, int(signal.Signals[name]))


def test_memory_that_ran_out_is_no_fault_of_the_request() -> None:
    with pytest.raises(MachineFault, match=r"memory ran out \(Unable to .*fewer --jobs"):
        ask(requests.find_no_memory)


def test_one_that_died_between_requests_is_replaced() -> None:
    process = ask(requests.process)
    assert isinstance(process, int)
    os.kill(process, signal.SIGKILL)
    assert gone(process)
    assert ask(requests.process) != process


def test_one_that_dies_before_it_takes_a_request_is_replaced() -> None:
    worker.start(requests.hang_then_crash)  # alive when asked, gone before it reads what
    assert ask(requests.double, [1]) == [1, 1]


def test_what_hangs_is_ended() -> None:
    process = ask(requests.process)
    assert isinstance(process, int)
    with pytest.raises(WorkerEnded, match=r"^the request took longer than 1 s; do less$"):
        ask(requests.hang, seconds=1)
    assert gone(process)


@LINUX
def test_what_eats_memory_is_ended() -> None:
    with pytest.raises(MachineFault, match=r"^the request took more than 0\.2 GB of memory; "):
        ask(requests.eat, 1000, memory=200 * MEGABYTE)


@LINUX
def test_one_that_keeps_memory_is_replaced() -> None:
    process = ask(requests.process)
    ask(requests.keep, 150, memory=200 * MEGABYTE)
    assert ask(requests.process) != process


def test_files_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FILE_BYTES", 2 * MEGABYTE)
    ask(requests.fill, str(tmp_path / "small"), 1)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        ask(requests.fill, str(tmp_path / "large"), 3)
    assert (tmp_path / "large").stat().st_size <= 2 * MEGABYTE


@LINUX
def test_the_network_is_out_of_reach(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = ask(requests.connect, port)
        assert requests.connect(port) == "connected"
    if "no empty network" in caplog.text:
        pytest.skip(caplog.text)
    assert "unreachable" in str(found)
    assert ask(requests.identity) == [os.getuid(), os.getgid()]


def test_where_the_network_stays_in_reach_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "other")
    monkeypatch.setattr(worker, "resource", None)
    assert "with it in reach" in confine(1)


def test_several_threads_may_ask() -> None:
    found: dict[int, object] = {}

    def one(number: int) -> None:
        found[number] = ask(requests.slowly, number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(4)}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no sessions")
def test_ctrl_c_of_a_terminal_reaches_the_parent_alone() -> None:
    assert ask(requests.session) not in (None, os.getsid(0))


PARENT = """
import sys
sys.path.insert(0, {path!r})
import worker_requests as requests
from autotiny import worker
limits = worker.Limits(None)
worker.ask(requests.{function}, {file!r}, what="the request", limits=limits, way_out="")
"""


@pytest.mark.parametrize("function", ["say_and_hang", "say_and_let_no_thread_run"])
@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGKILL"])
@LINUX
def test_no_process_outlives_its_parent(tmp_path: Path, end: str, function: str) -> None:
    file = tmp_path / "process"
    path = str(Path(requests.__file__).parent)
    program = PARENT.format(path=path, file=str(file), function=function)
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as parent:
        while not (file.exists() and file.read_text()):
            assert parent.poll() is None
            time.sleep(0.05)
        parent.send_signal(getattr(signal, end))
        parent.communicate()
    assert gone(int(file.read_text()))
