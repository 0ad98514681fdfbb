"""What a site file settles: the site, and the adapters that it is run with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from smartcharge.csms.settings import OcppSettings
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.grid.openadr2b.settings import OpenAdr2bSettings
from smartcharge.grid.oscp.settings import OscpSettings
from smartcharge.grid.settings import HttpSettings
from smartcharge.model import Site
from smartcharge.mqtt.settings import GroupSettings, MqttSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where facts are written down."""

    url: str = "sqlite:///smartcharge.db"
    keep_days: float = 30.0
    """How far back the journal can be replayed, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceSettings:
    """Who hears of work orders, and where the site's facts are copied to."""

    webhook: str | None = None
    webhook_token: str | None = field(default=None, repr=False)
    network: str | None = None
    plans: Path | None = None
    self_test_s: float = 7 * 86400.0
    consenting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a site file says."""

    site: Site
    mqtt: MqttSettings | None
    """None where the file has no ``[mqtt]``: there is no broker."""
    ocpp: OcppSettings
    store: StoreSettings
    maintenance: MaintenanceSettings = MaintenanceSettings()
    http: HttpSettings | None = None
    """None where the file has no ``[http]``: there is no server."""
    openadr: tuple[OpenAdrSettings, ...] = ()
    openadr2b: tuple[OpenAdr2bSettings, ...] = ()
    oscp: tuple[OscpSettings, ...] = ()
    groups: tuple[GroupSettings, ...] = ()
    """Groups of sites that this one is in."""
