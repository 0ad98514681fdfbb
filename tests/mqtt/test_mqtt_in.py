"""What others say becomes facts, or a named error; the same on both brokers."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from smartcharge.events import (
    CircuitMetered,
    Happening,
    LimitLifted,
    LimitSet,
    NeedStated,
    OperatorOrder,
    PricesSet,
)
from smartcharge.model import Phases
from tests.mqtt.peers import MAIN, YARD, Broker, Facts, Integrator, scene

AMPS = {"l1": 16.0, "l2": 15.5, "l3": 14}


def iso(offset_s: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() + offset_s, UTC).isoformat()


def hear(broker: Broker, topic: str, payload: object, kind: type[Any], *, retain: bool = False) -> Any:
    async def main() -> Happening:
        async with scene(broker) as s:
            await s.peer.say(topic, payload, retain=retain)
            fact: Happening = await s.facts.first(kind)
            return fact

    return asyncio.run(main())


class TestFactsIn:
    def test_limit_with_an_end(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                limit = {"id": "L-1", "issued_at": iso(), "current_a": AMPS, "valid_until": "2100-01-01T02:00:00+02:00"}
                await s.peer.say("limit/main/dso/set", limit)
                fact = await s.facts.first(LimitSet)
                assert fact.source == "mqtt dso"
                assert fact.circuit == MAIN
                assert fact.current_a == Phases(16.0, 15.5, 14.0)
                assert fact.power_w is None
                assert fact.valid_until_s == datetime(2100, 1, 1, tzinfo=UTC).timestamp()
                received = await s.peer.hears("limit/main/dso/received")
                assert received["id"] == "L-1"
                assert received["received_at"].endswith("Z")

        asyncio.run(main())

    def test_limit_without_an_end_ages_from_when_it_was_issued(self, broker: Broker) -> None:
        issued = iso(-600)
        fact = hear(broker, "limit/main/dso/set", {"issued_at": issued, "power_w": 5000}, LimitSet)
        assert fact.power_w == 5000.0
        assert fact.valid_until_s == pytest.approx(datetime.fromisoformat(issued).timestamp() + 900.0, abs=0.001)

    def test_limit_issued_by_a_fast_clock_lives_no_longer(self, broker: Broker) -> None:
        fact = hear(broker, "limit/main/dso/set", {"issued_at": iso(86400), "power_w": 0}, LimitSet)
        assert fact.valid_until_s == pytest.approx(fact.at_s + 900.0, abs=0.001)
        assert fact.power_w == 0.0

    def test_limit_lifted(self, broker: Broker) -> None:
        fact = hear(broker, "limit/main/dso/set", {"issued_at": iso(), "lifted": True}, LimitLifted)
        assert (fact.source, fact.circuit) == ("mqtt dso", MAIN)

    def test_limit_said_before_we_came(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                await s.peer.say("limit/main/dso/set", {"issued_at": iso(), "power_w": 7000}, retain=True)
                await s.facts.first(LimitSet)
                async with Integrator.at(s.port) as late:
                    assert (await late.hears("limit/main/dso/set"))["power_w"] == 7000

        asyncio.run(main())

    def test_circuit_meter(self, broker: Broker) -> None:
        reading = {"measured_at": iso(), "current_a": {"l1": 10.5, "l2": -2.0, "l3": 0}}
        fact = hear(broker, "circuit/main/meter", reading, CircuitMetered)
        assert fact.circuit == MAIN
        assert fact.current_a == Phases(10.5, -2.0, 0.0)

    def test_need(self, broker: Broker) -> None:
        need = {"energy_wh": 20000, "depart_at": "2100-01-01T00:00:00Z"}
        fact = hear(broker, "evse/yard%2F1/need", need, NeedStated)
        assert fact.evse == YARD
        assert (fact.energy_wh, fact.depart_at_s, fact.priority) == (20000.0, 4102444800.0, None)

    def test_order(self, broker: Broker) -> None:
        order = {"limit_a": None, "author": "Ada", "reason": "repaired"}
        fact = hear(broker, "evse/yard%2F1/order", order, OperatorOrder)
        assert (fact.evse, fact.limit_a, fact.author, fact.reason) == (YARD, None, "Ada", "repaired")

    def test_prices(self, broker: Broker) -> None:
        prices = {"start_at": "2025-06-01T00:00:00Z", "step_s": 3600, "per_kwh": [0.3, -0.05]}
        fact = hear(broker, "prices", prices, PricesSet)
        assert (fact.start_s, fact.step_s, fact.per_kwh) == (1748736000.0, 3600.0, (0.3, -0.05))


LIMIT = "limit/main/dso/set"
METER = "circuit/main/meter"
NEED = "evse/yard%2F1/need"
BAD = [
    pytest.param(LIMIT, b"\xff{", "", "Invalid JSON", id="not JSON"),
    pytest.param(LIMIT, b"", "", "is empty", id="empty"),
    pytest.param(LIMIT, b"[1]", "", "be an object", id="not an object"),
    pytest.param(LIMIT, b" " * 300_000, "", "longer than", id="huge"),
    pytest.param(LIMIT, {"issued_at": iso(), "current_ma": 1}, "current_ma", "not permitted", id="wrong unit"),
    pytest.param(LIMIT, {"issued_at": iso(), "power_w": "5000"}, "power_w", "valid number", id="wrong type"),
    pytest.param(LIMIT, {"issued_at": iso(), "power_w": -1}, "power_w", "greater than", id="negative"),
    pytest.param(LIMIT, b'{"issued_at":"2025-06-01T00:00:00Z","power_w":NaN}', "power_w", "finite", id="NaN"),
    pytest.param(LIMIT, b'{"issued_at":"2025-06-01T00:00:00Z","power_w":1e999}', "power_w", "finite", id="infinite"),
    pytest.param(LIMIT, {"issued_at": "2025-06-01T00:00:00", "power_w": 1}, "issued_at", "offset", id="naive time"),
    pytest.param(LIMIT, {"issued_at": "1748736000", "power_w": 1}, "issued_at", "ISO 8601", id="POSIX time as text"),
    pytest.param(LIMIT, {"issued_at": 1748736000, "power_w": 1}, "issued_at", "ISO 8601", id="POSIX time"),
    pytest.param(LIMIT, {"issued_at": iso()}, "", "give current_a", id="limit of nothing"),
    pytest.param(LIMIT, {"issued_at": iso(), "lifted": True, "power_w": 1}, "", "lifted alone", id="lifted and set"),
    pytest.param(LIMIT, {"issued_at": iso(), "current_a": {"l1": 1, "l2": 1}}, "current_a.l3", "required", id="phase"),
    pytest.param("limit/cellar/dso/set", {"issued_at": iso(), "power_w": 1}, "", "no circuit 'cellar'", id="circuit"),
    pytest.param("evse/nowhere/need", {"energy_wh": 1}, "", "no evse 'nowhere'", id="EVSE"),
    pytest.param("evse/yard%2F1/meter", {"measured_at": iso()}, "", "not commanded over MQTT", id="OCPP station"),
    pytest.param("station/yard/availability", b"online", "", "no station 'yard'", id="availability of an OCPP station"),
    pytest.param("station/wall/availability", b"here", "", "online or offline", id="availability in other words"),
    pytest.param("circuit/shed/meter", {"measured_at": iso(), "current_a": AMPS}, "", "no meter", id="no meter"),
    pytest.param(METER, {"measured_at": iso(-31), "current_a": AMPS}, "measured_at", "30 s before", id="old reading"),
    pytest.param(METER, {"measured_at": iso(7200), "current_a": AMPS}, "measured_at", "30 s after", id="early reading"),
    pytest.param(NEED, {"depart_at": "2025-06-01T00:00:00Z"}, "depart_at", "has passed", id="departure has passed"),
    pytest.param(NEED, {}, "", "give energy_wh", id="need of nothing"),
    pytest.param("evse/yard%2F1/order", {"limit_a": 6, "author": "", "reason": "x"}, "author", "1 char", id="nobody"),
    pytest.param("prices", {"start_at": iso(), "step_s": 0, "per_kwh": [1]}, "step_s", "greater", id="no step"),
    pytest.param("prices", {"start_at": iso(), "step_s": 1, "per_kwh": []}, "per_kwh", "1 item", id="no prices"),
    pytest.param("evse/wall%2F1/status", {"plugged": False, "transaction_id": "7"}, "", "plugged car", id="no car"),
    pytest.param("evse/wall%2F1/status", {"plugged": True, "faults": ["over-limit"]}, "faults", "own word", id="fault"),
    pytest.param("evse/wall%2F1/ack", {"command_id": 7, "accepted": True}, "command_id", "not waiting", id="answer"),
]


class TestBadPayloads:
    """Nothing changes, and the error names topic, field and reason."""

    def test_each_is_named_and_changes_nothing(self, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> tuple[Facts, list[dict[str, str]]]:
            async with scene(broker) as s:
                before = len(s.facts.events)
                for topic, payload, _, _ in (case.values for case in BAD):
                    await s.peer.say(str(topic), payload)
                # One that is good, to know that all before it were heard.
                await s.peer.say(METER, {"measured_at": iso(), "current_a": AMPS})
                await s.facts.first(CircuitMetered)
                assert len(s.facts.events) == before + 1
                await s.peer.hears("errors", len(BAD))
                async with Integrator.at(s.port) as late:
                    await late.hears("availability")
                    assert late.heard("errors") == [], "errors are of the moment and not kept"
                return s.facts, [await s.peer.hears("errors", n + 1) for n in range(len(BAD))]

        _, errors = asyncio.run(main())
        for error, (topic, _, field, reason) in zip(errors, (case.values for case in BAD), strict=True):
            assert error["topic"].endswith(str(topic))
            assert error["field"] == field
            assert str(reason) in error["reason"]
            assert error["reason"] in caplog.text

    @pytest.mark.parametrize(
        ("topic", "payload"),
        [
            (NEED, {"energy_wh": 1.0}),
            ("evse/yard%2F1/order", {"limit_a": 0.0, "author": "Ada", "reason": "x"}),
            ("station/wall/boot", {}),
        ],
    )
    def test_a_moment_must_not_be_kept_by_the_broker(self, broker: Broker, topic: str, payload: object) -> None:
        """Retained, the need of yesterday's car would be said for today's whenever we reconnect."""

        async def main() -> None:
            async with scene(broker) as first:
                await first.peer.say(topic, payload, retain=True)
                async with first.second() as facts:
                    assert "retained" in (await first.peer.hears("errors"))["reason"]
                    await first.peer.say(METER, {"measured_at": iso(), "current_a": AMPS})
                    await facts.first(CircuitMetered)
                    assert len(facts.events) == 1

        asyncio.run(main())
