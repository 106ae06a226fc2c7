"""Graph + schedule → C sources.

    steps → kernels (ops/)  →  buffers and offsets (arena.py)  →  text

The text is deterministic: equal graphs, schedules, names and comments give equal bytes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import resources

import numpy as np

from autotiny.engine.arena import beside, lay_out
from autotiny.engine.declared import Emitter, check, check_sizes
from autotiny.engine.fixed_point import UnscalableError
from autotiny.engine.folding import fold
from autotiny.engine.kernel import (
    C_TYPE,
    Kept,
    Kernel,
    Site,
    Table,
    c_type,
)
from autotiny.engine.ops import EMITTERS, FUSING
from autotiny.engine.schedules import plain_schedule
from autotiny.engine.sources import Port, Sources
from autotiny.engine.variants import VARIANTS
from autotiny.engine.work import work_of
from autotiny.errors import UnsupportedOp, UserError
from autotiny.graph import ITEM_BYTES, Array, Graph, variables
from autotiny.schedule import Schedule, Step


def check_supported(graph: Graph) -> None:
    """Raise `UnsupportedOp`, naming the op and where it stands, unless every op has a kernel."""
    check_sizes(graph)
    folded = fold(graph)
    _check_results(folded)
    for step in plain_schedule(folded).steps:
        _kernel(Site(folded, step))


def _check_results(graph: Graph) -> None:
    """A result that no op computes would never be written."""
    for index in graph.outputs:
        if graph.tensors[index].data is not None:
            name = graph.tensors[index].name
            raise UnsupportedOp(f"the result {name!r} of {graph.name} is a constant")


def generate(
    graph: Graph, schedule: Schedule, name: str = "model", *, comment: str = ""
) -> Sources:
    """Write the C of a network.

    Args:
        graph: the network.
        schedule: how each op is computed; every op that the outputs need belongs to one step.
        name: prefix of the files, symbols and macros, a C identifier.
        comment: lines for the head of the generated files (version, recipe, target; no time).
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UserError(f"the name {name!r} must be a C identifier, e.g. 'model'")
    check_sizes(graph)
    graph = fold(graph)
    _check_results(graph)
    sites = [Site(graph, step) for step in schedule.steps]
    kernels = [_kernel(site) for site in sites]
    cores = [step.core for step in schedule.steps]
    partners = _partners(kernels, cores)
    for k in partners:
        kernels[k] = replace(kernels[k], headers=(*kernels[k].headers, "cores.h"))
    memory = lay_out(graph, kernels, cores)
    ports = [
        tuple(_port(graph, index, memory.offset_of(index)) for index in indices)
        for indices in (graph.inputs, graph.outputs)
    ]
    called = [k for k, kernel in enumerate(kernels) if kernel.body]
    constants = _Constants(name)
    functions = _Functions(name)
    kept = [(memory.offset_of(i), graph.tensors[i].bytes) for i in variables(graph)]
    calls: list[str] = []
    labels: list[str] = []
    step_weights: list[int] = []
    for k in called:
        before = constants.bytes
        arguments = [
            constants.symbol(operand.what)
            if isinstance(operand.what, Table)
            else functions.kept(operand.what)
            if isinstance(operand.what, Kept)
            else f"({_const_free(operand.c_type)} *)({name}_arena + {memory.offset(k, operand)})"
            for operand in kernels[k].operands
        ]
        call = f"{functions.symbol(sites[k], kernels[k])}({', '.join(arguments)});"
        weights = constants.bytes - before
        if k in partners:
            step_weights[-1] += weights
            labels[-1] += " + " + _label(sites[k])
            calls[-2:] = [f"// {labels[-1]}", functions.on_two_cores(calls[-1], call)]
        else:
            step_weights.append(weights)
            labels.append(_label(sites[k]))
            calls += [f"// {labels[-1]}", call]
    files = {
        f"{name}.h": _header(name, comment, memory.bytes, ports[0], ports[1], bool(kept)),
        f"{name}.c": _program(name, comment, kernels, constants, functions, calls, *ports)
        + _reset(name, kept),
        _weights_file(name): _weights(comment, constants),
        **_kernel_headers(kernels),
    }
    return Sources(
        name=name,
        files=files,
        inputs=ports[0],
        outputs=ports[1],
        arena_bytes=memory.bytes,
        weights_bytes=constants.bytes,
        steps=tuple(labels),
        step_weights_bytes=tuple(step_weights),
        cores=2 if partners else 1,
        work=work_of(graph),
    )


def arena_bytes(graph: Graph, schedule: Schedule) -> int:
    """How large the arena becomes, after a short search: it may be a little less yet."""
    cores = [step.core for step in schedule.steps]
    return lay_out(graph, kernels_of(graph, schedule), cores, exchanges=30).bytes


def kernels_of(graph: Graph, schedule: Schedule) -> list[Kernel]:
    """The kernel of each step."""
    folded = fold(graph)
    return [_kernel(Site(folded, step)) for step in schedule.steps]


def _partners(kernels: Sequence[Kernel], cores: Sequence[int]) -> dict[int, int]:
    """Step of core 1 → the step beside which it runs, of which it must be independent."""
    partners = beside(kernels, cores)
    for step, partner in partners.items():
        made = {o.what for o in kernels[partner].operands if not o.c_type.startswith("const ")}
        read = {o.what for o in kernels[step].operands if isinstance(o.what, int)}
        if made & read:
            raise ValueError(f"step {step} runs beside step {partner}, whose result it needs")
    return partners


def _kernel(site: Site) -> Kernel:
    if all(site.graph.tensors[index].data is not None for index in site.op.outputs):
        return Kernel()  # folded away
    emitter = _emitter(site)
    for index in site.step.ops:
        alone = Site(site.graph, Step((index,)))
        check(alone, _emitter(alone).declared)
    try:
        with np.errstate(all="ignore"):  # what leaves float32 is infinite, and refused then
            return emitter.emit(site)
    except UnscalableError as error:
        site.refuse(str(error))


def _emitter(site: Site) -> Emitter:
    if not site.has_input(0):
        site.refuse("its first input is missing")
    key = (site.op.kind, site.arithmetic)
    if key in EMITTERS:
        if site.fused and key not in FUSING:
            site.refuse(f"its {site.arithmetic} kernel computes no fused {site.fused[0].kind}")
        return EMITTERS[key]
    if any(kind == site.op.kind for kind, _ in EMITTERS):
        return site.refuse(f"the engine has no {site.arithmetic} kernel for it")
    return site.refuse("the engine has no kernel for it")


def _label(site: Site) -> str:
    kinds = "+".join(op.kind.lower() for op in (site.op, *site.fused))
    return f"{kinds} {'×'.join(map(str, site.output.shape[1:] or (1,)))}"


def _port(graph: Graph, index: int, offset: int) -> Port:
    tensor = graph.tensors[index]
    return Port(tensor.name, offset, tensor.shape, tensor.dtype, tensor.quantization)


# Constants and functions, each emitted once however often it is used


class _Constants:
    """The constant arrays met so far; equal ones share a symbol."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays: dict[str, tuple[Array, str]] = {}
        self._symbols: dict[tuple[str, str, bytes], str] = {}
        self.bytes = 0

    def symbol(self, table: Table) -> str:
        key = (str(table.values.dtype), table.memory, table.values.tobytes())
        if key not in self._symbols:
            symbol = f"{self.name}_w{len(self._symbols)}"
            self._symbols[key] = symbol
            self.arrays[symbol] = (table.values, table.memory)
            self.bytes += table.values.nbytes
        return self._symbols[key]

    def declared(self, symbol: str) -> str:
        # alignment is part of it: where it is not stated, x86 takes 16 bytes for granted
        values, memory = self.arrays[symbol]
        const = "const " if memory == "flash" else ""
        return f"AT_WORD_ALIGNED {const}{c_type(str(values.dtype))} {symbol}[{max(values.size, 1)}]"

    def declarations(self) -> Iterable[str]:
        return (f"extern {self.declared(symbol)};" for symbol in self.arrays)


class _Functions:
    """The step functions met so far, and the memory they keep; equal bodies share a function."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: list[str] = []
        self._symbols: dict[tuple[str, str], str] = {}
        self._kept = 0

    def kept(self, memory: Kept) -> str:
        symbol = f"{self.name}_kept{self._kept}"
        self._kept += 1
        self.texts.append(f"AT_WORD_ALIGNED static int8_t {symbol}[{memory.bytes}];\n")
        return symbol

    def symbol(self, site: Site, kernel: Kernel) -> str:
        parameters = ", ".join(f"{o.c_type} *{o.name}" for o in kernel.operands)
        key = (parameters, kernel.body)
        if key not in self._symbols:
            symbol = f"{self.name}_{site.op.kind.lower()}_{len(self._symbols)}"
            self._symbols[key] = symbol
            body = "\n".join(_wrapped(f"  {line}") for line in kernel.body.splitlines())
            self.texts.append(f"AT_STEP void {symbol}({parameters}) {{\n{body}\n}}\n")
        return self._symbols[key]

    def on_two_cores(self, call: str, other: str) -> str:
        """A call of a function that has the other call made on the second core meanwhile."""
        number = sum("at_start_task" in text for text in self.texts)
        task, both = f"{self.name}_second_{number}", f"{self.name}_both_{number}"
        self.texts.append(f"static void {task}(void) {{\n{_wrapped(f'  {other}')}\n}}\n")
        lines = "\n".join(
            _wrapped(f"  {one}") for one in (f"at_start_task({task});", call, "at_await_task();")
        )
        self.texts.append(f"AT_STEP void {both}(void) {{\n{lines}\n}}\n")
        return f"{both}();"


# Text


def _wrapped(line: str) -> str:
    """A line of C on as many lines as it needs, broken behind commas."""
    if "//" in line:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    tight = line.lstrip().replace(", ", ",\n").replace(" ", "\0").replace(",\n", ", ")
    return textwrap.fill(
        indent + tight,
        100,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\0", " ")


def _const_free(c: str) -> str:
    return c.removeprefix("const ")


def _weights_file(name: str) -> str:
    return "weights.c" if name == "model" else f"{name}_weights.c"


def _head(comment: str) -> str:
    lines = ["Generated by autotiny.", *comment.splitlines()]
    return "".join(f"// {line}\n" if line else "//\n" for line in lines)


_RESET = """
// Forgets what earlier inferences left behind, as at the start of the program.
void {name}_reset(void);
"""


def _reset(name: str, state: Sequence[tuple[int, int]]) -> str:
    """The function that clears the tensors (offset, bytes) that outlive an inference."""
    if not state:
        return ""
    lines = "".join(f"  at_fill({name}_arena + {at}, 0, {size}u);\n" for at, size in state)
    return f"\nvoid {name}_reset(void) {{\n{lines}}}\n"


def _header(
    name: str,
    comment: str,
    arena_bytes: int,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    stateful: bool,
) -> str:
    macros = []
    for kind, ports in (("INPUT", inputs), ("OUTPUT", outputs)):
        for k, port in enumerate(ports):
            macros += _port_macros(f"{name.upper()}_{kind}{k or ''}", port)
    guard = f"{name.upper()}_H"
    return f"""{_head(comment)}#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {name.upper()}_ARENA_BYTES {arena_bytes}
{chr(10).join(macros)}

// Working memory. The inputs lie in it at their offsets before {name}_run, the outputs after;
// a run may overwrite the inputs.
extern uint8_t {name}_arena[{name.upper()}_ARENA_BYTES];

// Computes the outputs from the inputs inside the arena. Returns 0.
int {name}_run(void);

// Copies the inputs in, runs, copies the outputs out. Returns 0.
int {name}_invoke({_invoke_parameters(inputs, outputs)});
{_RESET.format(name=name) if stateful else ""}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _port_macros(prefix: str, port: Port) -> list[str]:
    lines = [
        f"#define {prefix}_OFFSET {port.offset}",
        f"#define {prefix}_SIZE {int(np.prod(port.shape, dtype=np.int64))}",
        f"#define {prefix}_SHAPE {{{', '.join(map(str, port.shape))}}}",
        f"#define {prefix}_TYPE {C_TYPE[port.dtype]}",
    ]
    if port.quantization is not None and len(port.quantization.scales) == 1:
        lines.append(f"#define {prefix}_SCALE {_float(port.quantization.scale)}")
        lines.append(f"#define {prefix}_ZERO_POINT ({port.quantization.zero_point})")
    return lines


def _port_names(ports: Sequence[Port], base: str) -> list[str]:
    return [f"{base}{k or ''}" for k in range(len(ports))]


def _invoke_parameters(inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    reads = [
        f"const {C_TYPE[port.dtype]} *{name}"
        for port, name in zip(inputs, _port_names(inputs, "in"), strict=True)
    ]
    writes = [
        f"{C_TYPE[port.dtype]} *{name}"
        for port, name in zip(outputs, _port_names(outputs, "out"), strict=True)
    ]
    return ", ".join(reads + writes) or "void"


def _program(
    name: str,
    comment: str,
    kernels: Sequence[Kernel],
    constants: _Constants,
    functions: _Functions,
    calls: Sequence[str],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
) -> str:
    headers = ["port.h", *_headers(kernels)]
    includes = "".join(f'#include "{header}"\n' for header in headers)
    declarations = "".join(f"{line}\n" for line in constants.declarations())
    lines = "".join(f"{_wrapped(f'  {call}')}\n" for call in calls)
    return f"""{_head(comment)}#include "{name}.h"

{includes}
{declarations}
AT_ARENA uint8_t {name}_arena[{name.upper()}_ARENA_BYTES];

{chr(10).join(functions.texts)}
int {name}_run(void) {{
{lines}  return 0;
}}

{_invoke(name, inputs, outputs)}"""


def _invoke(name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    lines = [
        f"at_copy({name}_arena + {port.offset}, {c}, {_port_bytes(port)}u);"
        for port, c in zip(inputs, _port_names(inputs, "in"), strict=True)
    ]
    lines.append(f"{name}_run();")
    lines += [
        f"at_copy({c}, {name}_arena + {port.offset}, {_port_bytes(port)}u);"
        for port, c in zip(outputs, _port_names(outputs, "out"), strict=True)
    ]
    body = "".join(f"  {line}\n" for line in lines)
    return f"""int {name}_invoke({_invoke_parameters(inputs, outputs)}) {{
{body}  return 0;
}}
"""


def _port_bytes(port: Port) -> int:
    return int(np.prod(port.shape, dtype=np.int64)) * ITEM_BYTES[port.dtype]


def _weights(comment: str, constants: _Constants) -> str:
    parts = [_head(comment) + '#include "port.h"\n']
    parts += constants.declarations()
    for symbol, (values, _) in constants.arrays.items():
        parts.append(f"\n{constants.declared(symbol)} = {{\n{_numbers(values)}}};")
    return "\n".join(parts) + "\n"


def _numbers(values: Array) -> str:
    if values.dtype == np.float32:
        texts = [_float(v) for v in values.reshape(-1).tolist()]
    elif values.dtype == np.float16:
        texts = [str(v) for v in values.view(np.uint16).reshape(-1).tolist()]
    else:
        dtype = str(values.dtype)
        texts = [_integer(value, dtype) for value in values.reshape(-1).tolist()]
    if not texts:
        texts = ["0"]
    per_line = 16 if values.dtype.itemsize <= 2 else 8
    return "".join(
        "  " + ", ".join(texts[i : i + per_line]) + ",\n" for i in range(0, len(texts), per_line)
    )


def _integer(value: int, dtype: str) -> str:
    if dtype == "int32" and value == -(1 << 31):
        return "(-2147483647 - 1)"
    if dtype == "int64":
        return "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})"
    if dtype == "uint32":
        return f"0x{value:08x}"
    return str(int(value))  # a bool is 0 or 1: its names need a header


def _float(value: float) -> str:
    """A C float constant that is exactly this float32."""
    single = np.float32(value)
    if np.isnan(single):
        return "AT_NAN"
    if np.isinf(single):
        return "AT_INFINITY" if single > 0 else "-AT_INFINITY"
    text = np.format_float_scientific(single, unique=True)
    return f"{text}f"


def _headers(kernels: Sequence[Kernel]) -> list[str]:
    """The kernel headers used, each after those it includes itself."""
    seen: dict[str, None] = {}
    for kernel in kernels:
        for header in kernel.headers:
            if kernel.body:
                seen.setdefault(header)
    return [header for header in seen if header != "port.h"]


def kernel_text(header: str) -> str:
    """The text of a file of C: of the variant that names it, or of `kernels/`."""
    folder = resources.files("autotiny.engine").joinpath("kernels")
    for variant in VARIANTS:
        if header in variant.headers:
            folder = resources.files(variant.why_not.__module__)
    return folder.joinpath(header).read_text("utf-8")


def _kernel_headers(kernels: Sequence[Kernel]) -> dict[str, str]:
    """The headers used and all they include."""
    files: dict[str, str] = {}
    pending = ["port.h", *_headers(kernels)]
    while pending:
        header = pending.pop(0)
        if header not in files:
            files[header] = kernel_text(header)
            pending += re.findall(r'#include "([^"]+)"', files[header])
    return files
