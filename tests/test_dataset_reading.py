from dataclasses import fields, replace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from autotiny.cli import options
from autotiny.dataset import AS_STORED, Reading
from autotiny.errors import InvalidData, UserError
from autotiny.recipe import Recipe, SavedRecipe, read_recipe

ASKED: dict[str, Any] = {
    "scale": "1/255", "resize": [4, 6], "label": "a,b", "group": "who", "window": "1.5s",
    "hop": "500ms", "rate": "16000", "ignore": "3",
    "front": "mfcc(frame_ms=30, hop_ms=20)",
    "input_shape": "x=1x3x8x8",
}  # fmt: skip


def test_what_was_asked_is_plain_data_and_back() -> None:
    reading = Reading.of(**ASKED)
    assert reading.to_dict() == ASKED
    assert Reading.of(**reading.to_dict()) == reading  # type: ignore[arg-type]
    assert set(ASKED) == {field.name for field in fields(Reading)}
    assert AS_STORED.to_dict() == {}
    assert Reading.of(label=7, window=128, rate=8000) == Reading(
        label="7", window="128", rate="8000"
    )


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_recipe_records_how_its_data_was_read(name: str, tmp_path: Any) -> None:
    reading = Reading.of(**{name: ASKED[name]})
    saved = SavedRecipe(Recipe(()), "stm32f746", "cnn1", "m", "d.csv", "d", 3, 5, reading=reading)
    path = tmp_path / "recipe.json"
    path.write_text(saved.to_json())
    again = read_recipe(path)
    assert again.reading == reading
    assert replace(again, folder=None).to_json() == saved.to_json()
    path.write_text(
        saved.to_json().replace('"fingerprint": "d"', '"fingerprint": "d", "hops": "1"')
    )
    with pytest.raises(UserError, match="'hops'; did you mean 'hop'"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"window": "0"}, "window = '0'; it must be a number of rows or samples"),
        ({"window": "0.0s"}, r"window = '0\.0s'"), ({"window": "-3"}, "window = '-3'"),
        ({"window": "1.5"}, r"window = '1\.5'"), ({"hop": "1m"}, "hop = '1m'.* 1s or 500ms"),
        ({"hop": ""}, "hop = ''"), ({"hop": "1" * 10}, "hop = '1111111111'"),
        ({"rate": "16k"}, "rate = '16k'; .* from 1000 to 384000"), ({"rate": 999}, "rate = '999'"),
        ({"rate": 384_001}, "rate = '384001'"), ({"label": " "}, "label = ' '; it must be"),
        ({"group": ","}, "group = ','"), ({"ignore": ""}, "ignore = ''"),
    ],
)  # fmt: skip
def test_what_is_no_length_rate_or_column_is_refused(asked: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidData, match=match) as refused:
        Reading.of(**asked)
    assert "\n" not in str(refused.value)


def test_a_length_is_rows_samples_or_a_time() -> None:
    reading = Reading.of(window="128", hop="1.5 s")
    assert reading.steps("window") == reading.steps("window", 8000) == 128
    assert reading.steps("hop", 8000) == 12_000
    assert Reading.of(hop="2ms").steps("hop", 44_100) == 88
    assert AS_STORED.steps("hop") is AS_STORED.hertz is None
    assert Reading.of(rate=" 44100 ").hertz == 44_100
    with pytest.raises(InvalidData, match=r"hop = '1\.5 s'; a table has no rate"):
        reading.steps("hop")
    with pytest.raises(InvalidData, match="is no sample at 8,000 Hz"):
        Reading.of(hop="0.01ms").steps("hop", 8000)


def test_a_source_refuses_what_it_cannot_do() -> None:
    Reading.of(scale="none", window=3).check_only(("window", "hop"), "a table")
    with pytest.raises(InvalidData, match="--rate '8000' is given, but a table takes --window"):
        Reading.of(rate=8000).check_only(("window",), "a table")
    with pytest.raises(InvalidData, match="takes no such option: leave it out"):
        Reading.of(label="y").check_only((), "a pair of arrays")


def test_each_field_has_an_option_of_the_commands() -> None:
    app = typer.Typer()
    given: list[Reading] = []

    @app.command()
    @options.with_reading_options
    def run(reading_options: options.ReadingOptions) -> None:
        given.append(reading_options.reading())

    words = {name: "4x6" if name == "resize" else text for name, text in ASKED.items()}
    given_words = [word for name in words for word in (f"--{name.replace('_', '-')}", words[name])]
    done = CliRunner().invoke(app, given_words)
    assert done.exit_code == 0, done.output
    assert given == [Reading.of(**ASKED)]
