"""The certificate authority."""

import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from asgi_quicktunnel.emulator.authority import Authority


@pytest.fixture
def authority():
    return Authority.shared()


def test_the_root_is_shaped_like_one_of_cloudflares(authority):
    """RSA-2048 with SHA-256, no common name, path length 2 (protocol.md §3)."""
    root = x509.load_pem_x509_certificate(authority.certificate)
    assert isinstance(root.public_key(), rsa.RSAPublicKey)
    assert root.public_key().key_size == 2048
    assert isinstance(root.signature_hash_algorithm, hashes.SHA256)
    assert root.subject == root.issuer
    assert root.subject.get_attributes_for_oid(NameOID.COMMON_NAME) == []
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 2)
    root.verify_directly_issued_by(root)


def test_leaves_are_signed_by_the_root(authority):
    """A leaf is on EC P-256, covers what was asked for, and is no authority."""
    leaf = authority.issue(["*.cftunnel.com", "127.0.0.1", "::1"])
    root = x509.load_pem_x509_certificate(authority.certificate)
    certificate = x509.load_pem_x509_certificate(leaf.certificate_chain)
    certificate.verify_directly_issued_by(root)
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.cftunnel.com"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_one_authority_for_a_process(authority):
    """Whoever asks, from whatever thread, gets the same one."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(Authority.shared())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [authority] * 4


def test_private_keys_are_in_no_repr(authority):
    """A leaf's key does not show."""
    assert "PRIVATE" not in repr(authority.issue(["localhost"]))


def test_openssl_accepts_the_chain_strictly(authority, tmp_path):
    """Also with the checks that Python 3.13 switches on."""
    leaf = authority.issue(["some.localhost"])
    path = tmp_path / "leaf.pem"
    path.write_bytes(leaf.private_key + leaf.certificate_chain)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cadata=authority.certificate.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(client, server, "some.localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, "other.localhost")


def handshake(client, server, name):
    """Both ends in memory; True when they agree."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
        if not ends:
            return True
    return False
