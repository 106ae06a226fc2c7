"""Every component alone on a network that suits it: what it costs and what it brings.

    python benchmarks/components.py

Writes results/components.md. cnn1 learns Fashion-MNIST; ds_cnn, resnet8 and an LSTM learn a tenth
of it, brought to their input shape; mobilenet_v1 stays untrained, as only its memory is looked at.
Figures are of the whole firmware on an emulated Cortex-M4 (stm32l4r5) and M7 (stm32f746).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from writing import row, step

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, Work
from autotiny.dataset import Dataset, check_fits, load_dataset, synthetic
from autotiny.errors import AutotinyError
from autotiny.evaluate import accuracy_on, cost, program_of
from autotiny.graph import Array, Graph
from autotiny.metrics import Cost
from autotiny.model import Model, keras, load_model
from autotiny.recipe import Recipe, apply, parameters
from autotiny.target import load_target

RESULT = Path(__file__).parent.parent / "results" / "components.md"
BOARDS = ("stm32l4r5", "stm32f746")


INT8 = (step("int8"),)
FUSED = (*INT8, step("fuse_operators"))
BLOCKED = (*FUSED, step("block_gemm"))
PRUNED = (step("prune_magnitude", sparsity=0.8),)
BLOCKS_PRUNED = (step("prune_magnitude", sparsity=0.8, pattern="block"),)
CLUSTERED = (step("cluster_weights", clusters=16),)


@dataclass(frozen=True)
class Case:
    """A component between the steps it needs.

    Attributes:
        component: what is looked at.
        network: a key of `NETWORKS`.
        ahead: steps before it, there with and without it.
        behind: steps after it, likewise.
        instead: what stands in its place without it: another lowering.
        boards: where it is measured.
    """

    component: Component
    network: str
    ahead: tuple[Component, ...] = ()
    behind: tuple[Component, ...] = ()
    instead: tuple[Component, ...] = ()
    boards: tuple[str, ...] = BOARDS

    @property
    def without(self) -> Recipe:
        """The sequence before."""
        return Recipe((*self.ahead, *self.instead, *self.behind))

    @property
    def with_it(self) -> Recipe:
        """The sequence after."""
        return Recipe((*self.ahead, self.component, *self.behind))


FLOAT32 = (step("float32"),)
FROZEN = (step("reduce_control_edges"),)
"""Changes no figure, but freezes the model."""

CASES = (
    Case(step("reduce_input"), "cnn1", behind=BLOCKED),
    Case(step("prune_channels", ratio=0.5), "resnet8", behind=BLOCKED),
    Case(step("separate_convolutions"), "resnet8", behind=BLOCKED),
    Case(step("factorize_spatial", rank=0.5), "resnet8", behind=BLOCKED),
    Case(step("factorize_low_rank", rank=0.5), "cnn1", behind=BLOCKED),
    Case(step("select_subnetwork", width=0.5), "resnet8", behind=BLOCKED),
    Case(step("prune_magnitude", sparsity=0.8), "cnn1", behind=BLOCKED),
    Case(step("cluster_weights", clusters=16), "cnn1", behind=BLOCKED),
    Case(step("quantize_aware"), "cnn1", behind=BLOCKED),
    Case(step("remove_loop_invariants"), "lstm", ahead=FROZEN, behind=BLOCKED),
    *(
        Case(step(name), "lstm", ahead=FROZEN, behind=INT8)
        for name in (
            "simplify_arithmetic", "remove_dead_branches", "fold_constants", "remove_identities",
            "merge_duplicates",
        )
    ),
    Case(step("reduce_control_edges"), "cnn1", behind=BLOCKED),
    Case(step("fuse_recurrent"), "lstm", ahead=(step("int16x8"),)),
    Case(
        step("remove_constant_channels"), "ds_cnn",
        ahead=(step("prune_magnitude", sparsity=0.9), *INT8), behind=BLOCKED[1:],
    ),
    Case(step("float16"), "cnn1", instead=FLOAT32),
    Case(step("dynamic_range"), "cnn1", instead=FLOAT32),
    Case(step("int8_float_fallback"), "cnn1", instead=FLOAT32),
    Case(step("int8"), "cnn1", instead=FLOAT32),
    Case(step("int16x8"), "cnn1", instead=FLOAT32),
    Case(step("fuse_operators"), "cnn1", ahead=INT8),
    Case(step("block_gemm"), "resnet8", ahead=FUSED),
    Case(step("use_winograd"), "resnet8", ahead=BLOCKED),
    Case(step("expand_weights"), "resnet8", ahead=BLOCKED),
    Case(step("strassen", least_depth=64), "ds_cnn", ahead=FUSED),
    Case(step("strassen", least_depth=64), "ds_cnn", ahead=BLOCKED),
    Case(step("place_weights", budget_bytes=16384), "ds_cnn", ahead=BLOCKED),
    Case(step("skip_zeros"), "cnn1", ahead=(*PRUNED, *FUSED)),
    Case(step("skip_zeros"), "cnn1", ahead=(*BLOCKS_PRUNED, *FUSED)),
    Case(step("share_weights"), "cnn1", ahead=(*CLUSTERED, *FUSED)),
    *(
        Case(
            step("huffman_code", code=code, decode=decode), "cnn1",
            ahead=(*PRUNED, *CLUSTERED, *FUSED),
        )
        for code in ("ans", "huffman")
        for decode in ("row", "layer", "start")
    ),
    Case(step("execute_patchwise"), "mobilenet_v1", ahead=INT8, behind=BLOCKED[1:]),
    Case(step("execute_in_place"), "mobilenet_v1", ahead=INT8),
    Case(step("pair_products"), "ds_cnn", ahead=FUSED, boards=("rp2040",)),
    Case(
        step("partition_cores"), "ds_cnn", ahead=INT8, behind=(step("pair_products"),),
        boards=("rp2040",),
    ),
)  # fmt: skip


# Networks and what they learn


def rows_lstm() -> Any:
    """An LSTM of 32 units over the 28 rows of an image, 10 classes."""
    k = keras()
    image = k.Input((28, 28), name="rows")
    x = k.layers.LSTM(32, name="lstm")(image)
    return k.Model(image, k.layers.Dense(10, name="dense")(x), name="lstm")


def in_colour(x: Array) -> Array:
    """Images (N, 28, 28) as (N, 32, 32, 3): edged with zeros, all channels equal."""
    edged = np.pad(x, ((0, 0), (2, 2), (2, 2)))
    return np.repeat(edged[..., None], 3, axis=3)


def as_frames(x: Array) -> Array:
    """Images (N, 28, 28) as (N, 49, 10, 1): each pixel the nearest of the image."""
    rows, columns = np.arange(49) * 28 // 49, np.arange(10) * 28 // 10
    frames: Array = x[:, rows][:, :, columns, None]
    return frames


@dataclass(frozen=True)
class Network:
    """A network, what it learns, and for how many epochs at most (first training, fine-tune).

    `classes` is how many outputs it has; those behind the tenth never occur.
    """

    builder: str
    shaped: Callable[[Array], Array] | None
    epochs: tuple[int, int]
    share: int = 10
    classes: int = 10


NETWORKS: Mapping[str, Network] = {
    "cnn1": Network("cnn1", lambda x: x, (10, 10), share=1),
    "ds_cnn": Network("ds_cnn", as_frames, (15, 3), classes=12),
    "resnet8": Network("resnet8", in_colour, (12, 6)),
    "lstm": Network("benchmarks.components:rows_lstm", lambda x: x, (6, 3)),
    "mobilenet_v1": Network("mobilenet_v1", None, (0, 0)),
}


@lru_cache
def prepared(name: str) -> tuple[Model, Dataset]:
    """A network after its first training, and its data."""
    network, cache = NETWORKS[name], Cache()
    if network.shaped is None:
        model = load_model(network.builder)
        return model, synthetic(model, samples=64)
    data = load_dataset("fashion_mnist")
    if network.share > 1:
        data = data.shrunk(*(n // network.share for n in (54_000, 6_000, 10_000)))
    shaped = replace(
        data,
        x_train=network.shaped(data.x_train),
        x_validation=network.shaped(data.x_validation),
        x_test=network.shaped(data.x_test),
        classes=network.classes,
    )
    data = check_fits(load_model(network.builder), shaped)
    return load_model(network.builder, data, epochs=network.epochs[0], cache=cache), data


# Measuring


@dataclass(frozen=True)
class Outcome:
    """What a sequence gives: accuracy, one cost a board, the graph, and what dropped out."""

    accuracy: float | None
    costs: tuple[Cost, ...]
    graph: Graph
    dropped: Mapping[str, str]


@lru_cache
def outcome(recipe: Recipe, network: str, boards: tuple[str, ...]) -> Outcome:
    """A sequence applied to a network and measured on each board."""
    model, data = prepared(network)
    cache = Cache()
    work = Work(data=data, epochs=NETWORKS[network].epochs[1], original=model)
    candidate = apply(recipe, model, work, cache)
    return Outcome(
        None if data.synthetic else accuracy_on(candidate.model, data, "test", cache),
        tuple(cost(candidate.model, load_target(board), cache) for board in boards),
        program_of(candidate.model).graph,
        {dropped.component: dropped.reason for dropped in candidate.dropped},
    )


def pair(before: object, after: object) -> str:
    """Two figures, or one if they are equal."""
    return str(after) if before == after else f"{before} → {after}"


def share(value: float | None) -> str:
    """An accuracy, or nothing where there is none."""
    return "" if value is None else f"{100 * value:.2f}"


def short(component: Component) -> str:
    """A component with the parameters that are not its defaults."""
    usual = parameters(type(component)())
    chosen = {k: v for k, v in parameters(component).items() if v != usual[k]}
    shown = ", ".join(f"{name}={value}" for name, value in chosen.items())
    return f"{component.name}({shown})" if shown else component.name


def line(case: Case) -> str:
    """A case as a row: before → after."""
    sides = ((*case.ahead, *case.instead), case.behind)
    around = " ▸ ".join(" → ".join(map(short, side)) for side in sides)
    head = (short(case.component), case.network, around)
    try:
        before = outcome(case.without, case.network, case.boards)
        after = outcome(case.with_it, case.network, case.boards)
    except AutotinyError as refusal:
        return row(*head, *("",) * 5, refusal)
    b, a = before.costs[-1], after.costs[-1]
    cycles = {
        board: pair(f"{one.cycles:,}", f"{other.cycles:,}")
        for board, one, other in zip(case.boards, before.costs, after.costs, strict=True)
    }
    remarks = [f"on {case.boards[0]}: {cycles[case.boards[0]]}"] if case.boards != BOARDS else []
    remarks += [after.dropped[case.component.name]] if case.component.name in after.dropped else []
    return row(
        *head,
        pair(share(before.accuracy), share(after.accuracy)),
        pair(f"{b.flash_bytes:,}", f"{a.flash_bytes:,}"),
        pair(f"{b.sram_bytes:,}", f"{a.sram_bytes:,}"),
        *(cycles.get(board, "") for board in BOARDS),
        "; ".join(remarks),
    )


def dense(network: str, steps: tuple[Component, ...]) -> tuple[int, list[int]]:
    """(constants in bytes, cycles on each board) of the dense layer of a sequence's result."""
    costs = outcome(Recipe(steps), network, BOARDS).costs
    layers = [
        next(layer for layer in found.layers if layer.name.startswith("fully_connected"))
        for found in costs
    ]
    return layers[0].weights_bytes, [layer.cycles for layer in layers]


def sparse_section() -> str:
    """The dense layer of cnn1 at 80 % zeros, by single weights and in blocks of 1×4."""
    rows = []
    for name, pruned in (("single weights", PRUNED), ("blocks of 1×4", BLOCKS_PRUNED)):
        for title, scheduled in (
            ("plain", FUSED), ("block_gemm", BLOCKED), ("skip_zeros", (*FUSED, step("skip_zeros"))),
        ):  # fmt: skip
            bytes_, cycles = dense("cnn1", (*pruned, *scheduled))
            rows.append(row(name, title, f"{bytes_:,}", *(f"{count:,}" for count in cycles)))
    head = row("zeros", "kernel", "constants, B", "cycles M4", "cycles M7")
    return "\n".join([head, "|---|---|---|---|---|", *rows])


DENSE_WEIGHTS = 20_280
"""Of the dense layer of cnn1."""


def entropy_bytes(graph: Graph) -> float:
    """Zeroth-order entropy of the largest int8 constant, the dense layer's weights, in bytes."""
    constants = [t.data for t in graph.tensors if t.data is not None and t.dtype == "int8"]
    weights = max(constants, key=lambda values: int(values.size))
    shares = np.unique(weights, return_counts=True)[1] / weights.size
    return float(-(shares * np.log2(shares)).sum() * weights.size / 8)


def entropy_section() -> str:
    """The coded dense layer of cnn1, pruned and clustered, against the entropy of its weights."""
    rows = []
    for title, trained in (("int8", ()), ("quantize_aware → int8", (step("quantize_aware"),))):
        steps = (*PRUNED, *CLUSTERED, *trained, *FUSED)
        least = entropy_bytes(outcome(Recipe(steps), "cnn1", BOARDS).graph)
        plain, _ = dense("cnn1", steps)
        for code in ("ans", "huffman"):
            bytes_, _ = dense("cnn1", (*steps, step("huffman_code", code=code, decode="row")))
            coded = bytes_ - (plain - DENSE_WEIGHTS)  # both hold the same biases and multipliers
            above = f"{100 * (coded / least - 1):+.1f} %"
            rows.append(row(title, code, f"{coded:,}", f"{least:,.0f}", above))
    head = row(
        "lowered by", "code", "stream and tables, B", "entropy of the weights, B", "above it"
    )
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def main() -> None:
    """Write results/components.md."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    missing = set(COMPONENTS) - {case.component.name for case in CASES} - {"float32"}
    if missing:
        raise SystemExit(f"no case looks at {', '.join(sorted(missing))}")
    lines = [line(case) for case in track(CASES, description="components")]
    head = row(
        "component", "network", "before it ▸ behind it", "test, %", "flash, B", "SRAM, B",
        "cycles M4", "cycles M7", "remarks",
    )  # fmt: skip
    RESULT.write_text(
        f"""# Components, one by one

`python benchmarks/components.py`

Each row: the sequence without and with the component, `before → after`; a single figure did not
change. Flash and SRAM are of the whole firmware on the Cortex-M7 (rp2040 where the row says so).
float32 is what the other lowerings are compared with. cnn1 learns Fashion-MNIST (54,000 images) and
is tested on 10,000; ds_cnn, resnet8 and the LSTM learn 5,400 of its images, enlarged to 49×10 and
32×32×3 and read row by row, and are tested on 1,000: there one image is 0.1 %. mobilenet_v1 keeps
its initial weights. Without a remark a row that shows no change is a component that worked and
brought nothing here.

{chr(10).join([head, "|" + "---|" * 9, *lines])}

## Zeros left out: the dense layer of cnn1 (2028 → 10) at 80 %

{sparse_section()}

## Entropy coding: the dense layer of cnn1, pruned (80 %) and clustered (16)

Without quantization-aware training each output has a scale of its own, so 16 clusters become more
int8 values; those that stand for the same real number share a symbol, which may take less than the
entropy of the int8 values.

{entropy_section()}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
