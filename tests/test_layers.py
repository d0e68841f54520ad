"""The import order of design.md §3, read from the source."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_quicktunnel

PACKAGE = "asgi_quicktunnel"
ROOT = Path(asgi_quicktunnel.__file__).parent

# Upwards only: a module imports from the rows above its own; those in one row do not know each
# other. A folder is one entry, and its modules may import each other.
ROWS = (
    ("beside", "errors", "supervision", "private_directory", "project", "interpreter", "eager"),
    ("model", "origin_address", "tasks"),
    ("option_values",),
    ("config", "events"),
    ("protocol", "srv"),
    ("transport", "discovery", "provisioning", "urlcache"),
    ("control", "origin", "reconnect", "addresses", "readiness", "indexes"),
    ("statistics", "status", "traffic"),
    ("connection", "emulator", "guard", "claims", "announcement", "inspector"),
    ("supervisor", "membership", "plan"),
    ("herald",),
    ("tunnel", "publication", "signals"),
    ("lifespan", "diagnostics"),
    ("first_request",),
    ("middleware", "display"),
    ("demo", "doctor"),
    ("cli", "django"),
    ("__main__",),
)
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}

# Of the transport these see the interface alone; whatever carries it is not their business.
ONLY_TRANSPORT_BASE = {"control", "origin", "reconnect", "addresses", "readiness", "indexes"}

# Where these libraries may be known; elsewhere they are somebody's interface.
LIBRARIES = {
    "aioquic": (
        "transport/engines.py",  # its version
        "transport/engine_aioquic.py",
        "transport/aioquic_acceptor.py",
        "transport/aioquic_connection.py",
        "transport/aioquic_internals.py",
        "transport/aioquic_pacer.py",
        "emulator/client_hello.py",  # reads what no engine tells, whichever engine serves
    ),
    "asgi_quicktunnel_native": ("transport/engine_native.py",),
    "capnp": ("protocol/",),
    "httptools": ("origin/tcp_answer.py",),
    "dns": ("srv.py", "readiness/", "emulator/zone.py"),
    "click": ("cli/",),
    "prometheus_client": ("diagnostics/metrics.py",),
    "django": ("django/", "demo/django.py"),
    "jinja2": ("diagnostics/page/html.py",),
    "rich": ("display/", "cli/doctor.py"),
    "segno": ("display/qr.py", "diagnostics/page/html.py"),
    "python_multipart": ("diagnostics/forms.py",),
    "uvicorn": (
        "demo/serving.py",
        "cli/run.py",
        "cli/child.py",
        "cli/viewer.py",
        "django/management/commands/tunnel.py",
    ),
    "websockets": (
        "protocol/",
        "demo/guestbook.py",
    ),
}

# The public face is above everything: nobody inside imports from it.
FACE = ROOT / "__init__.py"
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if path != FACE and "_examples" not in path.parts
)


@functools.cache
def imports(path):
    """Names of the modules that a file imports, wherever it does: also late, also for types."""
    return tuple(_imports(path))


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)


def entry(dotted):
    """The row entry that a dotted module name belongs to, or None outside the package."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def entry_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_from_above_its_row(path):
    """No import goes down or sideways, and every module has its row."""
    importer = entry_of(path)
    assert importer in ROW_OF, f"{importer} stands in no row"
    for dotted in imports(path):
        assert dotted != PACKAGE, f"{relative(path)} imports from the public face"
        imported = entry(dotted)
        if imported is None or imported == importer:
            continue
        assert imported in ROW_OF, f"{dotted} stands in no row"
        assert ROW_OF[imported] < ROW_OF[importer], f"{relative(path)} imports {dotted}"
        if importer in ONLY_TRANSPORT_BASE and imported == "transport":
            assert dotted == f"{PACKAGE}.transport.base", f"{relative(path)} imports {dotted}"


def test_every_row_entry_exists():
    """The table lists no module that is gone."""
    assert set(ROW_OF) == {entry_of(path) for path in MODULES}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_known_in_one_place(library):
    """Replacing it means changing what is listed here, and nothing else."""
    allowed = LIBRARIES[library]
    users = {
        relative(path)
        for path in MODULES
        for dotted in imports(path)
        if dotted.split(".")[0] == library
    }
    assert not {user for user in users if not user.startswith(allowed)}


def loaded_by(statement):
    """The top-level modules that a fresh interpreter has loaded after `statement`."""
    program = f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_is_light():
    """Names and errors cost no engine, no schema compiler, no HTTP client."""
    loaded = loaded_by(f"import {PACKAGE}; {PACKAGE}.TunnelConfig, {PACKAGE}.QuickTunnelError")
    assert not loaded & {"aioquic", "anyio", "capnp", "cryptography", "dns", "httpx", "starlette"}


def test_what_a_tunnel_may_do_without_is_not_loaded():
    """Who needs no DNS and no aioquic pays for neither, nor for what they bring along."""
    loaded = loaded_by(f"import {PACKAGE}.middleware, {PACKAGE}.tunnel")
    unwanted = {"aioquic", "cryptography", "dns", "jinja2", "prometheus_client", "segno", "trio"}
    assert not loaded & unwanted


def test_every_public_name_is_there():
    """`__all__` promises nothing that is not delivered, and dir() shows it."""
    for name in asgi_quicktunnel.__all__:
        assert getattr(asgi_quicktunnel, name).__name__ == name
    assert dir(asgi_quicktunnel) == asgi_quicktunnel.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = asgi_quicktunnel.nothing


def test_the_face_shows_the_whole_tree_of_errors():
    """Whoever catches our errors finds each of them in one place."""
    from asgi_quicktunnel import errors

    assert set(errors.__all__) <= set(asgi_quicktunnel.__all__)


def test_the_checks_find_what_they_look_for(tmp_path):
    """Late imports, imports for types and plain imports are all seen."""
    module = tmp_path / "module.py"
    module.write_text(
        "import aioquic.quic\n"
        "from asgi_quicktunnel import tunnel\n"
        "if TYPE_CHECKING:\n    from asgi_quicktunnel.cli import main\n"
        "def f():\n    import asgi_quicktunnel.lifespan as x\n"
    )
    assert set(imports(module)) == {
        "aioquic.quic",
        "asgi_quicktunnel",
        "asgi_quicktunnel.tunnel",
        "asgi_quicktunnel.cli",
        "asgi_quicktunnel.lifespan",
    }
    assert entry("asgi_quicktunnel.emulator.local") == "emulator"
    assert entry("starlette.types") is None
