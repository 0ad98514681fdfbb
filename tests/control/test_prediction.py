"""What is expected of a car whose driver says nothing, and what its past is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control import prediction
from smartcharge.control.prediction import Ended, History, Quantity, Visitor, after, is_regular, quantile
from smartcharge.model import EvseId
from tests.builders import NOON_S

HOUR_S = 3600.0
WEEK_S = 7 * 24 * HOUR_S
A, B = EvseId("a/1"), EvseId("b/1")
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
STRANGER = Visitor(evse=A, plugged_at_s=NOON_S)
Past = Sequence[tuple[Visitor, Ended]]


def session(
    stay_h: float,
    kwh: float = 10.0,
    *,
    evse: EvseId = A,
    at_s: float = NOON_S,
    token: str | None = None,
    full: bool = True,
) -> tuple[Visitor, Ended]:
    visitor = Visitor(evse=evse, plugged_at_s=at_s, id_token=token)
    return visitor, Ended(at_s=at_s + stay_h * HOUR_S, energy_wh=1000.0 * kwh, is_full=full)


def taught(past: Past, history: History | None = None) -> History:
    known = History() if history is None else history
    for visitor, ended in past:
        known = after(known, visitor, ended)
    return known


def stay_h(history: History, visitor: Visitor = STRANGER, share: float = 0.5, *, beyond_h: float = 0.0) -> float:
    return quantile(history, visitor, Quantity.STAY, share, beyond=beyond_h * HOUR_S) / HOUR_S


def need_kwh(history: History, visitor: Visitor = STRANGER, share: float = 0.5) -> float:
    return quantile(history, visitor, Quantity.ENERGY, share) / 1000.0


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [
        session(
            float(rng.lognormal(1.0, 1.5)), float(rng.lognormal(2.0, 1.5)), evse=EvseId(f"{rng.integers(3)}/1"),
            at_s=NOON_S + float(rng.uniform(0.0, 4 * WEEK_S)), token=str(rng.integers(4)), full=rng.random() < 0.7,
        )
        for _ in range(draw(st.integers(0, 30)))
    ]  # fmt: skip


class TestWithoutHistory:
    def test_three_hours_and_thirty_kilowatt_hours(self) -> None:
        assert stay_h(History()) == pytest.approx(3.0)
        assert need_kwh(History(), share=0.9) == pytest.approx(30.0, rel=0.02)

    def test_a_car_that_is_still_there_stays_longer(self) -> None:
        assert stay_h(History(), beyond_h=0.5) == pytest.approx(3.0)
        assert stay_h(History(), beyond_h=4.0) > 5.0

    def test_beyond_all_that_was_ever_seen_nothing_is_expected(self) -> None:
        assert stay_h(History(), beyond_h=1000.0) == 1000.0


class TestLearning:
    def test_a_stranger_is_judged_by_the_hour(self) -> None:
        morning, evening = NOON_S - 4 * HOUR_S, NOON_S + 6 * HOUR_S
        days = [n * 24 * HOUR_S for n in range(40)]
        past = [session(9.0, at_s=morning + d) for d in days] + [session(1.0, at_s=evening + d) for d in days]
        history, later_s = taught(past), 40 * 24 * HOUR_S
        assert stay_h(history, replace(STRANGER, plugged_at_s=morning + later_s)) == pytest.approx(9.0, rel=0.2)
        assert stay_h(history, replace(STRANGER, plugged_at_s=evening + later_s)) == pytest.approx(1.0, rel=0.2)

    def test_an_hour_never_seen_falls_back_to_the_site(self) -> None:
        history = taught([session(6.0, at_s=NOON_S + n * 24 * HOUR_S) for n in range(60)])
        assert stay_h(history, Visitor(evse=B, plugged_at_s=NOON_S + 9 * HOUR_S)) == pytest.approx(6.0, rel=0.2)

    def test_a_regular_is_judged_by_himself(self) -> None:
        others = [session(8.0, 8.0, at_s=NOON_S + n * HOUR_S, token=f"t{n}") for n in range(100)]
        his = [session(2.0, 40.0, at_s=NOON_S + n * WEEK_S, token="his") for n in range(10)]
        history = taught(others + his)
        regular = replace(STRANGER, id_token="his")
        assert stay_h(history, regular) == pytest.approx(2.0, rel=0.2)
        assert need_kwh(history, regular) == pytest.approx(40.0, rel=0.2)
        assert stay_h(history, replace(STRANGER, id_token="t1")) > 6.0

    @pytest.mark.parametrize(("sessions", "expected"), [(0, False), (4, False), (5, True), (50, True)])
    def test_five_sessions_make_a_regular(self, sessions: int, expected: bool) -> None:
        history = taught([session(2.0, token="his", at_s=NOON_S + n * WEEK_S / 7) for n in range(sessions)])
        assert is_regular(history, replace(STRANGER, id_token="his")) is expected
        assert not is_regular(history, STRANGER)

    def test_habits_that_change_are_forgotten(self) -> None:
        before = taught([session(2.0, at_s=NOON_S + n * 24 * HOUR_S) for n in range(300)])
        now = taught([session(9.0, at_s=NOON_S + n * 24 * HOUR_S) for n in range(300, 600)], before)
        assert stay_h(now) == pytest.approx(9.0, rel=0.2)

    def test_a_car_that_left_hungry_wanted_more(self) -> None:
        full = taught([session(2.0, 10.0) for _ in range(30)])
        hungry = taught([session(2.0, 10.0, full=False) for _ in range(30)])
        assert need_kwh(full) == pytest.approx(10.0, rel=0.2)
        assert need_kwh(hungry) > 12.0
        assert need_kwh(hungry, share=0.05) >= 9.0


class TestMemory:
    def test_whoever_is_gone_for_a_year_is_dropped(self) -> None:
        history = taught([session(2.0, token="gone"), session(2.0, token="here", at_s=NOON_S + 370 * 24 * HOUR_S)])
        assert "token here" in history.cells
        assert "token gone" not in history.cells

    def test_is_bounded_and_the_oldest_goes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prediction, "MOST_CELLS", 12)
        history = taught([session(1.0, token=str(n), at_s=NOON_S + n * HOUR_S) for n in range(40)])
        assert len(history.cells) == 12
        assert {"site", "token 39"} <= set(history.cells)
        assert "token 0" not in history.cells


class TestProperties:
    @given(past=pasts(), quantity=st.sampled_from(Quantity), beyond=st.floats(0.0, 1e6), token=st.sampled_from("012x"))
    @settings(max_examples=100, deadline=None)
    def test_quantiles_are_finite_ordered_and_beyond_what_is_sure(
        self, past: Past, quantity: Quantity, beyond: float, token: str
    ) -> None:
        visitor = replace(STRANGER, id_token=token)
        found = [quantile(taught(past), visitor, quantity, share, beyond=beyond) for share in SHARES]
        assert all(isfinite(value) and value >= beyond for value in found)
        assert found == sorted(found)

    @given(past=pasts())
    @settings(max_examples=50, deadline=None)
    def test_names_do_not_matter(self, past: Past) -> None:
        renamed = [(replace(v, evse=EvseId(f"new {v.evse}"), id_token=f"new {v.id_token}"), e) for v, e in past]
        one, other = taught(past), taught(renamed)
        visitor = Visitor(evse=EvseId("0/1"), plugged_at_s=NOON_S, id_token="1")
        alike = Visitor(evse=EvseId("new 0/1"), plugged_at_s=NOON_S, id_token="new 1")
        assert [stay_h(one, visitor, s) for s in SHARES] == [stay_h(other, alike, s) for s in SHARES]
        assert [need_kwh(one, visitor, s) for s in SHARES] == [need_kwh(other, alike, s) for s in SHARES]

    @given(past=pasts())
    @settings(max_examples=30, deadline=None)
    def test_the_order_of_its_cells_does_not_matter(self, past: Past) -> None:
        history = taught(past)
        turned = History(cells=dict(reversed(tuple(history.cells.items()))))
        assert turned == history
        assert taught(past[:3], turned) == taught(past[:3], history)

    @given(past=pasts())
    @settings(max_examples=30, deadline=None)
    def test_the_order_of_sessions_hardly_matters(self, past: Past) -> None:
        uncensored = [(visitor, replace(ended, is_full=True)) for visitor, ended in past]
        one, other = taught(uncensored), taught(uncensored[::-1])
        assert stay_h(other, share=0.4) <= stay_h(one) <= stay_h(other, share=0.6)
        assert need_kwh(other, share=0.4) <= need_kwh(one) <= need_kwh(other, share=0.6)
