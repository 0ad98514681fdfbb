"""The composition root: a site file's settings become one running controller."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

from smartcharge.cli.log import Narrator
from smartcharge.config import OcppSettings, Settings
from smartcharge.controller import Controller
from smartcharge.csms.server import Csms, Options
from smartcharge.csms.transfers import Handler
from smartcharge.grid.http import HttpRoom
from smartcharge.grid.openadr.ven import OpenAdrRoom
from smartcharge.grid.oscp.room import OscpRoom
from smartcharge.grid.settings import HttpSettings
from smartcharge.maintenance.bulletin import Bulletin
from smartcharge.maintenance.clerk import Clerk
from smartcharge.maintenance.foreman import Foreman, Listener
from smartcharge.maintenance.meaning import Meaning
from smartcharge.maintenance.observation import Observation
from smartcharge.maintenance.plans import read_plans
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.rollout import Follower
from smartcharge.maintenance.trials import Agreed, Trials
from smartcharge.maintenance.updater import Updater
from smartcharge.maintenance.webhook import Webhook
from smartcharge.model import Control, Site
from smartcharge.mqtt.member import GroupRoom
from smartcharge.mqtt.room import MqttRoom
from smartcharge.ports import Charger, Observer, Source
from smartcharge.store import Network, Store, open_store

Say = Callable[[str], None]

if TYPE_CHECKING:
    from smartcharge.grid.openadr2b.room import OpenAdr2bRoom

_Operator: TypeAlias = "OpenAdrRoom | OpenAdr2bRoom | OscpRoom | HttpRoom | GroupRoom"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(settings: Settings, say: Say) -> None:
    """Run a site until SIGINT or SIGTERM; a second one ends the process at once.

    Says where it listens once stations can connect.  Raises OSError if the port cannot be had, StoreError if
    the store cannot be opened or a fact could not be written down.
    """
    is_ocpp = any(station.control is Control.OCPP for station in settings.site.stations)
    if is_ocpp:
        await _require_port(settings.ocpp)
    async with open_store(settings.store.url, 86400.0 * settings.store.keep_days) as store, _asked_to_stop() as stopped:
        csms = _csms(settings, store) if is_ocpp else None
        servers: list[OscpRoom | OpenAdrRoom] = [
            *(OscpRoom(settings.site, each) for each in settings.oscp),
            *(OpenAdrRoom(settings.site, each) for each in settings.openadr),
        ]
        asked = _openadr2b(settings)
        routers = [server.router for server in servers]
        http = None if settings.http is None else HttpRoom(settings.site, settings.http, routers)
        groups = [GroupRoom(settings.site, each) for each in settings.groups]
        operators: list[_Operator] = [*servers, *asked, *groups, *([] if http is None else [http])]
        controller = _controller(settings, store, csms, operators)
        running = asyncio.create_task(controller.run(), name="controller")
        try:
            if csms is not None:
                await _first(running, asyncio.create_task(csms.ready(), name="ocpp ready"))
            if http is not None:
                await _first(running, asyncio.create_task(http.ready(), name="http ready"))
            _announce(settings, csms, controller, say)
            await _first(running, asyncio.create_task(stopped.wait(), name="signal"))
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    say("stopped")


def _openadr2b(settings: Settings) -> list[OpenAdr2bRoom]:
    """Return the clients of OpenADR 2.0b servers; only a site that has one needs the extra."""
    if not settings.openadr2b:
        return []
    from smartcharge.grid.openadr2b.room import OpenAdr2bRoom  # noqa: PLC0415 - an optional extra

    return [OpenAdr2bRoom(settings.site, each) for each in settings.openadr2b]


def _transfers() -> Mapping[str, Handler]:
    """Return what reads the DataTransfer of vendors: the entry points that are installed, by vendorId."""
    return {point.name: point.load() for point in entry_points(group="smartcharge.transfers")}


def _csms(settings: Settings, store: Store) -> Csms:
    ocpp = settings.ocpp
    options = Options(
        ssl=ocpp.tls_context(), security_profile=ocpp.security_profile, holds_unknown=ocpp.unknown == "hold",
        backends=ocpp.backends, outbox=store.outbox, tokens=ocpp.token_policy, signer=ocpp.signer(),
        transfers=_transfers(),
    )  # fmt: skip
    return Csms(settings.site, store.ledger, ocpp.host, ocpp.port, options)


def _controller(settings: Settings, store: Store, csms: Csms | None, operators: Sequence[_Operator]) -> Controller:
    sources: list[Source] = []
    chargers: list[Charger] = []
    observers: list[Observer] = [Narrator()]
    listeners: list[Listener] = []
    if csms is not None:
        chargers.append(csms)
    if settings.mqtt is not None:
        room = MqttRoom(
            settings.site,
            settings.mqtt,
            Clerk(store.chronicle, store.logbook, store.journal, Meaning.of(settings.site)),
        )
        chargers.append(room)
        observers.append(room)
        listeners.append(Bulletin("mqtt", room.tell_work))
    sources += operators
    observers += operators
    trials = _trials(settings, store, csms)
    cars = Observation()
    observers += [trials, cars]
    controller = Controller(
        settings.site,
        journal=store.journal,
        sources=(trials, cars, *sources, *_maintenance(settings, store, csms, listeners)),
        chargers=chargers,
        observers=observers,
    )
    if csms is not None:
        csms.resume(controller.state)
    return controller


def _trials(settings: Settings, store: Store, csms: Csms | None) -> Trials:
    asked = settings.maintenance
    agreed = Agreed(every_s=asked.self_test_s, tokens=asked.consenting)
    stations = {} if csms is None else dict.fromkeys(csms.stations(), csms)
    return Trials(agreed=agreed, chronicle=store.chronicle, stations=stations)


def _maintenance(settings: Settings, store: Store, csms: Csms | None, listeners: Sequence[Listener]) -> list[Source]:
    """Return what reads the facts that the controller writes: work orders, campaigns, and the copy for a network."""
    place, asked = Place.of(settings.site), settings.maintenance
    hooks = [] if asked.webhook is None else [Webhook(asked.webhook, asked.webhook_token)]
    plans = () if asked.plans is None else read_plans(asked.plans, place)
    told = [*hooks, *listeners]
    sources: list[Source] = [
        Foreman(
            place,
            store.chronicle,
            store.logbook,
            journal=store.journal,
            plans=plans,
            listeners=told,
            meaning=Meaning.of(settings.site),
        )
    ]
    if csms is not None:
        sources.append(Updater(place, store.chronicle, store.logbook, csms))
    if asked.network is not None:
        url = asked.network
        sources.append(store.mirror(place.id, place.written(), url))
        if csms is not None:
            sources.append(Follower(place, store.chronicle, store.logbook, lambda: Network(url)))
    return sources


def _announce(settings: Settings, csms: Csms | None, controller: Controller, say: Say) -> None:
    if settings.site.group is not None:
        say(f"group: {settings.site.name}: {len(settings.site.group.members)} sites share a limit")
    else:
        _announce_site(settings.site, controller, say)
    if csms is not None:
        scheme = "wss" if settings.ocpp.is_encrypted else "ws"
        say(f"ocpp: {scheme}://{_shown(settings.ocpp.host)}:{csms.port}/<station id>")
    if settings.mqtt is not None:
        say(f"mqtt: {settings.mqtt.host}:{settings.mqtt.port}/{settings.mqtt.prefix}/{settings.site.id}/#")
    for openadr in settings.openadr:
        say(f"openadr: {openadr.url}")
    for openadr2b in settings.openadr2b:
        say(f"openadr2b: {openadr2b.url}")
    for oscp in settings.oscp:
        say(f"oscp: {oscp.url}")
    for one in settings.groups:
        say(f"group: {one.broker.host}:{one.broker.port}/{one.broker.prefix}/{one.group}/member/{settings.site.id}/#")
    if settings.http is not None:
        say(f"http: {_address(settings.http)}")


def _announce_site(site: Site, controller: Controller, say: Say) -> None:
    sessions = [evse.session for evse in controller.state.evses.values() if evse.session is not None]
    open_ones = sum(session.transaction_id is not None for session in sessions)
    say(f"site: {site.name}: {len(site.evses)} EVSEs, {open_ones} open transactions go on")


def _address(http: HttpSettings) -> str:
    return f"{'http' if http.tls_cert is None else 'https'}://{_shown(http.host)}:{http.port}/grid/<operator>"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _require_port(ocpp: OcppSettings) -> None:
    """Raise OSError if nobody could listen there: the controller itself would try again for ever."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, ocpp.host, ocpp.port)
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def _asked_to_stop() -> AsyncIterator[asyncio.Event]:
    """Give an event that is set when somebody asks us to stop; asked again, the process ends the hard way."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    yield stopped
    if not stopped.is_set():
        stop()


async def _first(running: asyncio.Task[None], awaited: asyncio.Task[int] | asyncio.Task[bool]) -> None:
    """Wait for something while the controller runs; raises what ended the controller if that comes first."""
    await asyncio.wait({running, awaited}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        awaited.cancel()
        await running
