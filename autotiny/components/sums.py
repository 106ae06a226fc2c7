"""Sums of products, and a cheaper way to compute the same one.

An expression is multiplied out to terms, a coefficient times factors each. Terms of the same
factors become one, constants are added up, and what most terms share is taken out of them again
(Horner's rule for several variables; Ceberio and Kreinovich, "Greedy Algorithms for Optimizing
Multivariate Horner Schemes", 2004). What comes out equals the expression in real numbers; in floats
the last bits differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

import numpy as np

from autotiny.graph import Array

Kind = Literal["ADD", "SUB", "MUL", "DIV"]

DIVISION = 4
"""What a division costs, in additions."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """What an expression does not look into.

    Attributes:
        name: what its owner calls it.
        shape: of its values.
        absorbs: whether it is a layer that takes up a factor or a summand a channel for nothing.
    """

    name: object
    shape: tuple[int, ...]
    absorbs: bool = False


@dataclass(frozen=True, eq=False)
class Constant:
    """A known value."""

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.values.shape


@dataclass(frozen=True, eq=False)
class Apply:
    """An operation on two expressions, which are broadcast against each other."""

    kind: Kind
    left: Expression
    right: Expression

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return np.broadcast_shapes(self.left.shape, self.right.shape)


Expression = Leaf | Constant | Apply


@dataclass(frozen=True, eq=False)
class Term:
    """A coefficient times factors."""

    coefficient: Array
    factors: tuple[Expression, ...] = ()

    def __mul__(self, other: Term) -> Term:
        return Term(self.coefficient * other.coefficient, (*self.factors, *other.factors))

    def __neg__(self) -> Term:
        return replace(self, coefficient=-self.coefficient)


def simplified(expression: Expression) -> Expression | None:
    """A cheaper expression of the same value and shape; None if none is known."""
    with np.errstate(all="ignore"):
        better = _factored(_collected(_terms(expression)))
    if better.shape != expression.shape or _stored(better) > max(_stored(expression), 1):
        return None
    if not all(
        np.isfinite(one.values).all() for one in _parts(better) if isinstance(one, Constant)
    ):
        return None  # what two factors do one after the other may be too large for one
    return better if cost(better) < cost(expression) else None


def cost(expression: Expression) -> int:
    """Elements that are computed."""
    used = Counter(leaf for leaf in _parts(expression) if isinstance(leaf, Leaf))

    def absorbed(one: Expression) -> bool:
        """Whether a layer computes it besides."""
        if isinstance(one, Leaf):
            return one.absorbs and used[one] == 1
        if not isinstance(one, Apply) or one.kind == "DIV":
            return False
        layer, other = one.left, one.right
        if isinstance(layer, Constant):
            layer, other = other, layer
        a_channel = isinstance(other, Constant) and other.values.size in (1, *other.shape[-1:])
        return a_channel and layer.shape == one.shape and absorbed(layer)

    return sum(
        int(np.prod(one.shape, dtype=np.int64)) * (DIVISION if one.kind == "DIV" else 1)
        for one in _parts(expression)
        if isinstance(one, Apply) and not absorbed(one)
    )


def _parts(expression: Expression) -> Iterator[Expression]:
    yield expression
    if isinstance(expression, Apply):
        yield from _parts(expression.left)
        yield from _parts(expression.right)


def _stored(expression: Expression) -> int:
    """Elements of constants."""
    return sum(one.values.size for one in _parts(expression) if isinstance(one, Constant))


def _terms(expression: Expression) -> list[Term]:
    """The terms of which an expression is the sum."""
    one = np.ones((), np.float32)
    if isinstance(expression, Constant):
        return [Term(expression.values)]
    if isinstance(expression, Leaf):
        return [Term(one, (expression,))]
    left, right = _terms(expression.left), _terms(expression.right)
    if expression.kind == "ADD":
        return left + right
    if expression.kind == "SUB":
        return left + [-term for term in right]
    if expression.kind == "MUL" and 1 in (len(left), len(right)):
        return [a * b for a in left for b in right]
    divisor = expression.right
    if expression.kind == "DIV" and isinstance(divisor, Constant) and divisor.values.all():
        return [term * Term(np.float32(1) / divisor.values) for term in left]
    return [Term(one, (expression,))]


def _collected(terms: Sequence[Term]) -> list[Term]:
    """Terms of the same factors as one; those that are zero go."""
    found: dict[tuple[int, ...], Term] = {}
    for term in terms:
        key = tuple(sorted(map(id, term.factors)))
        if key in found:
            both = found[key].coefficient + term.coefficient
            found[key] = replace(found[key], coefficient=both)
        else:
            found[key] = term
    return [term for term in found.values() if np.any(term.coefficient)]


def _factored(terms: Sequence[Term]) -> Expression:
    """The sum of terms, what most of them share taken out."""
    shared = _most_shared(terms)
    if shared is None:
        return _sum(terms)
    inside = [rest for term in terms if (rest := _divided(term, shared)) is not None]
    outside = [term for term in terms if _divided(term, shared) is None]
    product = Apply("MUL", _factored(inside), shared)
    return _added(product, outside)


def _most_shared(terms: Sequence[Term]) -> Expression | None:
    """A factor, or a coefficient, of as many terms as possible; None if nothing is shared."""
    coefficients = (Constant(t.coefficient) for t in terms if t.factors and not _is_unit(t))
    candidates = [*(factor for term in terms for factor in term.factors), *coefficients]
    counts = [sum(_divided(term, one) is not None for term in terms) for one in candidates]
    best = max(counts, default=0)
    return candidates[counts.index(best)] if best > 1 else None


def _divided(term: Term, by: Expression) -> Term | None:
    """A term without a factor; None if it has none such."""
    if isinstance(by, Constant):
        for sign in (1, -1):
            if term.factors and np.array_equal(term.coefficient, sign * by.values):
                return replace(term, coefficient=np.array(sign, np.float32))
        return None
    places = [place for place, factor in enumerate(term.factors) if factor is by]
    if not places:
        return None
    rest = term.factors[: places[0]] + term.factors[places[0] + 1 :]
    return replace(term, factors=rest)


def _is_unit(term: Term) -> bool:
    return bool(np.all(np.abs(term.coefficient) == 1))


def _sum(terms: Sequence[Term]) -> Expression:
    """Terms one after the other, the constant last."""
    if not terms:
        return Constant(np.zeros((), np.float32))
    ordered = sorted(terms, key=lambda term: (not term.factors, _is_negative(term)))
    layers = [term for term in terms if _is_layer(term)]
    if layers and not ordered[-1].factors:
        # A layer takes the constant up in its bias.
        first, constant = layers[0], ordered.pop()
        ordered = [first, constant, *(term for term in ordered if term is not first)]
    return _added(_product(ordered[0]), ordered[1:])


def _added(first: Expression, terms: Sequence[Term]) -> Expression:
    for term in terms:
        if term.factors and _is_negative(term):
            first = Apply("SUB", first, _product(-term))
        else:
            first = Apply("ADD", first, _product(term))
    return first


def _is_layer(term: Term) -> bool:
    factors = term.factors
    return len(factors) == 1 and isinstance(factors[0], Leaf) and factors[0].absorbs


def _is_negative(term: Term) -> bool:
    return bool(np.all(term.coefficient < 0))


def _product(term: Term) -> Expression:
    """A term, small factors first, so that little is computed as often as the result is large."""
    constant = Constant(term.coefficient)
    if not term.factors:
        return constant
    factors = sorted(term.factors, key=lambda factor: int(np.prod(factor.shape, dtype=np.int64)))
    if not np.all(term.coefficient == 1):
        factors.insert(1, constant)
    return reduce(lambda a, b: Apply("MUL", a, b), factors)
