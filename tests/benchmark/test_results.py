import pytest

from bench.results import Results, Summary, growth_exponent


def test_the_median_and_the_distance_between_the_rounds():
    """A summary is the median, and how far the rounds are apart as a share of it."""
    assert Summary.of([3.0, 1.0, 2.0]) == Summary(median=2.0, spread=1.0, rounds=3)


def test_nothing_is_divided_by_zero():
    """Values of zero have no spread, and nothing is a ratio to them."""
    results = Results()
    results.add("a", {"idle": 0.0})
    results.add("b", {"idle": 1.0})
    assert results.summary("a", "idle").spread == 0
    assert results.ratio("idle", "b", "a") is None


def test_what_was_not_measured_has_no_summary():
    """A metric that one variant lacks is None there, and listed all the same."""
    results = Results()
    results.add("a", {"x": 1.0})
    results.add("b", {"y": 1.0})
    assert results.metrics() == ["x", "y"]
    assert results.summary("a", "y") is None
    assert results.ratio("x", "b", "a") is None


def test_a_ratio_is_of_the_medians():
    """Rounds are summed up before they are compared."""
    results = Results()
    for value in (1.0, 2.0, 30.0):
        results.add("a", {"x": value})
        results.add("b", {"x": 2 * value})
    assert results.ratio("x", "b", "a") == 2.0


@pytest.mark.parametrize(
    ("cost", "exponent"),
    [(lambda n: 5.0, 0), (lambda n: 3.0 * n, 1), (lambda n: 0.1 * n * n, 2)],
)
def test_the_exponent_tells_how_cost_grows(cost, exponent):
    """0 for no growth, 1 for linear growth, 2 for quadratic growth."""
    points = [(n, cost(n)) for n in (1, 10, 100, 1000)]
    assert growth_exponent(points) == pytest.approx(exponent, abs=1e-6)


def test_fixed_costs_do_not_hide_growth():
    """A quadratic part that only large sizes show is seen."""
    points = [(n, 1000.0 + 0.01 * n * n) for n in (1, 10, 100, 1000, 10000)]
    assert growth_exponent(points) > 1.15


def test_two_points_are_enough():
    """The shortest series has a first and a last size."""
    assert growth_exponent([(1, 1.0), (4, 2.0)]) == pytest.approx(0.5)
