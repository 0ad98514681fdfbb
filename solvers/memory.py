"""What one search leaves for the next: the rows that were worth adding, and the basis, both by name.

A tangent is true of its circle whatever the limit is, and a basis is only where simplex begins: neither
can make a later answer wrong, however different its problem is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import highspy
import numpy as np
from highspy import HighsBasisStatus
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from solvers.draft import Block, Labels, Rows
    from solvers.highs_model import Program
    from solvers.problem import Complexes
    from solvers.rows import Indices

Statuses: TypeAlias = NDArray[np.int8]
_STATUS = np.array(
    [HighsBasisStatus.kLower, HighsBasisStatus.kBasic, HighsBasisStatus.kUpper, HighsBasisStatus.kZero], dtype=object
)
_LOWER, _BASIC = 0, 1
_UNKNOWN = -1
_DEFINED = frozenset({"sum", "power", "level"})
"""Blocks in which each column has an equation of its own: unless known better, the column is in the basis."""
KEPT = 2
"""A tangent is kept for so many problems after the last in which it was tight."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tangents:
    """Tangents in a program, one after the other."""

    number: Indices
    """Row of the program."""
    slot: Indices
    row: Indices
    """Row of the Problem."""
    direction: Complexes
    idle: Indices
    """Problems since it was tight."""

    @classmethod
    def none(cls) -> Self:
        """Return no tangents."""
        no: Indices = np.zeros(0, dtype=np.intp)
        return cls(number=no, slot=no, row=no, direction=no.astype(np.complex128), idle=no)

    def chosen(self, which: NDArray[Any]) -> Self:
        """Return some of them."""
        return replace(
            self, number=self.number[which], slot=self.slot[which], row=self.row[which],
            direction=self.direction[which], idle=self.idle[which],
        )  # fmt: skip

    def and_these(self, first: int, slot: Indices, row: Indices, direction: Complexes) -> Self:
        """Return these and new ones, whose rows of the program count from ``first`` on."""
        return replace(
            self,
            number=np.concatenate([self.number, np.arange(first, first + len(slot))]),
            slot=np.concatenate([self.slot, slot]),
            row=np.concatenate([self.row, row]),
            direction=np.concatenate([self.direction, direction]),
            idle=np.concatenate([self.idle, np.zeros(len(slot), dtype=np.intp)]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """Where a search ended."""

    columns: Mapping[str, tuple[Statuses, Labels]]
    rows: Mapping[str, tuple[Statuses, Labels]]
    tangents: Tangents
    tangent_status: Statuses

    @classmethod
    def of(cls, model: highspy.Highs, program: Program, tangents: Tangents) -> Self | None:
        """Return what a model that has run leaves, or None if it has no basis."""
        basis = model.getBasis()
        if not basis.valid:
            return None
        column, row = _numbers(basis.col_status), _numbers(basis.row_status)
        is_tight = row[tangents.number] != _BASIC
        tangents = replace(tangents, idle=np.where(is_tight, 0, tangents.idle + 1))
        kept = np.flatnonzero(tangents.idle <= KEPT)
        return cls(
            columns=_by_name(program.draft.column_blocks, column),
            rows=_by_name(program.draft.row_blocks, row),
            tangents=tangents.chosen(kept),
            tangent_status=row[tangents.number[kept]],
        )

    def tangents_for(self, program: Program) -> tuple[Tangents, Statuses, Rows]:
        """Return which tangents a program can use, their statuses, and their rows."""
        place = np.full(len(program.problem.coupling) + 1, -1, dtype=np.intp)
        place[program.rows] = np.arange(len(program.rows))
        row = place[np.minimum(self.tangents.row, len(place) - 1)]
        slot = self.tangents.slot
        is_known = (row >= 0) & (slot < program.problem.slots)
        is_open = program.is_binding & ~program.is_added
        is_known[is_known] = is_open[slot[is_known], row[is_known]]
        useful = np.flatnonzero(is_known)
        tangents = self.tangents.chosen(useful)
        rows = program.tangents(tangents.slot, row[useful], tangents.direction)
        return tangents, self.tangent_status[useful], rows

    def basis_for(self, program: Program, tangents: Statuses) -> highspy.HighsBasis:
        """Return the basis of a program whose last rows are tangents, as far as it is known."""
        draft = program.draft
        column = _statuses(draft.column_blocks, self.columns, draft.columns, otherwise=_LOWER, defined=_BASIC)
        count = sum(int((block.number >= 0).sum()) for block in draft.row_blocks.values())
        row = _statuses(draft.row_blocks, self.rows, count, otherwise=_BASIC, defined=_LOWER)
        basis = highspy.HighsBasis()
        basis.col_status = _STATUS[column].tolist()
        basis.row_status = _STATUS[np.concatenate([row, tangents])].tolist()
        basis.valid = True
        basis.alien = True
        return basis


def _numbers(statuses: Sequence[HighsBasisStatus]) -> Statuses:
    return np.fromiter(map(int, statuses), dtype=np.int8, count=len(statuses))


def _by_name(blocks: Mapping[str, Block], status: Statuses) -> dict[str, tuple[Statuses, Labels]]:
    return {
        name: (np.where(block.number >= 0, status[block.number], np.int8(_UNKNOWN)), block.labels)
        for name, block in blocks.items()
        if block.number.size and len(status)
    }


def _statuses(
    blocks: Mapping[str, Block],
    known: Mapping[str, tuple[Statuses, Labels]],
    count: int,
    *,
    otherwise: int,
    defined: int,
) -> Statuses:
    """Return the status of every column, or row, of a program: the known one of its name, or a plain guess."""
    status: Statuses = np.full(count, otherwise, dtype=np.int8)
    for name, block in blocks.items():
        is_there = block.number >= 0
        cells: Statuses = np.full(block.number.shape, _UNKNOWN, dtype=np.int8)
        if name in known:
            old, labels = known[name]
            cells = _carried(old, labels, block.labels)
        guess = defined if name in _DEFINED else otherwise
        found = cells[is_there]
        status[block.number[is_there]] = np.where(found == _UNKNOWN, guess, found)
    return status


def _carried(old: Statuses, old_labels: Labels, labels: Labels) -> Statuses:
    """Return the old statuses at the places where their labels are now."""
    for axis, (before, now) in enumerate(zip(old_labels, labels, strict=True)):
        if before != now:
            place: dict[Hashable, int] = {label: number for number, label in enumerate(before)}
            index = np.array([place.get(label, -1) for label in now], dtype=np.intp)
            padding = np.full((*old.shape[:axis], 1, *old.shape[axis + 1 :]), _UNKNOWN, dtype=np.int8)
            old = np.concatenate([old, padding], axis=axis).take(index, axis=axis)
    return old
