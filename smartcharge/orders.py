"""What a person or a programme may order of a station beside charging, in words that all OCPP versions share.

Names and meanings are those of OCPP 2.x; a version that words an order otherwise translates it, one that
does not have it refuses it.  Times are POSIX seconds (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from smartcharge.model import EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFirmware:
    """Fetch and install firmware; with a certificate and signature as SignedUpdateFirmware (2.0.1 L01)."""

    request_id: int
    """By which the station's FirmwareStatusNotification refers to this order."""
    location: str
    """URL of the file."""
    retrieve_at_s: float
    install_at_s: float | None = None
    retries: int | None = None
    retry_interval_s: int | None = None
    signing_certificate: str | None = None
    """PEM; given together with ``signature``."""
    signature: str | None = None
    """Base64."""


class LogKind(Enum):
    """Which log to upload (LogEnumType)."""

    DIAGNOSTICS = "DiagnosticsLog"
    SECURITY = "SecurityLog"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetLog:
    """Upload a log (2.0.1 N01, 1.6 security extension)."""

    request_id: int
    location: str
    """URL of the folder to upload to."""
    kind: LogKind = LogKind.DIAGNOSTICS
    oldest_s: float | None = None
    latest_s: float | None = None
    retries: int | None = None
    retry_interval_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDiagnostics:
    """Upload diagnostics in the way of 1.6 before its security extension (1.6 6.25)."""

    location: str
    oldest_s: float | None = None
    latest_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Restart a station, or one EVSE of it (2.x): at once, or when no transaction runs any more."""

    is_immediate: bool = False
    """1.6: Hard; else Soft, which ends transactions first."""
    evse: EvseId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAvailability:
    """Take a station or an EVSE in or out of service; one that charges follows when it is done."""

    is_operative: bool
    evse: EvseId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """Release the plug of a cable."""

    evse: EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearCache:
    """Forget which tokens were accepted before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """Who may charge while nobody can be asked; ``status`` None takes a token off the list."""

    id_token: str
    kind: str = "ISO14443"
    """IdTokenEnumType; 1.6 has none."""
    status: str | None = "Accepted"
    expires_s: float | None = None
    group: str | None = None
    """1.6 parentIdTag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLocalList:
    """Replace the local authorisation list, or change entries of it."""

    version: int
    entries: tuple[ListEntry, ...]
    is_full: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GetLocalListVersion:
    """Ask which local authorisation list a station has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Keep an EVSE free for somebody."""

    evse: EvseId
    reservation_id: int
    id_token: str
    expires_s: float
    kind: str = "ISO14443"
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReservation:
    """Give a reserved EVSE free again."""

    reservation_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """DataTransfer: what a vendor invented."""

    vendor_id: str
    message_id: str | None = None
    data: str | None = None


class RootUse(Enum):
    """What a root certificate is trusted for (2.0.1 InstallCertificateUseEnumType; 1.6 has the last two)."""

    V2G = "V2GRootCertificate"
    MO = "MORootCertificate"
    CSMS = "CSMSRootCertificate"
    MANUFACTURER = "ManufacturerRootCertificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallCertificate:
    """Add a root certificate."""

    use: RootUse
    certificate: str
    """PEM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCertificates:
    """Ask which root certificates of a use are installed."""

    use: RootUse


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteCertificate:
    """Remove a root certificate, named by its hashes as `ListCertificates` was answered."""

    hash_data: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverCertificate:
    """CertificateSigned: the certificate that a station asked for with SignCertificate."""

    chain: str
    """PEM, the station's own first."""
    request_id: int | None = None
    """2.1: of the SignCertificate that it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowMessage:
    """SetDisplayMessage (2.x O01): show a text on the station's display."""

    message_id: int
    text: str
    priority: str = "NormalCycle"
    """MessagePriorityEnumType: AlwaysFront, InFront, NormalCycle."""
    language: str | None = None
    transaction_id: str | None = None
    """Shown as long as this transaction runs; None until it is cleared, or its end."""
    ends_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearMessage:
    """ClearDisplayMessage (2.x O05)."""

    message_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TellCost:
    """CostUpdated (2.x I02): show a driver what the transaction costs so far."""

    transaction_id: str
    total_cost: float
    """In the currency of the station, taxes included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPoint:
    """What a car that can give shall draw, or give (2.1 Q01, CentralSetpoint); inside the limit that the site gives it.

    It rides in the profile of the running transaction, so that both are renewed together.
    """

    evse: EvseId
    power_w: float
    """At the outlet [W]; negative is what the car gives."""
    until_s: float
    discharge_limit_w: float | None = None
    """The most that it may give [W], positive; None is as much as the set-point asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Any message of the station's own version, word for word; its schema is checked before it leaves."""

    action: str
    payload: Mapping[str, Any]


Order: TypeAlias = (
    UpdateFirmware
    | GetLog
    | GetDiagnostics
    | Reset
    | ChangeAvailability
    | Unlock
    | ClearCache
    | SendLocalList
    | GetLocalListVersion
    | Reserve
    | CancelReservation
    | Transfer
    | InstallCertificate
    | ListCertificates
    | DeleteCertificate
    | DeliverCertificate
    | ShowMessage
    | ClearMessage
    | TellCost
    | SetPoint
    | Message
)
