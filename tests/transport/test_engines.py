"""Which engine carries a connection, and what is said when it can't."""

import os
import subprocess
import sys
import textwrap

import pytest

from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.transport.engine import ClientSettings, ServerSettings
from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.edge_certificates import issue
from tests_support.engine_pair import settings
from tests_support.engines import IS_NATIVE_INSTALLED

native = pytest.mark.skipif(
    not IS_NATIVE_INSTALLED, reason="asgi-quicktunnel-native is not installed"
)


def chosen_with(tmp_path, module, name):
    """What a fresh interpreter says when `asgi_quicktunnel_native` is this module.

    With None there is no such module.
    """
    if module is not None:
        (tmp_path / "asgi_quicktunnel_native.py").write_text(module)
    program = f"""
        import logging, sys
        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
        {"sys.modules['asgi_quicktunnel_native'] = None" if module is None else ""}
        from asgi_quicktunnel.errors import ConfigError
        from asgi_quicktunnel.transport.engines import choose_engine
        try:
            for _ in range(2):
                print(choose_engine({name!r}).name)
        except ConfigError as exc:
            print("ConfigError", exc)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    return done.stdout.splitlines()


OTHER_INTERFACE = "INTERFACE = 0\n__version__ = '0.0.1'\n"
BROKEN = "raise OSError('built for another machine')\n"


def test_aioquic_is_always_there():
    """The base engine has a name and a version."""
    engine = choose_engine("aioquic")

    assert engine.name == "aioquic"
    assert engine.version.startswith("1.7")


@native
def test_auto_takes_the_native_engine_where_it_is_installed():
    """Whoever installed it wants it."""
    assert choose_engine("auto").name == "native"
    assert choose_engine("native") is choose_engine("native")


@pytest.mark.parametrize("module", [None, OTHER_INTERFACE, BROKEN])
def test_auto_never_fails_because_of_the_native_engine(tmp_path, module):
    """Missing, of another version or broken: aioquic carries on, with at most one warning."""
    said = chosen_with(tmp_path, module, "auto")

    assert said[-2:] == ["aioquic", "aioquic"]
    assert len([line for line in said if line.startswith("WARNING")]) == (module is not None)
    assert len(said) == 2 + (module is not None)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (None, "it is not installed"),
        (OTHER_INTERFACE, "version 0.0.1 of it is installed, which does not fit this version"),
        (BROKEN, "its import failed: built for another machine"),
    ],
)
def test_a_named_engine_that_can_not_be_used_is_an_error(tmp_path, module, why):
    """The message says why, and what would do."""
    (said,) = chosen_with(tmp_path, module, "native")

    assert said.startswith(f"ConfigError engine='native' can't be used: {why}; ")
    assert "pip install --upgrade asgi-quicktunnel-native" in said
    assert "engine='aioquic'" in said


@pytest.mark.parametrize("name", ["aioquic", pytest.param("native", marks=native)])
def test_trust_roots_without_a_certificate_are_refused(name):
    """No engine connects without something to trust."""
    with pytest.raises(ConfigError, match="no usable certificate"):
        choose_engine(name).dial(ClientSettings("x.example", b"no PEM"), now=0.0)


@native
def test_a_certificate_without_its_key_is_refused():
    """The native engine's acceptor says what is wrong with its certificate."""
    issued = issue()
    with pytest.raises(ConfigError, match="can't be used"):
        choose_engine("native").acceptor(ServerSettings(issued.chain, issue("other").key))


@native
@pytest.mark.parametrize("name", ["", "with space", "a" * 300])
def test_a_server_name_that_is_none_is_refused(name):
    """What no certificate can cover is not dialled."""
    client_settings, _ = settings(client={"server_name": name})
    with pytest.raises(ConfigError, match="is no server name"):
        choose_engine("native").dial(client_settings, now=0.0)
