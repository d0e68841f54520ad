from pathlib import Path

from bench.variants import Variant, find_variants, of_revision, select


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
    variants = [Variant("uvicorn", "plain"), Variant("aioquic/asyncio", "tunnel", "asyncio")]
    package = (Path("tree"),)
    (there,) = of_revision(variants, "v1", package, None)
    assert (there.name, there.python_path, there.loop) == ("v1:aioquic/asyncio", package, "asyncio")


def test_a_revision_is_measured_with_the_native_engine_that_it_was_written_for():
    """Without one it is left out: it would silently run on aioquic, and the ratio would be between
    engines.
    """
    native = Variant("native/uvloop", "tunnel", engine="native")
    assert of_revision([native], "v0", (Path("tree"),), None) == []
    both = (Path("tree"), Path("engine"))
    (there,) = of_revision([native], "v1", (Path("tree"),), both)
    assert (there.name, there.python_path) == ("v1:native/uvloop", both)
