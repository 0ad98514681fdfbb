"""What the OCPP versions have in common for a server: translation, and what is remembered of a station."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from smartcharge.csms.authority import Authority, Verdict
from smartcharge.csms.device_model import DeviceModel
from smartcharge.csms.frames import CallReceived, ErrorCode, SendReceived, clip
from smartcharge.csms.metering import Meters, finite
from smartcharge.csms.requests import WriteSetting
from smartcharge.csms.schemas import parse_time_s
from smartcharge.csms.signing import Signer
from smartcharge.csms.strategy import Forms
from smartcharge.csms.transfers import Handler
from smartcharge.errors import ProtocolViolation, Refused
from smartcharge.events import (
    Event,
    FaultCleared,
    FaultRaised,
    FirmwareReported,
    LogReported,
    Metered,
    SecurityReported,
    StationBooted,
    StationLearnt,
)
from smartcharge.model import Evse, EvseId, Station, Timing
from smartcharge.orders import DeliverCertificate, GetLocalListVersion, Message, SendLocalList, SetPoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from smartcharge.csms.metering import Sample
    from smartcharge.csms.requests import Request
    from smartcharge.csms.schemas import Payload, Version

logger = logging.getLogger(__name__)

Make: TypeAlias = tuple[str | None, str | None, str | None]
"""Vendor, model and firmware."""
_REMEMBERED_TRANSACTIONS = 256
UNNAMED = "-1"
"""What some stations call a transaction whose number the server never told them."""
_LOG_STATUS_16 = {"UploadFailed": "UploadFailure"}
BASE_REPORT, MONITORING_REPORT = 1, 2
"""Request ids of the reports that are asked for after a boot."""
_OWN_CERTIFICATE = "ChargingStationCertificate"
LIST_CHUNK = 50
"""So many entries of a local list are sent in one message at most."""
DRAWS_A = 1.0
"""Below this [A] a phase carries a meter's noise."""
LIVE_S = 120.0
"""A sample older than this, or than two meter intervals, is not what flows now [s]."""


class CannotHandle(ProtocolViolation):
    """A call fits its schema but cannot be acted on; the station is told with a CALLERROR."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a station's call comes to: facts first, then, once they are stored, the reply."""

    reply: Payload
    events: tuple[Event, ...] = ()
    follow_up: tuple[Request, ...] = ()
    """What to ask the station because of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An action with its payload, ready for `Session.call`."""

    action: str
    payload: Payload


@dataclass(slots=True)
class Transaction:
    """A transaction that a station told of."""

    evse: EvseId
    is_over: bool = False
    seq_no: int | None = None
    """The highest that was heard (2.x)."""


@dataclass(slots=True, kw_only=True)
class Memory:
    """What is remembered of a station beyond one connection."""

    station: Station
    timing: Timing
    transactions: OrderedDict[str, Transaction] = field(default_factory=OrderedDict)
    faults: dict[EvseId, set[str]] = field(default_factory=dict)
    meters: Meters = field(default_factory=Meters)
    learnt: StationLearnt | None = None
    library: dict[Make, Forms] = field(default_factory=dict)
    """What was learnt of every make, shared by all stations."""
    forms: Forms = field(default_factory=Forms)
    make: Make | None = None
    """Vendor, model and firmware by its last boot; None before."""
    authority: Authority = field(default_factory=Authority)
    """Who may charge, shared by all stations."""
    has_backend: bool = False
    """Whether an operator's back-end decides while it is there."""
    signer: Signer | None = None
    """Signs certificates for stations; None leaves that to others."""
    transfers: Mapping[str, Handler] = field(default_factory=dict)
    """What reads the DataTransfer of vendors, by vendorId."""
    model: DeviceModel = field(default_factory=DeviceModel)
    """What it told of itself (2.x)."""
    serial: str | None = None
    limits_a: dict[EvseId, float] = field(default_factory=dict)
    """The limit [A] of a transaction that each EVSE accepted last."""
    set_points: dict[EvseId, SetPoint] = field(default_factory=dict)
    """What cars that can give shall draw (2.1)."""
    list_chunk: int | None = None
    """So many entries of a local list it takes in one message; None while it did not say."""
    phases: dict[EvseId, int] = field(default_factory=dict)
    """Phases that the car of a transaction was measured to use; missing while unknown."""

    def booted(self, boot: StationBooted) -> None:
        """Take up what was learnt of other stations of the same vendor, model and firmware."""
        make = (boot.vendor, boot.model, boot.firmware)
        self.serial = boot.serial
        if make != self.make:
            self.make, self.forms, self.model = make, Forms.hinted(self.library.get(make)), self.model.anew()

    def judged(self, token: str, at_s: float, kind: str | None = None) -> Verdict:
        """Return our own answer about a token."""
        return self.authority.judge(token, at_s, kind=kind, has_backend=self.has_backend)

    def signed(self, payload: Payload, now_s: float) -> Answer:
        """Answer a SignCertificate of any version: what we sign follows as CertificateSigned.

        With a back-end it is that one's to sign; certificates for plug and charge are no site's to give.
        """
        kind = payload.get("certificateType", _OWN_CERTIFICATE)
        if self.signer is None or self.has_backend or kind != _OWN_CERTIFICATE:
            return Answer(reply={"status": "Rejected"})
        names = frozenset(name for name in (self.station.id, self.serial) if name)
        try:
            chain = self.signer.sign(payload["csr"], self.station.id, names, now_s)
        except Refused as error:
            logger.warning("%s: no certificate: %s", self.station.id, clip(str(error), 200))
            return Answer(reply={"status": "Rejected"})
        logger.info("%s: gets a new certificate", self.station.id)
        delivery = DeliverCertificate(chain=chain, request_id=payload.get("requestId"))
        return Answer(reply={"status": "Accepted"}, follow_up=(delivery,))

    def can_hold(self, max_profiles: int, now_s: float) -> Iterator[Event]:
        """Yield the news that a station holds so many charging profiles."""
        known = self.learnt or StationLearnt(at_s=now_s, station=self.station.id)
        if known.max_profiles != max_profiles:
            self.learnt = replace(known, at_s=now_s, max_profiles=max_profiles)
            yield self.learnt

    def report_requests(self) -> tuple[Request, ...]:
        """Return what is asked of a 2.x station that did not tell its device model yet."""
        if self.model.variables:
            return ()
        base = {"requestId": BASE_REPORT, "reportBase": "FullInventory"}
        return (
            Message(action="GetBaseReport", payload=base),
            Message(action="GetMonitoringReport", payload={"requestId": MONITORING_REPORT}),
        )

    def list_requests(self, enabling: str) -> tuple[Request, ...]:
        """Return what is asked of a station that is to keep the site's list of tokens."""
        if not self.authority.policy.sends_list:
            return ()
        return (WriteSetting(name=enabling, value="true"), GetLocalListVersion())

    def local_list(self, *, max_token: int) -> tuple[Request, ...]:
        """Return the site's list in messages as large as the station takes, for tokens of so many characters."""
        policy, version = self.authority.policy, self.authority.version
        entries = [entry for entry in policy.tokens if len(entry.id_token) <= max_token]
        size = max(1, min(self.list_chunk or LIST_CHUNK, LIST_CHUNK))
        chunks = [tuple(entries[i : i + size]) for i in range(0, len(entries), size)] or [()]
        return tuple(SendLocalList(version=version, entries=chunk, is_full=i == 0) for i, chunk in enumerate(chunks))

    def evse(self, number: int) -> Evse | None:
        """Return the EVSE of a number, or None (and a line in the log) if the site file has none."""
        found = next((evse for evse in self.station.evses if evse.number == number), None)
        if found is None and number != 0:
            logger.warning("%s: EVSE %d is not in the site file", self.station.id, number)
        return found

    def needed_evse(self, number: int) -> Evse:
        """Return the EVSE of a number; raises CannotHandle if the site file has none."""
        evse = self.evse(number)
        if evse is None:
            raise CannotHandle(ErrorCode.PROPERTY, f"connector or EVSE {number} is not known here")
        return evse

    def number_of(self, evse: EvseId) -> int:
        """Return the OCPP number of an EVSE; raises Refused if it is not one of this station."""
        found = next((e.number for e in self.station.evses if e.id == evse), None)
        if found is None:
            raise Refused(f"{self.station.id} has no EVSE {evse}")
        return found

    def evse_of(self, transaction_id: str) -> EvseId | None:
        """Return where a transaction runs or ran; a station with one EVSE leaves no doubt."""
        if transaction_id in self.transactions:
            return self.transactions[transaction_id].evse
        return self.station.evses[0].id if len(self.station.evses) == 1 else None

    def remember(self, transaction_id: str, evse: EvseId, *, is_over: bool = False) -> None:
        """Note that a transaction runs, or is over, on an EVSE."""
        if is_over:
            self.phases.pop(evse, None)  # the next car may be another
            self.limits_a.pop(evse, None)
            self.set_points.pop(evse, None)
        known = self.transactions.get(transaction_id)
        seq_no = None if known is None else known.seq_no
        self.transactions[transaction_id] = Transaction(evse=evse, is_over=is_over, seq_no=seq_no)
        self.transactions.move_to_end(transaction_id)
        if len(self.transactions) > _REMEMBERED_TRANSACTIONS:
            self.transactions.popitem(last=False)

    def named(self, transaction_id: str) -> str:
        """Return a transaction's id; -1 of a station that began it offline is the only one that runs (libocpp #495)."""
        running = [name for name, transaction in self.transactions.items() if not transaction.is_over]
        return running[0] if transaction_id == UNNAMED and len(running) == 1 else transaction_id

    def note_seq_no(self, transaction_id: str, seq_no: int) -> None:
        """Log messages of a transaction that are missing before this one (2.0.1 E01.FR.07)."""
        transaction = self.transactions.get(transaction_id)
        if transaction is None:
            return
        if transaction.seq_no is not None and seq_no > transaction.seq_no + 1:
            missing = f"{transaction.seq_no + 1} to {seq_no - 1}"
            logger.warning("%s: messages %s of a transaction are missing", self.station.id, missing)
        transaction.seq_no = seq_no if transaction.seq_no is None else max(seq_no, transaction.seq_no)

    def begin(self, transaction_id: str, evse: EvseId) -> None:
        """Note that a transaction began: with a car of which nothing is known, unless the message is a repeated one."""
        if transaction_id not in self.transactions:
            self.phases.pop(evse, None)
        self.remember(transaction_id, evse)

    def is_over(self, transaction_id: str) -> bool:
        """Tell whether a transaction was seen to end."""
        transaction = self.transactions.get(transaction_id)
        return transaction is not None and transaction.is_over

    def is_live(self, taken_s: float, now_s: float) -> bool:
        """Tell whether a sample shows what flows now, rather than what was queued while offline."""
        return now_s - taken_s <= max(LIVE_S, 2.0 * self.timing.meter_interval_s)

    def faults_now(self, evse: EvseId, fault: FaultRaised | None, now_s: float) -> Iterator[Event]:
        """Yield what changed: a station has one fault on a connector, the newest replaces the last."""
        known = self.faults.setdefault(evse, set())
        for code in sorted(known - ({fault.code} if fault else set())):
            known.discard(code)
            yield FaultCleared(at_s=now_s, evse=evse, code=code)
        if fault is not None:
            known.add(fault.code)
            yield fault

    def firmware_reported(self, payload: Payload, now_s: float) -> FirmwareReported:
        """Return what any version's FirmwareStatusNotification tells."""
        of = payload.get("requestId")
        return FirmwareReported(at_s=now_s, station=self.station.id, status=payload["status"], request_id=of)

    def log_reported(self, payload: Payload, now_s: float) -> LogReported:
        """Return what a LogStatusNotification, or the DiagnosticsStatusNotification of 1.6, tells."""
        status: str = payload["status"]
        of = payload.get("requestId")
        return LogReported(
            at_s=now_s, station=self.station.id, status=_LOG_STATUS_16.get(status, status), request_id=of
        )

    def security_reported(self, payload: Payload, now_s: float) -> SecurityReported:
        """Return what any version's SecurityEventNotification tells."""
        detail = payload.get("techInfo", "")
        return SecurityReported(at_s=now_s, station=self.station.id, kind=payload["type"], detail=detail)

    def readings(
        self, evse: Evse, moments: Iterable[tuple[float, list[Sample]]], now_s: float, *, is_offline: bool = False
    ) -> tuple[Metered, ...]:
        """Return the readings of an EVSE from samples by the time they were taken [s since 1970]."""
        found: list[Metered] = []
        for taken_s, samples in moments:
            is_live = not is_offline and self.is_live(taken_s, now_s)
            reading = self.meters.read(evse, samples, taken_s=taken_s, now_s=now_s, is_live=is_live)
            found += [] if reading is None else [reading]
            self._see_phases(evse, reading)
        return tuple(found)

    def _see_phases(self, evse: Evse, reading: Metered | None) -> None:
        """Note on how many phases a car draws, as long as it draws: watts are shared by them."""
        if reading is None or reading.current_a is None:
            return
        count = sum(amps >= DRAWS_A for amps in reading.current_a[: evse.phase_count])
        if count:
            self.phases[evse.id] = max(count, self.phases.get(evse.id, 0))


class Dialect(Protocol):
    """One OCPP version, seen from the server: translation only, no connection."""

    version: Version
    max_token: int
    """Characters of the longest token that it can say."""

    @property
    def handles(self) -> frozenset[str]:
        """Return the actions of stations that are understood."""

    @property
    def acknowledges(self) -> frozenset[str]:
        """Return those of them that are answered and have nothing in them for the controller."""

    async def translate(self, call: CallReceived | SendReceived, now_s: float) -> Answer:
        """Return what a station's call comes to; raises CannotHandle, or StoreError from the ledger."""

    def call(self, request: Request, now_s: float) -> Call:
        """Return a request as this version words it when sent now; raises Refused if it cannot."""

    def provisioning(self) -> tuple[Request, ...]:
        """Return what every station is asked after it came: first what it can do, then what it shall do."""

    def learnt(self, answer: Payload, now_s: float) -> StationLearnt:
        """Return what a station told of itself in answer to ReadSettings."""

    def has_transaction_id(self, transaction_id: str | None) -> bool:
        """Tell whether this version can name such a transaction in a profile."""


def time_or_now_s(text: str, now_s: float) -> float:
    """Return a station's timestamp [s since 1970], or now if it tells nothing."""
    time_s = parse_time_s(text)
    return now_s if time_s is None else time_s


def whole(text: str | None) -> int | None:
    """Return the whole number in a setting, or None if there is none."""
    number = finite(text)
    return None if number is None else int(number)
