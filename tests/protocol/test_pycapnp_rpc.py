"""Our ends of an RPC connection against pycapnp's real two-party client and server."""

import asyncio
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
import capnp
import pytest

from asgi_quicktunnel.model import Credentials, Registration
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    ConfigurationAnswered,
    ConnectorService,
    ConnectorServiceClient,
    Declined,
    Done,
    Ended,
    Failed,
    LocalConfigurationPushed,
    Refused,
    Registered,
    RegisterRequested,
    RegistrationClient,
    RegistrationServer,
    UdpSessionAnswered,
    UnregisterRequested,
)
from asgi_quicktunnel.protocol.rpc import MAX_OPEN_CALLS, Called, RpcConnection

from tests_support.pycapnp_rpc import joined, tunnel

pytestmark = pytest.mark.anyio

CREDENTIALS = Credentials(
    tunnel_id=UUID("00112233-4455-6677-8899-aabbccddeeff"),
    account_tag="acct",
    secret=bytes(range(32)),
    hostname="t.example",
)
IDENTITY = ClientIdentity(
    bytes(range(16)), "asgi-quicktunnel/0.1.0", "linux_amd64", DEFAULT_FEATURES
)
REGISTRATION = Registration(UUID(bytes=bytes(range(0xA0, 0xB0))), "lis01", remotely_managed=True)


class Edge(tunnel().TunnelServer.Server):
    """An edge in pycapnp; `answers` are what registerConnection says, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heard = []

    async def registerConnection(self, auth, tunnelId, connIndex, options, _context, **rest):
        client = options.client
        self.heard.append(
            (
                auth.accountTag,
                auth.tunnelSecret,
                tunnelId,
                connIndex,
                (client.clientId, client.version, client.arch, tuple(client.features)),
                (options.originLocalIp, options.replaceExisting, options.numPreviousAttempts),
            )
        )
        result = _context.results.init("result").result
        for kind, values in self.answers.pop(0).items():
            result.init(kind).from_dict(values)

    async def unregisterConnection(self, _context, **rest):
        self.heard.append("unregister")

    async def updateLocalConfiguration(self, config, _context, **rest):
        self.heard.append(config)
        if not config:
            raise ValueError("nothing in it")


class Connector(tunnel().CloudflaredServer.Server):
    """A connector in pycapnp, which accepts what ours declines."""

    async def updateConfiguration(self, version, config, _context, **rest):
        _context.results.init("result").latestAppliedVersion = version

    async def registerUdpSession(self, dstPort, _context, **rest):
        _context.results.init("result").err = f"port {dstPort}"

    async def unregisterUdpSession(self, sessionId, message, _context, **rest):
        if message:
            raise ValueError(message)


@asynccontextmanager
async def pycapnp_client(session, interface, report=lambda event: None):
    """pycapnp's client of a session of ours, which is served meanwhile, and what it calls on."""
    with anyio.fail_after(10):
        async with joined(session) as (stream, runner):
            client = capnp.TwoPartyClient(stream)
            task = asyncio.create_task(runner.serve(report))
            yield client, client.bootstrap().cast_as(interface)
            client.close()
            stream.close()
            await task


# Our client, pycapnp's server


async def test_our_client_registers_at_pycapnp_s_server():
    """Everything is heard as it was said, and each kind of answer is understood."""
    edge = Edge(
        {"connectionDetails": {"uuid": REGISTRATION.connection_id.bytes, "locationName": "lis01"}},
        {"error": {"cause": "EDUPCONN", "shouldRetry": True, "retryAfter": 2_500_000_000}},
    )
    client = RegistrationClient()
    with anyio.fail_after(10):
        async with joined(client) as (stream, runner):
            server = capnp.TwoPartyServer(stream, bootstrap=edge)
            local = bytes(10) + b"\xff\xff\x7f\0\0\1"
            questions = [
                client.register(CREDENTIALS, 2, IDENTITY, origin_local_ip=local),
                client.update_local_configuration(b"{}"),
                client.update_local_configuration(b""),
            ]
            events = await runner.events(3)
            assert events[:2] == [
                Registered(questions[0], Registration(REGISTRATION.connection_id, "lis01")),
                Done(questions[1]),
            ]
            assert isinstance(events[2], Failed)
            assert "nothing in it" in events[2].reason

            # The bootstrap is known by now, and called by its id.
            again = client.register(
                CREDENTIALS, 2, IDENTITY, replace_existing=True, previous_attempts=3
            )
            assert await runner.events(1) == [Refused(again, "EDUPCONN", True, 2.5)]
            last = client.unregister()
            assert await runner.events(1) == [Done(last)]
            client.shutdown()
            await runner.send()
            await server.on_disconnect()
    identity = (bytes(range(16)), IDENTITY.version, "linux_amd64", DEFAULT_FEATURES)
    said = ("acct", bytes(range(32)), CREDENTIALS.tunnel_id.bytes, 2, identity)
    assert edge.heard == [
        (*said, (local, False, 0)),
        b"{}",
        b"",
        (*said, (b"", True, 3)),
        "unregister",
    ]


async def test_hundreds_of_calls_leave_nothing_behind():
    """Questions are finished, ids are used again; on both ends the tables are empty."""
    client = RegistrationClient()
    edge = Edge()
    with anyio.fail_after(20):
        async with joined(client) as (stream, runner):
            server = capnp.TwoPartyServer(stream, bootstrap=edge)
            for _ in range(30):
                questions = [client.unregister() for _ in range(20)]
                assert max(questions) <= 20
                assert await runner.events(20) == [Done(question) for question in questions]
            client.shutdown()
            await runner.send()
            await server.on_disconnect()
    assert edge.heard == ["unregister"] * 600


async def test_a_call_that_is_given_up_is_cancelled_at_pycapnp_s_server():
    """Our Finish before the Return cancels the method there, and the session goes on."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    class SlowEdge(Edge):
        async def unregisterConnection(self, _context, **rest):
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    client = RegistrationClient()
    with anyio.fail_after(10):
        async with joined(client) as (stream, runner):
            server = capnp.TwoPartyServer(stream, bootstrap=SlowEdge())
            slow = client.unregister()
            await runner.send()
            await started.wait()
            client.cancel(slow)
            await runner.send()
            await cancelled.wait()
            question = client.update_local_configuration(b"{}")
            assert await runner.events(1) == [Done(question)]
            client.shutdown()
            await runner.send()
            await server.on_disconnect()


async def test_both_ends_may_ask_for_a_bootstrap_on_one_connection():
    """pycapnp's client has none: our calls fail, and those it makes are answered."""
    connector = RegistrationClient()
    with anyio.fail_after(10):
        async with joined(connector) as (stream, runner):
            client = capnp.TwoPartyClient(stream)
            stub = client.bootstrap().cast_as(tunnel().CloudflaredServer)
            call = stub.updateConfiguration(version=1)
            question = connector.unregister()
            assert await runner.events(1) == [
                Failed(question, "This vat does not expose any public/bootstrap interfaces.")
            ]
            task = asyncio.create_task(runner.serve(lambda event: None))
            assert (await call).result.latestAppliedVersion == -1
            client.close()
            stream.close()
            await task


async def test_the_edge_calls_pycapnp_s_connector():
    """The edge's typed client against a CloudflaredServer that is not ours."""
    edge = ConnectorServiceClient()
    with anyio.fail_after(10):
        async with joined(edge) as (stream, runner):
            server = capnp.TwoPartyServer(stream, bootstrap=Connector())
            questions = [
                edge.update_configuration(5, b"{}"),
                edge.register_udp_session(bytes(16), (bytes(4), 53)),
                edge.unregister_udp_session(bytes(16), ""),
                edge.unregister_udp_session(bytes(16), "no such session"),
            ]
            events = await runner.events(4)
            assert events[:3] == [
                ConfigurationAnswered(questions[0], 5, None),
                UdpSessionAnswered(questions[1], "port 53"),
                Done(questions[2]),
            ]
            assert "no such session" in events[3].reason
            edge.shutdown()
            await runner.send()
            await server.on_disconnect()


# pycapnp's client, our server


async def test_pycapnp_s_client_registers_at_our_server():
    """What it says is read, and what we answer it reads."""
    server = RegistrationServer()
    answers = {
        RegisterRequested: [
            lambda request: server.accept(request.answer, REGISTRATION),
            lambda request: server.refuse(
                request.answer, "EDUPCONN", should_retry=True, retry_after=3
            ),
            lambda request: server.fail(request.answer, "out of order"),
        ],
        LocalConfigurationPushed: [lambda request: server.done(request.answer)],
        UnregisterRequested: [lambda request: server.done(request.answer)],
    }

    events = []

    def answer(event):
        events.append(event)
        if not isinstance(event, Ended):
            answers[type(event)].pop(0)(event)

    def register(edge):
        return edge.registerConnection(
            auth={"accountTag": "acct", "tunnelSecret": bytes(32)},
            tunnelId=bytes(16),
            connIndex=1,
            options={
                "client": {"clientId": bytes(16), "features": ["a", "b"], "version": "v"},
                "replaceExisting": True,
                "compressionQuality": 5,
            },
        )

    interface = tunnel().TunnelServer
    async with pycapnp_client(server, interface, answer) as (_, edge):
        result = (await register(edge)).result.result
        assert str(result.which) == "connectionDetails"
        details = result.connectionDetails
        assert details.uuid == REGISTRATION.connection_id.bytes
        assert (details.locationName, details.tunnelIsRemotelyManaged) == ("lis01", True)

        result = (await register(edge)).result.result
        assert str(result.which) == "error"
        error = result.error
        assert (error.cause, error.retryAfter, error.shouldRetry) == ("EDUPCONN", 3 * 10**9, True)

        with pytest.raises(capnp.KjException, match="out of order"):
            await register(edge)
        await edge.updateLocalConfiguration(config=b"{}")
        await edge.unregisterConnection()
        with pytest.raises(capnp.KjException, match="not implemented"):
            await edge.getServerInfo()

    assert events[0] == RegisterRequested(
        answer=events[0].answer,
        account_tag="acct",
        secret=bytes(32),
        tunnel_id=bytes(16),
        conn_index=1,
        identity=ClientIdentity(bytes(16), "v", "", ("a", "b")),
        origin_local_ip=b"",
        replace_existing=True,
        compression_quality=5,
        previous_attempts=0,
    )
    assert events[3].config == b"{}"
    assert [type(event) for event in events[1:5]] == [
        RegisterRequested,
        RegisterRequested,
        LocalConfigurationPushed,
        UnregisterRequested,
    ]


async def test_pycapnp_s_client_is_declined_by_our_connector():
    """CloudflaredServer as the edge calls it, on a stream of its own."""
    service = ConnectorService()
    events = []
    interface = tunnel().CloudflaredServer
    async with pycapnp_client(service, interface, events.append) as (_, connector):
        # All at once, the first of them on the promise of the bootstrap.
        first, second, third = (
            connector.updateConfiguration(version=1, config=b"{}"),
            connector.updateConfiguration(version=-1, config=b"{}"),
            connector.registerUdpSession(
                sessionId=bytes(16), dstIp=bytes(4), dstPort=53, closeAfterIdleHint=1
            ),
        )
        result = (await first).result
        assert (result.latestAppliedVersion, result.err) == (
            -1,
            "this tunnel is configured by its connector",
        )
        result = (await second).result
        assert (result.latestAppliedVersion, result.err) == (-1, "")
        assert (await third).result.err == "this connector does not support UDP sessions"
        with pytest.raises(capnp.KjException, match="no UDP sessions"):
            await connector.unregisterUdpSession(sessionId=bytes(16), message="bye")
    calls = ["updateConfiguration", "registerUdpSession", "unregisterUdpSession"]
    assert [event for event in events if not isinstance(event, Ended)] == [
        Declined(call) for call in calls
    ]


async def test_pycapnp_s_client_may_cancel_a_call():
    """Its Finish comes before our Return; the call is answered as cancelled and others go on."""
    server = RegistrationServer()
    requests = []
    arrived = asyncio.Event()

    def answer(event):
        if isinstance(event, UnregisterRequested):
            requests.append(event)
            arrived.set()
        elif isinstance(event, LocalConfigurationPushed):
            server.done(requests[0].answer)
            server.done(event.answer)

    interface = tunnel().TunnelServer
    async with pycapnp_client(server, interface, answer) as (_, edge):
        slow = asyncio.ensure_future(edge.unregisterConnection())
        await arrived.wait()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        await edge.updateLocalConfiguration(config=b"{}")


async def test_pycapnp_s_client_may_ask_for_the_bootstrap_often():
    """It finishes and releases each one, so that more of them than may be open do no harm."""
    service = ConnectorService()
    interface = tunnel().CloudflaredServer
    async with pycapnp_client(service, interface) as (client, _):
        for _ in range(MAX_OPEN_CALLS + 50):
            connector = client.bootstrap().cast_as(interface)
            result = (await connector.updateConfiguration(version=1)).result
            assert result.latestAppliedVersion == -1


async def test_without_a_bootstrap_pycapnp_s_client_is_told():
    """cloudflared's own answer on the control stream."""
    connection = RpcConnection()
    interface = tunnel().CloudflaredServer
    async with pycapnp_client(connection, interface) as (_, connector):
        with pytest.raises(capnp.KjException, match="no bootstrap interface"):
            await connector.updateConfiguration(version=1)


async def test_large_messages_pass_both_ways():
    """Many segments of pycapnp's, and a configuration of two megabytes from it and to it."""
    config = bytes(range(256)) * 8192
    service = RpcConnection(list(RegistrationServer()._handlers))
    heard = []

    def answer(event):
        if isinstance(event, Called):
            heard.append(event.params.config)
            service.return_results(event.answer_id, {})

    interface = tunnel().RegistrationServer
    async with pycapnp_client(service, interface, answer) as (_, edge):
        request = edge.updateLocalConfiguration_request()
        request.config = config
        await request.send()
    assert heard == [config]

    edge = Edge()
    connector = RegistrationClient()
    with anyio.fail_after(10):
        async with joined(connector) as (stream, runner):
            server = capnp.TwoPartyServer(stream, bootstrap=edge)
            question = connector.update_local_configuration(config)
            assert await runner.events(1) == [Done(question)]
            connector.shutdown()
            await runner.send()
            await server.on_disconnect()
    assert edge.heard == [config]
