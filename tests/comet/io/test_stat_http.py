"""/stat as gopush-cluster's monitoring reads it: spec/gopush.md 8.1."""

import json

import pytest
import trio

from appmodel.errors import BadInput
from appmodel.protocol.http import Request
from comet.config import CometConfig
from comet.io.stat_http import Stat
from tests.comet.world import World, open_comet, request


async def ask(world: World, query: str) -> tuple[int, bytes]:
    stat = Stat(world.comet.live, CometConfig(), trio.current_time())
    response = await stat.handle(Request(method="GET", path="/stat", query_string=query))
    assert isinstance(response.body, bytes)
    return response.status, response.body


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("channel", {"access", "create", "delete", "current"}),
        ("message", {"succeed", "failed", "total"}),
        ("connection", {"add", "remove", "current"}),
        (
            "server",
            {"uptime", "hostname", "wd", "ppid", "pid", "pagesize", "user", "group"},
        ),
    ],
)
async def test_kinds_have_the_originals_fields(kind: str, fields: set[str]) -> None:
    """Names as in the original; indented by 4 spaces."""
    async with open_comet() as world:
        status, body = await ask(world, f"type={kind}")

    assert status == 200
    assert set(json.loads(body)) == fields
    assert body.startswith(b'{\n    "')


@pytest.mark.parametrize("kind", ["memory", "python", "golang", "config"])
async def test_other_kinds_are_pythons(kind: str) -> None:
    """The Go runtime's figures have no meaning here."""
    async with open_comet() as world:
        status, body = await ask(world, f"type={kind}")

    assert status == 200
    assert json.loads(body)


async def test_counts_follow_the_clients() -> None:
    """One client comes, gets a message, and goes."""
    async with open_comet() as world:
        client = await world.tcp(request("sub", "k", "30"))
        await client.read(4)
        await world.push("k")
        assert json.loads((await ask(world, "type=channel&key=k"))[1]) == {"channel": {"conn": 1}}
        assert json.loads((await ask(world, "type=message"))[1])["succeed"] == 1

        await client.stream.aclose()
        await world.until(lambda: world.comet.live.hub.subscribers == 0)

        figures = json.loads((await ask(world, "type=connection"))[1])
        assert figures == {"add": 1, "remove": 1, "current": 0}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("type=nonsense", 404),
        ("type=channel&key=unknown", 200),
        ("type=channel&key=%00", 200),
    ],
)
async def test_unknown_things(query: str, status: int) -> None:
    """An unknown type is 404; the channel of an unknown key is an empty 200."""
    async with open_comet() as world:
        answer = await ask(world, query)

    assert answer == (status, b"")


async def test_a_broken_query_is_bad_input() -> None:
    """And no crash."""
    async with open_comet() as world:
        with pytest.raises(BadInput):
            await ask(world, "type=%FF")
