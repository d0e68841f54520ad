"""A Django project is edited while visitors use its tunnel: one URL."""

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.guestbook_site import WITH_DAPHNE

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.alone]


@pytest.mark.parametrize("name", ["tunnel", "runserver", "runserver with daphne"])
async def test_the_url_stays_the_same_while_code_changes(guestbook, name):
    """After each edit the same URL is announced and reaches the new code; one tunnel is asked for.

    The edge forgets a name that has no connection, so there is one at any time. A visitor that
    comes meanwhile gets an answer of one of the two processes, or learns that there is none (502),
    or that it is away for more than 5 s (530).
    """
    site = guestbook
    if name == "runserver with daphne":
        site = site.variant(WITH_DAPHNE)
    with anyio.fail_after(90):
        async with (
            LocalEdge(withdraw_names=True) as edge,
            site.served(edge, name.partition(" ")[0], debug=True) as server,
        ):
            url = await server.public_url()
            async with edge.httpx_client(base_url=url, timeout=None) as visitor:
                assert "edition" not in (await visitor.get("/facts")).json()
                before = '"secure": request.is_secure(),'
                for number in range(2):
                    after = f'"secure": request.is_secure(), "edition": {number},'
                    site.edit("entries/views.py", before, after)
                    before = after
                    if name != "tunnel":
                        await notice(server, number + 1, site.folder / "entries" / "views.py")
                    while await edition(visitor) != number:
                        await anyio.sleep(0.05)
            assert edge.url_for("") == url
            assert len(edge.provisioning_requests) == 1
            announced = [line for line in server.lines if "public at " in line]
            assert {line.partition("public at ")[2] for line in announced} == {url}
            assert not [line for line in server.lines if "Traceback" in line], server.lines
            assert list(edge.violations) == []


async def notice(server, count, path):
    """Wait until Django's reloader has seen so many changes.

    What it finds at its first look it takes for old, and that may come after the URL was told.
    """

    while True:
        with anyio.move_on_after(3):
            await server.told("changed, reloading", count)
            return
        path.touch()


async def edition(visitor):
    """The number that the edited view tells, or None while no process answers."""
    answer = await visitor.get("/facts")
    assert answer.status_code in (200, 502, 530), answer.text
    return answer.json().get("edition") if answer.status_code == 200 else None
