"""Two-party Cap'n Proto RPC, level 1, as a state machine: bytes in, facts out.

pycapnp's own RPC wants its event loop, one per thread; its `rpc.capnp` is plain data, and that is
what this module reads and writes (design.md §3). Each side may serve one object, its bootstrap
capability, and call the methods of the peer's. No other capability is handed out or kept.

Source: rpc.capnp of capnp C++ (shipped with pycapnp), protocol.md §5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.protocol import rpc_messages as messages
from asgi_quicktunnel.protocol.framing import MessageSplitter
from asgi_quicktunnel.protocol.rpc_events import Aborted, Called, Failed, Returned, RpcEvent
from asgi_quicktunnel.protocol.schema import Method, load_schemas, reading

__all__ = ["Aborted", "Called", "Failed", "Returned", "RpcConnection", "RpcEvent"]


class RpcConnection:
    """One end of a connection.

    Args:
        bootstrap: the methods of the object we serve, or None to serve none.
    """

    def __init__(self, bootstrap: Iterable[Method] | None = None) -> None:
        self._tag = load_schemas().tag
        self._serves = bootstrap is not None
        self._methods = {(m.interface_id, m.ordinal): m for m in bootstrap or ()}
        self._splitter = MessageSplitter(messages.MAX_MESSAGE_BYTES)
        self._outgoing: list[bytes] = []
        self._closed = False
        self._questions: dict[int, _Question] = {}
        self._answers: dict[int, _Answer] = {}
        self._references = 0  # to our bootstrap, held by the peer
        self._import_id: int | None = None  # the peer's bootstrap, once its id is known
        self._promised_by: int | None = None  # until then, the question that asks for it

    @property
    def is_closed(self) -> bool:
        """Whether either side aborted."""
        return self._closed

    def data_to_send(self) -> bytes:
        """The bytes to send now, each once."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive_data(self, data: bytes) -> list[RpcEvent]:
        """Take the next bytes of the peer; after the end they are ignored.

        Raises:
            RemoteProtocolError: the peer broke the rules. The connection is closed, and an abort
                that says why is ready to be sent.
        """
        events: list[RpcEvent] = []
        if self._closed:
            return events
        try:
            for framed in self._splitter.receive_data(data):
                with reading():
                    message = load_schemas().read_message(framed)
                    tag = self._tag(message)
                    handle = _HANDLERS.get(tag, RpcConnection._on_unknown)
                    events += handle(self, _Message(message, tag, framed))
                if self._closed:
                    break
        except RemoteProtocolError as exc:
            self.abort(f"rpc: {exc}")
            raise
        return events

    def call(self, method: Method, params: Mapping[str, Any]) -> int:
        """Call a method of the peer's bootstrap, which is asked for with the first call.

        Args:
            method: what to call.
            params: its parameters by name; structs as dicts.

        Returns:
            The question's id, which `Returned` or `Failed` will name.

        Raises:
            LocalProtocolError: the connection has ended, too many calls are open, or the
                parameters don't fit the schema or a message.
        """
        if self._closed:
            raise LocalProtocolError("a call on a connection that has ended")
        if self._import_id is None and self._promised_by is None:
            self._promised_by = self._open_question(None)
            self._outgoing.append(messages.bootstrap(self._promised_by))
        question_id = self._open_question(method)
        try:
            message = messages.call(
                question_id,
                method,
                params,
                import_id=self._import_id,
                promised_by=self._promised_by or 0,
            )
        except LocalProtocolError:
            del self._questions[question_id]
            raise
        self._outgoing.append(message)
        return question_id

    def finish(self, question_id: int) -> None:
        """Give up a call: its answer will not be reported. Harmless when it was answered."""
        question = self._questions.get(question_id)
        if question is not None and not question.finished and not self._closed:
            question.finished = True
            self._outgoing.append(messages.finish(question_id))

    def return_results(self, answer_id: int, results: Mapping[str, Any]) -> None:
        """Answer a call; harmless when the connection has ended.

        Args:
            answer_id: that of `Called`.
            results: by name; structs as dicts.

        Raises:
            LocalProtocolError: no such call waits for its answer, or the results don't fit the
                schema or a message.
        """
        if self._closed:
            return
        answer = self._unanswered(answer_id)
        assert answer.method is not None, "only calls of a method wait for an answer"
        self._return(answer_id, messages.results_return(answer_id, answer.method, results))

    def return_exception(self, answer_id: int, reason: str) -> None:
        """Answer a call with an exception; harmless when the connection has ended.

        Raises:
            LocalProtocolError: no such call waits for its answer.
        """
        if not self._closed:
            self._unanswered(answer_id)
            self._return(answer_id, messages.exception_return(answer_id, reason))

    def release_bootstrap(self) -> None:
        """Tell the peer that its bootstrap is not needed any more; a later call asks anew."""
        if self._import_id is not None and not self._closed:
            self._outgoing.append(messages.release(self._import_id))
            self._import_id = None

    def abort(self, reason: str) -> None:
        """End the connection; harmless when it has ended."""
        if not self._closed:
            self._outgoing.append(messages.abort(reason))
            self._closed = True

    # What the peer sends about calls of ours.

    def _on_return(self, message: _Message) -> Iterable[RpcEvent]:
        body = message.body
        question_id = body.answerId
        question = self._questions.pop(question_id, None)
        if question is None:
            raise RemoteProtocolError("an answer to a call that was never made")
        if question.finished:
            return ()  # given up; our Finish told the peer to release what is in it
        tag = self._tag(body)
        if question.method is None:
            self._promised_by = None
            if tag == "results":
                self._import_id = messages.read_bootstrap(body.results, message.framed)
        if not body.noFinishNeeded:
            keep = question.method is None and self._import_id is not None
            self._outgoing.append(messages.finish(question_id, release_results=not keep))
        if question.method is None:
            return ()  # whoever called it is told by the answer to the call
        if tag == "results":
            return (Returned(question_id, body.results.content.as_struct(question.method.results)),)
        reason = body.exception.reason if tag == "exception" else f"rpc: the call ended as {tag}"
        return (Failed(question_id, reason),)

    def _on_unimplemented(self, message: _Message) -> Iterable[RpcEvent]:
        tag = self._tag(message.body)
        if tag not in ("call", "bootstrap"):
            return ()  # no answer was expected
        question_id = getattr(message.body, tag).questionId
        question = self._questions.pop(question_id, None)
        if question is None:
            raise RemoteProtocolError("an answer to a call that was never made")
        if question.method is None:
            self._promised_by = None
        elif not question.finished:
            return (Failed(question_id, f"rpc: the peer does not implement {tag}"),)
        return ()

    def _on_resolve(self, message: _Message) -> Iterable[RpcEvent]:
        # A promised bootstrap stays callable under its old id, so the new one is not needed.
        if self._tag(message.body) == "cap":
            import_id = messages.read_import(message.body.cap)
            if import_id is not None:
                self._outgoing.append(messages.release(import_id))
        return ()

    # What the peer asks of us.

    def _on_bootstrap(self, message: _Message) -> Iterable[RpcEvent]:
        answer_id = message.body.questionId
        answer = self._open_answer(answer_id, None)
        if self._serves:
            self._references += 1
            answer.is_bootstrap = True
            self._return(answer_id, messages.bootstrap_return(answer_id))
        else:
            self._except(answer_id, _NO_BOOTSTRAP)
        return ()

    def _on_call(self, message: _Message) -> Iterable[RpcEvent]:
        call = message.body
        answer_id = call.questionId
        method = self._methods.get((call.interfaceId, call.methodId))
        self._open_answer(answer_id, method)
        problem = self._problem_with(call.target)
        if problem is not None:
            self._except(answer_id, problem)
        elif self._tag(call.sendResultsTo) != "caller":
            self._except(answer_id, "rpc: results go to the caller only", "unimplemented")
        elif method is None:
            what = f"method {call.methodId} of interface {call.interfaceId:#x}"
            self._except(answer_id, f"rpc: {what} is not implemented", "unimplemented")
        else:
            return (Called(answer_id, method, call.params.content.as_struct(method.params)),)
        return ()

    def _problem_with(self, target: Any) -> str | None:
        """Why a call can't reach our bootstrap, or None when it does."""
        tag = self._tag(target)
        if tag == "importedCap":
            known = target.importedCap == messages.BOOTSTRAP_EXPORT and self._references
            return None if known else "rpc: a call to an object that was never handed out"
        if tag != "promisedAnswer":
            return "rpc: a call to a target of an unknown kind"
        promised = target.promisedAnswer
        answer = self._answers.get(promised.questionId)
        if answer is None:
            return "rpc: a call to the answer of a question that was never asked"
        if not answer.is_bootstrap:
            return (
                "rpc: a call to an answer that holds no object" if self._serves else _NO_BOOTSTRAP
            )
        if any(self._tag(step) != "noop" for step in promised.transform):
            return "rpc: a call to a part of an object"
        return None

    def _on_finish(self, message: _Message) -> Iterable[RpcEvent]:
        answer_id = message.body.questionId
        answer = self._answers.get(answer_id)
        if answer is None:
            return ()
        if answer.returned:
            del self._answers[answer_id]
            if answer.is_bootstrap and message.body.releaseResultCaps:
                self._release(1)
        else:
            answer.finished = True  # the id stays taken until our Return has gone
        return ()

    def _on_release(self, message: _Message) -> Iterable[RpcEvent]:
        if message.body.id != messages.BOOTSTRAP_EXPORT:
            raise RemoteProtocolError("a release of an object that was never handed out")
        self._release(message.body.referenceCount)
        return ()

    def _on_disembargo(self, message: _Message) -> Iterable[RpcEvent]:
        context = message.body.context
        tag = self._tag(context)
        if tag == "receiverLoopback":
            raise RemoteProtocolError("the end of an embargo that was never set")
        if tag != "senderLoopback":
            return self._on_unknown(message)
        # Calls are handled as they arrive, so whatever came before is through.
        target = message.body.target
        import_id = target.importedCap if self._tag(target) == "importedCap" else 0
        self._outgoing.append(messages.disembargo(import_id, context.senderLoopback))
        return ()

    def _on_abort(self, message: _Message) -> Iterable[RpcEvent]:
        event = Aborted(message.body.reason)
        self._closed = True
        return (event,)

    def _on_unknown(self, message: _Message) -> Iterable[RpcEvent]:
        # Levels 2 to 4 (provide, accept, join), and what later versions may bring.
        self._outgoing.append(messages.unimplemented(message.reader))
        return ()

    # The tables.

    def _open_question(self, method: Method | None) -> int:
        if len(self._questions) >= MAX_OPEN_CALLS:
            raise LocalProtocolError(f"more than {MAX_OPEN_CALLS} calls without an answer")
        question_id = next(i for i in range(MAX_OPEN_CALLS) if i not in self._questions)
        self._questions[question_id] = _Question(method)
        return question_id

    def _open_answer(self, answer_id: int, method: Method | None) -> _Answer:
        if answer_id in self._answers:
            raise RemoteProtocolError("a question with the id of one that is still open")
        if len(self._answers) >= MAX_OPEN_CALLS:
            raise RemoteProtocolError(f"more than {MAX_OPEN_CALLS} open questions")
        answer = self._answers[answer_id] = _Answer(method)
        return answer

    def _unanswered(self, answer_id: int) -> _Answer:
        answer = self._answers.get(answer_id)
        if answer is None or answer.returned:
            raise LocalProtocolError(f"no call {answer_id} waits for an answer")
        return answer

    def _except(self, answer_id: int, reason: str, kind: str = "failed") -> None:
        self._return(answer_id, messages.exception_return(answer_id, reason, kind))

    def _return(self, answer_id: int, message: bytes) -> None:
        answer = self._answers[answer_id]
        if answer.finished:
            message = messages.canceled_return(answer_id)
            del self._answers[answer_id]
        answer.returned = True
        self._outgoing.append(message)

    def _release(self, count: int) -> None:
        if count > self._references:
            raise RemoteProtocolError("a release of more references than were handed out")
        self._references -= count


@dataclass(slots=True)
class _Question:
    """A call of ours whose Return has not come; without method: the request for the bootstrap."""

    method: Method | None
    finished: bool = False


@dataclass(slots=True)
class _Answer:
    """A question of the peer until both our Return has gone and its Finish has come."""

    method: Method | None
    is_bootstrap: bool = False
    returned: bool = False
    finished: bool = False


@dataclass(slots=True)
class _Message:
    """A message of the peer: its reader, which kind it is, and its bytes."""

    reader: Any
    tag: str | None
    framed: bytes

    @property
    def body(self) -> Any:
        """The member of its union."""
        return getattr(self.reader, self.tag or "")


MAX_OPEN_CALLS = 1000  # of either side; a session has a handful
_NO_BOOTSTRAP = "rpc: no bootstrap interface"  # as cloudflared says it, protocol.md §5.1
_HANDLERS: dict[str | None, Callable[[RpcConnection, _Message], Iterable[RpcEvent]]] = {
    "unimplemented": RpcConnection._on_unimplemented,
    "abort": RpcConnection._on_abort,
    "bootstrap": RpcConnection._on_bootstrap,
    "call": RpcConnection._on_call,
    "return": RpcConnection._on_return,
    "finish": RpcConnection._on_finish,
    "resolve": RpcConnection._on_resolve,
    "release": RpcConnection._on_release,
    "disembargo": RpcConnection._on_disembargo,
}
