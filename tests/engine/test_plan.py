"""The arena: nothing that lives at the same time overlaps, and little is wasted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from autotiny.engine.kernel import Overlap
from autotiny.engine.memory import Buffer, Meeting, Part, _lower_bound, plan

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
