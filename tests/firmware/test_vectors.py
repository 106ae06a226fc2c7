"""Interrupts of projects reach handlers on QEMU's boards, and cost nothing where none is used."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from machines import BOARDS, Board, emulated, is_installed, target_of
from small_network import generated, int8_network

from autotiny.engine.generate import check_name
from autotiny.errors import UserError
from autotiny.firmware import export_project, link
from autotiny.firmware.board import with_board
from autotiny.firmware.linking import symbols_of
from autotiny.firmware.project import GENERATED
from autotiny.firmware.vectors import vector_files
from autotiny.target import load_target, target_names

CORTEX_M = [name for name in target_names() if name != "esp32c3"]

MAIN = """
#include "irq.h"
int main(void);
void IRQ7_Handler(void);
void IRQ%(last)s_Handler(void);
static volatile uint32_t seen;
void IRQ7_Handler(void) { seen = seen * 10u + 1u; }
void IRQ%(last)s_Handler(void) { seen = seen * 10u + 2u; }
static void pend(uint32_t number) {
  ((volatile uint32_t *)0xE000E200u)[number / 32u] = 1u << number %% 32u;
  __asm volatile("dsb\\n isb" ::: "memory");
}
int main(void) {
  irq_start();
  pend(7);
  const uint32_t before = seen;
  irq_enable(7);
  irq_enable(%(last)su);
  __asm volatile("isb");
  pend(%(last)su);
  register uint32_t r0 __asm("r0") = 0x18;
  register uint32_t r1 __asm("r1") = before == 0 && seen == 12 ? 0x20026 : 0x20023;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  for (;;) {
  }
}
"""


@pytest.mark.parametrize("board", [one for one in BOARDS if one.machine != "virt"], ids=str)
def test_interrupts_reach_their_handlers(board: Board, tmp_path: Path) -> None:
    if not is_installed(board):
        pytest.skip(f"{board.program} is not installed")
    target = replace(target_of(board), interrupts=32)
    files = {**vector_files(target), "main.c": MAIN % {"last": 31}}
    sources = generated(int8_network())
    made = link(replace(sources, files={**sources.files, **files}), target)
    assert emulated(board, made.elf, tmp_path)[1] == 0


@pytest.mark.parametrize("name", CORTEX_M)
def test_the_table_is_whole_and_lies_as_the_core_wants_it(name: str) -> None:
    """Armv6-M ARM B3.2.5 and Armv7-M ARM B3.2.5: a power of two that holds all entries."""
    target = load_target(name)
    assert 20 < target.interrupts <= 240 and target.sources["interrupts"]
    last = target.interrupts - 1
    files = {**vector_files(target), "main.c": MAIN % {"last": last}}
    sources = generated(int8_network())
    made = link(replace(sources, files={**sources.files, **files}), target)
    with BytesIO(made.elf) as file:
        symbols = symbols_of(ELFFile(file))
    table = symbols["irq_vectors"]
    assert table.bytes == 4 * (16 + target.interrupts)
    alignment = 1 << (table.bytes - 1).bit_length()
    assert table.address % max(alignment, 256 if target.core == "cortex-m0plus" else 128) == 0
    at = table.address - made.origin
    words = [
        int.from_bytes(made.image[at + k : at + k + 4], "little") for k in range(0, table.bytes, 4)
    ]
    assert words[:2] == [symbols["link_stack_top"].address, symbols["Reset_Handler"].address | 1]
    vectors = symbols["vectors"].address - made.origin  # those that the part starts with
    assert made.image[vectors : vectors + 64] == made.image[at : at + 64]
    assert words[16 + 7] == symbols["IRQ7_Handler"].address | 1
    assert words[-1] == symbols[f"IRQ{last}_Handler"].address | 1
    assert {*words[16:23], *words[24:-1]} == {symbols["irq_unhandled"].address | 1}


@pytest.mark.parametrize("name", ["stm32f746", "rp2040"])
def test_a_program_without_interrupts_has_nothing_of_them(name: str, tmp_path: Path) -> None:
    target, sources = load_target(name), generated(int8_network())
    plain = link(sources, target)
    files = {**sources.files, **vector_files(target)}
    assert link(replace(sources, files=files), target).image == plain.image
    export_project(sources, link(with_board(sources, target), target), target, tmp_path)
    assert "src/irq.c" in (tmp_path / "Makefile").read_text()
    assert "irq_start()" in (tmp_path / "README.md").read_text()


def test_where_the_part_is_not_known_all_that_the_core_can_have_are_there() -> None:
    for name, most in (("samd21", 32), ("stm32f103", 240), ("stm32u575", 480)):
        text = vector_files(replace(load_target(name), interrupts=0))["irq.h"]
        assert f"#define IRQ_COUNT {most}\n" in text
    assert vector_files(load_target("esp32c3")) == {}


BESIDE = {Path(name).stem for name in GENERATED if name.startswith("src/")} | {"host"}


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_a_model_is_not_named_as_a_file_beside_it(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' is that of a file"):
        check_name(name)


@pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("arm-none-eabi-gcc")),
    reason="make or arm-none-eabi-gcc is not installed",
)
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3 -flto"])
def test_gcc_takes_them_without_a_warning(level: str, tmp_path: Path) -> None:
    target, sources = load_target("stm32f746"), generated(int8_network())
    export_project(sources, link(with_board(sources, target), target), target, tmp_path)
    (tmp_path / "src/main.c").write_text(MAIN % {"last": 97})
    makefile = tmp_path / "Makefile"
    strict = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
    makefile.write_text(re.sub(r" -O3 ", f" {level} {strict} ", makefile.read_text()))
    done = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with BytesIO((tmp_path / "build/gcc/firmware.elf").read_bytes()) as file:
        assert {"irq_start", "IRQ97_Handler"} & set(symbols_of(ELFFile(file)))
