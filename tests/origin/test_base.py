from asgi_quicktunnel.origin.base import TUNNEL_SCOPE_KEY, TunnelMark, from_tunnel


def test_a_marked_scope_is_from_the_tunnel():
    """A scope that holds our mark under its key came through a tunnel."""
    assert from_tunnel({"type": "http", TUNNEL_SCOPE_KEY: TunnelMark(0, "bog01", None, None)})


def test_nothing_but_the_mark_counts():
    """Headers, strings, dicts and look-alikes do not make a request one of the tunnel."""
    key = TUNNEL_SCOPE_KEY
    assert not from_tunnel({"type": "http", "headers": [(key.encode(), b"1")]})
    for value in (None, True, "1", b"1", {"conn_index": 0, "colo": "bog01"}, TunnelMark):
        assert not from_tunnel({"type": "http", key: value})
