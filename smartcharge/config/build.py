"""From the sound keys of a site file to the nouns of the site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import time
from math import sqrt
from pathlib import Path

from smartcharge.config.draft import Load, loads
from smartcharge.config.keys import (
    NO_UPSTREAM,
    ChargingKeys,
    CircuitKeys,
    GridKeys,
    GroupFile,
    GroupLineKeys,
    HttpKeys,
    MeterKeys,
    MoneyKeys,
    MqttKeys,
    OpenAdr2bKeys,
    OpenAdrKeys,
    OscpKeys,
    RateKeys,
    SiteFile,
    StationKeys,
)
from smartcharge.config.operators import operators
from smartcharge.config.secrets import (
    grid_token,
    mqtt_password,
    openadr_secret,
    oscp_token,
    station_secret,
    upstream_password,
    webhook_token,
)
from smartcharge.config.settings import MaintenanceSettings, Settings, StoreSettings
from smartcharge.config.tokens import read_tokens
from smartcharge.config.values import WEEKDAYS
from smartcharge.config.vendors import vendor_codes
from smartcharge.csms.authority import TokenPolicy
from smartcharge.csms.settings import OcppSettings
from smartcharge.csms.upstream import Backend
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.grid.openadr2b.settings import OpenAdr2bSettings
from smartcharge.grid.oscp.settings import OscpSettings
from smartcharge.grid.settings import HttpSettings
from smartcharge.model import (
    Charging,
    Circuit,
    CircuitId,
    Connector,
    Control,
    Evse,
    EvseId,
    Meter,
    Money,
    Pause,
    Phases,
    Rate,
    Rotation,
    ScheduleKind,
    Site,
    Staleness,
    Station,
    StationId,
    Timing,
    Transformer,
    Way,
    Wiring,
)
from smartcharge.mqtt.settings import GroupSettings, MqttSettings


def settings(file: SiteFile, folder: Path) -> Settings:
    """Return the settings of a file without faults; paths in it are relative to ``folder``."""
    return replace(
        with_adapters(_site(file, folder), file, folder),
        ocpp=_ocpp(file, folder),
        maintenance=MaintenanceSettings(
            webhook=file.maintenance.webhook,
            webhook_token=webhook_token(file.maintenance),
            network=file.maintenance.network,
            plans=_file(file.maintenance.plans, folder),
            self_test_s=86400.0 * file.maintenance.self_test_days,
            consenting=frozenset(file.maintenance.consenting),
        ),
    )


def with_adapters(site: Site, file: SiteFile | GroupFile, folder: Path) -> Settings:
    """Return a site with what a site and a group have in common: the broker, the store, grid operators."""
    return Settings(
        site=site,
        mqtt=None if file.mqtt is None else _mqtt(file.mqtt, folder),
        ocpp=OcppSettings(),
        store=StoreSettings(**file.store.model_dump()),
        http=None if file.http is None else _http(file.http, file.grid, folder),
        openadr=tuple(_openadr(o.id, o.openadr, folder) for o in file.grid if o.openadr is not None),
        openadr2b=tuple(_openadr2b(o.id, o.openadr2b, folder) for o in file.grid if o.openadr2b is not None),
        oscp=tuple(_oscp(o.id, o.oscp, folder) for o in file.grid if o.oscp is not None),
        groups=tuple(_group(o.id, o.group, folder) for o in file.grid if o.group is not None),
    )


def _site(file: SiteFile, folder: Path) -> Site:
    circuits = _circuits(file)
    volts = {circuit.id: circuit.secondary_v for circuit in circuits}
    stations = tuple(
        _station(keys, turn, volts[CircuitId(keys.circuit)], folder)
        for keys in file.stations
        for turn in range(len(keys.ids))
    )
    return Site(
        **file.site.model_dump(),
        circuits=circuits,
        stations=stations,
        timing=Timing(**file.timing.model_dump()),
        money=_money(file.money),
        grid=operators(file.grid, file.site.id, circuits, stations),
        grid_limit=Staleness(age_s=file.limits.grid_age_s, hold_s=file.limits.grid_hold_s),
        vendor_codes=vendor_codes(file.faults.vendors, folder),
    )


def _money(keys: MoneyKeys) -> Money:
    return Money(**keys.model_dump(exclude={"tariff"}), tariff=tuple(map(_rate, keys.tariff)))


def _rate(keys: RateKeys) -> Rate:
    return Rate(
        per_kwh=keys.per_kwh,
        starts_s=_of_day_s(keys.starts),
        ends_s=_of_day_s(keys.ends),
        weekdays=frozenset(map(WEEKDAYS.index, keys.weekdays)),
        months=frozenset(keys.months),
    )


def _of_day_s(at: time) -> int:
    return (at.hour * 60 + at.minute) * 60 + at.second


def _circuits(file: SiteFile) -> tuple[Circuit, ...]:
    """Return the circuits, parents before children and otherwise in the order of the file."""
    built: dict[str, Circuit] = {}
    waiting = list(file.circuits)
    while waiting:
        keys = next(keys for keys in waiting if keys.parent is None or keys.parent in built)
        waiting.remove(keys)
        voltage_v = keys.voltage_v if keys.parent is None else built[keys.parent].secondary_v
        assert voltage_v is not None
        built[keys.id] = _circuit(keys, voltage_v)
    return tuple(built.values())


def _circuit(keys: CircuitKeys, voltage_v: float) -> Circuit:
    rating_a = _amps(keys.rating_a, keys.rating_va, voltage_v)
    assert rating_a is not None
    transformer = keys.transformer
    return Circuit(
        id=CircuitId(keys.id),
        parent=None if keys.parent is None else CircuitId(keys.parent),
        rating_a=rating_a,
        failsafe_a=_amps(keys.failsafe_a, keys.failsafe_va, voltage_v) or rating_a,
        voltage_v=voltage_v,
        transformer=None if transformer is None else Transformer(**transformer.model_dump()),
        meter=None if keys.meter is None else _meter(keys.meter),
        uncontrolled_a=keys.uncontrolled_a,
    )


def _meter(keys: MeterKeys) -> Meter:
    return Meter(id=keys.id, staleness=Staleness(age_s=keys.age_s, hold_s=keys.hold_s), frozen_s=keys.frozen_s)


def _amps(amps: Phases | None, power_va: float | None, voltage_v: float) -> Phases | None:
    return amps if power_va is None else Phases.all(power_va / (3.0 * voltage_v))


def _station(keys: StationKeys, turn: int, voltage_v: float, folder: Path) -> Station:
    """Return the station of the id at index ``turn``, on a circuit of ``voltage_v`` line to neutral."""
    name = StationId(keys.ids[turn])
    evses = tuple(_evse(load, name, turn, voltage_v) for load in loads("", keys))
    if len(evses) == 1:
        evses = (replace(evses[0], id=EvseId(name)),)
    return Station(
        id=name,
        circuit=CircuitId(keys.circuit),
        evses=evses,
        control=Control(keys.control),
        rating_a=keys.rating_a,
        charging=Charging() if keys.charging is None else _charging(keys.charging),
        secret=station_secret(keys, name, folder),
    )


def _charging(keys: ChargingKeys) -> Charging:
    plain = keys.model_dump(exclude={"way", "kind", "pause"})
    return Charging(
        **plain,
        way=None if keys.way is None else Way(keys.way),
        kind=None if keys.kind is None else ScheduleKind(keys.kind),
        pause=Pause(keys.pause),
    )


def _evse(load: Load, station: StationId, turn: int, voltage_v: float) -> Evse:
    keys = load.keys
    assert keys.wiring is not None
    assert keys.min_a is not None
    assert keys.max_a is not None
    assert keys.default_a is not None
    wiring = Wiring(keys.wiring)
    rotations = keys.rotation or (Rotation.RST,)
    return Evse(
        id=EvseId(f"{station}/{load.number}"),
        station=station,
        number=load.number,
        wiring=wiring,
        rotation=rotations[turn % len(rotations)],
        voltage_v=sqrt(3.0) * voltage_v if wiring is Wiring.LINE_TO_LINE else voltage_v,
        min_a=keys.min_a,
        max_a=keys.max_a,
        default_a=keys.default_a,
        steps_a=tuple(keys.steps_a or ()),
        efficiency=keys.efficiency or 1.0,
        modules=keys.modules,
        bills=bool(keys.bills),
        connectors=tuple(Connector(id=i, type=kind) for i, kind in enumerate(keys.connectors or (), 1)),
    )


def _mqtt(keys: MqttKeys, folder: Path) -> MqttSettings:
    plain = keys.model_dump(exclude={"password_file", "password_env", "tls_ca", "tls_cert", "tls_key"})
    return MqttSettings(
        **plain,
        password=mqtt_password(keys, folder),
        tls_ca=_file(keys.tls_ca, folder),
        tls_cert=_file(keys.tls_cert, folder),
        tls_key=_file(keys.tls_key, folder),
    )


def _group(operator: str, keys: GroupLineKeys, folder: Path) -> GroupSettings:
    broker = MqttKeys(**keys.model_dump(exclude={"group"}))
    return GroupSettings(operator=operator, group=keys.group, broker=_mqtt(broker, folder))


def _ocpp(file: SiteFile, folder: Path) -> OcppSettings:
    keys = file.ocpp
    plain = {"host", "port", "security_profile", "unknown", "ca_days"}
    tokens = () if keys.tokens is None else read_tokens(folder / keys.tokens)
    return OcppSettings(
        **keys.model_dump(include=plain),
        token_policy=TokenPolicy(
            tokens=tokens, unknown=keys.unknown_tokens, away=keys.away_tokens, sends_list=keys.send_tokens
        ),
        backends=dict(_backends(file, folder)),
        tls_cert=_file(keys.tls_cert, folder),
        tls_key=_file(keys.tls_key, folder),
        tls_client_ca=_file(keys.tls_client_ca, folder),
        ca_cert=_file(keys.ca_cert, folder),
        ca_key=_file(keys.ca_key, folder),
    )


def _http(keys: HttpKeys, operators: Sequence[GridKeys], folder: Path) -> HttpSettings:
    tokens = {operator.id: grid_token(operator, folder) for operator in operators}
    return HttpSettings(
        host=keys.host,
        port=keys.port,
        tls_cert=_file(keys.tls_cert, folder),
        tls_key=_file(keys.tls_key, folder),
        tokens={name: token for name, token in tokens.items() if token is not None},
    )


def _openadr(operator: str, keys: OpenAdrKeys, folder: Path) -> OpenAdrSettings:
    plain = keys.model_dump(exclude={"secret_file", "tls_ca", "targets", "simple_w"})
    return OpenAdrSettings(
        **plain,
        operator=operator,
        client_secret=openadr_secret(keys, folder),
        tls_ca=_file(keys.tls_ca, folder),
        targets=tuple(keys.targets),
        simple_w=tuple(keys.simple_w),
    )


def _openadr2b(operator: str, keys: OpenAdr2bKeys, folder: Path) -> OpenAdr2bSettings:
    plain = keys.model_dump(exclude={"tls_cert", "tls_key", "tls_ca", "simple_w"})
    return OpenAdr2bSettings(
        **plain,
        operator=operator,
        tls_cert=_file(keys.tls_cert, folder),
        tls_key=_file(keys.tls_key, folder),
        tls_ca=_file(keys.tls_ca, folder),
        simple_w=tuple(keys.simple_w),
    )


def _oscp(operator: str, keys: OscpKeys, folder: Path) -> OscpSettings:
    plain = keys.model_dump(exclude={"token_file", "tls_ca"})
    token, tls_ca = oscp_token(keys, folder), _file(keys.tls_ca, folder)
    return OscpSettings(**plain, operator=operator, token=token, tls_ca=tls_ca)


def _backends(file: SiteFile, folder: Path) -> Iterator[tuple[StationId, Backend]]:
    """Yield the operator's back-end of each OCPP station that has one."""
    for keys in file.stations:
        url = file.ocpp.upstream if keys.upstream is None else keys.upstream
        if url is None or url == NO_UPSTREAM or keys.control != "ocpp":
            continue
        for name in keys.ids:
            yield StationId(name), Backend(url=url, password=upstream_password(file.ocpp, name, folder))


def _file(name: str | None, folder: Path) -> Path | None:
    return None if name is None else folder / name
