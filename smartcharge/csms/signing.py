"""A certificate authority of the site's own, which signs what stations ask for (2.0.1 A02, 1.6 security extension).

It signs for a station that is connected, so authenticated, and asks for a certificate of its own: the common name of
the request is its id or its serial number.  What it gets names its id, as security profile 3 demands (A00.FR.415).
Needs the extra ``certificates``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcharge.errors import ConfigError, Refused

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequest

_EARLY_S = 3600.0
"""How far before now a certificate begins: clocks of stations differ."""
_LEAST_RSA_BITS = 2048


class Signer:
    """Signs with the key of a certificate; raises ConfigError if the files cannot be used.

    Args:
        certificate: PEM file of the authority.
        key: PEM file of its key, not encrypted.
        days: how long a certificate is good.
    """

    def __init__(self, certificate: Path, key: Path, days: int) -> None:
        try:
            from cryptography import x509  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigError("signing certificates needs: pip install 'smartcharge[certificates]'") from error
        try:
            self._pem = certificate.read_text(encoding="ascii")
            self._certificate = x509.load_pem_x509_certificate(self._pem.encode())
            self._key = serialization.load_pem_private_key(key.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"ocpp: {certificate} and {key} are no authority to sign with: {error}") from error
        if self._certificate.public_key() != self._key.public_key():
            raise ConfigError(f"ocpp: {key} is not the key of {certificate}")
        self._days = days

    def sign(self, request: str, station: str, names: frozenset[str], at_s: float) -> str:
        """Return the chain [PEM] for a request [PEM] of a station, its own certificate first.

        Raises Refused, with the reason, for a request that is not sound or not of one of its names.
        """
        from cryptography import x509  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - an extra
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415 - an extra

        asked = self._read(request)
        common = {str(a.value) for a in asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        if not common & names:
            raise Refused(f"the request names {sorted(common)}, not the station")
        rest = [a for a in asked.subject if a.oid != NameOID.COMMON_NAME]
        begins = datetime.fromtimestamp(at_s - _EARLY_S, UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*rest, x509.NameAttribute(NameOID.COMMON_NAME, station)]))
            .issuer_name(self._certificate.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=self._days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        )
        return signed.public_bytes(serialization.Encoding.PEM).decode() + self._pem

    @staticmethod
    def _read(request: str) -> CertificateSigningRequest:
        from cryptography import x509  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - an extra

        try:
            asked = x509.load_pem_x509_csr(request.encode())
            is_signed = asked.is_signature_valid
            key = asked.public_key()
        except ValueError as error:
            raise Refused(f"the request cannot be read: {error}") from error
        if not is_signed:
            raise Refused("the request is not signed by its own key")
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
            raise Refused(f"its key has {key.key_size} bits, at least {_LEAST_RSA_BITS} are wanted")
        return asked
