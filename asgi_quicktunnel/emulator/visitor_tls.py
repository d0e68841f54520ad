"""TLS towards visitors: a certificate for every name that is handed out."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.names import DOMAIN

__all__ = ["VisitorTls"]


class VisitorTls:
    """A server's TLS context that answers to any name under one domain.

    One wildcard would not do: OpenSSL and curl accept no `*.localhost` (they want two dots in a
    pattern), so each name gets its certificate when a visitor first asks for it.

    Args:
        authority: signs the certificates.
        domain: such as "localhost".
        remembered: names whose certificates are kept; visitors choose them, so memory is bounded.

    Attributes:
        context: for `ssl`; visitors that name no host, or an unknown one, see a certificate for
            `localhost` and the loopback addresses.
    """

    def __init__(
        self, authority: Authority, *, domain: str = DOMAIN, remembered: int = 256
    ) -> None:
        self._suffix = f".{domain}"
        self._authority = authority
        self._remembered = remembered
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.context = self._context_for("localhost", "127.0.0.1", "::1")
        self.context.sni_callback = self._on_server_name

    def _on_server_name(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        if name is None or not name.lower().endswith(self._suffix):
            return
        name = name.lower()
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= self._remembered:
                self._contexts.clear()
            context = self._contexts[name] = self._context_for(name)
        connection.context = context

    def _context_for(self, *names: str) -> ssl.SSLContext:
        leaf = self._authority.issue(names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.TemporaryDirectory(prefix="quicktunnel-") as directory:
            path = Path(directory) / "leaf.pem"  # the ssl module reads certificates from files only
            path.write_bytes(leaf.private_key + leaf.certificate_chain)
            context.load_cert_chain(path)
        return context
