"""Which web pages may open a WebSocket: S8, and names that an attacker makes point to this machine."""

import pytest

from comet.config import CometConfig
from tests.comet.world import HANDSHAKE, World, changed, open_comet

DEFAULTS = CometConfig()
FOREIGN = "Origin: http://evil.example\r\n"  # and the own one of who is called evil.example
ALLOWED = "Origin: https://shop.example\r\n"


async def status(world: World, host: str, headers: str = "") -> bytes:
    """What a handshake at `host` with these headers is answered."""
    client = await world.connect(world.ws_port)
    text = HANDSHAKE.format(target="/sub?key=k&heartbeat=30", host=host)
    await client.send(text.replace("\r\n\r\n", f"\r\n{headers}\r\n").encode())
    return (await client.read_until(b"\r\n"))[9:12]


@pytest.mark.parametrize("headers", ["", FOREIGN, ALLOWED, "Origin: http://localhost\r\n"])
async def test_a_home_node_answers_to_loopback_names_only(headers: str) -> None:
    """Nobody is asked for a credential there, so no page may reach it by DNS rebinding."""
    config = changed(DEFAULTS, "websocket", origins=("https://shop.example",))
    async with open_comet(config) as world:
        assert await status(world, "evil.example:6968", headers) == b"403"
        assert len(world.comet.live.hub) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:6968", "[::1]:6968"])
async def test_a_home_node_answers_its_own_machine(host: str) -> None:
    """By whatever name, with or without a page of this machine."""
    async with open_comet() as world:
        assert await status(world, host) == b"101"
        assert await status(world, host, "Origin: http://localhost:3000\r\n") == b"101"


async def test_a_configured_name_may_be_called_at_home() -> None:
    """And only that one."""
    config = changed(DEFAULTS, "websocket", hosts=("push.lan",))
    async with open_comet(config) as world:
        assert await status(world, "push.lan:6968") == b"101"
        assert await status(world, "pull.lan:6968") == b"403"


async def test_with_tickets_the_name_does_not_matter() -> None:
    """A page cannot have a ticket that nobody gave it; its own site's pages may come."""
    async with open_comet(auth=True) as world:
        assert await status(world, "push.example") == b"101"
        assert await status(world, "push.example", "Origin: https://push.example\r\n") == b"101"


@pytest.mark.parametrize("auth", [False, True])
@pytest.mark.parametrize("headers", [FOREIGN, "Origin: null\r\n"])
async def test_a_foreign_page_is_refused(auth: bool, headers: str) -> None:
    """With and without tickets."""
    async with open_comet(auth=auth) as world:
        assert await status(world, "127.0.0.1", headers) == b"403"


async def test_a_configured_page_is_welcome() -> None:
    """It, and no page beside it."""
    config = changed(DEFAULTS, "websocket", origins=("https://shop.example",))
    async with open_comet(config) as world:
        assert await status(world, "127.0.0.1", ALLOWED) == b"101"
        assert await status(world, "127.0.0.1", FOREIGN) == b"403"
