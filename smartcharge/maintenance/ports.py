"""What is looked after: the charging ports of a site, as figures and work orders name them."""

from __future__ import annotations

from dataclasses import dataclass

from smartcharge.codec import Record, parsed, plain, text
from smartcharge.model import EvseId, Site, StationId, Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A charging port (23 CFR 680.104): what charges one car at a time; an OCPP EVSE."""

    evse: EvseId
    station: StationId
    min_a: float
    """Below this [A] no car charges: a cap under it is an outage."""
    max_a: float = 0.0
    """Highest AC current [A per phase]."""
    phases: int = 3
    max_w: float = 0.0
    """Highest power that it delivers [W], DC behind a rectifier."""
    is_dc: bool = False
    connectors: tuple[str, ...] = ()
    """OCPP 2.0.1 ConnectorEnumType of its plugs and sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A site as figures name it."""

    id: str
    name: str
    timezone: str
    ports: tuple[Port, ...]

    @classmethod
    def read(cls, body: str) -> Place:
        """Return a site as `written` wrote it; raises StoreError."""
        found: Place = Record.of(cls).decode(parsed("site", body))
        return found

    def written(self) -> str:
        """Return it as JSON text."""
        return text(plain(self))

    @classmethod
    def of(cls, site: Site) -> Place:
        """Return the ports of a site."""
        ports = (
            Port(
                evse=evse.id,
                station=evse.station,
                min_a=evse.min_a,
                max_a=evse.max_a,
                phases=evse.phase_count,
                max_w=evse.max_w * evse.efficiency,
                is_dc=evse.wiring is Wiring.DC,
                connectors=tuple(connector.type for connector in evse.connectors),
            )
            for evse in site.evses
        )
        return cls(id=site.id, name=site.name, timezone=site.timezone, ports=tuple(ports))
