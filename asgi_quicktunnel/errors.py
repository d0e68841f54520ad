"""Everything this package raises on purpose, in one tree."""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "ConnectionLost",
    "DialError",
    "DiscoveryError",
    "DuplicateConnection",
    "LocalProtocolError",
    "OriginError",
    "ProtocolError",
    "ProvisioningError",
    "QuickTunnelError",
    "RateLimited",
    "RegistrationError",
    "RemoteProtocolError",
    "ReplayError",
    "StreamReset",
    "TransportError",
]


class QuickTunnelError(Exception):
    """The root of the tree.

    Attributes:
        retryable: whether the same attempt may succeed later; decided where the fact is known.
    """

    retryable: bool = False


class ConfigError(QuickTunnelError, ValueError):
    """An option can't be used; the message names the option, its value and what would do."""


class ProvisioningError(QuickTunnelError):
    """The service gave no tunnel.

    Attributes:
        status: HTTP status of the answer, or None when there was none.
    """

    def __init__(self, message: str, *, status: int | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable


class RateLimited(ProvisioningError):
    """The service refuses new tunnels for a while (HTTP 429, "error code: 1015").

    Attributes:
        retry_after: seconds the service asked to wait, or None when it named none.
    """

    def __init__(
        self, message: str, *, status: int | None = 429, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status, retryable=True)
        self.retry_after = retry_after


class DiscoveryError(QuickTunnelError):
    """No edge address could be found."""

    retryable = True


class TransportError(QuickTunnelError):
    """Something between the connector and the edge failed."""

    retryable = True


class DialError(TransportError):
    """No connection to this edge address came about.

    Attributes:
        address: the address as text, "ip:port" or "[ip]:port".
    """

    def __init__(self, message: str, *, address: str, retryable: bool = True) -> None:
        super().__init__(message)
        self.address = address
        self.retryable = retryable


class ConnectionLost(TransportError):
    """An established connection ended.

    Attributes:
        code: the close code (RFC 9000 §20), or None when it ended without one (idle timeout).
        idle: whether silence ended it.
    """

    def __init__(self, message: str, *, code: int | None = None, idle: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.idle = idle


class StreamReset(TransportError):
    """The peer gave up one stream (RESET_STREAM or STOP_SENDING, RFC 9000 §3).

    Attributes:
        code: the application error code the peer gave.
    """

    retryable = False

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class RegistrationError(QuickTunnelError):
    """The edge refused to register a connection.

    Attributes:
        retry_after: seconds the edge asked to wait, or None.
        unauthorized: whether it does not know the tunnel, or not with this secret.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        retryable: bool = True,
        unauthorized: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.retryable = retryable
        self.unauthorized = unauthorized


class DuplicateConnection(RegistrationError):
    """This connector already has a connection on that edge server; another address may do."""


class ProtocolError(QuickTunnelError):
    """Bytes or calls that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """Our side broke the rules; a bug here or in the calling code."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules."""


class OriginError(QuickTunnelError):
    """The origin did not answer.

    Attributes:
        status: what the visitor sees, 502 or 504.
    """

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class ReplayError(QuickTunnelError):
    """A request was not sent once more, or was cut off.

    Attributes:
        status: as HTTP says it: 400 for edits that can't be used, 404 for an unknown request, 409
            for one that can't be repeated, 429 for too many at once, 503 without a running tunnel,
            504 where no whole answer came in time.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = status in (429, 503)
