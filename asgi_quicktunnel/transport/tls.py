"""What a connection to the edge trusts, and what it calls itself in the TLS handshake."""

from __future__ import annotations

import binascii
import functools
import re
import ssl
from pathlib import Path

import certifi

from asgi_quicktunnel.errors import ConfigError

__all__ = ["ALPN", "PROBE_SERVER_NAME", "QUIC_SERVER_NAME", "trust_roots"]

ALPN = "argotunnel"  # the one protocol offered over QUIC; protocol.md §3
PROBE_SERVER_NAME = "probe.cftunnel.com"  # SNI of a check that registers nothing; protocol.md §3
QUIC_SERVER_NAME = "quic.cftunnel.com"  # SNI; the edge stays silent on any other; protocol.md §3


def trust_roots(ca_file: str | None = None) -> bytes:
    r"""The certificates that may vouch for an edge server.

    Args:
        ca_file: path of a PEM file whose certificates replace all others; None for the default,
            Cloudflare's own roots (cloudflare-edge-roots.md) and certifi's, less those with a
            serial number that RFC 5280 disallows.

    Returns:
        PEM blocks and nothing else: no comments, no keys, line ends "\n", each block ended by one.

    Raises:
        ConfigError: `ca_file` can't be read, or holds no certificate, or a broken one.

    Source: protocol.md §3.
    """
    return _default_roots() if ca_file is None else _roots_in(ca_file)


@functools.cache
def _default_roots() -> bytes:
    certifi_roots = Path(certifi.where()).read_bytes()
    blocks = _certificate_blocks(_CLOUDFLARE_ROOTS.read_bytes() + certifi_roots)
    return b"".join(block for block in blocks if _has_positive_serial(block))


def _roots_in(ca_file: str) -> bytes:
    try:
        pem = b"".join(_certificate_blocks(Path(ca_file).read_bytes()))
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise ConfigError(_unusable(ca_file, f"it can't be read ({reason})")) from exc
    if not pem:
        raise ConfigError(_unusable(ca_file, "there is no certificate in it"))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigError(_unusable(ca_file, "a certificate in it is broken")) from exc
    return pem


def _certificate_blocks(pem: bytes) -> list[bytes]:
    """The certificates alone, in the one shape that every TLS library splits alike."""
    return [block + b"\n" for block in _CERTIFICATE.findall(pem.replace(b"\r\n", b"\n"))]


def _has_positive_serial(block: bytes) -> bool:
    """Whether the serial number is one that RFC 5280 §4.1.2.2 allows.

    Some of certifi's roots have serial 0. `cryptography`, which aioquic parses with, warns of each
    of them and announces an error.
    """
    _, first_line, _ = block.split(b"\n", 2)
    match = _SERIAL.match(binascii.a2b_base64(first_line))
    return match is not None and match[1] != b"\x01\x00" and match[1][1] < 0x80


def _unusable(ca_file: str, why: str) -> str:
    return f"ca_file={ca_file!r} can't be used: {why}; it takes a file of PEM certificates"


_CLOUDFLARE_ROOTS = Path(__file__).with_name("cloudflare-edge-roots.pem")
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL
)
# DER, RFC 5280 §4.1: Certificate, TBSCertificate, [version], serial: its length and first byte.
_SERIAL = re.compile(
    rb"(?:\x30(?:[\x00-\x7f]|\x81.|\x82..)){2}(?:\xa0\x03\x02\x01.)?\x02(..)", re.DOTALL
)
