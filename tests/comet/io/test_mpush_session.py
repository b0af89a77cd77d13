"""The seed version on a socket: byte for byte what a client of Mpush expects, and no input ends anything."""

import json
from collections.abc import AsyncIterator

import pytest
import trio

from appmodel.core.message import Page
from appmodel.core.mpush import device_key
from appmodel.core.names import Key
from appmodel.core.units import Size
from appmodel.io.database import Database
from tests.comet.devices import AUTHENTICATED, TOKEN_INVALID, Place, open_mpush
from tests.comet.several import FAST
from tests.comet.world import changed

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    async with open_mpush(database) as place:
        yield place


async def test_the_dialogue_of_the_seed_is_the_same_byte_for_byte(place: Place) -> None:
    """Token, device, LOGIN, MESSAGE; the frames as the original writes them."""
    phone = await place.phone("a", "/any/path?and=query")

    await phone.say("mpush")
    assert await phone.hears() == AUTHENTICATED
    await phone.say("test")
    assert await phone.hears() == '{"cmd":"LOGIN","data":{"name":"test"}}'
    mid = await place.push("test", title="hello", content="world")

    assert len(mid) == 13
    assert await phone.hears() == (
        '{"cmd":"MESSAGE","data":{"msgList":[{"title":"hello","content":"world","mid":"'
        + mid
        + '"}]}}'
    )


async def test_token_and_device_may_be_pipelined(place: Place) -> None:
    """Nobody has to wait for an answer; LOGIN comes before any message."""
    await (await place.device("test")).stream.aclose()
    mid = await place.push("test")
    phone = await place.phone()

    await phone.say("mpush")
    await phone.say("test")

    assert await phone.hears() == AUTHENTICATED
    assert await phone.packet("LOGIN") == {"name": "test"}
    assert await phone.mids(1) == [mid]


@pytest.mark.parametrize("token", ["", "mpush ", "MPUSH", "wrong", "null", "[]", '"mpush"', "ü"])
async def test_a_wrong_token_is_refused_and_may_be_tried_again(place: Place, token: str) -> None:
    """Exact, never trimmed; the connection stays."""
    phone = await place.phone()

    await phone.say(token)

    assert await phone.hears() == TOKEN_INVALID
    await phone.log_in("test")


async def test_a_binary_token_is_none(place: Place) -> None:
    """Even with the right bytes: 403, as in the original."""
    phone = await place.phone()

    await phone.say(b"mpush", opcode=0x2)

    assert await phone.hears() == TOKEN_INVALID


@pytest.mark.parametrize("name", ["", "\n", "n" * 201, "é" * 101])
async def test_a_name_that_no_device_can_have_may_be_followed_by_one(
    place: Place, name: str
) -> None:
    """Where the original registers a device that nobody can reach, nothing happens."""
    phone = await place.phone()
    await phone.say("mpush")
    assert await phone.hears() == AUTHENTICATED

    await phone.say(name)
    await phone.say(name.encode(), opcode=0x2)
    await phone.say("test")

    assert await phone.packet("LOGIN") == {"name": "test"}
    assert list(await place.books.devices.find([name, "test"])) == ["test"]


@pytest.mark.parametrize("name", ["测试", "a@mpush", "a b/c?d=e&f", '"quoted"\\', "{}"])
async def test_any_printable_text_is_a_device(place: Place, name: str) -> None:
    """Names are opaque: what looks like a key or a path is a name."""
    phone = await place.device(name)

    mid = await place.push(name)

    assert await phone.mids(1) == [mid]


async def test_what_was_not_given_is_not_there(place: Place) -> None:
    """Without title there is no such member, content is always there; lists stay lists; more comes behind the mid."""
    phone = await place.device("test")

    first = await place.push("test", content="")
    second = await place.push("test", content="c", title=["a", "b"])
    third = await place.push("test", content="c", priority=5, tags=["x"], click="http://x/")

    assert await phone.messages() == [{"content": "", "mid": first}]
    assert await phone.messages() == [{"title": ["a", "b"], "content": "c", "mid": second}]
    assert (await phone.hears()).endswith(
        f'"content":"c","mid":"{third}","priority":5,"tags":["x"],"click":"http://x/"}}]}}}}'
    )


async def test_other_json_is_shown_as_content(place: Place) -> None:
    """/v2/push reaches a device with whatever it carries."""
    phone = await place.device("test")

    await place.world().push("test@mpush", body=b'"plain"', ttl=60)
    await place.world().push("test@mpush", body=b'{"a":[1]}', ttl=60)
    await place.world().push("test@mpush", body=b'{"a":2}')

    assert (await phone.messages())[0]["content"] == "plain"
    assert (await phone.messages())[0]["content"] == '{"a":[1]}'
    assert (await phone.messages())[0]["content"] == '{"a":2}'


JUNK = [
    *("", "ping", "null", "1", '"x"', "[]", "{", '{"cmd":5}', '{"cmd":"NOPE"}', "[" * 5000),
    *('{"cmd":"SENDMSG_CB"}', '{"cmd":"SENDMSG_CB","data":{}}', '{"cmd":"SENDMSG_CB","data":null}'),
    *(
        '{"cmd":"SENDMSG_CB","data":{"midList":5}}',
        '{"cmd":"SENDMSG_CB","data":{"midList":[{},null,-1]}}',
    ),
    *('{"cmd":"SENDMSG_CB","data":{"midList":["1e9","99999999999999999999",true,1.5]}}',),
]


async def test_junk_never_closes_a_connection(place: Place) -> None:
    """It is ignored, text or binary; what comes behind it counts."""
    phone = await place.device("test")

    for junk in JUNK:
        await phone.say(junk)
        await phone.say(junk.encode() + b"\xff", opcode=0x2)
    mid = await place.push("test")

    assert await phone.mids(1) == [mid]
    await phone.acks(mid)
    assert await place.is_acked("test", mid)


async def test_a_ping_is_answered_with_its_payload(place: Place) -> None:
    """Before the login, and after."""
    phone = await place.phone()

    await phone.say(b"one", opcode=0x9)
    assert await phone.frame() == (0xA, b"one")
    await phone.log_in("test")
    await phone.say(b"two", opcode=0x9)

    assert await phone.frame() == (0xA, b"two")


async def test_a_close_is_answered_with_its_code(place: Place) -> None:
    """And the device is offline at once."""
    phone = await place.device("test")

    await phone.say(b"\x03\xe8", opcode=0x8)

    assert await phone.ends() == b"\x03\xe8"
    assert (await place.delivery("test")).online == (0,)


async def test_a_broken_frame_ends_the_connection_and_nothing_else(place: Place) -> None:
    """By its close code: too big, bad UTF-8, unmasked; others go on."""
    other = await place.device("other")

    for raw, code in (
        (b"\x81\xff" + (2**20).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x81\x01x", 1002),
    ):
        phone = await place.device("test")
        await phone.send(raw)
        assert (await phone.ends())[:2] == code.to_bytes(2, "big")
    mid = await place.push("other")

    assert await other.mids(1) == [mid]


async def test_what_was_acknowledged_does_not_come_again(place: Place) -> None:
    """Part of a list, twice, of another device, as numbers, in a binary frame: each counts for what it is."""
    await (await place.device("test")).stream.aclose()
    foreign = await place.push("other-device")
    mids = [await place.push("test") for _ in range(5)]
    phone = await place.device("test")
    assert await phone.mids(5) == mids

    await phone.acks(mids[1], mids[1], foreign, "nonsense")
    await phone.acks(mids[1])
    await phone.acks(int(mids[2]))
    await phone.say(
        json.dumps({"cmd": "SENDMSG_CB", "data": {"midList": [mids[4]]}}).encode(), opcode=0x2
    )
    assert await place.is_acked("test", mids[4])
    again = await place.device("test")

    assert await again.mids(2) == [mids[0], mids[3]]
    assert not await place.is_acked("other-device", foreign, seconds=0)
    assert not await place.is_acked("test", mids[0], seconds=0)


async def test_a_late_waiter_hears_what_came_before(place: Place) -> None:
    """A device may acknowledge before the web node has even read that its push was taken."""
    phone = await place.device("test")
    mid = await place.push("test")
    await phone.mids(1)

    await phone.acks(mid)
    await phone.say(b"", opcode=0x9)
    await phone.frame()

    assert await place.is_acked("test", mid, seconds=0)


async def test_a_thousand_pushes_at_once_have_a_thousand_mids(place: Place) -> None:
    """Unique and rising, all delivered, each acknowledged on its own."""
    phone = await place.device("test")
    world = place.world()
    pushes = [world.make_push("test@mpush", body=b'{"content":""}', ttl=60) for _ in range(1000)]

    outcomes = await world.comet.pusher.push(pushes)

    mids = await phone.mids(1000)
    assert mids == sorted(set(mids))
    ids = [outcome.ids[0] for outcome in outcomes]  # type: ignore[union-attr]
    assert [int(mid) * 1000 for mid in mids] == ids


async def test_a_device_of_the_registry_is_offline_until_it_logs_in(place: Place) -> None:
    """It gets what was pushed before its first login, in order."""
    await place.books.devices.preregister(["test"], now=0)
    mids = [await place.push("test") for _ in range(3)]

    phone = await place.device("test")

    assert await phone.mids(3) == mids


async def test_a_bug_costs_its_connection_only(place: Place) -> None:
    """The node goes on."""
    place.served["a"]._login.begin = None  # type: ignore[assignment]
    phone = await place.phone()

    await phone.say("mpush")
    await phone.say("test")

    assert await phone.hears() == AUTHENTICATED
    assert await phone.ends() == b""
    assert place.world().comet.live.poller.bugs == 1
    assert device_key("test") not in place.served["a"]._login.here


async def test_who_reads_slowly_loses_nothing(database: Database) -> None:
    """What its socket does not take waits in the store: it is not hung up on, and gets each message once."""
    live = changed(FAST, "live", send_buffer=Size(16_384), outbox_limit=Size(200_000))
    async with open_mpush(database, comet=live) as place:
        phone = await place.device("test")
        body = b'{"content":"' + b"x" * 60_000 + b'"}'
        world = place.world()
        pushes = [world.make_push("test@mpush", body=body, ttl=60) for _ in range(100)]

        for start in range(0, 100, 20):
            await world.comet.pusher.push(pushes[start : start + 20])

        mids = await phone.mids(100)
        assert mids == sorted(set(mids))


async def test_what_comes_while_the_store_is_read_comes_behind_what_is_read(place: Place) -> None:
    """Not past it: what is read would lie behind the newest that was sent, and be lost until the next login."""
    before = await place.push("test")
    mpush, has_read, may_go_on = place.served["a"], trio.Event(), trio.Event()
    fetch = mpush.store.fetch

    async def fetch_slowly(key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        page = await fetch(key, after, limit=limit, until=until)
        has_read.set()
        await may_go_on.wait()
        return page

    mpush.store.fetch = fetch_slowly  # type: ignore[method-assign]
    phone = await place.device("test")
    await has_read.wait()
    meanwhile = await place.push("test")
    delivery = next(iter(mpush.sessions)).delivery
    assert delivery is not None
    await place.world().until(lambda: delivery._behind or mpush.counts.sent > 0)
    may_go_on.set()

    assert await phone.mids(2) == [before, meanwhile]
