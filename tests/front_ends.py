"""Front ends as programs: what tests compare with their twins, on this machine and emulated."""

from __future__ import annotations

import numpy as np

from autotiny.engine.headers import kernel_text
from autotiny.engine.kernel import C_TYPE
from autotiny.engine.sources import Port, Sources
from autotiny.signal import FrontEnd

DECLARED = "#include <stdint.h>\nextern uint8_t model_arena[];\nint model_run(void);\n"
"""The header of a model."""


def sources_of(front_end: FrontEnd, shape: tuple[int, ...]) -> Sources:
    """A program whose network is a front end alone, over samples of that shape."""
    call, tables = front_end.c_call(shape), front_end.tables()
    out_shape = front_end.output_shape(shape)
    sizes = [_input_bytes(front_end, shape), _output_bytes(front_end, shape), *call.scratch_bytes]
    starts = np.concatenate(([0], np.cumsum([-(-size // 16) * 16 for size in sizes]))).tolist()
    text = f"""{definitions(front_end, shape)}
AT_ARENA uint8_t model_arena[{starts[-1]}];
AT_STEP void step(void) {{ {called(front_end, shape, [f"model_arena + {at}" for at in starts])}; }}
int model_run(void);
int model_run(void) {{ step(); return 0; }}
"""
    table_bytes = sum(table.nbytes for table in tables.values())
    return Sources(
        name="model",
        files={**headers_of(call.header), "model.c": text, "model.h": DECLARED},
        inputs=(Port("x", 0, (1, *shape), front_end.samples),),
        outputs=(Port("y", starts[1], (1, *out_shape), front_end.dtype),),
        arena_bytes=starts[-1],
        weights_bytes=table_bytes,
        steps=("front_end",),
        step_weights_bytes=(table_bytes,),
    )


def program_of(front_end: FrontEnd, shape: tuple[int, ...]) -> dict[str, str]:
    """The files of a program that reads recordings of that shape and writes their features.

    Each array is allocated by itself, so that a sanitizer sees every byte beside it.
    """
    call = front_end.c_call(shape)
    sizes = [_input_bytes(front_end, shape), _output_bytes(front_end, shape), *call.scratch_bytes]
    arrays = "".join(f"  void *p{k} = malloc({size});\n" for k, size in enumerate(sizes))
    names = [f"p{k}" for k in range(len(sizes))]
    text = f"""#include <stdio.h>
#include <stdlib.h>
{definitions(front_end, shape)}
int main(void) {{
{arrays}  while (fread(p0, 1, {sizes[0]}, stdin) == {sizes[0]}) {{
    {called(front_end, shape, names)};
    fwrite(p1, 1, {sizes[1]}, stdout);
  }}
  {" ".join(f"free({name});" for name in names)}
  return 0;
}}
"""
    return {**headers_of(call.header), "program.c": text}


def definitions(front_end: FrontEnd, shape: tuple[int, ...]) -> str:
    """The kernel and the constant arrays of a front end."""
    call, tables = front_end.c_call(shape), front_end.tables()
    lines = [f'#include "{call.header}"']
    for name in call.tables:
        values = tables[name].reshape(-1).tolist()
        kind = C_TYPE[str(tables[name].dtype)]
        numbers = ", ".join("(-2147483647 - 1)" if v == -(1 << 31) else str(v) for v in values)
        declared = f"static const AT_WORD_ALIGNED {kind} table_{name}[{len(values)}]"
        lines.append(f"{declared} = {{{numbers}}};")
    return "\n".join(lines)


def called(front_end: FrontEnd, shape: tuple[int, ...], arrays: list[str]) -> str:
    """The call of a front end on input, output and scratch arrays, given as C."""
    call = front_end.c_call(shape)
    given = [f"(void *)({name})" for name in arrays[: 2 + len(call.scratch_bytes)]]
    tables = [f"table_{name}" for name in call.tables]
    constants = [f"({value})" for value in call.constants]
    return f"{call.function}({', '.join((*given, *tables, *constants))})"


def headers_of(name: str) -> dict[str, str]:
    """A file of `kernels/` and those it includes."""
    files = {name: kernel_text(name)}
    for line in files[name].splitlines():
        if line.startswith('#include "'):
            files |= headers_of(line.split('"')[1])
    return files


def _input_bytes(front_end: FrontEnd, shape: tuple[int, ...]) -> int:
    return np.dtype(front_end.samples).itemsize * int(np.prod(shape))


def _output_bytes(front_end: FrontEnd, shape: tuple[int, ...]) -> int:
    item = np.dtype(front_end.dtype).itemsize
    return item * int(np.prod(front_end.output_shape(shape)))
