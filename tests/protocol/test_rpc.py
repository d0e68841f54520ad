"""The RPC state machine, message by message against a scripted peer."""

from struct import pack

import pytest

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.protocol.rpc import (
    MAX_OPEN_CALLS,
    Aborted,
    Called,
    Failed,
    Returned,
    RpcConnection,
)
from asgi_quicktunnel.protocol.schema import Method, load_schemas, reading

from tests_support import rpc_peer as peer
from tests_support.capnp_messages import frame, list_pointer, struct_pointer
from tests_support.vectors import read_vector

UNREGISTER = load_schemas().method("RegistrationServer", "unregisterConnection")
PUSH = load_schemas().method("RegistrationServer", "updateLocalConfiguration")
CONFIGURE = load_schemas().method("ConfigurationManager", "updateConfiguration")
HOSTED = {"senderHosted": 7}


def kinds(messages):
    return [tag for tag, _ in messages]


@pytest.fixture
def caller():
    """A connection that has called once and knows the peer's bootstrap as import 7."""
    connection = RpcConnection()
    assert connection.call(CONFIGURE, {"version": 3}) == 1
    connection.data_to_send()
    assert connection.receive_data(peer.bootstrap_return(0, HOSTED)) == []
    connection.data_to_send()
    return connection


@pytest.fixture
def server():
    """A connection that serves two methods and whose bootstrap the peer holds."""
    connection = RpcConnection([PUSH, CONFIGURE])
    connection.receive_data(peer.wire({"bootstrap": {"questionId": 0}}))
    connection.receive_data(peer.wire({"finish": {"questionId": 0, "releaseResultCaps": False}}))
    connection.data_to_send()
    return connection


def refused(connection, data, match):
    """Such bytes are a protocol error, and the peer is told so."""
    with pytest.raises(RemoteProtocolError, match=match):
        connection.receive_data(data)
    ((tag, exception),) = [m for m in peer.read(connection) if m[0] == "abort"]
    assert tag == "abort"
    assert exception.reason.startswith("rpc: ")
    assert connection.is_closed
    assert connection.receive_data(data) == []


# Calling


def test_the_first_call_asks_for_the_bootstrap_and_does_not_wait():
    """Bootstrap goes out, and behind it the call on its promised answer."""
    connection = RpcConnection()
    question = connection.call(CONFIGURE, {"version": 3, "config": b"{}"})
    (first, bootstrap), (second, call) = peer.read(connection)
    assert (first, bootstrap.questionId) == ("bootstrap", 0)
    assert (second, call.questionId, question) == ("call", 1, 1)
    assert (call.interfaceId, call.methodId) == (CONFIGURE.interface_id, 0)
    assert str(call.sendResultsTo.which) == "caller"
    assert call.target.promisedAnswer.questionId == 0
    assert len(call.target.promisedAnswer.transform) == 0
    params = call.params.content.as_struct(CONFIGURE.params)
    assert (params.version, params.config) == (3, b"{}")
    assert connection.data_to_send() == b""


def test_later_calls_use_what_is_known_of_the_bootstrap():
    """Until it is known its promise is called, then itself; it is asked for once."""
    connection = RpcConnection()
    connection.call(CONFIGURE, {})
    connection.call(PUSH, {"config": b""})
    assert kinds(peer.read(connection)) == ["bootstrap", "call", "call"]
    connection.receive_data(peer.bootstrap_return(0, HOSTED))
    ((tag, finish),) = peer.read(connection)
    assert (tag, finish.questionId, finish.releaseResultCaps) == ("finish", 0, False)
    assert connection.call(UNREGISTER, {}) == 0
    ((tag, call),) = peer.read(connection)
    assert (tag, call.target.importedCap) == ("call", 7)


def test_the_dumped_answer_to_bootstrap_is_understood():
    """Of §13.4: the peer's export 0."""
    connection = RpcConnection()
    connection.call(CONFIGURE, {})
    connection.data_to_send()
    assert connection.receive_data(read_vector("bootstrap_return")) == []
    connection.call(CONFIGURE, {})
    _, (_, call) = peer.read(connection)
    assert (str(call.target.which), call.target.importedCap) == ("importedCap", 0)


@pytest.mark.parametrize(
    ("descriptor", "import_id"),
    [({"senderPromise": 9}, 9), ({"thirdPartyHosted": {"vineId": 5}}, 5)],
)
def test_a_bootstrap_may_be_a_promise_or_a_vine(descriptor, import_id):
    """Both can be called like an object the peer hosts."""
    connection = RpcConnection()
    connection.call(CONFIGURE, {})
    connection.receive_data(peer.bootstrap_return(0, descriptor))
    connection.data_to_send()
    connection.call(CONFIGURE, {})
    ((_, call),) = peer.read(connection)
    assert call.target.importedCap == import_id


@pytest.mark.parametrize(
    "answer",
    [
        peer.bootstrap_return(0, {"none": None}),
        peer.bootstrap_return(0, {"receiverHosted": 0}),
        peer.bootstrap_return(0, {"receiverAnswer": {"questionId": 0}}),
        peer.bootstrap_return(0, HOSTED, index=1),
        peer.wire({"return": {"answerId": 0, "results": {"capTable": [HOSTED]}}}),
        peer.wire({"return": {"answerId": 0, "exception": {"reason": "none"}}}),
        peer.wire({"return": {"answerId": 0, "canceled": None}}),
    ],
)
def test_without_a_bootstrap_the_next_call_asks_again(answer):
    """What can't be called is given back; calls on the promise are answered by the peer."""
    connection = RpcConnection()
    connection.call(CONFIGURE, {})
    connection.data_to_send()
    assert connection.receive_data(answer) == []
    ((tag, finish),) = peer.read(connection)
    assert (tag, finish.releaseResultCaps) == ("finish", True)
    broken = peer.wire({"return": {"answerId": 1, "exception": {"reason": "broken"}}})
    assert connection.receive_data(broken) == [Failed(1, "broken")]
    connection.data_to_send()
    connection.call(CONFIGURE, {})
    assert kinds(peer.read(connection)) == ["bootstrap", "call"]


def test_results_are_reported_and_the_question_is_finished(caller):
    """Results can be read with the method's schema; the id is free again."""
    values = {"result": {"latestAppliedVersion": 3, "err": "no"}}
    (event,) = caller.receive_data(peer.results(1, CONFIGURE, values))
    assert isinstance(event, Returned)
    assert event.question_id == 1
    with reading():
        result = event.results.result
        assert (result.latestAppliedVersion, result.err) == (3, "no")
    ((tag, finish),) = peer.read(caller)
    assert (tag, finish.questionId, finish.releaseResultCaps) == ("finish", 1, True)
    assert caller.call(CONFIGURE, {}) == 0
    assert caller.call(CONFIGURE, {}) == 1


def test_no_finish_is_sent_where_none_is_needed(caller):
    """pycapnp says so in its returns (protocol.md §5.1)."""
    events = caller.receive_data(peer.results(1, CONFIGURE, {}, noFinishNeeded=True))
    assert [event.question_id for event in events] == [1]
    assert caller.data_to_send() == b""
    assert caller.call(CONFIGURE, {}) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"exception": {"reason": "went wrong"}}, "went wrong"),
        ({"canceled": None}, "rpc: the call ended as canceled"),
        ({"resultsSentElsewhere": None}, "rpc: the call ended as resultsSentElsewhere"),
        ({"takeFromOtherQuestion": 4}, "rpc: the call ended as takeFromOtherQuestion"),
    ],
)
def test_a_call_may_end_without_results(caller, body, reason):
    """Whatever a Return holds, the call is over and says why."""
    data = peer.wire({"return": {"answerId": 1, **body}})
    assert caller.receive_data(data) == [Failed(1, reason)]
    assert kinds(peer.read(caller)) == ["finish"]


def test_a_return_of_a_later_version_ends_the_call(caller):
    """A member of the union that we don't know."""
    data = bytearray(peer.wire({"return": {"answerId": 1, "canceled": None}}))
    assert data[38:40] == pack("<H", 2)
    data[38:40] = pack("<H", 99)
    assert caller.receive_data(bytes(data)) == [Failed(1, "rpc: the call ended as None")]


def test_a_call_that_was_given_up_is_not_reported(caller):
    """Finish goes at once; the id stays taken until the peer's Return."""
    caller.finish(1)
    caller.finish(1)
    ((tag, finish),) = peer.read(caller)
    assert (tag, finish.questionId) == ("finish", 1)
    assert [caller.call(CONFIGURE, {}), caller.call(CONFIGURE, {})] == [0, 2]
    caller.data_to_send()
    assert caller.receive_data(peer.results(1, CONFIGURE, {})) == []
    assert caller.data_to_send() == b""
    assert caller.call(CONFIGURE, {}) == 1
    caller.finish(77)


def test_an_answer_to_no_question_ends_the_connection(caller):
    """Also a second answer to the same question."""
    answer = peer.results(1, CONFIGURE, {})
    caller.receive_data(answer)
    refused(caller, answer, "never made")


def test_a_peer_that_implements_no_calls_is_told(caller):
    """An echo of the call instead of an answer."""
    echo = peer.wire({"unimplemented": {"call": {"questionId": 1}}})
    assert caller.receive_data(echo) == [Failed(1, "rpc: the peer does not implement call")]
    refused(caller, echo, "never made")


def test_an_echo_of_anything_else_means_little(caller):
    """No answer was expected to a Finish; nor to a call that was given up."""
    assert caller.receive_data(peer.wire({"unimplemented": {"finish": {"questionId": 1}}})) == []
    caller.finish(1)
    assert caller.receive_data(peer.wire({"unimplemented": {"call": {"questionId": 1}}})) == []


def test_a_peer_without_bootstrap_may_say_so_by_an_echo():
    """Then the next call asks again."""
    connection = RpcConnection()
    connection.call(CONFIGURE, {})
    connection.data_to_send()
    assert connection.receive_data(peer.wire({"unimplemented": {"bootstrap": {}}})) == []
    connection.call(CONFIGURE, {})
    assert kinds(peer.read(connection)) == ["bootstrap", "call"]


def test_what_a_promise_becomes_is_given_back(caller):
    """The promise stays callable under its own id, so a second reference is not needed."""
    resolve = {"promiseId": 7, "cap": {"senderHosted": 8}}
    assert caller.receive_data(peer.wire({"resolve": resolve})) == []
    ((tag, release),) = peer.read(caller)
    assert (tag, release.id, release.referenceCount) == ("release", 8, 1)
    for rest in ({"cap": {"none": None}}, {"exception": {"reason": "broken"}}):
        caller.receive_data(peer.wire({"resolve": {"promiseId": 7, **rest}}))
        assert caller.data_to_send() == b""


def test_the_bootstrap_is_released_once(caller):
    """A later call asks for it anew."""
    caller.release_bootstrap()
    caller.release_bootstrap()
    ((tag, release),) = peer.read(caller)
    assert (tag, release.id, release.referenceCount) == ("release", 7, 1)
    caller.call(CONFIGURE, {})
    assert kinds(peer.read(caller)) == ["bootstrap", "call"]


def test_parameters_that_do_not_fit_are_ours(caller):
    """A value that the schema has no room for, or text that is none, leaves nothing behind."""
    for params in (
        {"version": 1 << 31},
        {"version": 1 << 70},
        {"nothing": 1},
        {"config": b"x" * (4 << 20)},
    ):
        with pytest.raises(LocalProtocolError):
            caller.call(CONFIGURE, params)
    udp = load_schemas().method("SessionManager", "unregisterUdpSession")
    with pytest.raises(LocalProtocolError):
        caller.call(udp, {"message": "\ud800"})
    assert caller.data_to_send() == b""
    assert caller.call(CONFIGURE, {}) == 0


def test_calls_that_are_never_answered_are_counted(caller):
    """A thousand at once are a mistake of the calling code."""
    for _ in range(MAX_OPEN_CALLS - 1):
        caller.call(UNREGISTER, {})
    with pytest.raises(LocalProtocolError, match="without an answer"):
        caller.call(UNREGISTER, {})


# Serving


def test_the_bootstrap_is_handed_out_as_dumped():
    """The answer to Bootstrap is the one of §13.4, byte for byte."""
    connection = RpcConnection([])
    connection.receive_data(peer.wire({"bootstrap": {"questionId": 0}}))
    assert connection.data_to_send() == read_vector("bootstrap_return")


def test_the_answer_names_the_question():
    """Question ids have 32 bits."""
    connection = RpcConnection([])
    connection.receive_data(peer.wire({"bootstrap": {"questionId": 0xFFFFFFFE}}))
    ((tag, body),) = peer.read(connection)
    assert (tag, body.answerId) == ("return", 0xFFFFFFFE)
    assert (body.releaseParamCaps, body.noFinishNeeded) == (True, False)


def test_without_a_bootstrap_that_is_said():
    """In cloudflared's words (protocol.md §5.1), to Bootstrap and to calls on it."""
    connection = RpcConnection()
    connection.receive_data(
        peer.wire({"bootstrap": {"questionId": 5}})
        + peer.call(6, CONFIGURE, target={"promisedAnswer": {"questionId": 5}})
    )
    for (tag, body), answer_id in zip(peer.read(connection), (5, 6), strict=True):
        assert (tag, body.answerId) == ("return", answer_id)
        assert body.exception.reason == "rpc: no bootstrap interface"
        assert str(body.exception.type) == "failed"


@pytest.mark.parametrize(
    "target",
    [
        {"importedCap": 0},
        {"promisedAnswer": {"questionId": 9}},
        {"promisedAnswer": {"questionId": 9, "transform": [{"noop": None}]}},
    ],
)
def test_calls_on_the_bootstrap_are_reported(server, target):
    """By its id and by the promise of the question that asked for it."""
    server.receive_data(peer.wire({"bootstrap": {"questionId": 9}}))
    server.data_to_send()
    params = {"version": -4, "config": b"{}"}
    (event,) = server.receive_data(peer.call(3, CONFIGURE, params, target))
    assert isinstance(event, Called)
    assert (event.answer_id, event.method) == (3, CONFIGURE)
    with reading():
        assert (event.params.version, event.params.config) == (-4, b"{}")
    server.return_results(3, {"result": {"latestAppliedVersion": 1}})
    ((tag, body),) = peer.read(server)
    assert (tag, body.answerId, body.releaseParamCaps) == ("return", 3, True)
    result = body.results.content.as_struct(CONFIGURE.results).result
    assert (result.latestAppliedVersion, result.err) == (1, "")


def test_a_call_without_parameters_has_defaults(server):
    """Null where the parameters should be."""
    (event,) = server.receive_data(peer.call(3, CONFIGURE))
    with reading():
        assert (event.params.version, event.params.config) == (0, b"")


def test_a_call_is_answered_once(server):
    """Twice, or without a call, is a mistake of the calling code."""
    server.receive_data(peer.call(3, PUSH, {}) + peer.call(4, PUSH, {}))
    server.return_exception(3, "no")
    ((_, body),) = peer.read(server)
    assert (body.answerId, body.exception.reason) == (3, "no")
    server.return_results(4, {})
    for answer_id in (3, 4, 5):
        with pytest.raises(LocalProtocolError, match="waits for an answer"):
            server.return_results(answer_id, {})
        with pytest.raises(LocalProtocolError, match="waits for an answer"):
            server.return_exception(answer_id, "no")


def test_results_that_do_not_fit_are_ours(server):
    """The call still waits for its answer."""
    server.receive_data(peer.call(3, CONFIGURE, {}))
    with pytest.raises(LocalProtocolError, match="schema"):
        server.return_results(3, {"result": {"latestAppliedVersion": "one"}})
    with pytest.raises(LocalProtocolError, match="at most"):
        server.return_results(3, {"result": {"err": "x" * (4 << 20)}})
    assert server.data_to_send() == b""
    server.return_results(3, {})


def test_reasons_are_sent_as_far_as_they_can_be(server):
    """Lone surrogates and novels: the text of an exception never fails to be sent."""
    server.receive_data(peer.call(3, PUSH, {}))
    server.return_exception(3, "\ud800" + "x" * 10_000)
    ((_, body),) = peer.read(server)
    assert body.exception.reason == "?" + "x" * 4095


@pytest.mark.parametrize(
    ("target", "fields", "kind", "reason"),
    [
        ({"importedCap": 1}, {}, "failed", "never handed out"),
        ({"promisedAnswer": {"questionId": 77}}, {}, "failed", "never asked"),
        ({"promisedAnswer": {"questionId": 8}}, {}, "failed", "holds no object"),
        (
            {"promisedAnswer": {"questionId": 9, "transform": [{"getPointerField": 0}]}},
            {},
            "failed",
            "part of an object",
        ),
        (None, {"sendResultsTo": {"yourself": None}}, "unimplemented", "to the caller only"),
        (None, {"interfaceId": 1}, "unimplemented", "method 0 of interface 0x1"),
        (None, {"methodId": 7}, "unimplemented", "method 7 of interface 0xb48edfbdaa25db04"),
    ],
)
def test_calls_that_lead_nowhere_get_an_exception(server, target, fields, kind, reason):
    """The connection goes on."""
    server.receive_data(peer.wire({"bootstrap": {"questionId": 9}}) + peer.call(8, PUSH))
    server.data_to_send()
    assert server.receive_data(peer.call(3, CONFIGURE, None, target, **fields)) == []
    ((tag, body),) = peer.read(server)
    assert (tag, body.answerId) == ("return", 3)
    assert str(body.exception.type) == kind
    assert reason in body.exception.reason


def test_a_call_on_a_target_of_a_later_version_gets_an_exception(server):
    """A member of the union that we don't know."""
    data = peer.call(3, CONFIGURE, target={"importedCap": 0x5A5A})
    at = data.index(pack("<I", 0x5A5A)) + 4
    server.receive_data(data[:at] + pack("<H", 9) + data[at + 2 :])
    ((_, body),) = peer.read(server)
    assert "unknown kind" in body.exception.reason


def test_a_call_that_is_finished_early_is_returned_as_canceled(server):
    """The caller gave up; its id stays taken until our Return, whatever we wanted to say."""
    server.receive_data(peer.call(3, PUSH, {}) + peer.call(4, PUSH, {}))
    finishes = [peer.wire({"finish": {"questionId": q}}) for q in (3, 4)]
    assert server.receive_data(b"".join(finishes)) == []
    assert server.data_to_send() == b""
    server.return_results(3, {})
    server.return_exception(4, "too late")
    assert [(tag, str(body.which)) for tag, body in peer.read(server)] == [
        ("return", "canceled")
    ] * 2
    assert len(server.receive_data(peer.call(3, PUSH, {}) + peer.call(4, PUSH, {}))) == 2


def test_ids_are_free_after_return_and_finish(server):
    """In this order; a Finish for nothing is what a peer sends where none was needed."""
    for _ in range(3):
        assert len(server.receive_data(peer.call(3, PUSH, {}))) == 1
        server.return_results(3, {})
        server.receive_data(peer.wire({"finish": {"questionId": 3}}) * 2)


def test_an_id_can_not_be_used_twice(server):
    """Not before its Finish came."""
    server.receive_data(peer.call(3, PUSH, {}))
    server.return_results(3, {})
    server.data_to_send()
    refused(server, peer.call(3, PUSH, {}), "still open")


def test_open_questions_are_counted(server):
    """A peer that never finishes anything is cut off."""
    flood = b"".join(peer.call(100 + i, UNREGISTER) for i in range(MAX_OPEN_CALLS))
    assert server.receive_data(flood) == []
    refused(server, peer.wire({"bootstrap": {"questionId": 9}}), "open questions")


def test_references_are_counted(server):
    """Each Bootstrap hands out one; Release and Finish give back; without any no call comes in."""
    server.receive_data(peer.wire({"bootstrap": {"questionId": 1}}))
    server.receive_data(peer.wire({"bootstrap": {"questionId": 2}}))
    server.receive_data(peer.wire({"finish": {"questionId": 1, "releaseResultCaps": True}}))
    assert len(server.receive_data(peer.call(3, PUSH, {}))) == 1
    server.receive_data(peer.wire({"release": {"id": 0, "referenceCount": 2}}))
    server.data_to_send()
    assert server.receive_data(peer.call(4, PUSH, {})) == []
    ((_, body),) = peer.read(server)
    assert "never handed out" in body.exception.reason
    # The answer to question 2 is still held, and so is what it promises.
    promise = {"promisedAnswer": {"questionId": 2}}
    assert len(server.receive_data(peer.call(5, PUSH, {}, promise))) == 1


@pytest.mark.parametrize(
    "release", [{"id": 0, "referenceCount": 2}, {"id": 3, "referenceCount": 1}]
)
def test_more_can_not_be_released_than_was_handed_out(server, release):
    """Too many references, or an object that does not exist."""
    refused(server, peer.wire({"release": release}), "release")


# What is answered without being served


@pytest.mark.parametrize(
    "message",
    [
        {"provide": {"questionId": 5, "target": {"importedCap": 0}}},
        {"accept": {"questionId": 5, "embargo": True}},
        {"join": {"questionId": 5}},
        {"obsoleteSave": None},
        {"obsoleteDelete": None},
        {"disembargo": {"context": {"accept": None}}},
        {"disembargo": {"context": {"provide": 3}}},
    ],
)
def test_what_is_not_implemented_is_echoed(server, message):
    """Levels 2 to 4 of the protocol, in one message that holds the other."""
    if None in message.values():
        builder = load_schemas().new_message()
        builder.init(next(iter(message)))
        data = builder.to_bytes()
    else:
        data = peer.wire(message)
    assert server.receive_data(data) == []
    ((tag, echo),) = peer.read(server)
    assert tag == "unimplemented"
    assert str(echo.which) == next(iter(message))
    if "join" in message:
        assert echo.join.questionId == 5


def test_messages_of_a_later_version_are_echoed(server):
    """A member of the union that we don't know comes back as it was."""
    builder = load_schemas().new_message()
    builder.init("obsoleteSave")
    data = bytearray(builder.to_bytes())
    data[16:18] = pack("<H", 200)
    assert server.receive_data(bytes(data)) == []
    ((tag, echo),) = peer.read(server)
    assert tag == "unimplemented"
    assert load_schemas().tag(echo) is None


@pytest.mark.parametrize(
    ("target", "import_id"), [({"importedCap": 6}, 6), ({"promisedAnswer": {"questionId": 1}}, 0)]
)
def test_an_embargo_is_lifted_at_once(server, target, import_id):
    """Calls are handled as they come, so none of them is on its way any more."""
    embargo = {"target": target, "context": {"senderLoopback": 4}}
    assert server.receive_data(peer.wire({"disembargo": embargo})) == []
    ((tag, body),) = peer.read(server)
    assert (tag, body.context.receiverLoopback, body.target.importedCap) == (
        "disembargo",
        4,
        import_id,
    )


def test_an_embargo_that_was_never_set_can_not_end(server):
    """We set none."""
    refused(server, peer.wire({"disembargo": {"context": {"receiverLoopback": 4}}}), "embargo")


# The end


def test_an_abort_is_the_ordinary_end(server):
    """It is reported, and nothing is heard, sent or called any more."""
    server.receive_data(peer.call(3, PUSH, {}))
    abort = peer.wire({"abort": {"reason": "rpc: shutdown"}})
    assert server.receive_data(abort + abort) == [Aborted("rpc: shutdown")]
    assert server.is_closed
    assert server.receive_data(b"anything") == []
    server.return_results(3, {})
    server.return_exception(3, "too late")
    server.abort("too late")
    server.finish(0)
    assert server.data_to_send() == b""
    with pytest.raises(LocalProtocolError, match="has ended"):
        server.call(UNREGISTER, {})


def test_an_abort_of_ours_is_sent_once(caller):
    """Behind it nothing is said any more."""
    caller.abort("rpc: shutdown")
    caller.abort("again")
    caller.finish(1)
    caller.release_bootstrap()
    ((tag, exception),) = peer.read(caller)
    assert (tag, exception.reason, str(exception.type)) == ("abort", "rpc: shutdown", "failed")
    assert caller.is_closed
    assert caller.receive_data(peer.results(1, CONFIGURE, {})) == []


@pytest.mark.parametrize(
    "data",
    [
        pack("<II", 0, 1 << 20),
        pack("<II", 0, 1) + pack("<II", 0xFC, 1),
        pack("<II", 0, 1) + pack("<iHH", 400, 1, 1),
        pack("<II", 0, 1) + pack("<II", 3, 0),
        peer.wire({"abort": {"reason": "text"}}).replace(b"text", b"te\xff\xff"),
        peer.wire({"abort": {"reason": "text"}}).replace(b"text\0", b"textx"),
    ],
)
def test_bytes_that_are_no_message_end_the_connection(server, data):
    """Too large, pointers to nowhere, no struct, texts that are none."""
    refused(server, data, "at most|can't be read")


def test_an_empty_message_is_an_echo_of_an_echo(server):
    """All zeros: unimplemented, of nothing that expected an answer."""
    assert server.receive_data(pack("<II", 0, 1) + bytes(8)) == []


def test_a_call_that_is_all_overlaps_costs_no_more_than_its_size(server):
    """A list that claims millions of steps of no size is not walked."""
    target = {"promisedAnswer": {"questionId": 0, "transform": [{"noop": None}]}}
    server.receive_data(peer.wire({"bootstrap": {"questionId": 0}}))
    data = bytearray(peer.call(3, CONFIGURE, target=target))
    # The tag of the list of one Op of one word: make it many of none.
    tag = pack("<IHH", 1 << 2, 1, 0)
    at = data.index(tag)
    data[at : at + 8] = pack("<IHH", ((1 << 29) - 1) << 2, 0, 0)
    refused(server, bytes(data), "can't be read")


def test_an_echo_is_no_deeper_than_the_encoding_allows(server):
    """A chain of a hundred thousand structs inside what would be sent back."""
    provide = struct_pointer(0, 1, 2) + pack("<Q", 5) + bytes(8)
    chain = struct_pointer(0, 0, 1) * 100_000 + bytes(8)
    data = frame(struct_pointer(0, 1, 1) + pack("<Q", 10) + provide + chain)
    assert str(load_schemas().read_message(data).which) == "provide"
    refused(server, data, "can't be read")


def test_an_echo_is_not_much_larger_than_what_it_echoes(server):
    """A thousand pointers to one text would be a thousand copies of it."""
    provide = struct_pointer(0, 1, 2) + pack("<Q", 5) + bytes(8) + list_pointer(0, 6, 1000)
    texts = b"".join(list_pointer(999 - i, 2, 100_000) for i in range(1000))
    data = frame(struct_pointer(0, 1, 1) + pack("<Q", 10) + provide + texts + bytes(100_000))
    refused(server, data, "can't be read")


def test_messages_survive_every_cut():
    """However the bytes are cut, the same events come out."""
    wire = b"".join(
        [
            peer.wire({"bootstrap": {"questionId": 0}}),
            peer.call(1, PUSH, {"config": b"one"}, {"promisedAnswer": {"questionId": 0}}),
            peer.call(2, PUSH, {"config": b"two"}),
            peer.wire({"abort": {"reason": "bye"}}),
        ]
    )

    def received(*parts):
        connection = RpcConnection([PUSH])
        events = [event for part in parts for event in connection.receive_data(part)]
        return [
            event.params.config if isinstance(event, Called) else event for event in events
        ], connection.data_to_send()

    whole = received(wire)
    assert whole[0] == [b"one", b"two", Aborted("bye")]
    for cut in range(len(wire)):
        assert received(wire[:cut], wire[cut:]) == whole
    assert received(*[wire[i : i + 1] for i in range(len(wire))]) == whole


def test_methods_are_what_they_are_declared_as():
    """An inherited method is addressed by the interface that declares it (protocol.md §5.1)."""
    register = load_schemas().method("RegistrationServer", "registerConnection")
    assert (register.interface_id, register.ordinal) == (0xF71695EC7FE85497, 0)
    assert Method(0xF71695EC7FE85497, 2, "updateLocalConfiguration", None, None) == PUSH
