"""Clients on real sockets subscribe, receive, resume, and are let go: the comet's whole live path."""

import json

import pytest
import trio
from trio.testing import MockClock

from appmodel.core.cluster import Node, Role
from appmodel.core.message import Delivery, Save, Saved, Stored
from appmodel.core.names import Key, parse_key
from appmodel.core.units import Duration, Size
from appmodel.errors import NotStored, OutcomeUnknown
from comet.config import CometConfig
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.comet.world import Client, changed, client_frame, open_comet, request, text_frame

BEAT = b"+h\r\n"
DEFAULTS = CometConfig()


async def messages(client: Client, count: int) -> list[int]:
    """The ids of the next TCP messages."""
    ids = []
    for _ in range(count):
        size = await client.read_until(b"\r\n")
        body = await client.read(int(size[1:-2]) + 2)
        ids.append(json.loads(body)["mid"])
    return ids


async def test_a_push_reaches_every_subscriber_in_its_own_form() -> None:
    """WebSocket and TCP, old and new envelope, mixed on one key, with one id."""
    async with open_comet() as world:
        old_ws = await world.ws("/sub?key=k&heartbeat=30")
        new_ws = await world.ws("/sub?key=k&heartbeat=30&ver=1")
        old_tcp = await world.tcp(request("sub", "k", "30"))
        new_tcp = await world.tcp(request("sub", "k", "30", "", "1"))
        assert [await c.read(6) for c in (old_ws, new_ws)] == [text_frame(BEAT)] * 2
        assert [await c.read(4) for c in (old_tcp, new_tcp)] == [BEAT] * 2

        delivery = await world.push("k", body=b'{"a": 1}')

        assert delivery.online == (4,)
        mid = delivery.ids[0]
        old = b'{"msg":"{\\"a\\": 1}","mid":%d,"gid":0}' % mid
        new = b'{"msg":{"a":1},"mid":%d,"gid":0}' % mid
        assert await old_ws.read(len(old) + 2) == text_frame(old)
        assert await new_ws.read(len(new) + 2) == text_frame(new)
        assert await old_tcp.read(len(old) + 7) == b"$%d\r\n%b\r\n" % (len(old), old)
        assert await new_tcp.read(len(new) + 7) == b"$%d\r\n%b\r\n" % (len(new), new)


async def test_a_push_to_nobody_is_no_error_and_keeps_nothing() -> None:
    """And no channel stays in memory for it (C11)."""
    async with open_comet() as world:
        delivery = await world.push("nobody", "neither")

        assert delivery.online == (0, 0)
        assert len(world.comet.live.hub) == 0


async def test_messages_pushed_at_once_arrive_in_the_order_of_their_ids() -> None:
    """Stored and unsaved, single and multi, at the same time (L4)."""
    async with open_comet() as world:
        client = await world.tcp(request("sub", "k", "30", "", "1"))
        await client.read(4)

        async with trio.open_nursery() as nursery:
            for i in range(60):
                ttl = 60 if i % 3 else 0
                keys = ("k", "x", "y") if i % 4 else ("k",)
                nursery.start_soon(lambda k=keys, t=ttl: world.push(*k, ttl=t))  # type: ignore[misc]

        ids = await messages(client, 60)
        assert ids == sorted(set(ids))


async def test_keys_of_a_push_share_one_id() -> None:
    """So that one encoded frame serves them all (design law 2)."""
    async with open_comet() as world:
        delivery = await world.push(*(f"k{i}" for i in range(100)), ttl=60)

        assert len(set(delivery.ids)) == 1


async def test_a_resuming_client_gets_what_it_missed_and_then_what_comes() -> None:
    """Without gap or duplicate, in the middle of a storm."""
    async with open_comet() as world:
        missed = [(await world.push("k", ttl=60)).ids[0] for _ in range(500)]

        async def storm() -> None:
            for _ in range(300):
                missed.append((await world.push("k", ttl=60)).ids[0])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(storm)
            client = await world.tcp(request("sub", "k", "30", "", "2", str(missed[99])))
            assert await client.read(4) == BEAT
            ids = await messages(client, 700)

        assert ids == missed[100:]


async def test_a_client_without_a_cursor_starts_with_what_comes_next() -> None:
    """As gopush clients expect: the rest they fetch over HTTP."""
    async with open_comet() as world:
        await world.push("k", ttl=60)
        client = await world.tcp(request("sub", "k", "30", "", "2"))
        await client.read(4)

        delivery = await world.push("k", ttl=60)

        assert await messages(client, 1) == list(delivery.ids)


async def test_a_cursor_of_the_future_is_refused() -> None:
    """A stranger's number must not carry the clock away."""
    async with open_comet() as world:
        client = await world.tcp(request("sub", "k", "30", "", "2", str(2**53 - 1)))

        assert (await client.read_all()).startswith(b"-p\r\n-x 4400 mid: ")


async def test_a_retried_push_reaches_a_connection_once() -> None:
    """The same push id is the same message: same id, and no second delivery."""
    async with open_comet() as world:
        client = await world.tcp(request("sub", "k", "30", "", "1"))
        await client.read(4)
        push = world.make_push("k", ttl=60)

        first, again = await world.comet.pusher.push([push, push])
        [later] = await world.comet.pusher.push([push])
        last = await world.push("k", ttl=60)

        assert isinstance(first, Delivery)
        assert first == again == later
        assert await messages(client, 2) == [*first.ids, *last.ids]


class FailingStore(MemoryStore):
    """Fails as told, and then works."""

    refusal: Exception | None = None
    loses_answers = False

    async def save(self, saves: list[Save]) -> list[Saved]:  # type: ignore[override]
        if self.refusal is not None:
            await trio.lowlevel.checkpoint()
            raise self.refusal
        saved = await super().save(saves)
        if self.loses_answers:
            await trio.sleep_forever()
        return saved


async def test_what_cannot_be_stored_is_refused_and_seen_by_nobody() -> None:
    """Store, then send, then answer; and what needs no store goes on."""
    store = FailingStore(MessageConfig())
    async with open_comet(store=store) as world:
        client = await world.tcp(request("sub", "k", "30", "", "1"))
        await client.read(4)
        store.refusal = NotStored("the disk is full")

        refused = await world.try_push("k", ttl=60)
        delivery = await world.push("k")

        assert isinstance(refused, NotStored)
        assert await messages(client, 1) == list(delivery.ids)


async def test_a_message_whose_answer_was_lost_is_found_by_the_next(mock_clock: MockClock) -> None:
    """The caller hears "unknown"; the next message names its predecessor, and the hole is filled."""
    store = FailingStore(MessageConfig())
    config = changed(DEFAULTS, "replay", position_check=Duration(0))
    async with open_comet(config, store=store) as world:
        client = await world.tcp(request("sub", "k", "30", "", "1"))
        await client.read(4)
        store.loses_answers = True
        outcomes: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: _append(outcomes, world.try_push("k", ttl=600)))
            await world.until(lambda: store.notices.saved == 1)
            mock_clock.jump(6)
        store.loses_answers = False

        delivery = await world.push("k", ttl=600)

        assert isinstance(outcomes[0], OutcomeUnknown)
        ids = await messages(client, 2)
        assert ids[1] == delivery.ids[0] > ids[0]
        assert world.comet.live.counts.holes == 1


async def _append(outcomes: list[object], outcome: object) -> None:
    outcomes.append(await outcome)  # type: ignore[misc]


async def test_a_message_that_no_other_follows_is_found_by_the_position_check(
    mock_clock: MockClock,
) -> None:
    """Nobody is connected, healthy and silently deaf."""
    store = MemoryStore(MessageConfig())
    async with open_comet(store=store) as world:
        client = await world.tcp(request("sub", "k", "30", "", "1"))
        await client.read(4)
        mock_clock.jump(1.1)  # the check learns where the feed ends
        await trio.testing.wait_all_tasks_blocked(0.05)

        [saved] = await store.save([Save(b"p" * 16, 1, (parse_key("k"),), b"{}", 4e9)])
        for _ in range(3):
            mock_clock.jump(1.1)
            await trio.testing.wait_all_tasks_blocked(0.05)

        assert await messages(client, 1) == list(saved.ids)


@pytest.mark.parametrize("transport", ["ws", "tcp"])
async def test_a_silent_client_is_dropped_after_the_grace(
    transport: str, mock_clock: MockClock
) -> None:
    """A client that promised a beat every 30 s has 35 s, and no more than a tick above."""
    async with open_comet() as world:
        if transport == "ws":
            client = await world.ws("/sub?key=k&heartbeat=30")
            await client.read(6)
        else:
            client = await world.tcp(request("sub", "k", "30"))
            await client.read(4)
        hub = world.comet.live.hub

        mock_clock.jump(34.9)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert hub.subscribers == 1
        mock_clock.jump(0.6)

        assert await client.read_all() == b""
        assert hub.subscribers == 0


async def test_a_beat_gives_another_term(mock_clock: MockClock) -> None:
    """Counted from the beat, and answered."""
    async with open_comet() as world:
        client = await world.tcp(request("sub", "k", "30"))
        await client.read(4)

        mock_clock.jump(30)
        await client.send(b"h")
        assert await client.read(4) == BEAT
        mock_clock.jump(34.9)
        await trio.testing.wait_all_tasks_blocked(0.05)

        assert world.comet.live.hub.subscribers == 1


@pytest.mark.parametrize("version", ["", "2"])
async def test_a_slow_client_is_let_go_and_costs_nobody_else(version: str) -> None:
    """It hears why if it speaks version 2; everybody else has every message."""
    config = changed(DEFAULTS, "live", outbox_limit=Size(64 * 1024), send_buffer=Size(4096))
    async with open_comet(config) as world:
        slow = await world.tcp(request("sub", "k", "30", "", version))
        quick = await world.tcp(request("sub", "k", "30", "", "1"))
        await world.until(lambda: world.comet.live.hub.subscribers == 2)
        await quick.read(4)
        body = b'"%b"' % (b"x" * 30_000)

        ids: list[int] = []
        while world.comet.live.hub.subscribers == 2:
            ids += (await world.push("k", body=body)).ids
            assert await messages(quick, 1) == ids[-1:]

        assert world.comet.live.counts.ended == {"slow": 1}
        end = await slow.read_all()
        assert end.endswith(b"-x 4001 slow\r\n") == (version == "2")


async def test_acknowledgements_are_shown() -> None:
    """The highest one of the key."""
    async with open_comet() as world:
        client = await world.ws("/sub?key=k&heartbeat=30&ver=2")
        await client.read(6)

        await client.send(client_frame(b'{"ack":[5,9,7]}') + client_frame(b"h"))
        await client.read(6)

        [presence] = await world.comet.pusher.presence([parse_key("k")])
        assert (presence.online, presence.acknowledged) == (1, 9)


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


async def test_a_revoked_ticket_ends_its_connections(mock_clock: MockClock) -> None:
    """Those that it let in, within a poll; and it lets nobody in again."""
    async with open_comet(auth=True) as world:
        now = world.now()
        ticket = world.credentials.issue_ticket(parse_key("k"), now=now, ttl=600)
        client = await world.tcp(request("sub", "k", "30", ticket, "2"))
        assert await client.read(4) == BEAT

        await world.store.revoke("key:k", issued_before=now + 1, kept_until=now + 600)
        mock_clock.jump(1.1)

        assert await client.read_all() == b"-x 4402 ticket revoked\r\n"
        again = await world.tcp(request("sub", "k", "30", ticket))
        assert await again.read_all() == b"-a\r\n"


async def test_the_last_place_of_a_key() -> None:
    """Connection limit + 1 is dropped without a word; version 2 is told."""
    config = changed(DEFAULTS, "limits", per_key=1)
    async with open_comet(config) as world:
        first = await world.tcp(request("sub", "k", "30"))
        await first.read(4)

        legacy = await world.tcp(request("sub", "k", "30"))
        native = await world.tcp(request("sub", "k", "30", "", "2"))

        assert await legacy.read_all() == b""
        assert await native.read_all() == b"-x 4409 too many connections of this key\r\n"
        assert world.comet.live.gate.refused == {"too many connections of this key": 2}


async def test_a_refused_client_gives_its_place_back() -> None:
    """However it ends, the count of connections is right."""
    config = changed(DEFAULTS, "limits", connections=1)
    async with open_comet(config) as world:
        for _ in range(3):
            bad = await world.tcp(request("sub", "", "30"))
            assert await bad.read_all() == b"-p\r\n"
        good = await world.tcp(request("sub", "k", "30"))
        assert await good.read(4) == BEAT
        full = await world.tcp(request("sub", "k", "30", "", "2"))

        assert await full.read_all() == b"-x 4003 try later\r\n"
        await good.stream.aclose()
        await world.until(lambda: world.comet.live.gate.connections == 0)


async def test_another_comets_key_is_refused() -> None:
    """`-n`: the ring gives it to somebody else."""
    nodes = [Node(Role.COMET, "node1", weight=1), Node(Role.COMET, "node2", weight=1)]
    async with open_comet(nodes=nodes) as world:
        client = await world.tcp(request("sub", "t1", "30"))

        assert await client.read_all() == b"-n\r\n"
        assert (await world.try_push("t1")).ret == 1001  # type: ignore[union-attr]


async def test_a_replay_waits_for_a_slow_reader() -> None:
    """It reads at its own pace, and nothing is kept for it beyond a chunk and the kernel's buffers."""
    config = changed(DEFAULTS, "live", send_buffer=Size(4096))
    async with open_comet(config) as world:
        body = b'"%b"' % (b"x" * 30_000)
        sent = [(await world.push("k", body=body, ttl=60)).ids[0] for _ in range(100)]
        client = await world.tcp(request("sub", "k", "30", "", "2", "0"))
        await world.until(lambda: world.comet.live.hub.subscribers == 1)

        assert await client.read(4) == BEAT
        assert await messages(client, 100) == sent


async def test_a_store_away_refuses_only_who_needs_it() -> None:
    """A client that starts with what comes is welcome; one that resumes hears why it cannot."""

    class Away(MemoryStore):
        async def marks(self, keys: object) -> list[int]:
            await trio.lowlevel.checkpoint()
            raise NotStored("away")

        async def fetch(self, key: Key, after: int, **_: object) -> list[Stored]:  # type: ignore[override]
            await trio.lowlevel.checkpoint()
            raise NotStored("away")

    async with open_comet(store=Away(MessageConfig())) as world:
        fresh = await world.tcp(request("sub", "k", "30", "", "2"))
        resuming = await world.tcp(request("sub", "k", "30", "", "2", "5"))

        assert await fresh.read(4) == BEAT
        assert await resuming.read_all() == BEAT + b"-x 4004 store away\r\n"
        assert (await world.push("k")).online == (1,)
