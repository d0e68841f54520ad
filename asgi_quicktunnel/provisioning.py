"""Asks the service for a quick tunnel."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
import httpx

from asgi_quicktunnel.errors import ConfigError, ProvisioningError, RateLimited
from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.protocol.tunnel_answer import ANSWER_LIMIT, TunnelAnswer, presentable

__all__ = ["request_tunnel", "visit_service"]

logger = logging.getLogger(__name__)


async def request_tunnel(
    service_url: str,
    *,
    user_agent: str,
    timeout: float = 15.0,
    ca_file: str | None = None,
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
) -> Credentials:
    """Ask for a new tunnel; tries again after 1, 2 and 4 s when the service or the network fails.

    The proxy variables (HTTPS_PROXY, NO_PROXY, ..) hold, except for a service on this machine.
    Redirects are not followed.

    Args:
        service_url: "https://api.trycloudflare.com" or another; names under ".localhost" are
            this machine whether or not the resolver knows them (RFC 6761 §6.3).
        user_agent: as the service should see it.
        timeout: seconds, for each try as a whole; a third of it for connecting, and for TLS.
        ca_file: PEM file that replaces the trust roots for the service.
        sleep: waits that many seconds.

    Returns:
        What the service handed out; `secret` is 32 bytes.

    Raises:
        ProvisioningError: no tunnel, or a proxy variable that can't be used; `status` is that of
            the last answer, None without one.
        RateLimited: too many tunnels were asked for; `retry_after` in seconds, or None.
        ConfigError: `service_url`, `ca_file` or SSL_CERT_FILE can't be used.

    Source: protocol.md §1.
    """
    service = _Service.at(service_url)
    if service.url.host.endswith("trycloudflare.com"):
        logger.info(
            "asking %s for a quick tunnel; not affiliated with Cloudflare, quick tunnels are "
            "subject to its terms and meant for testing",
            service.url.host,
        )
    async with await _client(service, user_agent, timeout, ca_file) as client:
        for number, delay in enumerate(RETRY_DELAYS, start=1):
            try:
                return await _attempt(client, service, number, timeout)
            except ProvisioningError as exc:
                if not exc.retryable or isinstance(exc, RateLimited):
                    raise
                logger.info("%s; next try in %g s", exc, delay)
            await sleep(delay)
        return await _attempt(client, service, len(RETRY_DELAYS) + 1, timeout)


async def visit_service(service_url: str, *, user_agent: str, timeout: float = 5.0) -> TunnelAnswer:
    """Ask the service for an answer that gives no tunnel away: GET, where a tunnel is POST.

    Args:
        service_url: as `request_tunnel`'s.
        user_agent: as `request_tunnel`'s.
        timeout: seconds, for all of it.

    Returns:
        What came back; its status is 405 where tunnels are given out.

    Raises:
        ProvisioningError: there was no answer.
        ConfigError: as `request_tunnel`.

    Source: protocol.md §1.
    """
    service = _Service.at(service_url)
    async with await _client(service, user_agent, timeout, None) as client:
        return await _ask(client, service, "GET", f"GET {service}", timeout)


@dataclass(frozen=True, slots=True)
class _Service:
    """Where to ask.

    Attributes:
        url: of the request, without user and password.
        auth: those two, if the address held them.
    """

    url: httpx.URL
    auth: httpx.BasicAuth | None = field(repr=False)

    @classmethod
    def at(cls, service_url: str) -> _Service:
        try:
            given = httpx.URL(service_url)
        except httpx.InvalidURL as exc:
            raise ConfigError(f"service_url can't be used: {presentable(str(exc))}") from exc
        if given.scheme not in ("http", "https") or not given.host:
            raise ConfigError("service_url can't be used: it takes an http or https address")
        auth = httpx.BasicAuth(given.username, given.password) if given.userinfo else None
        path = given.path.rstrip("/") + "/tunnel"
        return cls(given.copy_with(userinfo=b"", path=path, fragment=None), auth)

    def __str__(self) -> str:
        return str(self.url.copy_with(query=None))

    @property
    def is_localhost(self) -> bool:
        """Whether the name means this machine without asking a resolver (RFC 6761 §6.3)."""
        return f".{self.url.host.lower().rstrip('.')}".endswith(".localhost")

    @property
    def is_loopback(self) -> bool:
        if self.is_localhost:
            return True
        try:
            return ipaddress.ip_address(self.url.host).is_loopback
        except ValueError:
            return False


async def _client(
    service: _Service, user_agent: str, timeout: float, ca_file: str | None
) -> httpx.AsyncClient:
    verify = await anyio.to_thread.run_sync(_tls_context, service.url.scheme, ca_file)
    headers = {
        "User-Agent": user_agent,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a compressed answer could inflate without end
    }
    try:
        return httpx.AsyncClient(
            auth=service.auth,
            headers=headers,
            # Connecting ends before `_attempt` would cancel it: httpcore closes no socket when it
            # is cancelled in a TLS handshake.
            timeout=httpx.Timeout(timeout, connect=timeout * CONNECT_SHARE),
            trust_env=not service.is_loopback,
            verify=verify,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as exc:
        raise ProvisioningError(
            "a proxy variable (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) can't be used: "
            f"{presentable(str(exc))}"
        ) from exc


def _tls_context(scheme: str, ca_file: str | None) -> ssl.SSLContext:
    if scheme == "http":  # spares the 25 ms that loading the roots takes
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca_file is None:
            return httpx.create_ssl_context()
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        source = "SSL_CERT_FILE or SSL_CERT_DIR" if ca_file is None else f"ca_file={ca_file!r}"
        raise ConfigError(
            f"{source} can't be used: {exc.strerror or exc}; it takes a file of PEM certificates"
        ) from exc


async def _attempt(
    client: httpx.AsyncClient, service: _Service, number: int, timeout: float
) -> Credentials:
    asked = f"POST {service}"
    if number > 1:
        asked += f" (try {number} of {len(RETRY_DELAYS) + 1})"
    answer = await _ask(client, service, "POST", asked, timeout)
    return answer.credentials(asked, now=datetime.now(UTC))


async def _ask(
    client: httpx.AsyncClient, service: _Service, method: str, asked: str, timeout: float
) -> TunnelAnswer:
    try:
        with anyio.fail_after(timeout):
            return await _send(client, service, method)
    except httpx.ConnectTimeout as exc:
        raise ProvisioningError(
            f"{asked} found no connection within {timeout * CONNECT_SHARE:g} s; {_CHECK_NETWORK}",
            retryable=True,
        ) from exc
    except (TimeoutError, httpx.TimeoutException) as exc:
        raise ProvisioningError(
            f"{asked} got no complete answer within {timeout:g} s; {_CHECK_NETWORK}", retryable=True
        ) from exc
    except (httpx.TransportError, ExceptionGroup) as exc:  # a group: a port that can't be
        raise _unreachable(asked, exc) from exc


async def _send(client: httpx.AsyncClient, service: _Service, method: str) -> TunnelAnswer:
    if not service.is_localhost:
        return await _exchange(client, method, service.url)
    failures = []
    for address in ("127.0.0.1", "::1"):
        try:
            return await _exchange(
                client,
                method,
                service.url.copy_with(host=address),
                headers={"Host": service.url.netloc.decode("ascii")},
                extensions={"sni_hostname": service.url.raw_host.decode("ascii")},
            )
        except httpx.ConnectError as exc:
            if _has_cause(exc, ssl.SSLError):
                raise
            failures.append(exc)
    raise failures[0]


async def _exchange(
    client: httpx.AsyncClient, method: str, url: httpx.URL, **options: Any
) -> TunnelAnswer:
    async with client.stream(method, url, content=b"", **options) as response:
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > ANSWER_LIMIT:
                break
        return TunnelAnswer(response.status_code, response.headers, body)


def _unreachable(asked: str, exc: Exception) -> ProvisioningError:
    if _has_cause(exc, ssl.SSLCertVerificationError):
        return ProvisioningError(
            f"{asked} was not sent, because the service's certificate can't be verified "
            f"({_reason(exc)}); check the clock and, where a proxy inspects TLS, name its CA in "
            "SSL_CERT_FILE or the option ca_file"
        )
    return ProvisioningError(
        f"{asked} got no answer ({_reason(exc)}); {_CHECK_NETWORK}", retryable=True
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, outermost first; of several attempts the first."""
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__


def _has_cause(exc: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in _causes(exc))


def _reason(exc: BaseException) -> str:
    """Why, in the words of whoever knew first."""
    *_, root = _causes(exc)
    if isinstance(root, ssl.SSLCertVerificationError):
        return presentable(root.verify_message)
    if isinstance(root, ConnectionRefusedError):
        return "connection refused"
    if isinstance(root, OSError) and root.strerror:
        return presentable(root.strerror)
    return presentable(str(root) or str(exc) or type(root).__name__)


CONNECT_SHARE = 1 / 3  # of the timeout: at most this for TCP, and again for TLS
RETRY_DELAYS = (1.0, 2.0, 4.0)  # s; protocol.md §1

_CHECK_NETWORK = (
    "check the network, a firewall, the proxy variables (HTTPS_PROXY, NO_PROXY) and the option "
    "service_url"
)
