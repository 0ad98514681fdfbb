"""A simulated charging station: a real OCPP client in front of the simulated world.

What it knows of OCPP versions is that there are dialects.  It offers the world's cars what its charging
profiles allow, reports what its meters show, and goes on by itself when nobody listens.  It never polls:
idle, it has a heartbeat timer and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from uuid import NAMESPACE_URL, uuid5

from smartcharge.clock import now_s
from smartcharge.csms.profile_store import ProfileStore
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.model import EvseId, Station
from smartcharge.sim.ailments import Ailment
from smartcharge.sim.cars import Car
from smartcharge.sim.station_firmware import Firmware
from smartcharge.sim.station_link import Endpoint, Link, Message
from smartcharge.sim.station_parts import Bay, Dialect, Sample, StartRequest, StationOptions, Transaction
from smartcharge.sim.station_supply import Supply, measure
from smartcharge.sim.station_timers import Timers
from smartcharge.sim.station_v16 import Station16
from smartcharge.sim.station_v201 import Station201
from smartcharge.sim.world import World

RESET_S = 1.0
"""From answering a Reset to doing it [s]."""
BOOT_RETRY_S = 60.0
"""Wait before the next BootNotification if the server named none [s]."""


class SimulatedStation:
    """One station: `run` it, let cars come and go, and let things break.

    Faults that a scenario switches: `is_silent`, `ignores_profile`, `loses_answers`, `is_meter_frozen`,
    `power_off` and `power_on`, `drop_connection`.

    Args:
        station: what stands there.
        world: the truth; it says what a car draws.
        url: the server's, without the station's id.
        version: the OCPP version it speaks.
        options: what it is like.
    """

    def __init__(
        self,
        station: Station,
        world: World,
        url: str,
        version: Version = Version.V16,
        options: StationOptions | None = None,
    ) -> None:
        self.station = station
        self.options = options or StationOptions()
        self.bays = {evse.number: Bay(evse=evse) for evse in station.evses}
        profiles = ProfileStore(station, version=version, abilities=self.options.abilities)
        self.measurands = self.options.measurands
        self.is_meter_frozen = False
        """Whether its meters go on showing what they showed last."""
        self._heartbeat_s = self.options.heartbeat_s
        self._meter_interval_s = self.options.meter_interval_s
        self._world = world
        self._dialect: Dialect = Station16(self) if version is Version.V16 else Station201(self)
        endpoint = Endpoint(url=url, station=station.id, version=version, password=self.options.password)
        self.link = Link(
            endpoint,
            self.options.patience,
            self._dialect.handles,
            on_open=self._opened,
            on_close=self._closed,
            on_call=self._dialect.answer,
        )
        self._timers = Timers()
        self.supply = Supply(world, self.bays, profiles, self._timers, self.options)
        self.firmware = Firmware(self, self._timers)
        self._has_booted = False
        self._boot_reason = "PowerUp"
        self._awaits_reset: str | None = None
        for bay in self.bays.values():
            bay.on_change = partial(self._refresh, bay)
            world.subscribe(bay.evse.id, bay.on_change)

    async def run(self) -> None:
        """Live until cancelled: boot, connect, and connect again whenever the connection is lost."""
        self._timers.arm("boot", self.options.boot_s, self.link.resume)
        try:
            await self.link.run()
        finally:
            self._timers.disarm_all()

    # -- cars

    def plug(self, evse: EvseId, car: Car, id_token: str | None) -> None:
        """Connect a car; a moment later its driver shows a card, or, without one, waits for a remote start."""
        bay = self._bay(evse)
        self._world.advance(now_s())
        bay.visit, bay.id_token, bay.has_finished = bay.visit + 1, id_token, False
        self._world.plug(evse, car)
        self._refresh(bay)
        self._await_card(bay)

    def unplug(self, evse: EvseId) -> float:
        """Disconnect the car, which ends its transaction, and return the energy it took [Wh]."""
        bay = self._bay(evse)
        self._world.advance(now_s())
        self._timers.disarm("card", bay.number)
        bay.visit, bay.id_token = bay.visit + 1, None
        if bay.transaction is not None and self.supply.is_powered:
            self._end(bay, "EVDisconnected")
        taken_wh = self._world.unplug(evse)
        self._refresh(bay)
        return taken_wh

    # -- faults

    @property
    def is_silent(self) -> bool:
        """Whether it neither sends nor hears anything, on a connection that stands."""
        return self.link.is_silent

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        self.link.is_silent = value

    @property
    def loses_answers(self) -> float:
        """Share of the server's calls, 0 to 1, that it acts on without its answer arriving."""
        return self.link.loses_answers

    @loses_answers.setter
    def loses_answers(self, share: float) -> None:
        self.link.loses_answers = share

    @property
    def ignores_profile(self) -> bool:
        """Whether it accepts every profile and offers its maximum."""
        return self.supply.ignores_profile

    @ignores_profile.setter
    def ignores_profile(self, value: bool) -> None:
        self.supply.ignores_profile = value
        self.supply.apply()

    def set_ailment(self, evse: EvseId, ailment: Ailment) -> None:
        """Let something be wrong with the hardware of an EVSE, or with `SOUND` nothing; it says what it notices."""
        bay = self._bay(evse)
        self._world.advance(now_s())
        before, bay.ailment = bay.ailment, ailment
        self._world.lose_phase(evse, ailment.dead_phase)
        if self.supply.is_powered and ailment.code is not None:
            self._post(self._dialect.ailing(bay, ailment, is_there=True))
        self.supply.apply()
        if self.supply.is_powered and before.code is not None and before.code != ailment.code:
            self._post(self._dialect.ailing(bay, before, is_there=False))
        if ailment.ends_sessions_s is not None and bay.transaction is not None:
            self._arm_failure(bay)

    def drop_connection(self) -> None:
        """Lose the connection without a word; it is made again after a while."""
        self.link.drop()

    def power_off(self) -> None:
        """Die: no connection, no current; cars stay plugged."""
        self._timers.disarm_all()
        if not self.supply.is_powered:
            return
        self._world.advance(now_s())
        for bay in self.bays.values():
            bay.sample = self._measure(bay)
        self.supply.is_powered = False
        self.link.is_registered = False
        self.link.cut()
        self._timers.disarm_all()
        self.supply.apply()

    def power_on(self) -> None:
        """Come back: boot anew after a while."""
        if not self.supply.is_powered:
            self._timers.arm("boot", self.options.boot_s, self._boot_up)

    def _boot_up(self) -> None:
        self.supply.is_powered, self._has_booted = True, False
        self.supply.profiles.reboot()
        self.link.resume()
        for bay in self.bays.values():
            if bay.transaction is not None and self.options.resumes_after_power_loss and self.supply.has_car(bay):
                self._arm_meter(bay)
            elif bay.transaction is not None:
                self._end(bay, "PowerLoss", bay.sample)
                bay.has_finished = False
            if bay.transaction is None and self.supply.has_car(bay):
                self._await_card(bay)
        self.supply.apply()

    def restart(self) -> None:
        """Restart, as new firmware wants it."""
        self._reset("Reboot")
        self._boot_reason = "FirmwareUpdate"

    # -- what the server asks for

    def request_start(self, number: int | None, request: StartRequest) -> bool:
        """Start a transaction for a car that is there; return whether that is possible."""
        candidates = self.bays.values() if number is None else filter(None, [self.bays.get(number)])
        bay = next((bay for bay in candidates if self._can_start(bay)), None)
        if bay is None:
            return False
        if request.profile is not None and self.supply.profiles.objection(bay.number, request.profile) is not None:
            return False
        self._timers.disarm("card", bay.number)
        self._start(bay, bay.visit, request)
        return True

    def request_stop(self, transaction_id: str) -> bool:
        """Stop a transaction; return whether it runs here."""
        for bay in self.bays.values():
            if bay.transaction is not None and bay.transaction.id == transaction_id:
                self._end(bay, "Remote")
                return True
        return False

    def request_reset(self, reason: str, *, when_idle: bool) -> bool:
        """Reset now, or when no transaction runs any more; return whether it is now."""
        if when_idle and any(bay.transaction for bay in self.bays.values()):
            self._awaits_reset = reason
            return False
        self._timers.arm("reset", RESET_S, partial(self._reset, reason))
        return True

    def set_operative(self, bays: Iterable[Bay], *, is_operative: bool) -> bool:
        """Take EVSEs in or out of service; return False if one must wait for its transaction to end."""
        changed = list(bays)
        for bay in changed:
            bay.is_operative = is_operative
            self._refresh(bay)
            if is_operative and self._can_start(bay):
                self._await_card(bay)
        return is_operative or all(bay.transaction is None for bay in changed)

    def send_boot(self) -> None:
        """Tell the server who this is."""
        boot = self._dialect.boot(self._boot_reason)
        boot.on_result = self._boot_answered
        boot.on_failure = partial(self._timers.arm, "boot", BOOT_RETRY_S, self.send_boot)
        if self.supply.is_powered:
            self.link.post(boot)

    def send_heartbeat(self) -> None:
        """Tell the server that this is alive, and again and again."""
        self._timers.arm("heartbeat", self._heartbeat_s, self.send_heartbeat)
        self.link.post(self._dialect.heartbeat())

    def send_statuses(self, bays: Iterable[Bay]) -> None:
        """Report the status of connectors as it is now."""
        self._post(self._dialect.statuses(list(bays)))

    def send_meter_values(self, bays: Iterable[Bay]) -> None:
        """Report what the meters show now, because the server asked."""
        for bay in bays:
            if not bay.ailment.is_meter_silent:
                self.link.post(self._dialect.metered(bay, self._measure(bay), is_triggered=True))

    def send_firmware_status(self, status: str, request_id: int | None) -> None:
        """Tell how far an update is."""
        self.link.post(self._dialect.firmware_status(status, request_id))

    def send_security_event(self, kind: str) -> None:
        """Tell of something that concerns security."""
        payload = {"type": kind, "timestamp": format_time(now_s())}
        self.link.post(Message(action="SecurityEventNotification", payload=payload))

    @property
    def heartbeat_s(self) -> float:
        """Time between heartbeats [s]."""
        return self._heartbeat_s

    @heartbeat_s.setter
    def heartbeat_s(self, value: float) -> None:
        self._heartbeat_s = value
        self._timers.arm("heartbeat", value, self.send_heartbeat)

    @property
    def meter_interval_s(self) -> float:
        """Time between meter values in a transaction [s]; 0 sends none."""
        return self._meter_interval_s

    @meter_interval_s.setter
    def meter_interval_s(self, value: float) -> None:
        self._meter_interval_s = value
        for bay in self.bays.values():
            if bay.transaction is not None:
                self._arm_meter(bay)

    def transaction_named(self, bay: Bay, transaction: Transaction, transaction_id: str) -> None:
        """Take the id that the server gave to a transaction (1.6)."""
        transaction.id = transaction_id
        if bay.transaction is transaction:
            self.supply.profiles.transaction_named(bay.number, transaction_id)

    def deauthorized(self, bay: Bay, transaction: Transaction) -> None:
        """End a transaction whose driver may not charge after all."""
        if bay.transaction is transaction:
            self._end(bay, "DeAuthorized")

    # -- transactions

    def _await_card(self, bay: Bay) -> None:
        if bay.id_token is not None and self.supply.is_powered:
            self._timers.arm("card", self.options.start_s, partial(self._show_card, bay), bay.number)

    def _show_card(self, bay: Bay) -> None:
        """Ask whether the driver may charge; when nobody answers, the station decides: yes."""
        assert bay.id_token is not None
        request = StartRequest(id_token=bay.id_token)
        message = self._dialect.authorize(bay.id_token)
        message.on_result = partial(self._authorized, bay, bay.visit, request)
        message.on_failure = partial(self._start, bay, bay.visit, request)
        self.link.post(message)

    def _authorized(self, bay: Bay, visit: int, request: StartRequest, answer: Payload) -> None:
        if self._dialect.may_charge(answer):
            self._start(bay, visit, request)

    def _can_start(self, bay: Bay) -> bool:
        return self.supply.is_powered and bay.is_operative and bay.transaction is None and self.supply.has_car(bay)

    def _start(self, bay: Bay, visit: int, request: StartRequest) -> None:
        if bay.visit != visit or not self._can_start(bay):
            return
        sample = self._measure(bay)
        own_id = str(uuid5(NAMESPACE_URL, f"{bay.evse.id} {sample.at_s}"))
        bay.has_finished = False
        bay.transaction = Transaction(
            id=self._dialect.transaction_id(own_id),
            id_token=request.id_token,
            started_s=sample.at_s,
            remote_start_id=request.remote_start_id,
        )
        self.supply.profiles.transaction_started(bay.number, sample.at_s, bay.transaction.id)
        if request.profile is not None:
            bound = replace(request.profile, transaction_id=bay.transaction.id)
            self.supply.profiles.install(bay.number, bound, sample.at_s)
        self.link.post(self._dialect.started(bay, bay.transaction, sample))
        self._arm_meter(bay)
        if bay.ailment.ends_sessions_s is not None:
            self._arm_failure(bay)
        self.supply.apply()

    def _end(self, bay: Bay, reason: str, sample: Sample | None = None) -> None:
        transaction, bay.transaction = bay.transaction, None
        assert transaction is not None
        bay.has_finished = True
        self._timers.disarm("meter", bay.number)
        self.supply.profiles.transaction_ended(bay.number)
        self.link.post(self._dialect.ended(bay, transaction, sample or self._measure(bay), reason))
        self.supply.apply()
        if self._awaits_reset is not None and not any(bay.transaction for bay in self.bays.values()):
            self._timers.arm("reset", RESET_S, partial(self._reset, self._awaits_reset))
            self._awaits_reset = None

    def _reset(self, reason: str) -> None:
        for bay in self.bays.values():
            if bay.transaction is not None:
                self._end(bay, reason)
                bay.has_finished = False
        self.power_off()
        self._boot_reason = "RemoteReset"
        self.power_on()

    def _arm_failure(self, bay: Bay) -> None:
        assert bay.ailment.ends_sessions_s is not None
        self._timers.arm("failure", bay.ailment.ends_sessions_s, partial(self._fail, bay), bay.number)

    def _fail(self, bay: Bay) -> None:
        """End a session by an error, if what makes it fail is still there."""
        if bay.transaction is not None and bay.ailment.ends_sessions_s is not None:
            self._end(bay, "Other")

    # -- meters

    def _arm_meter(self, bay: Bay) -> None:
        if self._meter_interval_s > 0.0:
            self._timers.arm("meter", self._meter_interval_s, partial(self._send_sample, bay), bay.number)
        else:
            self._timers.disarm("meter", bay.number)

    def _send_sample(self, bay: Bay) -> None:
        self._arm_meter(bay)
        if not bay.ailment.is_meter_silent:
            sample = self._measure(bay)
            self.link.post(self._dialect.metered(bay, sample, is_triggered=False))
            self._post(self._dialect.warmth(bay, sample))

    def _measure(self, bay: Bay) -> Sample:
        """Read the meter; a frozen one shows what it showed last."""
        if self.is_meter_frozen and bay.sample is not None:
            return replace(bay.sample, at_s=now_s())
        bay.sample = measure(self._world, bay.evse, bay.ailment)
        return bay.sample

    # -- what is said of it

    def _refresh(self, bay: Bay) -> None:
        """Say what changed at an EVSE."""
        if not self.supply.is_powered:
            return
        before, bay.status = bay.status, self.supply.status(bay)
        if bay.status is not before:
            self._post(self._dialect.status_changed(bay, before))

    # -- connection

    def _opened(self) -> None:
        """Boot, or after the boot say how things are: they may have changed while nobody heard."""
        if self._has_booted:
            self._report()
        else:
            self.send_boot()

    def _closed(self) -> None:
        """Go on alone: some profiles do not outlive that for long."""
        if self.supply.is_powered:
            for end_s in self.supply.profiles.offline_ends_s():
                self._timers.arm("offline", end_s, partial(self._alone_for, end_s), round(end_s))

    def _alone_for(self, offline_s: float) -> None:
        if not self.link.is_online:
            self.supply.profiles.been_offline(offline_s)
            self.supply.apply()

    def _boot_answered(self, answer: Payload) -> None:
        interval_s = float(answer["interval"])
        if answer["status"] != "Accepted":
            self._timers.arm("boot", interval_s or BOOT_RETRY_S, self.send_boot)
            return
        self._timers.disarm("boot")
        self._has_booted = self.link.is_registered = True
        self.firmware.booted()
        self._heartbeat_s = interval_s or self._heartbeat_s
        self._report()

    def _report(self) -> None:
        self.send_statuses(self.bays.values())
        self._timers.arm("heartbeat", self._heartbeat_s, self.send_heartbeat)

    def _post(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.link.post(message)

    # -- small things

    def _bay(self, evse: EvseId) -> Bay:
        return next(bay for bay in self.bays.values() if bay.evse.id == evse)
