"""The names that tunnels are given: words, as the real service does."""

from __future__ import annotations

import random

__all__ = ["DOMAIN", "words"]


def words(rng: random.Random) -> str:
    """Four words joined by hyphens, such as "amber-lake-silent-otter": over 2^27 of them."""
    return "-".join(rng.choice(_WORDS) for _ in range(4))


DOMAIN = "localhost"  # curl and browsers resolve every name under it themselves (RFC 6761 §6.3)
_WORDS = """
    acorn amber anchor apple april autumn badge baker bamboo basil beacon birch breeze brick
    bridge bronze cabin candle canyon cedar cherry clover cobalt comet copper coral cotton crane
    delta dune eagle early ember falcon fern field forest garden ginger glacier granite harbor
    hazel heron hollow honey indigo island ivory jasmine juniper kettle lagoon lake lantern
    lemon light linen lotus maple marble meadow mellow mint misty morning moss nectar night
    north oak ocean olive onyx orchid otter paper pearl pebble pepper pine planet plum polar
    quartz quiet quill rain raven reed ribbon river robin rocket sable saffron sage sail sand
    silent silver sky solar spring spruce stone storm summer swift teal thistle timber topaz
    tulip valley velvet violet walnut wave willow winter wren
""".split()  # noqa: SIM905 - a list literal of so many would be less readable
