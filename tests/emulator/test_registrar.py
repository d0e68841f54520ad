"""Who may register."""

from dataclasses import replace

import pytest

from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.faults import Faults, RegistrationFault
from asgi_quicktunnel.emulator.registrar import Admitted, Registrar
from asgi_quicktunnel.emulator.tunnels import Tunnels
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    RegisterRequested,
)

IDENTITY = ClientIdentity(bytes(16), "v", "linux_amd64", DEFAULT_FEATURES)


class Connection:
    def __init__(self, edge_index=0):
        self.edge_index = edge_index


class Office:
    """A registrar, one tunnel, and what was reported."""

    def __init__(self):
        tunnels = Tunnels(Changes())
        self.faults = Faults()
        self.registrar = Registrar(tunnels, self.faults)
        self.tunnel = tunnels.create(scheme="http", port=80)
        self.reported = []

    def request(self, **changes):
        credentials = self.tunnel.credentials
        request = RegisterRequested(
            answer=1,
            account_tag=credentials.account_tag,
            secret=credentials.secret,
            tunnel_id=credentials.tunnel_id.bytes,
            conn_index=0,
            identity=IDENTITY,
            origin_local_ip=b"",
            replace_existing=False,
            compression_quality=0,
            previous_attempts=0,
        )
        return replace(request, **changes)

    def register(self, connection, **changes):
        return self.registrar.register(
            connection, self.request(**changes), lambda rule, detail: self.reported.append(rule)
        )


@pytest.fixture
def office():
    return Office()


def test_the_tunnels_own_credentials_register(office):
    """And nothing is reported."""
    connection = Connection()
    admitted = office.register(connection)
    assert isinstance(admitted, Admitted)
    assert (admitted.registrant, admitted.tunnel) == (connection, office.tunnel)
    assert office.reported == []


@pytest.mark.parametrize(
    ("changes", "should_retry"),
    [
        ({"tunnel_id": bytes(16)}, True),
        ({"tunnel_id": b""}, True),
        ({"secret": b""}, False),
        ({"account_tag": ""}, False),
        ({"conn_index": 4}, False),
    ],
)
def test_refusals(office, changes, should_retry):
    """Wrong credentials and indexes are refused and reported."""
    refusal = office.register(Connection(), **changes)
    assert isinstance(refusal, RegistrationFault)
    assert refusal.should_retry is should_retry
    assert office.reported == [Rule.REGISTRATION]


@pytest.mark.parametrize("conn_index", [0, 1])
def test_duplicates_on_one_server(office, conn_index):
    """The same connector is refused there whatever the index, until the first one is gone."""
    first = office.register(Connection())
    refusal = office.register(Connection(), conn_index=conn_index)
    assert refusal == RegistrationFault("EDUPCONN", should_retry=False)
    assert isinstance(office.register(Connection(1), conn_index=conn_index), Admitted)
    office.registrar.withdraw(first)
    office.registrar.withdraw(first)
    assert isinstance(office.register(Connection(), conn_index=conn_index), Admitted)
    assert office.reported == []


def test_other_connectors_are_no_duplicates(office):
    """Two connectors may serve one tunnel."""
    other = replace(IDENTITY, connector_id=b"o" * 16)
    assert isinstance(office.register(Connection()), Admitted)
    assert isinstance(office.register(Connection(), identity=other), Admitted)


def test_replacing(office):
    """What stands in the way is to end: the same server's, and the same index anywhere."""
    here, there, elsewhere = Connection(0), Connection(1), Connection(2)
    office.register(here, conn_index=0)
    office.register(there, conn_index=1)
    office.register(elsewhere, conn_index=2)
    admitted = office.register(Connection(0), conn_index=1, replace_existing=True)
    assert admitted.replaces == (here, there)
    assert office.register(Connection(3), conn_index=3, replace_existing=True).replaces == ()


def test_a_fault_comes_first(office):
    """As long as it is set nobody registers."""
    office.faults.registration = fault = RegistrationFault("no", 1.5)
    assert office.register(Connection()) is fault
    office.faults.registration = None
    assert isinstance(office.register(Connection()), Admitted)


@pytest.mark.parametrize(
    "identity",
    [
        replace(IDENTITY, connector_id=b""),
        replace(IDENTITY, version=""),
        replace(IDENTITY, arch=""),
        replace(IDENTITY, features=("support_quic_eof",) * 2),
        replace(IDENTITY, features=("support_datagram_v3",)),
    ],
)
def test_odd_identities_register(office, identity):
    """The edge does not validate who a connector says it is; the record shows it."""
    assert isinstance(office.register(Connection(), identity=identity), Admitted)
    assert office.reported == [Rule.REGISTRATION]


def test_odd_local_addresses_register(office):
    """16 bytes or none."""
    assert isinstance(office.register(Connection(), origin_local_ip=b"1234"), Admitted)
    assert office.reported == [Rule.REGISTRATION]
