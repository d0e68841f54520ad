"""Certificates for one end of an engine pair, quick to make."""

import datetime
import functools
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """PEM of a chain (leaf alone), its key, and the authority that issued it."""

    chain: bytes
    key: bytes
    authority: bytes


@functools.cache
def issue(name="quic.cftunnel.com", *, expired=False, authority_name="test authority"):
    """A certificate for `name` from an authority of its own."""
    now = datetime.datetime.now(datetime.UTC)
    start, end = (now - 9 * DAY, now - DAY) if expired else (now - DAY, now + 9 * DAY)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, authority_name)])
    root = (
        x509.CertificateBuilder(root_name, root_name, root_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(now + 10 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder(root_name, x509.Name([]), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8
    return Issued(
        chain=leaf.public_bytes(pem),
        key=key.private_bytes(pem, private, serialization.NoEncryption()),
        authority=root.public_bytes(pem),
    )
