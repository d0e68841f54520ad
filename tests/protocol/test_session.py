"""What the typed ends share: calls that fail, calls that are given up, the end."""

import pytest

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.protocol.registration import (
    ConnectorServiceClient,
    Done,
    Ended,
    Failed,
    RegistrationClient,
    RegistrationServer,
    UnregisterRequested,
)
from asgi_quicktunnel.protocol.schema import load_schemas

from tests_support import rpc_peer as peer
from tests_support.sessions import exchange


@pytest.fixture
def pair():
    return RegistrationClient(), RegistrationServer()


def test_calls_may_be_answered_in_any_order(pair):
    """Each event names its question."""
    client, server = pair
    first, second, third = [client.unregister() for _ in range(3)]
    _, requests = exchange(client, server)
    assert requests == [UnregisterRequested(question) for question in (first, second, third)]
    server.fail(third, "not now")
    server.done(second)
    server.done(first)
    assert exchange(client, server)[0] == [Failed(third, "not now"), Done(second), Done(first)]


def test_a_call_that_is_given_up_is_not_reported(pair):
    """Whether its answer comes later or came before; the session goes on."""
    client, server = pair
    slow = client.unregister()
    exchange(client, server)
    client.cancel(slow)
    client.cancel(slow)
    server.done(slow)
    other = client.unregister()
    assert exchange(client, server)[0] == []
    server.done(other)
    assert exchange(client, server)[0] == [Done(other)]
    client.cancel(other)
    assert client.data_to_send() == b""


def test_shutdown_is_an_abort_of_the_known_reason(pair):
    """Both ends know at once; the edge's objects are given back first (protocol.md §5.1, §5.9)."""
    client, server = pair
    client.unregister()
    exchange(client, server)
    client.shutdown()
    client.shutdown()
    messages = peer.read(client)
    assert [tag for tag, _ in messages] == ["release", "abort"]
    assert messages[1][1].reason == "rpc: shutdown"
    assert client.is_closed


def test_the_end_is_reported(pair):
    """Calls that are still open get no answer, and none can be made."""
    client, server = pair
    answer = client.unregister()
    exchange(client, server)
    server.shutdown()
    assert exchange(client, server)[0] == [Ended("rpc: shutdown")]
    assert client.is_closed
    server.done(answer)
    with pytest.raises(LocalProtocolError):
        client.unregister()


def test_results_that_can_not_be_read_end_the_session():
    """A text that is none, in an answer whose envelope is well-formed."""
    client = ConnectorServiceClient()
    question = client.update_configuration(1, b"{}")
    client.data_to_send()
    method = load_schemas().method("ConfigurationManager", "updateConfiguration")
    answer = peer.results(question, method, {"result": {"err": "text"}})
    with pytest.raises(RemoteProtocolError, match="can't be read"):
        client.receive_data(answer.replace(b"text", b"te\xff\xff"))
    assert client.is_closed
    assert [tag for tag, _ in peer.read(client)] == ["finish", "abort"]


def test_parameters_that_can_not_be_read_end_the_session():
    """A text that is none, in a call whose envelope is well-formed."""
    server = RegistrationServer()
    server.receive_data(peer.wire({"bootstrap": {}}))
    server.data_to_send()
    method = load_schemas().method("RegistrationServer", "registerConnection")
    call = peer.call(1, method, {"auth": {"accountTag": "text"}})
    with pytest.raises(RemoteProtocolError, match="can't be read"):
        server.receive_data(call.replace(b"text", b"te\xff\xff"))
    assert [tag for tag, _ in peer.read(server)] == ["abort"]
