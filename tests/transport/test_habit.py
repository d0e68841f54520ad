"""How often a socket is read when it wakes us."""

from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.transport.habit import BATCH, Habit


def _limits(counts):
    """How many reads each wake-up is worth, if each brings what there is and is asked for."""
    habit = Habit()
    asked = []
    for count in counts:
        asked.append(habit.limit)
        habit.note(min(count, habit.limit))
    return asked


def test_wake_ups_that_are_alike_spare_the_call_that_finds_nothing():
    """After 18 alike no more is asked for than they brought."""
    assert _limits([2] * 20) == [*([BATCH] * 18), 2, 2]


def test_all_is_asked_for_again_when_something_changes():
    """One wake-up that brought less ends it, and so does one that brought more, within 16."""
    assert _limits([2] * 20 + [1, 2])[-1] == BATCH
    asked = _limits([2] * 20 + [9] * 20)
    first_whole = asked.index(BATCH, 20)
    assert first_whole < 20 + 16
    assert set(asked[first_whole:]) == {BATCH}


@given(st.lists(st.integers(0, BATCH), max_size=200))
def test_something_is_always_asked_for(counts):
    """Each wake-up is worth one read at least and a batch at most, and all is asked for in
    any 17 that follow each other.
    """
    asked = _limits(counts)
    assert all(1 <= limit <= BATCH for limit in asked)
    assert all(BATCH in asked[start : start + 17] for start in range(len(asked) - 16))


@given(st.lists(st.integers(1, 3), max_size=60))
def test_only_what_is_alike_is_cut_short(counts):
    """Where less than a batch is asked for, the 17 wake-ups before brought the same number."""
    habit = Habit()
    brought = []
    for count in counts:
        if habit.limit < BATCH:
            assert set(brought[-17:]) == {habit.limit}
            assert len(brought) >= 17
        brought.append(min(count, habit.limit))
        habit.note(brought[-1])
