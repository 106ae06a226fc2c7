"""Front ends as programs: what tests compare with their twins, on this machine and emulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autotiny.engine.headers import kernel_text
from autotiny.engine.kernel import C_TYPE
from autotiny.engine.sources import Port, Sources
from autotiny.graph import DType
from autotiny.signal import FrontEnd


def sources_of(front_end: FrontEnd, shape: tuple[int, ...], dtype: DType = "int16") -> Sources:
    """A program whose network is a front end alone.

    Args:
        front_end: what it computes.
        shape: of the samples.
        dtype: of the samples.
    """
    call = front_end.c_call(shape)
    tables = front_end.tables()
    out_shape = front_end.output_shape(shape)
    in_bytes = _aligned(np.dtype(dtype).itemsize * int(np.prod(shape)))
    out_bytes = _aligned(np.dtype(front_end.dtype).itemsize * int(np.prod(out_shape)))
    offsets = [in_bytes + out_bytes]
    for size in call.scratch_bytes:
        offsets.append(offsets[-1] + _aligned(size))
    arguments = [
        f"(const {C_TYPE[dtype]} *)model_arena",
        f"({C_TYPE[front_end.dtype]} *)(model_arena + {in_bytes})",
        *(f"(void *)(model_arena + {at})" for at in offsets[:-1]),
        *(f"table_{name}" for name in call.tables),
        *(f"({value})" for value in call.constants),
    ]
    text = [f'#include "{call.header}"', f"AT_ARENA uint8_t model_arena[{offsets[-1]}];"]
    for name in call.tables:
        values = tables[name].reshape(-1).tolist()
        numbers = ", ".join(str(value) for value in values)
        kind = C_TYPE[str(tables[name].dtype)]
        text.append(
            f"static const AT_WORD_ALIGNED {kind} table_{name}[{len(values)}] = {{{numbers}}};"
        )
    text += [
        f"AT_STEP void step(void) {{ {call.function}({', '.join(arguments)}); }}",
        "int model_run(void);",
        "int model_run(void) { step(); return 0; }",
    ]
    return Sources(
        name="model",
        files={**headers(call.header), "model.c": "\n".join(text) + "\n"},
        inputs=(Port("x", 0, (1, *shape), dtype),),
        outputs=(Port("y", in_bytes, (1, *out_shape), front_end.dtype),),
        arena_bytes=offsets[-1],
        weights_bytes=sum(table.nbytes for table in tables.values()),
        steps=("front_end",),
        step_weights_bytes=(sum(table.nbytes for table in tables.values()),),
    )


def headers(name: str) -> dict[str, str]:
    """A file of `kernels/` and those it includes."""
    text = kernel_text(name)
    files = {name: text}
    for line in text.splitlines():
        if line.startswith('#include "'):
            files |= headers(line.split('"')[1])
    return files


def write_sources(sources: Sources, folder: Path) -> None:
    """The files of a program in a folder."""
    for name, text in sources.files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _aligned(size: int) -> int:
    return -(-size // 16) * 16
