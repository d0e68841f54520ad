"""The messages of two-party RPC: written whole, and read where it takes more than a field.

Source: rpc.capnp of capnp C++ (shipped with pycapnp).
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import Any

from asgi_quicktunnel.errors import LocalProtocolError
from asgi_quicktunnel.protocol.reader import MessageReader
from asgi_quicktunnel.protocol.schema import Method, load_schemas, writing

__all__ = [
    "BOOTSTRAP_EXPORT",
    "MAX_MESSAGE_BYTES",
    "abort",
    "bootstrap",
    "bootstrap_return",
    "call",
    "canceled_return",
    "disembargo",
    "exception_return",
    "finish",
    "read_bootstrap",
    "read_import",
    "release",
    "results_return",
    "unimplemented",
]


def bootstrap(question_id: int) -> bytes:
    """Ask for the peer's bootstrap capability."""
    message = load_schemas().new_message()
    message.init("bootstrap").questionId = question_id
    return _framed(message)


def call(
    question_id: int,
    method: Method,
    params: Mapping[str, Any],
    *,
    import_id: int | None = None,
    promised_by: int = 0,
) -> bytes:
    """Call a method of the peer's.

    Args:
        question_id: ours.
        method: what to call.
        params: its parameters by name; structs as dicts.
        import_id: the peer's name for the object called.
        promised_by: without `import_id`: the question whose answer will be that object.

    Raises:
        LocalProtocolError: the parameters don't fit the schema or are too large.
    """
    message = load_schemas().new_message()
    builder = message.init("call")
    builder.questionId = question_id
    builder.methodId = method.ordinal
    builder.interfaceId = method.interface_id
    _fill(builder.init("params").content, method.params, params)
    target = builder.init("target")
    if import_id is not None:
        target.importedCap = import_id
    else:
        promised = target.init("promisedAnswer")
        promised.questionId = promised_by
        promised.init("transform", 0)
    return _framed(message)


def finish(question_id: int, *, release_results: bool = True) -> bytes:
    """Say that a question's answer is not needed, or not any more."""
    message = load_schemas().new_message()
    builder = message.init("finish")
    builder.questionId = question_id
    builder.releaseResultCaps = release_results
    return _framed(message)


def results_return(answer_id: int, method: Method, results: Mapping[str, Any]) -> bytes:
    """Answer a call.

    Raises:
        LocalProtocolError: the results don't fit the schema or are too large.
    """
    message = load_schemas().new_message()
    builder = message.init("return")
    builder.answerId = answer_id
    _fill(builder.init("results").content, method.results, results)
    return _framed(message)


def exception_return(answer_id: int, reason: str, kind: str = "failed") -> bytes:
    """Answer a call with an exception of a kind of rpc.capnp's Exception.Type."""
    message = load_schemas().new_message()
    builder = message.init("return")
    builder.answerId = answer_id
    exception = builder.init("exception")
    exception.reason = _text(reason)
    exception.type = kind
    return _framed(message)


def canceled_return(answer_id: int) -> bytes:
    """Answer a call that the caller gave up."""
    message = load_schemas().new_message()
    builder = message.init("return")
    builder.answerId = answer_id
    builder.canceled = None
    return _framed(message)


def bootstrap_return(answer_id: int) -> bytes:
    """Answer a Bootstrap with our one export.

    pycapnp writes pointers to capabilities only in RPC of its own, hence word by word
    (protocol.md §13.4).
    """
    words = (
        11 << 32,  # one segment of 11 words
        1 << 32 | 1 << 48,  # Message, 1 word and 1 pointer
        3,  # its tag: return
        2 << 32 | 1 << 48,  # Return, 2 words and 1 pointer
        answer_id,
        0,  # its tag: results
        2 << 48,  # Payload, 2 pointers
        3,  # content: the capability with index 0 in the table
        1 | 7 << 32 | 2 << 35,  # capTable: a list of 2 words
        1 << 2 | 1 << 32 | 1 << 48,  # of 1 CapDescriptor, 1 word and 1 pointer
        1 | BOOTSTRAP_EXPORT << 32,  # its tag: senderHosted, and the id
        0,  # its pointer
    )
    return pack("<12Q", *words)


def release(import_id: int) -> bytes:
    """Give back one reference to an object of the peer's."""
    message = load_schemas().new_message()
    builder = message.init("release")
    builder.id = import_id
    builder.referenceCount = 1
    return _framed(message)


def disembargo(import_id: int, embargo_id: int) -> bytes:
    """Tell the peer that what it sent before its embargo has arrived."""
    message = load_schemas().new_message()
    builder = message.init("disembargo")
    builder.init("target").importedCap = import_id
    builder.context.receiverLoopback = embargo_id
    return _framed(message)


def abort(reason: str) -> bytes:
    """End the connection."""
    message = load_schemas().new_message()
    message.init("abort").reason = _text(reason)
    return _framed(message)


def unimplemented(message: Any) -> bytes:
    """Send back a message that was not understood.

    Args:
        message: its reader; use it inside `reading()`.
    """
    builder = load_schemas().new_message()
    builder.unimplemented = message
    return _framed(builder)


def read_bootstrap(payload: Any, message: bytes) -> int | None:
    """The peer's id of the object that a Return holds, or None when it holds none to call.

    Args:
        payload: the reader of its results; use it inside `reading()`.
        message: all of it, framed: pycapnp tells of no pointer which capability it stands for.
    """
    # Message, Return, Payload: each is the first pointer of the one before, and so is the content.
    index = MessageReader(message).root().struct(0).struct(0).capability(0)
    table = payload.capTable
    return None if index is None or index >= len(table) else read_import(table[index])


def read_import(descriptor: Any) -> int | None:
    """The peer's id of an object that it hosts or stands in for; None for any other."""
    match load_schemas().tag(descriptor):
        case "senderHosted":
            import_id = descriptor.senderHosted
        case "senderPromise":
            import_id = descriptor.senderPromise
        case "thirdPartyHosted":
            import_id = descriptor.thirdPartyHosted.vineId
        case _:
            return None
    return int(import_id)


def _fill(content: Any, schema: Any, values: Mapping[str, Any]) -> None:
    with writing():
        content.as_struct(schema).from_dict(dict(values))


def _text(reason: str) -> bytes:
    return reason[:MAX_REASON].encode("utf-8", "replace")


def _framed(message: Any) -> bytes:
    data: bytes = message.to_bytes()
    if len(data) > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(
            f"an RPC message of {len(data)} bytes; at most {MAX_MESSAGE_BYTES} are accepted"
        )
    return data


MAX_MESSAGE_BYTES = 4 << 20  # design.md §5
MAX_REASON = 4096  # characters of an exception's text
BOOTSTRAP_EXPORT = 0  # our name for the one object we serve
