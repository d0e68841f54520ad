"""TunnelConfig: where options come from, and what each of them takes."""

import copy
import dataclasses
import inspect
import pickle

import pytest

from asgi_quicktunnel import option_values
from asgi_quicktunnel.config import PACKAGE_VERSION, TunnelConfig
from asgi_quicktunnel.errors import ConfigError, QuickTunnelError

from tests_support.certificates import CertificateAuthority

OPTIONS = {field.name for field in dataclasses.fields(TunnelConfig)}


@pytest.fixture
def pem(tmp_path):
    return CertificateAuthority(tmp_path).ca_file


def test_defaults():
    """Without a word from anybody: a public tunnel of Cloudflare's, and the app runs on."""
    config = TunnelConfig()
    assert dataclasses.asdict(config) == {
        "mode": "asgi",
        "origin": None,
        "host_header": None,
        "origin_connect_timeout": 10.0,
        "origin_response_timeout": 95.0,
        "origin_idle_timeout": 30.0,
        "origin_idle_connections": 16,
        "origin_ca_file": None,
        "origin_tls_verify": True,
        "enabled": None,
        "strict": False,
        "wait_ready": False,
        "ha_connections": 2,
        "max_reconnect_attempts": None,
        "engine": "auto",
        "service_url": "https://api.trycloudflare.com",
        "edge": None,
        "nameservers": None,
        "ca_file": None,
        "edge_ip_version": "auto",
        "user_agent": f"asgi-quicktunnel/{PACKAGE_VERSION}",
        "handshake_timeout": 30.0,
        "grace_period": 30.0,
        "diagnostics_path": "/_quicktunnel",
        "diagnostics_token": None,
        "inspect": True,
        "inspect_redact": (),
        "on_url": None,
        "url_file": None,
        "reuse_url": True,
        "websocket_ping_interval": 20.0,
        "websocket_ping_timeout": 20.0,
        "websocket_max_message_size": 16 << 20,
    }


def test_every_option_is_documented():
    """The docstring names each option."""
    text = inspect.getdoc(TunnelConfig)
    for option in OPTIONS:
        assert f"\n    {option}: " in text


def test_every_option_is_checked():
    """There is no option that takes just anything."""
    assert option_values.TAKES.keys() == OPTIONS


def test_every_environment_variable_is_documented_and_the_other_way_round():
    """[QUICKTUNNEL_...] stands in the docstring for exactly the options that have one."""
    named = {
        option
        for option in OPTIONS
        if f"[QUICKTUNNEL_{option.upper()}" in TunnelConfig.__doc__.replace("\n", " ")
    }
    assert named == set(option_values.ENVIRONMENT)


def test_it_can_not_be_changed():
    """Facts are frozen; options by position are refused."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        TunnelConfig().strict = True
    with pytest.raises(TypeError):
        TunnelConfig(True)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("mode", ["", "tcp", None, True]),
        ("origin", ["", "localhost", "a:0", "http://a/b", "unix:x", "ftp://a:1", 8000, b"a:1"]),
        ("host_header", ["", "a b", "a\r\nb", "http://a", "a/b", 7, b"a"]),
        ("origin_connect_timeout", [0, -1, 3601, float("nan"), "10", None]),
        ("origin_response_timeout", [0, -1, 3601, float("nan"), "95", True]),
        ("origin_idle_timeout", [-1, 3601, float("inf"), "30", None]),
        ("origin_idle_connections", [-1, 1001, 1.5, "16", True, None]),
        ("origin_ca_file", ["", "/no/such/file.pem", "/", __file__, 7]),
        ("origin_tls_verify", ["no", 0, None]),
        ("enabled", ["yes", 1, 0]),
        ("strict", ["yes", 1, None]),
        ("wait_ready", ["no", 0, None]),
        ("ha_connections", ["2", 2.0, True, None]),
        ("on_url", ["print", 7]),
        ("url_file", [7, "/", "/no/such/folder/url"]),
        ("reuse_url", [1, None, "yes"]),
        ("inspect", [1, None, "yes"]),
        ("inspect_redact", ["a b", "a:", ("x", ""), (b"x",), ("x", 7), 7, None]),
        ("max_reconnect_attempts", ["2", 2.0, True, -1]),
        ("engine", ["", "quinn", None, True]),
        (
            "service_url",
            ["", "api.example", "ftp://a", "https://", "https://a:b", "http://[::1", 7, None],
        ),
        (
            "edge",
            [
                "",
                "  ",
                7,
                "198.51.100.7",
                "198.51.100.7:",
                ":7844",
                "198.51.100.7:0",
                "198.51.100.7:65536",
                "198.51.100.7:+1",
                "198.51.100.7:٣",
                "2001:db8::7:7844",
                "[2001:db8::7]",
                "[198.51.100.7]:7844",
                "a:1,",
                "a:1,,b:2",
                "local,a:1",
            ],
        ),
        (
            "nameservers",
            [
                "",
                " ",
                7,
                "ns.example",
                "ns.example:53",
                "198.51.100.53:0",
                "198.51.100.53:65536",
                "198.51.100.53:",
                "[2001:db8::53]",
                "[198.51.100.53]:53",
                "198.51.100.53,",
                "198.51.100.53;198.51.100.54",
            ],
        ),
        ("ca_file", ["/no/such/file.pem", "", "/", 7]),
        ("edge_ip_version", ["4", 5, "ipv4", None, True]),
        ("user_agent", ["", "a\r\nb", "naïve", None, 7]),
        ("handshake_timeout", [0, -1, 3601, float("nan"), float("inf"), "30", True, None]),
        ("grace_period", [-0.1, 3601, float("nan"), float("inf"), "30", False, None]),
        (
            "diagnostics_path",
            ["", "/", "x", "x/y", "/x/", "//x", "/x?y", "/x#y", "/%78", "/x y", "/x//y", "/x/../y",
             "/{x}", "/é", 7],
        ),
        ("diagnostics_token", ["", "x" * 15, "x" * 1001, " " + "x" * 20, "x" * 20 + "é",
                               "x" * 20 + "\n", "x" * 20 + "&", "x" * 20 + "#", 7, b"x" * 20]),
        ("websocket_ping_interval", [0, -1, 3601, float("nan"), "20", True]),
        ("websocket_ping_timeout", [0, -1, 3601, float("inf"), "20", False]),
        ("websocket_max_message_size", [0, -1, (1 << 30) + 1, 1.5, "16", True, None]),
    ],
)  # fmt: skip
def test_a_value_that_can_not_be_used_is_named(option, values):
    """The error has the option, the value, and what would do."""
    for value in values:
        with pytest.raises(ConfigError) as caught:
            TunnelConfig(**{option: value})
        message = str(caught.value)
        assert message.startswith(f"{option}=")
        assert "can't be used: it takes " in message


def test_a_secret_is_never_shown():
    """Neither where a config is printed nor where an error says what was wrong."""
    config = TunnelConfig(diagnostics_token="a-secret-of-mine-alone")
    assert "a-secret" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        TunnelConfig(diagnostics_token="too-short")
    assert str(caught.value).startswith("diagnostics_token='***' can't be used: it takes 16 to")
    with pytest.raises(ConfigError) as caught:
        TunnelConfig.from_env({"QUICKTUNNEL_DIAGNOSTICS_TOKEN": "too-short"})
    assert "too-short" not in str(caught.value)
    assert str(caught.value).startswith("QUICKTUNNEL_DIAGNOSTICS_TOKEN='***' can't")


def test_a_config_error_is_a_value_error():
    """Code that knows nothing of us catches it as what it is."""
    with pytest.raises(ValueError, match="strict='yes'") as caught:
        TunnelConfig(strict="yes")
    assert isinstance(caught.value, QuickTunnelError)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "proxy"),
        ("origin", "8000"),
        ("origin", "unix:/run/app.sock"),
        ("host_header", "localhost:8000"),
        ("origin_response_timeout", None),
        ("origin_idle_timeout", 0),
        ("origin_idle_connections", 0),
        ("enabled", True),
        ("ha_connections", 1),
        ("ha_connections", 4),
        ("max_reconnect_attempts", 0),
        ("service_url", "http://127.0.0.1:8080/base"),
        ("service_url", "https://[::1]:8443"),
        ("edge", "local"),
        ("edge", "198.51.100.7:7844"),
        ("nameservers", "198.51.100.53"),
        ("nameservers", "[2001:db8::53]:5353"),
        ("edge_ip_version", 4),
        ("edge_ip_version", 6),
        ("handshake_timeout", 0.1),
        ("handshake_timeout", 3600),
        ("grace_period", 0),
        ("diagnostics_path", None),
        ("diagnostics_path", "/debug/tunnel"),
        ("diagnostics_token", None),
        ("diagnostics_token", "x" * 16),
        ("diagnostics_token", "S3cret+/=?%;,:@!$~" + "x" * 982),
        ("inspect_redact", "x-api-key"),
        ("inspect_redact", ("x-api-key", "X-Token")),
        ("inspect_redact", ""),
        ("websocket_ping_interval", None),
        ("websocket_ping_interval", 0.1),
        ("websocket_ping_timeout", None),
        ("websocket_ping_timeout", 3600),
        ("websocket_max_message_size", 1),
        ("websocket_max_message_size", 1 << 30),
    ],
)
def test_values_at_the_edge_of_what_is_allowed(option, value):
    """What an option takes is kept as it was given."""
    assert getattr(TunnelConfig(**{option: value}), option) == value


@pytest.mark.parametrize(("asked", "kept"), [(-3, 1), (0, 1), (5, 4), (99, 4)])
def test_the_number_of_connections_is_clamped(asked, kept):
    """Fewer than one is one, more than four are four."""
    assert TunnelConfig(ha_connections=asked).ha_connections == kept


@pytest.mark.parametrize("value", ["X-Api-Key, ,x-token", ("x-api-key", "X-Token")])
def test_redacted_headers(value):
    """The names are in lower case, however they were given."""
    config = TunnelConfig(inspect_redact=value)
    assert config.redacted_headers == {"x-api-key", "x-token"}


def test_edge_entries():
    """The list keeps its order, and an IPv6 address loses its brackets."""
    config = TunnelConfig(edge="198.51.100.7:7844, [2001:db8::7]:7845,edge.example:1")
    assert config.edge_entries == (
        ("198.51.100.7", 7844),
        ("2001:db8::7", 7845),
        ("edge.example", 1),
    )
    assert TunnelConfig().edge_entries == TunnelConfig(edge="local").edge_entries == ()


def test_nameserver_entries():
    """The list keeps its order; without a port it is DNS's own."""
    config = TunnelConfig(nameservers="198.51.100.53:5353, 2001:DB8::53,[2001:db8::54]:1,192.0.2.1")
    assert config.nameserver_entries == (
        ("198.51.100.53", 5353),
        ("2001:db8::53", 53),
        ("2001:db8::54", 1),
        ("192.0.2.1", 53),
    )
    assert TunnelConfig().nameserver_entries == ()


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, True),
        ({}, {"PYTEST_VERSION": "9"}, False),
        ({"edge": "local"}, {"PYTEST_VERSION": "9"}, True),
        ({"enabled": True}, {"PYTEST_VERSION": "9"}, True),
        ({"enabled": False}, {}, False),
        ({"enabled": False, "edge": "local"}, {}, False),
    ],
)
def test_whether_there_is_to_be_a_tunnel(options, environ, expected):
    """Off when said so, and under pytest unless an edge or `enabled` says otherwise."""
    assert TunnelConfig(**options).is_enabled(environ) is expected


def environment(pem):
    """A variable for every option that has one: the text, and what it means."""
    return {
        "mode": ("proxy", "proxy"),
        "origin": ("127.0.0.1:8000", "127.0.0.1:8000"),
        "host_header": ("localhost:3000", "localhost:3000"),
        "origin_connect_timeout": ("2.5", 2.5),
        "origin_response_timeout": ("60", 60.0),
        "origin_idle_timeout": ("5", 5.0),
        "origin_idle_connections": ("4", 4),
        "origin_ca_file": (pem, pem),
        "origin_tls_verify": ("0", False),
        "enabled": ("0", False),
        "strict": ("1", True),
        "wait_ready": ("yes", True),
        "ha_connections": ("3", 3),
        "max_reconnect_attempts": ("9", 9),
        "engine": ("aioquic", "aioquic"),
        "service_url": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        "edge": ("127.0.0.1:1", "127.0.0.1:1"),
        "nameservers": ("192.0.2.1,192.0.2.2:54", "192.0.2.1,192.0.2.2:54"),
        "ca_file": (pem, pem),
        "edge_ip_version": ("6", 6),
        "user_agent": ("me/1", "me/1"),
        "handshake_timeout": ("4.5", 4.5),
        "grace_period": ("2.5", 2.5),
        "diagnostics_path": ("/d", "/d"),
        "diagnostics_token": ("x" * 16, "x" * 16),
        "inspect": ("off", False),
        "inspect_redact": ("x-a, x-b", "x-a, x-b"),
        "url_file": ("/url", "/url"),
        "reuse_url": ("no", False),
        "websocket_ping_interval": ("2.5", 2.5),
        "websocket_ping_timeout": ("7", 7.0),
        "websocket_max_message_size": ("1024", 1024),
    }


def test_every_option_of_the_environment_is_read(pem):
    """Each variable sets its option, and nothing but it."""
    expected = environment(pem)
    assert expected.keys() == option_values.ENVIRONMENT.keys()
    for option, (text, value) in expected.items():
        config = TunnelConfig.from_env({f"QUICKTUNNEL_{option.upper()}": text, "OTHER": "1"})
        assert config == TunnelConfig(**{option: value})


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("YES", True), (" on ", True),
     ("0", False), ("False", False), ("no", False), ("off", False)],
)  # fmt: skip
def test_yes_and_no_in_the_environment(text, value):
    """People write it in several ways."""
    assert TunnelConfig.from_env({"QUICKTUNNEL_STRICT": text}).strict is value


def test_an_empty_variable_means_none_where_none_is_possible():
    """`QUICKTUNNEL_DIAGNOSTICS_PATH=` switches the diagnostics off."""
    environ = dict.fromkeys(
        (
            "QUICKTUNNEL_DIAGNOSTICS_PATH",
            "QUICKTUNNEL_DIAGNOSTICS_TOKEN",
            "QUICKTUNNEL_MAX_RECONNECT_ATTEMPTS",
            "QUICKTUNNEL_EDGE",
            "QUICKTUNNEL_ORIGIN",
            "QUICKTUNNEL_HOST_HEADER",
            "QUICKTUNNEL_ORIGIN_RESPONSE_TIMEOUT",
            "QUICKTUNNEL_ORIGIN_CA_FILE",
            "QUICKTUNNEL_NAMESERVERS",
            "QUICKTUNNEL_CA_FILE",
            "QUICKTUNNEL_WEBSOCKET_PING_INTERVAL",
            "QUICKTUNNEL_WEBSOCKET_PING_TIMEOUT",
        ),
        "",
    )
    config = TunnelConfig.from_env(environ)
    assert config.websocket_ping_interval is config.websocket_ping_timeout is None
    assert config.max_reconnect_attempts is config.diagnostics_token is None
    assert config.diagnostics_path is config.edge is config.nameservers is config.ca_file is None
    assert config.origin is config.host_header is config.origin_ca_file is None
    assert config.origin_response_timeout is None


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("mode", "tcp"),
        ("origin", "localhost"),
        ("origin_idle_connections", "many"),
        ("origin_tls_verify", "perhaps"),
        ("enabled", "maybe"),
        ("strict", ""),
        ("wait_ready", "2"),
        ("service_url", "api"),
        ("edge", "nonsense"),
        ("nameservers", "ns.example"),
        ("ca_file", "/no/such/file"),
        ("edge_ip_version", "5"),
        ("grace_period", "soon"),
        ("grace_period", "-1"),
        ("diagnostics_path", "x"),
        ("websocket_ping_interval", "often"),
        ("websocket_ping_timeout", "0"),
        ("websocket_max_message_size", "16 MiB"),
        ("websocket_max_message_size", "1.5"),
    ],
)
def test_a_variable_that_can_not_be_used_is_named(option, text):
    """The error tells which variable to look at, its value, and what would do."""
    variable = f"QUICKTUNNEL_{option.upper()}"
    with pytest.raises(ConfigError) as caught:
        TunnelConfig.from_env({variable: text})
    message = str(caught.value)
    assert message.startswith(f"{variable}={text!r} can't be used: it takes ")


def test_keyword_before_config_before_environment_before_default():
    """Each source gives way to the one before it, option by option."""
    environ = {
        "QUICKTUNNEL_GRACE_PERIOD": "1",
        "QUICKTUNNEL_EDGE_IP_VERSION": "4",
        "QUICKTUNNEL_STRICT": "1",
    }
    config = TunnelConfig(grace_period=2, edge_ip_version=6)
    resolved = TunnelConfig.resolve(config, {"grace_period": 3}, environ)
    assert resolved.grace_period == 3  # keyword
    assert resolved.edge_ip_version == 6  # config
    assert resolved.strict is True  # environment
    assert resolved.wait_ready is False  # default


@pytest.mark.parametrize(
    ("options", "environ", "mode"),
    [
        ({}, {}, "asgi"),
        ({"origin": "8000"}, {}, "proxy"),
        ({}, {"QUICKTUNNEL_ORIGIN": "8000"}, "proxy"),
        ({"mode": "asgi"}, {"QUICKTUNNEL_ORIGIN": "8000"}, "asgi"),
        ({"origin": "8000"}, {"QUICKTUNNEL_MODE": "asgi"}, "asgi"),
        ({"origin": "8000"}, {"QUICKTUNNEL_MODE": "proxy"}, "proxy"),
    ],
)
def test_an_origin_means_proxy_mode_unless_somebody_chose(options, environ, mode):
    """So that neither option is ignored."""
    assert TunnelConfig.resolve(None, options, environ).mode == mode
    assert TunnelConfig.resolve(TunnelConfig(**options), {}, environ).mode == mode


def test_proxy_mode_needs_an_origin():
    """The error shows what one looks like."""
    with pytest.raises(ConfigError, match=r"mode='proxy'.*127\.0\.0\.1:8000"):
        TunnelConfig.resolve(None, {"mode": "proxy"}, {})


def test_a_default_that_was_given_counts_as_given():
    """An option written down wins over the environment also with the default's value."""
    environ = {"QUICKTUNNEL_STRICT": "1"}
    assert TunnelConfig.resolve(TunnelConfig(), {}, environ).strict is True
    assert TunnelConfig.resolve(TunnelConfig(strict=False), {}, environ).strict is False
    assert TunnelConfig.resolve(None, {"strict": False}, environ).strict is False


def test_a_config_that_was_resolved_stays_as_it_is():
    """Resolving twice, as a wrapper and its tunnel do, does not let the environment back in."""
    environ = {"QUICKTUNNEL_STRICT": "1", "QUICKTUNNEL_GRACE_PERIOD": "1"}
    once = TunnelConfig.resolve(TunnelConfig(grace_period=2), {"strict": False}, environ)
    assert TunnelConfig.resolve(once, {}, environ) == once


@pytest.mark.parametrize(
    "remake",
    [
        copy.copy,
        copy.deepcopy,
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: config.with_options({}),
    ],
    ids=["copy", "deepcopy", "pickle", "with_options"],
)
def test_copies_remember_what_was_given(remake):
    """A copy has the same rank against the environment."""
    copied = remake(TunnelConfig(strict=False))
    assert copied == TunnelConfig()
    environ = {"QUICKTUNNEL_STRICT": "1", "QUICKTUNNEL_WAIT_READY": "1"}
    resolved = TunnelConfig.resolve(copied, {}, environ)
    assert (resolved.strict, resolved.wait_ready) == (False, True)


def test_with_options_replaces_and_checks():
    """The rest stays; a wrong value is refused as in the constructor."""
    config = TunnelConfig(grace_period=5).with_options({"strict": True})
    assert (config.strict, config.grace_period) == (True, 5)
    with pytest.raises(ConfigError, match="grace_period=-1"):
        config.with_options({"grace_period": -1})


def test_an_option_that_does_not_exist_is_named_with_those_that_do():
    """A misspelt option shows the right one."""
    with pytest.raises(ConfigError, match=r"no option 'wait_redy'.*wait_ready"):
        TunnelConfig.resolve(None, {"wait_redy": True}, {})


def test_a_config_has_to_be_one():
    """A dict in place of a TunnelConfig is told apart at once."""
    with pytest.raises(ConfigError, match="it takes a TunnelConfig"):
        TunnelConfig.resolve({"strict": True}, {}, {})
