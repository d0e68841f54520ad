"""The scripts of the page that only compute, called one by one in a browser."""

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
async def call(site, look):
    """`await call("format", "formatBytes", 5)`: what a function of a module returns."""
    async with look(site.page) as page:

        async def call(module, name, *arguments):
            return await page.evaluate(
                "async ([module, name, given]) =>"
                " (await import(`./_quicktunnel/static/${module}.js`))[name](...given)",
                [module, name, list(arguments)],
            )

        call.page = page
        yield call


async def test_figures_are_readable(call):
    """Sizes, durations, ages and rates have the unit that fits, at each boundary too."""
    for name, given, shown in (
        ("formatBytes", 0, "0 B"),
        ("formatBytes", 1023, "1023 B"),
        ("formatBytes", 1024, "1.0 KiB"),
        ("formatBytes", 1024 * 1024 - 1, "1.0 MiB"),
        ("formatBytes", 5 << 30, "5.0 GiB"),
        ("formatDuration", None, "\N{EN DASH}"),
        ("formatDuration", 0, "0 ms"),
        ("formatDuration", 0.0004, "0.4 ms"),
        ("formatDuration", 0.00999, "10 ms"),
        ("formatDuration", 0.9999, "1.00 s"),
        ("formatDuration", 59.99, "1 min 0 s"),
        ("formatDuration", 125.2, "2 min 5 s"),
        ("formatAge", 59, "59 s"),
        ("formatAge", 3600, "1 h 0 min"),
        ("formatAge", 90000, "1 d 1 h"),
        ("formatRate", 0, "0"),
        ("formatRate", 0.1, "0.1"),
        ("formatRate", 1234.5, "1,235"),
        ("formatCount", 1234567, "1,234,567"),
    ):
        assert await call("format", name, given) == shown, (name, given)


async def test_only_pictures_that_can_do_nothing_are_pictures(call):
    """The first bytes decide, and SVG is no picture here."""
    page = call.page
    for begins, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<svg xmlns=", None),
        (b"BM\0\0", None),
        (b"", None),
    ):
        found = await page.evaluate(
            "async bytes => (await import('./_quicktunnel/static/binary.js'))"
            ".pictureType(new Uint8Array(bytes))",
            list(begins),
        )
        assert found == kind, begins


async def test_seconds_are_gathered_where_they_belong(call):
    """Messages add seconds or write them anew; what is older than a quarter of an hour goes."""
    found = await call.page.evaluate(
        """async () => {
            const {History} = await import('./_quicktunnel/static/history.js');
            const history = new History();
            const tell = (until, now, ...counts) => history.apply({until, counts}, now);
            tell(1000, 0, [-899, 0, 9, 0, 0, 0, 0], [-1, 0, 1, 0, 0, 0, 0]);
            tell(1005, 5000, [-6, 0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 3, 0, 0]);
            const totals = (now) => history.buckets(10, now).map(each => each.total);
            const soon = totals(5000);
            return {
                length: soon.length,
                last: soon.slice(-2),
                sum: soon.reduce((one, other) => one + other),
                later: totals(25000).slice(-4),
                rate: history.rate(6000),
            };
        }"""
    )
    assert found == {"length": 90, "last": [2, 3], "sum": 5, "later": [2, 3, 0, 0], "rate": 3}


async def test_the_list_follows_the_store(call):
    """Changes replace what they change; what is older than the oldest that is kept goes."""
    found = await call.page.evaluate(
        """async () => {
            const {Requests} = await import('./_quicktunnel/static/requests.js');
            const requests = new Requests();
            const ids = () => requests.all.map(each => each.id).join();
            const said = [];
            const tell = (reset, oldest, ...list) => {
                requests.apply({reset, oldest, requests: list.map(([id, state]) => ({id, state}))});
                said.push(ids());
            };
            tell(true, '9', ['10', 'open'], ['9', 'done']);
            const same = requests.get('9');
            tell(false, '9', ['11', 'open'], ['10', 'done']);
            said.push(requests.get('10').state, requests.get('9') === same);
            tell(false, '11');
            tell(false, null);
            tell(false, '12', ['12', 'open']);
            tell(true, '1', ['1', 'open']);
            return said;
        }"""
    )
    assert found == ["10,9", "11,10,9", "done", True, "11", "", "12", "1"]
