"""Writes down what people say of work orders from afar: the way in for whoever carries their words (MQTT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from smartcharge.clock import now_s
from smartcharge.maintenance import desk, foreman
from smartcharge.maintenance.desk import Report
from smartcharge.maintenance.meaning import COMMON, Meaning
from smartcharge.maintenance.work_orders import Assigned, Line, Noted, Repaired, Status, StatusSet
from smartcharge.ports import Chronicle, Journal, Kept, Logbook, WorkKind, WorkWord


class Clerk:
    """A `ports.WorkDesk` in front of a logbook."""

    def __init__(self, chronicle: Chronicle, logbook: Logbook, journal: Journal, meaning: Meaning = COMMON) -> None:
        self._meaning = meaning
        self._chronicle = chronicle
        self._logbook = logbook
        self._journal = journal

    async def take(self, word: WorkWord) -> None:
        """Write down what somebody said, if the work order allows it; raises MaintenanceError, StoreError."""
        await self._journal.flush()  # its evidence may be a moment old
        facts, at_s = await self._chronicle.facts(), now_s()
        await foreman.write(self._logbook, lambda lines: [self._line(lines, word, facts, at_s)])

    def _line(self, lines: Sequence[Line], word: WorkWord, facts: Sequence[Kept], at_s: float) -> Line:
        number, author, text = word.order, word.author, word.text
        match word.kind:
            case WorkKind.TAKE:
                mine = Assigned(at_s=at_s, order=number, author=author, team=None, assignees=(author,))
                return desk.checked(lines, mine)
            case WorkKind.START | WorkKind.HOLD:
                status = Status.IN_PROGRESS if word.kind is WorkKind.START else Status.ON_HOLD
                return desk.checked(
                    lines, StatusSet(at_s=at_s, order=number, author=author, status=status, reason=text)
                )
            case WorkKind.NOTE:
                return desk.checked(lines, Noted(at_s=at_s, order=number, author=author, text=text, parts=word.parts))
            case WorkKind.REPAIRED:
                mended = Repaired(at_s=at_s, order=number, author=author, text=text, parts=word.parts)
                return desk.repaired(lines, mended, facts, meaning=self._meaning)
            case WorkKind.COMPLETE:
                report = Report(author=author, signature=word.signature, feedback=text, done=word.done)
                return desk.completed(lines, number, report, facts, at_s, meaning=self._meaning)
            case _:
                assert_never(word.kind)
