"""Loading schemas: lazily, once, and out of the way of an app that uses pycapnp itself."""

import subprocess
import sys
import threading

import pytest

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.protocol.schema import load_schemas, reading, writing

from tests_support.capnp_messages import datastream
from tests_support.pycapnp_rpc import tunnel

IDS = {
    "TunnelAuth": (0x9496331AB9CD463F, 0, 2),
    "ClientInfo": (0x83CED0145B2F114B, 0, 4),
    "ConnectionOptions": (0xB4BF9861FE035D04, 1, 2),
    "ConnectionResponse": (0xDBAA9D03D52B62DC, 1, 1),
    "ConnectionError": (0xF5F383D2785EDB86, 2, 1),
    "ConnectionDetails": (0xB5F39F082B9AC18A, 1, 2),
    "RegisterUdpSessionResponse": (0xAB6D5210C1F26687, 0, 2),
    "UpdateConfigurationResponse": (0xDB58FF694BA05CF9, 1, 1),
}


def run(script):
    """What a fresh interpreter says to a script."""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


def test_nothing_is_loaded_before_it_is_used():
    """Importing every module of protocol does not import pycapnp; the first connection does."""
    said = run(
        """
import sys
import asgi_quicktunnel.protocol.datastream
import asgi_quicktunnel.protocol.registration as registration
print("capnp" in sys.modules)
registration.RegistrationClient()
print("capnp" in sys.modules)
"""
    )
    assert said == ["False", "True"]


def test_an_app_may_use_the_same_schemas_itself():
    """The same files and ids in pycapnp's global parser, before ours or behind it."""
    script = """
import capnp
from pathlib import Path
import asgi_quicktunnel.protocol as protocol
from asgi_quicktunnel.protocol.registration import RegistrationClient, RegistrationServer

def ours():
    client, server = RegistrationClient(), RegistrationServer()
    question = client.unregister()
    (request,) = server.receive_data(client.data_to_send())
    server.done(request.answer)
    print(len(client.receive_data(server.data_to_send())))

def theirs():
    shipped = Path(capnp.__file__).parent
    rpc = capnp.load(str(shipped / "rpc.capnp"), imports=[str(shipped.parent)])
    own = capnp.load(str(Path(protocol.__file__).parent / "schemas" / "tunnel.capnp"))
    message = rpc.Message.new_message()
    message.init("finish").questionId = 7
    with rpc.Message.from_bytes(message.to_bytes()) as reader:
        print(reader.finish.questionId, hex(own.TunnelServer.schema.node.id))

{first}()
{second}()
ours()
"""
    theirs = ["7", "0xea58385c65416035"]
    assert run(script.format(first="ours", second="theirs")) == ["1", *theirs, "1"]
    assert run(script.format(first="theirs", second="ours")) == [*theirs, "1", "1"]


def test_neither_the_global_parser_nor_the_import_hook_is_needed():
    """pycapnp's import hook may be taken out, and its global parser stays as it was."""
    said = run(
        """
import capnp
import capnp.lib.capnp as inner
capnp.remove_import_hook()
from asgi_quicktunnel.protocol.registration import RegistrationClient
RegistrationClient().unregister()
print(inner._global_schema_parser, inner._importer)
"""
    )
    assert said == ["None", "None"]


def test_no_event_loop_is_needed():
    """Neither pycapnp's nor any other: threads may each have their own connection."""
    said = run(
        """
import threading
from asgi_quicktunnel.protocol.registration import RegistrationClient, RegistrationServer

def work():
    for _ in range(20):
        client, server = RegistrationClient(), RegistrationServer()
        client.unregister()
        (request,) = server.receive_data(client.data_to_send())
        server.done(request.answer)
        done.append(len(client.receive_data(server.data_to_send())))

done = []
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(done))
"""
    )
    assert said == ["160"]


def test_schemas_are_loaded_once():
    """Whoever asks, also several threads at a time, gets the same ones."""
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(load_schemas())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(id, loaded)) == {id(load_schemas())}


@pytest.mark.parametrize("name", IDS)
def test_structs_are_laid_out_as_the_protocol_says(name):
    """Ids and sizes of protocol.md §5.3."""
    node = getattr(tunnel(), name).schema.node
    assert (node.id, node.struct.dataWordCount, node.struct.pointerCount) == IDS[name]


def test_parameters_have_the_ids_that_follow_from_their_interface():
    """Those that protocol.md §5.2 names as checked, and the layouts of §5.3."""
    register = load_schemas().method("RegistrationServer", "registerConnection")
    assert register.params.node.id == 0xE6646DEC8FEAA6EE
    assert register.results.node.id == 0xEA50D822450D1F17
    for interface, name, words, pointers in (
        ("RegistrationServer", "registerConnection", 1, 3),
        ("SessionManager", "registerUdpSession", 2, 3),
        ("ConfigurationManager", "updateConfiguration", 1, 1),
    ):
        layout = load_schemas().method(interface, name).params.node.struct
        assert (layout.dataWordCount, layout.pointerCount) == (words, pointers)


def test_heads_are_laid_out_as_the_protocol_says():
    """Ids and sizes of protocol.md §6.1, which datastream.py codes by hand."""
    found = {
        name: (node.id, node.struct.dataWordCount, node.struct.pointerCount)
        for name in ("ConnectRequest", "ConnectResponse", "Metadata")
        for node in [getattr(datastream(), name).schema.node]
    }
    assert found == {
        "ConnectRequest": (0xC47116A1045E4061, 1, 2),
        "ConnectResponse": (0xB1032EC91CEF8727, 0, 2),
        "Metadata": (0xE1446B97BFD1CD37, 0, 2),
    }


def test_what_pycapnp_raises_becomes_ours():
    """On reading the peer's mistake, on writing our own; anything else passes."""
    message = load_schemas().new_message()
    with pytest.raises(RemoteProtocolError), reading():
        _ = message.call.questionId
    with pytest.raises(LocalProtocolError), writing():
        message.nothing = 1
    for context in (reading, writing):
        with pytest.raises(ZeroDivisionError), context():
            raise ZeroDivisionError
