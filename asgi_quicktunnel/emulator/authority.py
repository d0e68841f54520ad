"""The certificate authority of one process, shaped like Cloudflare's (protocol.md §3)."""

from __future__ import annotations

import datetime
import ipaddress
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Leaf"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate.

    Attributes:
        certificate_chain: PEM; the leaf alone, since the root signed it.
        private_key: PEM (PKCS #8).
    """

    certificate_chain: bytes
    private_key: bytes = field(repr=False)


class Authority:
    """A root without common name, RSA-2048 with SHA-256, path length 2: the second of Cloudflare's.

    Attributes:
        certificate: PEM.
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key_pem = self._leaf_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "asgi-quicktunnel"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Embedded Edge"),
            ]
        )
        self._subject = subject
        certificate = (
            self._builder(subject, self._key.public_key(), _ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(Encoding.PEM)

    @classmethod
    def shared(cls) -> Authority:
        """The one of this process. The first call takes tenths of a second: make it in a thread."""
        global _shared
        with _lock:
            if _shared is None:
                _shared = cls()
            return _shared

    def issue(self, names: Sequence[str]) -> Leaf:
        """A certificate on an EC P-256 key for these DNS names and IP addresses."""
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "asgi-quicktunnel")])
        certificate = (
            self._builder(subject, self._leaf_key.public_key(), _LEAF_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(certificate.public_bytes(Encoding.PEM), self._leaf_key_pem)

    def _builder(
        self,
        subject: x509.Name,
        public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
        lifetime: datetime.timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + lifetime)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


_lock = threading.Lock()
_shared: Authority | None = None

_ROOT_LIFETIME = datetime.timedelta(days=3650)  # protocol.md §3: Cloudflare's roots last ten years
_LEAF_LIFETIME = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(days=1)
