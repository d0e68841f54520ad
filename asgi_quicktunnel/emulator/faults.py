"""Failures that a test may switch on while the edge runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Faults", "ProvisioningFault", "RegistrationFault"]


@dataclass(frozen=True, slots=True)
class ProvisioningFault:
    """What the service answers instead of a tunnel.

    The default is how the real service says that there were too many (protocol.md §1).
    """

    status: int = 429
    body: bytes = b"error code: 1015"
    content_type: str = "text/plain; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class RegistrationFault:
    """How the edge refuses to register a connection (protocol.md §5.7).

    Attributes:
        cause: the text that goes to the connector.
        retry_after: seconds; 0 leaves the delay to the connector.
        should_retry: whether the edge calls the refusal temporary.
    """

    cause: str = "Unauthorized: Record for tunnel not found"
    retry_after: float = 0.0
    should_retry: bool = True


@dataclass(slots=True)
class Faults:
    """What fails now; None means that it works.

    Attributes:
        provisioning: given to every POST /tunnel.
        registration: given to every registration.
    """

    provisioning: ProvisioningFault | None = None
    registration: RegistrationFault | None = None
