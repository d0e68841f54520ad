from pathlib import Path

import asgi_quicktunnel

from bench.variants import Variant, find_variants, in_tree, select


def test_the_floor_comes_first_and_cloudflared_needs_its_binary():
    """Plain uvicorn is always measured, cloudflared only where it is given."""
    names = [variant.name for variant in find_variants(None)]
    assert names[0] == "uvicorn"
    assert "cloudflared" not in names
    assert "aioquic/asyncio" in names
    assert "cloudflared" in [variant.name for variant in find_variants(Path("cloudflared"))]


def test_variants_are_chosen_by_words():
    """One of the words has to be in the name."""
    variants = find_variants(None)
    assert [variant.name for variant in select(variants, "uvicorn, aioquic/asyncio")] == [
        "uvicorn",
        "aioquic/asyncio",
    ]
    assert select(variants, None) == variants
    assert select(variants, "no such thing") == []


def test_another_revision_has_the_tunnels_alone():
    """Where the package takes no part, another revision of it changes nothing."""
    tree = Path("tree")
    variants = [Variant("uvicorn", "plain"), Variant("aioquic/asyncio", "tunnel", "asyncio")]
    (there,) = in_tree(variants, tree, "v1")
    assert (there.name, there.tree, there.loop) == ("v1:aioquic/asyncio", tree, "asyncio")


def test_a_revision_that_the_native_engine_does_not_fit_is_not_measured_with_it(tmp_path):
    """Neither one from before it nor one with another seam: both would silently run on aioquic, and
    the ratio would be between engines.
    """
    native = Variant("native/uvloop", "tunnel", engine="native")
    assert in_tree([native], tmp_path, "v0") == []
    engine = tmp_path / "asgi_quicktunnel" / "transport" / "engine_native.py"
    engine.parent.mkdir(parents=True)
    engine.write_text("INTERFACE = 0\n")
    assert in_tree([native], tmp_path, "v0") == []
    here = Path(asgi_quicktunnel.__file__).parent / "transport" / "engine_native.py"
    engine.write_bytes(here.read_bytes())
    assert [variant.name for variant in in_tree([native], tmp_path, "v1")] == ["v1:native/uvloop"]
