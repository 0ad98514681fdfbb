"""From a snapshot to payloads: what the site is told after a cycle.  No I/O."""

from __future__ import annotations

from math import inf, isfinite

from smartcharge.control import liveness
from smartcharge.control.evse import EvseState
from smartcharge.control.limits import Limits
from smartcharge.control.liveness import SourceState
from smartcharge.control.plan import Plan
from smartcharge.mqtt.payloads import EvseSaid, LineLimit, OperatorSaid, PlanSaid, SignedPhaseCurrents, SiteState
from smartcharge.ports import Snapshot
from smartcharge.words.base import utc


def site_state(snapshot: Snapshot) -> SiteState:
    """Return what is known of the whole site."""
    state = snapshot.state
    return SiteState(
        at=utc(snapshot.at_s),
        lines=_lines(snapshot.limits),
        export_w={str(circuit): watts for circuit, watts in snapshot.limits.export_w.items()},
        operators={name: _operator(known, snapshot.at_s) for name, known in state.sources.items()},
        evses={evse: _evse(known, is_online=state.is_online(evse)) for evse, known in state.evses.items()},
        lost_meters=sorted(snapshot.limits.lost_meters),
        troubles=dict(snapshot.troubles),
    )


def plan_said(plan: Plan) -> PlanSaid:
    """Return a plan as it is published."""
    return PlanSaid(
        made_at=utc(plan.made_at_s),
        edges=[utc(edge) for edge in plan.edges_s],
        current_a={evse: [round(a, 3) for a in currents] for evse, currents in plan.current_a.items()},
        shortfall_wh={evse: round(wh, 1) for evse, wh in plan.shortfall_wh.items()},
        outcome=plan.outcome.value,
        solver=plan.solver,
        solve_s=plan.solve_s,
    )


def _lines(limits: Limits) -> list[LineLimit]:
    lines: dict[str, LineLimit] = {}
    # Several rows may bound one line; they carry the same limit.
    for row, limit_a, other_a, source in zip(
        limits.rows, limits.limit_a.tolist(), limits.other_a.tolist(), limits.source, strict=True
    ):
        limit = round(limit_a, 3) if isfinite(limit_a) else None
        lines[row.label] = LineLimit(line=row.label, limit_a=limit, other_a=round(other_a, 3), source=source)
    return list(lines.values())


def _operator(then: SourceState, at_s: float) -> OperatorSaid:
    known = liveness.at(then, at_s)
    now = (alert for alert in known.alerts if alert.start_s <= at_s < (inf if alert.end_s is None else alert.end_s))
    return OperatorSaid(
        state=known.liveness.value,
        failsafe_w=liveness.failsafe_w(known, at_s),
        alerts=[f"{alert.kind}: {alert.text}" for alert in now],
    )


def _evse(known: EvseState, *, is_online: bool) -> EvseSaid:
    session, reading = known.session, known.reading
    current = reading.current_a if reading is not None else None
    return EvseSaid(
        is_online=is_online,
        is_occupied=known.occupied,
        transaction_id=session.transaction_id if session else None,
        plugged_at=utc(session.plugged_at_s) if session else None,
        depart_at=utc(session.depart_at_s) if session and session.depart_at_s is not None else None,
        energy_wh=session.energy_wh if session else None,
        delivered_wh=session.delivered_wh if session else None,
        current_a=SignedPhaseCurrents(l1=current.l1, l2=current.l2, l3=current.l3) if current else None,
        power_w=reading.power_w if reading else None,
        soc=reading.soc if reading else None,
        order_a=known.order.limit_a if known.order else None,
        faults=sorted(known.faults),
    )
