"""How a simulated station takes firmware: it fetches, verifies, installs, restarts, and says how far it is.

Order and words are those of OCPP 2.0.1 L01 (FirmwareStatusEnumType) and of the 1.6 security whitepaper; plain 1.6 has
fewer of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from smartcharge.clock import now_s
from smartcharge.sim.ailments import SOUND, Ailment
from smartcharge.sim.station_timers import Timers

if TYPE_CHECKING:
    from smartcharge.sim.station import SimulatedStation

DOWNLOAD_S: Final = 120.0
INSTALL_S: Final = 60.0
REBOOT_S: Final = 2.0
"""From saying that it restarts to doing it [s]."""
WAIT_S: Final = 60.0
"""Before it looks again whether it is idle [s]."""
PLAIN: Final = frozenset(
    {"Downloading", "Downloaded", "DownloadFailed", "Installing", "Installed", "InstallationFailed"}
)
"""The statuses that 1.6 has without its security extension, beside Idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What stands at a URL."""

    version: str
    signature: str | None = None
    """The one that proves it; None where nobody signed it."""
    installs: bool = True
    ailment: Ailment = SOUND
    """What it makes of the hardware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareOrder:
    """What the server ordered."""

    location: str
    retrieve_at_s: float
    request_id: int | None = None
    """None in plain 1.6, which has none."""
    signature: str | None = None

    @property
    def is_plain(self) -> bool:
        """Tell whether it came as 1.6's UpdateFirmware."""
        return self.request_id is None


class Firmware:
    """What a station runs, and the update under way."""

    def __init__(self, station: SimulatedStation, timers: Timers) -> None:
        self._station = station
        self._timers = timers
        self.version = station.options.firmware
        self._ran: list[str] = []
        """What it ran before."""
        self._installed: tuple[FirmwareOrder, Release] | None = None
        """What is told after the restart."""

    def take(self, order: FirmwareOrder) -> None:
        """Begin when it is time; a new order replaces one under way."""
        wait_s = max(order.retrieve_at_s - now_s(), 0.0)
        if wait_s > 0.0:
            self._say(order, "DownloadScheduled")
        self._timers.arm("firmware", wait_s, partial(self._download, order))

    def booted(self) -> None:
        """Say after a restart what became of the update that asked for it."""
        installed, self._installed = self._installed, None
        if installed is not None:
            order, release = installed
            self._say(order, "Installed")
            for bay in self._station.bays.values():
                if bay.ailment != release.ailment:
                    self._station.set_ailment(bay.evse.id, release.ailment)

    def _download(self, order: FirmwareOrder) -> None:
        self._say(order, "Downloading")
        self._timers.arm("firmware", DOWNLOAD_S, partial(self._downloaded, order))

    def _downloaded(self, order: FirmwareOrder) -> None:
        release = self._station.options.releases.get(order.location)
        if release is None:
            self._say(order, "DownloadFailed")
            return
        self._say(order, "Downloaded")
        if order.signature is not None:
            is_proven = order.signature == release.signature
            self._say(order, "SignatureVerified" if is_proven else "InvalidSignature")
            if not is_proven:
                self._station.send_security_event("InvalidFirmwareSignature")
                return
        self._install(order, release)

    def _install(self, order: FirmwareOrder, release: Release) -> None:
        if any(bay.transaction for bay in self._station.bays.values()):
            self._say(order, "InstallScheduled")
            self._timers.arm("firmware", WAIT_S, partial(self._install, order, release))
            return
        self._say(order, "Installing")
        self._timers.arm("firmware", INSTALL_S, partial(self._finish, order, release))

    def _finish(self, order: FirmwareOrder, release: Release) -> None:
        is_older = release.version in self._ran
        if not release.installs or (is_older and not self._station.options.takes_older_firmware):
            self._say(order, "InstallationFailed")
            return
        self._say(order, "InstallRebooting")
        self._ran.append(self.version)
        self.version, self._installed = release.version, (order, release)
        self._timers.arm("firmware", REBOOT_S, self._station.restart)

    def _say(self, order: FirmwareOrder, status: str) -> None:
        if not order.is_plain or status in PLAIN:
            self._station.send_firmware_status(status, order.request_id)
