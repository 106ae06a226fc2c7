"""Pairs of components whose order matters by more than the noise of the seeds.

    python benchmarks/order_pairs.py [--seeds 5] [--data digits]

Writes results/order_pairs.md: every pair both ways round, trained anew under each seed, measured as
firmware on an emulated stm32f746. One pair is also what this command shows:

    autotiny order A B --target stm32f746 --seeds 5
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from autotiny.cache import Cache
from autotiny.recipe import step_text, steps_from_text
from autotiny.report.ordering import beyond_text, difference_text, with_noise
from autotiny.study import Comparison, Originals, compare_orders
from autotiny.target import load_target

RESULT = Path(__file__).parent.parent / "results" / "order_pairs.md"
TINY = "int8, fuse_operators, huffman_code(code=ans, decode=row)"
FAST = "int8, fuse_operators, block_gemm"


@dataclass(frozen=True)
class Pair:
    """Two components, and what stands around them, as `autotiny order` takes it."""

    first: str
    second: str
    before: str = ""
    behind: str = TINY


PAIRS = (
    Pair("factorize_low_rank(rank=0.5)", "prune_magnitude(sparsity=0.8)"),
    Pair("reduce_input", "prune_channels(ratio=0.5)", behind=FAST),
    Pair("reduce_input", "prune_magnitude(sparsity=0.9)"),
    Pair("separate_convolutions", "prune_channels(ratio=0.5)", behind=FAST),
    Pair("factorize_low_rank(rank=0.5)", "prune_channels(ratio=0.5)", behind=FAST),
    Pair("prune_channels(ratio=0.5)", "prune_magnitude(sparsity=0.8)"),
    Pair("reduce_input", "separate_convolutions", behind=FAST),
    Pair("separate_convolutions", "factorize_low_rank(rank=0.5)", behind=FAST),
    Pair("select_subnetwork(width=0.5)", "prune_channels(ratio=0.5)", behind=FAST),
    Pair(
        "block_gemm", "skip_zeros",
        before="prune_magnitude(sparsity=0.8), int8, fuse_operators", behind="place_weights",
    ),
)  # fmt: skip


def compared(pair: Pair, data: str, seeds: int, cache: Cache) -> Comparison:
    """A pair both ways round."""
    texts = (pair.first, pair.second, pair.before, pair.behind)
    steps = [steps_from_text(text) if text else () for text in texts]
    return compare_orders(
        steps[0][0],
        steps[1][0],
        load_target("stm32f746"),
        Originals.named("cnn1", data),
        before=steps[2],
        behind=steps[3],
        seeds=seeds,
        cache=cache,
        on_stage=lambda done, total, what: print(f"[{done}/{total}] {what}", flush=True),
    )


def section(found: Comparison) -> str:
    """A pair's table."""
    rows = []
    for figure in found.figures:
        spreads = [found.spread(order, figure) for order in found.orders]
        entry = found.difference(figure)
        cells = [
            with_noise(figure, spread.mean, spread.deviation) if spread else ""
            for spread in spreads
        ]
        cells += [difference_text(figure, entry), beyond_text(entry)] if entry else ["", ""]
        rows.append(f"| {figure} | {' | '.join(cells)} |")
    orders = [
        f"- {letter}: {order.recipe}" + (f" ({order.objection})" if order.objection else "")
        for letter, order in zip(("A → B", "B → A"), found.orders, strict=True)
    ]
    return "\n".join(
        [
            f"## {step_text(found.first)} and {step_text(found.second)}", "", *orders, "",
            "| figure | A → B | B → A | difference | beyond noise |", "|---|---|---|---|---|",
            *rows, "",
        ]
    )  # fmt: skip


def main() -> None:
    """Write results/order_pairs.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", default="digits")
    arguments = parser.parse_args()
    cache = Cache()
    found = [compared(pair, arguments.data, arguments.seeds, cache) for pair in PAIRS]
    mattering = sum(
        any(entry.beyond_noise for figure in one.figures if (entry := one.difference(figure)))
        for one in found
    )
    RESULT.write_text(
        f"""# Does the order matter?

`python benchmarks/order_pairs.py --seeds {arguments.seeds} --data {arguments.data}`

cnn1 on {arguments.data}, {arguments.seeds} seeds: each decides the split of the data, the first
training and every fine-tune. Values are mean ± standard deviation over the seeds; a difference is
given with its standard error, paired by seed. Of {len(found)} pairs the order of {mattering}
matters beyond that noise, in at least one figure.

{chr(10).join(section(one) for one in found)}""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
