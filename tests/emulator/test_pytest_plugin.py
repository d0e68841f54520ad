"""The fixture, in projects of others."""

import os
import subprocess
import sys
import textwrap

import pytest

HEAVY = ("aioquic", "anyio._backends", "capnp", "cryptography", "h11", "httpx", "starlette")

pytestmark = pytest.mark.anyio


async def test_the_fixture_is_a_running_edge(local_edge):
    """Async tests of any project get a running edge by asking for it."""
    async with local_edge.httpx_client() as client:
        response = await client.post(local_edge.service_url + "/tunnel")
    assert response.json()["success"]


def test_loading_the_plugin_costs_little():
    """pytest loads it in every run, so it brings in nothing of weight."""
    program = (
        "import sys, pytest, anyio.pytest_plugin; before = set(sys.modules); "
        "import asgi_quicktunnel.emulator.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = result.stdout.split()
    assert "asgi_quicktunnel.emulator.pytest_plugin" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []
    assert "asgi_quicktunnel.emulator.local" not in loaded


@pytest.mark.slow
def test_another_project_uses_it(tmp_path):
    """A test file that knows only the fixture's name passes."""
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import pytest

            @pytest.fixture
            def anyio_backend():
                return "asyncio"

            @pytest.mark.anyio
            async def test_it(local_edge):
                assert local_edge.config().service_url == local_edge.service_url
                assert len(local_edge.edge_addresses) == 2
        """)
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "."],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout
