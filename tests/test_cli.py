import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autotiny import __version__, cli
from autotiny.cli import app
from autotiny.datafile import data_folder
from autotiny.errors import FirmwareFault, UserError
from autotiny.target import target_names

COMMANDS = [command.__name__.removeprefix("autotiny.cli.") for command in cli.COMMANDS]
"""In the order of `autotiny --help`."""


def run(*arguments: str, columns: int = 160) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "autotiny", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": str(columns)},
    )


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from autotiny.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'rich', 'optuna', 'tensorflow', 'sklearn', 'unicorn', 'numba'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"autotiny {command}" in result.output


def test_a_command_is_a_file_and_a_line_in_the_list() -> None:
    folder = Path(cli.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\ndef run(" in path.read_text()}
    assert files == set(COMMANDS)
    shown = CliRunner().invoke(app, ["--help"]).output
    places = [shown.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"autotiny {__version__}\n"


def test_completion_knows_targets() -> None:
    script = Path(sys.executable).with_name("autotiny")
    if not script.exists():
        pytest.skip("autotiny is not installed as a script")
    done = subprocess.run(
        [script],
        env={
            **os.environ,
            "_AUTOTINY_COMPLETE": "complete_bash",
            "COMP_WORDS": "autotiny targets stm32f",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "stm32f746" in done.stdout.split()


def test_targets_as_table_and_as_json() -> None:
    table = run("targets", columns=80).stdout
    assert all(name in table for name in target_names())
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    listed = json.loads(run("targets", "--json").stdout)
    assert [target["name"] for target in listed] == target_names()
    assert not any("file" in target for target in listed)


def test_one_target_in_full() -> None:
    done = run("targets", "stm32f746", columns=80)
    assert done.returncode == 0
    assert "0x2001_0000" in done.stdout
    assert "openocd" in done.stdout
    assert "worth time" not in done.stdout
    told = run("targets", "stm32l4r5", columns=80).stdout
    assert "worth time on stm32l4r5: clear" in told
    assert [line.split()[4] for line in told.splitlines() if " sram " in line] == [
        "0",
        "0+1",
        "0+1",
    ]


def test_brackets_and_colons_are_printed_as_they_stand(tmp_path: Path) -> None:
    text = (data_folder("targets") / "stm32f746.toml").read_text()
    title = next(line for line in text.splitlines() if line.startswith("title = "))
    odd = "a [bold]part[/bold] [/none] :smile:"
    board = tmp_path / "odd[b].toml"
    board.write_text(text.replace(title, f'title = "{odd}"\nadvice = "{odd}"'))
    done = run("targets", str(board), columns=120)
    assert f"worth time on odd[b]: {odd}" in done.stdout
    told = run("measure", "cnn1", "-t", str(board), columns=120)
    assert f"cnn1 on {odd}, schedule" in told.stdout


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("mend it"), 2), (FirmwareFault("ran off"), 1)]
)
def test_errors_on_purpose_are_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail() -> list[str]:
        raise error

    monkeypatch.setattr("autotiny.target.target_names", fail)
    result = CliRunner().invoke(app, ["targets"])
    assert result.exit_code == code
    assert result.stderr == f"error: {error}\n"
    assert result.stdout == ""


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr("autotiny.target.target_names", fail)
    assert isinstance(CliRunner().invoke(app, ["targets"]).exception, ZeroDivisionError)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise OSError(28, "No space left on device", "results/x")

    monkeypatch.setattr("autotiny.target.target_names", fail)
    result = CliRunner().invoke(app, ["targets"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the disk is full; free some space")


@pytest.mark.parametrize(
    ("given", "taken"), [([], None), (["--jobs", "3"], 3), (["--jobs", "0"], 5)]
)
def test_no_jobs_are_as_many_as_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, given: list[str], taken: int | None
) -> None:
    from autotiny import api, machine

    asked: list[int | None] = []

    def search(*_: object, jobs: int | None, **__: object) -> None:
        asked.append(jobs)
        raise UserError("that is all")

    monkeypatch.setattr(api, "search", search)
    monkeypatch.setattr(machine, "cores", lambda: 5)
    CliRunner().invoke(app, ["search", "-t", "stm32f746", *given])
    assert asked == [taken]
    monkeypatch.undo()
    assert machine.cores() >= 1
