"""The certificate of the edge, for the generator and for who dials it."""

from __future__ import annotations

from pathlib import Path

from asgi_quicktunnel.emulator.authority import Authority

__all__ = ["write_certificates"]


def write_certificates(folder: Path) -> None:
    """Write ca.pem, leaf.pem and key.pem for the edge's names (protocol.md §3)."""
    authority = Authority.shared()
    leaf = authority.issue(("*.cftunnel.com",))
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "leaf.pem").write_bytes(leaf.certificate_chain)
    key = folder / "key.pem"
    key.touch(mode=0o600)
    key.write_bytes(leaf.private_key)
