"""Calls of files; see documented.py."""

from urllib.parse import urlsplit

from tests.web.documented import Call
from tests.web.world import World

DATA = b'"it is JSON, so that the test can hold it against a schema"'

CALLS: list[Call] = []


async def prepare(world: World) -> None:
    """Fids cannot be guessed, so the calls come with the file."""
    answer = await world.api.ask("POST", "/v2/files?name=a", DATA)
    said = answer.json()
    url = urlsplit(said["url"])
    one = f"/v2/files/{said['fid']}"
    CALLS[:] = [
        Call("POST", "/v2/files?name=b", DATA),
        Call("POST", "/v2/files", DATA),
        Call("POST", "/v2/files?name=b"),
        Call("GET", f"{url.path}?{url.query}"),
        Call("GET", f"{one}?sign=0&expires=0"),
        Call("GET", one),
        Call("GET", f"{one}?tenant=t9"),
        Call("DELETE", f"{one}?tenant=t9"),
        Call("DELETE", one),
        Call("GET", "/v2/files/x"),
    ]
