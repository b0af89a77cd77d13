"""A push to an inbox: one message, a copy for each of the user's sessions, wherever they are."""

import json
import time
from typing import Any

import msgspec
import pytest
import trio

from appmodel.core.message import ALL_SESSIONS, Push, Sessions, other_sessions
from appmodel.core.names import Key, parse_key
from tests.comet.several import FAST, open_cluster
from tests.comet.stores import GatedStore
from tests.comet.world import Client, open_comet

INBOX, PHONE, TABLET = "u1@user", "u1_iOS-d1@user", "u1_Android-d2@user"
BODY = b'{"content":"hi"}'
TAIL = b'"toUserName":"u1@user"'


def push(
    *keys: str,
    ttl: float = 60.0,
    sessions: Sessions | None = ALL_SESSIONS,
    push_id: bytes = bytes(16),
    body: bytes = BODY,
    tail: bytes = TAIL,
) -> Push:
    """A push with the same tail for all of its keys."""
    expires_at = time.time() + ttl if ttl else 0.0
    tails = (tail,) * len(keys) if tail else ()
    return Push(push_id, tuple(map(parse_key, keys)), body, expires_at, tails, sessions)


async def received(client: Client) -> Any:
    """The next TCP message."""
    size = await client.read_until(b"\r\n")
    return json.loads(await client.read(int(size[1:-2]) + 2))


@pytest.mark.parametrize("ttl", [60.0, 0.0])
async def test_each_session_has_its_copy_with_the_id_of_the_inbox(ttl: float) -> None:
    """Copies differ in toUserKey alone; sessions of others, and of users of longer names, get nothing."""
    async with open_comet() as world:
        clients = {key: await world.subscriber(key) for key in (INBOX, PHONE, TABLET)}
        others = [await world.subscriber(key) for key in ("u2_iOS-d1@user", "u11_iOS-d1@user")]

        [outcome] = await world.comet.pusher.push([push(INBOX, ttl=ttl)])
        await world.push("u2_iOS-d1@user", "u11_iOS-d1@user")

        assert not isinstance(outcome, Exception)
        assert outcome.online == (3,)
        for key, client in clients.items():
            message = await received(client)
            assert message["mid"] == outcome.ids[0]
            expected = {"content": "hi", "toUserKey": key, "toUserName": "u1@user"}
            assert message["msg"] == expected
        assert [(await received(client))["msg"] for client in others] == [{}, {}]


async def test_the_inbox_is_stored_once() -> None:
    """And nothing under the keys of sessions; who fetches the inbox gets the inbox's copy."""
    async with open_comet() as world:
        await world.subscriber(PHONE)

        [outcome] = await world.comet.pusher.push([push(INBOX)])

        assert not isinstance(outcome, Exception)
        page = await world.store.fetch(parse_key(INBOX), 0, limit=10)
        [stored] = page.messages
        assert stored.id == outcome.ids[0]
        assert json.loads(stored.body)["toUserKey"] == INBOX
        assert await world.store.marks([parse_key(PHONE)]) == [0]


@pytest.mark.parametrize(
    ("sessions", "reached"),
    [
        (None, set()),
        (Sessions(frozenset()), set()),
        (Sessions(frozenset({"u1_iOS-d1"})), {PHONE}),
        (Sessions(frozenset({"u2_iOS-d9", "u1_Android-d2"})), {TABLET}),
        (Sessions(None, without="d1"), {TABLET}),
        (Sessions(frozenset({"u1_iOS-d1", "u1_Android-d2"}), without="d2"), {PHONE}),
        (ALL_SESSIONS, {PHONE, TABLET}),
    ],
)
async def test_only_the_sessions_that_are_meant(
    sessions: Sessions | None, reached: set[str]
) -> None:
    """The inbox gets it in every case."""
    async with open_comet() as world:
        clients = {key: await world.subscriber(key) for key in (INBOX, PHONE, TABLET)}

        [outcome] = await world.comet.pusher.push([push(INBOX, sessions=sessions)])
        await world.push(PHONE, TABLET, body=b'"end"')

        assert not isinstance(outcome, Exception)
        assert outcome.online == (1 + len(reached),)
        assert (await received(clients[INBOX]))["msg"]["content"] == "hi"
        for key in (PHONE, TABLET):
            first = (await received(clients[key]))["msg"]
            assert (first != "end") == (key in reached)


@pytest.mark.parametrize("keys", [(PHONE, INBOX), (INBOX, PHONE)])
async def test_a_session_hears_its_own_and_the_inbox_in_one_order(keys: tuple[str, str]) -> None:
    """What is not stored waits behind what is being saved: its id is higher, and a client keeps the highest."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        phone = await world.subscriber(PHONE, version="1")
        stored, unsaved = push(keys[0]), push(keys[1], ttl=0.0, push_id=b"1" * 16)
        halt = store.hold("save")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.comet.pusher.push, [stored])
            await halt.reached.wait()
            nursery.start_soon(world.comet.pusher.push, [unsaved])
            await trio.testing.wait_all_tasks_blocked()
            halt.release()

        first, second = await received(phone), await received(phone)
        assert [first["msg"]["toUserKey"], second["msg"]["toUserKey"]] == [PHONE, PHONE]
        assert first["mid"] < second["mid"]
        [kept] = (await store.fetch(parse_key(keys[0]), 0, limit=2)).messages
        assert first["mid"] == kept.id


async def test_a_session_that_is_named_beside_its_inbox_gets_it_once() -> None:
    """Whichever comes first in the push."""
    async with open_comet() as world:
        phone, tablet = await world.subscriber(PHONE), await world.subscriber(TABLET)
        for keys in ((INBOX, PHONE), (PHONE, INBOX)):
            one = push(*keys, sessions=other_sessions([parse_key(key) for key in keys]), tail=b"")
            one = msgspec.structs.replace(one, push_id=bytes([len(keys[0])]) * 16)
            await world.comet.pusher.push([one])
        await world.push(PHONE, TABLET, body=b'"end"')

        for client in (phone, tablet):
            assert [(await received(client))["msg"] for _ in range(3)][2] == "end"


async def test_without_tails_sessions_get_the_same_text() -> None:
    """Whatever JSON it is."""
    async with open_comet() as world:
        phone = await world.subscriber(PHONE)

        await world.comet.pusher.push([push(INBOX, body=b"[1]", tail=b"")])

        assert (await received(phone))["msg"] == [1]


async def test_pushes_with_one_push_id_are_one_message() -> None:
    """The members' copies and the sender's own have one id, on every key."""
    async with open_comet() as world:
        bob, ann = await world.subscriber("u2@user"), await world.subscriber(INBOX)
        theirs, own = push("u2@user"), push(INBOX, body=b'{"content":"own"}')

        outcomes = await world.comet.pusher.push([theirs, own])

        ids = {outcome.ids for outcome in outcomes if not isinstance(outcome, Exception)}
        assert len(ids) == 1
        assert (await received(bob))["msg"]["content"] == "hi"
        assert (await received(ann))["msg"]["content"] == "own"


async def test_presence_counts_sessions() -> None:
    """A user is online on all devices."""
    async with open_comet() as world:
        await world.subscriber(PHONE)
        await world.subscriber(PHONE)
        await world.subscriber(TABLET)

        [user, phone, nobody] = await world.comet.pusher.presence(
            [parse_key(key) for key in (INBOX, PHONE, "u2@user")]
        )

        assert (user.online, phone.online, nobody.online) == (3, 2, 0)


async def test_the_hub_forgets_sessions_that_have_gone() -> None:
    """It tells of the first that comes and of the last that goes, once each."""
    told: list[tuple[Key, bool]] = []
    async with open_comet() as world:
        hub = world.comet.live.hub
        hub.on_presence = lambda key, is_here: told.append((key, is_here))
        first, second = await world.subscriber(PHONE), await world.subscriber(PHONE)
        await world.subscriber(INBOX)
        assert [each.key for each in hub.sessions(parse_key(INBOX))] == [parse_key(PHONE)]

        await first.stream.aclose()
        await second.stream.aclose()
        await world.until(lambda: len(told) == 2)

        assert told == [(parse_key(PHONE), True), (parse_key(PHONE), False)]
        assert not list(hub.sessions(parse_key(INBOX)))


@pytest.mark.parametrize("ttl", [60.0, 0.0])
async def test_sessions_on_other_comets(ttl: float) -> None:
    """Held there, and known to the owner by their attachments: one forward, each its own copy."""
    async with open_cluster("a", "b", config=FAST) as cluster:
        owner, stranger = cluster.owner(INBOX), cluster.stranger(INBOX)
        here, there = await owner.subscriber(TABLET), await stranger.subscriber(PHONE)
        attached = owner.comet.forwarding.holders.get
        phone = parse_key(PHONE)
        await owner.until(lambda: (seat := attached(phone)) is not None and seat.online == 1)

        [outcome] = await owner.comet.pusher.push([push(INBOX, ttl=ttl)])

        assert not isinstance(outcome, Exception)
        assert outcome.online == (2,)
        for client, key in ((here, TABLET), (there, PHONE)):
            message = await received(client)
            assert message["mid"] == outcome.ids[0]
            assert message["msg"]["toUserKey"] == key
        [presence] = await owner.comet.pusher.presence([parse_key(INBOX)])
        assert presence.online == 2


async def test_what_is_passed_on_keeps_its_tails() -> None:
    """A comet that is not the owner gives parts of the push to who is, with what belongs to them."""
    async with open_cluster("a", "b", config=FAST) as cluster:
        keys = [f"u{n}@user" for n in range(20)]
        clients = {key: await cluster.owner(key).subscriber(key) for key in keys}
        one = msgspec.structs.replace(
            push(*keys), tails=tuple(b'"toUserName":"%b"' % key.encode() for key in keys)
        )

        [outcome] = await cluster.worlds["a"].comet.pusher.push([one])

        assert not isinstance(outcome, Exception), outcome
        for key, client in clients.items():
            message = await received(client)
            assert message["msg"] == {"content": "hi", "toUserKey": key, "toUserName": key}


async def test_which_sessions_are_meant_travels_along() -> None:
    """To the owner, and from there to a comet that holds one."""
    rule = Sessions(
        frozenset({"u1_iOS-d1", "u1_Android-d2", "u1_tv-d3"}),
        without="d2",
        but=frozenset({"u1_tv-d3"}),
    )
    async with open_cluster("a", "b", config=FAST) as cluster:
        owner, stranger = cluster.owner(INBOX), cluster.stranger(INBOX)
        keys = (PHONE, TABLET, "u1_tv-d3@user")
        clients = {key: await stranger.subscriber(key) for key in keys}
        attached = owner.comet.forwarding.holders.get
        for key in map(parse_key, keys):
            while (seat := attached(key)) is None or seat.online != 1:
                await trio.lowlevel.checkpoint()

        [outcome] = await stranger.comet.pusher.push([push(INBOX, sessions=rule)])
        await stranger.comet.pusher.push([push(*keys, sessions=None, body=b'"end"', tail=b"")])

        assert not isinstance(outcome, Exception)
        assert outcome.online == (1,)
        assert (await received(clients[PHONE]))["msg"]["content"] == "hi"
        assert [(await received(client))["msg"] for client in clients.values()] == ["end"] * 3


def test_a_session_needs_a_user() -> None:
    """Only `<user>_<rest>@user` is one."""
    inboxes = {text: parse_key(text).inbox for text in (PHONE, INBOX, "_x@user", "a_b@app", "a_b")}

    assert inboxes == {
        PHONE: parse_key(INBOX),
        INBOX: None,
        "_x@user": None,
        "a_b@app": None,
        "a_b": None,
    }
