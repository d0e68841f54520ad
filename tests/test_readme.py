"""What the README promises."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asgi_quicktunnel import TunnelConfig, option_values
from asgi_quicktunnel.diagnostics.figures import FAMILIES
from asgi_quicktunnel.display.json_lines import as_object

from tests_support import told

README = (Path(__file__).parent.parent / "README.md").read_text()

APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})
"""


def test_the_table_of_options_is_complete():
    """Each option has a row with its environment variable, and there is no other row."""
    table = README[README.index("| option |") :].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\|", table, re.MULTILINE))
    assert set(rows) == {field.name for field in dataclasses.fields(TunnelConfig)}
    for option, variable in rows.items():
        expected = f"QUICKTUNNEL_{option.upper()}" if option in option_values.ENVIRONMENT else ""
        assert variable == expected


def test_the_table_of_metrics_is_complete():
    """Each metric has a row with its labels, and there is no other row."""
    table = README[README.index("| metric |") :].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\|", table, re.MULTILINE))
    assert rows.keys() == {family.name for family in FAMILIES}
    for family in FAMILIES:
        if family.kind == "histogram":
            assert rows[family.name] == "histogram"
        else:
            assert tuple(re.findall(r"`(\w+)`", rows[family.name])) == family.labels


@pytest.mark.slow
def test_the_example_of_a_test_passes(tmp_path):
    """The test that the README shows runs in a project of its own."""
    section = README[README.index("## Test your app") :]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    (tmp_path / "test_it.py").write_text(APP + code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_the_shapes_of_the_json_lines_are_those_that_are_printed():
    """Each event has a row with its members, and there is no other row."""
    table = README[README.index("| `provisioned` |") :].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    events = dict(map(as_object, told.ALL))
    assert rows.keys() == events.keys()
    for name, members in events.items():
        assert re.findall(r"`(\w+)`", rows[name]) == list(members)
