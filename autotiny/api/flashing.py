"""Write a firmware to a board."""

from __future__ import annotations

import os
import shlex
import string
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from autotiny.api.given import TargetSource, is_recipe, target_of
from autotiny.api.notices import say_all
from autotiny.cache import Cache
from autotiny.errors import FlashFailed, UserError, shown
from autotiny.firmware.app_image import app_image_of
from autotiny.firmware.formats import image_of, intel_hex, uf2, uf2_families
from autotiny.firmware.programmers import DISK, PROGRAMMERS, chosen, program_of
from autotiny.recipe import read_recipe
from autotiny.simulator.images import Image, read_image
from autotiny.study.bundle import folder_of
from autotiny.study.replay import REPLAYED, TRAINED_AGAIN
from autotiny.target import Target

FIRMWARE, SELFTEST = "firmware", "selftest"
INFO = "INFO_UF2.TXT"
_CHUNK_BYTES = 1 << 16
_STDERR = 2


@dataclass(frozen=True)
class Flashed:
    """What was written, and how.

    Attributes:
        file: that was written.
        target: the microcontroller.
        way: the tool, or "uf2" for a disk.
        command: what was called, or the copy as a command.
        done: False where it was only to be told.
    """

    file: Path
    target: Target
    way: str
    command: tuple[str, ...]
    done: bool

    @property
    def shown(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.command)


def flash(
    source: Path | str,
    target: TargetSource,
    *,
    selftest: bool = False,
    tool: str | None = None,
    port: str = "",
    dry_run: bool = False,
    disks: Sequence[Path] | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    on_call: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Flashed:
    """Write a firmware to a board, and have it compared with what is there then.

    Args:
        source: a project's folder, a recipe (`.json`), or a firmware as the tool takes it.
        target: the microcontroller.
        selftest: of a project or recipe, the program that checks the model on the board.
        tool: one of those that the target names; by default the first that is installed.
        port: the serial port of tools that write by one.
        dry_run: only tell the command.
        disks: where disks are looked for; by default where the system mounts them.
        cache: where a recipe's results are kept.
        on_stage: called while a recipe's project is made, with what is done.
        on_notice: called with how a recipe's project is made, before it is.
        on_call: called with a tool's command as a shell takes it, before that says anything.
        on_progress: called with the bytes that are on a disk, and all of them.

    Raises:
        UserError: there is no such firmware, it is not for the target, or no tool can write it.
        FlashFailed: the tool did not succeed.
    """
    board = target_of(target)
    way = chosen(board, tool, port, only_told=dry_run)
    if way != DISK and PROGRAMMERS[way].needs_port and not port:
        raise UserError(f"{way} writes by a serial port; name it: --port /dev/ttyUSB0, or COM3")
    with TemporaryDirectory(prefix="autotiny-") as scratch:
        folder = Path(source).expanduser()
        name = SELFTEST if selftest else FIRMWARE
        ending = "uf2" if way == DISK else PROGRAMMERS[way].file
        if is_recipe(folder) and dry_run:
            read_recipe(folder)
            file = Path(f"{name}.{ending}")  # which is made for as long as it is written
        elif is_recipe(folder):
            from autotiny.api.compiling import compile as compile_model

            say_all([f"{folder.name} is built first, {_how(folder)}"], on_notice)
            compile_model(
                str(folder), board, Path(scratch), project=True, cache=cache,
                on_stage=on_stage, on_notice=on_notice,
            )  # fmt: skip
            file = _file(Path(scratch), name, board, ending)
        else:
            file = _file(folder, name, board, ending)
        if way == DISK:
            return _copy(file, board, disks, dry_run, on_progress)
        if "/" in port:
            port = str(Path(port).absolute())  # the tool runs in another folder
        programmer = PROGRAMMERS[way]
        if programmer.erases_all and board.boot_bytes:
            raise UserError(
                f"{way} erases all of flash, and with it what lies before the program of "
                f"{board.name}; choose another tool"
            )
        call = programmer.call(board.programmers[way], file, port, board.written_at)
        program = program_of(way) or programmer.programs[0]
        command = (program, *call)
        if not dry_run:
            if on_call:
                on_call(shlex.join(command))
            _run(command, way)
        return Flashed(file, board, way, command, not dry_run)


def _how(recipe: Path) -> str:
    """How the network of a recipe comes about."""
    return REPLAYED if folder_of(read_recipe(recipe)) else TRAINED_AGAIN


def _file(source: Path, name: str, board: Target, ending: str) -> Path:
    """The file to write: of a project the one with the ending, checked to be for the target."""
    if not source.exists():
        raise UserError(f"there is no {shown(str(source))}")
    if not source.is_dir():
        if source.suffix.lower() != f".{ending}":
            raise UserError(
                f"{shown(str(source))} is not what is written here: a file that ends in "
                f".{ending}, a project's folder, or a recipe (.json)"
            )
        if ending == "elf":
            read_image(source, board)
        if ending == "uf2":
            _check_family(source, board)
        return source.resolve()
    file, elf = source / f"{name}.{ending}", source / f"{name}.elf"
    for one in (elf, file):
        if not one.is_file():
            raise UserError(
                f"{source} has no {one.name}; make one with "
                f"`autotiny compile MODEL --target {board.source} --project --out {source}`"
            )
    image = read_image(elf, board)
    script = source / ("link.ld" if name == FIRMWARE else f"{name}.ld")
    if script.is_file() and board.title not in script.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{source} was made for another part than {board.title}; see its README.md")
    _check_same(file, image, board)
    newer = [
        path.name for path in sorted((source / "src").glob("*.[ch]"))
        if path.stat().st_mtime > file.stat().st_mtime + 1
    ]  # fmt: skip
    if newer:
        raise UserError(
            f"{', '.join(newer)} of {source} changed after {file.name} was made; build it with "
            "`make` and write it with `make flash`, or make the project again"
        )
    return file.resolve()


def _check_family(file: Path, board: Target) -> None:
    """Refuse a UF2 file that is cut off, or that the board's boot loader would not take."""
    families = uf2_families(file.read_bytes())
    if families is None:
        raise UserError(f"{file} is no UF2 file, or a damaged one: it is not made of whole blocks")
    if families and board.uf2_family not in families:
        named = ", ".join(f"{family:#010x}" for family in sorted(families))
        raise UserError(
            f"{file} is for parts of the family {named}; {board.name} is of "
            f"{board.uf2_family:#010x}"
        )


def _check_same(file: Path, elf: Image, board: Target) -> None:
    """Refuse a file that does not hold the bytes of the ELF beside it."""
    if not elf.segments:
        raise UserError(f"{elf.path} stores nothing: it is no firmware; make the project again")
    image, origin = image_of(elf.segments), elf.segments[0][0]
    app = board.app_image
    expected = {
        ".bin": lambda: app_image_of(elf.path, app) if app else image,
        ".hex": lambda: intel_hex(image, origin).encode(),
        ".uf2": lambda: uf2(image, origin, board.uf2_family),
    }.get(file.suffix)
    if expected is not None and file.read_bytes() != expected():
        raise UserError(
            f"{file} does not hold what {file.stem}.elf beside it does; make the project again"
        )


def _run(command: Sequence[str], way: str) -> None:
    """Call a tool; what it says, its progress too, goes to where ours does."""
    with TemporaryDirectory(prefix="autotiny-") as empty:  # no file of the user's is its script
        try:
            code = subprocess.run(command, cwd=empty, stdout=_STDERR, check=False).returncode
        except OSError as error:
            raise FlashFailed(f"cannot start {command[0]}: {error.strerror}") from error
    if code:
        raise FlashFailed(
            f"{way} ended with code {code}, see above; is the board connected and powered, is its "
            f"probe or port used by another program, may you open it? Called: {shlex.join(command)}"
        )


def _copy(
    file: Path, board: Target, disks: Sequence[Path] | None, dry_run: bool,
    on_progress: Callable[[int, int], None] | None,
) -> Flashed:  # fmt: skip
    """Copy a UF2 file to the board's disk."""
    label = board.programmers[DISK]
    mounted = {disk.resolve() for disk in (_disks() if disks is None else disks)}
    found = [disk for disk in sorted(mounted) if _is_of(disk, label)]
    if not found and dry_run:
        found = [Path(f"<disk {label}>")]
    if len(found) != 1:
        raise UserError(
            f"{len(found) or 'no'} disks {label} are there; connect one board with its BOOT button "
            f"held, and wait until the disk {label} shows, or choose another tool"
        )
    place = found[0] / file.name
    command = ("cp", str(file), str(place))
    if not dry_run:
        content = file.read_bytes()
        try:
            place.unlink(missing_ok=True)  # a link of that name would lead elsewhere
            with place.open("xb") as disk:
                for begin in range(0, len(content), _CHUNK_BYTES):
                    disk.write(content[begin : begin + _CHUNK_BYTES])
                    disk.flush()
                    if on_progress:
                        on_progress(min(begin + _CHUNK_BYTES, len(content)), len(content))
                os.fsync(disk.fileno())
        except OSError as error:
            raise FlashFailed(
                f"the disk {found[0]} took not all of {file.name}: {error.strerror}; the board may "
                "have restarted too early, or you may not write to it: try again"
            ) from error
    return Flashed(file, board, DISK, command, not dry_run)


def _is_of(disk: Path, label: str) -> bool:
    """Whether a disk is that of a boot loader with such a board."""
    info = disk / INFO
    try:
        if not info.is_file():
            return False
        with info.open("rb") as file:
            text = file.read(4096).decode("utf-8", "replace")
    except OSError:
        return False
    lines = (line.partition(":") for line in text.splitlines())
    return any(name.strip() == "Board-ID" and value.strip() == label for name, _, value in lines)


def _disks() -> list[Path]:
    """Where the system mounts disks."""
    if os.name == "nt":
        return [Path(f"{letter}:/") for letter in string.ascii_uppercase]
    roots = (Path("/media"), Path("/run/media"), Path("/Volumes"), Path("/mnt"))
    return [path for root in roots for depth in ("*", "*/*") for path in root.glob(depth)]
