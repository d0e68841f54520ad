"""Which connection indexes a process keeps."""

import pytest

from asgi_quicktunnel.indexes import Move, OwnIndexes, choose


def test_alone_the_others_follow_the_first_at_a_distance():
    """Index 0 at once; each further one a second later, once that one is registered."""
    indexes = OwnIndexes(3)
    assert indexes.move(None) == Move(claim=(0,))
    assert indexes.move(None) == Move()
    assert indexes.move(0.9) == Move()
    assert indexes.move(1.0) == Move(claim=(1,))
    assert indexes.move(1.9) == Move()
    assert indexes.interval < 1
    assert indexes.move(2.0) == Move(claim=(2,))
    assert indexes.move(100) == Move()
    assert indexes.interval > 60


def test_what_was_given_up_is_not_begun_again():
    """What was only released is."""
    indexes = OwnIndexes(2)
    assert indexes.move(5).claim == (0, 1)
    indexes.release(0, for_good=True)
    indexes.release(1)
    assert indexes.move(5).claim == (1,)
    assert not indexes.is_shared
    assert not indexes.others_registered()
    assert indexes.previous(0) is None


@pytest.mark.parametrize(
    ("mine", "free", "alone", "settled", "recalled", "expected"),
    [
        ((), (0, 1, 2, 3), True, None, (), Move((0,))),
        ((), (0, 1, 2, 3), True, None, (0, 1), Move((0, 1))),
        ((), (0, 1, 2, 3), True, None, (1,), Move((0, 1))),
        ((0,), (1, 2, 3), True, 5.0, (), Move((1,))),
        ((0, 1), (2, 3), True, 5.0, (), Move()),
        ((), (1, 2, 3), False, None, (1, 2), Move((1,))),
        ((), (), False, None, (), Move()),
        ((2,), (3,), False, 5.0, (3,), Move()),
        ((0, 1), (), False, 5.0, (), Move((), (1,))),
        ((0, 1, 3), (2,), False, 5.0, (), Move((), (1, 3))),
    ],
)
def test_among_others_one_is_enough(mine, free, alone, settled, recalled, expected):
    """Alone as many as are wanted; what an earlier process left is taken up at once."""
    move = choose(mine, free, wanted=2, is_alone=alone, settled=settled, recalled=recalled)
    assert move == expected
