"""QuickTunnelASGI as something that looks like the app it wraps.

Lifespans here run without a tunnel; those with one are in tests/flows/.
"""

import copy
import functools
import inspect
import pickle
import subprocess
import sys
import weakref
from typing import Annotated

import httpx
import hypercorn.utils
import pytest
import trio
import uvicorn
from asgiref.compatibility import is_double_callable
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from asgi_quicktunnel import ConfigError, QuickTunnelASGI, TunnelConfig
from asgi_quicktunnel.origin.base import TUNNEL_SCOPE_KEY, TunnelMark

from tests_support.lifespan_server import LifespanServer

MARK = TunnelMark(conn_index=0, colo="bog01", ray_id=None, country=None)


class CallableApp:
    """An app that is an object; at module level, so that it can be pickled."""

    def __init__(self):
        self.answer = "from an object"

    async def __call__(self, scope, receive, send):
        await PlainTextResponse(self.answer)(scope, receive, send)


async def function_app(scope, receive, send):
    await PlainTextResponse("from a function")(scope, receive, send)


async def returning_app(scope, receive, send):
    return


async def app_with_settings(settings, scope, receive, send):
    await PlainTextResponse(settings)(scope, receive, send)


APPS = {
    "fastapi": FastAPI,
    "starlette": Starlette,
    "object": CallableApp,
    "function": lambda: function_app,
    "partial": lambda: functools.partial(app_with_settings, "from a partial"),
    "method": lambda: CallableApp().__call__,
}


def asgi_client(app):
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


@pytest.fixture(params=APPS)
def app(request):
    return APPS[request.param]()


def test_servers_see_an_asgi3_app(app):
    """uvicorn, hypercorn and daphne (asgiref) take the wrapper for what it is."""
    wrapper = QuickTunnelASGI(app)
    config = uvicorn.Config(wrapper, proxy_headers=False, log_config=None)
    config.load()
    assert config.interface == "asgi3"
    assert config.loaded_app is wrapper
    assert hypercorn.utils.is_asgi(wrapper)
    assert not is_double_callable(wrapper)


def test_servers_can_probe_it(app):
    """Called without arguments it raises TypeError at once, so it is no factory."""
    wrapper = QuickTunnelASGI(app)
    with pytest.raises(TypeError):
        wrapper()
    assert list(inspect.signature(wrapper).parameters) == ["scope", "receive", "send"]


def test_it_passes_for_an_instance_of_the_apps_class():
    """`isinstance` is how `fastapi dev` and others find the app."""
    wrapper = QuickTunnelASGI(FastAPI())
    assert isinstance(wrapper, FastAPI)
    assert isinstance(wrapper, QuickTunnelASGI)
    assert not isinstance(QuickTunnelASGI(Starlette()), FastAPI)
    assert isinstance(QuickTunnelASGI(wrapper), FastAPI)


@pytest.mark.parametrize("app", [function_app, functools.partial(function_app), CallableApp])
def test_it_does_not_pass_for_a_plain_function_or_a_class(app):
    """Those are inspected rather than called, and the wrapper is neither."""
    wrapper = QuickTunnelASGI(app)
    assert not inspect.isfunction(wrapper)
    assert not inspect.isclass(wrapper)
    assert wrapper.__class__ is QuickTunnelASGI


@pytest.mark.anyio
async def test_the_wrapped_app_is_used_as_before():
    """Decorators, overrides and replaced methods of FastAPI reach the app after wrapping."""
    app = FastAPI()
    wrapper = QuickTunnelASGI(app)

    async def user():
        return "nobody"

    @wrapper.get("/me")
    async def me(name: Annotated[str, Depends(user)]):
        return name

    wrapper.dependency_overrides[user] = lambda: "somebody"
    wrapper.openapi = lambda: {"openapi": "3.1.0", "title": "mine"}
    wrapper.title = "renamed"
    assert app.title == "renamed"
    del wrapper.title
    assert not hasattr(app, "title")
    async with asgi_client(wrapper) as client:
        assert (await client.get("/me")).json() == "somebody"
        assert (await client.get("/openapi.json")).json()["title"] == "mine"
    assert wrapper.url_path_for("me") == "/me"
    assert "dependency_overrides" in dir(wrapper)


def test_names_that_the_app_lacks_are_lacking():
    """An unknown attribute is the app's AttributeError, and hasattr is False."""
    wrapper = QuickTunnelASGI(FastAPI())
    with pytest.raises(AttributeError, match="'FastAPI' object has no attribute 'nothing'"):
        _ = wrapper.nothing
    with pytest.raises(AttributeError):
        del wrapper.nothing


def test_an_app_that_takes_no_attributes_still_takes_none():
    """Setting what the app refuses raises what the app raises."""
    wrapper = QuickTunnelASGI(CallableApp().__call__)
    with pytest.raises(AttributeError):
        wrapper.anything = 1


def test_private_names_of_the_app_do_not_meet_the_wrappers():
    """An app may call its attributes what it likes."""
    app = CallableApp()
    wrapper = QuickTunnelASGI(app)
    for name in ("app", "_app", "__app", "config", "_state", "publication"):
        setattr(wrapper, name, name)
        assert getattr(app, name) == getattr(wrapper, name) == name


def test_double_underscore_names_are_the_wrappers():
    """Protocols of Python are not borrowed from the app."""
    app = CallableApp()
    app.__wrapped__ = function_app
    wrapper = QuickTunnelASGI(app)
    assert not hasattr(wrapper, "__wrapped__")
    assert not hasattr(wrapper, "__deepcopy__")
    with pytest.raises(AttributeError):
        wrapper.__class__ = FastAPI
    assert inspect.unwrap(wrapper) is wrapper


@pytest.mark.anyio
async def test_copies_wrap_the_same_app_and_deep_copies_a_copy():
    """copy and deepcopy make working wrappers."""
    app = CallableApp()
    wrapper = QuickTunnelASGI(app, diagnostics_path="/d")
    shallow, deep = copy.copy(wrapper), copy.deepcopy(wrapper)
    assert type(shallow) is type(deep) is QuickTunnelASGI
    app.answer = "changed"
    assert shallow.answer == "changed"
    assert deep.answer == "from an object"
    async with asgi_client(deep) as client:
        assert (await client.get("/")).text == "from an object"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_be_pickled(protocol):
    """A picklable app stays picklable, with the options."""
    wrapper = pickle.loads(pickle.dumps(QuickTunnelASGI(CallableApp()), protocol))
    assert type(wrapper) is QuickTunnelASGI
    assert wrapper.answer == "from an object"


def test_an_unfinished_wrapper_can_be_looked_at():
    """Copying and debugging touch objects before their __init__: no recursion, no crash."""
    blank = QuickTunnelASGI.__new__(QuickTunnelASGI)
    assert not hasattr(blank, "anything")
    assert isinstance(blank, QuickTunnelASGI)
    assert not isinstance(blank, FastAPI)


def test_it_can_be_referred_to_weakly_and_shown():
    """Instrumentation keeps weak references, people print."""
    wrapper = QuickTunnelASGI(function_app)
    assert weakref.ref(wrapper)() is wrapper
    assert repr(wrapper) == f"QuickTunnelASGI({function_app!r})"


def test_a_wrong_option_is_refused_when_wrapping():
    """The mistake is shown where it was made, not at the first request."""
    with pytest.raises(ConfigError, match="no option 'wait_redy'"):
        QuickTunnelASGI(function_app, wait_redy=True)
    with pytest.raises(ConfigError, match="grace_period=-1"):
        QuickTunnelASGI(function_app, TunnelConfig(), grace_period=-1)


def test_importing_and_wrapping_start_nothing():
    """No thread, no socket, no QUIC engine: a supervisor that only imports the app pays nothing."""
    program = """
import socket, sys, threading
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith("socket.") else None)
from asgi_quicktunnel import QuickTunnelASGI
async def app(scope, receive, send): ...
QuickTunnelASGI(app, enabled=True)
assert threading.active_count() == 1
assert opened == [], opened
heavy = {"aioquic", "capnp", "cryptography", "httpx", "dns"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.anyio
@pytest.mark.parametrize("enabled", [True, False])
async def test_requests_reach_the_app(app, enabled):
    """Whatever is wrapped answers as before, tunnel or not."""
    wrapper = QuickTunnelASGI(app, enabled=enabled)
    async with asgi_client(app) as plain, asgi_client(wrapper) as wrapped:
        expected, answer = await plain.get("/any"), await wrapped.get("/any")
    assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
    assert answer.headers == expected.headers


async def names_of(request):
    return JSONResponse(
        {name: getattr(request.state, name) for name in ("public_url", "quicktunnel")}
    )


@pytest.mark.anyio
@pytest.mark.parametrize("enabled", [True, False])
async def test_both_names_are_there_without_a_tunnel(enabled):
    """An app may rely on `request.state.public_url` also where no lifespan ever ran."""
    wrapper = QuickTunnelASGI(Starlette(routes=[Route("/", names_of)]), enabled=enabled)
    async with asgi_client(wrapper) as client:
        assert (await client.get("/")).json() == {"public_url": None, "quicktunnel": None}


@pytest.mark.anyio
async def test_a_request_of_the_tunnel_passes_untouched():
    """Not even the state is looked at: the origin has filled it already."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    scope = {"type": "http", "path": "/_quicktunnel/status", TUNNEL_SCOPE_KEY: MARK}
    await QuickTunnelASGI(app, enabled=True)(scope, None, None)
    assert seen[0] is scope
    assert "state" not in scope


@pytest.mark.anyio
async def test_unknown_scopes_go_to_the_app():
    """ASGI may grow; what we don't know is not ours."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    await QuickTunnelASGI(app, enabled=True)({"type": "something new"}, None, None)
    assert seen == [{"type": "something new"}]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"enabled": True}, 200),
        ({"enabled": True, "diagnostics_path": None}, 404),
        ({"enabled": False}, 404),
    ],
)
async def test_local_visitors_find_the_diagnostics(options, status):
    """They are below `diagnostics_path`, unless that or everything is switched off."""
    async with asgi_client(QuickTunnelASGI(Starlette(), **options)) as client:
        assert (await client.get("/_quicktunnel/status")).status_code == status


@pytest.mark.anyio
async def test_an_app_without_a_state_gets_one():
    """`app.state.public_url` works on any app; an app's own state comes first."""
    wrapper = QuickTunnelASGI(returning_app, enabled=False)
    assert isinstance(wrapper.state, State)
    async with LifespanServer(wrapper) as server:
        await server.task
    assert wrapper.state.public_url is wrapper.state.quicktunnel is None
    app = Starlette()
    assert QuickTunnelASGI(app).state is app.state


@pytest.mark.anyio
async def test_switched_off_the_lifespan_is_the_apps_alone():
    """With enabled=False the app sees the server's own scope, receive and send."""
    seen = []

    async def app(*arguments):
        seen.extend(arguments)

    scope, receive, send = {"type": "lifespan"}, object(), object()
    await QuickTunnelASGI(app, enabled=False)(scope, receive, send)
    assert [seen[0] is scope, seen[1] is receive, seen[2] is send] == [True] * 3
    assert scope == {"type": "lifespan"}


@pytest.mark.anyio
async def test_switched_off_the_names_say_none():
    """State keys are there, so that templates and handlers need no case of their own."""
    app, state = Starlette(routes=[Route("/", names_of)]), {}
    async with LifespanServer(QuickTunnelASGI(app, enabled=False), state=state) as server:
        assert (await server.startup())["type"] == "lifespan.startup.complete"
        assert state == {"public_url": None, "quicktunnel": None}
        assert app.state.public_url is app.state.quicktunnel is None


def test_on_another_event_loop_the_app_runs_without_a_tunnel(caplog):
    """Under trio (hypercorn's worker) there is one clear line, and the lifespan is the app's."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    wrapper = QuickTunnelASGI(app, enabled=True)
    trio.run(wrapper, {"type": "lifespan"}, None, None)
    assert seen == [{"type": "lifespan"}]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "asyncio" in record.getMessage()


@pytest.mark.anyio
async def test_within_a_mounted_app_requests_pass():
    """A wrapper below a Mount never sees a lifespan, and serves all the same."""
    inner = QuickTunnelASGI(Starlette(routes=[Route("/", names_of)]), enabled=True)
    async with asgi_client(Starlette(routes=[Mount("/inner", inner)])) as client:
        assert (await client.get("/inner/")).json()["public_url"] is None


@pytest.mark.anyio
async def test_as_a_middleware_it_is_built_by_the_framework():
    """`add_middleware(QuickTunnelASGI, ...)` takes the options and serves requests."""
    app = FastAPI()
    app.add_middleware(QuickTunnelASGI, enabled=False)

    @app.get("/")
    async def index(request: Request):
        return {"url": request.state.public_url}

    async with LifespanServer(app) as server, asgi_client(app) as client:
        await server.startup()
        assert (await client.get("/")).json() == {"url": None}
        assert app.state.public_url is None


@pytest.mark.anyio
async def test_under_pytest_there_is_no_tunnel_unless_asked_for():
    """A test suite of an app that is wrapped provisions nothing."""
    app = Starlette()
    async with LifespanServer(QuickTunnelASGI(app)) as server:
        await server.startup()
        assert app.state.quicktunnel is None
