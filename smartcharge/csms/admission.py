"""Who may connect: the handshake of a station judged, before anything that it says is read.

=============================================  ====
too many failures from there, or for that id   429
a path that does not end in a station's id     404
a wrong or missing Basic password              401
a certificate of somebody else (profile 3)     403
no subprotocol of ours, or none at all         400
=============================================  ====

Source: OCPP 2.0.1 part 2, A00 (security profiles); part 4, 3.1 (connection URL, subprotocols).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from smartcharge.csms.attempts import Attempts
from smartcharge.csms.frames import clip
from smartcharge.csms.schemas import Version
from smartcharge.csms.secrets import Verifier
from smartcharge.model import Station, StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What a connection is opened with."""

    address: str
    path: str
    authorization: str
    protocols: tuple[str, ...]
    certificate: dict[str, Any] | None
    """The client's, as `ssl.SSLSocket.getpeercert` has it; None without TLS or without one."""

    @property
    def identity(self) -> StationId:
        """Return the station id at the end of a path such as ``/ocpp/DE*123``."""
        return StationId(unquote(self.path.partition("?")[0].rpartition("/")[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why a handshake is refused."""

    status: HTTPStatus
    answer: str
    """What the peer is told."""
    reason: str
    """What the log is told."""
    kind: str = ""
    """The OCPP security event that it is for the operator, if any."""


class Admission:
    """Judges handshakes, and remembers failures."""

    def __init__(self, stations: dict[StationId, Station], *, security_profile: int, holds_unknown: bool) -> None:
        self._stations = stations
        self._profile = security_profile
        self._holds_unknown = holds_unknown
        self._attempts = Attempts()
        self._verifier = Verifier()

    async def judge(self, hand: Handshake, now_s: float) -> Denial | None:
        """Return why a handshake is refused, or None to admit it; a stranger may be admitted to be held."""
        name = hand.identity
        if self._attempts.are_too_many(hand.address, name, now_s):
            return Denial(
                status=HTTPStatus.TOO_MANY_REQUESTS,
                answer="too many failures, wait a minute",
                reason="too many failures",
            )
        station = self._stations.get(name)
        denial = self._stranger(hand) if station is None else await self._unproven(station, hand)
        if denial is not None:
            self._attempts.failed(hand.address, name, now_s)
            return denial
        if not set(hand.protocols) & {version.value for version in Version}:
            return Denial(
                status=HTTPStatus.BAD_REQUEST,
                answer="offer the WebSocket subprotocol ocpp2.1, ocpp2.0.1 or ocpp1.6",
                reason=f"offers the subprotocols {clip(','.join(hand.protocols))}",
            )
        if station is None:
            self._attempts.failed(hand.address, name, now_s)  # strangers are few, or refused
        else:
            self._attempts.succeeded(hand.address, name)
        return None

    def _stranger(self, hand: Handshake) -> Denial | None:
        if self._holds_unknown and hand.identity:
            return None
        return Denial(status=HTTPStatus.NOT_FOUND, answer="no such station", reason="unknown station")

    async def _unproven(self, station: Station, hand: Handshake) -> Denial | None:
        """Return why a station is not believed to be itself, by the site's security profile."""
        if self._profile == 3 and station.id not in names_of(hand.certificate):
            return Denial(
                status=HTTPStatus.FORBIDDEN,
                answer="the certificate is of another station",
                reason="its certificate is of another station",
                kind="InvalidChargingStationCertificate",
            )
        if self._profile == 3 or station.secret is None:
            return None
        given = _password(hand.authorization, station.id)
        if given is not None and await self._verifier.is_right(station.secret, given):
            return None
        return Denial(
            status=HTTPStatus.UNAUTHORIZED,
            answer="wrong or missing password",
            reason="wrong or missing password",
            kind="FailedToAuthenticateAtCsms",
        )


def names_of(certificate: dict[str, Any] | None) -> frozenset[str]:
    """Return whom a client certificate stands for: its common names and DNS names (A00.FR.415)."""
    if certificate is None:
        return frozenset()
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    dns = [value for key, value in certificate.get("subjectAltName", ()) if key == "DNS"]
    return frozenset([*common, *dns])


def _password(authorization: str, user: str) -> bytes | None:
    """Return the password of Basic credentials of a user, or None if they are none, or of another."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    name, _, password = given.partition(b":")
    return password if scheme.lower() == "basic" and name == user.encode() else None
