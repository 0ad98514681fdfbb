"""Transactions as they were told, with what stations repeat and what they name alike."""

from __future__ import annotations

from smartcharge.events import TransactionEnded, TransactionStarted
from smartcharge.maintenance.sessions import Outcome, charges
from smartcharge.model import EvseId
from smartcharge.ports import Kept

A = EvseId("a/1")


def began(seq: int, at_s: float, name: str = "7", meter_wh: float = 0.0) -> Kept:
    return Kept(seq, TransactionStarted(at_s=at_s, evse=A, transaction_id=name, meter_wh=meter_wh))


def ended(seq: int, at_s: float, name: str = "7", meter_wh: float = 9000.0) -> Kept:
    return Kept(
        seq, TransactionEnded(at_s=at_s, evse=A, transaction_id=name, meter_wh=meter_wh, reason="EVDisconnected")
    )


class TestNames:
    def test_one_that_comes_again_after_its_end_is_another_transaction(self) -> None:
        """A station that counts from 1 again after it booted."""
        found = charges([began(1, 0.0), ended(2, 900.0), began(3, 5000.0, meter_wh=9000.0), ended(4, 5060.0)])
        assert [(each.seq, each.outcome) for each in found] == [(1, Outcome.SUCCESS), (3, Outcome.FAILURE)]

    def test_what_is_told_twice_is_one_transaction(self) -> None:
        """An offline queue that is sent once more, with the times at which it happened."""
        told = [began(1, 0.0), ended(2, 900.0), began(3, 0.0), ended(4, 900.0)]
        assert [each.seq for each in charges(told)] == [1]

    def test_the_first_word_stands(self) -> None:
        (one,) = charges([began(1, 0.0), began(2, 60.0, meter_wh=50.0), ended(3, 900.0), ended(4, 950.0, meter_wh=1.0)])
        assert one.energy_wh == 9000.0

    def test_are_in_the_order_of_their_starts(self) -> None:
        told = [began(1, 0.0), ended(2, 900.0), began(3, 1000.0, "8"), began(4, 2000.0), ended(5, 2900.0)]
        assert [each.seq for each in charges(told)] == [1, 3, 4]
