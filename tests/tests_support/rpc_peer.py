"""The other end of an RPC connection, message by message: rpc.capnp through pycapnp."""

from __future__ import annotations

from struct import pack

from asgi_quicktunnel.protocol.framing import MessageSplitter
from asgi_quicktunnel.protocol.schema import load_schemas

__all__ = ["bootstrap_return", "call", "read", "results", "wire"]


def wire(message: dict) -> bytes:
    """One message, as a dict of the fields of rpc.capnp's Message."""
    builder = load_schemas().new_message()
    builder.from_dict(message)
    return builder.to_bytes()


def call(question_id, method, params=None, target=None, **fields) -> bytes:
    """A Call; `target` as in MessageTarget, by default the bootstrap with id 0."""
    builder = load_schemas().new_message()
    builder.from_dict(
        {
            "call": {
                "questionId": question_id,
                "interfaceId": method.interface_id,
                "methodId": method.ordinal,
                "target": target or {"importedCap": 0},
                **fields,
            }
        }
    )
    if params is not None:
        builder.call.params.content.as_struct(method.params).from_dict(params)
    return builder.to_bytes()


def results(answer_id, method, values, **fields) -> bytes:
    """A Return with results."""
    builder = load_schemas().new_message()
    builder.from_dict({"return": {"answerId": answer_id, "results": {}, **fields}})
    getattr(builder, "return").results.content.as_struct(method.results).from_dict(values)
    return builder.to_bytes()


def bootstrap_return(answer_id, descriptor, *, index=0, **fields) -> bytes:
    """A Return whose content is the capability that a CapDescriptor describes."""
    builder = load_schemas().new_message()
    body = {"answerId": answer_id, "results": {"capTable": [descriptor]}, **fields}
    builder.from_dict({"return": body})
    data = builder.to_bytes()
    # The content is the seventh word: behind Message, Return and the pointer to Payload.
    assert data[56:64] == bytes(8)
    return data[:56] + pack("<II", 3, index) + data[64:]


def read(connection) -> list:
    """The messages a connection wants to send, as (tag, reader of its body)."""
    splitter = MessageSplitter(8 << 20)
    messages = splitter.receive_data(connection.data_to_send())
    assert splitter.buffered == 0
    readers = [load_schemas().read_message(message) for message in messages]
    return [(str(reader.which), getattr(reader, str(reader.which))) for reader in readers]
