"""The registration calls over a control stream."""

import asyncio
import json
import uuid
from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel.control import ControlSession, local_configuration
from asgi_quicktunnel.errors import (
    ConnectionLost,
    DuplicateConnection,
    ProtocolError,
    RegistrationError,
)
from asgi_quicktunnel.model import Credentials, Registration
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    LocalConfigurationPushed,
    RegisterRequested,
    RegistrationServer,
    UnregisterRequested,
)

from tests_support.driver_pair import driver_pair

pytestmark = pytest.mark.anyio

SECRET = b"0123456789abcdef0123456789abcdef"
CREDENTIALS = Credentials(uuid.UUID(int=7), "account", SECRET, "some-words.example")
IDENTITY = ClientIdentity(b"c" * 16, "asgi-quicktunnel/1", "linux_amd64", DEFAULT_FEATURES)
REGISTRATION = Registration(uuid.UUID(int=9), "lis01")


@asynccontextmanager
async def session(answer):
    """A control session against an edge whose `answer(server, request)` acts on each request."""
    async with driver_pair() as pair:
        stream = pair.client.open_stream()
        assert stream.stream_id == 0
        control = ControlSession(stream, IDENTITY)
        control.start()
        seen = []

        async def serve():
            edge_stream = await pair.server_accepted.get()
            server = RegistrationServer()
            while data := await edge_stream.receive():
                for request in server.receive_data(data):
                    seen.append(request)
                    answer(server, request)
                await edge_stream.send(server.data_to_send())
            seen.append("end")

        serving = asyncio.create_task(serve())
        try:
            with anyio.fail_after(10):
                yield control, seen, pair
        finally:
            await control.aclose()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def accept(server, request):
    """What an edge in good health answers."""
    if isinstance(request, RegisterRequested):
        server.accept(request.answer, REGISTRATION)
    elif isinstance(request, UnregisterRequested | LocalConfigurationPushed):
        server.done(request.answer)


async def test_register_configure_unregister():
    """The three calls arrive with what they were given, and the edge's answer comes back."""
    async with session(accept) as (control, seen, _):
        registered = await control.register(
            CREDENTIALS, 2, local_ip="192.0.2.7", replace_existing=True, previous_attempts=3
        )
        await control.push_configuration(local_configuration("http://localhost:8000"))
        await control.unregister(timeout=5)

        assert registered == REGISTRATION
        request, configuration, _unregister = seen
        assert request.secret == SECRET
        assert request.account_tag == "account"
        assert request.tunnel_id == CREDENTIALS.tunnel_id.bytes
        assert request.conn_index == 2
        assert request.replace_existing
        assert request.previous_attempts == 3
        assert request.origin_local_ip == bytes(10) + b"\xff\xff\xc0\x00\x02\x07"
        assert request.identity == IDENTITY
        assert json.loads(configuration.config)["ingress"][0]["service"] == "http://localhost:8000"


async def test_overlapping_calls_each_get_their_answer():
    """A call that takes over the number of one just answered is answered too, whenever it comes."""
    async with session(accept) as (control, _, _pair):
        for turns in range(40):
            pushing = asyncio.create_task(control.push_configuration(b"{}", timeout=2))
            for _ in range(turns):
                await asyncio.sleep(0)
            await control.unregister(timeout=2)
            await pushing


async def test_goodbye_ends_the_stream():
    """`aclose` sends an abort and the end of the stream; a second one does nothing."""
    async with session(accept) as (control, seen, _):
        await control.register(CREDENTIALS, 0)
        await control.aclose()
        await control.aclose()
        while "end" not in [str(item) for item in seen]:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("cause", "should_retry", "retry_after", "kind", "retryable"),
    [
        ("EDUPCONN", False, None, DuplicateConnection, True),
        ("Unauthorized: Record for tunnel not found", False, None, RegistrationError, True),
        ("too many tunnels", True, 2.5, RegistrationError, True),
        ("gone for good", False, None, RegistrationError, False),
    ],
)
async def test_refusals_are_classified(cause, should_retry, retry_after, kind, retryable):
    """Each refusal becomes the error that says what to do next."""

    def refuse(server, request):
        server.refuse(request.answer, cause, should_retry=should_retry, retry_after=retry_after)

    async with session(refuse) as (control, _, _):
        with pytest.raises(kind, match=cause) as refused:
            await control.register(CREDENTIALS, 0)
        assert type(refused.value) is kind
        assert refused.value.retryable is retryable
        assert refused.value.retry_after == retry_after
        assert SECRET.decode() not in repr(refused.value)


async def test_exceptions_of_the_edge_are_registration_errors():
    """An RPC exception is an error that names it."""

    def fail(server, request):
        server.fail(request.answer, "out of order")

    async with session(fail) as (control, _, _):
        with pytest.raises(RegistrationError, match="out of order"):
            await control.register(CREDENTIALS, 0)
        with pytest.raises(RegistrationError, match="out of order"):
            await control.push_configuration(b"{}")
        with pytest.raises(RegistrationError, match="out of order"):
            await control.unregister(timeout=5)


async def test_an_edge_that_does_not_answer_is_given_up():
    """After its timeout a call fails and says which."""
    async with session(lambda server, request: None) as (control, _, _):
        with pytest.raises(RegistrationError, match=r"registerConnection within 0\.05 s"):
            await control.register(CREDENTIALS, 0, timeout=0.05)


async def test_a_lost_connection_ends_the_call():
    """A call that waits when the connection is lost fails at once, and so do later ones."""

    async with session(lambda server, request: None) as (control, seen, pair):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_error_of(control.register(CREDENTIALS, 0)))
            while not seen:
                await asyncio.sleep(0)
            pair.server.close(0, "")
        assert isinstance(call.result(), ConnectionLost)
        with pytest.raises(ConnectionLost):
            await control.unregister(timeout=5)


async def test_nonsense_from_the_edge_ends_the_session(caplog):
    """Bytes that are no RPC end the session with a ProtocolError and a warning."""
    async with driver_pair() as pair:
        control = ControlSession(pair.client.open_stream(), IDENTITY)
        control.start()

        async def answer():
            stream = await pair.server_accepted.get()
            await stream.receive()
            await stream.send(b"\xff" * 64)

        with anyio.fail_after(5):
            async with asyncio.TaskGroup() as group:
                group.create_task(answer())
                with pytest.raises(ProtocolError):
                    await control.register(CREDENTIALS, 0)
        assert "broke the protocol" in caplog.text
        await control.aclose()


async def _error_of(awaitable):
    try:
        await awaitable
    except Exception as exc:
        return exc
