import pytest

from bench.results import Results
from bench.targets import TARGETS, Target, Verdict, judge


@pytest.mark.parametrize(
    ("relation", "value", "is_met"),
    [
        ("at most", 0.9, True),
        ("at most", 1.1, False),
        ("at least", 0.9, False),
        ("at least", 1.1, True),
        ("at most", None, None),
    ],
)
def test_a_bound_is_met_on_one_side(relation, value, is_met):
    """Too much misses one kind of bound, too little the other, and nothing can't be judged."""
    target = Target("native", "uvicorn", "c1.p50", relation, 1.0)
    assert Verdict(target, value).is_met is is_met


def test_targets_without_their_base_are_left_out():
    """Where cloudflared was not measured, nobody is told to beat it."""
    results = Results()
    results.add("uvicorn", {"c1.p50": 1.0, "c64.rps": 100.0})
    results.add("native/uvloop", {"c1.p50": 2.0, "c64.rps": 95.0, "idle_cpu": 0.0005})
    judged = {verdict.target.metric: verdict for verdict in judge(results)}
    assert judged.keys() == {"c1.p50", "c64.rps", "idle_cpu"}
    assert judged["c1.p50"].is_met is False
    assert judged["c64.rps"].is_met is True
    assert judged["idle_cpu"].is_met is True


def test_the_variant_on_uvloop_is_judged():
    """Where both were measured, uvloop counts; otherwise asyncio does."""
    results = Results()
    results.add("uvicorn", {"c64.rps": 100.0})
    results.add("native/asyncio", {"c64.rps": 1.0})
    (asyncio_alone,) = [each for each in judge(results) if each.target.metric == "c64.rps"]
    results.add("native/uvloop", {"c64.rps": 99.0})
    (with_uvloop,) = [each for each in judge(results) if each.target.metric == "c64.rps"]
    assert (asyncio_alone.value, with_uvloop.value) == (0.01, 0.99)


def test_idle_processes_are_judged_without_a_server():
    """What uvicorn takes by itself is not the tunnel's."""
    results = Results()
    results.add("native/uvloop", {"idle_cpu": 0.003})
    results.add("native/alone", {"idle_cpu": 0.0001})
    (verdict,) = judge(results)
    assert verdict.value == 0.0001


def test_every_target_names_a_metric_that_is_measured():
    """A misspelt metric would never be missed."""
    from bench.loads import LOADS

    loads = {load.name for load in LOADS}
    for target in TARGETS:
        load, _, _ = target.metric.partition(".")
        assert load in loads | {"peak_memory", "idle_cpu"}, target
