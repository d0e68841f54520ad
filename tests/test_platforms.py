"""The Pythons on this machine: each of those that the package is for reads its source."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_quicktunnel

PACKAGE = Path(asgi_quicktunnel.__file__).parent
VERSIONS = ["3.11", "3.12", "3.13", "3.14"]
COMPILE = """
import pathlib, sys
for path in pathlib.Path(sys.argv[1]).rglob("*.py"):
    compile(path.read_bytes(), path, "exec", dont_inherit=True)
print("%d.%d" % sys.version_info[:2])
"""


def find_python(version):
    """The command of this version: the one that runs, on PATH, or among pyenv's."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    candidates = [shutil.which(f"python{version}")]
    candidates += sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in filter(None, candidates):
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        if asked.stdout.strip() == version:  # pyenv's stand-ins know versions that are not there
            return str(candidate)
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_reads_the_source(version):
    """What is promised for this version compiles under it; which were found stands in the report.

    `scripts/pythons` runs the tests under each.
    """
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    done = subprocess.run(
        [python, "-W", "error", "-c", COMPILE, str(PACKAGE)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == version, done.stderr
