"""What stands beside the stations: circuit meters, drivers' apps and a grid operator, by function call or MQTT."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from aiomqtt import Client, MqttError
from pydantic import BaseModel

from smartcharge.clock import now_s
from smartcharge.events import CircuitMetered, FaultOrder, LimitLifted, LimitSet, NeedStated, PricesSet
from smartcharge.model import CircuitId, Phases, Site
from smartcharge.mqtt.payloads import CarNeed, CircuitReading, FaultDecision, Prices, SignedPhaseCurrents
from smartcharge.mqtt.quiet import QuietClient
from smartcharge.mqtt.topics import Topics
from smartcharge.ports import Emit
from smartcharge.sim.world import World
from smartcharge.words.base import PhaseCurrents
from smartcharge.words.limits import GridLimit

METER_S = 10.0
"""How often a circuit's meter speaks [s]."""
OPERATOR = "dso"
"""Name of the simulated grid operator as a source of limits."""
LIMIT_RENEWED_S = 60.0
LIMIT_VALID_S = 300.0
"""A limit is said again every minute and is good for five: silence shows within that time [s]."""

Said = CircuitMetered | NeedStated | LimitSet | LimitLifted | FaultOrder | PricesSet


class Wire(Protocol):
    """The way from the devices to the controller."""

    def say(self, fact: Said) -> None:
        """Send a fact; returns at once."""


class DirectWire:
    """Facts by function call; a `ports.Source` of the controller."""

    name = "devices"

    def __init__(self) -> None:
        self._said: asyncio.Queue[Said] = asyncio.Queue()

    def say(self, fact: Said) -> None:
        """Queue a fact for the controller."""
        self._said.put_nowait(fact)

    @property
    def trouble(self) -> str | None:
        """Return None: function calls do not fail."""
        return None

    async def run(self, emit: Emit) -> None:
        """Hand the facts over until cancelled."""
        while True:
            await emit(await self._said.get())


class MqttWire:
    """Facts as MQTT messages, with a connection of their own; what cannot be sent waits for the broker."""

    def __init__(self, site: Site, port: int, prefix: str = "smartcharge") -> None:
        self._port = port
        self._topics = Topics(prefix, site.id)
        self._said: asyncio.Queue[Said] = asyncio.Queue()

    def say(self, fact: Said) -> None:
        """Queue a fact for the broker."""
        self._said.put_nowait(fact)

    async def run(self) -> None:
        """Publish until cancelled; connect again when the broker went."""
        waiting: Said | None = None
        while True:
            try:
                async with self._client() as client:
                    while True:
                        waiting = await self._said.get() if waiting is None else waiting
                        topic, payload = self._message(waiting)
                        await client.publish(topic, payload.model_dump_json(exclude_none=True), qos=1)
                        waiting = None
            except MqttError:
                await asyncio.sleep(1.0)

    def _client(self) -> Client:
        # Held back by the kernel (Nagle), a small message would wait for ever in simulated time.
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        return QuietClient("127.0.0.1", self._port, identifier="devices", keepalive=0, socket_options=options)

    def _message(self, fact: Said) -> tuple[str, BaseModel]:
        match fact:
            case CircuitMetered():
                reading = CircuitReading(
                    measured_at=_utc(fact.at_s), current_a=SignedPhaseCurrents(**fact.current_a._asdict())
                )
                return self._topics.read("circuit meter", circuit=fact.circuit), reading
            case NeedStated():
                depart_at = None if fact.depart_at_s is None else _utc(fact.depart_at_s)
                need = CarNeed(energy_wh=fact.energy_wh, depart_at=depart_at, priority=fact.priority)
                return self._topics.read("need", evse=fact.evse), need
            case LimitSet():
                limit = GridLimit(
                    issued_at=_utc(fact.at_s),
                    current_a=None if fact.current_a is None else PhaseCurrents(**fact.current_a._asdict()),
                    power_w=fact.power_w,
                    valid_until=None if fact.valid_until_s is None else _utc(fact.valid_until_s),
                )
                return self._topics.read("limit", circuit=fact.circuit, source=fact.source), limit
            case FaultOrder():
                decision = FaultDecision(
                    kind=fact.kind.value, cause=fact.cause.value, author=fact.author, reason=fact.reason,
                    limit_a=fact.limit_a, until=None if fact.until_s is None else _utc(fact.until_s),
                )  # fmt: skip
                return self._topics.read("fault order", evse=fact.evse), decision
            case PricesSet():
                prices = Prices(start_at=_utc(fact.start_s), step_s=fact.step_s, per_kwh=list(fact.per_kwh))
                return self._topics.read("prices"), prices
            case LimitLifted():
                lifted = GridLimit(issued_at=_utc(fact.at_s), lifted=True)
                return self._topics.read("limit", circuit=fact.circuit, source=fact.source), lifted


def _utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


class Meters:
    """The meters on the circuits of a site; any of them can freeze."""

    def __init__(self, site: Site, world: World, wire: Wire, seed: int) -> None:
        self._circuits = tuple(circuit.id for circuit in site.circuits if circuit.meter is not None)
        self._world = world
        self._wire = wire
        self._noise = np.random.default_rng(seed)
        self._last: dict[CircuitId, Phases] = {}
        self.frozen: set[CircuitId] = set()
        self.silent: set[CircuitId] = set()

    async def run(self) -> None:
        """Speak every METER_S until cancelled."""
        while self._circuits:
            self._world.advance(now_s())
            currents = self._world.circuit_currents()
            for circuit in self._circuits:
                if circuit not in self.frozen or circuit not in self._last:
                    self._last[circuit] = self._measured(currents[circuit])
                if circuit not in self.silent:
                    self._wire.say(CircuitMetered(at_s=now_s(), circuit=circuit, current_a=self._last[circuit]))
            await asyncio.sleep(METER_S)

    def _measured(self, true_a: Phases) -> Phases:
        """Return what a class 0.5 meter shows: never the very same twice, as no real one does."""
        noise = self._noise.uniform(0.0, 0.005, 3)
        return Phases(*(round(a * (1.0 + float(n)) + 0.01 * float(n), 7) for a, n in zip(true_a, noise, strict=True)))


class GridOperator:
    """Limits one circuit at a time, renews its word, and can fall silent."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._limit: LimitSet | None = None
        self.is_silent = False
        self.valid_until_s = 0.0

    def limit(self, circuit: CircuitId, *, current_a: Phases | None, power_w: float | None) -> None:
        """Set a limit now."""
        self._limit = LimitSet(
            at_s=now_s(), source=OPERATOR, circuit=circuit, current_a=current_a, power_w=power_w, valid_until_s=None
        )
        self._renew()

    def lift(self) -> None:
        """Lift the limit in so many words."""
        if self._limit is not None and not self.is_silent:
            self._wire.say(LimitLifted(at_s=now_s(), source=OPERATOR, circuit=self._limit.circuit))
        self._limit = None

    async def run(self) -> None:
        """Say the limit again every minute until cancelled."""
        while True:
            await asyncio.sleep(LIMIT_RENEWED_S)
            self._renew()

    def _renew(self) -> None:
        if self._limit is None or self.is_silent:
            return
        self.valid_until_s = now_s() + LIMIT_VALID_S
        limit = self._limit
        self._wire.say(
            LimitSet(
                at_s=now_s(),
                source=limit.source,
                circuit=limit.circuit,
                current_a=limit.current_a,
                power_w=limit.power_w,
                valid_until_s=self.valid_until_s,
            )
        )
