"""How texts lie in the arrays of a forward pass: one a row and padded, or several a row, side by side.

A layout tells each token's position, which tokens see each other, and how a text's tokens become its vector.
Tokens are int32 [r, t]; a token below 0 is no token. States are [r, t, h], vectors [n, h].
"""

from typing import Final, Protocol

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

# What a masked share's exponent is: its share is 0, and a row of nothing but masked ones has no NaN.
MASKED: Final = float(np.finfo(np.float32).min)
FEWEST: Final = np.int32(0)


def floats(value: float) -> Var:
    """Return a float32 constant."""
    return op.const(np.float32(value))


def integers(*values: int) -> Var:
    """Return a vector of int64 constants: a shape, axes or a place."""
    return op.const(np.array(values, np.int64))


class Layout(Protocol):
    """What a forward pass asks of either."""

    tokens: Var

    def positions(self, table: Var) -> Var:
        """Return the rows of the position embeddings, [t, h] or [r, t, h]."""

    def mask(self) -> Var:
        """Return what is added to attention's exponents, [r, 1, 1 or t, t]: 0, or MASKED."""

    def mean(self, states: Var) -> Var:
        """Return the mean of each text's tokens."""

    def first(self, states: Var) -> Var:
        """Return the state of each text's first token, [CLS] or <s>."""


class Padded:
    """A text a row, padded on the right: r = n."""

    def __init__(self, tokens: Var) -> None:
        self.tokens = tokens
        self._present = op.greater_or_equal(tokens, op.const(FEWEST))

    def positions(self, table: Var) -> Var:
        """Return the table's beginning."""
        length = op.gather(op.shape(self.tokens), integers(1))
        return op.slice(table, integers(0), length, integers(0))

    def mask(self) -> Var:
        """Let no token see padding."""
        return op.unsqueeze(op.where(self._present, floats(0.0), floats(MASKED)), integers(1, 2))

    def mean(self, states: Var) -> Var:
        """Leave the padding out."""
        present = op.unsqueeze(op.cast(self._present, to=np.float32), integers(2))
        total = op.reduce_sum(op.mul(states, present), integers(1), keepdims=False)
        return op.div(total, op.reduce_sum(present, integers(1), keepdims=False))

    def first(self, states: Var) -> Var:
        """Take the first column."""
        return op.gather(states, op.const(np.int64(0)), axis=1)


class Packed:
    """Several texts a row, as backend/packing.py lays them.

    places: each token's position in its text. owners: the number of its text, -1 where there is none.
    texts: anything with n rows.
    """

    def __init__(self, tokens: Var, places: Var, owners: Var, texts: Var) -> None:
        self.tokens = tokens
        self._places, self._owners = places, owners
        last = op.squeeze(op.gather(op.shape(texts), integers(0)), integers(0))
        numbers = op.range(op.const(np.int64(0)), last, op.const(np.int64(1)))
        self._numbers = op.unsqueeze(op.cast(numbers, to=np.int32), integers(1))

    def positions(self, table: Var) -> Var:
        """Return each token's own."""
        return op.gather(table, self._places)

    def mask(self) -> Var:
        """Let each token see its own text."""
        rows, columns = (op.unsqueeze(self._owners, integers(1, axis)) for axis in (3, 2))
        return op.where(op.equal(rows, columns), floats(0.0), floats(MASKED))

    def mean(self, states: Var) -> Var:
        """Sum each text's states, by a product that also undoes the packing."""
        shares = op.cast(self._owned(), to=np.float32)
        total = op.matmul(shares, op.flatten(states, axis=2))
        return op.div(total, op.reduce_sum(shares, integers(1), keepdims=True))

    def first(self, states: Var) -> Var:
        """Choose each text's first state by the same product."""
        begins = op.equal(op.flatten(self._places, axis=0), op.const(FEWEST))
        return op.matmul(op.cast(op.and_(self._owned(), begins), to=np.float32), op.flatten(states, axis=2))

    def _owned(self) -> Var:
        """Return whether a token is of a text: [n, r t]."""
        return op.equal(self._numbers, op.flatten(self._owners, axis=0))
