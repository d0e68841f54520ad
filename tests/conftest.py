"""Fixtures for every test."""

import os

import hypothesis
import pytest

from tests_support.guestbook_site import GuestbookSite

hypothesis.settings.register_profile("fast", max_examples=20)  # scripts/test --fast


def pytest_addoption(parser):
    parser.addoption(
        "--engine",
        choices=("auto", "native", "aioquic"),
        help="the QUIC engine of connectors and edges, also in the processes that tests start",
    )


def pytest_configure(config):
    if engine := config.getoption("--engine"):
        os.environ["QUICKTUNNEL_ENGINE"] = engine


@pytest.hookimpl(trylast=True)  # of what -m has left
def pytest_collection_modifyitems(config, items):
    """Each worker of pytest-xdist begins with its share of the tests that mostly wait."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    waiting = [item for item in items if item.get_closest_marker("waits")]
    others = [item for item in items if not item.get_closest_marker("waits")]
    share = len(others) // workers + 1
    items[:] = [
        item
        for number in range(workers)
        for item in waiting[number::workers] + others[share * number : share * (number + 1)]
    ]


@pytest.fixture(scope="session", autouse=True)
def _runtime_directory(tmp_path_factory):
    """Servers under test keep their tunnels where no other program's files are."""
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session", autouse=True)
def _no_bytecode_of_servers():
    """Servers under test keep no bytecode: it tells edits apart by the second, and by length."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def _guestbook_template(tmp_path_factory):
    return GuestbookSite.make(tmp_path_factory.mktemp("guestbook") / "site")


@pytest.fixture
def guestbook(_guestbook_template, tmp_path):
    """The Django example, with a database and an administrator of this test's own."""
    return _guestbook_template.copy(tmp_path / "site")
