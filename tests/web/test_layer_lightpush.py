"""light-push's REST as a part of a node: with passwords of its own, beside others, or not at all."""

import msgspec
import pytest
import trio

from appmodel.runtime.config import Password
from tests.databases import an_empty_database
from tests.web.lightpush_door import basic
from tests.web.lightpush_tenants import Caller, a_tenant, admin
from tests.web.world import LIMIT, open_world, web_config
from web.config import LightpushConfig
from web.layer_lightpush import require_own_password


async def test_it_asks_for_passwords_of_its_own() -> None:
    """So it may be anywhere, whatever auth.mode says, if the administrator's password is nobody else's."""
    config = LightpushConfig(port=0, admin_password=Password("our:own"))
    require_own_password(msgspec.structs.replace(config, host="0.0.0.0"))
    async with open_world(config=web_config(lightpush=config)) as world:
        assert await admin(world).post("login") == (401, "auth error")
        own = Caller(world.lightpush, "/api/admin/", basic("admin", "our:own"))
        assert await own.post("login") == {}


async def test_an_administrator_without_a_password_is_nobody() -> None:
    """It switches /api/admin/ off."""
    config = LightpushConfig(port=0, admin_password=Password())
    async with open_world(config=web_config(lightpush=config)) as world:
        for password in ("", "123456"):
            stranger = Caller(world.lightpush, "/api/admin/", basic("admin", password))
            assert await stranger.post("login") == (401, "auth error")


async def test_a_node_may_do_without() -> None:
    """web.lightpush.enabled = false."""
    config = web_config(lightpush=LightpushConfig(port=0, enabled=False))
    async with open_world(config=config) as world:
        assert "web.lightpush" not in world.doors


@pytest.mark.parametrize("change", [{"offline": "on"}, {"auth_passwd": "new"}])
async def test_a_save_counts_on_all_nodes(change: dict[str, str]) -> None:
    """Within database.staleness; who changed it knows at once."""
    with an_empty_database("sqlite") as url:
        async with open_world(database=url) as one, open_world(database=url) as other:
            here = await a_tenant(one, "/demo")
            there = Caller(other.lightpush, here.prefix, here.credential)
            push = {"room": "r1", "pushData": {}}
            assert (await there.post("push", **push))["id"] > 0

            await here.post("namespace/save", **change)

            refusal = await here.post("push", **push)
            assert refusal in ("this namespace offline", (401, "passwd error"))
            with trio.fail_after(LIMIT):
                while await there.post("push", **push) != refusal:
                    await trio.lowlevel.checkpoint()
