"""What is wrong in a site file although each key by itself is sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from math import sqrt
from pathlib import Path
from urllib.parse import urlsplit

from smartcharge.config.draft import Draft, Fault, Load, loads
from smartcharge.config.keys import (
    NO_UPSTREAM,
    BrokerKeys,
    CircuitKeys,
    GridKeys,
    HttpKeys,
    OcppKeys,
    OpenAdr2bKeys,
    StationKeys,
)
from smartcharge.config.secrets import (
    grid_token,
    mqtt_password,
    openadr_secret,
    oscp_token,
    station_secret,
    upstream_password,
)
from smartcharge.config.tokens import read_tokens
from smartcharge.config.vendors import vendor_codes
from smartcharge.errors import ConfigError

OVER_MQTT = frozenset({"mqtt", "lpc", "relay"})
"""Protocols of grid operators that need the broker."""
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})
_NOMINAL = 0.05
"""How far a transformer's primary voltage may be from that of its circuit: 480 V is written for 3 x 277 V."""


def faults(draft: Draft, folder: Path) -> Iterator[Fault]:
    """Yield every contradiction in what stands of a site file; secret files are looked for in ``folder``."""
    yield from _tree(draft)
    for i, circuit in draft.circuits.items():
        yield from _circuit(f"circuits[{i}]", circuit)
    yield from _names(draft)
    for i, station in draft.stations.items():
        yield from _station(f"stations[{i}]", station, draft)
        yield from _loads(f"stations[{i}]", station)
        yield from _charging(f"stations[{i}]", station)
    for i, operator in draft.grid.items():
        yield from _operator(f"grid[{i}]", operator, draft)
    if draft.http is not None:
        yield from _http(draft.http, folder)
    yield from _secrets(draft, folder)
    for i, name in enumerate(draft.faults.vendors if draft.faults is not None else ()):
        yield from _readable(f"faults.vendors[{i}]", partial(vendor_codes, [name], folder))
    yield from _upstreams(draft)
    if draft.ocpp is not None:
        yield from _ocpp_files(draft.ocpp, folder)
        yield from _security(draft.ocpp, draft, folder)


def _ocpp_files(ocpp: OcppKeys, folder: Path) -> Iterator[Fault]:
    for key, other in (("ca_cert", "ca_key"), ("ca_key", "ca_cert")):
        name = getattr(ocpp, key)
        if name is None and getattr(ocpp, other) is not None:
            yield Fault(f"ocpp.{key}", f"is missing: {other} needs it")
        elif name is not None and not (folder / name).is_file():
            yield Fault(f"ocpp.{key}", f"there is no file {folder / name}")
    if ocpp.tokens is not None:
        yield from _readable("ocpp.tokens", partial(read_tokens, folder / ocpp.tokens))
    elif ocpp.send_tokens:
        yield Fault("ocpp.send_tokens", "has no list to send: state tokens")


def _security(ocpp: OcppKeys, draft: Draft, folder: Path) -> Iterator[Fault]:
    """Yield what the security profile needs and is not there, or is there and not needed."""
    needed = {"tls_cert": 2, "tls_client_ca": 3}
    for key, profile in needed.items():
        if getattr(ocpp, key) is None and ocpp.security_profile >= profile:
            yield Fault(f"ocpp.{key}", f"is missing: security profile {ocpp.security_profile} needs it")
    for key in ("tls_cert", "tls_key", "tls_client_ca"):
        name = getattr(ocpp, key)
        if name is not None and ocpp.security_profile < needed.get(key, 2):
            yield Fault(f"ocpp.{key}", f"is not used with security profile {ocpp.security_profile}")
        elif name is not None and not (folder / name).is_file():
            yield Fault(f"ocpp.{key}", f"there is no file {folder / name}")
    if ocpp.security_profile in (1, 2):
        for i, station in draft.stations.items():
            if station.control == "ocpp" and station.password_file is None:
                reason = f"is missing: security profile {ocpp.security_profile} needs it"
                yield Fault(f"stations[{i}].password_file", reason)


def _tree(draft: Draft) -> Iterator[Fault]:
    parents = {circuit.id: circuit.parent for circuit in draft.circuits.values()}
    roots = [i for i, circuit in draft.circuits.items() if circuit.parent is None]
    for i in roots[1:]:
        first = draft.circuits[roots[0]].id
        yield Fault(f"circuits[{i}].parent", f"is missing: {first} is the grid connection already")
    for i, circuit in draft.circuits.items():
        if circuit.parent is not None and circuit.parent not in draft.circuit_ids:
            yield Fault(f"circuits[{i}].parent", f"there is no circuit {circuit.parent!r}")
        chain = _cycle(circuit.id, parents)
        if chain and circuit.id == min(chain):
            yield Fault(f"circuits[{i}].parent", f"feeds itself: {' <- '.join((*chain, circuit.id))}")


def _cycle(start: str, parents: dict[str, str | None]) -> list[str]:
    """Return the circuits from ``start`` up to itself, or nothing if it does not feed itself."""
    chain, above = [start], parents[start]
    while above is not None and above not in chain:
        chain.append(above)
        above = parents.get(above)
    return chain if above == start else []


def _circuit(path: str, circuit: CircuitKeys) -> Iterator[Fault]:
    is_root = circuit.parent is None
    if is_root and circuit.voltage_v is None:
        yield Fault(f"{path}.voltage_v", "is missing: the grid connection must state it")
    if not is_root and circuit.voltage_v is not None:
        yield Fault(f"{path}.voltage_v", "only the grid connection states it; below it follows from the transformers")
    if circuit.rating_a is None and circuit.rating_va is None:
        yield Fault(f"{path}.rating_a", "is missing, and so is rating_va")
    for amps, power in (("rating_a", "rating_va"), ("failsafe_a", "failsafe_va")):
        if getattr(circuit, amps) is not None and getattr(circuit, power) is not None:
            yield Fault(f"{path}.{power}", f"is given beside {amps}: state one of them")
    if circuit.rating_a is not None and min(circuit.rating_a) == 0.0:
        yield Fault(f"{path}.rating_a", "must be above 0 on every phase")
    if circuit.transformer and circuit.voltage_v is not None:
        expected_v = sqrt(3.0) * circuit.voltage_v
        if abs(circuit.transformer.primary_v / expected_v - 1.0) > _NOMINAL:
            reason = f"is line to line, which is {expected_v:.0f} V on this circuit"
            yield Fault(f"{path}.transformer.primary_v", reason)


def _names(draft: Draft) -> Iterator[Fault]:
    circuits = draft.circuits.items()
    yield from repeated((f"circuits[{i}].id", circuit.id) for i, circuit in circuits)
    yield from repeated((f"circuits[{i}].meter.id", c.meter.id) for i, c in circuits if c.meter is not None)
    yield from repeated((f"grid[{i}].id", operator.id) for i, operator in draft.grid.items())
    yield from repeated((f"stations[{i}].ids", name) for i, station in draft.stations.items() for name in station.ids)


def repeated(named: Iterable[tuple[str, str]]) -> Iterator[Fault]:
    """Yield every name, given with the path where it stands, that stands somewhere before."""
    seen: dict[str, str] = {}
    for path, name in named:
        if name in seen:
            yield Fault(path, f"{name!r} is the same as {seen[name]}")
        seen.setdefault(name, path)


def _station(path: str, station: StationKeys, draft: Draft) -> Iterator[Fault]:
    if station.circuit not in draft.circuit_ids:
        yield Fault(f"{path}.circuit", f"there is no circuit {station.circuit!r}")
    if station.control == "mqtt" and not draft.has_mqtt:
        yield Fault(f"{path}.control", "is mqtt, but the file has no [mqtt]")
    numbers = [(f"{load.path}.number", str(load.number)) for load in loads(path, station)]
    yield from repeated(numbers)


def _charging(path: str, station: StationKeys) -> Iterator[Fault]:
    """Yield what contradicts itself in how limits are taken, and defaults that a limit without end would void."""
    keys = station.charging
    if keys is None:
        return
    has_command = keys.way in ("DataTransfer", "key")
    wrong = f"is missing: way {keys.way} needs it" if has_command else "is used with way DataTransfer or key only"
    for name in ("command", "value"):
        if has_command == (getattr(keys, name) is None):
            yield Fault(f"{path}.charging.{name}", wrong)
    # A Dynamic one does end, but only once the station notices that it is offline.
    if has_command or keys.way == "stop" or keys.kind in ("Relative", "Dynamic"):
        for load in loads(path, station):
            if load.keys.default_a != load.keys.max_a:
                reason = "must be max_a: limits that these stations take do not end by themselves if this program dies"
                yield Fault(f"{load.path}.default_a", reason)


def _operator(path: str, operator: GridKeys, draft: Draft) -> Iterator[Fault]:
    if operator.circuit is not None and operator.circuit not in draft.circuit_ids:
        yield Fault(f"{path}.circuit", f"there is no circuit {operator.circuit!r}")
    over_http = operator.protocol == "http" or operator.token_file is not None
    if over_http and operator.protocol not in ("http", "lpc"):
        yield Fault(f"{path}.token_file", f"is not used with protocol {operator.protocol}")
    elif over_http and not draft.has_http:
        yield Fault(f"{path}.protocol", f"is {operator.protocol} over HTTP, but the file has no [http]")
    if operator.protocol == "http" and operator.token_file is None:
        yield Fault(f"{path}.token_file", "is missing: protocol http needs it")
    if operator.protocol in OVER_MQTT and not over_http and not draft.has_mqtt:
        yield Fault(f"{path}.protocol", f"is {operator.protocol}, but the file has no [mqtt]")
    yield from _server(path, operator, draft)


def _server(path: str, operator: GridKeys, draft: Draft) -> Iterator[Fault]:
    """Yield what is wrong with the table of an operator that runs a server of its own."""
    openadr, openadr2b, oscp = operator.openadr, operator.openadr2b, operator.oscp
    tables = {"openadr": openadr, "openadr2b": openadr2b, "oscp": oscp, "group": operator.group}
    for name, table in tables.items():
        if (table is None) == (operator.protocol == name):
            wrong = "is missing" if table is None else f"is not used with protocol {operator.protocol}"
            yield Fault(f"{path}.{name}", wrong)
    if operator.protocol == "group":
        yield from _share(path, operator)
    if openadr is not None:
        urls = {"url": openadr.url, "token_url": openadr.token_url, "our_url": openadr.our_url}
        yield from _encrypted(f"{path}.openadr", **urls)
        if openadr.our_url is not None and not draft.has_http:
            yield Fault(f"{path}.openadr.our_url", "is given, but the file has no [http] for the server to call")
        if openadr.poll_s >= operator.heartbeat_s:
            reason = f"{openadr.poll_s:g} s must be below heartbeat_s, {operator.heartbeat_s:g} s"
            yield Fault(f"{path}.openadr.poll_s", reason)
    if openadr2b is not None:
        yield from _openadr2b(f"{path}.openadr2b", openadr2b, operator)
    if oscp is not None:
        yield from _encrypted(f"{path}.oscp", url=oscp.url, our_url=oscp.our_url)
        if not draft.has_http:
            yield Fault(f"{path}.protocol", "is oscp, but the file has no [http] for the provider to call")


def _openadr2b(path: str, keys: OpenAdr2bKeys, operator: GridKeys) -> Iterator[Fault]:
    yield from _encrypted(path, url=keys.url)
    if find_spec("openleadr") is None:
        yield Fault(f"{path.rpartition('.')[0]}.protocol", "needs openleadr: pip install 'smartcharge[openadr2b]'")
    if (keys.tls_cert is None) != (keys.tls_key is None):
        missing = "tls_cert" if keys.tls_cert is None else "tls_key"
        yield Fault(f"{path}.{missing}", "is missing: a certificate and its key go together")
    if keys.poll_s >= operator.heartbeat_s:
        reason = f"{keys.poll_s:g} s must be below heartbeat_s, {operator.heartbeat_s:g} s"
        yield Fault(f"{path}.poll_s", reason)


def _share(path: str, operator: GridKeys) -> Iterator[Fault]:
    """Yield what would let a site draw more than its safe share while the coordinator of its group is not heard."""
    if operator.failsafe_w is None:
        yield Fault(f"{path}.failsafe_w", "is missing: it is the safe share of the group's limit")
    if operator.autonomous:
        yield Fault(f"{path}.autonomous", "is not used with protocol group: without a share the safe one holds")


def _encrypted(path: str, **urls: str | None) -> Iterator[Fault]:
    for key, url in urls.items():
        if url is not None and not url.startswith("https://") and urlsplit(url).hostname not in _HERE:
            yield Fault(f"{path}.{key}", "must begin with https://: secrets would be sent in the clear")


def _http(http: HttpKeys, folder: Path) -> Iterator[Fault]:
    """Yield what is wrong with the HTTP server: a token must not cross a network unencrypted."""
    if http.tls_cert is None and http.host not in _HERE:
        yield Fault("http.tls_cert", f"is missing: on {http.host} tokens would be sent in the clear")
    yield from _files("http", http, folder)


def _files(path: str, keys: HttpKeys | OpenAdr2bKeys, folder: Path) -> Iterator[Fault]:
    for key in ("tls_cert", "tls_key", "tls_ca"):
        name = getattr(keys, key, None)
        if name is not None and not (folder / name).is_file():
            yield Fault(f"{path}.{key}", f"there is no file {folder / name}")


def _loads(path: str, station: StationKeys) -> Iterator[Fault]:
    for load in loads(path, station):
        missing = [name for name in ("wiring", "min_a", "max_a", "default_a") if getattr(load.keys, name) is None]
        yield from (Fault(f"{load.path}.{name}", "is missing") for name in missing)
        yield from _currents(load)
        for key in ("efficiency", "modules"):
            if getattr(load.keys, key) is not None and load.keys.wiring != "dc":
                yield Fault(f"{load.path}.{key}", 'only an EVSE with wiring = "dc" has one')


def _currents(load: Load) -> Iterator[Fault]:
    keys, path = load.keys, load.path
    if keys.min_a is None or keys.max_a is None:
        return
    if keys.max_a < keys.min_a:
        yield Fault(f"{path}.max_a", f"{keys.max_a:g} A is below min_a, {keys.min_a:g} A")
        return
    if keys.steps_a is not None:
        yield from _steps(f"{path}.steps_a", keys.steps_a, keys.min_a, keys.max_a)
    if not keys.default_a:
        return
    if not keys.min_a <= keys.default_a <= keys.max_a:
        reason = f"{keys.default_a:g} A must be 0, or from min_a to max_a: {keys.min_a:g} to {keys.max_a:g} A"
        yield Fault(f"{path}.default_a", reason)
    elif keys.steps_a and keys.default_a not in keys.steps_a:
        yield Fault(f"{path}.default_a", f"{keys.default_a:g} A is none of steps_a")


def _steps(path: str, steps_a: list[float], min_a: float, max_a: float) -> Iterator[Fault]:
    if len(steps_a) < 2 or steps_a[0] != 0.0:
        yield Fault(path, "must start at 0 and have a step above it")
    elif any(later <= earlier for earlier, later in pairwise(steps_a)):
        yield Fault(path, "must ascend")
    elif (steps_a[1], steps_a[-1]) != (min_a, max_a):
        yield Fault(path, f"must go, above 0, from min_a to max_a: {min_a:g} to {max_a:g} A")


def _secrets(draft: Draft, folder: Path) -> Iterator[Fault]:
    if draft.mqtt is not None:
        yield from _password("mqtt", draft.mqtt, folder)
    for i, operator in draft.grid.items():
        yield from _readable(f"grid[{i}].token_file", partial(grid_token, operator, folder))
        if operator.openadr is not None:
            path = f"grid[{i}].openadr.secret_file"
            yield from _readable(path, partial(openadr_secret, operator.openadr, folder))
        if operator.openadr2b is not None:
            yield from _files(f"grid[{i}].openadr2b", operator.openadr2b, folder)
        if operator.group is not None:
            yield from _password(f"grid[{i}].group", operator.group, folder)
        if operator.oscp is not None:
            yield from _readable(f"grid[{i}].oscp.token_file", partial(oscp_token, operator.oscp, folder))
    for i, station in draft.stations.items():
        for name in station.ids:
            yield from _readable(f"stations[{i}].password_file", partial(station_secret, station, name, folder))
            if draft.ocpp is not None and _upstream(draft.ocpp, station) is not None:
                read = partial(upstream_password, draft.ocpp, name, folder)
                yield from _readable("ocpp.upstream_password_file", read)


def _password(path: str, broker: BrokerKeys, folder: Path) -> Iterator[Fault]:
    if broker.password_file is not None and broker.password_env is not None:
        yield Fault(f"{path}.password_env", "is given beside password_file: state one of them")
        return
    key = "password_file" if broker.password_env is None else "password_env"
    yield from _readable(f"{path}.{key}", partial(mqtt_password, broker, folder))


def _upstream(ocpp: OcppKeys, station: StationKeys) -> str | None:
    url = ocpp.upstream if station.upstream is None else station.upstream
    return None if url == NO_UPSTREAM else url


def _upstreams(draft: Draft) -> Iterator[Fault]:
    """Yield back-ends that no WebSocket leads to."""
    named = [(f"stations[{i}].upstream", s.upstream) for i, s in draft.stations.items() if s.upstream != NO_UPSTREAM]
    for path, url in [("ocpp.upstream", None if draft.ocpp is None else draft.ocpp.upstream), *named]:
        if url is not None and not url.startswith(("ws://", "wss://")):
            yield Fault(path, f"{url!r} is no WebSocket URL: it begins with ws:// or wss://")


def _readable(path: str, read: Callable[[], object]) -> Iterator[Fault]:
    try:
        read()
    except ConfigError as error:
        yield Fault(path, str(error))
