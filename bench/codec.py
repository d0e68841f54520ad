"""Time the codec of request and answer heads beside pycapnp's: python -m bench.codec

A request and an answer with 20 headers each; microseconds per call, the best of several rounds.
"""

from __future__ import annotations

import timeit
from pathlib import Path

import capnp

import asgi_quicktunnel.protocol
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.protocol.datastream import (
    OpeningReader,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

from bench.heads import HEADERS, REQUEST, RESPONSE

CALLS, ROUNDS = 5000, 9


def main() -> None:
    folder = Path(asgi_quicktunnel.protocol.__file__).parent / "schemas"
    schema = capnp.SchemaParser().load(str(folder / "datastream.capnp"))
    wire = encode_request(REQUEST)
    request, response = wire[8:], encode_response(RESPONSE)[8:]

    print("us per call, 20 headers   ours  pycapnp")
    for name, ours, theirs in (
        ("decode request", lambda: decode_request(request), lambda: _read_request(schema, request)),
        ("encode request", lambda: encode_request(REQUEST), lambda: _write_request(schema)),
        (
            "decode response",
            lambda: decode_response(response),
            lambda: _read_response(schema, response),
        ),
        ("encode response", lambda: encode_response(RESPONSE), lambda: _write_response(schema)),
        ("opening of a stream", lambda: OpeningReader().receive_data(wire), None),
    ):
        other = f"{_time(theirs):8.1f}" if theirs else "       -"
        print(f"{name:24}{_time(ours):6.1f} {other}")


def _time(call) -> float:
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def _read_request(schema, message: bytes) -> RequestHead:
    """The same facts, without the checks; pycapnp gives texts as str, which must be UTF-8."""
    with schema.ConnectRequest.from_bytes(message) as reader:
        single, headers = _read(reader)
        return RequestHead(
            kind=RequestKind(reader.type.raw),
            dest=reader.dest.encode(),
            method=single["HttpMethod"],
            host=single["HttpHost"].encode(),
            headers=headers,
        )


def _read_response(schema, message: bytes) -> ResponseHead:
    with schema.ConnectResponse.from_bytes(message) as reader:
        single, headers = _read(reader)
        return ResponseHead(int(single["HttpStatus"]), headers, reader.error or None)


def _read(reader) -> tuple[dict[str, str], list[tuple[bytes, bytes]]]:
    single, headers = {}, []
    for entry in reader.metadata:
        key, value = entry.key, entry.val
        if key.startswith("HttpHeader:"):
            headers.append((key[11:].lower().encode(), value.encode()))
        else:
            single[key] = value
    return single, headers


def _write_request(schema) -> bytes:
    message = schema.ConnectRequest.new_message()
    message.dest = REQUEST.dest
    message.type = REQUEST.kind.value
    first = [(b"HttpMethod", REQUEST.method.encode()), (b"HttpHost", REQUEST.host)]
    return _write(message, first)


def _write_response(schema) -> bytes:
    return _write(schema.ConnectResponse.new_message(), [(b"HttpStatus", b"200")])


def _write(message, first) -> bytes:
    entries = first + [(b"HttpHeader:" + name, value) for name, value in HEADERS]
    for entry, (key, value) in zip(message.init("metadata", len(entries)), entries, strict=True):
        entry.key = key
        entry.val = value
    return message.to_bytes()


if __name__ == "__main__":
    main()
