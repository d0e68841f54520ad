"""What a Cap'n Proto RPC connection tells whoever runs it: `protocol.rpc`'s facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asgi_quicktunnel.protocol.schema import Method

__all__ = ["Aborted", "Called", "Failed", "Returned", "RpcEvent"]


@dataclass(frozen=True, slots=True)
class Called:
    """The peer calls a method of our bootstrap; answer it once, with a return of either kind.

    Attributes:
        answer_id: what to answer with.
        method: one of those given at construction.
        params: a pycapnp reader of `method.params`; read its fields inside `reading()`.
    """

    answer_id: int
    method: Method
    params: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """A call of ours was answered.

    Attributes:
        question_id: what `call` returned.
        results: a pycapnp reader of the method's results; read its fields inside `reading()`.
    """

    question_id: int
    results: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A call of ours ended without results; `reason` is the peer's words."""

    question_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """The peer ended the connection: the ordinary end of a session (protocol.md §5.1)."""

    reason: str


RpcEvent = Called | Returned | Failed | Aborted
