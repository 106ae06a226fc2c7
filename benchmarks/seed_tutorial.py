"""The tutorial's evaluation, row by row: what it claims, and what is true on a microcontroller.

    python benchmarks/seed_tutorial.py --data fashion_mnist MNIST_FOLDER

Writes results/seed_tutorial.md. Every row is a sequence of components applied to the tutorial's
network, measured as firmware on an emulated stm32f746 and counted on the test images. The last rows
are ours: sequences of a small grid, chosen by their accuracy on validation images only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from rich.progress import track
from writing import row, step

from autotiny.cache import Cache
from autotiny.components import Component, Work
from autotiny.dataset import Dataset
from autotiny.evaluate import program_of
from autotiny.metrics import Metrics
from autotiny.model import Model
from autotiny.recipe import Recipe, apply
from autotiny.study import Evaluator, load_pair
from autotiny.target import Target, load_target
from autotiny.tflite import write_tflite

RESULT = Path(__file__).parent.parent / "results" / "seed_tutorial.md"
ORIGINAL_FILE_BYTES = 271_400
"""The tutorial's `.h5` of the original network, optimizer state included."""
SPARSITIES = (0.6, 0.7, 0.8, 0.85, 0.86, 0.875, 0.9, 0.925)
EPOCHS = 10
"""Upper limit of each fine-tune, as long as the first training."""


@dataclass(frozen=True)
class Claim:
    """A row of the tutorial's evaluation.

    Attributes:
        title: as the tutorial calls it.
        file_bytes: size of its file for CNN1 and for CNN2.
        accuracy: on the test images of Fashion-MNIST (CNN1) and MNIST (CNN2).
        milliseconds: of one inference in its notebooks, on a laptop.
        steps: the same as a sequence of components.
    """

    title: str
    file_bytes: tuple[int, int]
    accuracy: tuple[float, float]
    milliseconds: tuple[float | None, float | None]
    steps: tuple[Component, ...]


@dataclass(frozen=True)
class Measured:
    """What a sequence gives on the microcontroller."""

    recipe: Recipe
    metrics: Metrics
    tflite_bytes: int
    dropped: tuple[str, ...]


PRUNE = (step("prune_magnitude", sparsity=0.8),)
AWARE = (step("quantize_aware"),)
SEPARATE = (step("separate_convolutions"),)
GRAPH = tuple(
    step(name)
    for name in (
        "simplify_arithmetic", "remove_dead_branches", "reduce_control_edges", "fold_constants",
        "remove_identities",
    )
)  # fmt: skip
FLOAT32, FLOAT16, DYNAMIC, INT8 = (
    (step(name),) for name in ("float32", "float16", "dynamic_range", "int8")
)

# Sizes, accuracies and times as the notebooks and files of the tutorial's repository have them.
CLAIMS = (
    Claim("base, .h5", (271_400, 271_400), (0.8919, 0.9804), (333.0, 344.4), FLOAT32),
    Claim("base, .tflite", (83_280, 83_280), (0.8919, 0.9804), (0.257, 0.323), FLOAT32),
    Claim("pruned, .h5", (98_072, 98_072), (0.8886, 0.9784), (175.9, 187.8), PRUNE + FLOAT32),
    Claim("pruned, .tflite", (83_280, 83_280), (0.8886, 0.9784), (0.250, 0.646), PRUNE + FLOAT32),
    Claim("QAT, .h5", (108_680, 282_832), (0.8833, 0.9711), (30.4, None), AWARE + FLOAT32),
    Claim("QAT, .tflite", (83_844, 83_844), (0.8832, 0.9711), (0.336, 0.308), AWARE + FLOAT32),
    Claim("dynamic range", (22_480, 22_480), (0.8917, 0.9803), (0.344, 0.382), DYNAMIC),
    Claim(
        "pruned + dynamic range",
        (22_480, 22_480),
        (0.8881, 0.9785),
        (0.370, 0.254),
        PRUNE + DYNAMIC,
    ),
    Claim(
        "QAT + dynamic range", (24_064, 24_064), (0.8826, 0.9710), (0.502, 0.518), AWARE + DYNAMIC
    ),
    Claim("float16", (42_972, 42_972), (0.8919, 0.9804), (0.264, 0.623), FLOAT16),
    Claim("pruned + float16", (42_972, 42_972), (0.8887, 0.9784), (0.258, 0.352), PRUNE + FLOAT16),
    Claim("QAT + float16", (43_568, 43_568), (0.8829, 0.9711), (0.458, 0.306), AWARE + FLOAT16),
    Claim("int only", (23_208, 23_208), (0.8916, 0.9805), (0.379, 0.506), INT8),
    Claim("pruned + int only", (23_208, 23_208), (0.8881, 0.9785), (0.336, 0.376), PRUNE + INT8),
    Claim("graph, .h5", (98_248, 98_248), (0.8959, 0.9803), (24.9, 28.4), GRAPH + FLOAT32),
    Claim("graph, .tflite", (83_312, 83_312), (0.8959, 0.9803), (0.416, 0.335), GRAPH + FLOAT32),
    Claim(
        "graph + dynamic range", (22_512, 22_512), (0.8959, 0.9805), (0.271, 0.285), GRAPH + DYNAMIC
    ),
    Claim("graph + float16", (43_020, 43_020), (0.8959, 0.9803), (0.332, 0.342), GRAPH + FLOAT16),
    Claim("graph + int only", (23_224, 23_224), (0.8970, 0.9807), (0.335, 0.295), GRAPH + INT8),
    Claim(
        "operations, .h5", (273_696, 273_696), (0.8578, 0.9647), (None, None), SEPARATE + FLOAT32
    ),
    Claim(
        "operations, .tflite", (83_480, 83_480), (0.8578, 0.9647), (0.065, None), SEPARATE + FLOAT32
    ),
    Claim(
        "operations + dynamic range",
        (22_680, 22_680),
        (0.8594, 0.9646),
        (0.123, 0.070),
        SEPARATE + DYNAMIC,
    ),
    Claim(
        "operations + float16",
        (43_700, 43_700),
        (0.8578, 0.9647),
        (0.062, 0.072),
        SEPARATE + FLOAT16,
    ),
    Claim(
        "operations + int only",
        (23_816, 23_816),
        (0.8620, 0.9642),
        (0.113, 0.111),
        SEPARATE + INT8,
    ),
)


@dataclass(frozen=True)
class Goal:
    """What a sequence of ours is chosen for, by validation images.

    Attributes:
        title: of its row.
        best: of the sequences that are able, the one that is chosen.
        loss: accuracy that it may lose on validation, where one image is 1/6000.
        factor: how many times smaller than `ORIGINAL_FILE_BYTES` its firmware is at least.
    """

    title: str
    best: Callable[[Measured], float]
    loss: float = 1.0
    factor: float = 0.0

    def takes(self, found: Measured, base: Measured) -> bool:
        """Whether a sequence is able."""
        lost = base.metrics.score_validation - found.metrics.score_validation
        return lost <= self.loss and flash(found) * self.factor <= ORIGINAL_FILE_BYTES


def flash(found: Measured) -> float:
    """Bytes of the whole firmware."""
    return found.metrics.cost.flash_bytes


def latency(found: Measured) -> float:
    """Milliseconds of one inference."""
    return found.metrics.cost.latency_ms


def inaccuracy(found: Measured) -> float:
    """Share of validation images that are not found; of equals, the smaller firmware."""
    return -found.metrics.score_validation + 1e-9 * flash(found)


GOALS = (
    Goal("most accurate of 25× and more", inaccuracy, factor=25),
    Goal("smallest, none lost on validation", flash, loss=0.0),
    Goal("smallest within 1 %", flash, loss=0.01, factor=49),
    Goal("fastest within 0.5 %", latency, loss=0.005),
)


def grid() -> Iterator[tuple[Component, ...]]:
    """The sequences that ours are chosen from: deep compression, and narrow and blocked.

    Each network is scheduled by components, and by the solver.
    """
    small, fast = step("solve_schedule", minimize="flash"), step("solve_schedule")
    for sparsity, clusters in product(SPARSITIES, (8, 12, 16)):
        compressed = (
            step("prune_magnitude", sparsity=sparsity),
            step("cluster_weights", clusters=clusters), *AWARE, *INT8,
        )  # fmt: skip
        yield (
            *compressed, step("fuse_operators"), step("huffman_code", code="ans", decode="row")
        )  # fmt: skip
        yield (*compressed, small)
    blocked = (step("fuse_operators"), step("block_gemm"))
    for ratio in (0.5, 0.625, 0.75):
        narrow = (step("prune_channels", ratio=ratio),)
        aware = (*narrow, step("quantize_aware", learning_rate=1e-3))
        sparse = (*narrow, step("prune_magnitude", sparsity=0.8, pattern="block"))
        yield (*narrow, *INT8, *blocked)
        yield (*aware, *INT8, *blocked)
        yield (*sparse, *INT8, step("fuse_operators"), step("skip_zeros"), step("block_gemm"))
        yield from ((*trained, *INT8, fast) for trained in (narrow, aware, sparse))


def on_board(
    recipe: Recipe, model: Model, data: Dataset, target: Target, cache: Cache, *, test: bool
) -> Measured:
    """A sequence applied and measured; the test images are looked at only if asked.

    The target is known to solved schedules alone: the tutorial's steps are taken as they are.
    """
    known = target if any(one.name == "solve_schedule" for one in recipe.steps) else None
    work = Work(data=data, epochs=EPOCHS, original=model, target=known, cache=cache)
    candidate = apply(recipe, model, work, cache)
    return Measured(
        recipe=recipe,
        metrics=Evaluator().metrics(candidate.model, target, data, cache, test=test),
        tflite_bytes=len(write_tflite(program_of(candidate.model).graph)),
        dropped=tuple(dropped.component for dropped in candidate.dropped),
    )


def chosen(
    goal: Goal, base: Measured, model: Model, data: Dataset, target: Target, cache: Cache
) -> Measured | None:
    """The best sequence of the grid for a goal, by validation images; then tested."""
    found = (
        on_board(Recipe(steps), model, data, target, cache, test=False)
        for steps in track(list(grid()), description=f"{goal.title}, {data.name}")
    )
    best = min((one for one in found if goal.takes(one, base)), key=goal.best, default=None)
    return best and on_board(best.recipe, model, data, target, cache, test=True)


def times(bytes_: int) -> str:
    """How many times smaller than the tutorial's original file."""
    return f"{ORIGINAL_FILE_BYTES / bytes_:.1f}×"


def measured_cells(found: Measured) -> tuple[str, ...]:
    """What stands in a row about a measured sequence."""
    cost = found.metrics.cost
    return (
        f"{found.tflite_bytes:,}",
        f"{cost.flash_bytes:,}",
        times(cost.flash_bytes),
        f"{cost.sram_bytes:,}",
        f"{cost.latency_ms * 1000:,.0f}",
        f"{found.metrics.score_validation:.4f}",
        f"{found.metrics.score_test:.4f}",
    )


MEASURED_HEAD = (
    ".tflite, B", "firmware, B", "than 271,400", "SRAM, B", "µs", "validation", "test"
)  # fmt: skip


def table(head: tuple[str, ...], rows: list[str]) -> str:
    """A table in Markdown."""
    return "\n".join([row(*head), "|" + "---|" * len(head), *rows])


def section(network: int, data_name: str, target: Target, cache: Cache) -> str:
    """The page's part about CNN1 (network 0) or CNN2 (network 1)."""
    model, data = load_pair("cnn1", data_name, seed=0, cache=cache)
    claimed = []
    measured: dict[str, Measured] = {}
    for claim in track(CLAIMS, description=f"the tutorial's rows, {data.name}"):
        found = on_board(Recipe(claim.steps), model, data, target, cache, test=True)
        measured[claim.title] = found
        time = claim.milliseconds[network]
        claimed.append(
            row(
                claim.title, f"{claim.file_bytes[network]:,}", f"{claim.accuracy[network]:.4f}",
                "" if time is None else f"{time * 1000:,.0f}", *measured_cells(found),
                ", ".join(found.dropped),
            )
        )  # fmt: skip
    base = measured["base, .tflite"]
    blocked = Recipe((*INT8, step("fuse_operators"), step("block_gemm")))
    fast = on_board(blocked, model, data, target, cache, test=False)
    ours = []
    for goal in GOALS:
        best = chosen(goal, base, model, data, target, cache)
        if best is None:
            ours.append(row(goal.title, *("",) * (len(MEASURED_HEAD) + 1), "no sequence does it"))
            continue
        gained = 100 * ((best.metrics.score_test or 0) - (base.metrics.score_test or 0))
        ours.append(row(goal.title, f"{gained:+.2f} %", *measured_cells(best), best.recipe))
    return f"""## CNN{network + 1}: {data.name.rsplit("/", 1)[-1]}, \
{len(data.x_train):,} + {len(data.x_validation):,} + {len(data.x_test):,} images

Claimed (file, accuracy, time on a laptop) and true (firmware on {target.name}).

{table(("row", "file, B", "accuracy", "laptop, µs", *MEASURED_HEAD, "had nothing to do"), claimed)}

Ours; so many times smaller than {ORIGINAL_FILE_BYTES:,} bytes is the whole firmware.

{table(("goal", "test against base", *MEASURED_HEAD, "sequence"), ours)}

{reasons(measured, fast)}"""


def reasons(measured: dict[str, Measured], fast: Measured) -> str:
    """Why claims and truth differ, with the figures of the table and of int8 in blocks."""

    def firmware(title: str) -> str:
        return f"{flash(measured[title]):,}"

    def micros(title: str) -> str:
        return f"{1000 * latency(measured[title]):,.0f}"

    def tflite(title: str) -> str:
        return f"{measured[title].tflite_bytes:,}"

    blocked = f"{1000 * latency(fast):,.0f}"
    return f"""Why they differ:

- **Smaller by 2.76 for pruning and graph** is the optimizer's state, which the `.h5` of the base
  still holds and the others do not. As `.tflite`, base, pruned and graph take
  {tflite("base, .tflite")}, {tflite("pruned, .tflite")} and {tflite("graph, .tflite")} bytes;
  as firmware {firmware("base, .tflite")}, {firmware("pruned, .tflite")} and
  {firmware("graph, .tflite")}.
- **Pruning alone changes neither size nor time** ({micros("base, .tflite")} µs before,
  {micros("pruned, .tflite")} after): a zero is stored and multiplied like any other weight. It pays
  where a later step makes use of zeros, as in the last table.
- **Faster by hundreds** divides loading a Keras model and evaluating it by one `invoke`. On the
  microcontroller float32, dynamic range, float16 and int only take {micros("base, .tflite")},
  {micros("dynamic range")}, {micros("float16")} and {micros("int only")} µs with plain kernels.
- **float16 as the fastest format** is a laptop's: a Cortex-M7 has no half-precision arithmetic and
  widens each weight before it is used. What makes int8 fast is its kernels, which a `.tflite` does
  not hold: fused and blocked, int only takes {blocked} µs.
- **The accuracy that graph optimization gained** (0.8959 and 0.8970 of CNN1 against 0.8919) is
  another training of the same network. Here the rewrites change no result and no byte of firmware.
- **Operations**: separating the only convolution loses accuracy in both; here it begins from the
  original's kernels (by SVD) and is taught by the original.
- **QAT**: the tutorial trains it on 1,000 images; here it sees all of them.
"""


def main() -> None:
    """Write results/seed_tutorial.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", nargs=2, default=("fashion_mnist", "mnist"), help="Fashion-MNIST and MNIST"
    )
    arguments = parser.parse_args()
    target, cache = load_target("stm32f746"), Cache()
    parts = [section(k, name, target, cache) for k, name in enumerate(arguments.data)]
    RESULT.write_text(
        f"""# The tutorial, row by row

`python benchmarks/seed_tutorial.py --data fashion_mnist mnist`

The network of the tutorial (Conv2D 12 of 3×3, MaxPooling2D, Dense 10; 20,410 parameters) as CNN1 on
Fashion-MNIST and CNN2 on MNIST. A tenth of the training images is held back for validation. The
tutorial's rows are computed by plain kernels, one an op; firmware is the whole ELF, start-up code
and vector table included. Ours are chosen by validation accuracy among the {len(list(grid()))}
sequences of the script's grid; the test images decide nothing.

{chr(10).join(parts)}""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
