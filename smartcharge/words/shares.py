"""What a site and the coordinator of its group say to each other."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smartcharge.words.base import Payload

_Watts = Annotated[float, Field(ge=0.0)]


class ShareNeed(Payload):
    """A site says what it needs and what it holds itself to; it is answered by a share."""

    token: str = Field(min_length=1, max_length=64, description="Another one each time; the share repeats it.")
    wanted_w: _Watts = Field(description="What it would draw if the group did not limit it [W].")
    reserved_w: _Watts = Field(description="The most that it may be drawing now, whatever its stations do [W].")
    measured_w: float | None = Field(description="What flows now [W]; null if nothing tells.")
    limit_w: _Watts = Field(description="What it holds itself to now [W].")
    number: Annotated[int, Field(ge=0)] = Field(description="The newest share that it took; 0 for none.")
    is_lapsed: bool = Field(description="Whether it is at its safe share, and takes only a newer one.")
    safe_w: _Watts = Field(description="Its safe share by its own site file [W].")
    linger_s: _Watts = Field(description="How long its stations go on as they were told if its controller dies [s].")


class Share(Payload):
    """What a site may draw for a while, counted by its own clock from when it sent the need that this answers."""

    number: Annotated[int, Field(ge=1)] = Field(description="Higher than that of every share before, or a renewal.")
    limit_w: _Watts = Field(description="Total of all phases [W].")
    duration_s: Annotated[float, Field(gt=0.0)]
    answers: str = Field(description="The token of the need.")
