from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotiny.dataset import splitting
from autotiny.dataset.pile import Pile
from autotiny.dataset.samples import SPLIT_SHARES
from autotiny.dataset.splitting import overlap, parts_of
from autotiny.errors import InvalidData
from autotiny.graph import Array


def pile(y: Array | None, groups: Array | None = None, parts: Array | None = None) -> Pile:
    given = next(one for one in (y, groups, parts) if one is not None)
    return Pile("p", np.zeros((len(given), 2)), y, groups=groups, parts=parts)


def table(y: Array, parts: Array) -> Array:
    """(classes, 3) samples of each class in each part."""
    return np.stack([np.bincount(parts[y == one], minlength=3) for one in np.unique(y)])


@settings(deadline=None)
@given(sizes=st.lists(st.integers(3, 40), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_every_class_is_in_every_part_in_its_shares(sizes: list[int], seed: int) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    for targets in (y, np.array([f"class {one:02}" for one in y])):
        parts = parts_of(pile(targets), seed)
        assert parts.dtype == np.uint8
        counts = table(y, parts)
        assert (counts > 0).all()
        ideal = np.outer(sizes, SPLIT_SHARES)
        near = np.abs(counts - ideal) < 1 + 1e-9
        assert near[np.array(sizes) >= 5].all()
        assert np.array_equal(parts, parts_of(pile(targets), seed))


def test_remainders_of_many_classes_do_not_all_fall_to_one_part() -> None:
    y = np.repeat(np.arange(40), 7)  # 4.2, 1.4, 1.4 of each
    assert np.bincount(parts_of(pile(y), 0)).tolist() == [160, 60, 60]


def test_names_of_two_samples_are_shared_out_between_validation_and_test() -> None:
    y = np.repeat([f"n{one:02}" for one in range(40)], 2)
    assert np.bincount(parts_of(pile(y), 0)).tolist() == [40, 20, 20]


@pytest.mark.parametrize(("classes", "whole"), [(64, True), (65, False)])
def test_numbers_of_more_than_64_kinds_are_no_classes(classes: int, whole: bool) -> None:
    y = np.repeat(np.arange(classes), 3)
    assert all((table(y, parts_of(pile(y), seed)) > 0).all() == whole for seed in range(3))
    assert np.bincount(parts_of(pile(np.arange(5)), 0)).tolist() == [3, 1, 1]


def test_another_seed_splits_otherwise_and_not_in_order() -> None:
    y = np.arange(200) % 4
    first, second = parts_of(pile(y), 0), parts_of(pile(y), 1)
    assert not np.array_equal(first, second)
    assert len(np.flatnonzero(np.diff(first))) > 40


@pytest.mark.parametrize(
    "y", [None, np.linspace(0, 1, 100, dtype=np.float32), np.arange(100), np.zeros((100, 2), int)]
)
def test_what_has_no_classes_is_split_in_the_shares(y: Array | None) -> None:
    parts = parts_of(replace(pile(np.zeros(100)), y=y), 3)
    assert np.bincount(parts).tolist() == [60, 20, 20]


def test_rare_names_stay_in_train_and_rare_numbers_are_no_classes() -> None:
    y = np.array([0] * 50 + [1] * 50 + [2])
    named = parts_of(pile(y.astype(str)), 0)
    assert named[-1] == 0
    assert np.array_equal(named, parts_of(replace(pile(y), labels=("a", "b", "c")), 0))
    # A split by chance leaves the classes as it comes.
    odd = [table(y, parts_of(pile(y), seed))[0].tolist() for seed in range(9)]
    assert any(row != [30, 10, 10] for row in odd)
    assert table(y, named)[0].tolist() == [30, 10, 10]


@settings(deadline=None)
@given(
    groups=st.lists(st.integers(0, 9), min_size=3, max_size=80).filter(
        lambda one: len(set(one)) >= 3
    ),
    data=st.data(),
)
def test_groups_never_straddle_and_no_part_is_empty(groups: list[int], data: st.DataObject) -> None:
    size = len(groups)
    y = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)))
    for targets in (None, y, y.astype(str)):
        parts = parts_of(pile(targets, np.array(groups)), 0)
        assert set(parts.tolist()) == {0, 1, 2}
        for group in set(groups):
            assert len(set(parts[np.array(groups) == group].tolist())) == 1


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=6, max_size=40), seed=st.integers(0, 9))
def test_a_class_of_three_recordings_is_in_every_part(sizes: list[int], seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    y = (groups % 2).astype(str)
    assert (table(y, parts_of(pile(y, groups), seed)) > 0).all()


def test_groups_of_equal_size_give_the_shares_for_each_class() -> None:
    groups = np.repeat(np.arange(40), 5)
    y = np.array(["walk", "run"])[groups % 2]
    parts = parts_of(pile(y, groups), 0)
    assert table(y, parts).tolist() == [[60, 20, 20]] * 2
    assert not np.array_equal(parts, parts_of(pile(y, groups), 1))


def test_people_with_all_classes_are_split_as_people() -> None:
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(20), draw.integers(20, 60, 20))
    y = draw.integers(0, 6, len(people))
    shares = table(y, parts_of(pile(y, people), 0)) / np.bincount(y)[:, None]
    assert np.abs(shares - SPLIT_SHARES).max() < 0.08


def test_the_largest_groups_go_where_most_is_lacking() -> None:
    groups = np.repeat(np.arange(6), [30, 30, 10, 10, 10, 10])
    assert np.bincount(parts_of(pile(None, groups), 0)).tolist() == [60, 20, 20]


def test_a_small_class_does_not_make_up_for_a_large_one() -> None:
    groups = np.repeat(np.arange(13), [300] * 3 + [10] * 10)
    y = np.where(groups < 3, "large", "small")
    assert table(y, parts_of(pile(y, groups), 0)).tolist() == [[300] * 3, [60, 20, 20]]


def test_a_class_of_one_group_is_for_training() -> None:
    groups = np.repeat(np.arange(9), 10)
    y = np.where(groups == 8, "rare", "usual")
    parts = parts_of(pile(y, groups), 0)
    assert set(parts[groups == 8].tolist()) == {0}


def test_the_only_group_of_a_class_is_for_training_even_where_validation_lacks_all_others() -> None:
    sizes = np.array([74, 20, 2, 2, 2])
    groups = np.repeat(np.arange(5), 10 * sizes)
    y = np.concatenate([np.tile(np.arange(10), size) for size in sizes]).astype(str)
    y[groups == 1] = np.where(np.arange(200) < 3, "rare", y[groups == 1])
    parts = parts_of(pile(y, groups), 0)
    assert set(parts[y == "rare"].tolist()) == {0}


def test_more_groups_and_classes_than_can_be_weighed_are_split_by_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splitting, "MOST_CELLS", 10)
    groups = np.repeat(np.arange(10), 5)
    parts = parts_of(pile((groups % 5).astype(str), groups), 0)
    assert np.bincount(parts).tolist() == [30, 10, 10]


def test_a_split_that_is_given_is_kept() -> None:
    parts = np.array([0, 1, 2] * 10, np.uint8)
    assert np.array_equal(parts_of(pile(np.arange(30) % 2, parts=parts), 0), parts)


def test_validation_is_a_tenth_of_train_where_there_is_none() -> None:
    given = np.array([0] * 100 + [2] * 50, np.uint8)
    y = np.arange(150) % 2
    before = given.copy()
    parts = parts_of(pile(y, parts=given), 0)
    assert np.array_equal(given, before)
    assert np.bincount(parts).tolist() == [90, 10, 50]
    assert (parts[100:] == 2).all()
    assert table(y, parts)[:, 1].tolist() == [5, 5]
    groups = np.arange(150) // 5
    grouped = parts_of(pile(y, groups, given), 0)
    assert np.bincount(grouped).tolist() == [90, 10, 50]
    assert len(set(groups[grouped == 1].tolist())) == 2


@pytest.mark.parametrize(
    ("one", "match"),
    [
        (pile(None, np.array([0, 1] * 9)), "p has 2 groups to split .* 3 are the least"),
        (pile(None, np.zeros(9, int)), "p has 1 group to split into train and validation and test"),
        (pile(np.arange(4)), "p has 4 samples to split; 5 are the least"),
        (pile(None, parts=np.array([0, 2])), "p has 1 samples to split; 2 are the least"),
        (pile(None, np.array([0, 0, 1]), np.array([0, 0, 2])), "p has 1 group .* 2 are the least"),
        (pile(None, parts=np.array([0, 1, 0])), "2 train, 1 validation, 0 test of 3 samples"),
        (pile(np.array(list("abcdefgh"))), "8 train, 0 validation, 0 test of 8 samples"),
    ],
)
def test_what_cannot_be_split_is_refused_with_its_numbers(one: Pile, match: str) -> None:
    with pytest.raises(InvalidData, match=match):
        parts_of(one, 0)


def test_overlap_counts_samples_that_train_holds_byte_for_byte() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    other = np.concatenate([x[[3, 3, 7]], x[:5] + 1])
    assert overlap(x, other) == 3
    assert overlap(x, x[::-1, :, :]) == 20
    assert overlap(x, x[:, ::-1]) == 0
    assert overlap(x[:0], x) == 0
