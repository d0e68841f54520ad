"""What the edge may call on a connector, and how it is declined."""

import pytest

from asgi_quicktunnel.protocol.connector_service import (
    ConfigurationAnswered,
    ConnectorService,
    ConnectorServiceClient,
    Declined,
    UdpSessionAnswered,
)
from asgi_quicktunnel.protocol.schema import load_schemas
from asgi_quicktunnel.protocol.session import Done, Ended, Failed

from tests_support import rpc_peer as peer
from tests_support.sessions import exchange


@pytest.fixture
def pair():
    return ConnectorServiceClient(), ConnectorService()


@pytest.mark.parametrize("version", [0, 1, 2**31 - 1])
def test_a_newer_configuration_is_declined(pair, version):
    """The tunnel is locally managed: what is in force has version -1, and the text says why."""
    edge, connector = pair
    question = edge.update_configuration(version, b'{"ingress":[]}')
    answers, declined = exchange(edge, connector)
    assert answers == [
        ConfigurationAnswered(question, -1, "this tunnel is configured by its connector")
    ]
    assert declined == [Declined("updateConfiguration")]


@pytest.mark.parametrize("version", [-1, -2, -(2**31)])
def test_a_configuration_that_is_no_news_is_no_error(pair, version):
    """A version that is not above the current one changes nothing (protocol.md §7.2)."""
    edge, connector = pair
    question = edge.update_configuration(version, b"not looked at")
    assert exchange(edge, connector) == ([ConfigurationAnswered(question, -1, None)], [])


def test_udp_sessions_are_declined(pair):
    """Registering returns an error's text, unregistering an exception (protocol.md §7.1)."""
    edge, connector = pair
    first = edge.register_udp_session(
        bytes(16), (b"\x7f\0\0\1", 53), close_after_idle=210, trace_context="a:b:0:1"
    )
    second = edge.unregister_udp_session(bytes(16), "gone")
    answers, declined = exchange(edge, connector)
    assert answers == [
        UdpSessionAnswered(first, "this connector does not support UDP sessions"),
        Failed(second, "this connector has no UDP sessions"),
    ]
    assert declined == [Declined("registerUdpSession"), Declined("unregisterUdpSession")]


def test_the_edge_asks_with_what_it_was_told():
    """The parameters of registerUdpSession, in the units of the wire."""
    edge = ConnectorServiceClient()
    edge.register_udp_session(b"s" * 16, (b"\x7f\0\0\1", 53), close_after_idle=210.5)
    _, (_, call) = peer.read(edge)
    method = load_schemas().method("SessionManager", "registerUdpSession")
    assert (call.interfaceId, call.methodId) == (method.interface_id, method.ordinal)
    params = call.params.content.as_struct(method.params)
    assert (params.sessionId, params.dstIp, params.dstPort) == (b"s" * 16, b"\x7f\0\0\1", 53)
    assert (params.closeAfterIdleHint, params.traceContext) == (210_500_000_000, "")


def test_a_connector_may_accept_what_we_decline():
    """Other connectors answer with a version of theirs and no error."""
    edge = ConnectorServiceClient()
    configure = load_schemas().method("ConfigurationManager", "updateConfiguration")
    register = load_schemas().method("SessionManager", "registerUdpSession")
    unregister = load_schemas().method("SessionManager", "unregisterUdpSession")
    questions = [
        edge.update_configuration(4, b"{}"),
        edge.register_udp_session(bytes(16), (bytes(4), 1)),
        edge.unregister_udp_session(bytes(16), ""),
    ]
    answers = [
        peer.results(questions[0], configure, {"result": {"latestAppliedVersion": 4}}),
        peer.results(questions[1], register, {"result": {}}),
        peer.results(questions[2], unregister, {}),
    ]
    assert edge.receive_data(b"".join(answers)) == [
        ConfigurationAnswered(questions[0], 4, None),
        UdpSessionAnswered(questions[1], None),
        Done(questions[2]),
    ]


def test_methods_that_do_not_exist_are_unimplemented(pair):
    """The edge may know more interfaces than we do."""
    _, connector = pair
    register = load_schemas().method("RegistrationServer", "registerConnection")
    connector.receive_data(peer.wire({"bootstrap": {}}) + peer.call(1, register))
    _, (tag, body) = peer.read(connector)
    assert (tag, str(body.exception.type)) == ("return", "unimplemented")


def test_the_edge_ends_the_stream_s_session(pair):
    """As it does after its calls."""
    edge, connector = pair
    edge.update_configuration(1, b"{}")
    exchange(edge, connector)
    edge.shutdown()
    assert exchange(edge, connector)[1] == [Ended("rpc: shutdown")]
