"""What every variant of the kernels must bring along, whatever it computes."""

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from test_sweep import VARIANTS as SWEPT
from test_variants import CONV, Layer

from autotiny.engine import (
    plain_schedule,
    with_blocks,
    with_coded_weights,
    with_expanded_weights,
    with_pairs,
    with_room,
    with_strassen,
    with_winograd,
)
from autotiny.engine.headers import kernel_text
from autotiny.engine.kernel import Site
from autotiny.engine.variants import VARIANTS, WAYS
from autotiny.engine.variants.blocks import Blocks
from autotiny.engine.variants.sparse import Sparse
from autotiny.engine.variants.strassen import Strassen
from autotiny.engine.variants.variant import Variant
from autotiny.errors import NotApplicable
from autotiny.firmware.zig import zig_cc
from autotiny.graph import Graph
from autotiny.schedule import Plain, Schedule, Step, Way, Weights, step_facts, step_from

FOLDER = Path(str(resources.files("autotiny.engine.variants")))
CHOOSING: tuple[Callable[[Graph, Schedule], Schedule], ...] = (
    with_blocks,
    with_pairs,
    with_winograd,
    lambda graph, schedule: with_strassen(graph, schedule, 8, 0),
    with_expanded_weights,
)


def folder(variant: Variant) -> Path:
    return Path(str(resources.files(variant.package)))


def test_every_folder_is_a_variant_in_the_list() -> None:
    folders = {path.parent for path in FOLDER.glob("*/__init__.py")}
    assert {folder(one) for one in VARIANTS} == folders
    assert len({one.way for one in VARIANTS}) == len(VARIANTS) == len(WAYS)
    for one in VARIANTS:
        assert one.way in (Plain, vars(__import__(one.package, fromlist=["_"]))[one.way.__name__])


def test_every_file_of_c_is_named_by_the_variant_beside_it() -> None:
    shared = {path.name for path in (FOLDER.parent / "kernels").glob("*.h")}
    for one in VARIANTS:
        assert set(one.headers) == {path.name for path in folder(one).glob("*.h")}
        assert not shared & set(one.headers)
        shared |= set(one.headers)
        for name in one.headers:
            assert kernel_text(name) == (folder(one) / name).read_text(encoding="utf-8")


def test_all_kernels_stand_in_one_program(tmp_path: Path) -> None:
    names = [path.name for path in (FOLDER.parent / "kernels").glob("*.h")]
    names += [name for one in VARIANTS for name in one.headers]
    for name in names:
        (tmp_path / name).write_text(kernel_text(name), encoding="utf-8")
    lines = [f'#include "{name}"' for name in sorted(names)]
    (tmp_path / "all.c").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert not zig_cc(["-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "all.c"], tmp_path)


@pytest.mark.parametrize("kernel", [Plain(), Blocks(2, 4, expanded=True), Strassen(16), Sparse()])
def test_a_step_survives_json(kernel: Way) -> None:
    step = Step(
        (2, 3), kernel, Weights("shared", "layer", "sram"), in_place=True, core=1, code="own"
    )
    assert step_from(json.loads(json.dumps(step_facts(step))), WAYS) == step


def test_a_step_that_says_nothing_of_its_code_leaves_it_open() -> None:
    facts = step_facts(Step((2,), code="fixed"))
    with pytest.raises(ValueError, match="code is 'inline'; it is one of auto, shared, own, fixed"):
        step_from({**facts, "code": "inline"}, WAYS)
    del facts["code"]
    assert step_from(facts, WAYS) == Step((2,))


def test_every_variant_is_swept() -> None:
    swept = {type(change.get("kernel", Plain())) for change in SWEPT.values()}
    assert swept == {one.way for one in VARIANTS}


def test_every_variant_but_the_plain_one_leaves_other_ops() -> None:
    graph = Layer(CONV, (4, 4, 4), 4, pool=True).graph()
    pooling = Site(graph, plain_schedule(graph).steps[1])
    why_nots = {one.way: one.why_not for one in VARIANTS}
    for change in SWEPT.values():
        if "kernel" in change:
            assert why_nots[type(change["kernel"])](pooling.by(change["kernel"]))


def test_coded_weights_and_what_stays_keep_their_kernel() -> None:
    for layer in (Layer(CONV, (4, 4, 16), 8), Layer(CONV, (4, 4, 8), 4, (3, 3))):
        graph = layer.graph()
        coded = Step((0,), weights=Weights("ans", "layer"))
        for step in (coded, Step((0,), Sparse())):
            schedule = Schedule((step,))
            assert with_room(graph, schedule, 1 << 16, dsp=True) == schedule
            for change in CHOOSING:
                with pytest.raises(NotApplicable):
                    change(graph, Schedule((step,)))
        with pytest.raises(NotApplicable):
            with_coded_weights(graph, Schedule((Step((0,), Sparse()),)), "huffman")
