"""How a network is computed, as data: its steps in order, and of each the kernel and the weights.

Which kernels there are, what each can compute and its C is the business of `engine.variants`; here
stands what a schedule says of them, and every floor can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args


@dataclass(frozen=True)
class Way:
    """A way to compute a layer: the base of one frozen dataclass for each variant of the kernels.

    Its fields are what a schedule may choose, e.g. the size of a block. These hold for all of it:

    Attributes:
        in_model_order: its kernels read the weights as the model stores them, so weights of any
            coding can be decoded for them.
        row_by_row: they read the input row by row where asked to, so the output may replace it.
        stores_factors: int16 factors of the weights are stored, so expanding them means nothing.
        stays: what chooses kernels leaves such a step as it is.
        without_dsp: made for cores without the DSP extension; others have faster kernels.
    """

    in_model_order: ClassVar[bool] = False
    row_by_row: ClassVar[bool] = False
    stores_factors: ClassVar[bool] = False
    stays: ClassVar[bool] = False
    without_dsp: ClassVar[bool] = False


@dataclass(frozen=True)
class Plain(Way):
    """As LiteRT defines it; every op can be computed so."""

    in_model_order = True
    row_by_row = True


WeightsMemory = Literal["flash", "sram", "slow_sram"]


@dataclass(frozen=True)
class Weights:
    """How the weights of a step are stored.

    Attributes:
        coding: "plain", "shared" (indices into a codebook), "huffman" or "ans" (entropy-coded).
        decode: when coded weights become plain: "row" by row as they are used, a "layer" when its
            turn comes, or all at the "start" of the program.
        memory: where they lie when the step runs; "slow_sram" is a data memory behind the one that
            holds the other variables, if the target has one that is slower.
    """

    coding: Literal["plain", "shared", "huffman", "ans"] = "plain"
    decode: Literal["row", "layer", "start"] = "row"
    memory: WeightsMemory = "flash"


Code = Literal["auto", "shared", "own", "fixed"]


@dataclass(frozen=True)
class Step:
    """How one op, or a chain of fused ops, is computed.

    Attributes:
        ops: indices into `Graph.ops`; the first computes, the others work on its results in
            registers (max-pool), row by row (residual add), or on its input (pad). Or all of them
            are one function of an int8 tensor, in the order of the graph, and what the last one
            gives is looked up.
        kernel: the way in which the first is computed, if it is a layer on int8; of other types
            there are `Plain` and `Sparse`.
        weights: how its weights are stored.
        in_place: the output may overwrite the input.
        core: which of the target's cores computes the step.
        code: what its function is made for, which decides its bytes, cycles and stack whatever else
            is in the program. "shared": for pointers, with calls of kernels that other steps may
            call too. "own": for pointers, with its kernel inside, which knows the step's sizes.
            Steps of equal text share such functions. "fixed": as "own", for this step's addresses.
            "auto": "shared" where steps of other text call its kernels too, else "own", and "fixed"
            where no step has its text either.
    """

    ops: tuple[int, ...]
    kernel: Way = Plain()
    weights: Weights = Weights()
    in_place: bool = False
    core: int = 0
    code: Code = "auto"


@dataclass(frozen=True)
class Schedule:
    """The steps of a program, in the order in which they are executed."""

    steps: tuple[Step, ...]


def step_facts(step: Step) -> dict[str, Any]:
    """A step as JSON has it."""
    kernel = {"way": type(step.kernel).__name__, **asdict(step.kernel)}
    return {**asdict(step), "kernel": kernel}


def step_from(facts: Mapping[str, Any], ways: Mapping[str, type[Way]]) -> Step:
    """The step that `step_facts` wrote; `ways` are those that it may name, by their name."""
    kernel = dict(facts["kernel"])
    code = facts.get("code", "auto")  # programs of before the field have none
    if code not in get_args(Code):
        raise ValueError(f"a step's code is {code!r}; it is one of {', '.join(get_args(Code))}")
    return Step(
        tuple(facts["ops"]),
        ways[kernel.pop("way")](**kernel),
        Weights(**facts["weights"]),
        facts["in_place"],
        facts["core"],
        code,
    )
