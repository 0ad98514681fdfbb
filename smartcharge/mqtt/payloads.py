"""Every JSON payload as a model: the single source of the checks, the JSON Schemas and the examples."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from smartcharge.control.health.rules import RULES
from smartcharge.faults import Cause
from smartcharge.model import Phases
from smartcharge.words.base import Amps, Payload, PhaseCurrents, Time
from smartcharge.words.limits import GridFailsafe, GridHeartbeat, GridLimit, LimitAnswer, LpcLimit, RelayContact
from smartcharge.words.shares import Share, ShareNeed


def _read_cause(value: object) -> object:
    known = {cause.value for cause in Cause}
    if value not in known:
        raise ValueError(f"must be one of {', '.join(sorted(known))}")
    return value


_CAUSES = Annotated[
    str, BeforeValidator(_read_cause), Field(json_schema_extra={"enum": [cause.value for cause in Cause]})
]


class SignedPhaseCurrents(Payload):
    """One measured current for each phase [A]; negative where it flows towards the grid."""

    l1: float
    l2: float
    l3: float

    def phases(self) -> Phases:
        """Return the same as the model's own type."""
        return Phases(self.l1, self.l2, self.l3)


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


class FaultDecision(Payload):
    """What a person decides about a fault of an EVSE.

    ``release`` ends a derate that is no latch, ``force`` derates until released, ``mute`` lets a fault that does not
    concern safety pass until a time, ``acknowledge`` says that somebody knows.
    """

    id: str | None = Field(default=None, max_length=200, description="Repeated in the acknowledgement.")
    kind: Literal["release", "force", "mute", "acknowledge"]
    cause: _CAUSES
    author: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1000)
    limit_a: Amps | None = Field(default=None, description="Of a forced derate [A]; 0 if not given.")
    until: Time | None = Field(default=None, description="End of a mute; a day if not given.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.limit_a is not None and self.kind != "force":
            raise ValueError("limit_a belongs to force")
        if self.until is not None and self.kind != "mute":
            raise ValueError("until belongs to mute")
        if self.kind == "mute" and RULES[Cause(self.cause)].is_safety:
            raise ValueError(f"{self.cause} concerns safety and cannot be muted")
        return self


class FaultDecisionReceived(Payload):
    """The acknowledgement that a decision is in the journal."""

    id: str | None
    received_at: Time


class Work(Payload):
    """What somebody says of a work order: that he does it, began, waits, what was found, that it is mended, or done."""

    id: str | None = Field(default=None, max_length=200, description="Repeated in the acknowledgement.")
    work: Literal["take", "start", "hold", "note", "repaired", "complete"]
    author: str = Field(min_length=1, max_length=200)
    text: str = Field(default="", max_length=5000)
    parts: list[str] = Field(default=[], max_length=100, description="That it took, with note or repaired.")
    signature: str = Field(default="", max_length=200, description="With complete.")
    done: list[str] = Field(default=[], max_length=200, description="Points of its checklist, with complete.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.parts and self.work not in ("note", "repaired"):
            raise ValueError("parts belong to note or repaired")
        if (self.signature or self.done) and self.work != "complete":
            raise ValueError("signature and done belong to complete")
        if self.work == "complete" and not self.signature.strip():
            raise ValueError("complete takes a signature")
        return self


class WorkReceived(Payload):
    """The acknowledgement that what was said of a work order is written down."""

    order: int
    id: str | None
    received_at: Time


class WorkOrderSaid(Payload):
    """A work order as it stands, by the fields that maintenance systems share; times in s since 1970."""

    line: int = Field(description="Counts up with every change of any work order.")
    number: int
    status: Literal["OPEN", "IN_PROGRESS", "ON_HOLD", "COMPLETE"]
    title: str
    priority: Literal["P1", "P2", "P3"]
    category: Literal["reactive", "preventive", "requested"]
    location: str
    asset: str
    cause: str | None
    raised_s: float
    due_s: float
    estimated_s: float
    team: str | None
    assignees: list[str]
    parent_request: str | None
    parent_plan: str | None
    recurrences: int
    parts: list[str]
    repaired_s: float | None
    planned_since_s: float | None = Field(description="When it is to be done, if somebody said.")
    planned_until_s: float | None
    risk_wh: float | None = Field(description="Energy that drivers may miss because of it [Wh].")
    checklist: list[str]
    completed_s: float | None
    completed_by: str | None
    signature: str | None
    feedback: str | None
    evidence: list[int]
    compliant: bool | None
    audit: list[dict[str, object]]


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


class OperatorSaid(Payload):
    """What is thought of one grid operator."""

    state: Literal["init", "controlled", "limited", "failsafe", "autonomous"]
    failsafe_w: float | None = Field(description="What holds while it is not heard, total of all phases [W].")
    alerts: list[str] = Field(description="What it warns of now, e.g. ALERT_GRID_EMERGENCY: all cars off.")


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
    export_w: dict[str, float] = Field(description="By circuit, what may be fed into the grid [W], where limited.")
    operators: dict[str, OperatorSaid]
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
    "fault order": FaultDecision,
    "work": Work,
    "prices": Prices,
    "boot": Boot,
    "status": EvseStatus,
    "evse meter": EvseReading,
    "ack": CommandAnswer,
    "share need": ShareNeed,
    "share": Share,
    "command": Command,
    "limit received": LimitReceived,
    "limit answer": LimitAnswer,
    "fault order received": FaultDecisionReceived,
    "work order": WorkOrderSaid,
    "work received": WorkReceived,
    "errors": Refusal,
    "setpoint": SetpointSaid,
    "state": SiteState,
    "plan": PlanSaid,
}
"""The model of each kind of topic; both kinds of availability are the plain words online and offline."""
