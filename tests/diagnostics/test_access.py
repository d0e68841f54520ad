"""The word that a reader of the diagnostics knows."""

import pytest
from starlette.datastructures import Headers

from asgi_quicktunnel.diagnostics.access import TOKEN_HEADER, PageToken


def test_the_word_opens():
    """A request that says the word in its header may change something."""
    token = PageToken()
    assert token.matches(Headers({TOKEN_HEADER: token.value}))


@pytest.mark.parametrize("given", ["", "x", "é", "\udcff", PageToken().value])
def test_another_word_does_not(given):
    """Neither another process's word nor what is no word at all."""
    assert not PageToken().matches({TOKEN_HEADER: given})


def test_no_word_does_not():
    """Silence opens nothing."""
    assert not PageToken().matches({})


def test_it_is_not_shown():
    """What is printed does not hold the word, and each has one of its own."""
    token = PageToken()
    assert token.value not in repr(token)
    assert len({PageToken().value for _ in range(10)}) == 10
