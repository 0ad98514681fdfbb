"""Every JSON payload as a model: the single source of the checks, the JSON Schemas and the examples.

Units are in the names, a missing value is null or absent and never 0, an unknown key is refused, and
every time carries its offset (RFC 3339); what we write is in UTC.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from smartcharge.errors import SourceError
from smartcharge.model import Phases

_WRITTEN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _read_time(value: object) -> object:
    # Left alone, pydantic would read "1748736000" as a time.
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _WRITTEN_TIME.fullmatch(value):
        raise ValueError("must be an ISO 8601 time with its offset, e.g. 2025-06-01T12:00:00Z")
    return datetime.fromisoformat(value)


Time = Annotated[AwareDatetime, BeforeValidator(_read_time)]
Amps = Annotated[float, Field(ge=0.0)]


class PayloadError(SourceError):
    """What was said is not believed; nothing changes because of it."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {reason}" if field else reason for field, reason in faults))
        self.faults = faults
        """Field (dotted path, or empty for the whole) and reason of each fault."""


class Payload(BaseModel):
    """What every payload has in common: strict types, no unknown keys, finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PhaseCurrents(Payload):
    """One current for each phase [A]."""

    l1: Amps
    l2: Amps
    l3: Amps

    def phases(self) -> Phases:
        """Return the same as the model's own type."""
        return Phases(self.l1, self.l2, self.l3)


class SignedPhaseCurrents(Payload):
    """One measured current for each phase [A]; negative where it flows towards the grid."""

    l1: float
    l2: float
    l3: float

    def phases(self) -> Phases:
        """Return the same as the model's own type."""
        return Phases(self.l1, self.l2, self.l3)


class GridLimit(Payload):
    """A limit on a circuit, or the word that it is lifted.

    The newest from one source on one circuit replaces the one before.  Without ``valid_until`` it
    holds until replaced if its source has a heartbeat (``[[grid]]`` in the site file); else it ages by
    the site's staleness policy, counted from ``issued_at``.
    """

    id: str | None = Field(default=None, max_length=200, description="Repeated in the acknowledgement.")
    issued_at: Time
    current_a: PhaseCurrents | None = None
    power_w: Annotated[float, Field(ge=0.0)] | None = Field(default=None, description="Total of all phases [W].")
    start_at: Time | None = Field(default=None, description="From when on it holds; at once if not given.")
    valid_until: Time | None = None
    scope: Literal["site", "loads"] = Field(
        default="site", description="All that flows through the circuit, or the stations below it alone."
    )
    direction: Literal["import", "export"] = "import"
    lifted: bool = Field(default=False, description="True says that this source limits the circuit no longer.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        has_limit = self.current_a is not None or self.power_w is not None
        if self.lifted == (has_limit or self.valid_until is not None):
            raise ValueError("give current_a, power_w or both; or lifted alone")
        if self.start_at is not None and self.valid_until is not None and self.valid_until <= self.start_at:
            raise ValueError("valid_until must be after start_at")
        return self


class GridHeartbeat(Payload):
    """A grid operator is there; to be said more often than the ``heartbeat_s`` of its ``[[grid]]``."""

    sent_at: Time


class GridFailsafe(Payload):
    """What a grid operator wants to hold while it is not heard; it replaces what the site file says (EEBUS LPC)."""

    power_w: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None, description="LPC failsafeConsumptionActivePowerLimit, total of all phases [W]."
    )
    duration_s: Annotated[float, Field(ge=7200.0, le=86400.0)] | None = Field(
        default=None, description="LPC failsafeDurationMinimum, 2 to 24 h [s]."
    )


class LpcLimit(Payload):
    """The active power consumption limit of EEBUS LPC; without a duration it holds until it is replaced."""

    id: str | None = Field(default=None, max_length=200, description="Repeated in the answers.")
    issued_at: Time
    is_limit_active: bool
    value_w: Annotated[float, Field(ge=0.0)] = Field(description="Total of all phases [W]; 0 means no consumption.")
    duration_s: Annotated[float, Field(gt=0.0)] | None = Field(default=None, description="From issued_at on [s].")


class RelayContact(Payload):
    """A ripple control contact: closed, the failsafe value of its ``[[grid]]`` holds; each message is a heartbeat."""

    closed: bool


class CircuitReading(Payload):
    """What the meter of a circuit measured: everything that flows through it."""

    measured_at: Time
    current_a: SignedPhaseCurrents


class CarNeed(Payload):
    """What the car at an EVSE needs; what is absent says nothing."""

    energy_wh: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None, description="Energy wanted in all since it was plugged in [Wh]."
    )
    depart_at: Time | None = None
    priority: int | None = Field(default=None, description="Higher goes first; 0 is usual.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.energy_wh is None and self.depart_at is None and self.priority is None:
            raise ValueError("give energy_wh, depart_at or priority")
        return self


class Order(Payload):
    """A person caps an EVSE, or lifts the cap with ``limit_a`` null."""

    limit_a: Amps | None
    author: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1000)


class Prices(Payload):
    """Prices of energy, one every ``step_s`` from ``start_at`` on; they may be negative."""

    start_at: Time
    step_s: float = Field(gt=0.0)
    per_kwh: list[float] = Field(min_length=1, max_length=10_000, description="In the site's currency.")


class Boot(Payload):
    """A station says that it has just started and what it is."""

    vendor: str | None = Field(default=None, max_length=200)
    model: str | None = Field(default=None, max_length=200)
    firmware: str | None = Field(default=None, max_length=200)
    serial: str | None = Field(default=None, max_length=200)


class EvseStatus(Payload):
    """Whether a car is connected to an EVSE of a station that is commanded over MQTT, and what it does."""

    plugged: bool
    transaction_id: str | None = Field(default=None, min_length=1, max_length=200)
    charging: Literal["Charging", "SuspendedEV", "SuspendedEVSE", "Idle", "EVConnected"] | None = Field(
        default=None, description="OCPP 2.0.1 ChargingStateEnumType."
    )
    energy_wh: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None, description="The meter's register at this moment [Wh]."
    )
    faults: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=[], max_length=20, description="Codes of what is wrong now, e.g. GroundFailure (OCPP 1.6)."
    )

    @model_validator(mode="after")
    def _needs_a_car(self) -> Self:
        if not self.plugged and (self.transaction_id is not None or self.charging is not None):
            raise ValueError("transaction_id and charging need a plugged car")
        return self


class EvseReading(Payload):
    """What an EVSE of a station that is commanded over MQTT measured; every value may be missing."""

    measured_at: Time
    current_a: PhaseCurrents | None = Field(default=None, description="On the EVSE's own L1, L2, L3.")
    power_w: Annotated[float, Field(ge=0.0)] | None = None
    energy_wh: Annotated[float, Field(ge=0.0)] | None = Field(default=None, description="The meter's register [Wh].")
    soc: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(default=None, description="State of charge, 0 to 1.")


class CommandAnswer(Payload):
    """A station's answer to one command."""

    command_id: int = Field(ge=0)
    accepted: bool
    reason: str | None = Field(default=None, max_length=1000, description="Why not.")


class Command(Payload):
    """A limit for one EVSE of a station that is commanded over MQTT."""

    command_id: int
    kind: Literal["default", "transaction"]
    limit_a: float
    issued_at: Time
    expires_at: Time | None = Field(description="From then on the default applies; null for the default itself.")
    transaction_id: str | None


class LimitReceived(Payload):
    """The acknowledgement that a limit is known to the controller; what is in force stands in the state."""

    id: str | None
    received_at: Time


class LimitAnswer(Payload):
    """What became of a limit of an operator that the site file tells of (``[[grid]]``)."""

    id: str | None
    at: Time
    status: Literal["received", "applied", "cannot comply", "refused"]
    reason: str | None = Field(description="Why it cannot be met, or was refused.")
    is_below_floor: bool = Field(description="Whether it is less than section 14a EnWG guarantees.")


class Refusal(Payload):
    """Why something that was said was not believed: nothing has changed because of it."""

    at: Time
    topic: str
    field: str = Field(description="Dotted path of the key; empty for the payload as a whole.")
    reason: str


class SetpointSaid(Payload):
    """What an EVSE may draw, and why it is not more."""

    at: Time
    limit_a: float
    reason: str


class LineLimit(Payload):
    """The limit in force on one line, and who set it."""

    line: str = Field(description='E.g. "main L2" or "main total".')
    limit_a: float | None = Field(description="Null where nothing limits it.")
    other_a: float = Field(description="Load beside the cars [A].")
    source: str


class EvseSaid(Payload):
    """What is known of one EVSE."""

    is_online: bool
    is_occupied: bool | None = Field(description="Null while unknown.")
    transaction_id: str | None
    plugged_at: Time | None
    depart_at: Time | None
    energy_wh: float | None = Field(description="Energy wanted in all [Wh]; null while nobody said.")
    delivered_wh: float | None
    current_a: SignedPhaseCurrents | None
    power_w: float | None
    soc: float | None
    order_a: float | None = Field(description="Cap ordered by a person [A].")
    faults: list[str]


class SiteState(Payload):
    """What is known of the whole site."""

    at: Time
    lines: list[LineLimit]
    evses: dict[str, EvseSaid]
    lost_meters: list[str] = Field(description="Circuits whose meter is not believed: the declared worst is taken.")
    troubles: dict[str, str] = Field(description="Sources that failed and are about to be started again, and why.")


class PlanSaid(Payload):
    """The newest plan: the current of each session, slot by slot."""

    made_at: Time
    edges: list[Time] = Field(description="Boundaries of the slots, one more than there are slots.")
    current_a: dict[str, list[float]] = Field(description="By EVSE, one value for each slot [A].")
    shortfall_wh: dict[str, float] = Field(description="By EVSE, energy wanted that will not be delivered [Wh].")
    outcome: str
    solver: str
    solve_s: float


PAYLOADS: dict[str, type[Payload]] = {
    "limit": GridLimit,
    "grid heartbeat": GridHeartbeat,
    "grid failsafe": GridFailsafe,
    "lpc limit": LpcLimit,
    "relay": RelayContact,
    "circuit meter": CircuitReading,
    "need": CarNeed,
    "order": Order,
    "prices": Prices,
    "boot": Boot,
    "status": EvseStatus,
    "evse meter": EvseReading,
    "ack": CommandAnswer,
    "command": Command,
    "limit received": LimitReceived,
    "limit answer": LimitAnswer,
    "errors": Refusal,
    "setpoint": SetpointSaid,
    "state": SiteState,
    "plan": PlanSaid,
}
"""The model of each kind of topic; both kinds of availability are the plain words online and offline."""
