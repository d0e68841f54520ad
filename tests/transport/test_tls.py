"""Trust roots: which they are, and what may replace them."""

import datetime
import hashlib
import ssl
import subprocess
import sys
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import asgi_quicktunnel.transport
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.transport.tls import ALPN, QUIC_SERVER_NAME, trust_roots

from tests_support.certificates import CertificateAuthority

PACKAGE = Path(asgi_quicktunnel.transport.__file__).parent
CLOUDFLARE_ROOTS = PACKAGE / "cloudflare-edge-roots.pem"

# protocol.md §3
FINGERPRINTS = [
    "aa63697a22764b67b2134ce14cb5690ea336940b93986113f49545917832d80d",
    "d3c7e85c91707fc0a12abc5d88266747aa4fa8e7b162f633ffb3c9d989947620",
    "9a1ac2b4be15f9f27eee20a734cba4e9898f61001b3bd7c84b69b56a3e25a2b9",
]


def fingerprints(pem):
    """SHA-256 of each certificate's DER form, in hex."""
    certificates = x509.load_pem_x509_certificates(pem)
    return [hashlib.sha256(c.public_bytes(Encoding.DER)).hexdigest() for c in certificates]


def days_left(pem, *, now):
    """Whole days until the first of the certificates expires."""
    certificates = x509.load_pem_x509_certificates(pem)
    return (min(c.not_valid_after_utc for c in certificates) - now).days


def test_server_name_and_alpn_are_those_the_edge_answers_to():
    """The SNI and the ALPN are the edge's (protocol.md §3)."""
    assert (QUIC_SERVER_NAME, ALPN) == ("quic.cftunnel.com", "argotunnel")


def test_cloudflare_roots_are_the_known_three():
    """The shipped file holds the three roots of protocol.md §3 and no other."""
    assert fingerprints(CLOUDFLARE_ROOTS.read_bytes()) == FINGERPRINTS


def test_provenance_note_names_every_root():
    """The note beside the PEM lists the fingerprint of each root."""
    note = CLOUDFLARE_ROOTS.with_suffix(".md").read_text(encoding="utf-8")

    assert [f for f in FINGERPRINTS if f in note] == FINGERPRINTS


def test_no_root_expires_within_180_days():
    """There is still time to replace the roots; when this fails, cloudflare-edge-roots.md helps."""
    now = datetime.datetime.now(datetime.UTC)

    assert days_left(CLOUDFLARE_ROOTS.read_bytes(), now=now) >= 180


@pytest.mark.parametrize(
    ("now", "left"), [("2029-02-16T17:00+00:00", 180), ("2029-02-16T17:01+00:00", 179)]
)
def test_the_warning_begins_180_days_before_the_first_root_expires(now, left):
    """Days are counted to 2029-08-15 17:00 UTC, when the first two roots expire."""
    moment = datetime.datetime.fromisoformat(now)

    assert days_left(CLOUDFLARE_ROOTS.read_bytes(), now=moment) == left


def certifi_fingerprints():
    """Those of certifi's roots whose serial is positive, as OpenSSL reads them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    roots = zip(context.get_ca_certs(), context.get_ca_certs(binary_form=True), strict=True)
    allowed = [der for facts, der in roots if int(facts["serialNumber"], 16) > 0]
    return [hashlib.sha256(der).hexdigest() for der in allowed]


def test_default_roots_are_cloudflares_and_certifis():
    """By default Cloudflare's roots and all of certifi's with a lawful serial are trusted."""
    trusted = fingerprints(trust_roots(None))

    assert trusted[:3] == FINGERPRINTS
    assert sorted(trusted[3:]) == sorted(certifi_fingerprints())
    assert len(trusted) > 100


def test_default_roots_are_put_together_once():
    """The default is cached."""
    assert trust_roots() is trust_roots(None)


def test_roots_are_bare_pem_blocks():
    """What comes back is PEM blocks only, each with one newline at its end."""
    lines = trust_roots().split(b"\n")

    assert lines.pop() == b""
    assert lines[0] == b"-----BEGIN CERTIFICATE-----"
    assert lines[-1] == b"-----END CERTIFICATE-----"
    assert not [line for line in lines if not line or line.startswith(b"#")]


def test_a_tls_client_takes_the_roots():
    """OpenSSL loads every one of them as an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trust_roots().decode("ascii"))

    assert context.cert_store_stats()["x509_ca"] == len(fingerprints(trust_roots()))


def test_ca_file_replaces_every_root(tmp_path):
    """With `ca_file` its certificates are trusted and no others."""
    ca_file = CertificateAuthority(tmp_path).ca_file

    assert trust_roots(ca_file) == Path(ca_file).read_bytes()


def test_ca_file_is_read_each_time(tmp_path):
    """A file that changed is read again."""
    path = tmp_path / "roots.pem"
    blocks = trust_roots().split(b"-----END CERTIFICATE-----\n")[:2]
    first, second = (block + b"-----END CERTIFICATE-----\n" for block in blocks)
    path.write_bytes(first)
    assert trust_roots(str(path)) == first

    path.write_bytes(second)
    assert trust_roots(str(path)) == second


def test_comments_keys_and_dos_line_ends_are_dropped(tmp_path):
    """Only the certificates of a file are kept, whatever else is in it."""
    ca = CertificateAuthority(tmp_path)
    certificate = Path(ca.ca_file).read_bytes()
    ca.server_context("localhost")
    key = (tmp_path / "server.key").read_bytes()
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes((b"# ours\n" + key + certificate + b"\n# end").replace(b"\n", b"\r\n"))

    assert trust_roots(str(mixed)) == certificate


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "there is no certificate in it"),
        (b"\x30\x82\x01\x0a" + bytes(64), "there is no certificate in it"),
        (BROKEN, "a certificate in it is broken"),
        (BROKEN.replace(b"AAAA", b"not base64!"), "a certificate in it is broken"),
    ],
)
def test_a_file_without_certificates_is_refused(tmp_path, content, why):
    """A file that holds no usable certificate is a ConfigError that says so."""
    path = tmp_path / "roots.pem"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        trust_roots(str(path))

    expected = f"ca_file={str(path)!r} can't be used: {why}; it takes a file of PEM certificates"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("name", "why"), [("absent.pem", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, why):
    """A path that can't be read is a ConfigError with the reason and the cause."""
    with pytest.raises(ConfigError, match=rf"ca_file=.* it can't be read \({why}\)") as caught:
        trust_roots(str(tmp_path / name))

    assert isinstance(caught.value.__cause__, OSError)


def test_importing_it_imports_no_quic_engine():
    """The module is free of aioquic, so whoever only needs the roots does not load an engine."""
    code = "import asgi_quicktunnel.transport.tls, sys; sys.exit('aioquic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
