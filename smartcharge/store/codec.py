"""What the store writes as text: facts by the name of their class, and a state between them.

A state is written without the site that it is about and what follows from it.  Beside it stands a
fingerprint of every station: one that the site file describes otherwise since then is not the one
that was told its limits, and is taken up as after a reboot (`control.resume`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Final

from smartcharge.codec import Codec, Record, parsed, plain, text
from smartcharge.control.demand import Demand
from smartcharge.control.resume import resumed
from smartcharge.control.state import State, apply
from smartcharge.errors import StoreError
from smartcharge.events import Event, LimitSet
from smartcharge.model import Site

_EVENTS: Final[Codec[Event]] = Codec(Event, "an event")
encode, decode = _EVENTS.encode, _EVENTS.decode

_DERIVED: Final = frozenset({"site", "station_of", "topology"})
"""Fields of a state that the site file gives."""


def encode_state(state: State) -> str:
    """Return all that a state has learnt as ASCII JSON; raises StoreError for what has no JSON form."""
    learnt = {name: plain(getattr(state, name)) for name in _state().decoders}
    try:
        return text({"state": learnt, "stations": _fingerprints(state.site)})
    except (TypeError, ValueError) as error:
        raise StoreError(f"the state cannot be written down: {error}") from error


def decode_state(body: str, site: Site) -> State:
    """Return a state as `encode_state` wrote it, on the site as it is now; raises StoreError naming the field."""
    value = parsed("snapshot", body)
    if not isinstance(value, dict) or not isinstance(value.get("stations"), dict):
        raise StoreError("snapshot: expected an object with the state and its stations")
    learnt = _learnt(value.get("state"), State.initial(site))
    now = _fingerprints(site)
    return resumed(learnt, frozenset(s.id for s in site.stations if value["stations"].get(s.id) != now[s.id]))


def _learnt(value: object, state: State) -> State:
    """Return what was learnt; the first snapshots hold the last word of each grid operator, which is said again."""
    record = _state()
    if isinstance(value, dict) and "grid_limits" in value:
        value, record = dict(value), replace(record, required=record.required - {"sources"})
        for _, limit in value.pop("grid_limits"):
            state = apply(state, _limit().decode(limit))
    if isinstance(value, dict) and "peak_w" in value:  # the highest power, before metering periods were known
        value = dict(value)
        state = replace(state, demand=Demand(highest_w=float(value.pop("peak_w"))))
    return replace(state, **record.values(value))


@cache
def _limit() -> Record:
    return Record.of(LimitSet)


@cache
def _state() -> Record:
    return Record.of(State, without=_DERIVED)


def _fingerprints(site: Site) -> Mapping[str, str]:
    # The password is no part of a station's repr.
    return {station.id: sha256(repr(station).encode()).hexdigest() for station in site.stations}
