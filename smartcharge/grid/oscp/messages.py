"""The messages of OSCP 2.0 that we read and write (OSCP 2.0 specification, chapter 4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smartcharge.words.base import Time

ForecastType = Literal["CONSUMPTION", "GENERATION", "FALLBACK_CONSUMPTION", "FALLBACK_GENERATION", "OPTIMUM"]


class Message(BaseModel):
    """What every message has in common; keys that we do not know are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class VersionUrl(Message):
    """Where a version is spoken."""

    version: str
    base_url: str


class Register(Message):
    """Tell the token to be used from now on, and where."""

    token: str
    version_url: list[VersionUrl]


class Behaviour(Message):
    """What the other side is asked to do."""

    heartbeat_interval: Annotated[float, Field(gt=0.0)] | None = None
    measurement_configuration: list[Literal["CONTINUOUS", "INTERMITTENT"]] = []


class Handshake(Message):
    """Agree on behaviour; also its acknowledgement."""

    required_behaviour: Behaviour = Behaviour()


class Heartbeat(Message):
    """I am there, and shall count as gone at a time."""

    offline_mode_at: Time


class Block(Message):
    """So much capacity from a time to another."""

    capacity: Annotated[float, Field(ge=0.0)]
    phase: Literal["UNKNOWN", "ONE", "TWO", "THREE", "ALL"]
    unit: Literal["A", "W", "KW", "WH", "KWH"]
    start_time: Time
    end_time: Time

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Block:
        if self.end_time <= self.start_time:
            raise ValueError("end_time must be after start_time")
        if self.unit in ("WH", "KWH"):
            raise ValueError(f"a capacity in {self.unit} does not limit a current: A, W or KW")
        return self


class Forecast(Message):
    """The capacity of a group; it replaces the last of its type."""

    group_id: str
    type: ForecastType
    forecasted_blocks: list[Block] = Field(max_length=10_000)
