"""What was encoded is decoded again, in about as many bits as its entropy says."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotiny.engine.entropy import (
    CODINGS,
    Coding,
    alphabet,
    alphabet_by_row,
    code_lengths,
    decode,
    encode,
    frequencies,
    index_bits,
)
from autotiny.graph import Array


def entropy_bytes(weights: Array) -> float:
    """The zeroth-order entropy of all weights."""
    _, counts = np.unique(weights, return_counts=True)
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def clustered(rows: int, depth: int, sparsity: float, seed: int) -> Array:
    """(rows, depth) int8 of 15 normally distributed values and zeros."""
    dice = np.random.default_rng(seed)
    values = np.concatenate((np.arange(-112, 0, 16), np.arange(16, 129, 16))).clip(-127, 127)
    shares = np.exp(-np.square(values / 60.0))
    weights = dice.choice(values, (rows, depth), p=shares / shares.sum())
    return np.where(dice.random((rows, depth)) < sparsity, 0, weights).astype(np.int8)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((3, 7), np.int8),
        np.full((1, 1), -128, np.int8),
        np.array([[5, -5]], np.int8),
        np.arange(-128, 128, dtype=np.int8).reshape(16, 16),
        np.repeat(np.arange(-128, 128, dtype=np.int8), np.arange(256)).reshape(-1, 32),
        (2 ** np.arange(16, dtype=np.int64)).repeat(2).cumsum().astype(np.int8).reshape(1, -1),
        clustered(10, 500, 0.9, 0),
    ],
    ids=["zeros", "one", "two", "all", "rising", "bits", "clustered"],
)
def test_special_matrices_return(weights: Array, coding: Coding) -> None:
    coded = encode(weights, coding)
    np.testing.assert_array_equal(decode(coded, *weights.shape), weights)
    assert coded.stream.dtype == coded.table.dtype == np.uint16
    assert coded.book.dtype == np.int8


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CODINGS),
    st.integers(1, 6),
    st.integers(1, 80),
    st.floats(0, 1),
    st.integers(0, 40),
    st.booleans(),
    st.integers(0, 1 << 20),
)
def test_any_matrix_returns(
    coding: Coding, rows: int, depth: int, zeros: float, spread: int, by_row: bool, seed: int
) -> None:
    dice = np.random.default_rng(seed)
    weights = dice.normal(0, spread, (rows, depth)).clip(-128, 127).astype(np.int8)
    weights[dice.random(weights.shape) < zeros] = 0
    scales = tuple(dice.uniform(0.001, 0.1, rows)) if by_row else ()
    coded = encode(weights, coding, scales)
    np.testing.assert_array_equal(decode(coded, rows, depth), weights)


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9, 0.97])
def test_range_ans_comes_close_to_the_entropy(sparsity: float) -> None:
    weights = clustered(10, 2028, sparsity, 1)
    assert encode(weights, "ans").bytes < 1.08 * entropy_bytes(weights)


def test_huffman_comes_close_where_no_value_is_frequent() -> None:
    weights = clustered(10, 2028, 0.0, 2)
    assert encode(weights, "huffman").bytes < 1.02 * entropy_bytes(weights)
    assert encode(weights, "shared").bytes == 10 * 2028 // 2 + 2 + 15


def test_frequencies_are_whole_shares() -> None:
    for counts in ([7], [1, 1], [10**6, 1], [5] * 256, list(range(256, 0, -1))):
        shares = frequencies(np.array(counts))
        assert shares.sum() == 4096
        assert shares.min() >= 1


def test_codes_are_complete_and_no_longer_than_a_word() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(sum(fibonacci[-2:]))
    for counts in ([3, 2], [1] * 256, fibonacci[::-1]):
        lengths = code_lengths(np.array(counts))
        assert (np.diff(lengths) >= 0).all()
        assert lengths.max() <= 16
        assert np.sum(0.5**lengths) == 1


def huffman_bits(counts: list[int]) -> int:
    """Bits of all symbols: every merge of two subtrees costs one for each symbol in them."""
    heap, bits = sorted(counts), 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        bits += merged
        heapq.heappush(heap, merged)
    return bits


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=40))
def test_codes_are_as_short_as_huffman_s(counts: list[int]) -> None:
    counts = sorted(counts, reverse=True)
    assert int((code_lengths(np.array(counts)) * counts).sum()) == huffman_bits(counts)


@pytest.mark.parametrize(
    ("counts", "lengths"),
    [
        ([7], [1]),
        ([5, 1], [1, 1]),
        ([1, 1, 1], [1, 2, 2]),
        ([3, 1, 1, 1], [1, 2, 3, 3]),
        ([3, 0, 0, 0], [1, 2, 3, 3]),  # what never occurs counts as once
        ([2, 2, 2, 2], [2, 2, 2, 2]),
    ],
)
def test_lengths_of_few_codes(counts: list[int], lengths: list[int]) -> None:
    assert code_lengths(np.array(counts)).tolist() == lengths


def test_an_index_has_as_many_bits_as_its_book_needs() -> None:
    sizes = {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 16: 4, 17: 5, 128: 7, 129: 8, 256: 8}
    assert {n: index_bits(n) for n in sizes} == sizes


def test_a_stream_is_read_a_word_ahead() -> None:
    """16 one-bit codes fill a word; when the last is looked at, a whole word has to be there."""
    for count, words in ((16, 2), (17, 2), (18, 3)):
        weights = np.resize(np.array([1, -1], np.int8), (1, count))
        assert len(encode(weights, "shared").stream) == words
    weights = np.array([[1, -1, 1, 1]], np.int8)
    assert encode(weights, "shared").stream.tolist() == [0b0100 << 12, 0]
    assert encode(weights, "shared").book.tolist() == [[1, -1]]


def test_codes_are_canonical() -> None:
    """Counts 3, 2, 1: codes 0, 10, 11, and one code of one bit and two of two."""
    coded = encode(np.array([[5, 5, 5, 6, 6, 7]], np.int8), "huffman")
    assert coded.book.tolist() == [[5, 6, 7]]
    assert coded.table.tolist() == [1, 2]
    assert coded.stream.tolist() == [0b000_10_10_11 << 7, 0]
    assert coded.bytes == 2 * 2 + 2 * 2 + 3


def test_shares_are_fair_where_they_can_be() -> None:
    assert frequencies(np.array([3, 1])).tolist() == [3072, 1024]
    assert frequencies(np.array([4095, 0])).tolist() == [4095, 1]
    assert frequencies(np.array([1 << 20, 1, 1])).tolist() == [4094, 1, 1]
    assert frequencies(np.array([1, 1, 1])).tolist() == [1366, 1365, 1365]


@pytest.mark.parametrize("seed", range(8))
def test_no_share_is_worth_more_to_another_symbol(seed: int) -> None:
    dice = np.random.default_rng(seed)
    counts = np.sort(dice.geometric(0.003, int(dice.integers(2, 60))))[::-1]
    shares = frequencies(counts)
    gained = counts * np.log2((shares + 1) / shares)
    lost = counts * np.log2(shares / np.maximum(shares - 1, 1e-9))
    for k in np.flatnonzero(shares > 1):
        assert np.delete(gained, k).max() <= lost[k] + 1e-9


def test_a_share_of_all_needs_no_words() -> None:
    coded = encode(np.zeros((1, 500), np.int8), "ans")
    assert coded.table.tolist() == [4096]
    assert coded.stream.tolist() == [1, 0]  # the first state, 2^16


def test_one_row_has_no_symbols_of_its_own() -> None:
    weights = np.array([[3, 3, -3]], np.int8)
    assert encode(weights, "ans", (0.5,)).book.shape == (1, 2)
    both = np.array([[10, -10, 10] * 30, [5, -5, 5] * 30], np.int8)
    assert encode(both, "shared", (1.0, 2.0)).book.tolist() == [[10, -10], [5, -5]]
    assert encode(both, "shared", (1.0, 2.5)).book.shape == (1, 4)
    assert encode(both, "shared").book.shape == (1, 4)


def test_values_share_a_symbol_whose_intervals_meet() -> None:
    """Stored 1 of scale 1 stands for 0.5 to 1.5, stored 3 of scale 1/2 for 1.25 to 1.75."""
    assert alphabet_by_row(np.array([[1], [3]], np.int8), (1.0, 0.5)).book.tolist() == [[1], [3]]
    # stored 4 stands for 1.75 to 2.25, stored 2 of scale 0.6 for 0.9 to 1.5
    assert alphabet_by_row(np.array([[1], [4]], np.int8), (1.0, 0.5)).book.shape == (2, 2)
    assert alphabet_by_row(np.array([[-128], [127]], np.int8), (1.0, 1.0)).book.shape == (2, 2)


def test_clusters_of_rows_of_different_scale_share_symbols() -> None:
    dice = np.random.default_rng(3)
    centroids = np.array([-0.9, -0.4, -0.1, 0.0, 0.2, 0.55, 1.0])
    real = dice.choice(centroids, (12, 200))
    scales = dice.uniform(0.008, 0.02, 12)
    weights = np.round(real / scales[:, None]).astype(np.int8)
    made = alphabet_by_row(weights, tuple(scales))
    assert made.book.shape == (12, 7)
    assert alphabet(weights).book.shape[1] > 20
    assert (np.diff(made.counts) <= 0).all()
    with_scales = encode(weights, "ans", tuple(scales))
    assert with_scales.bytes < 0.8 * encode(weights, "ans").bytes
    np.testing.assert_array_equal(decode(with_scales, *weights.shape), weights)
