"""Feed broken bytes to the protocol modules, in a process of its own: pycapnp may end it.

    python -m tests_support.fuzz_protocol TARGET --seed N --count N --seconds S --last FILE

Each input is written to FILE before it is used, so that a crash can be looked at. The first input
that raises anything but RemoteProtocolError, or takes more memory than its size allows, is printed
with its traceback, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import mmap
import random
import resource
import sys
import time
import traceback
import tracemalloc
from pathlib import Path
from struct import pack, pack_into
from uuid import UUID

import capnp

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import (
    Credentials,
    Registration,
    RequestHead,
    RequestKind,
    ResponseHead,
)
from asgi_quicktunnel.protocol.datastream import (
    AnswerReader,
    OpeningReader,
    StreamKind,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from asgi_quicktunnel.protocol.framing import MessageSplitter, segments
from asgi_quicktunnel.protocol.reader import MessageReader
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    ConnectorService,
    ConnectorServiceClient,
    LocalConfigurationPushed,
    RegisterRequested,
    RegistrationClient,
    RegistrationServer,
    UnregisterRequested,
)
from asgi_quicktunnel.protocol.rpc import Called, RpcConnection
from asgi_quicktunnel.protocol.schema import load_schemas

from tests_support import capnp_messages as oracle
from tests_support import rpc_peer as peer

ADDRESS_SPACE = 1 << 30  # bytes above what the process has at its start
ALLOWED_BYTES, ALLOWED_FACTOR = 512 << 10, 16  # Python memory per input: at rest, per byte
MEASURED_INPUTS = 20_000
SPLIT_BYTES = 1 << 16
MAX_INPUT = 1 << 20


# Inputs


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to six changes of the kinds that matter to Cap'n Proto: bits, words, pointers, cuts."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if len(result) < 4:
            return bytes(result)
        at = rng.randrange(len(result))
        word = at & ~7
        match rng.randrange(9):
            case 0:
                result[at] ^= 1 << rng.randrange(8)
            case 1:
                result[at] = rng.choice((0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF))
            case 2:
                result[word : word + 8] = pointer(rng)
            case 3:
                result[word : word + 8] = rng.randbytes(8)
            case 4:
                del result[word : word + 8 * rng.randrange(1, 4)]
            case 5:
                result[word:word] = rng.choice((bytes(8), pointer(rng), result[:word][-16:]))
            case 6:
                other = rng.choice(others)
                start = rng.randrange(len(other)) & ~7
                result[word : word + 64] = other[start : start + 64]
            case 7:
                del result[at:]
            case 8:
                pack_into("<I", result, min(at & ~3, len(result) - 4) & ~3, rng.choice(COUNTS))
    return bytes(result[:MAX_INPUT])


def pointer(rng: random.Random) -> bytes:
    """A pointer of any kind to somewhere near, or far away."""
    offset = rng.choice((rng.randrange(-8, 32), rng.randrange(-(1 << 29), 1 << 29)))
    size = rng.choice((0, 1, 2, rng.randrange(64), (1 << 29) - 1))
    match rng.randrange(4):
        case 0:
            return pack("<iHH", offset << 2, rng.choice((0, 1, 2, 65535)), rng.randrange(4))
        case 1:
            return pack("<iI", offset << 2 | 1, size << 3 | rng.randrange(8))
        case 2:
            kind = rng.choice((2, 6))
            return pack("<II", (offset & 0xFF) << 3 | kind, rng.choice((0, 1, 2, size)))
        case _:
            return pack("<II", 3, size)


COUNTS = (0, 1, 2, 3, 511, 512, 0xFFFF, 1 << 16, (1 << 29) - 1, 1 << 31, 0xFFFFFFFF)


def resegment(rng: random.Random, data: bytes) -> bytes:
    """The same bytes under another segment table; far pointers then lead somewhere."""
    body, parts = data[8:], []
    while len(body) > 8 and len(parts) < 4:
        cut = 8 * rng.randrange(1, len(body) // 8 + 1)
        parts.append(body[:cut])
        body = body[cut:]
    return oracle.frame(*parts, body) if len(body) % 8 == 0 else data


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """The bytes in one to four pieces."""
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


# Targets: what is fed, and what must hold besides "nothing else is raised"


class Framing:
    """The splitter, and the segments of what it gives out."""

    def __init__(self) -> None:
        self.corpus = [
            oracle.frame(bytes(80)),
            oracle.frame(bytes(8), bytes(16), b"", bytes(24)) * 3,
            oracle.frame(*[bytes(8)] * 300),
        ]

    def feed(self, rng: random.Random, data: bytes) -> None:
        splitter = MessageSplitter(SPLIT_BYTES)
        received = []
        try:
            for piece in cut(rng, data):
                received += splitter.receive_data(piece)
                assert splitter.buffered <= SPLIT_BYTES
        finally:
            assert data.startswith(b"".join(received))
            for message in received:
                assert message.endswith(b"".join(segments(message)))


class Datastream:
    """Both decoders and both readers; where pycapnp reads the same bytes, it reads the same."""

    def __init__(self) -> None:
        headers = [
            (b"accept", b"text/html"),
            (b"cookie", b"a=1; b=2"),
            (b"x-empty", b""),
            (b"x-long", b"v" * 90),
        ]
        request = RequestHead(
            RequestKind.WEBSOCKET, b"https://t.example/a?b=1", "POST", b"t.example", headers
        )
        response = ResponseHead(404, headers)
        self.corpus = [
            encode_request(request)[8:],
            encode_response(response)[8:],
            encode_response(ResponseHead(502, error="boom"))[8:],
            *[oracle.oracle_request(request, first_segment=words) for words in (1, 4, 9, 30)],
            *[oracle.oracle_response(response, first_segment=words) for words in (1, 4, 9, 30)],
        ]

    def feed(self, rng: random.Random, data: bytes) -> None:
        self._objects(data)
        understood = self._request(data) | self._response(data)
        wire = encode_request(RequestHead(RequestKind.HTTP, b"/"))[:8] + data
        for reader in (OpeningReader(), AnswerReader()):
            try:
                for piece in cut(rng, rng.choice((wire, data))):
                    if reader.receive_data(piece) not in (None, StreamKind.RPC):
                        break
            except RemoteProtocolError:
                pass
        if not understood:
            raise RemoteProtocolError("neither a request nor an answer")

    def _objects(self, data: bytes) -> None:
        """What pycapnp reads of a message, our reader reads too, and as the same."""
        try:
            error, pairs = oracle.read_oracle_response(data)
        except (capnp.KjException, ValueError):
            return
        try:
            root = MessageReader(data).root()
            read = root.text(0), root.structs(1).text_pairs(Same())
        except RemoteProtocolError as exc:
            if any(stricter in str(exc) for stricter in STRICTER):
                return
            raise AssertionError("pycapnp reads what we refuse") from exc
        assert read == (error.encode(), [(k.encode(), v.encode()) for k, v in pairs])

    def _request(self, data: bytes) -> bool:
        try:
            head = decode_request(data)
        except RemoteProtocolError:
            return False
        try:
            dest, kind, pairs = oracle.read_oracle_request(data)
        except (capnp.KjException, UnicodeDecodeError):
            return True
        assert (head.dest, head.kind.value) == (dest.encode(), kind)
        assert head.headers == _headers(pairs, without="host")
        return True

    def _response(self, data: bytes) -> bool:
        try:
            head = decode_response(data)
        except RemoteProtocolError:
            return False
        try:
            error, pairs = oracle.read_oracle_response(data)
        except (capnp.KjException, UnicodeDecodeError):
            return True
        assert (head.error or "") == error
        assert error or head.headers == _headers(pairs)
        return True


STRICTER = (
    "overlapping",  # pycapnp reads a byte as often as it is pointed to
    "segment table",  # and ignores what follows a message
    "contradicts itself",  # and takes the number of a list's structs modulo 2^29
    "leads to no far pointer",  # and reads some broken landing pads as null
)


class Same(dict):
    """Every text stands for itself."""

    def __missing__(self, key: bytes) -> bytes:
        if key and key[-1]:
            raise RemoteProtocolError("a text without a NUL at its end")
        return key[:-1]


def _headers(pairs, *, without=None):
    headers = [(k.removeprefix("HttpHeader:"), v) for k, v in pairs if k.startswith("HttpHeader:")]
    return [(k.lower().encode(), v.encode()) for k, v in headers if k.lower() != without]


class Rpc:
    """A bare connection that has called and serves, in the middle of a session."""

    def __init__(self) -> None:
        schemas = load_schemas()
        self.push = schemas.method("RegistrationServer", "updateLocalConfiguration")
        self.configure = schemas.method("ConfigurationManager", "updateConfiguration")
        promised = {"promisedAnswer": {"questionId": 0, "transform": [{"noop": None}] * 3}}
        wire = peer.wire
        self.corpus = [
            wire({"bootstrap": {"questionId": 0}}),
            peer.call(1, self.push, {"config": b"{}" * 20}, promised),
            peer.call(2, self.configure, {"version": 1, "config": b"{}"}),
            peer.call(3, self.configure, sendResultsTo={"yourself": None}),
            peer.bootstrap_return(0, {"senderHosted": 7}),
            peer.bootstrap_return(0, {"thirdPartyHosted": {"vineId": 7}}),
            peer.results(1, self.configure, {"result": {"err": "no"}}),
            wire({"return": {"answerId": 1, "exception": {"reason": "went wrong"}}}),
            wire({"return": {"answerId": 1, "takeFromOtherQuestion": 3}}),
            wire({"finish": {"questionId": 1}}),
            wire({"release": {"id": 0, "referenceCount": 1}}),
            wire({"resolve": {"promiseId": 7, "cap": {"senderHosted": 8}}}),
            wire({"disembargo": {"target": promised, "context": {"senderLoopback": 1}}}),
            wire({"disembargo": {"context": {"provide": 1}}}),
            wire({"provide": {"questionId": 5, "target": promised}}),
            wire({"accept": {"questionId": 5}}),
            wire({"join": {"questionId": 5, "target": promised}}),
            wire({"unimplemented": {"call": {"questionId": 1, "target": promised}}}),
            wire({"unimplemented": {"unimplemented": {"finish": {"questionId": 1}}}}),
            wire({"abort": {"reason": "bye"}}),
        ]

    def feed(self, rng: random.Random, data: bytes) -> None:
        connection = RpcConnection([self.push, self.configure])
        connection.call(self.configure, {"version": 3})
        first = b"".join(rng.sample(self.corpus[:3], rng.randrange(3)))
        try:
            for piece in [first, *cut(rng, data)]:
                for event in connection.receive_data(piece):
                    if isinstance(event, Called) and rng.random() < 0.7:
                        connection.return_results(event.answer_id, {})
        finally:
            peer.read(connection)


class Sessions:
    """The typed ends, each fed with what the other end says."""

    def __init__(self) -> None:
        self.corpus = []
        credentials = Credentials(UUID(int=1), "acct", bytes(32), "t.example")
        identity = ClientIdentity(bytes(16), "1.0", "linux_amd64", DEFAULT_FEATURES)
        self._register = (credentials, 0, identity)
        rng = random.Random(0)
        for one, other in ((self.client, self.server), (self.edge, self.service)):
            a, b = one(), other()
            for _ in range(6):
                for sender, receiver in ((a, b), (b, a)):
                    wire = sender.data_to_send()
                    self.corpus += MessageSplitter(MAX_INPUT).receive_data(wire)
                    for event in receiver.receive_data(wire):
                        self.answer(rng, receiver, event)

    def client(self) -> RegistrationClient:
        client = RegistrationClient()
        client.register(*self._register)
        client.update_local_configuration(b"{}")
        client.unregister()
        return client

    def server(self) -> RegistrationServer:
        return RegistrationServer()

    def edge(self) -> ConnectorServiceClient:
        edge = ConnectorServiceClient()
        edge.update_configuration(1, b"{}")
        edge.register_udp_session(bytes(16), (bytes(4), 53))
        edge.unregister_udp_session(bytes(16), "bye")
        return edge

    def service(self) -> ConnectorService:
        return ConnectorService()

    def answer(self, rng: random.Random, session, event) -> None:
        match event:
            case RegisterRequested():
                if rng.random() < 0.5:
                    session.accept(event.answer, Registration(UUID(int=2), "lis01"))
                else:
                    session.refuse(event.answer, "EDUPCONN", should_retry=True, retry_after=1)
            case UnregisterRequested():
                session.done(event.answer)
            case LocalConfigurationPushed():
                session.fail(event.answer, "no")

    def feed(self, rng: random.Random, data: bytes) -> None:
        session = rng.choice((self.client, self.server, self.edge, self.service))()
        first = b"".join(rng.sample(self.corpus, rng.randrange(3)))
        try:
            for piece in cut(rng, first + data):
                for event in session.receive_data(piece):
                    self.answer(rng, session, event)
        finally:
            peer.read(session)


TARGETS = {"framing": Framing, "datastream": Datastream, "rpc": Rpc, "registration": Sessions}


# The run


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--last", type=Path, required=True)
    options = parser.parse_args()

    faulthandler.enable()
    rng = random.Random(options.seed)
    target = TARGETS[options.target]()
    options.last.write_bytes(bytes(8 + MAX_INPUT))
    with options.last.open("r+b") as file, mmap.mmap(file.fileno(), 0) as last:
        _limit_memory()
        return _run(target, rng, options, last)


def _run(target, rng: random.Random, options, last) -> int:
    deadline = time.monotonic() + options.seconds
    refused = done = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while done < options.count and time.monotonic() < deadline:
        data = _input(target, rng)
        last[: 8 + len(data)] = pack("<Q", len(data)) + data
        done += 1
        # tracemalloc triples the time, and is not without growth itself.
        measured = done % 8 == 0 and done <= MEASURED_INPUTS
        try:
            refused += _measured(target, rng, data) if measured else _fed(target, rng, data)
        except Exception:
            print(f"seed {options.seed}, input {done}: {data.hex()}")
            traceback.print_exc(file=sys.stdout)
            return 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{done} inputs, {refused} refused, grown by {grown} KiB")
    return 0 if grown < 64 << 10 else 1


def _input(target, rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.03:
        return rng.randbytes(rng.randrange(200))
    data = rng.choice(target.corpus)
    if kind < 0.3:
        data = resegment(rng, data)
    if kind < 0.4:
        data += rng.choice(target.corpus)
    return mutate(rng, data, target.corpus)


def _fed(target, rng: random.Random, data: bytes) -> bool:
    try:
        target.feed(rng, data)
    except RemoteProtocolError:
        return True
    return False


def _measured(target, rng: random.Random, data: bytes) -> bool:
    tracemalloc.start()
    try:
        refused = _fed(target, rng, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    allowed = ALLOWED_BYTES + ALLOWED_FACTOR * len(data)
    assert peak <= allowed, f"{peak} bytes of memory for {len(data)} bytes of input"
    return refused


def _limit_memory() -> None:
    """What C++ takes at a declared size is not seen by tracemalloc: let it fail."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
