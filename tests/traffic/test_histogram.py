"""Values counted by size."""

import math
from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.traffic.histogram import BITS, HistogramStatistics, bits_of, by_bits


def test_the_counts_as_prometheus_has_them():
    """Each is the number of values up to its bound; the last one is all of them."""
    statistics = HistogramStatistics((1, 10), (2, 2, 1), 23.5)
    assert statistics.cumulative() == (2, 4, 5)
    assert statistics.count == 5


@given(st.integers(0, 2**64))
def test_bits_are_those_of_the_next_power_of_two(number):
    """The number fits below that power, and below no lower one."""
    bits = bits_of(number)
    assert number <= 2**bits
    assert bits == 0 or number > 2 ** (bits - 1)
    assert bits < BITS


@given(
    st.lists(st.integers(0, 2**40) | st.integers(0, 70)),
    st.sets(st.integers(0, 40), min_size=1).map(sorted),
)
def test_numbers_counted_by_their_bits(numbers, exponents):
    """Where the bounds are powers of two, nothing is lost: a bound belongs to its bucket."""
    counts = [0] * BITS
    for number in numbers:
        counts[bits_of(number)] += 1
    bounds = [2**exponent for exponent in exponents]
    statistics = by_bits(counts, bounds, sum(numbers))
    expected = [bisect_right(sorted(numbers), bound) for bound in [*bounds, math.inf]]
    assert list(statistics.cumulative()) == expected
    assert (statistics.count, statistics.total) == (len(numbers), sum(numbers))
