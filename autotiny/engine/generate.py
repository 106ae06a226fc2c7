"""Graph + schedule → C sources.

    steps → kernels (ops/)  →  buffers and offsets (arena.py)  →  text

The text is deterministic: equal graphs, schedules, names and comments give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autotiny.engine.arena import beside, lay_out
from autotiny.engine.c_files import (
    header_text,
    program_text,
    reset_text,
    weights_file,
    weights_text,
)
from autotiny.engine.declared import Emitter, check, check_sizes
from autotiny.engine.fixed_point import UnscalableError
from autotiny.engine.headers import is_header, kernel_headers
from autotiny.engine.kernel import Kept, Kernel, Site, Table
from autotiny.engine.ops import EMITTERS, FUSING
from autotiny.engine.ops.layers import LAYERS
from autotiny.engine.owner import Owner, State, check_state
from autotiny.engine.schedules import plain_schedule
from autotiny.engine.sources import Hearing, Port, Raw, Sources
from autotiny.engine.symbols import Constants, Functions, codes_of, const_free
from autotiny.engine.work import work_of
from autotiny.errors import UnsupportedOp, UserError, shown
from autotiny.graph import Graph, Threshold, fold, variables
from autotiny.schedule import Plain, Schedule, Step
from autotiny.signal import streamed


def check_supported(graph: Graph) -> None:
    """Raise `UnsupportedOp`, naming the op and where it stands, unless every op has a kernel."""
    check_sizes(graph)
    folded = fold(graph)
    _check_results(folded)
    for step in plain_schedule(folded).steps:
        kernel_of(Site(folded, step))


def _check_results(graph: Graph) -> None:
    """A result that no op computes would never be written."""
    for index in graph.outputs:
        if graph.tensors[index].data is not None:
            name = graph.tensors[index].name
            raise UnsupportedOp(f"the result {name!r} of {graph.name} is a constant")


TAKEN = (
    "board", "host", "irq", "main", "startup", "second_core", "selftest", "selftest_samples",
    "weights",
    "assert", "errno", "limits", "math", "stddef", "stdint", "stdio", "stdlib", "string", "time",
)  # fmt: skip
"""Files of a project, and of the C library, that a model must not be named as."""


def check_name(name: str, state: State = "static") -> None:
    """Refuse a name that files, symbols and macros of a model cannot begin with.

    Raises:
        UserError: it is no C identifier, or that of something else; or there is no such state.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name, re.ASCII):
        raise UserError(
            f"the name {shown(name)} must be a C identifier of at most 63 letters, digits and _, "
            "e.g. 'model'"
        )
    if name.lower() in TAKEN or name.lower().startswith("at_") or is_header(f"{name.lower()}.h"):
        raise UserError(
            f"the name {name!r} is that of a file or of functions that a model is used with; "
            f"choose another one, e.g. 'my_{name}'"
        )
    check_state(state, name)


def generate(
    graph: Graph, schedule: Schedule, name: str = "model", *, comment: str = "",
    threshold: Threshold = None, hop: int | None = None, class_names: Sequence[str] = (),
    state: State = "static", raw: Sequence[Raw | None] = (),
) -> Sources:  # fmt: skip
    """Write the C of a network.

    Args:
        graph: the network.
        schedule: how each op is computed; every op that the outputs need belongs to one step.
        name: prefix of the files, symbols and macros, a C identifier.
        comment: lines for the head of the generated files (version, recipe, target; no time).
        threshold: from which result on the answer is yes; a macro of the header, for the caller.
        hop: samples from one answer to the next, where the C is to take a stream and not windows.
        class_names: in the order of the outputs; a macro of the header.
        state: who owns what is written to: the program, or its caller, in one or more instances.
        raw: what each input was before training, where that is known; for the caller, too.

    Raises:
        UserError: the name cannot be taken; or instances would share a second core.
    """
    check_name(name, state)
    check_sizes(graph)
    hearing: Hearing | None = None
    forgotten: tuple[int, ...] = ()
    if hop is not None:
        forgotten = variables(graph)  # each window is computed afresh
        changed = streamed(graph, schedule, hop)
        hearing = Hearing(hop, changed.window)
        graph, schedule = changed.graph, changed.schedule
    graph = fold(graph)
    _check_results(graph)
    sites = [Site(graph, step) for step in schedule.steps]
    kernels = [kernel_of(site) for site in sites]
    cores = [step.core for step in schedule.steps]
    partners = _partners(kernels, cores)
    if partners and state == "caller":
        raise UserError(
            "state of the caller is not there for programs of two cores, whose second core is "
            "handed no instance; leave partition_cores out, or take --state static"
        )
    for k in partners:
        kernels[k] = replace(kernels[k], headers=(*kernels[k].headers, "cores.h"))
    for k, step in enumerate(schedule.steps):
        if step.weights.memory == "slow_sram":
            kernels[k] = replace(kernels[k], headers=(*kernels[k].headers, "slow.h"))
    memory = lay_out(graph, kernels, cores)
    ports = [
        tuple(_port(graph, index, memory.offset_of(index)) for index in indices)
        for indices in (graph.inputs, graph.outputs)
    ]
    called = [k for k, kernel in enumerate(kernels) if kernel.body]
    codes = codes_of([kernels[k] for k in called], [schedule.steps[k].code for k in called])
    owner = Owner(name, state)
    if owner.is_caller:  # no address is known
        codes = ["own" if code == "fixed" else code for code in codes]
    constants = Constants(name)
    functions = Functions(owner)

    def places(tensors: Sequence[int]) -> list[tuple[int, int]]:
        return [(memory.offset_of(i), graph.tensors[i].bytes) for i in tensors]

    kept = places(variables(graph))
    calls: list[str] = []
    labels: list[str] = []
    step_weights: list[int] = []
    step_functions: list[str] = []
    if forgotten:
        labels.append("forget")
        calls += ["// forget", functions.clearing(places(forgotten))]
        step_weights.append(0)
        step_functions.append(f"{name}_forget")
    for k, code in zip(called, codes, strict=True):
        before = constants.bytes
        arguments = [
            constants.symbol(operand.what)
            if isinstance(operand.what, Table)
            else functions.keep(operand.what)
            if isinstance(operand.what, Kept)
            else f"({const_free(operand.c_type)} *)({owner.arena} + {memory.offset(k, operand)})"
            for operand in kernels[k].operands
        ]
        call = functions.call(sites[k], kernels[k], code, arguments)
        weights = constants.bytes - before
        if k in partners:
            step_weights[-1] += weights
            labels[-1] += " + " + _label(sites[k])
            calls[-2:] = [f"// {labels[-1]}", functions.on_two_cores(calls[-1], call)]
        else:
            step_weights.append(weights)
            step_functions.append(call.partition("(")[0])
            labels.append(_label(sites[k]))
            calls += [f"// {labels[-1]}", call]
    written_bytes, kept_bytes = owner.bytes(memory.bytes, functions.kept, hearing is not None)
    files = {
        f"{name}.h": header_text(
            owner, comment, memory.bytes, functions.kept, ports[0], ports[1],
            bool(kept), threshold, hearing, class_names, raw,
        ),
        f"{name}.c": program_text(
            owner, comment, kernels, constants, functions, calls, ports[0], ports[1], hearing
        )
        + reset_text(owner, kept, hearing)
        + owner.init_text(),
        weights_file(name): weights_text(comment, constants),
        **kernel_headers(kernels),
    }  # fmt: skip
    return Sources(
        name=name,
        files=files,
        inputs=ports[0],
        outputs=ports[1],
        arena_bytes=written_bytes,
        weights_bytes=constants.bytes,
        steps=tuple(labels),
        step_weights_bytes=tuple(step_weights),
        functions=tuple(step_functions),
        cores=2 if partners else 1,
        slow_bytes=constants.slow_bytes,
        work=work_of(graph),
        hearing=hearing,
        state=state,
        kept_bytes=kept_bytes,
    )


def arena_bytes(graph: Graph, schedule: Schedule) -> int:
    """How large the arena becomes, after a short search: it may be a little less yet."""
    cores = [step.core for step in schedule.steps]
    return lay_out(graph, kernels_of(graph, schedule), cores, exchanges=30).bytes


def kernels_of(graph: Graph, schedule: Schedule) -> list[Kernel]:
    """The kernel of each step."""
    folded = fold(graph)
    return [kernel_of(Site(folded, step)) for step in schedule.steps]


def _partners(kernels: Sequence[Kernel], cores: Sequence[int]) -> dict[int, int]:
    """Step of core 1 → the step beside which it runs, of which it must be independent."""
    partners = beside(kernels, cores)
    for step, partner in partners.items():
        made = {o.what for o in kernels[partner].operands if not o.c_type.startswith("const ")}
        read = {o.what for o in kernels[step].operands if isinstance(o.what, int)}
        if made & read:
            raise ValueError(f"step {step} runs beside step {partner}, whose result it needs")
    return partners


def kernel_of(site: Site) -> Kernel:
    """The kernel of a step of a graph whose constants are folded."""
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
        for place, op in enumerate(site.fused):
            if op.kind not in FUSING.get(key, ()) or (place and site.op.kind == "CONV_2D"):
                site.refuse(f"its {site.arithmetic} kernel computes no fused {op.kind}")
        if key not in LAYERS and not isinstance(site.step.kernel, Plain):
            site.refuse(f"it is no layer, so its kernel cannot be {site.step.kernel}")
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
