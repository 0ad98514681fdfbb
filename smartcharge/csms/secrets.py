"""The Basic passwords of stations (OCPP security profiles 1 and 2): only their hashes are kept.

A secret is one line, ``scrypt$14$<salt>$<hash>`` with base64 after the cost (log2 of N; r = 8, p = 1).
Source: RFC 7914; OCPP security white paper A00.FR.204: passwords of 16 to 40 characters.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from binascii import Error as NotBase64

_SCHEME = "scrypt"
_COST = 12
"""2^12: 9 ms of CPU on a slow machine, so that a thousand stations come back within seconds of a power cut."""
_MAX_COST = 16
_SALT_BYTES, _HASH_BYTES = 16, 32


def make_secret(password: str) -> str:
    """Return the line that stands for a password."""
    salt = os.urandom(_SALT_BYTES)
    return "$".join((_SCHEME, str(_COST), _text(salt), _text(_hash(password.encode(), salt, _COST))))


def is_secret(line: str) -> bool:
    """Tell whether a line is a secret that can be checked against."""
    return _parts(line) is not None


def matches(secret: str, password: bytes) -> bool:
    """Tell whether a password is the one that a secret was made of; takes some milliseconds of CPU."""
    parts = _parts(secret)
    if parts is None:
        return False
    cost, salt, expected = parts
    return hmac.compare_digest(_hash(password, salt, cost), expected)


class Verifier:
    """Checks passwords off the event loop; one that was right before is known again at once.

    What it remembers is keyed with a secret of this process and is no use outside of it.
    """

    def __init__(self) -> None:
        self._key = os.urandom(_HASH_BYTES)
        self._right: dict[str, bytes] = {}

    async def is_right(self, secret: str, password: bytes) -> bool:
        """Tell whether a password is the one that a secret was made of."""
        mark = hashlib.blake2b(password, key=self._key).digest()
        if hmac.compare_digest(self._right.get(secret, b""), mark):
            return True
        is_right = await asyncio.to_thread(matches, secret, password)
        if is_right:
            self._right[secret] = mark
        return is_right


def _parts(line: str) -> tuple[int, bytes, bytes] | None:
    try:
        scheme, cost, salt, expected = line.split("$")
        parts = int(cost), base64.b64decode(salt, validate=True), base64.b64decode(expected, validate=True)
    except (ValueError, NotBase64):
        return None
    is_sound = scheme == _SCHEME and 0 < parts[0] <= _MAX_COST and len(parts[2]) == _HASH_BYTES
    return parts if is_sound else None


def _hash(password: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=2**cost, r=8, p=1, maxmem=2**27, dklen=_HASH_BYTES)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
