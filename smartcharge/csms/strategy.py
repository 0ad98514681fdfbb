"""In which form a station takes limits: the ladder of forms to try, and what is learnt by trying.  Pure.

Stations refuse what they do not understand: one takes TxDefaultProfile only (evcc #14888), one Relative
schedules only (evcc #15581), one watts only (lbbrhzn/ocpp #1635), one has no charging profiles at all but a
message of its vendor.  A refused form gives way to the next; the one that was accepted is kept.  What the
site file states is not tried otherwise.

The strategy: TxProfile, TxDefaultProfile, ChargePointMaxProfile or ChargingStationMaxProfile, a message of the
vendor, a configuration key, and for less than the minimum a remote stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from smartcharge.csms.schemas import Version
from smartcharge.csms.steps import Steps
from smartcharge.events import ProfileKind, StationLearnt
from smartcharge.model import Evse, Form, Pause, ScheduleKind, Station, Way, Wiring

REFUSALS = 3
"""So often in a row a form that worked must be refused before another is tried: one refusal can have other causes."""


@dataclass(slots=True)
class Proven:
    """The form that a station accepted last for one kind of profile, and how often it refused it since."""

    form: Form | None = None
    refusals: int = 0
    is_hint: bool = False
    """Whether only another station of the same make accepted it; a refusal then leads on at once."""

    def accepted(self, form: Form) -> bool:
        """Note an acceptance; return whether it is news."""
        is_news = self.is_hint or form != self.form
        self.form, self.refusals, self.is_hint = form, 0, False
        return is_news

    def order(self, rungs: tuple[Form, ...]) -> tuple[Form, ...]:
        """Return the forms to try now: the one that works alone, a hint before the others, or all."""
        if self.form is None or self.form not in rungs:
            return rungs
        others = tuple(form for form in rungs if form != self.form) if self.is_hint else ()
        return (self.form, *others)

    def refused(self) -> None:
        """Note that the station refused everything that was tried."""
        self.refusals += 1
        if self.refusals >= REFUSALS:
            self.form, self.refusals = None, 0


@dataclass(slots=True)
class Forms:
    """What is known of the forms, and the currents, that a station takes."""

    setpoint: Proven = field(default_factory=Proven)
    default: Proven = field(default_factory=Proven)
    steps: Steps = field(default_factory=Steps)

    @classmethod
    def of_learnt(cls, learnt: StationLearnt) -> Forms:
        """Return what was learnt before a restart."""
        steps = Steps(taken_a=set(learnt.steps_a), refused_a=set(learnt.refused_a))
        return cls(setpoint=Proven(learnt.form), default=Proven(learnt.default_form), steps=steps)

    @classmethod
    def hinted(cls, by: Forms | None) -> Forms:
        """Return what is worth trying first on a station of a make of which another is known."""
        if by is None:
            return cls()
        return cls(
            setpoint=Proven(form=by.setpoint.form, is_hint=True),
            default=Proven(form=by.default.form, is_hint=True),
            steps=Steps(taken_a=set(by.steps.taken_a), refused_a=set(by.steps.refused_a)),
        )

    def of(self, kind: ProfileKind) -> Proven:
        """Return what is known for a kind of profile."""
        return self.default if kind is ProfileKind.DEFAULT else self.setpoint


def ladder(
    station: Station, evse: Evse, kind: ProfileKind, version: Version, told: StationLearnt | None, *own: Form
) -> tuple[Form, ...]:
    """Return the forms to try, best first; what the site file states leaves out those that are otherwise.

    ``own`` are the vendor's own commands.  The unit is tried last: first every way in the unit that the station named.
    """
    rungs = _default_rungs(station, evse) if kind is ProfileKind.DEFAULT else _setpoint_rungs(station, version, told)
    found: list[Form] = []
    for rung in rungs:
        for unit in _units(station, evse, told):
            form = replace(rung, unit=unit, stack_level=station.charging.stack_level)
            if form not in found and _fits(station, form, kind):
                found.append(form)
    by_unit = sorted(found, key=lambda form: form.unit != found[0].unit)
    is_free = kind is not ProfileKind.DEFAULT and station.charging.way is None
    return (*by_unit, *(own if is_free else ()))


def _setpoint_rungs(station: Station, version: Version, told: StationLearnt | None) -> Iterator[Form]:
    stated = station.charging
    if stated.way in (Way.TRANSFER, Way.KEY, Way.STOP):
        yield Form(way=stated.way, command=stated.command, value=stated.value)
        return
    if _is_narrow(station, told):
        yield Form(way=Way.DEFAULT)
    yield Form()
    yield Form(kind=ScheduleKind.RELATIVE)
    if version is Version.V16:
        yield Form(names_transaction=False)
    if version is Version.V21:
        yield Form(kind=ScheduleKind.DYNAMIC)
    if told is None or told.max_periods is None or told.max_periods >= 2:
        yield Form(way=Way.DEFAULT)
        if len(station.evses) == 1:
            yield Form(way=Way.DEFAULT, is_on_station=True)
            yield Form(way=Way.MAXIMUM, is_on_station=True)
            yield Form(way=Way.MAXIMUM)
    yield Form(way=Way.DEFAULT, kind=ScheduleKind.RELATIVE)


def _is_narrow(station: Station, told: StationLearnt | None) -> bool:
    """Tell whether a station is full with a default and a setpoint for each EVSE.

    Some firmware then refuses even the replacement of a profile; a TxDefaultProfile of two periods is both in one.
    """
    if told is None or told.max_profiles is None or (told.max_periods or 2) < 2:
        return False
    return told.max_profiles <= 2 * len(station.evses)


def _default_rungs(station: Station, evse: Evse) -> Iterator[Form]:
    yield Form(way=Way.DEFAULT)
    if all(other.default_a == evse.default_a for other in station.evses):
        yield Form(way=Way.DEFAULT, is_on_station=True)
    yield Form(way=Way.DEFAULT, kind=ScheduleKind.RELATIVE)


def _units(station: Station, evse: Evse, told: StationLearnt | None) -> tuple[str, ...]:
    if evse.wiring is Wiring.DC:
        return ("W",)
    if station.charging.unit is not None:
        return (station.charging.unit,)
    named = "A" if told is None or told.rate_unit is None else told.rate_unit
    return ("W", "A") if named == "W" else ("A", "W")


def _fits(station: Station, form: Form, kind: ProfileKind) -> bool:
    stated = station.charging
    if kind is ProfileKind.DEFAULT:  # no default is Dynamic: it must outlive the connection
        is_kind_free = stated.kind in (None, ScheduleKind.DYNAMIC)
        return is_kind_free or form.kind is stated.kind
    return stated.way in (None, form.way) and stated.kind in (None, form.kind)


def ends_by_itself(form: Form) -> bool:
    """Tell whether a station surely drops a limit in this form when it expires.

    A Relative schedule counts from a moment that stations disagree on, `validTo` is ignored by some firmware,
    and what a vendor invented has no end at all.
    """
    return form.way in (Way.TRANSACTION, Way.DEFAULT, Way.MAXIMUM) and form.kind is ScheduleKind.ABSOLUTE


def may_stop(station: Station, evse: Evse, limit_a: float) -> bool:
    """Tell whether stopping the transaction is the way left to make an EVSE draw nothing."""
    return limit_a < evse.min_a and station.charging.pause is not Pause.NEVER_STOP
