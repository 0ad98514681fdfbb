"""Inspection and cleaning plans: by time, by energy, by mating cycles, and after special events.

A plan file (TOML) has a table ``[[plans]]`` for each; `PlanKeys` has its keys.  A plan raises a preventive
work order for each of its stations: some days before it is due by time, or once its station has
delivered so much energy or been plugged so often since the last one was done.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smartcharge.errors import ConfigError, MaintenanceError
from smartcharge.events import Plugged, Unplugged
from smartcharge.faults import Priority
from smartcharge.maintenance import desk
from smartcharge.maintenance.desk import Draft
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.sessions import charges
from smartcharge.maintenance.work_orders import Category, Line, Raised, WorkOrder, orders
from smartcharge.model import StationId
from smartcharge.ports import Kept

DAY_S: Final = 86400.0
Positive = Annotated[float, Field(gt=0.0)]


class PlanKeys(BaseModel):
    """A plan, as its table has it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
    title: Annotated[str, Field(min_length=1)]
    equipment: Literal["ac", "dc", "all"] = "all"
    """Which stations it is for, by their EVSEs."""
    stations: list[str] | None = None
    """Only these of them; all if not given."""
    every_days: Positive | None = None
    every_kwh: Positive | None = None
    every_cycles: Positive | None = None
    """Mating cycles: how often a car was plugged in (IEC 62196-1 asks connectors for 10 000)."""
    after: list[str] = []
    """Special events that call for it at once, e.g. ``lightning``, ``flood``."""
    lead_days: Annotated[float, Field(ge=0.0)] = 14.0
    """How long before it is due its work order is raised, and how long one by use may take."""
    estimated_min: Positive = 60.0
    checklist: Annotated[list[str], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    plans: Annotated[list[PlanKeys], Field(min_length=1)]


def read_plans(path: Path, place: Place) -> tuple[PlanKeys, ...]:
    """Return the plans of a file; raises ConfigError with one line ``file: key: reason`` for every error."""
    try:
        plans = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).plans
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML in UTF-8: {error}") from error
    except ValidationError as error:
        found = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError("\n".join(found)) from error
    if faults := list(_faults(plans, place)):
        raise ConfigError("\n".join(f"{path}: {fault}" for fault in faults))
    return tuple(plans)


def _faults(plans: Sequence[PlanKeys], place: Place) -> Iterator[str]:
    known = {port.station for port in place.ports}
    for i, plan in enumerate(plans):
        if plan.id in {other.id for other in plans[:i]}:
            yield f"plans.{i}.id: {plan.id!r} is taken already"
        if not (plan.every_days or plan.every_kwh or plan.every_cycles or plan.after):
            yield f"plans.{i}: says neither every_days, every_kwh, every_cycles nor after"
        for station in plan.stations or ():
            if station not in known:
                yield f"plans.{i}.stations: the site has no station {station!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a plan stands at one station."""

    plan: PlanKeys
    station: StationId
    since_s: float
    """When it was done last, or the station was first heard of [s since 1970]."""
    used_wh: float
    """Energy delivered since [Wh]."""
    cycles: int
    """Cars plugged in since, at the busiest of its EVSEs."""
    due_s: float
    """When it is due [s since 1970]: by time, or -inf where use made it due; infinite for neither."""
    order: WorkOrder | None
    """The one that is open, if one is."""
    done: int
    in_time: int

    def is_overdue(self, now_s: float) -> bool:
        """Tell whether it should have been done by now."""
        return self.order.is_overdue(now_s) if self.order is not None else now_s > self.due_s > -inf


def standings(
    plans: Sequence[PlanKeys], place: Place, facts: Sequence[Kept], lines: Sequence[Line]
) -> Iterator[Standing]:
    """Yield where each plan stands at each of its stations that was ever heard of."""
    use = _Use.of(place, facts)
    known = list(orders(lines).values())
    for plan in plans:
        for station in _stations(plan, place):
            first_s = use.first_s.get(station)
            if first_s is not None:
                mine = [o for o in known if (o.raised.plan, o.raised.asset) == (plan.id, station)]
                yield _standing(plan, station, mine, use, first_s)


def _standing(plan: PlanKeys, station: StationId, mine: Sequence[WorkOrder], use: _Use, first_s: float) -> Standing:
    done = [order.completed.at_s for order in mine if order.completed is not None]
    since_s = max(done, default=first_s)
    used_wh, cycles = use.since(station, since_s)
    by_use = used_wh >= 1000.0 * (plan.every_kwh or inf) or cycles >= (plan.every_cycles or inf)
    by_time = since_s + DAY_S * plan.every_days if plan.every_days is not None else inf
    return Standing(
        plan=plan,
        station=station,
        since_s=since_s,
        used_wh=used_wh,
        cycles=cycles,
        due_s=-inf if by_use else by_time,
        order=next((order for order in mine if order.is_open), None),
        done=len(done),
        in_time=sum(order.is_compliant is True for order in mine),
    )


def planned(
    plans: Sequence[PlanKeys], place: Place, facts: Sequence[Kept], lines: Sequence[Line], now_s: float
) -> list[Raised]:
    """Return the work orders that plans call for by now; one at a time for each plan and station."""
    added: list[Raised] = []
    for standing in standings(plans, place, facts, lines):
        lead_s = DAY_S * standing.plan.lead_days
        if standing.order is None and standing.due_s - lead_s <= now_s:
            due_s = now_s + lead_s if standing.due_s == -inf else standing.due_s
            draft = _draft(standing.plan, standing.station, place, due_s)
            added.append(desk.raised([*lines, *added], draft, desk.ITSELF, now_s))
    return added


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """Something out of the ordinary that stations have to be inspected after."""

    name: str
    author: str
    at_s: float
    stations: tuple[str, ...] = ()
    """Those that it befell; none means the whole site."""


def happened(plans: Sequence[PlanKeys], place: Place, lines: Sequence[Line], event: Special) -> list[Raised]:
    """Return the inspections that a special event calls for; raises MaintenanceError where no plan knows it."""
    if strangers := set(event.stations) - {port.station for port in place.ports}:
        raise MaintenanceError(f"the site has no station {', '.join(sorted(strangers))}")
    if not any(event.name in plan.after for plan in plans):
        known = sorted({name for plan in plans for name in plan.after})
        raise MaintenanceError(f"no plan has {event.name!r}: they have {', '.join(known) or 'no special events'}")
    added: list[Raised] = []
    for plan in plans:
        befallen = [s for s in _stations(plan, place) if not event.stations or s in event.stations]
        for station in befallen if event.name in plan.after else ():
            draft = _draft(plan, station, place, event.at_s + DAY_S * plan.lead_days, request=event.name)
            added.append(desk.raised([*lines, *added], draft, event.author, event.at_s))
    return added


def _draft(plan: PlanKeys, station: StationId, place: Place, due_s: float, request: str | None = None) -> Draft:
    return Draft(
        title=plan.title,
        asset=station,
        location=place.id,
        priority=Priority.P3 if request is None else Priority.P2,
        category=Category.PREVENTIVE,
        due_s=due_s,
        estimated_s=60.0 * plan.estimated_min,
        request=request,
        plan=plan.id,
        checklist=tuple(plan.checklist),
    )


def _stations(plan: PlanKeys, place: Place) -> tuple[StationId, ...]:
    fitting = (
        port.station for port in place.ports if plan.equipment == "all" or port.is_dc == (plan.equipment == "dc")
    )
    return tuple(s for s in dict.fromkeys(fitting) if plan.stations is None or s in plan.stations)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """How much each station was used, and since when it is known."""

    first_s: dict[StationId, float]
    charged: dict[StationId, list[tuple[float, float]]]
    """Time and energy [Wh] of each charge that ended."""
    plugged: dict[StationId, list[tuple[float, str]]]
    """Time and EVSE of each plug."""

    @classmethod
    def of(cls, place: Place, facts: Sequence[Kept]) -> _Use:
        station_of = {port.evse: port.station for port in place.ports}
        use = cls(first_s={}, charged={}, plugged={})
        occupied: set[str] = set()
        for fact in facts:
            evse = getattr(fact.event, "evse", None)
            station = station_of.get(evse) if evse is not None else getattr(fact.event, "station", None)
            if station is not None:
                use.first_s.setdefault(station, fact.event.at_s)
                # A station says more than once that a car is there: what counts is that one came.
                if isinstance(fact.event, Plugged) and fact.event.evse not in occupied:
                    occupied.add(fact.event.evse)
                    use.plugged.setdefault(station, []).append((fact.event.at_s, fact.event.evse))
                elif isinstance(fact.event, Unplugged):
                    occupied.discard(fact.event.evse)
        for charge in charges(facts):
            station = station_of.get(charge.started.evse)
            if station is not None and charge.ended is not None and charge.energy_wh is not None:
                use.charged.setdefault(station, []).append((charge.ended.at_s, charge.energy_wh))
        return use

    def since(self, station: StationId, since_s: float) -> tuple[float, int]:
        """Return the energy [Wh] and the mating cycles of its busiest EVSE since a time [s since 1970]."""
        energy_wh = sum(wh for at_s, wh in self.charged.get(station, ()) if at_s > since_s)
        plugs = [evse for at_s, evse in self.plugged.get(station, ()) if at_s > since_s]
        return energy_wh, max((plugs.count(evse) for evse in set(plugs)), default=0)
