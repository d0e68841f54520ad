"""Which connection uses which edge address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.addresses import AddressBook
from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.model import EdgeAddress

ADDRESSES = [EdgeAddress(f"192.0.2.{number}", 7844, number % 2) for number in range(6)]


def book(addresses=ADDRESSES):
    made = AddressBook()
    made.update(addresses)
    return made


def test_connections_are_spread_over_both_regions():
    """Four connections have four addresses, two in each region."""
    addresses = book()
    taken = [addresses.take(index) for index in range(4)]

    assert len(set(taken)) == 4
    assert sorted(address.region for address in taken) == [0, 0, 1, 1]
    assert taken[0].region != taken[1].region


def test_an_address_is_kept():
    """Asked again, a connection gets the address it has."""
    addresses = book()
    assert addresses.take(1) == addresses.take(1)


def test_rotation_takes_another():
    """After `rotate` the address is another, and the one left goes last."""
    addresses = book()
    seen = []
    for _ in range(len(ADDRESSES)):
        seen.append(addresses.take(0))
        addresses.rotate(0)

    assert len(set(seen)) == len(ADDRESSES)


def test_with_one_address_rotation_stays():
    """The address just left is better than none."""
    addresses = book(ADDRESSES[:1])
    addresses.take(0)
    addresses.rotate(0)

    assert addresses.take(0) == ADDRESSES[0]


def test_no_free_address_is_an_error_with_its_numbers():
    """More connections than addresses: the error says how many there are."""
    addresses = book(ADDRESSES[:1])
    addresses.take(0)
    with pytest.raises(DiscoveryError, match="1 known, 1 in use"):
        addresses.take(1)
    addresses.release(0)
    assert addresses.take(1) == ADDRESSES[0]


def test_an_address_that_discovery_no_longer_names_is_left():
    """A held address that is gone from discovery is replaced."""
    addresses = book()
    held = addresses.take(0)
    addresses.update([address for address in ADDRESSES if address != held])

    assert addresses.take(0) != held


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["take", "rotate", "release"]))))
def test_no_two_connections_share_an_address(steps):
    """Whatever happens, each address has one connection at most."""
    addresses = book()
    for index, step in steps:
        getattr(addresses, step)(index)
        held = list(addresses._held.values())
        assert len(held) == len(set(held))


def test_processes_that_know_nothing_of_each_other_begin_apart():
    """Four workers with one index each, all at the same moment, take four addresses."""
    taken = {book().take(index) for index in range(4)}
    assert len(taken) == 4


def test_addresses_of_other_processes_are_left_alone():
    """And count for their regions."""
    addresses = book()
    taken = addresses.take(2, elsewhere=ADDRESSES[:2] + ADDRESSES[3:4])
    assert taken in (ADDRESSES[2], ADDRESSES[4])
    with pytest.raises(DiscoveryError, match="6 known, 6 in use"):
        book().take(0, elsewhere=ADDRESSES)


def test_the_preferred_address_is_taken_until_it_fails():
    """Where an earlier process was registered; not if somebody else is there now."""
    addresses = book()
    assert addresses.take(0, preferred=ADDRESSES[5]) == ADDRESSES[5]
    addresses.rotate(0)
    assert addresses.take(0, preferred=ADDRESSES[5]) != ADDRESSES[5]
    other = book().take(0, preferred=ADDRESSES[5], elsewhere=[ADDRESSES[5]])
    assert other != ADDRESSES[5]
    gone = EdgeAddress("192.0.2.99", 7844)
    assert book().take(0, preferred=gone) in ADDRESSES
