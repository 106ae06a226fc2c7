"""The program that checks a model on the chip itself: samples, and the outputs they must give.

It runs the C that was measured, on stored samples; `c/selftest.c` has what it does and reports.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autotiny.engine.c_files import c_string, head_text
from autotiny.engine.sources import Port, Sources
from autotiny.firmware.board import with_board
from autotiny.firmware.board_report import LONGEST_NAME
from autotiny.firmware.host import build_host
from autotiny.firmware.instance import calls_of
from autotiny.firmware.layout import C_FILES
from autotiny.firmware.linking import Firmware, link
from autotiny.firmware.ports import port_bytes, port_rows
from autotiny.graph import Array
from autotiny.metrics import Cost
from autotiny.target import Target, short_key
from autotiny.version import __version__

MOST_SAMPLES = 4

TOLERANCE = 1e-4
"""By how much floating-point outputs may differ from the host's, of 1 or of what is larger."""

PROGRAM = "main.c"
"""The file that holds it among the others, in place of the loop that is measured."""

_OWN_BYTES = 4096
"""More flash than the program takes besides the model and the samples."""

_OWN_STACK_BYTES = 256
"""More than its functions take of the stack above the model's."""

_WORD = 4


def link_selftest(
    sources: Sources, firmware: Firmware, target: Target, cost: Cost, rows: Sequence[Array]
) -> Firmware | None:
    """The linked program.

    Args:
        sources: the model as C.
        firmware: what was measured of it.
        target: the microcontroller.
        cost: what that took.
        rows: inputs as the ports store them, (N, *sample shape) each; the first are taken. Of a
            stream they are hops, heard again and again until its window is full.

    Returns:
        None where the target has no room for a single sample.
    """
    each = sum(_padded(port) for port in (*sources.inputs, *sources.outputs))
    room = target.flash_bytes - firmware.flash_bytes - _OWN_BYTES
    samples = min(MOST_SAMPLES, len(rows[0]) if rows else 1, room // max(each, 1))
    if samples < 1:
        return None
    inputs = port_rows(sources.inputs, [row[:samples] for row in rows])
    turns = _turns(sources, samples)
    heard = [np.concatenate([row] * turns) for row in inputs]
    host = build_host(sources)
    outputs = [row[-samples:] for row in host.predict_all(heard, keep_state=turns > 1)]
    files = {
        PROGRAM: (C_FILES / "selftest.c").read_text(encoding="utf-8"),
        "selftest.h": _header(sources, target, cost, samples, turns * samples),
        "selftest_samples.c": _samples(sources, inputs, outputs),
    }
    tested = link(
        with_board(replace(sources, files={**sources.files, **files}), target), target,
        stack_bytes=cost.stack_bytes + _OWN_STACK_BYTES,
    )  # fmt: skip
    return tested if tested.fits else None


def _turns(sources: Sources, samples: int) -> int:
    """How often all samples are taken: once, or until hops of a stream have filled its window."""
    if sources.hearing is None:
        return 1
    return 1 + -(-sources.hearing.window // (sources.hearing.hop * samples))


def _header(sources: Sources, target: Target, cost: Cost, samples: int, runs: int) -> str:
    """selftest.h: what of the program hangs on model and target."""
    name = sources.name
    facts = {
        "autotiny": __version__, "model": name, "target": target.name[:LONGEST_NAME],
        "clock_hz": target.clock_hz, "predicted_cycles": cost.cycles,
        "predicted_first_cycles": cost.cold_cycles,
        "predicted_stack_bytes": cost.stack_bytes, "target_key": short_key(target),
    }  # fmt: skip
    calls = calls_of(sources)
    instance = f"\nextern {calls.instance}\n" if calls.instance else ""
    reset = "((void)0)" if sources.hearing else calls.reset
    counter = f"#define SELFTEST_CYCLE_CSR {target.cycle_csr:#x}\n" if target.cycle_csr else ""
    return f"""{head_text()}#ifndef SELFTEST_H
#define SELFTEST_H

#include <stddef.h>
#include <stdint.h>

#include "{name}.h"

#define SELFTEST_FACTS {c_string(json.dumps(facts, separators=(",", ":"))[1:-1])}
#define SELFTEST_SAMPLES {samples}u
#define SELFTEST_RUNS {runs}u
#define SELFTEST_INPUT_BYTES {sum(map(_padded, sources.inputs))}u
#define SELFTEST_OUTPUT_BYTES {sum(map(_padded, sources.outputs))}u
#define SELFTEST_TOLERANCE {TOLERANCE:.8f}f
#define SELFTEST_ARENA {calls.arena}
#define SELFTEST_RUN() (void){calls.run}
#define SELFTEST_RESET() {reset}
{counter}{instance}
/* A port of the model: where it lies in the arena, its bytes, those that fill up its last word
 * where samples are stored, and whether it holds floats. One of no bytes ends a list. */
typedef struct {{
  size_t offset;
  size_t bytes;
  size_t padding;
  int is_float;
}} SelftestPort;

extern const SelftestPort selftest_input_ports[];
extern const SelftestPort selftest_output_ports[];
extern const uint32_t selftest_inputs[];
extern const uint32_t selftest_outputs[];

#endif
"""


def _samples(sources: Sources, inputs: Sequence[Array], outputs: Sequence[Array]) -> str:
    """selftest_samples.c: the samples, and what they must give."""
    parts = (("input", sources.inputs, inputs), ("output", sources.outputs, outputs))
    text = [f'{head_text()}#include "selftest.h"\n', *_instance(sources)]
    for kind, ports, arrays in parts:
        rows = "".join(f"    {_port(port)},\n" for port in ports if port_bytes(port))
        text.append(
            f"const SelftestPort selftest_{kind}_ports[] = {{\n{rows}    {{0, 0, 0, 0}},\n}};\n"
        )
        words = _words(ports, arrays)
        lines = [
            "    " + " ".join(f"{word:#010x}," for word in words[k : k + 8])
            for k in range(0, len(words), 8)
        ]
        body = "\n".join(lines) or "    0,"
        text.append(f"const uint32_t selftest_{kind}s[] = {{\n{body}\n}};\n")
    return "\n".join(text)


def _instance(sources: Sources) -> list[str]:
    """The memory of a model that has none of its own."""
    text = calls_of(sources).instance
    return [f"{text}\n"] if text else []


def _port(port: Port) -> str:
    size = port_bytes(port)
    return f"{{{port.offset}, {size}, {_padded(port) - size}, {int(port.dtype == 'float32')}}}"


def _words(ports: Sequence[Port], arrays: Sequence[Array]) -> list[int]:
    """Samples one after the other, of each its ports, each filled up to a whole word."""
    if not ports:
        return []
    columns = []
    for port, array in zip(ports, arrays, strict=True):
        stored = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
        columns.append(np.pad(stored, ((0, 0), (0, _padded(port) - stored.shape[1]))))
    return [int(word) for word in np.hstack(columns).reshape(-1).view("<u4")]


def _padded(port: Port) -> int:
    return -(-port_bytes(port) // _WORD) * _WORD
