"""What the README of a project and that of a library both say: calls, ports and figures."""

from __future__ import annotations

from collections.abc import Mapping

from autotiny.engine import Port, Sources
from autotiny.metrics import Cost
from autotiny.target import Target

_C_TYPES: Mapping[str, str] = {"float32": "float", "bool": "uint8_t"}


def named_ports(sources: Sources) -> tuple[list[tuple[str, Port]], list[tuple[str, Port]]]:
    """The inputs and the outputs, each with the name that `NAME_invoke` gives it."""
    inputs, outputs = (
        [(f"{part}{number or ''}", port) for number, port in enumerate(ports)]
        for part, ports in (("in", sources.inputs), ("out", sources.outputs))
    )
    return inputs, outputs


def size_macro(sources: Sources, variable: str) -> str:
    """The macro that says how many values an input or output has."""
    return f"{sources.name.upper()}_{_macro(variable)}_SIZE"


def arguments_of(sources: Sources) -> str:
    """What `NAME_invoke` is called with."""
    inputs, outputs = named_ports(sources)
    instance = ("&m",) if sources.state == "caller" else ()
    return ", ".join((*instance, *(variable for variable, _ in (*inputs, *outputs))))


def declarations(sources: Sources, storage: str = "") -> str:
    """An array in C for each input and output; and an instance, where the model has no memory."""
    inputs, outputs = named_ports(sources)
    instance = (f"static {sources.name}_t m;",) if sources.state == "caller" else ()
    arrays = (
        f"{storage}{_c_type(port)} {variable}[{size_macro(sources, variable)}];"
        for variable, port in (*inputs, *outputs)
    )
    return "\n".join((*instance, *arrays))


def memory_text(sources: Sources) -> str:
    """Where the model works."""
    by_caller = sources.state == "caller"
    return f"a `{sources.name}_t` of yours" if by_caller else f"`{sources.name}_arena`"


def call_text(sources: Sources) -> str:
    """How a program of one's own calls the model."""
    arguments = arguments_of(sources)
    return f"{declarations(sources)}\n{_call(sources, arguments)}"


def port_table(sources: Sources) -> str:
    """The rows of a table of inputs and outputs."""
    inputs, outputs = named_ports(sources)
    return "\n".join(_row(variable, port) for variable, port in (*inputs, *outputs))


def _call(sources: Sources, arguments: str) -> str:
    """The call itself."""
    if sources.hearing is None:
        return f"{sources.name}_invoke({arguments});"
    hop, window = sources.hearing.hop, sources.hearing.window
    return (
        f"// every {hop:,} samples; answers are for the last {window:,}\n"
        f"if ({sources.name}_stream_push({arguments})) {{ /* use the outputs */ }}"
    )


def _macro(variable: str) -> str:
    return variable.replace("in", "INPUT").replace("out", "OUTPUT")


def _c_type(port: Port) -> str:
    return _C_TYPES.get(port.dtype, f"{port.dtype}_t")


def _row(variable: str, port: Port) -> str:
    shape = "×".join(map(str, port.shape))
    scale = zero_point = ""
    if port.quantization is not None and len(port.quantization.scales) == 1:
        scale, zero_point = f"{port.quantization.scale:g}", str(port.quantization.zero_point)
    return f"| {variable} ({port.name}) | {port.dtype} | {shape} | {scale} | {zero_point} |"


def figures(cost: Cost, target: Target) -> str:
    """What was measured, as a table."""
    weights = f"weights {cost.weights_bytes:,}"
    parts = f"arena {cost.arena_bytes:,}, static {cost.static_bytes:,}, stack {cost.stack_bytes:,}"
    ran = "one inference" if cost.stream is None else "a hop of the stream"
    rows = [
        ("flash", f"{cost.flash_bytes:,} bytes ({weights})"),
        ("SRAM", f"{cost.sram_bytes:,} bytes ({parts})"),
        (ran, f"{cost.instructions:,} instructions, {cost.cycles:,} cycles"),
        *([("cycles corrected", str(target.correction))] if target.correction else []),
        ("latency", f"{cost.latency_ms:.3f} ms"),
        ("energy, estimated", f"{cost.energy_estimated_mj:.4f} mJ {target.energy_error}"),
    ]
    if cost.stream and cost.stream.duty_cycle is not None:
        share = f"{100 * cost.stream.duty_cycle:.3g} % of {cost.stream.hop_ms:.4g} ms"
        rows.append(("duty cycle", share))
    lines = "".join(f"| {name} | {value} |\n" for name, value in rows)
    return f"| measured | |\n|---|---|\n{lines}"
