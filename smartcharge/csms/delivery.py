"""One limit brought to a station in a form that it takes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from math import floor
from typing import TYPE_CHECKING, TypeAlias

from smartcharge.clock import now_s
from smartcharge.csms.frames import clip
from smartcharge.csms.requests import ClearProfiles, RemoteStop, Request, SetProfile, UpdateProfile, WriteSetting
from smartcharge.csms.strategy import ends_by_itself, ladder, may_stop
from smartcharge.csms.vendors import commands
from smartcharge.errors import Refused
from smartcharge.events import ProfileKind, StationLearnt
from smartcharge.model import EvseId, Form, Pause, ScheduleKind, Way
from smartcharge.orders import Transfer

if TYPE_CHECKING:
    from smartcharge.csms.dialect import Dialect, Memory
    from smartcharge.csms.schemas import Payload

logger = logging.getLogger(__name__)

Ask: TypeAlias = Callable[[Request], "Awaitable[Payload]"]
"""Send a request and return the answer; raises Refused or Unreachable."""


class Delivery:
    """Brings limits to one station, and remembers in the station's memory which form it took."""

    def __init__(
        self, memory: Memory, dialect: Dialect, ask: Ask, on_clear: Callable[[EvseId], Awaitable[None]]
    ) -> None:
        self._memory = memory
        self._dialect = dialect
        self._ask = ask
        self._on_clear = on_clear
        self._has_cleared = False
        self._ladders: dict[tuple[EvseId, ProfileKind], tuple[StationLearnt | None, object, tuple[Form, ...]]] = {}
        """The forms to try, with what was known of the station when they were worked out."""
        self._dynamic: dict[EvseId, str | None] = {}
        """Transactions whose Dynamic profile was installed over this connection."""

    async def install(self, wanted: SetProfile) -> bool:
        """Make a station follow a limit; return whether something new was learnt of it.

        Raises:
            Refused: It takes the limit in no form; the reason is that of the best one.
            Unreachable: It did not answer.
        """
        station = self._memory.station
        stops = self._stops(wanted)
        if stops is not None and station.charging.pause is Pause.STOP:
            await self._ask(stops)
            return False
        try:
            return await self.set(wanted)
        except Refused as error:
            if stops is None:
                raise
            logger.warning("%s: refuses %g A (%s): stopped", wanted.evse.id, wanted.limit_a, clip(str(error)))
            await self._ask(stops)
            return False

    async def install_otherwise(self, wanted: SetProfile) -> bool:
        """Make a station that ignores one way follow another; raises Refused if it has no other, or Unreachable."""
        proven = self._memory.forms.of(wanted.kind)
        ignored = None if proven.form is None else proven.form.way
        return await self._first_of(wanted, tuple(form for form in self._rungs(wanted) if form.way is not ignored))

    async def stop(self, transaction_id: str) -> None:
        """Stop a transaction; raises Refused or Unreachable."""
        await self._ask(RemoteStop(transaction_id=transaction_id))

    async def set(self, wanted: SetProfile) -> bool:
        """Make a station follow a limit by a profile or command alone; returns and raises as `install`."""
        forms = self._memory.forms.of(wanted.kind).order(self._rungs(wanted))
        snapped = replace(wanted, limit_a=self._memory.forms.steps.snapped_a(wanted.limit_a))
        try:
            return await self._first_of(snapped, forms)
        except Refused:
            if await self._take_step(snapped, forms[:1]):
                return True
            if not self._may_make_room:
                raise
        await self._make_room(wanted)
        return await self._first_of(snapped, self._rungs(wanted))

    async def set_again(self, wanted: SetProfile) -> None:
        """Send a limit in the form that the station takes, and try nothing else; raises Refused or Unreachable."""
        proven = self._memory.forms.of(wanted.kind)
        await self._first_of(wanted, proven.order(self._rungs(wanted))[:1])

    def _stops(self, wanted: SetProfile) -> RemoteStop | None:
        is_possible = wanted.kind is ProfileKind.TRANSACTION and wanted.transaction_id is not None
        if not is_possible or not may_stop(self._memory.station, wanted.evse, wanted.limit_a):
            return None
        return RemoteStop(transaction_id=wanted.transaction_id or "")

    def _rungs(self, wanted: SetProfile) -> tuple[Form, ...]:
        """Return the forms to try; worked out again only when more is known of the station, not for each limit."""
        memory = self._memory
        key = (wanted.evse.id, wanted.kind)
        known = self._ladders.get(key)
        if known is not None and known[0] is memory.learnt and known[1] == memory.make:
            return known[2]
        vendor, model, _ = memory.make or (None, None, None)
        own = commands(vendor, model, is_alone=len(memory.station.evses) == 1)
        forms = ladder(memory.station, wanted.evse, wanted.kind, self._dialect.version, memory.learnt, *own)
        self._ladders[key] = (memory.learnt, memory.make, forms)
        return forms

    async def _first_of(self, wanted: SetProfile, forms: tuple[Form, ...]) -> bool:
        """Send a limit in the first form that is accepted; return whether that is news."""
        proven = self._memory.forms.of(wanted.kind)
        reason: str | None = None
        for form in forms:
            try:
                await self._send(wanted, form)
            except Refused as error:
                reason = reason or str(error)
            else:
                return proven.accepted(form)
        proven.refused()
        raise Refused(reason or "there is no form to try")

    async def _take_step(self, refused: SetProfile, forms: tuple[Form, ...]) -> bool:
        """Try the steps below a current that was refused; return whether one was taken."""
        steps = self._memory.forms.steps
        for limit_a in steps.lower_a(refused.limit_a, refused.evse.min_a):
            for form in forms:
                try:
                    await self._send(replace(refused, limit_a=limit_a), form)
                except Refused:
                    continue
                steps.found(refused.limit_a, limit_a)
                self._memory.forms.of(refused.kind).accepted(form)
                logger.warning("%s: takes %g A, not %g A", refused.evse.id, limit_a, refused.limit_a)
                return True
        return False

    @property
    def _may_make_room(self) -> bool:
        """Tell whether the profiles of others may be in the way: the station's room is small, and was not cleared."""
        learnt = self._memory.learnt
        return not self._has_cleared and learnt is not None and learnt.max_profiles is not None

    async def _make_room(self, wanted: SetProfile) -> None:
        """Clear an EVSE, as the last resort: at MaxChargingProfilesInstalled some firmware refuses replacements too."""
        self._has_cleared = True
        evse = wanted.evse
        logger.warning("%s: refuses every profile: its profiles are cleared once", evse.id)
        await self._on_clear(evse.id)
        with suppress(Refused):
            await self._ask(ClearProfiles(evse=evse))
        if wanted.kind is ProfileKind.TRANSACTION:
            await self.set(SetProfile(evse=evse, kind=ProfileKind.DEFAULT, limit_a=evse.default_a))

    async def _send(self, wanted: SetProfile, form: Form) -> None:
        charging = self._memory.station.charging
        watts_phases = charging.watts_phases or self._memory.phases.get(wanted.evse.id)
        value = _filled(form.value or "", wanted, watts_phases)
        match form.way:
            case Way.STOP:
                if wanted.limit_a < wanted.evse.max_a:
                    raise Refused("it takes all or nothing")
            case Way.KEY:
                await self._ask(WriteSetting(name=form.command or "", value=value))
            case Way.TRANSFER:
                vendor, _, message = (form.command or "").partition("/")
                await self._ask(Transfer(vendor_id=vendor, message_id=message or None, data=value))
            case Way.TRANSACTION | Way.DEFAULT | Way.MAXIMUM:
                is_named = form.way is Way.TRANSACTION and form.names_transaction
                transaction_id = wanted.transaction_id if is_named else None
                await self._write(replace(wanted, form=form, transaction_id=transaction_id, watts_phases=watts_phases))

    async def _write(self, profile: SetProfile) -> None:
        """Install a profile; a Dynamic one that is there already is only told another limit (2.1 K28)."""
        aim = self._memory.set_points.get(profile.evse.id)
        if aim is not None and profile.expires_s is not None and aim.until_s > now_s():
            profile = replace(profile, set_point=aim)
        if profile.form.kind is not ScheduleKind.DYNAMIC:
            await self._ask(profile)
            return
        name = profile.evse.id
        if self._dynamic.pop(name, None) == profile.transaction_id:
            with suppress(Refused):
                await self._ask(UpdateProfile(profile=profile))
                self._dynamic[name] = profile.transaction_id
                return
        await self._ask(profile)
        self._dynamic[name] = profile.transaction_id

    def rebooted(self) -> None:
        """Take it that the station may have forgotten its Dynamic profiles."""
        self._dynamic.clear()

    def learnt(self, now_s: float) -> StationLearnt:
        """Return what is known of the station by now, and keep it."""
        memory = self._memory
        if memory.make is not None:
            memory.library[memory.make] = memory.forms
        setpoint = memory.forms.setpoint.form
        known = memory.learnt or StationLearnt(at_s=now_s, station=memory.station.id)
        memory.learnt = replace(
            known,
            at_s=now_s,
            form=setpoint,
            default_form=memory.forms.default.form,
            steps_a=tuple(sorted(memory.forms.steps.taken_a)),
            refused_a=tuple(sorted(memory.forms.steps.refused_a)),
            limits_end=setpoint is None or ends_by_itself(setpoint),
        )
        return memory.learnt


def _filled(template: str, wanted: SetProfile, watts_phases: int | None) -> str:
    """Return a value with whole amperes for {a}, watts for {w}, rounded down, and the number of the EVSE for {evse}."""
    phases = watts_phases or wanted.evse.phase_count
    watts = wanted.limit_a * phases * wanted.evse.voltage_v * wanted.evse.efficiency
    words = {"{a}": str(floor(wanted.limit_a)), "{w}": str(floor(watts)), "{evse}": str(wanted.evse.number)}
    for mark, word in words.items():
        template = template.replace(mark, word)
    return template
