import json

import pytest

from bench.excerpt import readme_excerpt
from bench.growth import Growth
from bench.report import Report, comparison_table, markdown_table, metric_text
from bench.results import Results


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("c16.p50", 0.00123, "1.23 ms"),
        ("c16.rps", 1234.5, "1234/s"),
        ("c16.cpu", 0.000123, "123 µs"),
        ("up4.rate", 2.5e6, "2.5 MB/s"),
        ("up4.cpu_per_gib", 5.0, "5.00 s"),
        ("peak_memory", 41 << 20, "41.0 MiB"),
        ("idle_cpu", 0.0008, "0.080%"),
        ("cold_start", 1.5, "1.50 s"),
        ("20 ms, 0.5% loss: small p99", 0.021, "21.00 ms"),
        ("20 ms, 0.5% loss: down", 2e6, "2.0 MB/s"),
    ],
)
def test_a_value_is_shown_in_its_unit(metric, value, text):
    """The metric's name tells the unit."""
    assert metric_text(metric, value) == text


def test_tables_are_aligned():
    """Every line of a table is as wide as the others."""
    table = markdown_table(["name", "a"], [["first", "1"], ["second one", "12345"]])
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[-1] == "| second one | 12345 |"


def test_a_change_within_the_noise_is_not_marked():
    """A ratio is marked when it is further from 1 than the rounds are from each other."""
    results = Results()
    for here, there in ((1.0, 1.02), (1.05, 1.0), (1.0, 1.05)):
        results.add("a", {"noise": here, "slower": 2 * here})
        results.add("old:a", {"noise": there, "slower": there})
    table = comparison_table(results, "old")
    noise, slower = table.splitlines()[-2:]
    assert "!" not in noise
    assert "!" in slower


def test_one_round_marks_nothing():
    """Without a second round nobody knows the noise."""
    results = Results()
    results.add("a", {"x": 5.0})
    results.add("old:a", {"x": 1.0})
    assert "!" not in comparison_table(results, "old")


def test_a_whole_report_is_json_and_markdown():
    """What was measured, what was judged and what failed is in both."""
    report = Report("by a test")
    report.macro.add("uvicorn", {"c64.rps": 100.0, "c1.p50": 1.0})
    report.macro.add("native/uvloop", {"c64.rps": 50.0, "c1.p50": 1.2})
    report.macro.fail("c16, native/uvloop", ValueError("no answer"))
    report.growth.append(Growth("body size", "native/uvloop", [(1, 1e-3), (10, 1e-1)]))
    report.micro["scope"] = 5e-6
    text = report.as_markdown()
    for part in ("MISSED", "met", "WORSE THAN LINEAR", "5.00 µs", "no answer", "0.5x"):
        assert part in text
    document = json.loads(json.dumps(report.as_json()))
    judged = {target["metric"]: target["met"] for target in document["targets"]}
    assert judged == {"c1.p50": True, "c64.rps": False, "idle_cpu": None}
    assert document["growth"][0]["exponent"] == pytest.approx(2.0)
    assert document["failures"] == ["c16, native/uvloop: no answer"]


def test_the_readme_compares_with_cloudflared_where_it_was_measured():
    """Without it the ratios are to plain uvicorn."""
    report = Report("by a test")
    report.macro.add("uvicorn", {"c64.rps": 100.0})
    report.macro.add("native/uvloop", {"c64.rps": 50.0})
    without = readme_excerpt(report)
    report.macro.add("cloudflared", {"c64.rps": 10.0})
    with_it = readme_excerpt(report)
    assert "50/s (0.5x)" in without
    assert "ratio to uvicorn" in without
    assert "50/s (5x)" in with_it
    assert "100/s (10x)" in with_it
    assert "CPU while idle" not in with_it  # nobody measured it


def test_plots_load_nothing_from_elsewhere(tmp_path):
    """A series becomes one SVG file that names no script."""
    pytest.importorskip("matplotlib")
    from bench.plot import write_plots

    growth = Growth("open streams", "native/uvloop", [(1, 1e-4), (1000, 2e-4)])
    (path,) = write_plots([growth], tmp_path)
    text = path.read_text()
    assert path.name == "growth-open-streams.svg"
    assert "native/uvloop" in text
    assert "<script" not in text
