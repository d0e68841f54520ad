"""Values counted by size."""

import math
from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.traffic.histogram import Histogram


def test_a_bound_belongs_to_its_bucket():
    """As Prometheus has it: a bucket holds what is less than or equal to its bound."""
    histogram = Histogram((1, 10))
    for value in (0, 1, 1.5, 10, 11):
        histogram.add(value)
    statistics = histogram.statistics()
    assert statistics.counts == (2, 2, 1)
    assert statistics.cumulative() == (2, 4, 5)
    assert (statistics.count, statistics.total) == (5, 23.5)


@given(st.lists(st.floats(0, 1e6)), st.sets(st.floats(0, 1e6), min_size=1))
def test_the_cumulative_counts_are_those_of_the_values(values, bounds):
    """Each is the number of values up to its bound; the last one is all of them."""
    bounds = sorted(bounds)
    histogram = Histogram(bounds)
    for value in values:
        histogram.add(value)
    statistics = histogram.statistics()
    expected = [bisect_right(sorted(values), bound) for bound in [*bounds, math.inf]]
    assert list(statistics.cumulative()) == expected
