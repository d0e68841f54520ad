"""The edge servers, dialled over real QUIC by connectors that behave, and that don't."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import anyio
import httpx
import pytest

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.emulator.connection import ConnectionState
from asgi_quicktunnel.emulator.faults import RegistrationFault
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.errors import ConnectionLost, StreamReset
from asgi_quicktunnel.model import EdgeAddress, RequestKind, ResponseHead
from asgi_quicktunnel.protocol.datastream import (
    DATA_SIGNATURE,
    RPC_SIGNATURE,
    encode_response,
)
from asgi_quicktunnel.protocol.registration import (
    ClientIdentity,
    Done,
    Failed,
    Refused,
    Registered,
)
from asgi_quicktunnel.transport.driver import EngineDriver
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.udp import UdpSocket

from tests_support.engines import engine
from tests_support.raw_connector import IDENTITY, RawConnector, greet, raw_connector, registered

pytestmark = pytest.mark.anyio


@pytest.fixture
async def edge():
    async with LocalEdge() as edge:
        with anyio.fail_after(15):
            yield edge


async def provision(edge):
    async with edge.httpx_client() as client:
        await client.post(edge.service_url + "/tunnel")
    return edge.tunnels.latest


async def test_everything_about_a_registration_is_recorded(edge):
    """The record of a connection holds all that its connector said."""
    tunnel = await provision(edge)
    async with raw_connector(edge, 1) as connector:
        answer = await connector.register(
            tunnel.credentials, 0, origin_local_ip=bytes(16), previous_attempts=2
        )
        question = connector.rpc.update_local_configuration(b'{"ingress":[]}')
        assert await connector.next_event() == Done(question)

        assert isinstance(answer, Registered)
        (connection,) = edge.connections
        assert answer.registration == connection.control.registration
        assert answer.registration.colo == "mad01"
        assert connection.dialled.server_name == "quic.cftunnel.com"
        assert connection.dialled.alpn == ("argotunnel",)
        assert connection.dialled.edge_index == 1
        assert connection.dialled.peer[1] == connector.socket.local_port
        request = connection.control.admitted.request
        assert request.identity == IDENTITY
        assert request.conn_index == connection.conn_index == 0
        assert (request.origin_local_ip, request.previous_attempts) == (bytes(16), 2)
        assert connection.control.configuration == b'{"ingress":[]}'
        assert connection.state is ConnectionState.REGISTERED
        assert tunnel.serving == (connection,)
        assert 1232 <= connection.largest_datagram <= 1452
        assert not edge.violations


async def test_a_request_over_quic(edge):
    """A visitor's request reaches the connector, and the answer the visitor."""

    async def describe(request):
        assert request.head.kind is RequestKind.HTTP
        await request.answer(201, request.head.dest, (b"x-one", b"1"), (b"x-one", b"2"))

    async with registered(edge, describe), edge.httpx_client() as client:
        response = await client.get(edge.url_for("/a?b"))

        assert response.status_code == 201
        assert response.text == edge.url_for("/a?b")
        assert response.headers.get_list("x-one") == ["1", "2"]
        assert edge.connections[0].requests_total == 1
        assert not edge.violations


async def test_a_body_over_quic(edge):
    """A body of some megabytes is streamed to the connector and back."""

    async def echo(request):
        await request.stream.send(encode_response(ResponseHead(200)))
        while data := await request.stream.receive():
            await request.stream.send(data)
        await request.stream.send_eof()

    body = bytes(range(256)) * 12_000
    async with registered(edge, echo), edge.httpx_client() as client:
        response = await client.post(edge.url_for(), content=body)

        assert response.content == body
        assert not edge.violations


@pytest.mark.parametrize("fin", ["held", "early"])
async def test_the_end_of_a_request_without_body(fin):
    """With "held" the end comes after the answer, with "early" before it."""
    ended = asyncio.Event()

    async def watch(request):
        if fin == "early":
            assert await request.stream.receive() == b""
        await request.stream.send(encode_response(ResponseHead(200)))
        if fin == "held":
            with pytest.raises(TimeoutError), anyio.fail_after(0.1):
                await request.stream.receive()
        await request.stream.send_eof()
        assert await request.stream.receive() == b""
        ended.set()

    with anyio.fail_after(15):
        async with (
            LocalEdge(fin=fin) as edge,
            registered(edge, watch),
            edge.httpx_client() as client,
        ):
            assert (await client.get(edge.url_for())).status_code == 200
            await ended.wait()
            assert not edge.violations


async def test_unregister_ends_new_requests_alone(edge):
    """After unregisterConnection visitors see 530; what was in flight is finished."""
    release = asyncio.Event()

    async def wait(request):
        await release.wait()
        await greet(request)

    async with registered(edge, wait) as connector, edge.httpx_client() as client:
        async with anyio.create_task_group() as tasks:
            answers = []

            async def visit():
                answers.append(await client.get(edge.url_for()))

            tasks.start_soon(visit)
            (connection,) = edge.connections
            while not connection.requests_total:
                await anyio.lowlevel.checkpoint()
            question = connector.rpc.unregister()
            assert await connector.next_event() == Done(question)
            assert connection.state is ConnectionState.UNREGISTERED
            assert (await client.get(edge.url_for())).status_code == 530
            release.set()
        assert answers[0].status_code == 200
        connector.driver.close()
        assert (await connection.wait_closed()).by_peer
        assert connection.state is ConnectionState.CLOSED
        assert not edge.violations


async def test_a_lost_connection_ends_its_requests(edge):
    """Visitors whose answer had not begun see 502; later ones are told 530."""

    async def close(request):
        edge.connections[0].close()

    async with registered(edge, close) as connector, edge.httpx_client() as client:
        assert (await client.get(edge.url_for())).status_code == 502
        assert (await client.get(edge.url_for())).status_code == 530
        await connector.driver.closed
        assert edge.connections[0].state is ConnectionState.CLOSED


async def test_a_visitor_that_leaves_is_told_of(edge):
    """The connector sees RESET_STREAM and STOP_SENDING when the visitor leaves."""
    seen = []

    async def hang(request):
        try:
            await request.stream.disconnected()
            await request.body()
        except StreamReset as exc:
            seen.append(exc.code)

    async with registered(edge, hang), edge.httpx_client(timeout=0.1) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(edge.url_for())
        while not seen:
            await anyio.lowlevel.checkpoint()
        assert seen == [0]
        assert not edge.violations


async def test_a_wrong_server_name_is_met_with_silence(edge):
    """The edge says nothing to a connector that dials another name, and records it."""
    connector = RawConnector(edge)
    with anyio.move_on_after(0.5):
        await connector.dial(server_name="argotunnel")
    await connector.aclose()

    assert edge.violations.of(Rule.SERVER_NAME)
    assert edge.connections == ()
    async with raw_connector(edge):  # and it still answers others
        assert len(edge.connections) == 1


async def test_probes_are_answered(edge):
    """cloudflared's checks dial another name, do nothing and close: all in order."""
    async with raw_connector(edge, server_name="probe.cftunnel.com") as connector:
        connector.driver.close(0, "precheck complete")
        closed = await edge.connections[0].wait_closed()
    assert (closed.code, closed.reason) == (0, "precheck complete")
    assert not edge.violations


async def test_a_wrong_protocol_is_refused(edge):
    """Another ALPN gets a failed handshake."""
    host, port = edge.config().edge_entries[0]
    settings = ClientSettings("quic.cftunnel.com", Path(edge.ca_file).read_bytes())
    dialled = engine().dial(replace(settings, alpn="h3"), now=asyncio.get_running_loop().time())
    udp = UdpSocket(EdgeAddress(host, port))
    driver = EngineDriver(dialled, send_datagrams=udp.send)
    await udp.start(driver.datagrams_received)
    with pytest.raises(ConnectionLost):
        await driver.wait_connected()
    udp.close()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"secret": bytes(32)}, "Unauthorized: Invalid tunnel secret"),
        ({"account_tag": "other"}, "Unauthorized: Invalid tunnel secret"),
        ({"tunnel_id": IDENTITY.connector_id}, "Unauthorized: Failed to get tunnel"),
    ],
)
async def test_credentials_are_checked(edge, change, cause):
    """Only the tunnel's own credentials register."""
    tunnel = await provision(edge)
    if "tunnel_id" in change:
        change = {"tunnel_id": UUID(bytes=change["tunnel_id"])}
    async with raw_connector(edge) as connector:
        answer = await connector.register(replace(tunnel.credentials, **change))

        assert isinstance(answer, Refused)
        assert answer.cause == cause
        assert edge.violations.of(Rule.REGISTRATION)
        assert tunnel.serving == ()
        answer = await connector.register(tunnel.credentials)  # the connection is not spoilt
        assert isinstance(answer, Registered)


async def test_an_index_above_3_is_refused(edge):
    """Connection indexes are 0 to 3."""
    tunnel = await provision(edge)
    async with raw_connector(edge) as connector:
        assert isinstance(await connector.register(tunnel.credentials, 4), Refused)
        assert edge.violations.of(Rule.REGISTRATION)


async def test_one_connection_on_each_edge_server(edge):
    """A second one of the same connector is a duplicate there; elsewhere it is welcome."""
    tunnel = await provision(edge)
    async with registered(edge, tunnel=tunnel), raw_connector(edge, 0) as second:
        refused = await second.register(tunnel.credentials, 1)
        assert (refused.cause, refused.should_retry) == ("EDUPCONN", False)
        other = ClientIdentity(bytes(16), "test/1", "linux_amd64", ())
        async with raw_connector(edge, 0) as third, raw_connector(edge, 1) as fourth:
            assert isinstance(
                await third.register(tunnel.credentials, 0, identity=other), Registered
            )
            assert isinstance(await fourth.register(tunnel.credentials, 1), Registered)
            assert len(tunnel.serving) == 3
    assert not edge.violations


async def test_a_replacement_ends_what_it_replaces(edge):
    """replaceExisting takes the place of the connector's other connection."""
    tunnel = await provision(edge)
    async with registered(edge, tunnel=tunnel) as first, raw_connector(edge, 1) as second:
        answer = await second.register(tunnel.credentials, 0, replace_existing=True)

        assert isinstance(answer, Registered)
        assert (await first.driver.closed).by_peer
        assert [connection.edge_index for connection in tunnel.serving] == [1]


async def test_registrations_can_be_made_to_fail(edge):
    """`faults.registration` is what the connector hears."""
    tunnel = await provision(edge)
    edge.faults.registration = RegistrationFault("try later", retry_after=2.5)
    async with raw_connector(edge) as connector:
        answer = await connector.register(tunnel.credentials)
        assert (answer.cause, answer.retry_after, answer.should_retry) == ("try later", 2.5, True)

        edge.faults.registration = None
        assert isinstance(await connector.register(tunnel.credentials), Registered)


async def test_registering_twice_is_a_violation(edge):
    """The second registration of a connection fails; the first one holds."""
    tunnel = await provision(edge)
    async with registered(edge, tunnel=tunnel) as connector, edge.httpx_client() as client:
        assert isinstance(await connector.register(tunnel.credentials), Failed)
        assert edge.violations.of(Rule.REGISTRATION)
        assert (await client.get(edge.url_for())).status_code == 200


async def test_calls_after_unregistering_are_violations(edge):
    """A connector that left calls nothing more."""
    tunnel = await provision(edge)
    async with registered(edge, tunnel=tunnel) as connector:
        connector.rpc.unregister()
        await connector.next_event()
        connector.rpc.unregister()
        await connector.next_event()
        connector.rpc.update_local_configuration(b"{}")
        await connector.next_event()
        assert isinstance(await connector.register(tunnel.credentials), Failed)
        assert len(edge.violations.of(Rule.UNREGISTERED)) == 3


@pytest.mark.parametrize("config", [b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000])
async def test_the_local_configuration_is_checked(edge, config):
    """Anything but a JSON object is a violation."""
    async with registered(edge) as connector:
        connector.rpc.update_local_configuration(config)
        await connector.next_event()
        assert edge.violations.of(Rule.CONFIGURATION)


async def test_identity_is_checked(edge):
    """What a connector says about itself may be wrong in many ways, and still register."""
    tunnel = await provision(edge)
    odd = ClientIdentity(bytes(16), "", "", ("allow_remote_config", "allow_remote_config", "x"))
    async with raw_connector(edge) as connector:
        assert isinstance(await connector.register(tunnel.credentials, identity=odd), Registered)
        assert len(edge.violations.of(Rule.REGISTRATION)) == 3


async def test_a_broken_control_stream(edge):
    """Garbage instead of RPC ends the control stream, not the edge."""
    tunnel = await provision(edge)
    async with raw_connector(edge) as connector:
        await connector.control.send(b"\xff" * 64)
        await edge.wait_for(lambda: bool(edge.violations.of(Rule.RPC)))
    async with registered(edge, tunnel=tunnel), edge.httpx_client() as client:
        assert (await client.get(edge.url_for())).status_code == 200


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_control_stream_that_ends_early(edge, how):
    """Without its control stream a connection takes no requests, and that is a violation."""
    async with registered(edge) as connector:
        if how == "end":
            await connector.control.send_eof()
        else:
            connector.control.reset()
        await edge.wait_for(lambda: bool(edge.violations.of(Rule.CONTROL_STREAM)))
        await edge.wait_for(lambda: not edge.tunnels.latest.serving)


async def test_streams_that_connectors_must_not_open(edge):
    """A stream beside 0 is reset and recorded, unless it carries RPC."""
    async with registered(edge) as connector, edge.httpx_client() as client:
        rpc = connector.driver.open_stream()
        await rpc.send(RPC_SIGNATURE)
        await rpc.disconnected()
        assert not edge.violations
        other = connector.driver.open_stream()
        await other.send(b"GET / HTTP/1.1\r\n")
        await other.disconnected()
        assert [violation.stream_id for violation in edge.violations.of(Rule.CLIENT_STREAM)] == [8]
        assert (await client.get(edge.url_for())).status_code == 200


async def answer_garbage(request):
    await request.stream.send(b"HTTP/1.1 200 OK\r\n\r\n")


async def answer_half(request):
    await request.stream.send(encode_response(ResponseHead(200))[:20])
    await request.stream.send_eof()


async def answer_nothing(request):
    await request.stream.send_eof()


async def answer_without_status(request):
    message = encode_response(ResponseHead(200)).replace(b"HttpStatus", b"HttpStatuz")
    assert message.startswith(DATA_SIGNATURE)
    await request.stream.send(message)


async def answer_100(request):
    await request.answer(100)


async def answer_101(request):
    await request.answer(101)


async def answer_body_behind_error(request):
    await request.stream.send(encode_response(ResponseHead(502, error="no")) + b"body")
    await request.stream.send_eof()


@pytest.mark.parametrize(
    ("serve", "rule"),
    [
        (answer_garbage, Rule.ANSWER_HEAD),
        (answer_half, Rule.ANSWER_HEAD),
        (answer_nothing, Rule.ANSWER_HEAD),
        (answer_without_status, Rule.ANSWER_HEAD),
        (answer_100, Rule.STATUS),
        (answer_101, Rule.STATUS),
        (answer_body_behind_error, Rule.BODY_FORBIDDEN),
    ],
)
async def test_bad_answers(edge, serve, rule):
    """The visitor sees 502, the violation is recorded, and the same connection serves on."""
    async with registered(edge, serve) as connector, edge.httpx_client() as client:
        assert (await client.get(edge.url_for())).status_code == 502
        assert [violation.rule for violation in edge.violations] == [rule]
        assert edge.violations[0].connection == 1
        assert edge.violations[0].stream_id is not None
        connector.serve = greet
        assert (await client.get(edge.url_for())).text == "hello"


async def test_leaving_requests_unanswered_is_a_violation(edge):
    """A connector that closes first owes answers; the visitors see 502."""

    async def leave(request):
        connector.driver.close()

    async with registered(edge, leave) as connector, edge.httpx_client() as client:
        assert (await client.get(edge.url_for())).status_code == 502
        assert edge.violations.of(Rule.UNANSWERED)


async def test_datagrams_that_are_too_large(edge):
    """A first flight above 1232 bytes is recorded."""
    host, port = edge.config().edge_entries[0]
    async with raw_connector(edge):
        connection = edge.connections[0]
        connection.datagrams_received([b"\xc0" + bytes(1299)])
        connection.datagrams_received([b"\x40" + bytes(1400)])
        assert len(edge.violations.of(Rule.DATAGRAM_SIZE)) == 1
        assert connection.largest_datagram == 1401
        connection.datagrams_received([b"\x40" + bytes(1499)])
        assert len(edge.violations.of(Rule.DATAGRAM_SIZE)) == 2
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
            for data in (b"", b"\x00", b"\xff" * 1300, bytes(65000)):
                stray.sendto(data, (host, port))
    async with registered(edge), edge.httpx_client() as client:
        assert (await client.get(edge.url_for())).status_code == 200


async def test_tests_may_send_what_they_like(edge):
    """`open_stream` gives a test the edge's end of a stream."""
    async with registered(edge) as connector:
        arrived = asyncio.get_running_loop().create_future()
        connector.on_stream = arrived.set_result
        stream = edge.connections[0].open_stream()
        await stream.send(b"anything")
        assert await (await arrived).receive() == b"anything"


async def test_more_headers_than_connectors_take(edge):
    """A head that fits no ConnectRequest is refused by the edge itself."""
    async with registered(edge), edge.httpx_client() as client:
        refused = await client.get(edge.url_for(), headers=[("x", "1")] * 1001)
        assert refused.status_code == 431
        assert (await client.get(edge.url_for())).status_code == 200
        assert edge.connections[0].requests_total == 1
