"""Who may subscribe, what is left of who may not, and what a client's claim can do to a comet."""

import errno
import time

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.clock import MAX_LEAD_US
from appmodel.core.cluster import Node, Role
from appmodel.core.message import Delivery
from appmodel.core.names import parse_key
from appmodel.core.units import Duration
from comet.config import CometConfig
from tests.comet.stores import GatedStore
from tests.comet.world import BEAT, changed, open_comet, request

DEFAULTS = CometConfig()
SECOND = 1_000_000  # in microseconds, as ids are
NO_PATIENCE = changed(CometConfig(), "live", ring_timeout=Duration(0))


async def test_a_cursor_of_the_future_is_refused() -> None:
    """A stranger's number must not carry the clock away."""
    async with open_comet() as world:
        client = await world.tcp(request("sub", "k", "30", "", "2", str(2**53 - 1)))

        assert (await client.read_all()).startswith(b"-p\r\n-x 4400 mid: ")


async def test_claims_on_top_of_claims_stop_no_push() -> None:
    """Ten clients, each far ahead of the one before; and the store's time is two minutes behind ours."""
    store = GatedStore(now=lambda: time.time() - 120)
    async with open_comet(store=store) as world:
        start = int(world.now() * 1e6)
        for step in range(1, 11):
            claim = start + step * (MAX_LEAD_US - SECOND)
            client = await world.tcp(request("sub", f"k{step}", "30", "", "2", str(claim)))
            assert await client.read(4) in {BEAT, b"-p\r\n"}

        delivery = await world.push("k", ttl=600)

        assert delivery.ids[0] <= int(world.now() * 1e6) + MAX_LEAD_US


async def test_who_is_refused_moves_no_clock() -> None:
    """A cursor is believed only of a client that may be here."""
    async with open_comet(auth=True) as world:
        claim = int(world.now() * 1e6) + MAX_LEAD_US - SECOND
        client = await world.tcp(request("sub", "k", "30", "no ticket", "2", str(claim)))
        assert (await client.read_all()).startswith(b"-a\r\n")

        delivery = await world.push("k")

        assert delivery.ids[0] < claim


@pytest.mark.parametrize(
    ("ticket", "reply"),
    [
        ("", b"-a\r\n"),
        ("nonsense", b"-a\r\n"),
        ("other", b"-a\r\n"),
        ("old", b"-a\r\n"),
        ("own", BEAT),
    ],
)
async def test_a_key_needs_its_ticket(ticket: str, reply: bytes) -> None:
    """Bound to the key, and expiring."""
    async with open_comet(auth=True) as world:
        issue = world.credentials.issue_ticket
        now = world.now()
        text = {
            "other": issue(parse_key("other"), now=now, ttl=60),
            "own": issue(parse_key("k"), now=now, ttl=60),
            "old": issue(parse_key("k"), now=now - 100, ttl=60),
        }.get(ticket, ticket)

        client = await world.tcp(request("sub", "k", "30", text))

        assert await client.read(4) == reply


async def test_a_ticket_revoked_during_the_handshake_lets_nobody_in(mock_clock: MockClock) -> None:
    """It was good when it was looked at, and void when the store had answered."""
    store = GatedStore()
    async with open_comet(auth=True, store=store) as world:
        halt = store.hold("marks")
        now = world.now()
        ticket = world.credentials.issue_ticket(parse_key("k"), now=now, ttl=600)
        client = await world.tcp(request("sub", "k", "30", ticket, "2"))
        await halt.reached.wait()

        await store.revoke("key:k", issued_before=now + 1, kept_until=now + 600)
        polls = store.calls["revocations"]
        mock_clock.jump(1.1)
        await world.until(lambda: store.calls["revocations"] > polls)
        await wait_all_tasks_blocked()
        halt.release()

        assert await client.read_all() == b"-a\r\n-x 4401 ticket refused\r\n"
        assert world.comet.live.counts.subscribed == 0


async def test_a_handshake_that_ends_while_the_node_stops_is_refused() -> None:
    """Whoever stops has looked for subscribers already, and would not find this one."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        halt = store.hold("marks")
        client = await world.tcp(request("sub", "k", "30", "", "2"))
        await halt.reached.wait()

        await world.comet.drain()
        halt.release()

        assert await client.read_all() == b"-x 1001 going away\r\n"
        assert world.comet.live.counts.subscribed == 0
        assert len(world.comet.live.hub) == 0


async def test_the_last_place_of_a_key() -> None:
    """Connection limit + 1 is dropped without a word; version 2 is told."""
    config = changed(DEFAULTS, "limits", per_key=1)
    async with open_comet(config) as world:
        await world.subscriber()

        legacy = await world.tcp(request("sub", "k", "30"))
        native = await world.tcp(request("sub", "k", "30", "", "2"))

        assert await legacy.read_all() == b""
        assert await native.read_all() == b"-x 4409 too many connections of this key\r\n"
        assert world.comet.live.gate.refused == {"too many connections of this key": 2}


async def test_two_handshakes_at_once_share_no_place() -> None:
    """Both found room before the store was asked; one gets it."""
    store = GatedStore()
    async with open_comet(changed(DEFAULTS, "limits", per_key=1), store=store) as world:
        halt = store.hold("marks")
        clients = [await world.tcp(request("sub", "k", "30", "", "2")) for _ in range(2)]
        await halt.reached.wait()
        await world.until(lambda: world.channel().joining == 2)

        halt.release()

        assert sorted([await client.read(4) for client in clients]) == [BEAT, b"-x 4"]


async def test_a_refused_client_gives_its_place_back() -> None:
    """However it ends, the count of connections is right."""
    config = changed(DEFAULTS, "limits", connections=1)
    async with open_comet(config) as world:
        for _ in range(3):
            bad = await world.tcp(request("sub", "", "30"))
            assert await bad.read_all() == b"-p\r\n"
        good = await world.subscriber()
        full = await world.tcp(request("sub", "k", "30", "", "2"))

        assert await full.read_all() == b"-x 4003 try later\r\n"
        await good.stream.aclose()
        await world.until(lambda: world.comet.live.gate.connections == 0)


@pytest.mark.parametrize("last_id", ["", "0"])
async def test_a_welcome_that_fails_leaves_nothing_behind(
    last_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system watches no more sockets: no place, no channel and no connection stays."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "too many watches")

    async with open_comet() as world:
        live = world.comet.live
        monkeypatch.setattr(live.poller, "add", refuse)
        client = await world.tcp(request("sub", "k", "30", "", "2", last_id))

        assert await client.read_all() == b""
        await world.until(lambda: live.gate.connections == 0)
        assert (len(live.hub), live.hub.subscribers, len(live.poller)) == (0, 0, 0)
        monkeypatch.undo()
        await world.subscriber()


async def test_another_comets_key_is_refused() -> None:
    """`-n`, where the operator wants it so: the ring gives it to somebody else."""
    nodes = [Node(Role.COMET, "node1", weight=1), Node(Role.COMET, "node2", weight=1)]
    config = changed(CometConfig(), "cluster", wrong_node="refuse")
    async with open_comet(config, nodes=nodes) as world:
        client = await world.tcp(request("sub", "t1", "30"))

        assert await client.read_all() == b"-n\r\n"


async def test_nobodys_key_is_refused() -> None:
    """While no comet is on the ring nothing could be delivered: `-n`, and no push is taken."""
    async with open_comet(NO_PATIENCE, nodes=[]) as world:
        client = await world.tcp(request("sub", "t1", "30"))

        assert await client.read_all() == b"-n\r\n"
        outcome = await world.try_push("t1")
        assert not isinstance(outcome, Delivery)
        assert outcome.ret == 1001
