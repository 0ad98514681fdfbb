"""Firmware campaigns over OCPP sockets: plain 1.6, signed 1.6, 2.0.1 and 2.1; success, failure, threshold, back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from smartcharge.csms.schemas import Version
from smartcharge.csms.server import Csms
from smartcharge.events import FirmwareReported, SecurityReported
from smartcharge.maintenance import updater
from smartcharge.maintenance.firmware import (
    Campaign,
    CampaignStarted,
    Image,
    Outcome,
    Progress,
    Rules,
    campaigns,
    entries,
    outcomes,
)
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.updater import Updater
from smartcharge.model import EvseId, StationId
from smartcharge.ports import Source
from smartcharge.sim.ailments import AILMENTS
from smartcharge.sim.scenario import FaultKind
from smartcharge.sim.station_firmware import Release
from smartcharge.sim.station_parts import StationOptions
from smartcharge.store import Store
from tests.builders import NOON_S
from tests.maintenance.ocpp_site import HOUR_S, Live, play

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"
URL = "https://fw.example"
OLD = Image(version="1", location=f"{URL}/1")
PLAIN = Image(version="2", location=f"{URL}/2")
SIGNED = replace(PLAIN, signing_certificate=CERTIFICATE, signature="c2ln")
WORDS_PLAIN = ["Downloading", "Downloaded", "Installing", "Installed"]
WORDS_SIGNED = ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed"]
RELEASES = {OLD.location: Release(version="1"), PLAIN.location: Release(version="2", signature="c2ln")}


@dataclass(frozen=True)
class Speech:
    """How stations speak, and what they then say of an update that goes well."""

    version: Version
    image: Image
    words: Sequence[str]


EVERY = [
    pytest.param(Speech(Version.V16, PLAIN, WORDS_PLAIN), id="1.6-plain"),
    pytest.param(Speech(Version.V16, SIGNED, WORDS_SIGNED), id="1.6-signed"),
    pytest.param(Speech(Version.V201, SIGNED, WORDS_SIGNED), id="2.0.1"),
    pytest.param(Speech(Version.V21, SIGNED, WORDS_SIGNED), id="2.1"),
]


def started(image: Image, rings: Sequence[Sequence[str]], rollback: Image | None = OLD) -> CampaignStarted:
    return CampaignStarted(
        at_s=NOON_S + 60.0, campaign="up", author="kim", image=image, rollback=rollback,
        rings=tuple(tuple(map(StationId, ring)) for ring in rings),
        rules=Rules(soak_s=HOUR_S, patience_s=HOUR_S, most_failed=0.4, least_available=0.3),
    )  # fmt: skip


def upkeep(place: Place, store: Store, csms: Csms) -> list[Source]:
    return [Updater(place, store.chronicle, store.logbook, csms)]


async def begin(live: Live, begun: CampaignStarted) -> None:
    await updater.write(live.store.logbook, lambda _: [begun])


async def stands(live: Live, after_s: float) -> tuple[Campaign, Mapping[StationId, Outcome]]:
    found = campaigns(entries(await live.store.logbook.lines()))["up"]
    return found, outcomes(found, live.place, await live.facts(), NOON_S + after_s)


def options(**changes: object) -> StationOptions:
    return replace(StationOptions(releases=RELEASES), **changes)  # type: ignore[arg-type]


async def said(live: Live, station: str) -> list[FirmwareReported]:
    return [e for e in await live.of(FirmwareReported) if isinstance(e, FirmwareReported) and e.station == station]


@pytest.mark.parametrize("speech", EVERY)
class TestEveryVersion:
    def test_ring_after_ring_to_the_end(self, speech: Speech) -> None:
        async def act(live: Live) -> None:
            await begin(live, started(speech.image, (("a",), ("b", "c"))))
            await live.until(HOUR_S)
            assert live.runs() == {"a": "2", "b": "1", "c": "1"}, "the first ring soaks"
            await live.until(3 * HOUR_S)
            campaign, _ = await stands(live, 3 * HOUR_S)
            assert campaign.finished is not None
            assert campaign.stopped is None
            assert set(live.runs().values()) == {"2"}
            for station in "abc":
                told = await said(live, station)
                assert [one.status for one in told] == speech.words
                (number,) = {one.request_id for one in told}
                is_plain = speech.image is PLAIN
                assert (number is None) if is_plain else number == campaign.ordered[StationId(station)].request_id

        play(act, upkeep=upkeep, versions=(speech.version,), options=options())

    def test_a_file_that_is_not_there_stops_it_in_the_first_ring(self, speech: Speech) -> None:
        async def act(live: Live) -> None:
            nowhere = replace(speech.image, location=f"{URL}/404")
            await begin(live, started(nowhere, (("a",), ("b", "c"))))
            await live.until(HOUR_S)
            campaign, _ = await stands(live, HOUR_S)
            assert campaign.stopped is not None
            assert campaign.stopped.reason == "1 of 1 failed: a: DownloadFailed"
            assert set(live.runs().values()) == {"1"}

        play(act, upkeep=upkeep, versions=(speech.version,), options=options())

    def test_one_that_breaks_what_it_runs_on_is_stopped_and_taken_back(self, speech: Speech) -> None:
        bad = Release(version="2", signature="c2ln", ailment=AILMENTS[FaultKind.GROUND_FAULT])

        async def act(live: Live) -> None:
            await begin(live, started(speech.image, (("a",), ("b", "c"))))
            await live.until(2.0 * HOUR_S)
            campaign, known = await stands(live, 2.0 * HOUR_S)
            assert campaign.stopped is not None
            assert re.match(r"(?i)1 of 1 failed: a: ground\S+ after the update", campaign.stopped.reason)
            assert known[StationId("b")].progress is Progress.WAITING, "nobody else got it"
            assert campaign.finished is not None
            assert set(live.runs().values()) == {"1"}, "a went back"

        play(
            act, upkeep=upkeep, versions=(speech.version,), options=options(releases={**RELEASES, PLAIN.location: bad})
        )


class TestSignatures:
    @pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)
    def test_a_forged_file_is_not_installed_and_security_hears_of_it(self, version: Version) -> None:
        async def act(live: Live) -> None:
            await begin(live, started(replace(SIGNED, signature="Zm9yZ2Vk"), (("a",),)))
            await live.until(HOUR_S)
            campaign, _ = await stands(live, HOUR_S)
            assert campaign.stopped is not None
            assert campaign.stopped.reason == "1 of 1 failed: a: InvalidSignature"
            assert live.runs()["a"] == "1"
            reported = await live.of(SecurityReported)
            assert [(one.station, one.kind) for one in reported if isinstance(one, SecurityReported)] == [
                ("a", "InvalidFirmwareSignature")
            ]

        play(act, upkeep=upkeep, versions=(version,), options=options())


class TestWhatAStationCannot:
    def test_one_that_takes_no_older_version_keeps_the_new_one(self) -> None:
        releases = {**RELEASES, PLAIN.location: Release(version="2", ailment=AILMENTS[FaultKind.GROUND_FAULT])}

        async def act(live: Live) -> None:
            await begin(live, started(PLAIN, (("a",), ("b", "c"))))
            await live.until(3.0 * HOUR_S)
            campaign, known = await stands(live, 3.0 * HOUR_S)
            assert campaign.stopped is not None
            assert live.runs()["a"] == "2"
            assert (await said(live, "a"))[-1].status == "InstallationFailed"
            assert known[StationId("a")].reason == "InstallationFailed", "it is said, not hidden"

        play(act, upkeep=upkeep, options=options(releases=releases, takes_older_firmware=False))

    def test_an_image_that_does_not_install(self) -> None:
        releases = {**RELEASES, PLAIN.location: Release(version="2", installs=False)}

        async def act(live: Live) -> None:
            await begin(live, started(PLAIN, (("a",), ("b", "c"))))
            await live.until(HOUR_S)
            campaign, _ = await stands(live, HOUR_S)
            assert campaign.stopped is not None
            assert campaign.stopped.reason == "1 of 1 failed: a: InstallationFailed"

        play(act, upkeep=upkeep, options=options(releases=releases))


class TestDrivers:
    def test_a_car_that_charges_is_not_disturbed(self) -> None:
        async def act(live: Live) -> None:
            live.plug("a/1")
            await live.until(120.0)
            await begin(live, started(PLAIN, (("a",), ("b", "c"))))
            await live.until(HOUR_S)
            assert live.runs() == {"a": "1", "b": "1", "c": "1"}
            assert await said(live, "a") == []
            live.fleet.unplug(EvseId("a/1"))
            await live.until(2.0 * HOUR_S)
            assert live.runs()["a"] == "2"

        play(act, upkeep=upkeep, options=options())
