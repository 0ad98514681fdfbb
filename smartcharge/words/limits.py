"""What grid operators say, and what they are answered."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from smartcharge.words.base import Payload, PhaseCurrents, Time


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


class LimitAnswer(Payload):
    """What became of a limit of an operator that the site file tells of (``[[grid]]``)."""

    id: str | None
    at: Time
    status: Literal["received", "applied", "cannot comply", "refused"]
    reason: str | None = Field(description="Why it cannot be met, or was refused.")
    is_below_floor: bool = Field(description="Whether it is less than section 14a EnWG guarantees.")
