"""Both ends of the control stream: against the dumps, and against each other."""

import tracemalloc
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.model import Credentials, Registration
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    ConfigurationAnswered,
    ConnectorServiceClient,
    Done,
    Failed,
    LocalConfigurationPushed,
    Refused,
    Registered,
    RegisterRequested,
    RegistrationClient,
    RegistrationServer,
    UnregisterRequested,
)
from asgi_quicktunnel.protocol.schema import load_schemas

from tests_support import rpc_peer as peer
from tests_support.capnp_messages import list_pointer
from tests_support.sessions import exchange
from tests_support.vectors import read_vector

CREDENTIALS = Credentials(
    tunnel_id=UUID("00112233-4455-6677-8899-aabbccddeeff"),
    account_tag="acct",
    secret=bytes(range(32)),
    hostname="t.example",
)
IDENTITY = ClientIdentity(
    connector_id=bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
    version="1.0",
    arch="linux_amd64",
    features=("allow_remote_config", "serialized_headers"),
)
LOOPBACK = bytes.fromhex("00000000000000000000ffff7f000001")
REGISTRATION = Registration(UUID(bytes=bytes(range(0xA0, 0xB0))), "lis01")
DUMPED_REQUEST = RegisterRequested(
    answer=1,
    account_tag="acct",
    secret=bytes(range(32)),
    tunnel_id=CREDENTIALS.tunnel_id.bytes,
    conn_index=0,
    identity=IDENTITY,
    origin_local_ip=LOOPBACK,
    replace_existing=False,
    compression_quality=0,
    previous_attempts=1,
)


@pytest.fixture
def pair():
    return RegistrationClient(), RegistrationServer()


def register(client, **options):
    return client.register(CREDENTIALS, 0, IDENTITY, **options)


# The dumps of protocol.md §13


def test_the_dumped_call_is_written():
    """Bootstrap and registerConnection are the bytes of §13.3."""
    client = RegistrationClient()
    register(client, origin_local_ip=LOOPBACK, previous_attempts=1)
    assert client.data_to_send() == read_vector("register")


def test_the_dumped_call_is_read_and_answered():
    """§13.3 is read as what it says; the answer to Bootstrap is the one of §13.4."""
    server = RegistrationServer()
    assert server.receive_data(read_vector("register")) == [DUMPED_REQUEST]
    assert server.data_to_send() == read_vector("bootstrap_return")


def test_the_dumped_call_survives_every_cut():
    """However it is cut."""
    wire = read_vector("register")
    for cut in range(len(wire)):
        server = RegistrationServer()
        events = server.receive_data(wire[:cut]) + server.receive_data(wire[cut:])
        assert events == [DUMPED_REQUEST]


@pytest.mark.parametrize(
    ("name", "answer", "event"),
    [
        (
            "register_accepted",
            lambda server: server.accept(1, REGISTRATION),
            Registered(1, REGISTRATION),
        ),
        (
            "register_refused",
            lambda server: server.refuse(1, "EDUPCONN", should_retry=False),
            Refused(1, "EDUPCONN", False, None),
        ),
    ],
)
def test_the_dumped_answers_are_read_and_written(name, answer, event):
    """The returns of §13.4, but for the two hints that pycapnp's own RPC sets in word 5."""
    client = RegistrationClient()
    register(client)
    client.data_to_send()
    assert client.receive_data(read_vector("bootstrap_return") + read_vector(name)) == [event]

    server = RegistrationServer()
    server.receive_data(read_vector("register"))
    server.data_to_send()
    answer(server)
    dumped = bytearray(read_vector(name))
    assert dumped[36] == 3  # releaseParamCaps (inverted) and noFinishNeeded
    dumped[36] = 0
    assert server.data_to_send() == dumped


# Registering


def test_everything_that_is_said_arrives(pair):
    """Each field of the call, with none of them at its default."""
    client, server = pair
    question = client.register(
        CREDENTIALS,
        3,
        IDENTITY,
        origin_local_ip=LOOPBACK,
        replace_existing=True,
        previous_attempts=4,
    )
    (request,) = exchange(client, server)[1]
    assert request == replace(
        DUMPED_REQUEST,
        answer=question,
        conn_index=3,
        replace_existing=True,
        previous_attempts=4,
    )


def test_what_is_not_said_has_its_default(pair):
    """No local address, nothing to replace, no attempt before this one."""
    client, server = pair
    register(client)
    (request,) = exchange(client, server)[1]
    assert request == replace(DUMPED_REQUEST, origin_local_ip=b"", previous_attempts=0)


@given(
    tag=st.text(st.characters(codec="utf-8")),
    secret=st.binary(),
    features=st.lists(st.text(st.characters(codec="utf-8"))),
    conn_index=st.integers(0, 255),
)
def test_identities_pass_unchanged(tag, secret, features, conn_index):
    """Whatever a connector says about itself is what the edge hears."""
    client, server = RegistrationClient(), RegistrationServer()
    credentials = replace(CREDENTIALS, account_tag=tag, secret=secret)
    identity = replace(IDENTITY, features=tuple(features))
    client.register(credentials, conn_index, identity)
    (request,) = exchange(client, server)[1]
    assert (request.account_tag, request.secret) == (tag, secret)
    assert (request.identity, request.conn_index) == (identity, conn_index)


def test_the_secret_is_never_shown(pair):
    """Not by the edge either."""
    client, server = pair
    register(client)
    (request,) = exchange(client, server)[1]
    assert "secret" not in repr(request)


@pytest.mark.parametrize("managed", [False, True])
def test_a_registration_is_told(pair, managed):
    """The edge's name for the connection, its site, and who decides the configuration."""
    client, server = pair
    question = register(client)
    exchange(client, server)
    registration = replace(REGISTRATION, remotely_managed=managed)
    server.accept(question, registration)
    assert exchange(client, server)[0] == [Registered(question, registration)]


@pytest.mark.parametrize(("retry_after", "told"), [(None, None), (0, None), (1.5, 1.5), (-1, None)])
def test_a_refusal_is_told(pair, retry_after, told):
    """Its cause, whether to try again, and after how many seconds."""
    client, server = pair
    question = register(client)
    exchange(client, server)
    server.refuse(question, "Unauthorized", should_retry=True, retry_after=retry_after)
    assert exchange(client, server)[0] == [Refused(question, "Unauthorized", True, told)]


def test_an_exception_is_a_failure(pair):
    """The edge could not handle the call at all."""
    client, server = pair
    question = register(client)
    exchange(client, server)
    server.fail(question, "out of order")
    assert exchange(client, server)[0] == [Failed(question, "out of order")]


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_connection_needs_a_name_of_16_bytes(size):
    """Without one it is not registered, as with cloudflared; the session goes on."""
    client = RegistrationClient()
    question = register(client)
    client.data_to_send()
    method = load_schemas().method("RegistrationServer", "registerConnection")
    details = {"uuid": bytes(size), "locationName": "lis01"}
    answer = peer.results(question, method, {"result": {"result": {"connectionDetails": details}}})
    (event,) = client.receive_data(answer)
    assert event == Failed(question, f"the edge names the connection with {size} bytes, not 16")
    assert not client.is_closed


@pytest.mark.parametrize(
    ("identity", "options", "conn_index"),
    [
        (replace(IDENTITY, connector_id=b"short"), {}, 0),
        (IDENTITY, {"origin_local_ip": bytes(4)}, 0),
        (IDENTITY, {}, 256),
        (IDENTITY, {}, -1),
        (IDENTITY, {"previous_attempts": -1}, 0),
    ],
)
def test_values_that_do_not_fit_are_ours(identity, options, conn_index):
    """Nothing is sent but the request for the bootstrap."""
    client = RegistrationClient()
    with pytest.raises(LocalProtocolError):
        client.register(CREDENTIALS, conn_index, identity, **options)
    assert [tag for tag, _ in peer.read(client)] in ([], ["bootstrap"])


def test_attempts_are_counted_as_far_as_the_wire_can(pair):
    """One byte."""
    client, server = pair
    register(client, previous_attempts=1000)
    (request,) = exchange(client, server)[1]
    assert request.previous_attempts == 255


def test_the_default_features_are_what_is_served():
    """protocol.md §5.6, less the management channel."""
    assert sorted(DEFAULT_FEATURES) == [
        "allow_remote_config",
        "serialized_headers",
        "support_datagram_v2",
        "support_quic_eof",
    ]


def test_overlapping_features_are_refused():
    """Two thousand pointers to one text of 100 KB are not made into 200 MB of texts."""
    client, count, size = RegistrationClient(), 2000, 100_000
    features = ("x" * size, *[""] * (count - 1))
    client.register(CREDENTIALS, 0, replace(IDENTITY, features=features))
    wire = bytearray(client.data_to_send())
    target = wire.index(b"x" * size) // 8
    first = next(
        word
        for word in range(target)
        if wire[8 * word : 8 * word + 8] == list_pointer(target - word - 1, 2, size + 1)
    )
    for word in range(first, first + count):
        wire[8 * word : 8 * word + 8] = list_pointer(target - word - 1, 2, size + 1)

    server = RegistrationServer()
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="can't be read"):
            server.receive_data(bytes(wire))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(wire)


# The rest of the control stream


def test_a_whole_session(pair):
    """Register, push the local configuration, unregister: in one go, answered one by one."""
    client, server = pair
    questions = [
        register(client),
        client.update_local_configuration(b'{"ingress":[]}'),
        client.unregister(),
    ]
    _, (first, second, third) = exchange(client, server)
    assert isinstance(first, RegisterRequested)
    assert second == LocalConfigurationPushed(questions[1], b'{"ingress":[]}')
    assert third == UnregisterRequested(questions[2])
    server.accept(first.answer, REGISTRATION)
    server.done(second.answer)
    server.done(third.answer)
    assert exchange(client, server)[0] == [
        Registered(questions[0], REGISTRATION),
        Done(questions[1]),
        Done(questions[2]),
    ]


def test_the_edge_may_call_on_the_control_stream():
    """It is declined as on any other stream; the calls of the connector go on (§5.1)."""
    connector = RegistrationClient()
    edge = ConnectorServiceClient()
    question = edge.update_configuration(1, b"{}")
    answers, reported = exchange(edge, connector)
    assert answers == [
        ConfigurationAnswered(question, -1, "this tunnel is configured by its connector")
    ]
    assert reported == []
    assert connector.unregister() == 1


def test_legacy_methods_are_unimplemented():
    """The edge's bootstrap is a TunnelServer, but of its own methods none is left."""
    server = RegistrationServer()
    legacy = load_schemas().method("TunnelServer", "registerTunnel")
    server.receive_data(peer.wire({"bootstrap": {}}) + peer.call(1, legacy))
    _, (tag, body) = peer.read(server)
    assert (tag, str(body.exception.type)) == ("return", "unimplemented")
