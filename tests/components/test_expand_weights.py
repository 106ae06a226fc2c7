from collections.abc import Sequence

from autotiny.components import COMPONENTS, Work
from autotiny.engine import generate
from autotiny.engine.variants.blocks import EXPANDED
from autotiny.engine.variants.winograd import Winograd
from autotiny.model import Model
from autotiny.schedule import Plain, Step


def steps(model: Model, names: Sequence[str], work: Work) -> tuple[Step, ...]:
    """The schedule that scheduling components leave, one after the other."""
    for name in ("int8", *names):
        model = COMPONENTS[name]().apply(model, work)
    assert generate(model.program.graph, model.program.schedule).files
    found: tuple[Step, ...] = model.program.schedule.steps
    return found


def test_convolutions_are_expanded_and_the_rest_stays_blocked(residual: Model, work: Work) -> None:
    expanded = [step.kernel == EXPANDED for step in steps(residual, ["expand_weights"], work)]
    assert sum(expanded) == 3  # of five layers, one is depthwise and one dense
    blocked = steps(residual, ["block_gemm", "expand_weights"], work)
    assert [step.kernel == EXPANDED for step in blocked] == expanded
    assert sum(step.kernel != Plain() for step in blocked) == 5


def test_what_winograd_filters_is_not_expanded(residual: Model, work: Work) -> None:
    for order in (["use_winograd", "expand_weights"], ["expand_weights", "use_winograd"]):
        found = steps(residual, order, work)
        kernels = [step.kernel for step in found]
        assert (kernels.count(Winograd()), kernels.count(EXPANDED)) == (1, 2)


def test_expanding_doubles_the_weights(residual: Model, work: Work) -> None:
    lowered = COMPONENTS["int8"]().apply(residual, work)
    blocked = COMPONENTS["block_gemm"]().apply(lowered, work).program
    expanded = COMPONENTS["expand_weights"]().apply(lowered, work).program
    convolutions = [1 * 9 * 8, 8 * 9 * 8, 8 * 12]
    plain, wide = (
        sum(generate(model.graph, model.schedule).step_weights_bytes[i] for i in (0, 1, 4))
        for model in (blocked, expanded)
    )
    assert plain + 0.8 * sum(convolutions) < wide < plain + 1.2 * sum(convolutions)
