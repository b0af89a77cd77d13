"""Mpush on a web node, wired."""

import pytest

from appmodel.core.cluster import Node, Role
from appmodel.core.mpush_tokens import Right
from appmodel.errors import LimitReached
from message.stores.memory import MemoryStore
from tests.web.mpush_desk import open_desk
from tests.web.world import HonestComet, open_world, web_config
from web.config import MpushConfig
from web.layer_mpush import open_rights

HOME, AWAY = "127.0.0.1", "192.0.2.1"


@pytest.mark.parametrize(
    ("host", "mode", "opens", "rights"),
    [
        (HOME, "off", "auto", {Right.PUBLISH, Right.READ}),
        (HOME, "off", "no", {Right.READ}),
        (HOME, "on", "auto", set()),
        (HOME, "on", "yes", {Right.PUBLISH}),
        (AWAY, "off", "auto", set()),
        (AWAY, "off", "yes", {Right.PUBLISH}),
    ],
)
def test_pushing_is_open_at_home_only(host: str, mode: str, opens: str, rights: set[Right]) -> None:
    """Unless it is said otherwise; reading is open nowhere else (law 10)."""
    config = MpushConfig(host=host, open=opens)  # type: ignore[arg-type]  # a parameter is any text

    assert open_rights(config, mode) == rights


async def test_a_node_may_do_without() -> None:
    """web.mpush.enabled = false."""
    async with open_world(config=web_config(mpush=MpushConfig(port=0, enabled=False))) as world:
        assert "web.mpush" not in world.doors


class Failing(HonestComet):
    """One that takes nothing more."""

    node = Node(Role.COMET, "c2", ws=("c2.example:6968",))

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.trouble = LimitReached("pushes: too many wait")


async def test_what_was_answered_is_counted() -> None:
    """By answer, on /metrics. One that is refused for some devices only is an error for those, and for them alone."""
    async with open_desk("phone", "tablet") as desk:
        await desk.ask("GET", "/phone?title=t")
        await desk.ask("GET", "/nobody?title=t")
        fails = Failing(desk.world.store)
        desk.world.context.peers.provide_pusher(fails.node, fails)
        await desk.world.context.registry.register(fails.node)
        names = [f"d{n}" for n in range(20)]
        await desk.register(*names)

        words = (await desk.ask("GET", f"/{','.join(names)}?title=t")).json()
        metrics = (await desk.world.api.ask("GET", "/metrics")).body.decode()

    assert set(words) == set(names)
    assert set(words.values()) == {"offline", "error"}
    offline = 1 + list(words.values()).count("offline")
    assert f'web_mpush_pushes_total{{answer="offline"}} {offline}' in metrics
    assert 'web_mpush_pushes_total{answer="no"} 1' in metrics
