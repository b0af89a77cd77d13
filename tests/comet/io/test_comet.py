"""A comet as a whole: it stops, and it hears of credentials that were revoked."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.names import parse_key
from appmodel.core.units import Size
from comet.config import CometConfig
from tests.comet.world import BEAT, World, changed, open_comet, pass_time, request, text_frame

DEFAULTS = CometConfig()


async def test_a_node_that_stops_tells_everybody() -> None:
    """Version 2 with a code, legacy WebSocket with 1000, legacy TCP by its end."""
    async with open_comet() as world:
        native = await world.ws("/sub?key=k&heartbeat=30&ver=2")
        legacy = await world.ws("/sub?key=k&heartbeat=30")
        plain = await world.tcp(request("sub", "k", "30"))
        clients = [native, legacy, plain]
        await world.until(lambda: world.comet.live.hub.subscribers == 3)
        ends: list[bytes] = []

        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.comet.drain)
            for client in clients:
                ends.append(await client.read_all())

        assert ends[0] == text_frame(BEAT) + b"\x88\x0c\x03\xe9going away"
        assert ends[1] == text_frame(BEAT) + b"\x88\x02\x03\xe8"
        assert ends[2] == BEAT


async def test_a_drain_waits_for_the_last_client_and_no_longer(mock_clock: MockClock) -> None:
    """One that never ends, and one that does not read, are dropped in their time."""
    async with open_comet(changed(DEFAULTS, "live", send_buffer=Size(4096))) as world:
        for key in ("quiet", "slow"):
            await world.subscriber(key)
        await world.push("slow", body=b'"%b"' % (b"x" * 900_000))
        drained = trio.Event()

        async def drain() -> None:
            await world.comet.drain()
            drained.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await wait_all_tasks_blocked(0.05)
            assert not drained.is_set()
            await pass_time(mock_clock, DEFAULTS.live.goodbye_timeout + 0.5)
            await drained.wait()

        live = world.comet.live
        assert (len(live.poller), live.gate.connections, len(live.hub)) == (0, 0, 0)
        assert live.counts.ended == {"going away": 2}


async def test_a_drain_lets_go_who_is_in_the_middle_of_a_replay() -> None:
    """Its replay ends with it."""
    async with open_comet(changed(DEFAULTS, "live", send_buffer=Size(4096))) as world:
        for _ in range(60):
            await world.push("k", body=b'"%b"' % (b"x" * 40_000), ttl=600)
        client = await world.subscriber(after=0)
        member = world.member()
        await world.until(lambda: member._drained is not None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.comet.drain)
            received = await client.read_all()

        assert received.endswith(b"-x 1001 going away\r\n")
        assert world.comet.live.counts.ended == {"going away": 1}


async def test_a_revoked_key_ends_its_connections(mock_clock: MockClock) -> None:
    """Those that its tickets let in, within a poll; and they let nobody in again."""
    async with open_comet(auth=True) as world:
        ticket = issue(world, "k")
        client = await world.tcp(request("sub", "k", "30", ticket, "2"))
        other = await world.tcp(request("sub", "other", "30", issue(world, "other"), "2"))
        assert await client.read(4) == await other.read(4) == BEAT

        now = world.now()
        await world.store.revoke("key:k", issued_before=now + 1, kept_until=now + 600)
        mock_clock.jump(1.1)

        assert await client.read_all() == b"-x 4402 ticket revoked\r\n"
        again = await world.tcp(request("sub", "k", "30", ticket))
        assert await again.read_all() == b"-a\r\n"
        await other.send(b"h")
        assert await other.read(4) == BEAT


async def test_a_revoked_ticket_ends_its_own_connections_only(mock_clock: MockClock) -> None:
    """Another ticket of the same key goes on, and so does a newer one."""
    async with open_comet(auth=True) as world:
        stolen, own = issue(world, "k"), issue(world, "k")
        clients = [
            await world.tcp(request("sub", "k", "30", ticket, "2"))
            for ticket in (stolen, own, stolen)
        ]
        assert [await client.read(4) for client in clients] == [BEAT] * 3

        now = world.now()
        ticket_id = world.credentials.verify_ticket(stolen, now=now).id
        await world.store.revoke(f"token:{ticket_id}", issued_before=now + 1, kept_until=now + 600)
        mock_clock.jump(1.1)

        for client in (clients[0], clients[2]):
            assert await client.read_all() == b"-x 4402 ticket revoked\r\n"
        assert world.comet.live.hub.subscribers == 1
        await clients[1].send(b"h")
        assert await clients[1].read(4) == BEAT


def issue(world: World, key: str) -> str:
    """A ticket of `key`, good for ten minutes."""
    return world.credentials.issue_ticket(parse_key(key), now=world.now(), ttl=600)
