"""The in-order issue model that every core's table drives.

Time is counted in cycles from the first instruction. A value becomes available `avail` cycles
after its producer issued; a consumer that issues at cycle t reads its operands at t + stage of the
role. So an operand with stage 1 (a late ALU, an accumulator) hides one cycle of its producer's
latency, and one with stage −1 (an address that is computed while decoding) needs it a cycle
earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autotiny.cores.instruction import (
    BRANCHES,
    FPU,
    LOADS,
    STORES,
    Instruction,
    Kind,
    Role,
)

_SINGLE_LOADS = LOADS - {"load_pair", "load_multiple", "fpu_load_pair", "fpu_load_multiple"}
"""Those whose second cycle another access may fill; the others take a cycle for each register, and
one more in any company."""

CAUSES = ("dependency", "issue", "branch", "fetch", "data")
"""Why a cycle was lost: the pipeline yields the first three, the memory the last two."""


@dataclass(frozen=True)
class Prefetch:
    """A buffer of words between the memory and the decoder.

    A word is requested as soon as one has left the full buffer. So what is fetched at the speed of
    execution has no slack: a 4-byte instruction off word borders needs two words at once, and waits
    for the second one where the buffer was full before.

    Attributes:
        words: how many the buffer holds.
        latency: cycles from the request of a word until it can be decoded.
        restart: further cycles where requests had to stop because the buffer was full.
    """

    words: int
    latency: int
    restart: int


@dataclass(frozen=True)
class Timing:
    """The timing of a processor core.

    Attributes:
        width: instructions that may issue in one cycle.
        occupies: cycles for which an instruction keeps the next one from issuing (1 where absent).
        avail: cycles after issue at which the result can be read (see the module's text).
        avail_default: the same for kinds that `avail` does not name.
        avail_updated: the same for an address register that indexing changes.
        stage: cycles after issue at which an operand of that role is read (0 where absent).
        forward: exceptions, (producer kind, role) → avail.
        per_transfer: cycles that each register of a multiple transfer takes.
        branch_taken: extra cycles of a taken branch, by kind.
        branch_not_taken: extra cycles of a conditional branch that falls through.
        predicts: branches are predicted while running; `branch_taken` is then the cost of a
            predicted branch.
        mispredict: cycles that a wrong prediction costs; 0 without a predictor.
        unaligned_target: extra cycles if the target is a 4-byte instruction across a word border.
        pc_load: extra cycles of a load into the program counter.
        load_chain: cycles that a run of loads costs once, unless a store or another load follows.
        unaligned_load: extra cycles of a load across a word border (where accesses are traced).
        store_every: cycles that each store of a loop takes once the store buffer is full.
        fpu_busy: cycles for which the floating-point unit takes no other instruction; others go on.
        after_mac: cycles behind a floating-point multiply-accumulate before an instruction of that
            kind can issue.
        extra: further hazards, (previous, current) → (cycles, cause).
        pairs: whether two instructions may issue together, (older, younger, younger is a taken
            branch).
        early_alu: results that an early ALU delivers one cycle before `avail`, if its operands are
            there early.
        bank_conflict: expected cycles lost by two loads that issue together at unknown distance.
        fetch_bytes: width of an instruction fetch.
        prefetch: the buffer that words are fetched into, where its size can be felt.
    """

    width: int = 1
    occupies: Mapping[Kind, float] = field(default_factory=dict)
    avail: Mapping[Kind, int] = field(default_factory=dict)
    avail_default: int = 1
    avail_updated: int = 1
    stage: Mapping[Role, int] = field(default_factory=dict)
    forward: Mapping[tuple[Kind, Role], int] = field(default_factory=dict)
    per_transfer: float = 1.0
    branch_taken: Mapping[Kind, float] = field(default_factory=dict)
    branch_not_taken: float = 0.0
    predicts: bool = False
    mispredict: float = 0.0
    unaligned_target: float = 0.0
    pc_load: float = 0.0
    load_chain: float = 0.0
    unaligned_load: float = 0.0
    store_every: Mapping[Kind, float] = field(default_factory=dict)
    fpu_busy: Mapping[Kind, int] = field(default_factory=dict)
    after_mac: Mapping[Kind, int] = field(default_factory=dict)
    extra: Callable[[Instruction, Instruction], tuple[float, str]] | None = None
    pairs: Callable[[Instruction, Instruction, bool], bool] | None = None
    early_alu: bool = False
    bank_conflict: float = 0.0
    fetch_bytes: int = 4
    prefetch: Prefetch | None = None


@dataclass(frozen=True)
class Issued:
    """When the instructions of a run issued, and what was lost on the way.

    Attributes:
        starts: the cycle at which each instruction issued.
        end: the cycle at which the next one could.
        lost: cycles by cause, for each instruction in front of which (or in which) they were lost.
    """

    starts: tuple[float, ...]
    end: float
    lost: tuple[Mapping[str, float], ...]


def issue(timing: Timing, run: Sequence[Instruction]) -> Issued:
    """Issues a run of instructions, as executed, through the pipeline.

    Whether a branch was taken is told by the address of the instruction that follows it.

    Args:
        timing: the table.
        run: instructions in the order of execution.
    """
    fetcher = _Fetcher(timing.prefetch) if timing.prefetch is not None else None
    ready: dict[str, tuple[float, Kind]] = {}
    updated: dict[str, float] = {}
    starts: list[float] = []
    lost: list[Mapping[str, float]] = []
    free = 0.0  # the first cycle at which an instruction may issue
    fpu_free = 0.0
    mac_at = -100.0  # when the last floating-point multiply-accumulate issued
    chained = False  # a load before is waiting for another one, or pays for being alone
    slots = 0  # instructions issued in the cycle of the previous one
    for index, current in enumerate(run):
        previous = run[index - 1] if index else None
        causes: dict[str, float] = {}
        needed = _operands_ready(timing, current, ready, updated, timing.stage)
        if current.kind in FPU:
            needed = max(needed, fpu_free, mac_at + timing.after_mac.get(current.kind, 0))
        at = free
        if previous is not None and (previous.kind in BRANCHES or previous.loads_pc):
            penalty = _branch_cost(timing, previous, current)
            _add(causes, "branch", penalty)
            at += penalty
            if current.address != previous.end:
                slots = 0
        if chained and current.kind not in LOADS | STORES | {"nop"}:
            at += timing.load_chain
            _add(causes, "issue", timing.load_chain)
        if previous is not None and timing.extra is not None:
            cycles, cause = timing.extra(previous, current)
            if cycles:
                at += cycles
                _add(causes, cause, cycles)
                slots = 0
        together = (
            timing.width > 1
            and slots == 1
            and previous is not None
            and not causes
            and timing.pairs is not None
            and needed <= starts[-1]
            and timing.pairs(previous, current, _is_taken(run, index))
        )
        if together:
            at = starts[-1]
            slots = 2
            if previous is not None and previous.kind in LOADS and current.kind in LOADS:
                conflict = _bank_conflict(timing, previous, current)
                free += conflict
                _add(causes, "issue", conflict)
        else:
            if needed > at:
                _add(causes, "dependency", needed - at)
                at = needed
            if fetcher is not None:
                ready_at = fetcher.decoded(current, at)
                _add(causes, "fetch", ready_at - at)
                at = ready_at
            slots = 1
        cost = _occupies(timing, current)
        _add(causes, "issue", max(0.0, cost - max(1, current.transfers)))
        free = max(free, at + cost) if together else at + cost
        if current.kind in FPU:
            fpu_free = at + timing.fpu_busy.get(current.kind, 0)
        if current.kind == "fpu_mac":
            mac_at = at
        starts.append(at)
        lost.append(causes)
        chained = current.kind in _SINGLE_LOADS and timing.load_chain > 0
        _publish(timing, current, at, cost, needed, ready, updated, together)
    if chained:
        free += timing.load_chain  # given back below if the next block continues the run
    return Issued(tuple(starts), free, tuple(lost))


class _Fetcher:
    """The words of a run on their way into the decoder."""

    def __init__(self, prefetch: Prefetch) -> None:
        self._prefetch = prefetch
        self._arrived: dict[int, float] = {}
        self._left: dict[int, float] = {}  # when a word's last instruction was taken
        self._requested = 0.0  # the last word
        self._end = -1  # of the instruction before

    def decoded(self, current: Instruction, at: float) -> float:
        """When an instruction can be taken that is wanted at a certain time."""
        unit = self._prefetch
        first, last = current.address >> 2, (current.end - 1) >> 2
        if current.address != self._end:  # the cost of a jump holds until its first word is there
            self._arrived, self._left = {first: at}, {}
            self._requested = at - unit.latency
        word = max(self._arrived)
        while word < last:
            word += 1
            at_once = self._requested + 1
            free = self._left.get(word - unit.words, at_once - 2) + 1
            self._requested = at_once if free <= at_once else free + unit.restart
            self._arrived[word] = self._requested + unit.latency
        at = max(at, self._arrived[last])
        for left in range(first, current.end >> 2):
            self._left[left] = at
        self._end = current.end
        return at


def block_cost(
    timing: Timing,
    context: tuple[Instruction, ...],
    block: tuple[Instruction, ...],
) -> tuple[float, tuple[float, ...], Mapping[str, float]]:
    """Cycles that a block adds when it runs after its predecessor, which may be itself.

    Args:
        timing: the table.
        context: the instructions executed before, empty at the start.
        block: the instructions of the block.

    Returns:
        The cycles, the cycle within the block at which each instruction issues, and the cycles
        lost by cause.
    """
    before = issue(timing, context).end if context else 0.0
    both = issue(timing, (*context, *block))
    causes: dict[str, float] = {}
    for instruction_lost in both.lost[len(context) :]:
        for cause, cycles in instruction_lost.items():
            _add(causes, cause, cycles)
    starts = tuple(start - before for start in both.starts[len(context) :])
    cycles = both.end - before
    if context[-len(block) :] == block:
        waits = sum(timing.store_every.get(i.kind, 0.0) for i in block) - cycles
        if waits > 0:
            _add(causes, "issue", waits)
            cycles += waits
    return cycles, starts, causes


def _add(causes: dict[str, float], cause: str, cycles: float) -> None:
    if cycles:
        causes[cause] = causes.get(cause, 0.0) + cycles


def _occupies(timing: Timing, current: Instruction) -> float:
    fixed = timing.occupies.get(current.kind, 1)
    if current.kind in (
        "load_multiple",
        "store_multiple",
        "fpu_load_multiple",
        "fpu_store_multiple",
    ):
        words = current.transfers * timing.per_transfer
        return float(-(-words // 1)) + fixed
    return float(fixed)


def _operands_ready(
    timing: Timing,
    current: Instruction,
    ready: Mapping[str, tuple[float, Kind]],
    updated: Mapping[str, float],
    stage: Mapping[Role, int],
) -> float:
    needed = 0.0
    if timing.predicts and current.kind == "branch_conditional":
        return needed  # it issues on its prediction and is checked later
    for register, role in current.reads:
        at_stage = stage.get(role, 0)
        if register in updated:
            needed = max(needed, updated[register] - at_stage)
        elif register in ready:
            available, producer = ready[register]
            exception = timing.forward.get((producer, role))
            if exception is not None:
                available += exception - timing.avail.get(producer, timing.avail_default)
            needed = max(needed, available - at_stage)
    return needed


def _publish(
    timing: Timing,
    current: Instruction,
    at: float,
    cost: float,
    needed: float,
    ready: dict[str, tuple[float, Kind]],
    updated: dict[str, float],
    younger: bool,
) -> None:
    """Notes when the results of an instruction can be read."""
    late = latency = timing.avail.get(current.kind, timing.avail_default)
    if timing.early_alu and current.early and (not younger or current.kind == "shift"):
        early = _operands_ready(timing, current, ready, updated, {})
        if early <= at:
            latency -= 1
    multiple = cost - 1 if current.transfers > 1 else 0
    for register in current.writes:
        updated.pop(register, None)
        # Flags are set by the late ALU whatever the early one did.
        own = late if register == "flags" else latency
        ready[register] = (at + own + multiple, current.kind)
    for register in current.updates:
        ready.pop(register, None)
        updated[register] = at + timing.avail_updated


def _is_taken(run: Sequence[Instruction], index: int) -> bool:
    return (
        run[index].kind in BRANCHES
        and index + 1 < len(run)
        and run[index + 1].address != run[index].end
    )


def _branch_cost(timing: Timing, branch: Instruction, target: Instruction) -> float:
    taken = target.address != branch.end
    if branch.loads_pc:
        return timing.pc_load
    if branch.kind not in BRANCHES:
        return 0.0
    if not taken:
        return (
            timing.branch_not_taken
            if branch.kind == "branch_conditional"
            else timing.branch_taken.get(branch.kind, 0.0)
        )
    cost = timing.branch_taken.get(branch.kind, 0.0)
    if target.size == 4 and target.address % timing.fetch_bytes > timing.fetch_bytes - 4:
        cost += timing.unaligned_target
    return cost


def _bank_conflict(timing: Timing, older: Instruction, younger: Instruction) -> float:
    """Two loads pair only on different banks, which hold the even and the odd words."""
    if older.base == younger.base and older.offset is not None and younger.offset is not None:
        step = younger.offset - older.offset
        if not older.indexed:
            return 0.0 if step // 4 % 2 else 1.0
    return timing.bank_conflict
