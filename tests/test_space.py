from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from toys import SPACE, Aware, Cluster, Fuse, Int8, Int16, Prune, toy_components

from autotiny.components import COMPONENTS, LEVELS, objection
from autotiny.errors import UserError
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.space import Space, answers_for, draw, load_space, space_names, suggest


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with toy_components():
        path = tmp_path / "toys.toml"
        path.write_text(SPACE)
        yield load_space(str(path))


class Dice:
    """Answers every question by a fair throw; faster by far than a study."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.random.choice(list(choices))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if step is None:
            return self.random.uniform(low, high)
        return low + step * self.random.randint(0, round((high - low) / step))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return self.random.randrange(low, high + 1, step)


def draws(space: Space, count: int, start: Level = Level.KERAS) -> Iterator[Recipe]:
    for seed in range(count):
        yield suggest(Dice(seed), space, start)


def test_illegal_orders_are_never_drawn(space: Space) -> None:
    found = set()
    for recipe in draws(space, 3000):
        kinds = [COMPONENTS[name] for name in recipe.names]
        assert objection(kinds) is None, recipe
        found.add(recipe.names)
    assert len(found) > 1000
    # Both orders of a free pair come up, and only one of a forced pair.
    both = [names for names in found if {"prune", "cluster"} <= set(names)]
    assert {names.index("prune") < names.index("cluster") for names in both} == {True, False}
    aware = [names for names in found if {"prune", "aware"} <= set(names)]
    assert {names.index("prune") < names.index("aware") for names in aware} == {True}
    assert not any({"aware", "int16"} <= set(names) for names in found)
    # What works on both sides of the lowering is drawn on both.
    strips = [names for names in found if {"strip", "int8"} <= set(names)]
    assert {names.index("strip") < names.index("int8") for names in strips} == {True, False}


def test_a_lowered_model_gets_no_second_lowering(space: Space) -> None:
    names = {name for recipe in draws(space, 200, Level.TFLITE) for name in recipe.names}
    assert names == {"strip", "fuse", "block", "place"}


def test_chance_draws_short_legal_recipes_inside_the_space(space: Space) -> None:
    recipes = [draw(space, Level.KERAS, seed) for seed in range(500)]
    assert recipes == [draw(space, Level.KERAS, seed) for seed in range(500)]
    for recipe in recipes:
        assert objection([COMPONENTS[name] for name in recipe.names]) is None
        assert answers_for(recipe, space) is not None, recipe
    training = [sum(step.trains for step in recipe.steps) for recipe in recipes]
    assert 1.2 < sum(training) / len(training) < 1.6
    assert len({recipe.key for recipe in recipes}) > 400


RANGES = """
[components.prune]
sparsity = { low = 0.1, high = 0.3, step = 0.1 }
[components.cluster]
centroids = { low = 4, high = 16, log = true }
[components.block]
rows = { low = 2, high = 8, step = 3 }
[components.int8]
"""


def test_chance_covers_each_range_to_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "ranges.toml"
    path.write_text(RANGES)
    with toy_components():
        space = load_space(str(path))
        steps = [step for seed in range(1500) for step in draw(space, Level.KERAS, seed).steps]
    found = {
        name: [getattr(step, parameter) for step in steps if step.name == name]
        for name, parameter in (("prune", "sparsity"), ("cluster", "centroids"), ("block", "rows"))
    }
    assert {round(value, 6) for value in found["prune"]} == {0.1, 0.2, 0.3}
    assert set(found["block"]) == {2, 5, 8}
    centroids = sorted(found["cluster"])
    assert (centroids[0], centroids[-1]) == (4, 16)
    # Logarithmic: 45 % are rounded to less than 8; of an even range it would be 29 %.
    assert 0.38 < sum(value < 8 for value in centroids) / len(centroids) < 0.52


def test_what_could_lower_the_model_is_listed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    path.write_text("[components.prune]\nsparsity = 0.5\n")
    with toy_components(), pytest.raises(UserError, match=r"add one of float32, int16, int8$"):
        load_space(str(path))


def test_few_components_train_where_the_space_says_so(space: Space) -> None:
    short = replace(space, trains_at_most=1)
    training = [sum(step.trains for step in recipe.steps) for recipe in draws(short, 200)]
    assert set(training) == {0, 1}
    assert answers_for(Recipe((Prune(0.5), Cluster(), Int8())), short) is None


def test_every_order_can_be_drawn(space: Space) -> None:
    orders = {
        names
        for recipe in draws(space, 3000)
        if set(names := tuple(n for n in recipe.names if n in ("fuse", "block", "place")))
        == {"fuse", "block", "place"}
    }
    assert len(orders) == 6


def test_a_recipe_has_answers_that_draw_it(space: Space) -> None:
    for recipe in draws(space, 300):
        answers = answers_for(recipe, space)
        assert answers is not None
        assert suggest(optuna.trial.FixedTrial(answers), space).key == recipe.key


def test_a_recipe_outside_the_space_has_none(space: Space) -> None:
    assert answers_for(Recipe((Prune(0.5), Int8())), space) is not None
    assert answers_for(Recipe((Prune(0.55), Int8())), space) is None
    assert answers_for(Recipe((Cluster(65), Int8())), space) is None
    assert answers_for(Recipe((Aware(), Int16())), space) is None
    assert answers_for(Recipe((Prune(0.5),)), space) is None
    assert answers_for(Recipe((Int8(), Fuse())), space, Level.TFLITE) is None


def test_parameters_read_well_in_a_dashboard(space: Space) -> None:
    answers = answers_for(Recipe((Prune(0.5), Cluster(8), Int8())), space)
    assert answers is not None
    assert answers["lowering"] == "int8"
    assert answers["prune"] is True
    assert answers["prune.sparsity"] == 0.5
    assert answers["cluster before prune"] is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[components.prun]", "did you mean 'prune'"),
        ("[components.int8]\n[components.prune]\nsparsety = 0.5", "did you mean 'sparsity'"),
        ("[components.int8]\n[components.prune]\nsparsity = { low = 0.5 }", "low and high"),
        (
            "[components.int8]\n[components.prune]\nsparsity = { low = 0.5, high = 0.1 }",
            "low 0.5 lies above high 0.1",
        ),
        (
            "[components.int8]\n[components.prune]\nsparsity = { low = 0, high = 1, stp = 1 }",
            "did you mean 'step'",
        ),
        ("[components.int8]\n[components.prune]\nsparsity = []", "empty list"),
        (
            '[components.int8]\n[components.prune]\nsparsity = 0.5\nstructure = ["blok"]',
            "did you mean 'block'",
        ),
        (
            "[components.int8]\n[components.block]\nrows = { low = 1.5, high = 2 }",
            "must be whole numbers",
        ),
        ("[components.int8]\n[components.prune]", "lacks its parameter 'sparsity'"),
        ("[components.prune]\nsparsity = 0.5", "no component lowers the model"),
        ("[component.int8]", "did you mean 'components'"),
        ("title = 'nothing'", "names no component"),
        (
            "trains_at_most = 1.5\n[components.int8]",
            "trains_at_most is 1.5; it must be a whole number of components",
        ),
        ("[components", "is not TOML"),
        ('first = [[{ component = "int9" }]]\n[components.int8]', "did you mean 'int8'"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with toy_components(), pytest.raises(UserError) as refusal:
        load_space(str(path))
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_an_unknown_space_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'default'"):
        load_space("defualt")
    with pytest.raises(UserError, match="there is no search space file"):
        load_space(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", ["default", "post_training", "seed_tutorial"])
def test_the_spaces_that_come_along_are_legal(name: str) -> None:
    assert name in space_names()
    space = load_space(name)
    assert space.title
    for recipe in space.first:
        assert any(answers_for(recipe, space, level) is not None for level in LEVELS), recipe
    for recipe in draws(space, 500):
        assert objection([COMPONENTS[name] for name in recipe.names]) is None


def test_a_component_for_two_cores_is_drawn_for_two_only() -> None:
    space = load_space("default")
    assert "partition_cores" in space.for_cores(2).components
    assert set(space.components) - set(space.for_cores(1).components) == {"partition_cores"}
