import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from toys import (
    CALLS,
    TOYS,
    Aware,
    Block,
    Cluster,
    Fold,
    Fuse,
    Idle,
    Int8,
    Int16,
    Place,
    Prune,
    Strip,
    steps_of,
    toy_components,
    toy_data,
    toy_model,
)

from autotiny.cache import Cache
from autotiny.components import Component, Work, objection
from autotiny.errors import InvalidModel, NotApplicable, UserError
from autotiny.model import Level, Model
from autotiny.recipe import (
    Recipe,
    SavedRecipe,
    apply,
    component_from,
    read_recipe,
    step_data,
    steps_from_text,
    write_recipe,
)


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_components(), mock.patch.object(Fold, "commutes_with", {"strip": "as toys do"}):
        yield


def saved(recipe: Recipe) -> SavedRecipe:
    return SavedRecipe(recipe, "stm32f746", "cnn1", "m", "digits", "d", 3, 5, {"cycles": 7}, ("a",))


def test_a_recipe_reads_as_a_line() -> None:
    recipe = Recipe((Prune(0.5), Int8(), Block(rows=4)))
    assert str(recipe) == "prune(sparsity=0.5, structure=element) → int8 → block(rows=4)"


@pytest.mark.parametrize(
    "text",
    [
        "prune(sparsity=0.5, structure=element) → int8 → place(tensors=(1, 2))",
        "prune(sparsity=.5),int8 , place( tensors = [1, 2] )",
        '{"component": "prune", "sparsity": 0.5}, int8, place(tensors=(1, 2))',
        '[{"component": "prune", "sparsity": 0.5}, {"component": "int8"},'
        ' {"component": "place", "tensors": [1, 2]}]',
    ],
)
def test_the_line_reads_back(text: str) -> None:
    steps = (Prune(0.5), Int8(), Place((1, 2)))
    assert steps_from_text(text) == steps
    assert steps_from_text(str(Recipe(steps))) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prune(sparsity=__import__('os'))", "must be float"),
        ("prune(0.5)", "names no parameter"),
        ("prune(sparsity=0.5", "is no component"),
        ("prine(sparsity=0.5)", "did you mean 'prune'"),
        ("prune(sparsity=0.5, structure=rows)", "unknown structure"),
        ("[1, 2", "is not JSON"),
        ('{"component": "prune"}', "lacks its parameter 'sparsity'"),
    ],
)
def test_a_line_that_names_no_components_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        steps_from_text(text)
    assert message in str(refusal.value)


def test_draws_that_mean_the_same_share_a_key() -> None:
    first = Recipe((Prune(0.5), Fold(), Strip(), Int8()))
    second = Recipe((Prune(0.5), Strip(), Fold(), Int8()))
    assert first.key == second.key
    assert first.canonical() == second.canonical()
    assert first.key != Recipe((Prune(0.6), Fold(), Strip(), Int8())).key
    assert Recipe((Prune(0.5), Cluster())).key != Recipe((Cluster(), Prune(0.5))).key


def test_the_canonical_form_is_one_for_all_equivalent_orders() -> None:
    steps = (Fold(), Strip(), Idle(), Strip())
    forms: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for order in permutations(steps):
        recipe = Recipe(order)
        forms.setdefault(recipe.canonical().names, set()).add(recipe.names)
    # Only the place of `idle` among the others decides: 0 to 3 before it, by kind.
    assert len(forms) == 6
    for form in forms:
        assert Recipe(tuple(TOYS[name]() for name in form)).canonical().names == form


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((Int8, Prune), "prune takes a model of level keras, and stands where it is tflite"),
        ((Int8, Int8), "int8 is a second lowering, behind int8; one is enough"),
        ((Fuse, Int8), "fuse takes a model of level tflite or program"),
        ((Aware, Prune, Int8), "prune takes a model of level keras, and stands where it is graph"),
        ((Aware, Int16), "int16 after aware: does not convert"),
        ((Int8, Fuse, Fuse), "a second fuse finds nothing to do"),
        ((Prune, Fold), "nothing lowers the model: it is left at level graph"),
    ],
)
def test_illegal_orders_are_named(steps: tuple[type[Component], ...], reason: str) -> None:
    assert (objection(steps) or "").startswith(reason)


def test_legal_orders_are_legal() -> None:
    assert objection((Prune, Cluster, Aware, Strip, Fold, Int8, Block, Fuse)) is None
    assert objection((Fuse,), Level.TFLITE) is None


def test_every_prefix_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    work = Work(toy_data())
    whole = apply(Recipe((Prune(0.5), Int8(), Fuse())), toy_model(), work, cache)
    assert CALLS == ["prune", "int8", "fuse"]
    assert len(steps_of(whole.model)) == 4
    again = apply(Recipe((Prune(0.5), Int8(), Fuse())), toy_model(), work, cache)
    assert again.key == whole.key
    assert again.model.fingerprint == whole.model.fingerprint
    assert CALLS == ["prune", "int8", "fuse"]
    other = apply(Recipe((Prune(0.5), Int8(), Block())), toy_model(), work, cache)
    assert CALLS == ["prune", "int8", "fuse", "block"]
    assert other.key != whole.key


def test_a_key_names_everything_the_result_depends_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    recipe = Recipe((Int8(),))
    model, data = toy_model(), toy_data()
    keys = {
        apply(recipe, model, Work(data), cache).key,
        apply(recipe, model, Work(data, seed=1), cache).key,
        apply(recipe, model, Work(data, epochs=1), cache).key,
        apply(recipe, model, Work(data, rehearse=True), cache).key,
        apply(recipe, model, Work(data, original=model), cache).key,
        apply(recipe, model, Work(data.shrunk(1, 1, 1)), cache).key,
    }
    assert len(keys) == 6


def test_what_finds_nothing_to_do_drops_out_with_its_reason(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    work = Work(toy_data())
    with_idle = apply(Recipe((Idle(), Int8())), toy_model(), work, cache)
    assert [(one.component, one.reason) for one in with_idle.dropped] == [
        ("idle", "idle: there is never anything to do")
    ]
    assert with_idle.key == apply(Recipe((Int8(),)), toy_model(), work, cache).key
    apply(Recipe((Idle(), Int8())), toy_model(), work, cache)
    assert CALLS == ["idle", "int8"]


def test_a_lowering_that_refuses_ends_the_sequence(tmp_path: Path) -> None:
    def refuse(self: Int8, model: Model, work: Work) -> Model:
        raise NotApplicable("int8: the converter refuses it")

    with mock.patch.object(Int8, "apply", refuse):
        for _ in range(2):
            with pytest.raises(InvalidModel, match="the converter refuses it"):
                apply(Recipe((Int8(), Fuse())), toy_model(), Work(toy_data()), Cache(tmp_path))


def test_components_may_share_what_they_keep_in_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with mock.patch.object(Prune, "apply", side_effect=Prune.apply, autospec=True) as applied:
        apply(Recipe((Prune(0.5), Int8())), toy_model(), Work(toy_data()), cache)
    assert applied.call_args.args[2].cache is cache


def test_a_file_gives_the_recipe_back(tmp_path: Path) -> None:
    recipe = Recipe((Prune(0.5, "block"), Int8(), Place((1, 2))))
    write_recipe(saved(recipe), tmp_path / "r.json")
    assert read_recipe(tmp_path / "r.json") == saved(recipe)
    assert [component_from(step_data(step)) for step in recipe.steps] == list(recipe.steps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99 is not 1"),
        ({"sed": 1}, "unknown field of the recipe 'sed'; did you mean 'seed'"),
        ({"seed": "1"}, "'seed' of the recipe is '1'; it must be int"),
        ({"seed": True}, "it must be int"),
        ({"model": {"name": "cnn1"}}, "model lacks the field 'fingerprint'"),
        ({"steps": [{"component": "prun", "sparsity": 0.5}]}, "did you mean 'prune'"),
        ({"steps": [{"component": "prune"}]}, "prune lacks its parameter 'sparsity'"),
        ({"steps": [{"component": "prune", "sparsety": 1}]}, "did you mean 'sparsity'"),
        ({"steps": [{"component": "prune", "sparsity": "x"}]}, "must be float"),
        (
            {"steps": [{"component": "prune", "sparsity": 0.5, "structure": "blok"}]},
            "did you mean 'block'",
        ),
        ({"steps": [{"component": "block", "rows": 2.5}]}, "rows of block is 2.5; it must be int"),
        ({"steps": ["int8"]}, "must be an object"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = json.loads(saved(Recipe((Int8(),))).to_json()) | change
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as refusal:
        read_recipe(path)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_file_that_is_missing_or_truncated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_recipe(tmp_path / "none.json")
    path = tmp_path / "half.json"
    path.write_text(saved(Recipe((Int8(),))).to_json()[:100])
    with pytest.raises(UserError, match="is not a recipe"):
        read_recipe(path)
