"""A linear program under construction, as HiGHS takes it, in which every column and row keeps a name.

Columns and rows are added in blocks.  A block is a grid of cells (slot by EV, say) of which some have
a number in the program; the grid's axes are labelled, so that what is known of a cell in one
program can be found again in the next, although cars came and went in between.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solvers.rows import Indices

if TYPE_CHECKING:
    from solvers.problem import Floats

Bools: TypeAlias = NDArray[np.bool_]
Labels: TypeAlias = tuple[Sequence[Hashable], ...]
"""Of each axis of a block, what its places are called."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows ``lower <= value @ x[column] <= upper`` of a linear program, one after the other."""

    lower: Floats
    upper: Floats
    start: Indices
    """Where row i begins in ``column`` and ``value``, shape (rows,)."""
    column: Indices
    value: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Which cells of a labelled grid are which columns, or rows, of the program."""

    number: Indices
    """Number of each cell; -1 where it has none."""
    labels: Labels


class Draft:
    """Columns and rows so far; all columns are 0 or more unless a lower bound is given."""

    def __init__(self) -> None:
        self.columns = 0
        self.column_blocks: dict[str, Block] = {}
        self.row_blocks: dict[str, Block] = {}
        self._bounds: list[tuple[Floats, Floats]] = []
        self._costs: list[Floats] = []
        self._rows: list[Rows] = []
        self._row_count = 0

    def add_columns(  # noqa: PLR0913  (a column is its bounds and its cost)
        self,
        name: str,
        is_there: Bools,
        labels: Labels,
        *,
        upper: Floats | float = np.inf,
        cost: Floats | float = 0.0,
        lower: float = 0.0,
    ) -> Indices:
        """Add a column for each cell that is there and return the numbers of all cells, -1 where there is none."""
        number = numbered(is_there, first=self.columns)
        count = int(is_there.sum())
        self.columns += count
        self.column_blocks[name] = Block(number=number, labels=labels)
        highest = np.broadcast_to(np.asarray(upper, dtype=np.float64), is_there.shape)[is_there]
        self._bounds.append((np.full(count, lower), highest))
        self._costs.append(np.broadcast_to(np.asarray(cost, dtype=np.float64), is_there.shape)[is_there])
        return number

    def add_rows(self, name: str, is_there: Bools, labels: Labels, rows: Rows) -> None:
        """Add rows, one for each cell that is there, in that order."""
        self.row_blocks[name] = Block(number=numbered(is_there, first=self._row_count), labels=labels)
        self._row_count += len(rows.upper)
        self._rows.append(rows)

    def lower(self) -> Floats:
        """Return the lower bounds of all columns, shape (columns,)."""
        return np.concatenate([np.zeros(0), *(low for low, _ in self._bounds)])

    def upper(self) -> Floats:
        """Return the upper bounds of all columns, shape (columns,)."""
        return np.concatenate([np.zeros(0), *(high for _, high in self._bounds)])

    def cost(self) -> Floats:
        """Return the cost of all columns, shape (columns,)."""
        return np.concatenate([np.zeros(0), *self._costs])

    def rows(self) -> Rows:
        """Return all rows."""
        return stacked(self._rows)


def numbered(is_there: Bools, *, first: int) -> Indices:
    """Return numbers from ``first`` on for the cells that are there, -1 for the others."""
    number = np.full(is_there.shape, -1, dtype=np.intp)
    number[is_there] = np.arange(first, first + int(is_there.sum()))
    return number


def sparse_rows(row: Indices, column: Indices, value: Floats, *, lower: Floats, upper: Floats) -> Rows:
    """Return rows from loose entries ``(row, column, value)``; entries whose column is -1 are left out."""
    is_there = column >= 0
    row, column, value = row[is_there], column[is_there], value[is_there]
    order = np.argsort(row, kind="stable")
    start = np.searchsorted(row[order], np.arange(len(upper)))
    return Rows(lower=lower, upper=upper, start=start, column=column[order], value=value[order])


def upper_rows(row: Indices, column: Indices, value: Floats, upper: Floats) -> Rows:
    """Return rows that are bounded from above only."""
    return sparse_rows(row, column, value, lower=np.full(len(upper), -np.inf), upper=upper)


def equal_rows(row: Indices, column: Indices, value: Floats, right: Floats) -> Rows:
    """Return equations."""
    return sparse_rows(row, column, value, lower=right, upper=right)


def stacked(blocks: Iterable[Rows]) -> Rows:
    """Return all rows of all blocks as one."""
    parts = tuple(blocks)
    shifts = np.cumsum([0, *(len(part.column) for part in parts)])
    no_index: Indices = np.zeros(0, dtype=np.intp)
    return Rows(
        lower=np.concatenate([np.zeros(0), *(part.lower for part in parts)]),
        upper=np.concatenate([np.zeros(0), *(part.upper for part in parts)]),
        start=np.concatenate([no_index, *(part.start + s for part, s in zip(parts, shifts, strict=False))]),
        column=np.concatenate([no_index, *(part.column for part in parts)]),
        value=np.concatenate([np.zeros(0), *(part.value for part in parts)]),
    )
