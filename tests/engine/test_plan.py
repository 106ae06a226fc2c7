"""The arena: nothing that lives at the same time overlaps, and little is wasted."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from build import tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from images import Network

from autotiny.engine import plain_schedule
from autotiny.engine.arena import beside, homes, lay_out
from autotiny.engine.kernel import Kernel, Operand, Overlap, Scratch
from autotiny.engine.memory import Buffer, Meeting, Part, _lower_bound, plan
from autotiny.engine.ordering import with_least_memory
from autotiny.engine.regions import Region, with_regions
from autotiny.engine.stripes import with_patches, with_two_cores
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, variables
from autotiny.schedule import Schedule, Step, Weights

buffers = st.builds(
    lambda size, first, length: Buffer(size, first, first + length),
    st.integers(1, 5000),
    st.integers(0, 12),
    st.integers(0, 4),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(buffers, min_size=1, max_size=16))
def test_buffers_that_live_together_do_not_overlap(found: list[Buffer]) -> None:
    placed = plan(found)
    for i, one in enumerate(found):
        for j, other in enumerate(found[:i]):
            if one.first <= other.last and other.first <= one.last:
                a, b = placed.offsets[i], placed.offsets[j]
                assert a + one.bytes <= b or b + other.bytes <= a


@settings(max_examples=100, deadline=None)
@given(st.lists(buffers, min_size=1, max_size=16), st.integers(0, 20000))
def test_what_is_enough_is_found_as_the_smallest_would_be(found: list[Buffer], more: int) -> None:
    least = plan(found).bytes
    enough = least - 5000 + more
    assert (plan(found, enough=enough).bytes <= enough) == (least <= enough)


def test_a_chain_takes_its_two_largest_neighbours() -> None:
    sizes = [784, 8112, 2028, 12, 4096, 4000]
    chain = [Buffer(size, step, step + 1) for step, size in enumerate(sizes)]
    assert plan(chain).bytes == 2028 + 8112


def meeting(buffers: list[Buffer], overlap: Overlap) -> Meeting:
    """Step 1 reads the first buffer and writes the second one."""
    return Meeting(0, 1, 1, overlap, (0, buffers[0].bytes), (0, buffers[1].bytes))


def test_an_output_may_run_over_its_input() -> None:
    buffers = [Buffer(8000, 0, 1), Buffer(8000, 1, 2)]
    placed = plan(buffers, [meeting(buffers, Overlap())])
    assert placed.bytes == 8000
    placed = plan(buffers, [meeting(buffers, Overlap(until=-320))])
    assert placed.bytes == 8320
    assert placed.offsets[1] <= placed.offsets[0] - 320


def test_a_growing_output_is_written_from_its_end() -> None:
    buffers = [Buffer(1000, 0, 1), Buffer(4000, 1, 2)]
    placed = plan(buffers, [meeting(buffers, Overlap(None, since=-2936))])
    assert placed.bytes == 4000
    assert placed.offsets[1] + 4000 >= placed.offsets[0] + 1000 + 64


def test_a_buffer_of_wider_elements_is_aligned_to_them() -> None:
    wide = [Buffer(size, 0, 1, alignment=8) for size in (16, 24, 40)]
    placed = plan([Buffer(20, 0, 1), *wide, Buffer(4, 0, 1), Buffer(12, 1, 1)])
    assert [offset % 8 for offset in placed.offsets[1:4]] == [0, 0, 0]


def test_a_growing_buffer_takes_the_place_of_one_that_is_read_bit_by_bit() -> None:
    # An image of 4 × 1000 bytes is read quarter by quarter, 500 bytes are written for each; another
    # 200 bytes are needed all the time.
    image = tuple(Part(1000 * i, 1000 * (i + 1), -1, i) for i in range(4))
    result = tuple(Part(500 * i, 500 * (i + 1), i, 4) for i in range(4))
    buffers = [
        Buffer(4000, -1, 3, pieces=image),
        Buffer(2000, 0, 4, pieces=result),
        Buffer(200, 0, 3),
    ]
    placed = plan(buffers)
    assert placed.bytes == 4000 + 500 + 200
    assert placed.offsets[1] + 500 <= placed.offsets[0] or placed.offsets[1] >= 4000


def test_parts_that_live_together_do_not_overlap() -> None:
    halves = (Part(0, 600, 0, 3), Part(600, 1000, 0, 1))
    placed = plan([Buffer(1000, 0, 3, pieces=halves), Buffer(400, 2, 3), Buffer(300, 1, 3)])
    split, late, early = placed.offsets
    assert late >= split + 600 or late + 400 <= split
    assert early >= split + 1000 or early + 300 <= split
    assert late + 400 <= early or early + 300 <= late
    assert placed.bytes == 1300


def test_no_plan_can_need_less_than_its_bound_nor_stops_above_it() -> None:
    one, other = Buffer(1000, 0, 1), Buffer(600, 1, 2)
    shared = meeting([one, other], Overlap())
    assert _lower_bound([one, other], []) == 1600
    assert _lower_bound([one, other], [shared]) == 1000
    assert _lower_bound([one, other, Buffer(50, 0, 2)], [shared]) == 1050


def test_most_long_chains_with_working_memory_take_no_more_than_their_bound() -> None:
    good = 0
    for seed in range(12):
        dice = random.Random(seed)
        sizes = [4 * dice.randrange(20, 120) for _ in range(40)]
        peak = max(a + b for a, b in pairwise(sizes))
        chain = [Buffer(size, step, step + 1) for step, size in enumerate(sizes)]
        working = [
            Buffer((peak - a - b) // 8 * 4, step, step)
            for step, (a, b) in enumerate(pairwise(sizes), start=1)
        ]
        found = plan(chain + working).bytes
        assert (plan(chain + working, enough=peak).bytes <= peak) == (found <= peak)
        good += found == peak
    assert good >= 10


def test_nothing_takes_no_memory() -> None:
    assert plan([]).bytes == 0
    assert plan([Buffer(7, 0, 0)]).offsets == (0,)
    assert plan([Buffer(7, 0, 0)]).bytes == 7


def test_addresses_are_multiples_of_words() -> None:
    placed = plan([Buffer(7, 0, 1), Buffer(5, 0, 1), Buffer(3, 1, 1)])
    assert all(offset % 4 == 0 for offset in placed.offsets)
    assert placed.bytes == 4 + 8 + 5  # the one that is fullest ends it


def test_an_output_may_begin_where_its_input_does_or_not_before() -> None:
    """Bytes may be written in place, or from 320 bytes behind the input's beginning on."""
    buffers = [Buffer(1000, 0, 1), Buffer(1000, 1, 2)]
    for overlap, bytes_ in (
        (Overlap(None, None, same=True), 1000),
        (Overlap(None, None), 2000),
        (Overlap(None, 320), 1320),
        (Overlap(0), 1000),
        (Overlap(-4), 1004),
        (Overlap(100, same=True), 1000),
    ):
        assert plan(buffers, [meeting(buffers, overlap)]).bytes == bytes_, overlap


@pytest.mark.parametrize(
    ("last", "first", "step", "bytes_"),
    [(1, 1, 1, 100), (2, 1, 1, 200), (1, 0, 1, 200), (1, 1, 0, 200), (1, 2, 1, 100)],
)
def test_only_an_input_that_dies_may_be_overwritten(
    last: int, first: int, step: int, bytes_: int
) -> None:
    buffers = [Buffer(100, 0, last), Buffer(100, first, 3)]
    found = Meeting(0, 1, step, Overlap(), (0, 100), (0, 100))
    assert plan(buffers, [found]).bytes == bytes_


@pytest.mark.parametrize(
    ("read", "written", "bytes_"),
    [((0, 100), (0, 100), 100), ((4, 100), (0, 100), 200), ((0, 96), (0, 100), 200),
     ((0, 100), (4, 100), 200), ((0, 100), (0, 96), 200)],
)  # fmt: skip
def test_only_what_a_step_reads_and_writes_may_meet(
    read: tuple[int, int], written: tuple[int, int], bytes_: int
) -> None:
    buffers = [Buffer(100, 0, 1), Buffer(100, 1, 2)]
    assert plan(buffers, [Meeting(0, 1, 1, Overlap(), read, written)]).bytes == bytes_


def test_a_buffer_needs_the_bytes_of_its_living_parts() -> None:
    whole = Buffer(100, 1, 3)
    assert [whole.bytes_at(step) for step in range(5)] == [0, 100, 100, 100, 0]
    parts = Buffer(100, 0, 3, pieces=(Part(0, 60, 0, 1), Part(60, 100, 1, 3)))
    assert [parts.bytes_at(step) for step in range(5)] == [60, 100, 40, 40, 0]


# Tensors of a graph


def step(*operands: tuple[str, Any], **fields: Any) -> Kernel:
    """A kernel that reads x… and writes y…, by the numbers of their tensors."""
    named = tuple(
        Operand(name, what, "const int8_t" if name.startswith("x") else "int8_t")
        for name, what in operands
    )
    return Kernel(body="computes();", operands=named, **fields)


def graph_of(*sizes: int, ops: tuple[Op, ...] = (), results: tuple[int, ...] = ()) -> Graph:
    tensors = tuple(tensor((n,), "int8") for n in sizes)
    return Graph(tensors, ops, (0,), results or (len(sizes) - 1,))


def test_inputs_live_before_the_first_step_and_results_behind_the_last() -> None:
    graph = graph_of(100, 200, 300)
    kernels = [step(("x", 0), ("y", 1)), step(("x", 1), ("y", 2))]
    assert lay_out(graph, kernels).bytes == 500
    kept = replace(graph, outputs=(0, 2))
    assert lay_out(kept, kernels).bytes == 600


def test_working_memory_lives_for_its_step() -> None:
    graph = graph_of(100, 100, 100)
    kernels = [
        step(("x", 0), ("y", 1), ("s", Scratch(40))),
        step(("x", 1), ("y", 2), ("s", Scratch(60))),
    ]
    arena = lay_out(graph, kernels)
    assert arena.bytes == 260
    for k, kernel in enumerate(kernels):
        spans = [
            (arena.offset(k, o), arena.offset(k, o) + size)
            for o, size in zip(kernel.operands, (100, 100, 40 + 20 * k), strict=True)
        ]
        assert all(a[1] <= b[0] or b[1] <= a[0] for a in spans for b in spans if a != b)


def test_what_is_read_behind_an_input_lies_in_the_arena() -> None:
    graph = graph_of(100, 40)
    assert lay_out(graph, [step(("x", 0), ("y", 1))]).bytes == 140
    arena = lay_out(graph, [step(("x", 0), ("y", 1), reads_past=60)])
    assert arena.bytes >= arena.offset_of(0) + 160
    assert lay_out(Graph((), (), (), ()), []).bytes == 1  # C has no arrays of nothing


def test_a_view_is_a_part_of_what_owns_it() -> None:
    kernels = [Kernel(aliases={1: (0, 10)}), Kernel(aliases={2: (1, 5), 3: (0, 0)})]
    assert homes(kernels) == {1: (0, 10), 2: (0, 15), 3: (0, 0)}
    graph = graph_of(100, 60, 20, 100)
    arena = lay_out(graph, [*kernels, step(("x", 2), ("y", 3))])
    assert arena.offset_of(2) == arena.offset_of(0) + 15


def test_tensors_that_nothing_computes_are_state() -> None:
    ops = (Op("ADD", (0, 1), (2,)), Op("ADD", (2, -1, 3, 1), (4,)))
    graph = graph_of(8, 8, 8, 8, 8, ops=ops)
    assert variables(graph) == (1, 3)
    fixed = (*graph.tensors[:3], tensor((8,), "int8", data=[0] * 8), graph.tensors[4])
    assert variables(replace(graph, tensors=fixed)) == (1,)
    kernels = [step(("x0", 0), ("x1", 1), ("y", 2)), step(("x0", 2), ("x1", 3), ("y", 4))]
    assert lay_out(graph, kernels).bytes == 8 * 4  # both states, and two of the others


def test_a_step_of_the_other_core_runs_beside_the_one_before_it() -> None:
    work, nothing = Kernel(body="computes();"), Kernel()
    assert beside([work, work, work], [0, 1, 0]) == {1: 0}
    assert beside([work, nothing, work], [0, 1, 1]) == {2: 0}
    assert beside([work, work, work], [0, 1, 1]) == {1: 0}
    assert beside([work, work], [1, 1]) == {}
    assert beside([work, work, work, work], [0, 1, 0, 1]) == {1: 0, 3: 2}


def test_what_two_cores_compute_at_once_is_kept_apart() -> None:
    graph = graph_of(100, 100, 100, results=(1, 2))
    over = {("x", "y"): Overlap()}
    kernels = [
        step(("x", 0), ("y", 1), overlaps=over),
        step(("x", 0), ("y", 2), overlaps=over),
    ]
    assert lay_out(graph, kernels).bytes == 200
    assert lay_out(graph, kernels, [0, 0]).bytes == 200
    assert lay_out(graph, kernels, [0, 1]).bytes == 300
    working = [replace(k, operands=(*k.operands, Operand("s", Scratch(40), "int8_t")))
               for k in kernels]  # fmt: skip
    assert lay_out(graph, working, [0, 1]).bytes == 380


def test_wide_elements_are_aligned_to_their_size() -> None:
    tensors = (tensor((5,), "int8"), tensor((2,), "int64"), tensor((3,), "int8"))
    graph = Graph(tensors, (), (0, 1), (2,))
    arena = lay_out(graph, [step(("x0", 0), ("x1", 1), ("y", 2))])
    assert arena.offset_of(1) % 8 == 0


def test_an_order_of_equal_peak_is_that_of_the_graph() -> None:
    ops = (Op("RELU", (0,), (1,)), Op("RELU", (0,), (2,)), Op("ADD", (1, 2), (3,)))
    graph = Graph((tensor((1, 8)),) * 4, ops, (0,), (3,))
    schedule = plain_schedule(graph)
    assert with_least_memory(graph, schedule) == schedule


# Stripes and halves


@pytest.mark.parametrize("keep", [False, True])
def test_stripes_have_equal_rows_but_the_last(keep: bool) -> None:
    net = Network(16, 8, 4)
    graph = net.graph(net.conv(net.conv(0, 16, 3, 1), 4, 3, 2))
    for patches, rows in ((2, [4, 4]), (3, [3, 3, 2]), (5, [2, 2, 2, 2]), (8, [1] * 8)):
        new, _ = with_regions(graph, plain_schedule(graph), [Region(0, 1, patches, keep)])
        joined = new.ops[-1]
        assert (joined.kind, joined.options["axis"]) == ("CONCATENATION", 1)
        assert [new.tensors[t].shape[1] for t in joined.inputs] == rows


def test_a_stripe_reads_the_rows_under_its_windows() -> None:
    """Rows 0 to 3 of a 3 × 3 convolution need rows −1 to 4 of 8: one of padding and five."""
    net = Network(8, 6, 4)
    pooled = net.graph(net.pool(net.conv(0, 32, 3, 1)))
    new, _ = with_patches(pooled, plain_schedule(pooled), patches=2)
    first, second = (op for op in new.ops if op.kind == "CONV_2D")
    shapes = [new.tensors[op.outputs[0]].shape for op in (first, second)]
    assert shapes == [(1, 4, 6, 32)] * 2
    assert [op.options["padding"] for op in (first, second)] == ["VALID"] * 2
    pads = [new.tensors[op.inputs[1]].data.tolist() for op in new.ops if op.kind == "PAD"]  # type: ignore[union-attr]
    assert pads == [
        [[0, 0], [1, 0], [1, 1], [0, 0]],
        [[0, 0], [0, 1], [1, 1], [0, 0]],
    ]
    boxes = [
        [new.tensors[t].data.tolist() for t in op.inputs[1:]]  # type: ignore[union-attr]
        for op in new.ops
        if op.kind == "SLICE"
    ]
    assert boxes == [[[0, 0, 0, 0], [1, 5, 6, 4]], [[0, 3, 0, 0], [1, 5, 6, 4]]]


def halves(graph: Graph) -> list[int]:
    return [one.core for one in with_two_cores(graph, plain_schedule(graph))[1].steps]


def test_layers_of_enough_work_are_halved() -> None:
    """64 · 8 outputs of 8 products each are 4096; of 7 they are fewer."""
    for channels, fits in ((8, True), (7, False)):
        net = Network(8, 8, channels)
        graph = net.graph(net.conv(0, 8, 1, 1))
        if fits:
            assert halves(graph) == [0, 0, 0, 1, 0]  # two slices before, one joint behind
        else:
            with pytest.raises(NotApplicable, match="and 4096 multiplications"):
                halves(graph)


def test_a_layer_of_one_row_stays_whole_and_none_is_halved_twice() -> None:
    net = Network(1, 64, 16)
    with pytest.raises(NotApplicable):
        halves(net.graph(net.conv(0, 16, 1, 1)))
    net = Network(2, 64, 16)
    graph = net.graph(net.conv(0, 16, 1, 1))
    assert 1 in halves(graph)
    with pytest.raises(NotApplicable, match="are divided already"):
        with_two_cores(graph, Schedule((Step((0,), core=1),)))
    coded = Schedule((Step((0,), weights=Weights("ans")),))
    with pytest.raises(NotApplicable):
        with_two_cores(graph, coded)
    late = Schedule((Step((0,), weights=Weights("shared", "layer")),))
    with pytest.raises(NotApplicable):
        with_two_cores(graph, late)
