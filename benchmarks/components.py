"""Every component on a network on which it must act: what it costs and what it brings.

    python benchmarks/components.py [--models FOLDER...]

Writes results/components.md. cnn1 learns Fashion-MNIST; ds_cnn and resnet8 learn a tenth of it,
brought to their input shape; other networks stay untrained, as only their cost is looked at.
Figures are of the whole firmware on an emulated Cortex-M4 (stm32l4r5), M7 (stm32h743) and M0+
(rp2040). The folders hold models of others (see benchmarks/models.py): each `.tflite` in them that
a rewrite acts on is measured with and without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from writing import row, step

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, Work
from autotiny.dataset import Dataset, check_fits, load_dataset, synthetic
from autotiny.engine import check_supported
from autotiny.errors import AutotinyError
from autotiny.evaluate import cost, program_of, score_on
from autotiny.graph import Array, Graph
from autotiny.metrics import Cost
from autotiny.model import Model, keras, load_model, tensorflow
from autotiny.recipe import Recipe, apply, parameters
from autotiny.target import load_target

RESULT = Path(__file__).parent.parent / "results" / "components.md"
BOARDS = ("stm32l4r5", "stm32h743", "rp2040")


INT8 = (step("int8"),)
FUSED = (*INT8, step("fuse_operators"))
FAST = (step("block_gemm"), step("spend_sram"))
BEST = (*FUSED, *FAST)
"""What a search knows to be good: the baseline of all that stands before."""
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

CASES = (
    Case(step("reduce_input"), "cnn1", behind=BEST),
    Case(step("prune_channels"), "cnn1", behind=BEST),
    Case(step("prune_channels", ratio=0.5), "resnet8", behind=BEST),
    Case(step("select_subnetwork", width=0.75), "cnn1", behind=BEST),
    Case(step("select_subnetwork"), "resnet8", behind=BEST),
    Case(step("separate_convolutions"), "resnet8", behind=BEST),
    Case(step("factorize_spatial"), "resnet8", behind=BEST),
    Case(step("factorize_low_rank"), "cnn1", behind=BEST),
    Case(step("prune_magnitude"), "cnn1", behind=(*FUSED, step("skip_zeros"), *FAST)),
    Case(step("cluster_weights"), "cnn1", behind=(*FUSED, step("huffman_code"))),
    Case(step("quantize_aware"), "cnn1", behind=BEST),
    Case(step("simplify_arithmetic"), "sums", behind=BEST),
    Case(step("remove_loop_invariants"), "rnn", behind=BEST),
    Case(step("remove_dead_branches"), "branches", behind=BEST),
    Case(step("reduce_control_edges"), "branches", behind=BEST),
    Case(step("fold_constants"), "branches", behind=BEST),
    Case(step("merge_duplicates"), "twice", ahead=INT8, behind=BEST[1:]),
    Case(step("remove_identities"), "moves", ahead=INT8, behind=BEST[1:]),
    Case(step("fuse_recurrent"), "lstm", ahead=(step("int16x8"),)),
    Case(
        step("remove_constant_channels"), "ds_cnn",
        ahead=(step("prune_magnitude", sparsity=0.9), *INT8), behind=BEST[1:],
    ),
    Case(step("float16"), "cnn1", instead=FLOAT32),
    Case(step("dynamic_range"), "cnn1", instead=FLOAT32),
    Case(step("int8_float_fallback"), "cnn1", instead=FLOAT32),
    Case(step("int8"), "cnn1", instead=FLOAT32),
    Case(step("int16x8"), "cnn1", instead=FLOAT32),
    Case(step("fuse_operators"), "cnn1", ahead=INT8, behind=FAST),
    Case(step("fuse_operators"), "resnet8", ahead=INT8),
    Case(step("block_gemm"), "resnet8", ahead=FUSED, behind=FAST[1:]),
    Case(step("spend_sram"), "resnet8", ahead=(*FUSED, FAST[0])),
    Case(step("use_winograd"), "resnet8", ahead=(*FUSED, FAST[0])),
    Case(step("expand_weights"), "resnet8", ahead=FUSED),
    Case(step("strassen"), "deep", ahead=(*FUSED, FAST[0])),
    Case(step("place_weights", budget_bytes=16384), "ds_cnn", ahead=BEST),
    Case(step("skip_zeros"), "cnn1", ahead=(*PRUNED, *FUSED), behind=FAST),
    Case(step("skip_zeros"), "cnn1", ahead=(*BLOCKS_PRUNED, *FUSED), behind=FAST),
    Case(step("share_weights"), "cnn1", ahead=(*CLUSTERED, *FUSED)),
    *(
        Case(
            step("huffman_code", code=code, decode=decode), "cnn1",
            ahead=(*PRUNED, *CLUSTERED, *FUSED),
        )
        for code in ("ans", "huffman")
        for decode in ("row", "layer", "start")
    ),
    Case(step("execute_patchwise"), "mobilenet_v1", ahead=INT8, behind=BEST[1:]),
    Case(step("execute_in_place"), "mobilenet_v1", ahead=INT8),
    Case(step("pair_products"), "ds_cnn", ahead=FUSED),
    Case(step("partition_cores"), "ds_cnn", ahead=FUSED, behind=FAST, boards=("rp2040",)),
)  # fmt: skip


# Networks and what they learn


def rows_lstm() -> Any:
    """An LSTM of 32 units over the 28 rows of an image, 10 classes."""
    k = keras()
    image = k.Input((28, 28), name="rows")
    x = k.layers.LSTM(32, name="lstm")(image)
    return k.Model(image, k.layers.Dense(10, name="dense")(x), name="lstm")


def rows_rnn() -> Any:
    """A plain recurrent layer of 32 units over the 28 rows of an image, 10 classes."""
    k = keras()
    image = k.Input((28, 28), name="rows")
    x = k.layers.SimpleRNN(32, name="rnn")(image)
    return k.Model(image, k.layers.Dense(10, name="dense")(x), name="rnn")


def _convolutions(arithmetic: Callable[[Any, Any, Any], Any], name: str) -> Any:
    """Two convolutions of an image, something done to them, 10 classes."""
    k = keras()
    image = k.Input((16, 16, 8), name="image")
    p, q = (k.layers.Conv2D(8, 3, padding="same", activation="relu")(image) for _ in range(2))
    x = k.layers.AveragePooling2D(4)(arithmetic(image, p, q))
    return k.Model(image, k.layers.Dense(10)(k.layers.Flatten()(x)), name=name)


def sums() -> Any:
    """A factor in common, like terms and several constants."""
    scale = np.linspace(0.5, 1.5, 8, dtype=np.float32)
    return _convolutions(
        lambda x, p, q: p * x + q * x + p * scale + (q + scale) + (p + 2 * scale), "sums"
    )


def branches() -> Any:
    """A conditional whose outcome follows from constants."""
    tf, layer = tensorflow(), keras().layers.Layer

    class Decided(layer):  # type: ignore[misc, valid-type]
        def call(self, x: Any) -> Any:
            large = tf.reduce_sum(tf.sqrt(tf.constant([4.0, 9.0]))) > 1.0
            return tf.cond(large, lambda: tf.tanh(x), lambda: tf.exp(x))

    return _convolutions(lambda x, p, q: Decided()(p + q), "branches")


def twice() -> Any:
    """The same filters in two layers, whose results are used apart."""
    k = keras()
    image = k.Input((16, 16, 8), name="image")
    layers = [k.layers.Conv2D(8, 3, activation="relu") for _ in range(2)]
    p, q = (layer(image) for layer in layers)
    layers[1].set_weights(layers[0].get_weights())
    x = k.layers.Concatenate()([k.layers.MaxPooling2D(2)(p), k.layers.AveragePooling2D(2)(q)])
    return k.Model(image, k.layers.Dense(10)(k.layers.Flatten()(x)), name="twice")


def moves() -> Any:
    """A mean of channels that stand first, as other frameworks have it."""
    k, tf = keras(), tensorflow()

    image = k.Input((16, 16, 8), name="image")
    p, q = (k.layers.Conv2D(8, 3, padding="same", activation="relu")(image) for _ in range(2))
    x = tf.reduce_mean(tf.transpose(p + q, (0, 3, 1, 2)), (2, 3))
    return k.Model(image, k.layers.Dense(10)(x), name="moves")


def deep() -> Any:
    """A pointwise convolution of 256 channels, 10 classes."""
    k = keras()
    image = k.Input((8, 8, 256), name="image")
    x = k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(256, 1, activation="relu")(image))
    return k.Model(image, k.layers.Dense(10)(x), name="deep")


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
    **{
        name: Network(f"benchmarks.components:{builder}", None, (0, 0))
        for name, builder in (
            ("lstm", "rows_lstm"),
            ("rnn", "rows_rnn"),
            ("sums", "sums"),
            ("branches", "branches"),
            ("twice", "twice"),
            ("moves", "moves"),
            ("deep", "deep"),
        )
    },
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
        count=network.classes,
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
    """A sequence applied to a network for each board and measured there; accuracy on the first."""
    model, data = prepared(network)
    cache = Cache()
    work = Work(data=data, epochs=NETWORKS[network].epochs[1], original=model)
    targets = [load_target(board) for board in boards]
    made = [apply(recipe, model, replace(work, target=target), cache) for target in targets]
    costs = (cost(one.model, target, cache) for one, target in zip(made, targets, strict=True))
    first = made[0]
    return Outcome(
        None if data.synthetic else score_on(first.model, data, "test", cache).value,
        tuple(costs),
        program_of(first.model).graph,
        {dropped.component: dropped.reason for dropped in first.dropped},
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
        return row(*head, *("",) * 6, refusal)
    b, a = before.costs[case.boards is BOARDS], after.costs[case.boards is BOARDS]
    cycles = {
        board: pair(f"{one.cycles:,}", f"{other.cycles:,}")
        for board, one, other in zip(case.boards, before.costs, after.costs, strict=True)
    }
    remarks = [after.dropped[case.component.name]] if case.component.name in after.dropped else []
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
            ("plain", FUSED), ("block_gemm", (*FUSED, FAST[0])),
            ("skip_zeros", (*FUSED, step("skip_zeros"))),
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


# Models of others

REWRITES = (
    "simplify_arithmetic", "fold_constants", "remove_identities", "merge_duplicates",
    "fuse_recurrent", "remove_constant_channels", "fuse_operators",
)  # fmt: skip
FOREIGN = ("stm32h743", "stm32l4r5")
LARGEST_BYTES = 1 << 20
"""Of a file of others that is looked at."""


LACKING = {
    "simplify_arithmetic": "a sum with a common factor, like terms or several constants",
    "fold_constants": "an op that computes a constant",
    "remove_identities": "moves that undo each other",
    "merge_duplicates": "equal constants or ops",
    "fuse_recurrent": "a recurrent layer whose steps are ops of their own",
    "remove_constant_channels": "a channel that does not depend on the input",
    "fuse_operators": "ops that one kernel can compute",
}
"""What a rewrite needs, by its name."""


def foreign_lines(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """(rewrite, row) for each rewrite that acts on a model below some folders: before → after."""
    seen: set[str] = set()
    for path in sorted(one for folder in folders for one in folder.rglob("*.tflite")):
        try:
            if path.stat().st_size > LARGEST_BYTES:
                continue
            model = load_model(str(path))
            check_supported(model.graph)
        except AutotinyError:
            continue
        if model.fingerprint in seen or len(model.graph.inputs) != 1:
            continue
        seen.add(model.fingerprint)
        owner = next(folder for folder in folders if path.is_relative_to(folder))
        name = f"{owner.name.replace('+', '/')}: {path.relative_to(owner)}"
        for rewrite in REWRITES:
            found = foreign_line(name, model, rewrite)
            if found is not None:
                print(found, flush=True)
                yield rewrite, found


def foreign_line(name: str, model: Model, rewrite: str) -> str | None:
    """A model with and without a rewrite, in the fastest schedule; None if it does not act."""
    work, cache = Work(data=synthetic(model, samples=8)), Cache()
    behind = FAST if rewrite == "fuse_operators" else BEST[1:]
    after = apply(Recipe((step(rewrite), *behind)), model, work, cache)
    if rewrite in {dropped.component for dropped in after.dropped}:
        return None
    before = apply(Recipe(behind), model, work, cache)
    cells = []
    for board in FOREIGN:
        target = load_target(board)
        try:
            b, a = (cost(one.model, target, cache) for one in (before, after))
        except AutotinyError:
            cells += ["", "", ""]
            continue
        cells += [
            pair(f"{getattr(b, figure):,}", f"{getattr(a, figure):,}")
            for figure in ("flash_bytes", "sram_bytes", "cycles")
        ]
    return row(rewrite, name, *cells)


def foreign_text(folders: Sequence[Path]) -> str:
    """The section on models of others."""
    found = list(foreign_lines(folders))
    lines = [line for _, line in found]
    acting = {rewrite for rewrite, _ in found}
    idle = "; ".join(f"{name}: {LACKING[name]}" for name in REWRITES if name not in acting)
    figures = ("flash, B", "SRAM, B", "cycles")
    titles = [f"{figure} {core}" for core in ("M7", "M4") for figure in figures]
    head = row("rewrite", "model", *titles)
    return f"""\
`.tflite` files of {len(folders)} repositories, up to 1 MB, on which a rewrite acts, each once,
alone before `fuse_operators → block_gemm → spend_sram` (`fuse_operators` before the other two).
What acts on none of them, and what it looked for there: {idle or "nothing"}.

{chr(10).join([head, "|" + "---|" * 8, *lines])}"""


def main() -> None:
    """Write results/components.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", type=Path, default=[], help="folders of models")
    folders = parser.parse_args().models
    missing = set(COMPONENTS) - {case.component.name for case in CASES} - {"float32"}
    if missing:
        raise SystemExit(f"no case looks at {', '.join(sorted(missing))}")
    lines = []
    for case in CASES:
        lines.append(line(case))
        print(lines[-1], flush=True)
    head = row(
        "component", "network", "before it ▸ behind it", "test, %", "flash, B", "SRAM, B",
        "cycles M4", "cycles M7", "cycles M0+", "remarks",
    )  # fmt: skip
    RESULT.write_text(
        f"""# Components, one by one

`python benchmarks/components.py --models FOLDER…`

Each row: the sequence without and with the component, `before → after`; a single figure did not
change. Flash and SRAM are of the whole firmware on stm32h743 (Cortex-M7); M4 is stm32l4r5, M0+ is
rp2040. float32 is what the other lowerings are compared with. cnn1 learns Fashion-MNIST (54,000
images) and is tested on 10,000; ds_cnn and resnet8 learn 5,400 of its images, enlarged to 49×10
and 32×32×3, and are tested on 1,000: there one image is 0.1 %. The others are untrained.
`remove_dead_branches`, `reduce_control_edges`, `fold_constants` and `merge_duplicates` bring
nothing to a network that TensorFlow's converter lowers, for it does the same; a search leaves them
out where they change no byte. No file below holds a conditional, and equal constants are stored
once in any case.

{chr(10).join([head, "|" + "---|" * 10, *lines])}

## Rewrites on models of others

{foreign_text(folders)}

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
