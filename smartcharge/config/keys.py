"""Every key of a site file: its type, its range, its default, and what it means.

The docstring under a key is its description in the JSON Schema and in ``sites/README.md``; the unit
is the end of its name.  What one value alone cannot show to be wrong is found in `checks`.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from smartcharge.config.settings import StoreSettings
from smartcharge.config.values import (
    WEEKDAYS,
    Id,
    Ids,
    NotNegative,
    PerPhase,
    Port,
    Positive,
    Rotations,
    Timezone,
    Weekday,
)
from smartcharge.csms.settings import OcppSettings
from smartcharge.grid.settings import HttpSettings
from smartcharge.model import Charging, CircuitId, GridSource, Group, Member, Money, Phases, Rate, Site, Timing
from smartcharge.mqtt.settings import MqttSettings

_SITE: dict[str, Any] = {field.name: field.default for field in fields(Site)}
_HTTP = HttpSettings()
_GRID = GridSource(id="", circuit=CircuitId(""))
_TIMING, _MONEY, _MQTT, _RATE = Timing(), Money(), MqttSettings(), Rate(per_kwh=0.0)
_CHARGING = Charging()
_OCPP, _STORE = OcppSettings(), StoreSettings()


NO_UPSTREAM = "none"
"""What a station states that has no back-end although the others have."""


class Keys(BaseModel):
    """A table of the file: it refuses keys that it does not know, and values of another type."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class SiteKeys(Keys):
    """What the site is, and how it plans."""

    id: Id
    """Name of the site in topics and records."""
    name: str
    """Name of the site for people."""
    timezone: Timezone
    """Local time of the site, from the IANA database, e.g. `Europe/Amsterdam`."""
    solver: Literal["optimal", "greedy"] = "optimal"
    """What plans: `optimal` weighs the whole horizon, `greedy` fills one car after the other."""
    deadband_a: NotNegative = _SITE["deadband_a"]
    """A raise smaller than this is not sent: each profile wears a station's flash."""


class TimingKeys(Keys):
    """How fast the site acts and how long its commands live."""

    fast_s: Positive = _TIMING.fast_s
    """Period of the fast loop; urgent events do not wait for it."""
    slow_s: Positive = _TIMING.slow_s
    """Longest time between two plans."""
    solve_s: Positive = _TIMING.solve_s
    """Deadline of one optimisation."""
    horizon_s: Positive = _TIMING.horizon_s
    """How far a plan looks ahead."""
    first_share_s: Positive = _TIMING.first_share_s
    """How long a car may wait for its first share while others charge."""
    profile_s: Positive = _TIMING.profile_s
    """Life of a charging profile; it is renewed before half of it has passed."""
    command_s: Positive = _TIMING.command_s
    """How long a station may take to answer a command."""
    settle_s: NotNegative = _TIMING.settle_s
    """How long a station and its car may take to follow an accepted limit."""
    margin_s: NotNegative = _TIMING.margin_s
    """How far a station's clock may be off when a profile expires."""
    reaction_s: Positive = _TIMING.reaction_s
    """Declared time from a limit's arrival to compliance while every station answers."""
    meter_interval_s: Annotated[int, Field(gt=0)] = _TIMING.meter_interval_s
    """Period at which stations are told to send meter values."""
    heartbeat_s: Annotated[int, Field(gt=0)] = _TIMING.heartbeat_s
    """Period at which stations are told to send a heartbeat."""


class RateKeys(Keys):
    """A price of energy at some hours of some days, by the clock of the site; of those that hold the first counts."""

    per_kwh: float
    """Price of energy; may be negative."""
    starts: time = time.min
    """When it begins, e.g. `07:00:00`."""
    ends: time = time.min
    """When it ends; at `starts` or before it is on the next day, so `00:00:00` is the end of the day."""
    weekdays: Annotated[list[Weekday], Field(min_length=1)] = list(WEEKDAYS)
    """Days on which it holds; after midnight it is the next day."""
    months: Annotated[list[Annotated[int, Field(ge=1, le=12)]], Field(min_length=1)] = sorted(_RATE.months)
    """Months in which it holds, 1 is January."""


class MoneyKeys(Keys):
    """What the plan weighs: prices in the site's currency."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = _MONEY.currency
    """ISO 4217 code of the currency."""
    energy_per_kwh: float = _MONEY.energy_per_kwh
    """Price of energy while no other is known; may be negative, as on a spot market."""
    tariff: list[RateKeys] = []
    """Prices by the clock; prices that arrive over MQTT or OpenADR go before them."""
    co2_per_kg: NotNegative = _MONEY.co2_per_kg
    """What a kilogram of CO2 is worth, on top of the price; for operators who tell the intensity of the grid."""
    peak_per_kw: NotNegative = _MONEY.peak_per_kw
    """Demand charge on the highest power of the month."""
    peak_period_s: Positive = _MONEY.peak_period_s
    """Length of the metering periods whose highest mean power that is."""
    shortfall_per_kwh: NotNegative = _MONEY.shortfall_per_kwh
    """What a promised kilowatt-hour that is not delivered is worth."""
    early_per_kwh_h: NotNegative = _MONEY.early_per_kwh_h
    """What one hour of earlier delivery is worth."""


class LimitsKeys(Keys):
    """How long a grid limit without an end of its own is believed; then `failsafe_a` holds on its circuit."""

    grid_age_s: Positive = _SITE["grid_limit"].age_s
    """How long after its arrival such a limit is fresh."""
    grid_hold_s: NotNegative = _SITE["grid_limit"].hold_s
    """How much longer it is held."""


class OpenAdrKeys(Keys):
    """An OpenADR 3 server (VTN); the line is lost after `heartbeat_s` without a good poll."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*[^\s/])?$")]
    """Base of every path, e.g. `https://vtn.example/openadr3/3.1.0`; without TLS only on this machine."""
    client_id: str
    """Name of this client at the server."""
    secret_file: str
    """File that holds its secret, relative to the site file."""
    version: Literal["3.0.1", "3.1.0"] = "3.1.0"
    """Version that the server speaks."""
    token_url: str | None = None
    """Where tokens are; none asks the server."""
    tls_ca: str | None = None
    """PEM file of the authority that signed the server's certificate; none trusts those of the system."""
    program: str | None = None
    """Name of the program whose events count; none takes those of all."""
    targets: list[str] = []
    """Events for others than these are left alone; none takes every event that the server shows."""
    poll_s: Positive = 30.0
    """Time between two polls."""
    profile: Literal["gac"] | None = None
    """Rules that every event must keep: `gac` is that of the Dutch grid operators."""
    naive_is_utc: bool = False
    """Whether times without an offset are UTC; else an event with one is refused."""
    simple_w: list[NotNegative] = []
    """Limits at the levels of SIMPLE, from 0 on; none leaves SIMPLE alone."""
    ven_name: str = "smartcharge"
    """Name of this client in reports."""
    mqtt_hints: bool = False
    """Whether to listen for notifications on the server's own MQTT broker, if it has one; for 3.1.0."""
    our_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*[^\s/])?$")] | None = None
    """Base URL of our own HTTP server as it sees it, for notifications; needs `[http]`; none only polls."""


class OpenAdr2bKeys(Keys):
    """An OpenADR 2.0b server (VTN); needs the extra `openadr2b`; lost after `heartbeat_s` without a good poll."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*[^\s/])?$")]
    """Base of its services, e.g. `https://vtn.example/OpenADR2/Simple/2.0b`; without TLS only on this machine."""
    ven_name: str
    """Name of this client at the server."""
    tls_cert: str | None = None
    """PEM file of our certificate, which the server knows us by; messages are signed with it."""
    tls_key: str | None = None
    """PEM file of its key."""
    tls_ca: str | None = None
    """PEM file of the authority that signed the server's certificate; none trusts those of the system."""
    vtn_fingerprint: str | None = None
    """Fingerprint of the server's certificate, for servers that sign their messages; none does not look."""
    poll_s: Positive = 10.0
    """Time between two polls."""
    simple_w: list[NotNegative] = []
    """Limits at the levels of SIMPLE, from 0 on; none leaves SIMPLE alone."""


class BrokerKeys(Keys):
    """How a broker is reached."""

    host: str = _MQTT.host
    """Name or address of the broker."""
    port: Port = _MQTT.port
    """TCP port of the broker; 8883 is usual with TLS."""
    username: str | None = None
    """User at the broker; none logs in as nobody."""
    password_file: str | None = None
    """File that holds the password, relative to the site file."""
    password_env: str | None = None
    """Environment variable that holds the password; instead of `password_file`."""
    tls: bool = _MQTT.tls
    """Encrypt, and verify the broker's certificate and name."""
    tls_ca: str | None = None
    """PEM file of the authority that signed the broker's certificate; none trusts those of the system."""
    tls_cert: str | None = None
    """PEM file of our own certificate, for brokers that ask for one."""
    tls_key: str | None = None
    """PEM file of the key of `tls_cert`, where it is not in the same file."""
    prefix: Annotated[str, Field(pattern=r"^[^+#\s/]+(/[^+#\s/]+)*$")] = _MQTT.prefix
    """First levels of every topic; the id of the site or group follows."""
    client_id: str | None = None
    """Name of this client; none makes it of `smartcharge-` and the site's id."""
    keepalive_s: Annotated[int, Field(ge=0, le=65535)] = _MQTT.keepalive_s
    """Silence after which the broker counts us as gone; 0 disables it."""


class GroupLineKeys(BrokerKeys):
    """The broker at which the coordinator of a group is met; the site's share lasts as long as it is renewed."""

    group: Id
    """Id of the group, as its own file has it."""


class OscpKeys(Keys):
    """An OSCP 2.0 capacity provider; the site is a flexibility provider and needs `[http]` to be reached."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*[^\s/])?$")]
    """Its base URL, e.g. `https://cp.example/oscp/cp/2.0`; without TLS only on this machine."""
    our_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*[^\s/])?$")]
    """Base URL of our own HTTP server as the provider sees it, e.g. `https://site.example`."""
    token_file: str
    """File that holds the token agreed on for the first registration, relative to the site file."""
    group_id: str
    """The group of its capacity that this site is."""
    tls_ca: str | None = None
    """PEM file of the authority that signed its certificate; none trusts those of the system."""
    heartbeat_s: Positive = 60.0
    """Period at which it is asked to send heartbeats."""


class GridKeys(Keys):
    """A grid operator that must be heard: until it is, and when it is lost, its failsafe value holds (EEBUS LPC)."""

    id: Id
    """Name of the operator; with its protocol it names the source of limits, e.g. `lpc dso`."""
    protocol: Literal["mqtt", "http", "lpc", "relay", "openadr", "openadr2b", "oscp", "group"]
    """Limits over MQTT or HTTP, EEBUS LPC over either, a contact (MQTT), OpenADR 3 or 2.0b, OSCP 2.0, or a share of \
a group's."""
    openadr: OpenAdrKeys | None = None
    """Its server; for `openadr`."""
    openadr2b: OpenAdr2bKeys | None = None
    """Its server; for `openadr2b`."""
    oscp: OscpKeys | None = None
    """The capacity provider; for `oscp`."""
    group: GroupLineKeys | None = None
    """Where the coordinator is met; for `group`."""
    token_file: str | None = None
    """File that holds its token at the HTTP server, relative to the site file; for `http`, and `lpc` over HTTP."""
    circuit: Id | None = None
    """Where its failsafe value holds, and its limits if it names no circuit; the grid connection if not given."""
    scope: Literal["site", "loads"] | None = None
    """All that flows through the circuit, or its stations alone (section 14a EnWG); `loads` for `lpc` and `relay`."""
    failsafe_w: NotNegative | None = None
    """Total power while it is lost; for `loads` Pmin, the least that section 14a EnWG guarantees, if not given; for \
`group` the safe share."""
    heartbeat_s: Positive = 120.0
    """Silence after which it counts as lost."""
    grace_s: NotNegative = _GRID.grace_s
    """How long a limit is waited for after the start, and after its heartbeat came back; for `autonomous`."""
    failsafe_s: NotNegative = _GRID.failsafe_s
    """Least stay in failsafe; for `autonomous`."""
    autonomous: bool = _GRID.may_go_autonomous
    """Whether its silence may free the site in the end, as LPC allows; else the failsafe value holds for ever."""
    below_floor: Literal["follow", "hold"] = "follow"
    """What to do with a limit below Pmin: follow it, flagged, or hold Pmin; for `loads`."""
    release: Literal["at-once", "uk-2021"] = "at-once"
    """Rules for the end of a limit: `uk-2021` is a random delay of up to 600 s (UK Smart Charge Points Regulations)."""
    release_delay_s: Annotated[float, Field(ge=0.0, le=1800.0)] | None = None
    """Longest random delay after a limit ends, drawn once for each; by `release` if not given."""
    release_ramp_s: NotNegative = 0.0
    """How long the rise from an ended limit to the rating of its circuit takes."""


class MqttKeys(BrokerKeys):
    """The broker; a file without this table has none."""

    persistent_session: bool = _MQTT.persistent_session
    """Let the broker keep what arrives while we are away."""
    publish_s: Positive = _MQTT.publish_s
    """Least time between two publications of the whole state; setpoints go out at once."""


class HttpKeys(Keys):
    """The HTTP server for grid operators; a file without this table has none."""

    host: str = _HTTP.host
    """Address to listen on; another than that of this machine itself needs `tls_cert`."""
    port: Port = _HTTP.port
    """TCP port to listen on."""
    tls_cert: str | None = None
    """PEM file of our certificate; none serves without TLS, for a proxy on the same machine."""
    tls_key: str | None = None
    """PEM file of its key, where it is not in the same file."""


class OcppKeys(Keys):
    """Where stations connect to."""

    host: str = _OCPP.host
    """Address to listen on; `0.0.0.0` is every IPv4 network of this machine."""
    port: Port = _OCPP.port
    """TCP port to listen on."""
    security_profile: Annotated[int, Field(ge=0, le=3)] = _OCPP.security_profile
    """OCPP security: 0 nothing, or the password of a station that has one; 1 password; 2 TLS and password; 3 TLS and \
client certificate."""
    unknown: Literal["refuse", "hold"] = _OCPP.unknown
    """What becomes of a station that this file does not have: refused, or told to wait and shown to the operator."""
    tls_cert: str | None = None
    """PEM file of this server's certificate with its chain (profiles 2 and 3), relative to the site file."""
    tls_key: str | None = None
    """PEM file of the key of `tls_cert`, where it is not in the same file."""
    upstream: str | None = None
    """URL of the operator's own back-end without a station's id (`wss://csms.example.com/ocpp`): each station is \
connected to it too, through this controller."""
    upstream_password_file: str | None = None
    """File with the password that a station has there, relative to the site file; `{id}` in it is the station's id."""
    tls_client_ca: str | None = None
    """PEM file of the authority that signs the stations' certificates (profile 3); each names its station's id."""
    ca_cert: str | None = None
    """PEM file of an authority of the site's own that signs the certificates which stations ask for; none refuses \
them."""
    ca_key: str | None = None
    """PEM file of its key, not encrypted; readable by nobody else."""
    ca_days: Annotated[int, Field(ge=1, le=3650)] = _OCPP.ca_days
    """How long such a certificate is good."""
    tokens: str | None = None
    """File of the site's own list of who may charge, relative to the site file; see `docs/ocpp.md`."""
    unknown_tokens: Literal["accept", "refuse"] = _OCPP.token_policy.unknown
    """Who is on no list, where there is no back-end."""
    away_tokens: Literal["accept", "known", "refuse"] = _OCPP.token_policy.away
    """While the back-end is away: whoever it did not refuse before, those in `tokens` or accepted by it before, or \
those in `tokens` alone."""
    send_tokens: bool = _OCPP.token_policy.sends_list
    """Whether stations are given the list in `tokens`, for when this controller is away."""


class FaultsKeys(Keys):
    """How stations' faults are read."""

    vendors: list[str] = []
    """Mapping files of vendors' own error codes, relative to the site file, e.g. `vendors/everest.toml`."""


class StoreKeys(Keys):
    """Where facts are written down."""

    url: str = _STORE.url
    """Database URL as SQLAlchemy takes it: `sqlite:///` and a path, or `postgresql://` (extra `postgresql`)."""
    keep_days: Positive = _STORE.keep_days
    """How far back the journal can be replayed, at least; what availability is made of is kept for good."""


class MaintenanceKeys(Keys):
    """Who hears of work orders, and where facts and work orders of several sites come together."""

    webhook: Annotated[str, Field(pattern="^https?://")] | None = None
    """URL to which every change of a work order is posted as JSON."""
    webhook_token_env: str | None = None
    """Environment variable that holds the bearer token for it."""
    plans: str | None = None
    """File of inspection and cleaning plans, relative to the site file."""
    self_test_days: Positive = 7.0
    """How often each station and EVSE is tested."""
    consenting: list[str] = []
    """Id tokens of drivers who agreed that a limit is lowered for some minutes to see whether it is followed."""
    network: str | None = None
    """Database URL to which facts and work orders are copied; its password comes from `PGPASSWORD` or `~/.pgpass`."""


class MeterKeys(Keys):
    """A meter of everything that flows through a circuit; when lost, `uncontrolled_a` takes its place."""

    id: Id
    """Name of the meter."""
    age_s: Positive
    """How long after its last sample a value is fresh."""
    hold_s: NotNegative = 0.0
    """How much longer it is held."""
    frozen_s: Positive = 120.0
    """How long it may repeat the very same figures while cars draw before it counts as lost."""


class TransformerKeys(Keys):
    """A delta-wye transformer: everything below its circuit hangs on its secondary side."""

    primary_v: Positive
    """Line-to-line voltage towards the grid."""
    secondary_v: Positive
    """Line-to-line voltage towards the cars."""


class CircuitKeys(Keys):
    """A fuse, breaker, cable or transformer: what flows to everything below it must fit on every phase."""

    id: Id
    """Name of the circuit."""
    parent: Id | None = None
    """Circuit that feeds this one; only the grid connection has none."""
    voltage_v: Positive | None = None
    """Line-to-neutral voltage; stated for the grid connection only, below it follows from the transformers."""
    rating_a: PerPhase | None = None
    """Continuous rating, one number or one for each phase; of a transformer, on its primary side."""
    rating_va: Positive | None = None
    """The same as apparent power of all three phases; instead of `rating_a`."""
    failsafe_a: PerPhase | None = None
    """Limit that holds when a grid limit was lost, and that all default profiles must fit; the rating if not given."""
    failsafe_va: NotNegative | None = None
    """The same as apparent power of all three phases; instead of `failsafe_a`."""
    uncontrolled_a: PerPhase = Phases(0.0, 0.0, 0.0)
    """Largest load on this very circuit that is not ours to control; the value on expiry of its meter."""
    meter: MeterKeys | None = None
    """The meter on this circuit, if it has one."""
    transformer: TransformerKeys | None = None
    """Set if the circuit is a transformer."""


class LoadKeys(Keys):
    """What an EVSE is; stated on a station it holds for each of its EVSEs that does not state its own."""

    wiring: Literal["1-phase", "3-phase", "line-to-line", "dc"] | None = None
    """How it hangs on the circuit: one phase and neutral, all three, between two lines (208 V), or a rectifier."""
    rotation: Rotations | None = None
    """Grid phases behind its own L1, L2, L3 (R, S, T are L1, L2, L3); an array is taken in turn by the ids."""
    min_a: NotNegative | None = None
    """Lowest current at which a car charges; 6 by IEC 61851."""
    max_a: Positive | None = None
    """Highest current."""
    default_a: NotNegative | None = None
    """Current of the default profile that the station keeps for itself; 0, or between `min_a` and `max_a`."""
    steps_a: list[NotNegative] | None = None
    """The only setpoints it can take, ascending from 0 over `min_a` to `max_a`; any between if not given."""
    efficiency: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """DC output per AC input of a rectifier; 1 if not given."""
    modules: Annotated[int, Field(ge=1)] | None = None
    """Power modules of a rectifier; each that is lost costs its share, half if nobody says how many there are."""
    bills: bool | None = None
    """Whether customers are billed by its own meter: then a failed meter blocks it."""
    connectors: list[Annotated[str, Field(min_length=1, max_length=20)]] | None = None
    """Types of its plugs and sockets by the names of OCPP 2.0.1, e.g. `sType2`, `cType1`, `cCCS2`."""


class EvseKeys(LoadKeys):
    """One EVSE of the station: what it has otherwise than the station says; `{}` if nothing."""

    number: Annotated[int, Field(ge=1)] | None = None
    """OCPP number (2.x evseId, 1.6 connectorId); counted from 1 if not given."""


class ChargingKeys(Keys):
    """How OCPP stations take limits, where it is known; what is not stated is learnt by asking and trying."""

    way: Literal["TxProfile", "TxDefaultProfile", "ChargePointMaxProfile", "DataTransfer", "key", "stop"] | None = None
    """By what they are told a limit; `stop` is for stations that can only stop. The last three have no end."""
    unit: Literal["A", "W"] | None = None
    """Unit that they take."""
    kind: Literal["Absolute", "Relative", "Dynamic"] | None = None
    """Kind of schedule that they take; a Relative one has no end that all stations agree on, a Dynamic one (2.1) is \
updated instead of written anew and ends when the station is offline."""
    stack_level: Annotated[int, Field(ge=0)] = _CHARGING.stack_level
    """Stack level of every profile."""
    pause: Literal["zero", "stop", "never-stop"] = _CHARGING.pause.value
    """How a car is made to pause: by 0 A (refused, by stopping), by stopping its transaction, or by 0 A only."""
    interval_s: NotNegative = _CHARGING.interval_s
    """Least time between two raises, for the station's flash; lowering never waits."""
    watts_phases: Annotated[int, Field(ge=1, le=3)] | None = None
    """By how many phases the station divides watts; if not given, by as many as the car was measured to use."""
    command: str | None = None
    """With `DataTransfer` vendorId/messageId, e.g. `ABL/SetLimit`; with `key` its name, e.g. `PowerLimit`."""
    value: str | None = None
    """What is sent with `command`: `{a}` stands for whole amperes, `{w}` for watts."""


class StationKeys(LoadKeys):
    """One or many stations of the same make on the same circuit; it also takes every key of an EVSE.

    An EVSE has the id of its station, or `id/number` where the station has several.
    """

    ids: Ids
    """OCPP identities; `yard-{01..12}` stands for twelve."""
    circuit: Id
    """Circuit that feeds them; of a transformer, its secondary side."""
    control: Literal["ocpp", "mqtt"] = "ocpp"
    """The way they take setpoints."""
    rating_a: Positive | None = None
    """Rating per phase of the supply that the EVSEs of one station share; none where each has its own."""
    password_file: str | None = None
    """File with the hash of the OCPP Basic password, relative to the site file; `{id}` in it is the station's id. \
`smartcharge secret` makes it."""
    upstream: str | None = None
    """Another back-end than that of `[ocpp]`; `none` for none."""
    charging: ChargingKeys | None = None
    """How they take limits, as far as it is known."""
    evses: Annotated[list[EvseKeys], Field(min_length=1)] | None = None
    """Its EVSEs; one that is as the station says if not given."""


class SiteFile(Keys):
    """A site of smartcharge: the tree of circuits, the stations on it, and how it is run."""

    site: SiteKeys
    timing: TimingKeys = TimingKeys()
    money: MoneyKeys = MoneyKeys()
    limits: LimitsKeys = LimitsKeys()
    grid: list[GridKeys] = []
    mqtt: MqttKeys | None = None
    http: HttpKeys | None = None
    ocpp: OcppKeys = OcppKeys()
    store: StoreKeys = StoreKeys()
    maintenance: MaintenanceKeys = MaintenanceKeys()
    faults: FaultsKeys = FaultsKeys()
    circuits: Annotated[list[CircuitKeys], Field(min_length=1)]
    stations: Annotated[list[StationKeys], Field(min_length=1)]


class GroupKeys(Keys):
    """Sites that share one limit: this file runs their coordinator, and no stations of its own."""

    id: Id
    """Name of the group in topics and records."""
    name: str
    """Name of the group for people."""
    timezone: Timezone
    """Local time, from the IANA database, e.g. `Europe/Amsterdam`."""
    limit_w: Positive
    """What the sites may draw together where no operator asks for less."""
    lease_s: Annotated[float, Field(ge=10.0)] = Group(limit_w=0.0, members=()).lease_s
    """Life of a share; sites ask four times in it."""
    margin_s: NotNegative = Group(limit_w=0.0, members=()).margin_s
    """How much slower than ours a site's clock may run within that time."""


class MemberKeys(Keys):
    """A site of the group; its own file has a `[[grid]]` with protocol `group`."""

    id: Id
    """Id of its site file."""
    safe_w: NotNegative
    """Its safe share, as its own `failsafe_w` says: what it may draw when the coordinator is not heard."""
    weight: Positive = Member(id="", safe_w=0.0).weight
    """Its part where not all that is wanted is there, relative to the others."""
    linger_s: NotNegative = Member(id="", safe_w=0.0).linger_s
    """How long its stations may go on as they were told when its controller dies; what it says itself if longer."""


class GroupFile(Keys):
    """A group of sites: their limit, who may lower it, and how it is shared."""

    group: GroupKeys
    members: Annotated[list[MemberKeys], Field(min_length=1)]
    grid: list[GridKeys] = []
    mqtt: MqttKeys
    http: HttpKeys | None = None
    store: StoreKeys = StoreKeys()
