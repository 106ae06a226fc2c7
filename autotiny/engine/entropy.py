"""Int8 weights in few bits each: as indices of equal length, as Huffman codes, or by range ANS.

Han et al., "Deep Compression", ICLR 2016. A weight is a symbol: its place in a codebook that
begins with the most frequent value. Huffman codes are canonical, so that the number of codes of
each length is all that a decoder needs (Schwartz and Kallick, 1964). Range ANS (Duda, "Asymmetric
Numeral Systems", 2013) spends fractions of a bit, which counts where one symbol, zero, is most of
them. The decoders are `kernels/coded_s8.h`; those here do the same, for tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autotiny.graph import Array

Coding = Literal["shared", "huffman", "ans"]
CODINGS: tuple[Coding, ...] = ("shared", "huffman", "ans")

Ints = NDArray[np.int64]

WORD = 16
"""Bits of the stream's elements, at least those of the longest Huffman code."""
SHARE_BITS = 12
"""The frequencies of range ANS add up to 2^12; its state lies in [2^16, 2^32)."""


@dataclass(frozen=True, eq=False)
class Alphabet:
    """A matrix of weights as symbols.

    Attributes:
        symbols: (rows, depth), 0 is the most frequent one.
        book: (1, n) int8, what each symbol stands for; or (rows, n), what it does in each row.
    """

    symbols: Ints
    book: Array

    @property
    def counts(self) -> Ints:
        """(n,) how often each symbol occurs, never increasing."""
        counts: Ints = np.bincount(self.symbols.reshape(-1), minlength=self.book.shape[1])
        return counts


@dataclass(frozen=True, eq=False)
class Coded:
    """A matrix of weights as it is stored.

    Attributes:
        coding: how.
        stream: uint16; bits from the highest on, or ANS: the first state, high half first, and
            what is shifted in.
        table: uint16; "huffman": how many codes have 1, 2, … bits; "ans": frequencies; else empty.
        book: of the alphabet.
    """

    coding: Coding
    stream: Array
    table: Array
    book: Array

    @property
    def bytes(self) -> int:
        """All that is stored."""
        return int(self.stream.nbytes + self.table.nbytes + self.book.nbytes)


def encode(weights: Array, coding: Coding, scales: tuple[float, ...] = ()) -> Coded:
    """Store a matrix of weights.

    Args:
        weights: (rows, depth) int8.
        coding: how.
        scales: of each row; clusters of real values that became different int8 values in every row
            then share a symbol, if that is smaller.
    """
    alphabets = _alphabets(weights.tobytes(), len(weights), scales)
    return min((_encoded(one, coding) for one in alphabets), key=lambda coded: coded.bytes)


@lru_cache(maxsize=64)
def _alphabets(weights: bytes, rows: int, scales: tuple[float, ...]) -> tuple[Alphabet, ...]:
    """The alphabets that a matrix can be written in."""
    matrix = np.frombuffer(weights, np.int8).reshape(rows, -1)
    by_row = (alphabet_by_row(matrix, scales),) if len(scales) == rows > 1 else ()
    return (alphabet(matrix), *by_row)


def decode(coded: Coded, rows: int, depth: int) -> Array:
    """The weights again, (rows, depth) int8."""
    symbols = _DECODERS[coded.coding](coded, rows * depth).reshape(rows, depth)
    books = np.broadcast_to(coded.book, (rows, coded.book.shape[1]))
    weights: Array = np.take_along_axis(books, symbols, axis=1)
    return weights


def index_bits(symbols: int) -> int:
    """Bits of an index into a codebook of so many symbols."""
    return max(1, (symbols - 1).bit_length())


def alphabet(weights: Array) -> Alphabet:
    """The distinct values of a matrix as symbols."""
    values, symbols = np.unique(weights, return_inverse=True)
    return _by_frequency(symbols.reshape(weights.shape), values.reshape(1, -1).astype(np.int8))


def alphabet_by_row(weights: Array, scales: tuple[float, ...]) -> Alphabet:
    """Values of all rows that can stand for the same real number as one symbol.

    int8 value v of a row with scale s stands for some number within s/2 of v·s. Taking the least
    upper end again and again, and all intervals that hold it, gives the fewest symbols; two values
    of one row never share any.
    """
    places = np.arange(len(weights))[:, None] << 8
    rows, values = np.divmod(np.unique(places + weights + 128), 256)
    values -= 128
    steps = np.asarray(scales, np.float64)[rows]
    low, high = (values - 0.5) * steps, (values + 0.5) * steps
    symbol_of = np.full((len(weights), 256), -1, np.int64)
    left = np.argsort(high, kind="stable")
    count = 0
    while len(left):
        held = low[left] < high[left[0]]
        symbol_of[rows[left[held]], values[left[held]] + 128] = count
        left = left[~held]
        count += 1
    book = np.zeros((len(weights), count), np.int8)
    book[rows, symbol_of[rows, values + 128]] = values
    return _by_frequency(np.take_along_axis(symbol_of, weights.astype(np.int64) + 128, 1), book)


def _by_frequency(symbols: Ints, book: Array) -> Alphabet:
    counts = np.bincount(symbols.reshape(-1), minlength=book.shape[1])
    order = np.argsort(-counts, kind="stable")
    return Alphabet(np.argsort(order)[symbols], book[:, order])


def _encoded(made: Alphabet, coding: Coding) -> Coded:
    symbols, nothing = made.symbols.reshape(-1), np.zeros(0, np.uint16)
    if coding == "ans":
        shares = frequencies(made.counts)
        return Coded(coding, _ans_stream(symbols, shares), shares.astype(np.uint16), made.book)
    if coding == "huffman":
        lengths = code_lengths(made.counts)
        table = np.bincount(lengths)[1:].astype(np.uint16)
    else:
        lengths = np.full(made.book.shape[1], index_bits(made.book.shape[1]))
        table = nothing
    return Coded(coding, _bit_stream(symbols, lengths), table, made.book)


# Bits


def code_lengths(counts: Ints) -> Ints:
    """(n,) the lengths of an optimal prefix code with at most 16 bits, never decreasing.

    Larmore and Hirschberg, "A Fast Algorithm for Optimal Length-Limited Huffman Codes", 1990: of
    the cheapest 2n - 2 packages each symbol has as many bits as hold it.

    Args:
        counts: (n,) never increasing; a symbol that never occurs counts as once.
    """
    n = len(counts)
    if n == 1:
        return np.ones(1, np.int64)
    # a package is its weight and how often it holds each symbol
    single = [(max(int(count), 1), np.eye(1, n, k, np.int64)[0]) for k, count in enumerate(counts)]
    packages: list[tuple[int, Ints]] = []
    for _ in range(WORD):
        pairs = zip(packages[0::2], packages[1::2], strict=False)
        merged = [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
        packages = sorted((*single, *merged), key=lambda package: package[0])
    lengths = np.sum([held for _, held in packages[: 2 * n - 2]], axis=0)
    return np.sort(lengths).astype(np.int64)


def _bit_stream(symbols: Ints, lengths: Ints) -> Array:
    """The canonical codes of all symbols, highest bit first, and the words that are read ahead."""
    codes = np.zeros(len(lengths), np.int64)
    for k in range(1, len(lengths)):
        codes[k] = (codes[k - 1] + 1) << int(lengths[k] - lengths[k - 1])
    shifts = lengths[symbols, None] - 1 - np.arange(lengths.max())
    bits = (codes[symbols, None] >> shifts.clip(0)) & 1
    stream = bits[shifts >= 0]
    # a decoder holds at least one whole word when it looks at the last code
    last = len(stream) - int(lengths[symbols[-1]])
    words = -(-last // WORD) + 1
    stream = np.pad(stream, (0, WORD * words - len(stream)))
    return np.packbits(stream.astype(np.uint8)).view(">u2").astype(np.uint16)


class _Bits:
    """A stream of bits as the kernels read it."""

    def __init__(self, stream: Array) -> None:
        self._words = iter(stream.tolist())
        self._bits = 0
        self._left = 0

    def window(self) -> int:
        """The next word's worth of bits."""
        if self._left < WORD:
            self._bits |= next(self._words) << (WORD - self._left)
            self._left += WORD
        return self._bits >> WORD

    def skip(self, bits: int) -> None:
        self._bits = self._bits << bits & 0xFFFFFFFF
        self._left -= bits


def _decoded_indices(coded: Coded, count: int) -> Ints:
    bits = index_bits(coded.book.shape[1])
    reader = _Bits(coded.stream)
    symbols = []
    for _ in range(count):
        symbols.append(reader.window() >> (WORD - bits))
        reader.skip(bits)
    return np.array(symbols, np.int64)


def _decoded_huffman(coded: Coded, count: int) -> Ints:
    reader = _Bits(coded.stream)
    symbols = []
    for _ in range(count):
        window, symbol, length = reader.window(), 0, 1
        for codes in coded.table.tolist():
            if window < codes << (WORD - length):
                break
            window -= codes << (WORD - length)
            symbol += codes
            length += 1
        symbols.append(symbol + (window >> (WORD - length)))
        reader.skip(length)
    return np.array(symbols, np.int64)


# Range ANS


def frequencies(counts: Ints) -> Ints:
    """(n,) shares of 2^12, at least one each, that make the stream about as short as can be."""
    wanted = np.maximum(counts, 1).astype(np.float64)
    fair = np.floor(wanted * (1 << SHARE_BITS) / wanted.sum())
    shares: Ints = np.maximum(fair, 1).astype(np.int64)
    while (excess := int(shares.sum()) - (1 << SHARE_BITS)) != 0:
        if excess < 0:
            shares[np.argmax(wanted * np.log1p(1 / shares))] += 1
        else:
            loss = wanted * -np.log1p(-1 / np.maximum(shares, 2))
            shares[np.argmin(np.where(shares > 1, loss, np.inf))] -= 1
    return shares


def _ans_stream(symbols: Ints, shares: Ints) -> Array:
    """What the state shifts out while the symbols go in, last one first, in reading order."""
    starts = (np.cumsum(shares) - shares).tolist()
    sizes = shares.tolist()
    state, words = 1 << WORD, []
    for symbol in symbols[::-1].tolist():
        size = sizes[symbol]
        if state >= size << (2 * WORD - SHARE_BITS):
            words.append(state & 0xFFFF)
            state >>= WORD
        state = (state // size << SHARE_BITS) + state % size + starts[symbol]
    return np.array([state >> WORD, state & 0xFFFF, *reversed(words)], np.uint16)


def _decoded_ans(coded: Coded, count: int) -> Ints:
    high, low, *rest = coded.stream.tolist()
    words = iter(rest)
    state = high << WORD | low
    symbols = []
    for _ in range(count):
        slot, symbol = state % (1 << SHARE_BITS), 0
        for share in coded.table.tolist():
            if slot < share:
                break
            slot -= share
            symbol += 1
        state = (state >> SHARE_BITS) * share + slot
        if state < 1 << WORD:
            state = state << WORD | next(words)
        symbols.append(symbol)
    return np.array(symbols, np.int64)


_DECODERS = {"shared": _decoded_indices, "huffman": _decoded_huffman, "ans": _decoded_ans}
