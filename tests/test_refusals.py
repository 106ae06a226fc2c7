"""What makes no sense is refused alike in recipes, search spaces, Python and commands."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from toys import toy_data, toy_model

import autotiny
from autotiny import api, target
from autotiny.cache import Cache
from autotiny.checked import NUMBERS, arguments, bare, hints_of, range_of
from autotiny.components import COMPONENTS, Component, is_lowering
from autotiny.datafile import data_folder
from autotiny.errors import UserError
from autotiny.model import Level
from autotiny.ranges import Choice, Fixed, Span
from autotiny.recipe import Recipe, component_from, read_recipe, steps_from_text
from autotiny.space import Space, load_space
from autotiny.study.job import candidate_of
from autotiny.target import Memory, Target, load_target

PARAMETERS = [(kind, name) for kind in COMPONENTS.values() for name in hints_of(kind)]
NUMERIC = [(kind, name) for kind, name in PARAMETERS if bare(hints_of(kind)[name]) in (int, float)]


def identify(value: object) -> str:
    return value.name if isinstance(value, type) and issubclass(value, Component) else str(value)


def outside(kind: type[Component], name: str) -> list[Any]:
    """Values that a parameter must not have."""
    hint = hints_of(kind)[name]
    usual = getattr(kind(), name)
    always = [math.nan, math.inf, -math.inf, True, False, str(usual) + "0", [usual], [], {}, ""]
    if bare(hint) not in (int, float):
        return [*always, "no such word", str(usual).upper(), 0, 1, -1]
    bounds = range_of(hint)
    assert bounds is not None
    number = bare(hint)
    low = bounds.ge if bounds.ge is not None else bounds.gt
    high = bounds.le if bounds.le is not None else bounds.lt
    assert low is not None and high is not None
    far = [10**30, -(10**30), 1e9 if high < 1e9 else -1e9]
    found = [*always, *far, str(usual), -1, low - 1, high + 1]
    found += [number(end) for end in (bounds.gt, bounds.lt) if end is not None]
    if number is int:
        found += [float(usual), usual + 0.5]
    else:
        found += [math.nextafter(low, -math.inf), math.nextafter(high, math.inf)]
    if bounds.multiple_of:
        found.append(usual + 1)
    return found


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (str, list)) else repr(value)


def recipe_text(*steps: dict[str, Any], **more: Any) -> str:
    content = {
        "schema": 1, "autotiny": "0.1.0", "target": "rp2040", "seed": 0, "epochs": 1,
        "model": {"name": "cnn1", "fingerprint": ""}, "data": {"name": "digits", "fingerprint": ""},
        "figures": {}, "runtimes": [], "steps": list(steps),
    }  # fmt: skip
    return json.dumps(content | more)


def around(step: dict[str, Any]) -> list[dict[str, Any]]:
    """A sequence that a step may stand in."""
    kind = COMPONENTS[step["component"]]
    if is_lowering(kind):
        return [step]
    lowering = {"component": "int8"}
    trained = {Level.SIGNAL, Level.KERAS} & set(kind.levels)
    return [step, lowering] if trained else [lowering, step]


def writers(
    folder: Path, kind: type[Component], name: str, value: Any
) -> dict[str, Callable[[], object]]:
    """All the ways by which a parameter gets a value."""
    step = {"component": kind.name, name: value}
    recipe, space = folder / "recipe.json", folder / "space.toml"
    recipe.write_text(recipe_text(*around(step)))
    lowering = "" if is_lowering(kind) else "[components.float32]\n[components.int8]\n"

    def spaced(text: str) -> Callable[[], object]:
        def load() -> object:
            space.write_text(f"{lowering}[components.{kind.name}]\n{name} = {text}\n")
            return load_space(str(space))

        return load

    ways: dict[str, Callable[[], object]] = {
        "Python": lambda: kind(**{name: value}),
        "step": lambda: component_from(step),
        "text": lambda: steps_from_text(f"{kind.name}({name}={value!r})"),
        "JSON": lambda: steps_from_text(json.dumps(step)),
        "recipe": lambda: read_recipe(recipe),
        "Space": lambda: Space("x", "", {kind.name: {name: Fixed(value)}}),
    }
    if not isinstance(value, list):  # in a space a list is a choice
        ways["fixed"] = spaced(toml(value))
        ways["choice"] = spaced(f"[{toml(value)}]")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        ways["span"] = spaced(f"{{ low = {value!r}, high = {value!r} }}")
    return ways


@pytest.mark.parametrize(("kind", "name"), PARAMETERS, ids=identify)
def test_no_parameter_takes_what_is_outside(
    tmp_path: Path, kind: type[Component], name: str
) -> None:
    for value in outside(kind, name):
        for way, write in writers(tmp_path, kind, name, value).items():
            with pytest.raises(UserError) as refusal:
                pytest.fail(f"{kind.name}.{name} = {value!r} is taken by {way}: {write()}")
            message = str(refusal.value)
            assert name in message, (way, message)
            assert "\n" not in message


@pytest.mark.parametrize(("kind", "name"), PARAMETERS, ids=identify)
def test_every_parameter_takes_its_default_and_its_ends(
    tmp_path: Path, kind: type[Component], name: str
) -> None:
    hint = hints_of(kind)[name]
    bounds = range_of(hint)
    values = {getattr(kind(), name), *get_args(bare(hint))}
    if bounds is not None:
        values |= {end for end in (bounds.ge, bounds.le) if end is not None}
    for value in values:
        for way, write in writers(tmp_path, kind, name, value).items():
            assert write(), way


@pytest.mark.parametrize(("kind", "name"), NUMERIC, ids=identify)
def test_every_number_states_both_ends_of_its_range(kind: type[Component], name: str) -> None:
    bounds = range_of(hints_of(kind)[name])
    assert bounds is not None, f"write {name}: Annotated[…, Within(…)]"
    assert (bounds.ge is None) != (bounds.gt is None)
    assert (bounds.le is None) != (bounds.lt is None)


def test_parameters_are_numbers_and_words() -> None:
    for kind, name in PARAMETERS:
        hint = bare(hints_of(kind)[name])
        words = get_args(hint)
        assert hint in (int, float) or (all(isinstance(word, str) for word in words) and words)


SEQUENCES = {
    "int8, prune_magnitude": "prune_magnitude takes a model of level keras, and stands where it is",
    "prune_magnitude": "nothing lowers the model: it is left at level keras",
    "simplify_arithmetic, prune_channels, int8": "prune_channels takes a model of level keras",
    "int8, float32": "float32 is a second lowering, behind int8",
    "quantize_aware, int8, fuse_operators, int8": "int8 is a second lowering, behind int8",
    "fuse_operators, int8": "int8 takes a model of level keras or graph",
    "fuse_operators, block_gemm, fuse_operators": "a second fuse_operators finds nothing to do",
    "prune_magnitude, fuse_operators, int8": "fuse_operators takes a model of level tflite",
}


@pytest.mark.parametrize(("text", "message"), SEQUENCES.items())
def test_an_illegal_sequence_is_refused_in_recipes_and_spaces(
    tmp_path: Path, text: str, message: str
) -> None:
    names = text.split(", ")
    recipe, space = tmp_path / "recipe.json", tmp_path / "space.toml"
    recipe.write_text(recipe_text(*({"component": name} for name in names)))
    tables = "".join(f"[components.{name}]\n" for name in {*names, "int8"})
    steps = ", ".join(f'{{ component = "{name}" }}' for name in names)
    space.write_text(f"first = [[{{ component = 'int8' }}], [{steps}]]\n{tables}")
    with pytest.raises(UserError, match=message) as refusal:
        read_recipe(recipe)
    assert f"illegal sequence {' → '.join(names)}: " in str(refusal.value)
    with pytest.raises(UserError, match=message) as refusal:
        load_space(str(space))
    assert "first[1]: illegal sequence" in str(refusal.value)


def test_a_recipe_is_legal_for_some_model(tmp_path: Path) -> None:
    for names in ([], ["fuse_operators"], ["float32"], ["prune_magnitude", "int8", "block_gemm"]):
        path = tmp_path / "recipe.json"
        path.write_text(recipe_text(*({"component": name} for name in names)))
        assert list(read_recipe(path).recipe.names) == names


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ("fuse_operators", Level.KERAS, "takes a model of level tflite or program"),
        ("int8", Level.TFLITE, "int8 takes a model of level keras or graph"),
        ("prune_magnitude, int8", Level.GRAPH, "prune_magnitude takes a model of level keras"),
    ],
)
def test_a_sequence_that_is_legal_for_another_level_is_refused_for_this(
    tmp_path: Path, text: str, level: Level, message: str
) -> None:
    recipe = Recipe(steps_from_text(text))
    with pytest.raises(UserError, match=message):
        candidate_of(
            recipe, toy_model(level), toy_data(), None,
            seed=0, epochs=1, cache=Cache(tmp_path),
        )  # fmt: skip


FIRSTS = {
    '{ component = "int8" }, { component = "fuse_operators" }': "it holds no fuse_operators",
    '{ component = "int8", calibration = 7 }': "int8.calibration = 7 lies outside of it",
    '{ component = "int8", method = "mse" }': "int8.method = 'mse' lies outside of it",
    '{ component = "prune_magnitude", sparsity = 0.55 }, { component = "int8" }': "sparsity = 0.55",
    '{ component = "prune_magnitude", sparsity = 0.9 }, { component = "int8" }': "sparsity = 0.9",
    '{ component = "prune_magnitude", sparsity = 0.5, pattern = "2:4" }, { component = "int8" }':
        "pattern = '2:4'",
    '{ component = "prune_magnitude", sparsity = 0.5 }, { component = "cluster_weights" }, '
    '{ component = "int8" }': "at most 1 components train in it",
}  # fmt: skip


@pytest.mark.parametrize(("steps", "message"), FIRSTS.items())
def test_a_space_begins_with_what_it_draws(tmp_path: Path, steps: str, message: str) -> None:
    path = tmp_path / "space.toml"
    text = (
        "trains_at_most = 1\nfirst = [[{}]]\n[components.int8]\ncalibration = [10, 100]\n"
        "[components.cluster_weights]\n[components.prune_magnitude]\n"
        "sparsity = {{ low = 0.1, high = 0.7, step = 0.2 }}\n"
    )
    path.write_text(
        text.format('{ component = "prune_magnitude" }, { component = "int8", calibration = 10 }')
    )
    assert len(load_space(str(path)).first) == 1
    path.write_text(text.format(steps))
    with pytest.raises(UserError) as refusal:
        load_space(str(path))
    assert "first[0]: the space cannot draw" in str(refusal.value)
    assert message in str(refusal.value)


SPANS = {
    "{ low = 0.7, high = 0.1 }": "low 0.7 lies above high 0.1",
    "{ low = 0.1, high = 0.7, step = 0 }": "step is 0; it must be a number above 0",
    "{ low = 0.1, high = 0.7, step = -0.1 }": "step is -0.1; it must be a number above 0",
    "{ low = 0.1, high = 0.7, step = nan }": "step is nan; it must be a finite number",
    "{ low = 0.1, high = inf }": "high is inf; it must be a finite number",
    "{ low = 0.1, high = 0.2, step = 0.3 }": "step 0.3 is larger than the range from 0.1 to 0.2",
    "{ low = 0.1, high = 0.7, step = 1e-300 }": "lost in rounding",
    "{ low = 0, high = 0.7, log = true }": "a logarithmic range starts above 0",
    "{ low = 0.1, high = 0.7, step = 0.1, log = true }": "has no step",
    "{ low = 0.1, high = 0.7, log = 1 }": "log is 1; it must be true or false",
    "{ low = true, high = 0.7 }": "low is True; it must be a number",
    "{ low = '0.1', high = 0.7 }": "low is '0.1'; it must be a number",
    "{ low = [0.1], high = 0.7 }": "low is [0.1]; it must be a number",
    "{ low = 0.1 }": "needs the numbers low and high; high is missing",
    "{ low = 0.1, high = 0.7, steps = 0.1 }": "did you mean 'step'?",
    "{}": "needs the numbers low and high",
    "[]": "an empty list; name at least one value",
    "[0.5, 0.5]": "the list names 0.5 twice",
    "[0, 0.0]": "the list names 0.0 twice",
    "[[0.5]]": "sparsity of prune_magnitude is (0.5,); it must be float",
    "[{ low = 0.1, high = 0.7 }]": "it must be float",
    "1979-05-27": "it must be float",
}


@pytest.mark.parametrize(("text", "message"), SPANS.items())
def test_a_range_that_draws_nothing_or_too_much_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "space.toml"
    path.write_text(f"[components.int8]\n[components.prune_magnitude]\nsparsity = {text}\n")
    with pytest.raises(UserError) as refusal:
        load_space(str(path))
    assert message in str(refusal.value)
    assert "sparsity" in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: ")


FILES = {
    "": "names no component",
    "components = []": "components is []; it must be a table",
    "[components]": "names no component",
    "[components]\nint8 = 3": "components.int8 is 3; it must be a table",
    "[components.prune_magnitude]": "no component lowers the model",
    "[components.int8]\n[components.int9]": "unknown component 'int9'",
    "[components.int8]\nclusters = 3": "unknown parameter of int8 'clusters'",
    "[components.int8.calibration]": "needs the numbers low and high",
    "trains_at_most = -1\n[components.int8]": "trains_at_most is -1",
    "trains_at_most = 1.0\n[components.int8]": "trains_at_most is 1.0",
    "trains_at_most = true\n[components.int8]": "trains_at_most is True",
    "title = 3\n[components.int8]": "title is 3; it must be text",
    "first = {}\n[components.int8]": "first is {}; it must be a list",
    "firsts = []\n[components.int8]": "did you mean 'first'?",
    "first = [[{ component = 'int8', calibration = -5 }]]\n[components.int8]": "calibration = -5",
    "first = [[{ component = 'int8', calibrations = 5 }]]\n[components.int8]": "'calibrations'",
    "first = [[{ components = 'int8' }]]\n[components.int8]": "an object with a 'component'",
}


@pytest.mark.parametrize(("text", "message"), FILES.items())
def test_a_space_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(UserError) as refusal:
        load_space(str(path))
    assert message in str(refusal.value)


def test_what_is_drawn_stays_in_its_range_when_it_is_rounded() -> None:
    assert Span(1e-12, 1e-3).rounded(2e-12) == 1e-12
    assert Span(0.1, 0.99999999999).rounded(0.999999999989) == 0.99999999999
    assert Span(0.1, 0.7, 0.1).rounded(0.1 + 2 * 0.1) == 0.3


def test_ranges_are_refused_in_python_too() -> None:
    for make in (
        lambda: Span(0.9, 0.1),
        lambda: Span(0.1, 0.9, -1),
        lambda: Span(math.nan, 0.9),
        lambda: Choice(()),
        lambda: Choice((1, 1)),
        lambda: Space("x", "", {"prune_magnitude": {"sparsity": Span(0.5, 1.0)}}),
        lambda: Space("x", "", {"cluster_weights": {"clusters": Span(2, 16)}}),
        lambda: Space("x", "", {"cluster_weight": {}}),
    ):
        with pytest.raises(UserError):
            make()


RECIPES = {
    '{"seed": -1}': "'seed' of the recipe is -1; it must be from 0 to 2147483647",
    '{"seed": 1e30}': "'seed' of the recipe is 1e+30; it must be int",
    '{"seed": true}': "'seed' of the recipe is True; it must be int",
    '{"seed": "0"}': "'seed' of the recipe is '0'; it must be int",
    '{"epochs": 0}': "'epochs' of the recipe is 0; it must be from 1 to 1000000",
    '{"epochs": -3}': "'epochs' of the recipe is -3",
    '{"epochs": 1.5}': "'epochs' of the recipe is 1.5; it must be int",
    '{"epochs": NaN}': "'epochs' of the recipe is nan",
    '{"epochs": null}': "'epochs' of the recipe is None",
    '{"steps": {}}': "'steps' of the recipe is {}; it must be list",
    '{"steps": ["int8"]}': "it must be an object with a 'component'",
    '{"steps": [{"component": ["int8"]}]}': "it must be an object with a 'component'",
    '{"steps": [[{"component": "int8"}]]}': "it must be an object with a 'component'",
    '{"step": []}': "did you mean 'steps'?",
    '{"target": 3}': "'target' of the recipe is 3; it must be str",
    '{"model": "cnn1"}': "'model' of the recipe is 'cnn1'; it must be dict",
    '{"figures": []}': "'figures' of the recipe is []; it must be dict",
}


@pytest.mark.parametrize(("change", "message"), RECIPES.items())
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(recipe_text({"component": "int8"}, **json.loads(change)))
    with pytest.raises(UserError) as refusal:
        read_recipe(path)
    assert message in str(refusal.value)


RECORDS = (Target, Memory, target.Cache, target.Accelerator)


@pytest.mark.parametrize("kind", RECORDS)
def test_every_number_of_a_target_states_both_ends(kind: type) -> None:
    for name, hint in hints_of(kind).items():
        bounds = range_of(hint)
        if bare(hint) in (int, float):
            assert bounds is not None, name
            assert (bounds.ge, bounds.gt) != (None, None), name
            assert (bounds.le, bounds.lt) != (None, None), name


NUMBER = re.compile(r"^(\w+) = [0-9]\S*", re.MULTILINE)


@pytest.mark.parametrize("name", ["stm32f407", "stm32h743"])
def test_no_number_of_a_target_takes_nonsense(tmp_path: Path, name: str) -> None:
    text = (data_folder("targets") / f"{name}.toml").read_text()
    path = tmp_path / "board.toml"
    found = [number for number in NUMBER.finditer(text) if number[1] != "schema"]
    assert len(found) > 10
    for number in found:
        for value in ("-1", "nan", "inf", "1e300", "1" + "0" * 30, '"4"', "true", "[4]", "{}"):
            path.write_text(f"{text[: number.start()]}{number[1]} = {value}{text[number.end() :]}")
            with pytest.raises(UserError, match=f"{number[1]} = .*it must be"):
                pytest.fail(f"{number[1]} = {value} is taken: {load_target(str(path))}")


NONSENSE = [math.nan, math.inf, -1, 10**30, "3", True, [3], {}, b"3"]


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_takes_nonsense(name: str) -> None:
    more: list[object] = [3.0] if name in ("seed", "epochs", "trials", "jobs") else []
    more += [None] if name in ("seed", "epochs") else []  # no trials or jobs are the usual ones
    for value in NONSENSE + more:
        with pytest.raises(UserError, match=f"{name} = .*it must be"):
            pytest.fail(str(arguments(**{name: value})))
    assert arguments(**{name: np.int64(1)}) == {name: 1}
    assert type(arguments(**{name: np.int64(1)})[name]) in (int, float)
    if name not in ("seed", "timeout", "accuracy_drop", "wait_states", "patches", "solve"):
        with pytest.raises(UserError, match=f"{name} = 0; it must be from 1 to"):
            arguments(**{name: 0})


def test_functions_refuse_nonsense_before_anything_is_loaded() -> None:
    for call in (
        lambda: api.search("no model", "no data", "no target", seed=-1),
        lambda: api.search("no model", "no data", "no target", trials=True),
        lambda: api.search("no model", "no data", "no target", timeout=math.nan),
        lambda: api.search("no model", "no data", "no target", accuracy_drop=math.inf),
        lambda: api.order("int8", "float16", "no target", seeds=0),
        lambda: api.order("int8", "float16", "no target", epochs=0),
        lambda: api.measure("no model", "no target", seed=1.5),  # type: ignore[arg-type]
        lambda: api.compile("no model", "no target", "out", seed=2**31),
        lambda: autotiny.load_model("no model", seed=-1),
        lambda: autotiny.load_model("no model", epochs=0),
        lambda: autotiny.load_dataset("no data", seed=-1),
    ):
        with pytest.raises(UserError, match=r" = .*; it must be "):
            call()
    with pytest.raises(UserError, match="no objective is named"):
        api.search("cnn1", "digits", "rp2040", objectives=())
    with pytest.raises(UserError, match="5 is no component"):
        api.order("int8", "float16", "rp2040", before=5)  # type: ignore[arg-type]
