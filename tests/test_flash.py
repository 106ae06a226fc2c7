"""`flash`, with tools and disks that stand in for the real ones."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from small_network import generated, int8_network
from stm32_rom import Stm32Rom
from typer.testing import CliRunner

import autotiny
from autotiny.cli import app
from autotiny.datafile import data_folder
from autotiny.errors import FlashFailed, UserError
from autotiny.evaluate import write_project
from autotiny.firmware.programmers import PROGRAMMERS, Programmer
from autotiny.recipe import Bundle, Recipe, SavedRecipe, write_recipe
from autotiny.simulator import measure
from autotiny.target import TOOLS, Target, load_target

RP2040 = load_target("rp2040")
EVERY = replace(
    RP2040,
    programmers={
        "pyocd": "rp2040", "openocd": "interface/cmsis-dap.cfg target/rp2040.cfg",
        "nrfjprog": "NRF52", "picotool": "rp2040", "stm32loader": "F1",
        "uf2": "RPI-RP2",
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project")
    sources = generated(int8_network())
    write_project(sources, RP2040, measure(sources, RP2040), folder, None)
    return folder


Tool = Callable[..., Path]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts a tool on an otherwise empty PATH that notes how it is called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def made(name: str, code: int = 0) -> Path:
        noted = tmp_path / f"{name}.json"
        script = programs / name
        script.write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            f"json.dump([sys.argv[1:], os.listdir()], open({str(noted)!r}, 'w'))\n"
            f"sys.exit({code})\n"
        )
        script.chmod(0o755)
        return noted

    return made


def called(noted: Path) -> list[str]:
    arguments, beside = json.loads(noted.read_text())
    assert beside == []  # nothing that a tool could take for a script of its own
    return list(arguments)


def test_every_tool_has_its_call() -> None:
    assert {*PROGRAMMERS, "uf2"} == set(TOOLS)


@pytest.mark.parametrize(
    ("name", "ending", "expected"),
    [
        ("pyocd", "elf", ["load", "--no-wait", "--target", "rp2040", "FILE"]),
        (
            "openocd", "elf",
            ["-f", "interface/cmsis-dap.cfg", "-f", "target/rp2040.cfg", "-c",
             "program {FILE} verify reset exit"],
        ),
        (
            "nrfjprog", "hex",
            ["--family", "NRF52", "--program", "FILE", "--sectorerase", "--verify", "--reset"],
        ),
        ("picotool", "uf2", ["load", "--verify", "--execute", "FILE"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("program", ["firmware", "selftest"])
def test_a_tool_is_called_on_the_file_that_it_takes(
    program: str, name: str, ending: str, expected: list[str], project: Path, tool: Tool
) -> None:
    noted, told = tool(name), list[str]()
    done = autotiny.flash(
        project, EVERY, tool=name, selftest=program == "selftest", on_call=told.append
    )
    assert told == [done.shown]
    file = str(project / f"{program}.{ending}")
    assert called(noted) == [one.replace("FILE", file) for one in expected]
    assert (done.done, done.way) == (True, name)


def test_the_first_tool_that_is_installed_is_taken(project: Path, tool: Tool) -> None:
    noted = tool("picotool")
    tool("stm32loader")
    assert autotiny.flash(project, EVERY).way == "picotool"
    assert noted.is_file()
    noted.unlink()
    told = autotiny.flash(project, EVERY, dry_run=True)
    assert told.command[1:] == ("load", "--verify", "--execute", str(project / "firmware.uf2"))
    assert not told.done
    assert not noted.exists()


@pytest.mark.parametrize("asked", [None, "picotool"])
def test_a_call_is_told_without_its_tool(asked: str | None, project: Path, tool: Tool) -> None:
    told = autotiny.flash(project, EVERY, tool=asked, dry_run=True)
    assert told.way == (asked or "uf2")
    if asked:
        assert told.command[:2] == ("picotool", "load")
    elsewhere = replace(EVERY, programmers={"openocd": "target/rp2040.cfg"})
    assert autotiny.flash(project, elsewhere, dry_run=True).command[0] == "openocd"


def test_tools_that_are_not_there(project: Path, tool: Tool) -> None:
    serial = replace(EVERY, programmers={"stm32loader": "F1"})
    with pytest.raises(UserError, match="none of the tools that write to rp2040 is installed"):
        autotiny.flash(project, serial)
    with pytest.raises(UserError, match="openocd is not installed; apt install openocd, or choose"):
        autotiny.flash(project, EVERY, tool="openocd")
    with pytest.raises(UserError, match="unknown way to write to rp2040 'opnocd'; did you mean"):
        autotiny.flash(project, EVERY, tool="opnocd")
    with pytest.raises(UserError, match=r"names no tool that writes to it; add \[programmers\]"):
        autotiny.flash(project, replace(EVERY, programmers={}))
    tool("stm32loader")
    with pytest.raises(UserError, match="stm32loader writes by a serial port; name it"):
        autotiny.flash(project, EVERY, tool="stm32loader")
    with pytest.raises(UserError, match="rp2040 is written by a serial port; name it"):
        autotiny.flash(project, serial)
    with pytest.raises(UserError, match="erases all of flash, and with it what lies before"):
        autotiny.flash(project, EVERY, tool="stm32loader", port="/dev/ttyUSB9")


def test_a_tool_that_fails_is_told(project: Path, tool: Tool) -> None:
    tool("pyocd", code=7)
    with pytest.raises(FlashFailed, match="pyocd ended with code 7, see above; is the board conn"):
        autotiny.flash(project, EVERY, tool="pyocd")


def test_a_tool_ends_with_the_command(project: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "picotool"
    script.write_text(
        f"#!{sys.executable}\nimport os, time\n"
        f"open({str(begun)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    script.chmod(0o755)
    command = [sys.executable, "-m", "autotiny", "flash", str(project), "-t", "rp2040"]
    environment = {**os.environ, "PATH": str(tmp_path / "bin")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as ours:
        while not (begun.is_file() and begun.read_text()):
            assert ours.poll() is None
            time.sleep(0.05)
        ours.send_signal(signal.SIGTERM)
        _, said = ours.communicate(timeout=60)
    assert ours.returncode == 130
    written = f"load --verify --execute '{project}/firmware.uf2'"
    assert said.decode() == f"{script} {written}\nerror: interrupted\n"
    runs = Path("/proc", begun.read_text(), "cmdline")  # empty for one that nobody waited for
    assert not (runs.exists() and runs.read_bytes())


def copied(project: Path, folder: Path) -> Path:
    return Path(shutil.copytree(project, folder / "copy"))


def test_what_is_not_this_firmware_is_refused(project: Path, tool: Tool, tmp_path: Path) -> None:
    tool("pyocd")
    with pytest.raises(UserError, match=r"has no firmware\.elf; make one with `autotiny compile"):
        autotiny.flash(tmp_path, EVERY)
    other = replace(load_target("stm32f746"), programmers=EVERY.programmers)
    with pytest.raises(UserError):
        autotiny.flash(project, other)
    with pytest.raises(UserError, match=r"ends in \.elf, a project's folder, or a recipe"):
        autotiny.flash(project / "firmware.bin", EVERY, tool="pyocd")
    with pytest.raises(UserError, match=r"there is no .*gone"):
        autotiny.flash(tmp_path / "gone.elf", EVERY, tool="pyocd")
    damaged = copied(project, tmp_path)
    (damaged / "firmware.elf").write_bytes(b"ELF")
    with pytest.raises(UserError, match="is no ELF file"):
        autotiny.flash(damaged, EVERY)


@pytest.mark.parametrize("ending", ["uf2", "hex"])
def test_files_that_are_not_of_one_program_are_refused(
    ending: str, project: Path, tool: Tool, tmp_path: Path
) -> None:
    name = {"uf2": "picotool", "hex": "nrfjprog"}[ending]
    tool(name)
    mixed = copied(project, tmp_path)
    shutil.copy(mixed / f"selftest.{ending}", mixed / f"firmware.{ending}")
    with pytest.raises(UserError, match=r"does not hold what firmware\.elf beside it does"):
        autotiny.flash(mixed, EVERY, tool=name)
    autotiny.flash(mixed, EVERY, tool=name, selftest=True)


def test_a_uf2_file_that_no_boot_loader_takes_is_refused(project: Path, tmp_path: Path) -> None:
    whole = project / "firmware.uf2"
    told = autotiny.flash(whole, RP2040, tool="uf2", dry_run=True)
    assert told.file == whole.resolve()
    other = load_target("rp2350")
    with pytest.raises(UserError, match="family 0xe48bff56; rp2350 is of 0xe48bff59"):
        autotiny.flash(whole, other, tool="uf2", dry_run=True)
    for name, content in (("cut", whole.read_bytes()[:700]), ("empty", b""), ("bad", b"x" * 512)):
        damaged = tmp_path / f"{name}.uf2"
        damaged.write_bytes(content)
        with pytest.raises(UserError, match="no UF2 file, or a damaged one"):
            autotiny.flash(damaged, RP2040, tool="uf2", dry_run=True)


def test_a_recipe_is_read_before_a_call_of_it_is_told(tool: Tool, tmp_path: Path) -> None:
    tool("picotool")
    with pytest.raises(UserError, match=r"gone\.json"):
        autotiny.flash(tmp_path / "gone.json", EVERY, dry_run=True)


def test_a_tool_of_a_relative_path_is_found(
    project: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tool("picotool")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "bin")
    autotiny.flash(project, EVERY)
    assert noted.is_file()


def test_a_stale_firmware_is_refused(project: Path, tool: Tool, tmp_path: Path) -> None:
    tool("pyocd")
    changed = copied(project, tmp_path)
    later = (changed / "firmware.elf").stat().st_mtime + 60
    os.utime(changed / "src" / "main.c", (later, later))
    with pytest.raises(UserError, match=r"main\.c of .* changed after firmware\.elf was made"):
        autotiny.flash(changed, EVERY)


def test_a_project_of_another_part_is_refused(project: Path, tool: Tool, tmp_path: Path) -> None:
    tool("pyocd")
    other = replace(EVERY, title="RP2041")
    with pytest.raises(UserError, match="was made for another part than RP2041"):
        autotiny.flash(project, other)


def disk(folder: Path, label: str) -> Path:
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(
        f"UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {label}\n"
    )
    return folder


def test_a_disk_gets_the_whole_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotiny.api.flashing._CHUNK_BYTES", 1000)
    disks = [disk(tmp_path / "a", "RPI-RP2"), disk(tmp_path / "b", "SAMD21"), tmp_path / "none"]
    seen: list[tuple[int, int]] = []

    def note(done: int, all_of: int) -> None:
        seen.append((done, all_of))

    done = autotiny.flash(project, EVERY, tool="uf2", disks=disks, on_progress=note)
    written = (tmp_path / "a" / "firmware.uf2").read_bytes()
    assert written == (project / "firmware.uf2").read_bytes()
    assert seen[-1] == (len(written), len(written))
    assert done.way == "uf2"
    with pytest.raises(UserError, match="no disks RPI-RP2 are there; connect one board"):
        autotiny.flash(project, EVERY, tool="uf2", disks=disks[1:])
    twice = [*disks, disk(tmp_path / "c", "RPI-RP2")]
    with pytest.raises(UserError, match="2 disks RPI-RP2 are there"):
        autotiny.flash(project, EVERY, tool="uf2", disks=twice)
    outside = tmp_path / "outside.uf2"
    outside.write_bytes(b"mine")
    (tmp_path / "c" / "firmware.uf2").symlink_to(outside)
    autotiny.flash(project, EVERY, tool="uf2", disks=[tmp_path / "c"])
    assert outside.read_bytes() == b"mine"
    (tmp_path / "c" / "firmware.uf2").unlink()
    (tmp_path / "c" / "firmware.uf2").mkdir()  # nothing can be written there
    with pytest.raises(FlashFailed, match=r"took not all of firmware\.uf2"):
        autotiny.flash(project, EVERY, tool="uf2", disks=[tmp_path / "c"])


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_how_much_is_on_a_disk(
    is_terminal: bool, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = disk(tmp_path / "a", "RPI-RP2")
    text = StringIO()
    shown = Console(file=text, force_terminal=is_terminal, width=200)
    monkeypatch.setattr("autotiny.report.tables.console", lambda **_: shown)
    monkeypatch.setattr("autotiny.api.flashing._disks", lambda: [place])
    printed = CliRunner().invoke(app, ["flash", str(project), "-t", "rp2040", "--tool", "uf2"])
    assert printed.exit_code == 0, printed.output
    assert printed.stdout == "firmware.uf2 is on rp2040, written by uf2\n"
    assert (f"writing {project} to rp2040: 100 %" in text.getvalue()) == is_terminal
    assert bool(text.getvalue()) == is_terminal


@pytest.mark.parametrize("has_bundle", [True, False])
def test_a_recipe_is_said_to_be_built_first(
    has_bundle: bool, project: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, names = tool("picotool"), ("rp2040", "cnn1", "m", "digits", "d")
    saved = SavedRecipe(Recipe(()), *names, 3, 5)
    if has_bundle:
        bundle = Bundle("bundle", saved.digest, 0, "", "", "l", "p", (1,), 2, "t")
        saved = replace(saved, bundle=bundle)
        (tmp_path / "bundle").mkdir()
    write_recipe(saved, tmp_path / "best.json")

    def compiled(source: str, target: Target, out: Path, **options: object) -> None:
        shutil.copytree(project, out, dirs_exist_ok=True)

    monkeypatch.setattr("autotiny.api.compiling.compile", compiled)
    printed = CliRunner().invoke(app, ["flash", str(tmp_path / "best.json"), "-t", "rp2040"])
    assert printed.exit_code == 0, printed.output
    how = "replayed from its bundle" if has_bundle else "done again from model and data"
    assert printed.stderr.startswith(f"best.json is built first, {how}\n")
    assert noted.is_file()


def test_a_full_disk_is_told(project: Path, tmp_path: Path) -> None:
    place = disk(tmp_path / "a", "RPI-RP2")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(FlashFailed, match=r"took not all of firmware\.uf2: File too large"):
            autotiny.flash(project, EVERY, tool="uf2", disks=[place])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_fifo_is_no_disk(project: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "INFO_UF2.TXT")
    with pytest.raises(UserError, match="no disks RPI-RP2 are there"):
        autotiny.flash(project, EVERY, tool="uf2", disks=[tmp_path / "a"])


def test_a_path_that_openocd_would_read_as_tcl_is_refused(
    project: Path, tool: Tool, tmp_path: Path
) -> None:
    tool("openocd")
    sly = tmp_path / "} ; exec touch owned ; {"
    shutil.copytree(project, sly)
    with pytest.raises(UserError, match="OpenOCD cannot take the path"):
        autotiny.flash(sly, EVERY, tool="openocd")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('pyocd = "a; rm -rf /"', "programmers: pyocd = 'a; rm -rf /'; it must be a name"),
        ('openocd = "../x.cfg"', "it must be a name, or scripts of the tool"),
        ('openocd = "/tmp/x.cfg"', "it must be a name, or scripts of the tool"),
        ('openocd = "-c exec"', "it must be a name, or scripts of the tool"),
        ('picotool = ""', "it must be a name"),
        ('sh = "x"', "programmers: unknown tool 'sh'"),
        ('pyocd = "a\\nb"', "it must be a name"),
        ('pyocb = "x"', "unknown tool 'pyocb'; did you mean 'pyocd'?"),
        ("pyocd = 3", "it must be text"),
    ],
)
def test_programmers_that_no_call_is_made_of(table: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    text = (data_folder("targets") / "rp2040.toml").read_text()
    head, _, tail = text.partition("[programmers]\n")
    path.write_text(f"{head}[programmers]\n{table}\n\n[serial]{tail.partition('[serial]')[2]}")
    with pytest.raises(UserError) as failed:
        load_target(str(path))
    assert told in str(failed.value)


def test_the_command_tells_what_it_would_do(project: Path, tool: Tool) -> None:
    tool("picotool")
    runner = CliRunner()
    asked = ["flash", str(project), "-t", "rp2040", "--dry-run"]
    printed = runner.invoke(app, asked)
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.endswith(f" load --verify --execute '{project}/firmware.uf2'\n")
    facts = json.loads(runner.invoke(app, [*asked, "--json"]).stdout)
    assert (facts["tool"], facts["target"], facts["written"]) == ("picotool", "rp2040", False)
    assert facts["command"][1:4] == ["load", "--verify", "--execute"]
    wrong = runner.invoke(app, [*asked, "--tool", "picotol"])
    assert wrong.exit_code == 2
    assert "did you mean 'picotool'?" in wrong.stderr


LOADER = f"""#!{sys.executable}
import sys
import serial
serial.Serial._update_rts_state = serial.Serial._update_dtr_state = lambda port: None
from stm32loader.main import main
main(*sys.argv[1:])
"""
"""A pseudo-terminal has no RTS and DTR, by which the tool resets a part."""


@pytest.mark.skipif(not find_spec("stm32loader"), reason="stm32loader is not installed")
@pytest.mark.parametrize("broken_byte", [None, 1000])
def test_stm32loader_writes_every_byte(
    broken_byte: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, sources = load_target("stm32f103"), generated(int8_network())
    write_project(sources, target, measure(sources, target), tmp_path, None)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "stm32loader"
    script.write_text(LOADER)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    part = Stm32Rom(target.flash.origin, 1 << 16, broken_byte)
    image = (tmp_path / "firmware.bin").read_bytes()
    try:
        if broken_byte is None:
            done = autotiny.flash(tmp_path, target, tool="stm32loader", port=part.port)
            assert done.done
            assert part.started == target.flash.origin
            assert bytes(part.flash) == image.ljust(1 << 16, b"\xff")
        else:
            with pytest.raises(FlashFailed, match="stm32loader ended with code 1"):
                autotiny.flash(tmp_path, target, tool="stm32loader", port=part.port)
        assert part.erased == 1
    finally:
        part.close()


def test_every_target_names_tools_that_there_are() -> None:
    assert isinstance(PROGRAMMERS["pyocd"], Programmer)
    for name in autotiny.target.target_names():
        target: Target = load_target(name)
        assert set(target.programmers) <= set(TOOLS), name
        assert ("uf2" in target.programmers) <= bool(target.uf2_family), name
