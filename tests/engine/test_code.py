"""What a step's function takes is decided by the schedule; what it computes is the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from elftools.elf.elffile import ELFFile
from grid import Case, build
from images import Network
from test_sparse_types import TYPES, Drawn
from test_sparse_types import inputs as wide_inputs
from test_sweep import CODES, VARIANTS
from test_variants import CONV, DENSE, DEPTHWISE, Layer, samples

from autotiny.engine import Sources, fuse, generate, plain_schedule
from autotiny.engine.variants.blocks import Blocks
from autotiny.engine.variants.lines import Lines
from autotiny.engine.variants.pairs import Pairs
from autotiny.engine.variants.sparse import Sparse
from autotiny.engine.variants.strassen import Strassen
from autotiny.engine.variants.strip import Strip
from autotiny.engine.variants.trios import Trios
from autotiny.engine.variants.winograd import Winograd
from autotiny.errors import UnsupportedOp
from autotiny.firmware import link
from autotiny.firmware.linking import compiler_flags
from autotiny.firmware.zig import zig_cc
from autotiny.graph import Array, Graph, Op
from autotiny.schedule import Code, Schedule, Step, Weights
from autotiny.target import load_target

CALLED_BY_KERNELS = ("at_run_line_",)
"""What stays a function of its own wherever the kernel is that calls it."""


def network(channels: int, k: int, more: bool) -> Graph:
    """Two layers, depthwise if they make 0 channels; with more behind them, of which two are alike.

    The first of these has the text of the one before it, so that they share its function.
    """
    net = Network(8, 8, 16)
    y = net.conv(net.conv(0, channels, k, 1), channels, k, 1)
    if more:
        y = net.conv(net.pool(net.conv(y, channels, k, 1)), channels, k, 1)
        y = net.conv(net.conv(y, 0, 5, 2), 12, 1, 2)
    return net.graph(y)


def scheduled(graph: Graph, change: Mapping[str, Any], code: Code) -> Schedule:
    """The layers that are like the first one changed, and all steps for the same code."""

    def weights(op: Op) -> tuple[int, ...]:
        return graph.tensors[op.inputs[1]].shape if op.kind == graph.ops[0].kind else ()

    steps = [replace(step, code=code) for step in plain_schedule(graph).steps]
    for k, op in enumerate(graph.ops):
        if weights(op) == weights(graph.ops[0]):
            steps[k] = replace(steps[k], **change)
    return Schedule(tuple(steps))


def machine_code(sources: Sources, core: str, folder: Path) -> dict[str, bytes]:
    """Each function in the object file, before anything is linked."""
    for name, text in sources.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    flags = compiler_flags(load_target(core), "-O2")
    complaint = zig_cc([*flags, "-c", "model.c", "-o", "model.o"], folder)
    assert not complaint
    with BytesIO((folder / "model.o").read_bytes()) as file:
        found = {one.name: one.data() for one in ELFFile(file).iter_sections()}
    head = ".text."
    return {name.removeprefix(head): code for name, code in found.items() if name.startswith(head)}


@pytest.mark.parametrize("code", ["shared", "own"])
@pytest.mark.parametrize(
    ("core", "channels", "k", "change"),
    [
        ("stm32l4r5", 16, 3, {"kernel": Blocks(4, 2)}),
        ("stm32f746", 16, 1, {"kernel": Blocks(2, 4)}),
        ("stm32l4r5", 16, 3, {"kernel": Winograd()}),
        ("stm32f746", 16, 3, {"kernel": Strip(8)}),
        ("stm32l4r5", 16, 1, {"kernel": Strassen(8)}),
        ("stm32g0b1", 16, 3, {"kernel": Pairs()}),
        ("stm32g0b1", 16, 3, {"kernel": Trios(24)}),
        ("stm32g0b1", 0, 3, {"kernel": Lines()}),
        ("stm32l4r5", 16, 1, {"kernel": Sparse()}),
        ("stm32g0b1", 16, 1, {"weights": Weights("huffman", "layer")}),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
@pytest.mark.everyday(5)
def test_a_function_is_the_same_in_any_program(
    core: str, channels: int, k: int, change: Mapping[str, Any], code: Code, tmp_path: Path
) -> None:
    alone, among = (
        machine_code(generate(graph, scheduled(graph, change, code)), core, tmp_path)
        for graph in (network(channels, k, False), network(channels, k, True))
    )
    functions = [name for name in alone if name not in ("model_run", "model_invoke")]
    assert [name for name in functions if alone[name] != among[name]] == []
    kernels = [name for name in alone if name.startswith("at_")]
    assert (code == "shared") == any(not name.startswith(CALLED_BY_KERNELS) for name in kernels)
    assert f"model_{'conv_2d' if channels else 'depthwise_conv_2d'}_0" in functions


def programs() -> Iterator[tuple[str, Graph, Schedule]]:
    """Each kind of layer in every variant; wherever its weights lie it calls the same kernels."""
    for layer in (
        Layer(CONV, (6, 5, 16), 8, (3, 3)),
        Layer(CONV, (3, 4, 16), 8, activation="NONE"),
        Layer(CONV, (9, 8, 4), 6, (3, 3), activation="RELU6", pool=True),
        Layer(DENSE, (1, 1, 20), 9),
        Layer(DENSE, (8, 8, 36), 11, activation="NONE", spread=120.0),
        Layer(DEPTHWISE, (6, 5, 4), 4, (3, 3)),
    ):
        graph = layer.graph()
        schedule = plain_schedule(graph)
        (step,) = (fuse(graph, schedule) if layer.pool else schedule).steps
        for name, change in VARIANTS.items():
            if not name.endswith(("in SRAM", "by start")):
                yield f"{name}: {layer}", graph, Schedule((replace(step, **change),))
    for type_ in TYPES:
        for layer in (Layer(CONV, (5, 4, 3), 6, (3, 3)), Layer(DENSE, (1, 1, 20), 9)):
            graph = Drawn(layer, type_, 0.3).graph()
            yield f"{type_}: {layer}", graph, Schedule((Step((0,), Sparse()),))


@pytest.mark.slow
def test_each_code_computes_the_same(tmp_path: Path) -> None:
    cases: list[Case] = []
    for label, graph, schedule in programs():
        (step,) = schedule.steps
        texts: dict[str, Schedule] = {}
        for code in CODES:
            coded = Schedule((replace(step, code=code),))
            try:
                texts.setdefault(generate(graph, coded).files["model.c"], coded)
            except UnsupportedOp:
                break
        if len(texts) < len(CODES) and not label.startswith("plain"):
            continue  # calls no kernel that steps can share: as plain ones do
        x = samples(graph)[2] if graph.tensors[0].dtype == "int8" else wide_inputs(graph)[0]
        cases += [Case(label, graph, (x,), schedule=coded) for coded in texts.values()]
    library = build(cases, tmp_path)
    results = [library.run(k, case.samples) for k, case in enumerate(cases)]
    first: dict[str, Array] = {}
    for case, (result,) in zip(cases, results, strict=True):
        assert np.array_equal(first.setdefault(case.label, result), result), case.label
    assert len(cases) > 2 * len(first) > 100


def kernels() -> str:
    """A pattern of the calls of kernels that steps can share."""
    engine = Path(str(resources.files("autotiny.engine")))
    heads = {
        head
        for path in engine.rglob("*.h")
        for head in re.findall(r"^ *AT_KERNEL\((at_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(heads) > 15
    return rf"\b(?:{'|'.join(sorted(heads))})\w*(?=\()"


def test_emitters_mark_every_kernel_that_steps_can_share() -> None:
    pattern, found = kernels(), 0
    for label, graph, schedule in programs():
        (step,) = schedule.steps
        for code in CODES:
            try:
                sources = generate(graph, Schedule((replace(step, code=code),)))
            except UnsupportedOp:
                break
            called = set(re.findall(pattern, sources.files["model.c"]))
            found += len(called)
            assert all(name.endswith("_own") == (code != "shared") for name in called), label
            shares = set(re.findall(r"AT_SHARES_(\w+) ", sources.files["model.c"]))
            assert shares == (called if code == "shared" else set()), label
    assert found > 150


def test_what_is_left_open_is_shared_where_it_can_be() -> None:
    net = Network(8, 8, 8)
    y = net.conv(net.conv(net.conv(0, 8, 3, 1), 8, 3, 1), 8, 3, 1)  # the last two have equal texts
    graph = net.graph(net.conv(net.conv(y, 0, 3, 1), 8, 1, 1))
    steps = [replace(one, kernel=Pairs()) for one in plain_schedule(graph).steps[:3]]
    steps += plain_schedule(graph).steps[3:]
    expected: tuple[Code, ...] = ("shared", "shared", "shared", "fixed", "fixed")

    def files(codes: tuple[Code, ...]) -> Mapping[str, str]:
        coded = (replace(step, code=code) for step, code in zip(steps, codes, strict=True))
        return generate(graph, Schedule(tuple(coded))).files

    assert files(("auto",) * 5) == files(expected)
    assert files(("fixed", *("auto",) * 4)) == files(("fixed", *expected[1:]))
    text = files(expected)["model.c"]
    assert text.count("AT_STEP void") == 4
    assert text.count("(void) {\n  const int8_t *x = (int8_t *)(model_arena + ") == 2
    steps[0] = plain_schedule(graph).steps[0]  # so that one text alone calls the others' kernel
    assert files(("auto",) * 5) == files(("fixed", "own", "own", "fixed", "fixed"))
    assert "at_conv_dots_clamp_own(" in files(("auto",) * 5)["model.c"]


def test_functions_that_nothing_calls_are_not_linked() -> None:
    one = tensor((1, 4), "float32")
    graph = single("SOFTMAX", [one], one, beta=1.0)
    firmware = link(generate(graph, plain_schedule(graph)), load_target("stm32l4r5"))
    assert "at_exp_fixed" in firmware.files["softmax.h"]
    assert "model_softmax_0" in firmware.symbols and "at_exp_fixed" not in firmware.symbols
