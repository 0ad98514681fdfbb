"""What stations really send as meter values and transactions: kept, filtered, put in order.  References in the data."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from smartcharge.csms.schemas import format_time
from smartcharge.events import ChargingChanged, Metered, TransactionEnded, TransactionStarted
from smartcharge.model import Phases
from tests.csms.ocpp_peers import AC, AC2, EPOCH_S, V16, V21, V201, Peer, World, evse, in_world, station

NOW = format_time(EPOCH_S)
EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
ALONE = station(evse(AC, 1))


def sample(version: str, value: Any, measurand: str, unit: str, **more: Any) -> dict[str, Any]:
    units = {"unit": unit} if version == V16 else {"unitOfMeasure": {"unit": unit}}
    return {"value": str(value) if version == V16 else value, "measurand": measurand, **units, **more}


def metering(version: str, *samples: dict[str, Any], at_s: float = EPOCH_S) -> dict[str, Any]:
    place = {"connectorId" if version == V16 else "evseId": 1}
    return {**place, "meterValue": [{"timestamp": format_time(at_s), "sampledValue": list(samples)}]}


def energy(version: str, value: Any, unit: str = "Wh") -> dict[str, Any]:
    return sample(version, value, "Energy.Active.Import.Register", unit)


def current(version: str, value: Any) -> dict[str, Any]:
    return sample(version, value, "Current.Import", "A", phase="L1")


ILLEGAL: dict[str, dict[str, Any]] = {
    "a unit that does not exist (Hz)": {"value": "50", "measurand": "Frequency", "unit": "Hz"},
    "a measurand of its own": {"value": "1", "measurand": "X.Y"},
    "a phase of its own": {"value": "1", "phase": "L4"},
    "a key of its own": {"value": "1", "vendor": "x"},
    "no value": {"measurand": "Voltage"},
    "a list": {"value": ["1"]},
}


class TestJ02OneIllegalValue:
    @pytest.mark.parametrize("illegal", ILLEGAL.values(), ids=ILLEGAL)
    def test_does_not_cost_the_others_of_1_6(self, illegal: dict[str, Any]) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                assert (await peer.say("MeterValues", metering(V16, illegal, energy(V16, 500), illegal)))[0] == 3
                assert [m.energy_wh for m in world.ear.of(Metered)] == [500.0]

        in_world(test, ALONE)

    @pytest.mark.parametrize("version", [V201, V21])
    @pytest.mark.parametrize("illegal", [{"value": "5"}, {"value": 1, "phase": "L4"}, {"value": 1, "context": "Never"}])
    def test_does_not_cost_the_others_of_2_x(self, version: str, illegal: dict[str, Any]) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                payload = metering(version, illegal, energy(version, 500))
                assert (await peer.say("MeterValues", payload))[0] == 3
                assert [m.energy_wh for m in world.ear.of(Metered)] == [500.0]

        in_world(test, ALONE)

    @EVERY
    def test_alone_it_leaves_a_message_without_values(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                illegal = {"value": "1" if version == V16 else 1, "phase": "L4"}
                assert (await peer.say("MeterValues", metering(version, illegal)))[0] == 3
                assert world.ear.of(Metered) == []

        in_world(test, ALONE)

    @EVERY
    def test_what_is_wrong_elsewhere_is_still_refused(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                payload = {**metering(version, energy(version, 500)), "surplus": 1}
                assert (await peer.say("MeterValues", payload))[0] == 4
                assert world.ear.of(Metered) == []

        in_world(test, ALONE)

    def test_of_a_stop_does_not_cost_the_end_of_a_transaction(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                number = await started(peer)
                data = metering(V16, ILLEGAL["a unit that does not exist (Hz)"], energy(V16, 700))["meterValue"]
                stop = {"transactionId": number, "meterStop": 700, "timestamp": NOW, "transactionData": data}
                assert (await peer.say("StopTransaction", stop))[0] == 3
                assert world.ear.of(TransactionEnded)[0].meter_wh == 700.0

        in_world(test, ALONE)


async def started(peer: Peer, connector: int = 1, at_s: float = EPOCH_S) -> int:
    start = {"connectorId": connector, "idTag": "T", "meterStart": 0, "timestamp": format_time(at_s)}
    return int((await peer.say("StartTransaction", start))[2]["transactionId"])


class TestJ02SanityInTheField:
    @EVERY
    @pytest.mark.parametrize("value", ["", "NaN", "1e400", "-5"])
    def test_what_is_no_measurement_is_none(self, version: str, value: str) -> None:
        number: Any = value if version == V16 else -5

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                payload = metering(version, current(version, number), energy(version, 500))
                assert (await peer.say("MeterValues", payload))[0] == 3
                assert [(m.current_a, m.energy_wh) for m in world.ear.of(Metered)] == [(None, 500.0)]

        in_world(test, ALONE)

    @EVERY
    def test_wh_labelled_as_kwh(self, version: str) -> None:
        """150 kWh in 15 s."""

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.say("MeterValues", metering(version, energy(version, 150, "Wh")))
                await peer.say("MeterValues", metering(version, energy(version, 150, "kWh"), at_s=EPOCH_S + 15.0))
                assert [m.energy_wh for m in world.ear.of(Metered)] == [150.0]

        in_world(test, ALONE)

    @EVERY
    def test_a_triggered_zero_that_was_never_measured(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                zero = sample(version, 0, "Power.Active.Import", "W", context="Trigger")
                await peer.say("MeterValues", metering(version, zero, energy(version, 500)))
                assert world.ear.of(Metered)[0].power_w is None
                honest = sample(version, 0, "Power.Active.Import", "W", context="Sample.Periodic")
                await peer.say("MeterValues", metering(version, honest))
                assert world.ear.of(Metered)[1].power_w == 0.0

        in_world(test, ALONE)

    @EVERY
    def test_a_sample_that_comes_late_or_twice_turns_no_register_back(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                for value, at_s in ((500, EPOCH_S), (400, EPOCH_S - 60.0), (500, EPOCH_S), (520, EPOCH_S + 60.0)):
                    await peer.say("MeterValues", metering(version, energy(version, value), at_s=at_s))
                assert [m.energy_wh for m in world.ear.of(Metered)] == [500.0, 500.0, 520.0]

        with caplog.at_level(logging.WARNING):
            in_world(test, ALONE)
        assert "energy register" not in caplog.text

    @EVERY
    def test_what_was_queued_offline_tells_the_register_only(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                old = metering(version, current(version, 16), energy(version, 500), at_s=EPOCH_S - 3600.0)
                await peer.say("MeterValues", old)
                assert [(m.current_a, m.energy_wh) for m in world.ear.of(Metered)] == [(None, 500.0)]

        in_world(test, ALONE)

    def test_a_phase_that_nobody_speaks_of_counts_as_the_worst_that_was_named(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.say("MeterValues", metering(V16, current(V16, 16)))
                assert world.ear.of(Metered)[0].current_a == Phases.all(16.0)

        in_world(test, ALONE)


class TestE06TransactionData:
    def test_the_registers_of_a_stop_are_read(self) -> None:
        """1.6 4.8: a station may keep its samples for the end."""

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                number = await started(peer, at_s=EPOCH_S - 3600.0)
                data = [
                    *metering(V16, energy(V16, 0), at_s=EPOCH_S - 3600.0)["meterValue"],
                    *metering(V16, energy(V16, 600), current(V16, 16), at_s=EPOCH_S - 60.0)["meterValue"],
                ]
                stop = {"transactionId": number, "meterStop": 700, "timestamp": NOW, "transactionData": data}
                await peer.say("StopTransaction", stop)
                assert [(m.energy_wh, m.current_a) for m in world.ear.of(Metered)] == [(0.0, None), (600.0, None)]
                assert world.ear.events.index(world.ear.of(Metered)[-1]) < world.ear.events.index(
                    world.ear.of(TransactionEnded)[0]
                )

        in_world(test, ALONE)


class TestE04Transactions:
    @pytest.mark.parametrize("sockets", [(evse(AC, 1),), (evse(AC, 1), evse(AC2, 2))], ids=["one", "two"])
    def test_minus_one_after_an_offline_start_is_the_one_that_runs(self, sockets: tuple[Any, ...]) -> None:
        """libocpp #495."""

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                number = await started(peer)
                stop = {"transactionId": -1, "meterStop": 9, "timestamp": NOW}
                assert (await peer.say("StopTransaction", stop))[0] == 3
                assert [(e.transaction_id, e.evse) for e in world.ear.of(TransactionEnded)] == [(str(number), AC)]

        in_world(test, station(*sockets))

    def test_where_two_run_minus_one_is_refused_not_guessed(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await started(peer, 1)
                await started(peer, 2)
                stop = {"transactionId": -1, "meterStop": 9, "timestamp": NOW}
                assert (await peer.say("StopTransaction", stop))[2] == "InternalError"

        in_world(test)

    def test_a_start_repeated_after_its_end_begins_nothing(self) -> None:
        """SteVe #1294."""

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                number = await started(peer)
                await peer.say("StopTransaction", {"transactionId": number, "meterStop": 9, "timestamp": NOW})
                assert await started(peer) == number
                assert len(world.ear.of(TransactionStarted)) == 1

        in_world(test, ALONE)

    @staticmethod
    def event(kind: str, seq_no: int, at_s: float = EPOCH_S) -> dict[str, Any]:
        info = {"transactionId": "T1", **({} if kind == "Ended" else {"chargingState": "Charging"})}
        return {
            "eventType": kind,
            "timestamp": format_time(at_s),
            "triggerReason": "Trigger",
            "seqNo": seq_no,
            "transactionInfo": info,
            "evse": {"id": 1},
        }

    @pytest.mark.parametrize("version", [V201, V21])
    def test_out_of_order_a_transaction_begins_and_ends_once(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                for kind, seq_no in (("Updated", 1), ("Ended", 2), ("Started", 0), ("Updated", 1)):
                    assert (await peer.say("TransactionEvent", self.event(kind, seq_no)))[0] == 3
                assert len(world.ear.of(TransactionStarted)) == 1
                assert len(world.ear.of(TransactionEnded)) == 1
                assert len(world.ear.of(ChargingChanged)) == 1

        in_world(test, ALONE)

    @pytest.mark.parametrize("version", [V201, V21])
    def test_a_gap_in_the_sequence_is_told(self, version: str, caplog: pytest.LogCaptureFixture) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.say("TransactionEvent", self.event("Started", 0))
                await peer.say("TransactionEvent", self.event("Updated", 4))

        with caplog.at_level(logging.WARNING):
            in_world(test, ALONE)
        assert "messages 1 to 3 of a transaction are missing" in caplog.text
