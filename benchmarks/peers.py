"""Firmware of others and ours in one emulator, with one cycle model.

    git clone https://github.com/mlcommons/tiny MODELS
    git clone https://github.com/mlcommons/tiny_results_v1.2 SUBMISSIONS
    python benchmarks/peers.py --models MODELS --submissions SUBMISSIONS [--peer …]

Boots the binaries that vendors submitted to MLPerf Tiny v1.2 and counts an inference, compiles the
official networks of that benchmark with autotiny for the same boards, and writes both and their
ratio to results/peers.md. Any other firmware joins by --peer TASK:BOARD:ELF:FUNCTION, of which the
second call of the function is counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fidelity import ROOT, Case, as_one_bank, cases
from fidelity import measure as count

from autotiny.components.tflite.remove_constant_channels import without_constant_channels
from autotiny.engine import Style, generate, schedule_for
from autotiny.metrics import Cost
from autotiny.simulator import measure, measure_elf
from autotiny.target import Target, load_target
from autotiny.tflite import read_tflite

RESULT = ROOT / "results" / "peers.md"
TARGETS = {
    "NUCLEO_L4R5ZI": "stm32l4r5", "NUCLEO_H7A3ZI": "stm32h7a3", "NUCLEO_U575ZI": "stm32u575",
    "NUCLEO_G0B1RE": "stm32g0b1",
}  # fmt: skip
MODELS = {
    "ad": "ad01_int8.tflite", "ic": "pretrainedResnet_quant.tflite",
    "kws": "kws_ref_model.tflite", "vww": "vww_96_int8.tflite",
}  # fmt: skip
STYLES: tuple[Style, ...] = ("fastest", "balanced")
EXPLANATION = """\
Each vendor's binary is counted as its firmware had configured flash and caches when an inference
began; what it reached on the board stands in brackets, with the error of the model there. ST's
NUCLEO-L4R5ZI reads its flash as one bank, and so does autotiny's beside it. autotiny is given the
official `.tflite`, from which `compile` removes constant channels, as ST's binary of VWW seems to
do as well: it is smaller than the weights. Ratio: cycles of `fastest` ÷ the peer's, both as counted
here."""


@dataclass(frozen=True)
class Peer:
    """What other firmware took for a network, in the emulator.

    Attributes:
        name: whose it is.
        task: of MLPerf Tiny.
        board: a key of TARGETS.
        cycles: of one inference.
        published: cycles on the board, if they are known.
        one_bank: whether flash is read as one bank.
    """

    name: str
    task: str
    board: str
    cycles: int
    published: float | None
    one_bank: bool = False


def submitted(submissions: Path, pattern: str) -> Iterator[Peer]:
    """The int8 binaries of the submission, counted."""
    for case in cases(submissions, pattern):
        if case.board in TARGETS and not case.is_float and case.task in MODELS:
            yield _counted(case)


def _counted(case: Case) -> Peer:
    outcome = count(case)
    name = {"ST": "X-CUBE-AI 9"}.get(case.vendor, case.vendor)
    if case.variant not in ("int8", "float"):
        name = f"{name} {case.variant.removeprefix('int8').replace('_', ' ').strip()}".strip()
    cycles, published = outcome.report.cycles, outcome.published_cycles
    return Peer(name, case.task, case.board, cycles, published, case.single_bank)


def given(peer: str) -> Peer:
    """Firmware given as TASK:BOARD:ELF:FUNCTION."""
    task, board, path, function = peer.split(":")
    found = measure_elf(path, load_target(TARGETS[board]), function=function, repeat=2)
    return Peer(Path(path).stem, task, board, found.cycles, None)


def ours(models: Path, task: str, board: str, style: Style, *, one_bank: bool) -> Cost:
    """What `autotiny measure` gives for the official network."""
    (path,) = models.rglob(MODELS[task])
    graph = without_constant_channels(read_tflite(path.read_bytes(), task), 4)
    target: Target = load_target(TARGETS[board])
    if one_bank:
        target = as_one_bank(target)
    return measure(generate(graph, schedule_for(graph, style, **target.traits)), target)


def rows(models: Path, peers: Sequence[Peer]) -> Iterator[str]:
    """A line of the table for every peer."""
    known: dict[tuple[str, str, bool], list[Cost]] = {}
    for peer in peers:
        place = (peer.task, peer.board, peer.one_bank)
        if place not in known:
            task, board, one_bank = place
            known[place] = [ours(models, task, board, s, one_bank=one_bank) for s in STYLES]
        fastest, balanced = known[place]
        measured = ""
        if peer.published is not None:
            error = peer.cycles / peer.published - 1
            measured = f" ({peer.published:,.0f}, {error:+.1%})"
        yield (
            f"| {peer.board} | {peer.task.upper()} | {peer.name} | {peer.cycles:,}{measured} "
            f"| {fastest.cycles:,} | {fastest.cycles / peer.cycles:.3f} "
            f"| {fastest.sram_bytes:,} | {fastest.flash_bytes:,} "
            f"| {balanced.cycles:,} | {balanced.sram_bytes:,} |"
        )


def main() -> None:
    """Write results/peers.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, required=True, help="clone of mlcommons/tiny")
    parser.add_argument("--submissions", type=Path, help="clone of mlcommons/tiny_results_v1.2")
    parser.add_argument("--only", default="^ST", help="pattern of vendor/board/task")
    parser.add_argument("--peer", action="append", default=[], metavar="TASK:BOARD:ELF:FUNCTION")
    arguments = parser.parse_args()
    peers = [given(peer) for peer in arguments.peer]
    if arguments.submissions:
        peers += submitted(arguments.submissions, arguments.only)
    lines = [
        "# The engine and its peers in one emulator", "",
        f"`python benchmarks/peers.py --models MODELS --submissions SUBMISSIONS --only "
        f"'{arguments.only}'`", "",
        "| board | network | peer | peer's cycles (on the board, error of the model) "
        "| autotiny fastest | ratio | SRAM | flash | autotiny balanced | SRAM |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows(arguments.models, peers):
        print(row, flush=True)
        lines.append(row)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join([*lines, "", EXPLANATION, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
