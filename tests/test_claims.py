"""Connection indexes that several processes share; here each is a set of locks of its own."""

import pytest

from asgi_quicktunnel.claims import SharedIndexes
from asgi_quicktunnel.indexes import Move
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.private_directory import PrivateDirectory

HERE, THERE = EdgeAddress("192.0.2.1", 7844), EdgeAddress("2001:db8::1", 7844, 1)


@pytest.fixture
def worker(tmp_path):
    """Makes one worker after the other."""
    directory = PrivateDirectory.open(tmp_path, "ours")
    made = []

    def make(wanted=2):
        made.append(SharedIndexes(directory.lock, wanted))
        return made[-1]

    yield make
    for each in made:
        each.close()
    directory.close()


def test_four_workers_have_one_each_and_a_fifth_none(worker):
    """At most four in all."""
    workers = [worker() for _ in range(6)]
    assert [each.move(None).claim for each in workers] == [(0,), (1,), (2,), (3,), (), ()]
    assert [each.move(9.0) for each in workers] == [Move()] * 6
    assert all(each.is_shared for each in workers)


def test_one_alone_has_two_and_gives_one_back(worker):
    """When another comes it keeps the lower one; alone again it takes two again."""
    first = worker()
    assert first.move(None).claim == (0,)
    assert first.move(1.0).claim == (1,)
    assert not first.is_shared
    second = worker()
    assert second.move(None).claim == (2,)
    assert first.move(2.0) == Move(give_back=(1,))
    first.release(1)
    assert first.mine == {0}
    assert first.move(3.0) == Move()
    second.close()
    assert first.move(4.0).claim == (1,)


def test_one_that_waits_is_noticed_where_all_are_taken(worker):
    """Four held by one process alone are shared with the next."""
    first, second = worker(wanted=4), worker(wanted=4)
    assert first.move(3.0).claim == (0, 1, 2, 3)
    assert second.move(None) == Move()
    assert first.move(4.0).give_back == (1, 2, 3)
    for index in (1, 2, 3):
        first.release(index)
    assert second.move(None).claim == (1,)
    assert first.move(5.0) == Move()


def test_a_dead_workers_index_is_taken_over_where_it_was(worker):
    """By one that waits; it hears of the address, for the edge may not have noticed yet."""
    workers = [worker() for _ in range(5)]
    for each in workers:
        each.move(None)
    workers[2].record(2, HERE, registered=True)
    assert workers[4].elsewhere == [HERE]
    assert workers[4].others_registered()
    workers[2].close()
    assert workers[4].elsewhere == []
    assert not workers[4].others_registered()
    assert workers[4].move(None).claim == (2,)
    assert workers[4].previous(2) == HERE


def test_one_that_unregistered_leaves_nothing_to_replace(worker):
    """Its index is free and there is no earlier connection."""
    first, second = worker(), worker()
    first.move(None)
    first.record(0, HERE, registered=True)
    first.record(0, THERE, registered=False)
    first.release(0)
    assert second.move(None).claim == (0,)
    assert second.previous(0) is None


def test_the_next_process_of_a_reloader_has_all_at_once(worker):
    """What the one before it left registered is registered again without a pause."""
    first = worker()
    first.move(None)
    first.move(1.0)
    first.record(0, HERE, registered=True)
    first.record(1, THERE, registered=True)
    first.close()
    second = worker()
    assert second.move(None).claim == (0, 1)
    assert (second.previous(0), second.previous(1)) == (HERE, THERE)


def test_who_takes_over_is_not_registered_before_it_is(worker):
    """The others don't rely on it; the next one still hears what was left, until it is replaced."""
    first = worker(wanted=1)
    first.move(None)
    first.record(0, HERE, registered=True)
    first.close()
    second, other = worker(wanted=1), worker(wanted=1)
    second.move(None)
    second.record(0, HERE, registered=False)
    assert not other.others_registered()
    assert other.elsewhere == [HERE]
    second.close()
    third = worker(wanted=1)
    third.move(None)
    assert third.previous(0) == HERE
    third.record(0, HERE, registered=True)
    assert other.others_registered()
    third.record(0, HERE, registered=False)
    third.release(0)
    assert other.move(None).claim == (0,)
    assert other.previous(0) is None


def test_what_was_given_up_is_left_to_others(worker):
    """A process that was refused for good does not try again."""
    first = worker()
    first.move(None)
    first.release(0, for_good=True)
    assert first.move(None).claim == (1,)


@pytest.mark.parametrize(
    "content", [b"", b"[1", b"{}", b"[1, 2, 3, 4]", b'["a", "b", 0, true, false]']
)
def test_a_record_that_can_not_be_read_says_nothing(tmp_path, worker, content):
    """It may be written at this moment."""
    first, second = worker(), worker()
    first.move(None)
    first._locks[0].write(content)
    assert second.elsewhere == []
    assert not second.others_registered()
