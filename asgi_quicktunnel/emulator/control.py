"""The edge's end of a control stream: who registers, what it pushes, when it leaves."""

from __future__ import annotations

import json
from typing import Protocol
from uuid import uuid4

from asgi_quicktunnel.emulator.faults import RegistrationFault
from asgi_quicktunnel.emulator.registrar import Admitted, Registrant, Registrar
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import Registration
from asgi_quicktunnel.protocol.registration import (
    Ended,
    LocalConfigurationPushed,
    RegisterRequested,
    RegistrationServer,
    UnregisterRequested,
)

__all__ = ["ControlOwner", "ControlSession"]


class ControlOwner(Registrant, Protocol):
    """The connection that a control stream belongs to."""

    @property
    def colo(self) -> str:
        """The site it reached."""
        ...

    def report(self, rule: Rule, detail: str) -> None:
        """Record a violation."""
        ...

    def serve(self, admitted: Admitted) -> None:
        """It is registered: requests may come."""
        ...

    def retire(self, admitted: Admitted) -> None:
        """It is not registered any more: no new requests."""
        ...


class ControlSession:
    """RPC bytes in, RPC bytes out; what was learnt is there to read.

    Attributes:
        requests: every registration that was asked for.
        admitted: the one that was accepted, also after it ended, or None.
        registration: what the connector was told then.
        configuration: the last local configuration pushed, or None.
        is_unregistered: whether the connector asked for no more requests.
        is_over: whether the session has ended; nothing more needs to be read.
    """

    def __init__(self, owner: ControlOwner, registrar: Registrar) -> None:
        self.requests: list[RegisterRequested] = []
        self.admitted: Admitted | None = None
        self.registration: Registration | None = None
        self.configuration: bytes | None = None
        self.is_unregistered = False
        self.is_over = False
        self._owner = owner
        self._registrar = registrar
        self._rpc = RegistrationServer()

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes of the connector; returns those to send back."""
        try:
            for event in self._rpc.receive_data(data):
                if isinstance(event, RegisterRequested):
                    self._register(event)
                elif isinstance(event, UnregisterRequested):
                    self._unregister(event)
                elif isinstance(event, LocalConfigurationPushed):
                    self._configure(event)
                elif isinstance(event, Ended):
                    self.is_over = True
        except RemoteProtocolError as exc:
            self._owner.report(Rule.RPC, str(exc))
            self.is_over = True
        return self._rpc.data_to_send()

    def stream_ended(self) -> None:
        """The stream ended, or was reset, while the connection lives."""
        self.is_over = True
        if self.admitted is not None and not self.is_unregistered:
            self._owner.report(Rule.CONTROL_STREAM, "it ended without unregisterConnection")
        self.withdraw()

    def withdraw(self) -> None:
        """No more requests, for whatever reason; harmless when repeated."""
        if self.admitted is not None:
            self._registrar.withdraw(self.admitted)
            self._owner.retire(self.admitted)

    def _register(self, request: RegisterRequested) -> None:
        if len(self.requests) < KEPT:
            self.requests.append(request)
        if self.is_unregistered:
            self._owner.report(Rule.UNREGISTERED, "registerConnection")
        elif self.admitted is not None:
            self._owner.report(Rule.REGISTRATION, "registerConnection, a second time")
        else:
            self._decide(request)
            return
        self._rpc.fail(request.answer, "this connection was registered before")

    def _decide(self, request: RegisterRequested) -> None:
        decision = self._registrar.register(self._owner, request, self._owner.report)
        if isinstance(decision, RegistrationFault):
            self._rpc.refuse(
                request.answer,
                decision.cause,
                should_retry=decision.should_retry,
                retry_after=decision.retry_after,
            )
            return
        self.admitted = decision
        self.registration = Registration(connection_id=uuid4(), colo=self._owner.colo)
        self._rpc.accept(request.answer, self.registration)
        self._owner.serve(decision)
        for registrant in decision.replaces:  # after it, so that the name is never unserved
            registrant.replaced()

    def _unregister(self, request: UnregisterRequested) -> None:
        if self.is_unregistered:
            self._owner.report(Rule.UNREGISTERED, "unregisterConnection, a second time")
        elif self.admitted is None:
            self._owner.report(Rule.REGISTRATION, "unregisterConnection without a registration")
        self.is_unregistered = True
        self.withdraw()
        self._rpc.done(request.answer)

    def _configure(self, push: LocalConfigurationPushed) -> None:
        if self.is_unregistered:
            self._owner.report(Rule.UNREGISTERED, "updateLocalConfiguration")
        elif self.admitted is None or self.admitted.request.conn_index != 0:
            self._owner.report(Rule.CONFIGURATION, "not from index 0, or before its registration")
        self.configuration = push.config
        try:
            is_object = isinstance(json.loads(push.config), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            self._owner.report(Rule.CONFIGURATION, "no JSON object")
        self._rpc.done(push.answer)


KEPT = 100  # registrations of one connection; a hostile connector must not fill memory
